package ledger

import (
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// Hello is the payload of entry 0: what the file covers.
type Hello struct {
	Message string   `json:"message"`
	Role    string   `json:"role"`
	Export  Coverage `json:"export"`
}

// Coverage says what a file covers, so that an omission shows. Times are in unix
// milliseconds.
type Coverage struct {
	Format    int    `json:"format"`
	Software  string `json:"software"`
	Namespace string `json:"namespace"` // of Temporal
	Component string `json:"component"`
	// Incident is its number among those of the component, oldest first from 1, as far
	// as Temporal remembered when this was written.
	Incident int   `json:"incident"`
	BeganMs  int64 `json:"began_ms"`
	// EndedMs is 0 while Open, and so is ToMs.
	EndedMs int64 `json:"ended_ms,omitempty"`
	Open    bool  `json:"open,omitempty"`
	StartUp bool  `json:"start_up,omitempty"`
	// Every order that depends on the component and was pending at some time from
	// FromMs to ToMs is here, with all its history.
	FromMs int64 `json:"from_ms"`
	ToMs   int64 `json:"to_ms,omitempty"`
	Orders int   `json:"orders"`
	// Gaps is how many entries name something that should be here and is not.
	Gaps int `json:"gaps"`
	// Runs are the runs of the component's Orientation workflow, by their Temporal run
	// ids, that the file was derived from, oldest first.
	Runs []string `json:"orientation_runs"`
	// Epochs are the orientations in the file, by component.
	Epochs []Epochs `json:"epochs"`
}

// Epochs are all epochs of a component from First to Last.
type Epochs struct {
	Component string `json:"component"`
	First     int64  `json:"first"`
	Last      int64  `json:"last"`
}

// Heartbeat says that the node is there; with a Note, what happened about the
// component that is no orientation.
type Heartbeat struct {
	Seq    int64  `json:"seq"`
	Status string `json:"status"`
	Note   *Note  `json:"note,omitempty"`
}

// Note is something of a history that is no frame and yet part of the story.
type Note struct {
	Kind   trace.NoteKind `json:"kind"`
	By     string         `json:"by,omitempty"`
	Text   string         `json:"text"`
	Source Event          `json:"source"`
}

// Event is a place in Temporal history: an event of the workflow order/ID, or of
// orientation/COMPONENT.
type Event struct {
	RunID   string `json:"run_id"`
	EventID int64  `json:"event_id"`
}

// Orientation is the payload of an orientation. What is not Held repeats it for LTP's
// inspector, which knows one component only: of others there is nothing but Held.
type Orientation struct {
	Status      ltp.State    `json:"status,omitempty"`
	State       ltp.State    `json:"state,omitempty"`
	Reason      string       `json:"reason,omitempty"`
	DriftLevel  string       `json:"drift_level,omitempty"`
	Origin      string       `json:"origin,omitempty"`
	Destination string       `json:"destination,omitempty"`
	Mode        string       `json:"mode,omitempty"`
	Constraints *Constraints `json:"constraints,omitempty"`
	Held        Held         `json:"held"`
	Source      Event        `json:"source"`
}

// Constraints say what a state allows.
type Constraints struct {
	OrderWrites string `json:"order_writes"`
}

// Held is what was held true of a component; see ltp.Orientation.
type Held struct {
	Component string    `json:"component"`
	State     ltp.State `json:"state"`
	Epoch     int64     `json:"epoch"`
	LastFit   int64     `json:"last_fit,omitempty"`
	Reason    string    `json:"reason,omitempty"`
	SinceMs   int64     `json:"since_ms"`
	Observer  string    `json:"observer,omitempty"`
	Evidence  *Evidence `json:"evidence,omitempty"`
	Hold      *Hold     `json:"hold,omitempty"`
	// Observed is what observers see of a component that is held.
	Observed ltp.Verdict `json:"observed,omitempty"`
}

// Evidence is what was measured; see ltp.Evidence.
type Evidence struct {
	LatencyMs   int64  `json:"latency_ms,omitempty"`
	ThresholdMs int64  `json:"threshold_ms,omitempty"`
	Samples     int    `json:"samples,omitempty"`
	Definite    bool   `json:"definite,omitempty"`
	Error       string `json:"error,omitempty"`
	Facts       []Fact `json:"facts,omitempty"` // sorted by name
}

// Fact is a further reading.
type Fact struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Hold is an operator's hold; see ltp.Hold.
type Hold struct {
	By      string `json:"by"`
	Why     string `json:"why"`
	SinceMs int64  `json:"since_ms"`
	Freeze  bool   `json:"freeze,omitempty"`
}

// Request is the payload of a route_request.
type Request struct {
	Goal        string `json:"goal"`
	Action      string `json:"action"`
	TargetState string `json:"targetState"`
	Order       Order  `json:"order"`
	Attempt     int    `json:"attempt"`
	// Woken is what made a deferred order ask again.
	Woken         ltp.Wake       `json:"woken,omitempty"`
	Metadata      *Metadata      `json:"metadata,omitempty"`
	ReplayContext *ReplayContext `json:"replay_context,omitempty"`
	// Asked is the question as it was recorded, which the decision table answers.
	Asked ltp.Request `json:"asked"`
	// AskedMs is when the workflow asked, by Temporal's clock as of the start of its task.
	// The frame's own time is earlier where the orientation that the answer is based on
	// was replaced before.
	AskedMs int64 `json:"asked_ms"`
	Source  Event `json:"source"`
}

// Order is what a file says of an order: not who gave it, and not what is in it, but
// the hash of all that (ltp.Order.ContentHash).
type Order struct {
	ID          string   `json:"id"`
	AmountMinor int64    `json:"amount_minor"`
	Currency    string   `json:"currency"`
	Risk        ltp.Risk `json:"risk,omitempty"`
	// DependsOn are the components that must be fit, with the one that is written to.
	DependsOn []string `json:"depends_on"`
	// External orders are executed by an activity of the user's.
	External bool `json:"external,omitempty"`
	// StampEpoch is the epoch of the written component that the door read before it
	// accepted the order; 0 is none.
	StampEpoch int64  `json:"stamp_epoch,omitempty"`
	Content    string `json:"content_sha256"`
	AcceptedMs int64  `json:"accepted_ms"`
}

// written is the component that the order is written to; empty where an activity of the
// user's writes.
func (o Order) written() string {
	if o.External {
		return ""
	}
	return ltp.DefaultComponent
}

// Metadata and ReplayContext name the request that a replay replays.
type Metadata struct {
	OriginalFrameID string `json:"original_frame_id"`
}

// ReplayContext is the replay's, with why the order was last deferred.
type ReplayContext struct {
	OriginalFrameID string     `json:"original_frame_id"`
	DeferredReason  ltp.Reason `json:"deferred_reason,omitempty"`
}

// Response is the payload of a route_response.
type Response struct {
	OrderID        string       `json:"order_id"`
	RequestFrameID string       `json:"request_frame_id"`
	TargetState    string       `json:"targetState"`
	Admissible     bool         `json:"admissible"`
	Decision       ltp.Decision `json:"decision"`
	Reason         ltp.Reason   `json:"reason"`
	Commitment     string       `json:"commitment,omitempty"`
	// Component, State and Epoch are what the answer is based on, read at ReadMs by the
	// worker's clock. Unreadable says that the worker had no orientation that it could trust.
	Component    string    `json:"component"`
	State        ltp.State `json:"state"`
	Epoch        int64     `json:"epoch"`
	Unreadable   bool      `json:"blind,omitempty"`
	ReadMs       int64     `json:"read_ms,omitempty"`
	Context      string    `json:"context"`
	Capabilities []string  `json:"capabilities"`
	Branches     []Branch  `json:"branches"`
	Selection    string    `json:"selection"`
	// Cause says whose fault the failure was that made the order ask.
	Cause ltp.FailureCause `json:"blame,omitempty"`
	// RecordedMs is the time of the event that recorded the answer, by Temporal's clock.
	RecordedMs int64 `json:"recorded_ms"`
	Source     Event `json:"source"`
}

// Branch is a way that was open, or not.
type Branch struct {
	ID         string `json:"id"`
	Confidence int    `json:"confidence"`
	Status     string `json:"status"`
}

// Snapshot is the payload of a focus_snapshot, which holds everything for which LTP has
// no frame: exactly one of its fields from Execution on is set.
type Snapshot struct {
	// Drift is 0 if every order has ended and nothing is missing, and else 1;
	// FocusMomentum is 1 less that. Only the closing entry has them.
	Drift         *int        `json:"drift,omitempty"`
	FocusMomentum *int        `json:"focus_momentum,omitempty"`
	Execution     *Execution  `json:"execution,omitempty"`
	Withdrawal    *Withdrawal `json:"withdrawal,omitempty"`
	Parking       *Parking    `json:"parking,omitempty"`
	Note          *OrderNote  `json:"note,omitempty"`
	End           *End        `json:"end,omitempty"`
	Gap           *trace.Gap  `json:"gap,omitempty"`
	Closing       *Counts     `json:"closing,omitempty"`
}

// Execution is one attempt to execute an order; see trace.Execution.
type Execution struct {
	OrderID        string     `json:"order_id"`
	RequestFrameID string     `json:"request_frame_id"`
	Result         ltp.Result `json:"result,omitempty"` // empty while it runs
	// Given are the epochs of the written component under which the task might write.
	Given []int64 `json:"given,omitempty"`
	Fence *Fence  `json:"fence,omitempty"`
	// BegunMs, EndedMs and CommittedMs are by the worker's clock: when the write began, when
	// its answer came, and when the write was acknowledged, or found.
	BegunMs     int64  `json:"begun_ms,omitempty"`
	EndedMs     int64  `json:"ended_ms,omitempty"`
	CommittedMs int64  `json:"committed_ms,omitempty"`
	Worker      string `json:"worker,omitempty"`
	// Attempt is the request_frame_id that the receipt names; Repeated says that an earlier
	// attempt had written the order already, and that it is of that one.
	Attempt   string      `json:"receipt_attempt,omitempty"`
	Repeated  bool        `json:"repeated,omitempty"`
	Withdrawn *ltp.Ending `json:"withdrawn,omitempty"`
	Message   string      `json:"message,omitempty"`
	// TaskMs is the start of the workflow task that asked, and RecordedMs the time of the
	// event that recorded it, 0 while it runs; ScheduledMs and StartedMs are of an activity
	// of the user's. All are by Temporal's clock.
	TaskMs      int64 `json:"task_ms"`
	RecordedMs  int64 `json:"recorded_ms,omitempty"`
	ScheduledMs int64 `json:"scheduled_ms,omitempty"`
	StartedMs   int64 `json:"started_ms,omitempty"`
	Source      Event `json:"source"`
}

func (x Execution) done() bool { return x.Result == ltp.ResultExecuted }

func (x Execution) begun() bool { return x.BegunMs != 0 }

// Withdrawal is one try to end an order without executing it; see trace.Withdrawal.
type Withdrawal struct {
	OrderID string     `json:"order_id"`
	No      int        `json:"no"` // from 1
	Asked   ltp.Ending `json:"asked"`
	// Found is what the worker's reading, or the order database, said.
	Found      ltp.Found `json:"found"`
	Fence      *Fence    `json:"fence,omitempty"`
	Unreadable bool      `json:"blind,omitempty"`
	// Tombstone is what that said, and Attempt the request_frame_id in the receipt of the
	// order's row.
	Tombstone *ltp.Ending `json:"tombstone,omitempty"`
	Attempt   string      `json:"receipt_attempt,omitempty"`
	EndedMs   int64       `json:"ended_ms,omitempty"`
	Worker    string      `json:"worker,omitempty"`
	Message   string      `json:"message,omitempty"`
	// TaskMs, RecordedMs and Source are as those of an Execution.
	TaskMs     int64 `json:"task_ms"`
	RecordedMs int64 `json:"recorded_ms"`
	Source     Event `json:"source"`
}

// Parking says that an order began to wait for an operator; see ltp.Parking. An operator's
// word is a Note of the kind RETRY or REJECT.
type Parking struct {
	OrderID string `json:"order_id"`
	No      int    `json:"no"` // from 1
	// SinceMs is by Temporal's clock, Failures how many attempts in a row had failed, and
	// Message what the last of them failed with.
	SinceMs  int64  `json:"since_ms"`
	Failures int    `json:"failures"`
	Message  string `json:"message,omitempty"`
}

// Fence is the orientation that a write began under, or was not begun under, asked for at
// ReadMs by the worker's clock.
type Fence struct {
	Component string    `json:"component"`
	State     ltp.State `json:"state"`
	Epoch     int64     `json:"epoch"`
	LastFit   int64     `json:"last_fit,omitempty"`
	ReadMs    int64     `json:"read_ms,omitempty"`
}

// OrderNote is a Note of an order.
type OrderNote struct {
	OrderID string `json:"order_id"`
	No      int    `json:"no"` // from 1
	Note
}

// End is where an order was when the file was written: its last entry.
type End struct {
	Order  Order          `json:"order"`
	State  ltp.OrderState `json:"state"`
	Reason string         `json:"reason,omitempty"`
	// Pending orders have not ended, and EndedMs is 0.
	Pending bool   `json:"pending,omitempty"`
	EndedMs int64  `json:"ended_ms,omitempty"`
	RunID   string `json:"run_id"`
	// Entries is how many the order has in the file, with this one.
	Entries int `json:"entries"`
}

// Counts close the file.
type Counts struct {
	Entries      int64                  `json:"entries"` // with the closing one
	Orientations int                    `json:"orientations"`
	Notes        int                    `json:"notes"`
	Gaps         int                    `json:"gaps"`
	Orders       int                    `json:"orders"`
	Requests     int                    `json:"requests"`
	Replays      int                    `json:"replays"` // of the requests
	Decisions    map[ltp.Decision]int   `json:"decisions"`
	Executions   int                    `json:"executions"`
	Withdrawals  int                    `json:"withdrawals"`
	Parkings     int                    `json:"parkings"`
	Written      int                    `json:"written"` // executions that wrote the order
	Ends         map[ltp.OrderState]int `json:"ends"`    // orders by where they are
	Pending      int                    `json:"pending"`
}

func newCounts() Counts {
	return Counts{Decisions: map[ltp.Decision]int{}, Ends: map[ltp.OrderState]int{}}
}

// add counts an entry.
func (c *Counts) add(payload any) {
	c.Entries++
	switch p := payload.(type) {
	case *Heartbeat:
		if p.Note != nil {
			c.Notes++
		}
	case *Orientation:
		c.Orientations++
	case *Request:
		c.Requests++
		if p.ReplayContext != nil {
			c.Replays++
		}
	case *Response:
		c.Decisions[p.Decision]++
	case *Snapshot:
		c.snapshot(p)
	}
}

func (c *Counts) snapshot(p *Snapshot) {
	switch {
	case p.Execution != nil:
		c.Executions++
		if p.Execution.done() && !p.Execution.Repeated {
			c.Written++
		}
	case p.Withdrawal != nil:
		c.Withdrawals++
	case p.Parking != nil:
		c.Parkings++
	case p.Note != nil:
		c.Notes++
	case p.Gap != nil:
		c.Gaps++
	case p.End != nil:
		c.Orders++
		c.Ends[p.End.State]++
		if p.End.Pending {
			c.Pending++
		}
	}
}

// closing is the payload of the last entry.
func (c Counts) closing() *Snapshot {
	drift, momentum := 0, 1
	if c.Pending > 0 || c.Gaps > 0 {
		drift, momentum = 1, 0
	}
	return &Snapshot{Drift: &drift, FocusMomentum: &momentum, Closing: &c}
}

// orientation is the payload of what was held true; main is the component that the
// file is about.
func orientation(h Held, s Event, main string) *Orientation {
	if h.Component != main {
		return &Orientation{Held: h, Source: s}
	}
	level, writes := "low", "allowed"
	switch {
	case !h.State.Fit():
		level, writes = "high", "deferred"
	case h.State == ltp.Recovering:
		level, writes = "medium", "replays only"
	case h.State == ltp.Degraded:
		level = "medium"
	}
	return &Orientation{
		Status: h.State, State: h.State, Reason: h.Reason, DriftLevel: level, Origin: sender,
		Destination: h.Component, Mode: "continuity", Constraints: &Constraints{writes}, Held: h, Source: s,
	}
}

// complete fills in what LTP's inspector reads and what follows from the rest.
func (r Response) complete() *Response {
	r.TargetState, r.Context = action, "USER"
	r.Capabilities = []string{"CAPABILITY_" + strings.ToUpper(action)}
	r.Admissible = r.Decision.Admissible()
	if r.Commitment = r.Reason.Commitment(); r.Admissible {
		r.Commitment = ""
	}
	r.Selection = strings.ToLower(string(r.Decision))
	taken, other := Branch{r.Selection, 1, "degraded"}, Branch{"execute", 0, "blocked"}
	if r.Admissible {
		taken.Status, other.ID = "admissible", "defer"
	}
	r.Branches = []Branch{taken, other}
	return &r
}

// complete fills in what LTP's inspector reads.
func (r Request) complete() *Request {
	r.Goal, r.Action, r.TargetState, r.Metadata = action, action, action, nil
	if r.ReplayContext != nil {
		r.Metadata = &Metadata{r.ReplayContext.OriginalFrameID}
	}
	return &r
}

func heldOf(o ltp.Orientation) Held {
	h := Held{
		Component: o.Component, State: o.State, Epoch: o.Epoch, LastFit: o.LastFit, Reason: o.Reason,
		SinceMs: ms(o.Since), Observer: o.Observer, Evidence: evidenceOf(o.Evidence), Observed: o.Observed,
	}
	if o.Hold != nil {
		h.Hold = &Hold{By: o.Hold.By, Why: o.Hold.Why, SinceMs: ms(o.Hold.Since), Freeze: o.Hold.Freeze}
	}
	return h
}

func evidenceOf(e ltp.Evidence) *Evidence {
	said := Evidence{LatencyMs: e.LatencyMs, ThresholdMs: e.ThresholdMs, Samples: e.Samples, Definite: e.Definite, Error: e.Error}
	for _, name := range slices.Sorted(maps.Keys(e.Facts)) {
		said.Facts = append(said.Facts, Fact{name, e.Facts[name]})
	}
	if reflect.DeepEqual(said, Evidence{}) {
		return nil
	}
	return &said
}

func executionOf(orderID string, x trace.Execution) *Execution {
	e := &Execution{
		OrderID: orderID, RequestFrameID: x.RequestFrameID, Result: x.Result, Given: x.Given, Fence: fenceOf(x.Fence),
		BegunMs: ms(x.BegunAt), EndedMs: ms(x.EndedAt), CommittedMs: ms(x.CommittedAt()), Worker: x.Worker,
		Repeated: x.Repeated(), Withdrawn: x.Withdrawn, Message: x.Error,
		TaskMs: ms(x.TaskAt), RecordedMs: ms(x.RecordedAt), ScheduledMs: ms(x.ScheduledAt), StartedMs: ms(x.StartedAt), Source: eventOf(x.Source),
	}
	if x.Receipt != nil {
		e.Attempt = x.Receipt.Attempt
	}
	return e
}

func withdrawalOf(orderID string, no int, w trace.Withdrawal) *Withdrawal {
	e := &Withdrawal{
		OrderID: orderID, No: no, Asked: w.Asked, Found: w.Found, Fence: fenceOf(w.Fence), Unreadable: w.Unreadable,
		Tombstone: w.End, EndedMs: ms(w.EndedAt), Worker: w.Worker, Message: w.Error,
		TaskMs: ms(w.TaskAt), RecordedMs: ms(w.RecordedAt), Source: eventOf(w.Source),
	}
	if w.Receipt != nil {
		e.Attempt = w.Receipt.Attempt
	}
	return e
}

func fenceOf(f ltp.Fence) *Fence {
	if f == (ltp.Fence{}) {
		return nil
	}
	return &Fence{f.Component, f.State, f.Epoch, f.LastFit, ms(f.ReadAt)}
}

func orderOf(t trace.OrderTrace) Order {
	return Order{
		ID: t.Order.ID, AmountMinor: t.Order.AmountMinor(), Currency: t.Order.Currency, Risk: t.Order.Risk,
		DependsOn: t.Order.Gate(t.Execution), External: t.Execution.External(), StampEpoch: t.Stamp.Epoch,
		Content: t.Order.ContentHash(), AcceptedMs: ms(t.AcceptedAt),
	}
}

func eventOf(s ltp.Source) Event { return Event{s.RunID, s.EventID} }

// ms is a time in unix milliseconds; 0 for none.
func ms(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}
