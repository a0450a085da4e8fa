package trace

import (
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
)

// OrderTrace is everything that Temporal holds of an order.
type OrderTrace struct {
	Order ltp.Order `json:"order"`
	// By is the activity of the user's that executes the order, where one does.
	By         ltp.Execution `json:"by,omitzero"`
	RunID      string        `json:"run_id"`
	AcceptedAt time.Time     `json:"accepted_at"`
	// Frames are the route_request and the route_response of each routing, in turn.
	Frames     []ltp.Frame `json:"frames"`
	Executions []Execution `json:"executions,omitempty"`
	Notes      []Note      `json:"notes,omitempty"`
	// Outcome is nil, and EndedAt zero, while the order is pending.
	Outcome *ltp.Outcome `json:"outcome,omitempty"`
	EndedAt time.Time    `json:"ended_at,omitzero"`
}

// State is where the order is, by its history.
func (t OrderTrace) State() ltp.OrderState {
	if t.Outcome != nil {
		return t.Outcome.State
	}
	if n := len(t.Frames); n > 0 && !t.Frames[n-1].Response.Admissible {
		return ltp.Deferred
	}
	return ltp.Accepted
}

// OrderFrames reads the history of an order, from its first event on. A history
// that is damaged or incomplete, or that holds what no order does, is a
// *DamageError. One that ends early, but not in the middle of what a worker did at
// once, is the history of an order that is pending.
func OrderFrames(events []*historypb.HistoryEvent) (OrderTrace, error) {
	r, err := openRun(ltp.OrderWorkflow, events)
	if err != nil {
		return OrderTrace{}, err
	}
	o := orderReader{run: r, running: map[int64]int{}, OrderTrace: OrderTrace{Frames: []ltp.Frame{}}}
	for _, e := range r.events {
		if err := o.read(e); err != nil {
			return OrderTrace{}, r.damaged(e, err)
		}
	}
	if err := o.settled(); err != nil {
		return OrderTrace{}, r.damaged(r.last(), err)
	}
	return o.OrderTrace, nil
}

// orderReader follows the Order workflow through its history, event by event.
type orderReader struct {
	run
	OrderTrace
	// last is the latest routing, used whether it has led to an execution, and task the
	// workflow task that recorded it: an order that is admitted acts at once.
	last ltp.Routing
	used bool
	task int64
	// unread are the signals that the order has received and not yet looked at.
	unread []signal
	// heard is set when something has come for the order since its last workflow task.
	// Where a timer or its turn was the first, the order wakes for that alone: kept is
	// how many signals were there before it, and those that follow are still unread
	// when it has routed. It is -1 where a signal was the first.
	heard bool
	kept  int
	// deferred is why the order was last deferred.
	deferred ltp.Reason
	// running are the executions under way, by the event that scheduled them.
	running map[int64]int
	// admitted is the fence that has let an activity of the user's begin, until that is
	// scheduled; attempts are those that failed in a row.
	admitted *ltp.Fence
	attempts ltp.Attempts
	// rang is set when the timer of an order that waits has fired, called when its turn
	// has come since it was last routed, and turn when it ever has.
	rang, called, turn bool
	// due is what the workflow task that event did completed must have brought about,
	// and has not yet. It tells a history from which something was taken out.
	due string
	did int64
}

// signal is a stability signal and the event that brought it.
type signal struct {
	ltp.Stability
	event *historypb.HistoryEvent
}

func (o *orderReader) read(e *historypb.HistoryEvent) error {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
		if e.GetEventId() == o.did+1 {
			o.due = "" // the task goes on with the one before, for a routing that takes its time
		}
		return o.settled()
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
		o.due, o.did, o.heard = o.owes(), e.GetEventId(), false
		return nil
	case enumspb.EVENT_TYPE_TIMER_FIRED:
		o.rang = o.waits()
		o.hears(o.rang)
		return o.settled()
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED:
		return o.accept(e)
	case enumspb.EVENT_TYPE_MARKER_RECORDED:
		return o.marker(e)
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		o.signalled(e)
		return o.settled()
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		return o.scheduled(e)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
		a := e.GetActivityTaskStartedEventAttributes()
		x, err := o.execution(a.GetScheduledEventId())
		if err != nil {
			return err
		}
		x.StartedAt, x.Worker = at(e), a.GetIdentity()
		return nil
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		a := e.GetActivityTaskCompletedEventAttributes()
		return o.executed(e, a.GetScheduledEventId(), a.GetResult())
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED:
		a := e.GetActivityTaskFailedEventAttributes()
		return o.failed(e, a.GetScheduledEventId(), a.GetFailure())
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
		a := e.GetActivityTaskTimedOutEventAttributes()
		if untaken(a.GetFailure()) {
			return o.untaken(e, a.GetScheduledEventId())
		}
		return o.lost(e, a.GetScheduledEventId(), "no answer from its worker in time")
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
		a := e.GetActivityTaskCanceledEventAttributes()
		return o.lost(e, a.GetScheduledEventId(), "cancelled in Temporal")
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
		a := e.GetWorkflowExecutionCancelRequestedEventAttributes()
		o.note(e, NoteCancel, a.GetIdentity(), because("asked to cancel the order", a.GetCause()))
		return o.settled()
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
		if err := o.settled(); err != nil { // no worker ended it
			return err
		}
	}
	if n, ok := o.touched(e); ok {
		o.Notes = append(o.Notes, n)
		return nil
	}
	if end, ok, err := outcome(e); err != nil {
		return err
	} else if ok {
		return o.end(e, end)
	}
	if !silent(e) {
		return fmt.Errorf("%s has no place in the history of an order", e.GetEventType())
	}
	return nil
}

// waits reports whether the order has been deferred and not been routed since.
func (o *orderReader) waits() bool { return o.last.Attempt > 0 && !o.last.Decision.Admissible() }

// owes is what an order does at once, with all that it has been told by now.
func (o *orderReader) owes() string {
	last := len(o.Executions) - 1
	news := slices.ContainsFunc(o.unread, func(s signal) bool { return s.News(o.last) })
	news = news || o.called && o.awaitsTurn()
	switch {
	case len(o.running) > 0:
		return ""
	case o.waits() && !o.rang && !news:
		return ""
	case o.used && o.Executions[last].Done():
		return "the end of the order"
	}
	return "a routing"
}

// settled checks that nothing is due: a worker's answer to a workflow task is in
// history as a whole, before anything else that happens.
func (o *orderReader) settled() error {
	if o.due != "" {
		return fmt.Errorf("%s is missing: it was due by event %d", o.due, o.did)
	}
	return nil
}

func (o *orderReader) accept(e *historypb.HistoryEvent) error {
	if err := Decode(o.started.GetInput(), &o.Order); err != nil {
		return fmt.Errorf("the order: %w", err)
	}
	if len(o.started.GetInput().GetPayloads()) > 1 { // those of before have none
		if err := Decode(o.started.GetInput(), &o.Order, &o.By); err != nil {
			return fmt.Errorf("the execution: %w", err)
		}
	}
	if err := ltp.ValidID(o.Order.ID); err != nil {
		return fmt.Errorf("the order: %w", err)
	}
	want := ltp.OrderWorkflowID(o.Order.ID)
	if o.workflowID == "" { // older servers did not write it
		o.workflowID = want
	}
	if o.workflowID != want {
		return fmt.Errorf("the order is %s, and the workflow %s", o.Order.ID, o.workflowID)
	}
	o.RunID, o.AcceptedAt = o.runID, at(e)
	return nil
}

// marker reads a local activity, which for an order is a routing.
func (o *orderReader) marker(e *historypb.HistoryEvent) error {
	if silent(e) || o.placed(e) {
		return nil
	}
	r, ok, err := routing(e)
	if f, fence, err := fencing(e); err != nil {
		return err
	} else if fence {
		return o.fence(e, f)
	}
	switch {
	case errors.Is(err, errNotRouted):
		// Asked again after a pause, or else the workflow fails and says so.
		o.due = ""
		o.note(e, NoteRouting, "", err.Error())
		return nil
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("marker %q is none that an order records", e.GetMarkerRecordedEventAttributes().GetMarkerName())
	}
	switch {
	case r.Woken == ltp.WokenBySignal, r.Woken != ltp.WokenByFailure && o.kept < 0:
		o.unread = nil // it has looked at all its signals
	case r.Woken == ltp.WokenByTimer, r.Woken == ltp.WokenByTurn:
		o.unread = o.unread[min(o.kept, len(o.unread)):]
	}
	o.kept = -1
	o.task = e.GetMarkerRecordedEventAttributes().GetWorkflowTaskCompletedEventId()
	return o.route(e, r)
}

// hears keeps whether the first thing that came for a waiting order wakes it at once,
// without a look at its signals.
func (o *orderReader) hears(wakes bool) {
	if !o.heard {
		if o.heard, o.kept = true, -1; wakes {
			o.kept = len(o.unread)
		}
	}
}

// signalled keeps a stability signal for when the order looks at it. What an order
// cannot read it drops, and other signals it does not listen for.
func (o *orderReader) signalled(e *historypb.HistoryEvent) {
	a := e.GetWorkflowExecutionSignaledEventAttributes()
	o.hears(a.GetSignalName() == ltp.TurnSignal && o.awaitsTurn())
	switch a.GetSignalName() {
	case ltp.StabilitySignal:
	case ltp.TurnSignal:
		o.hasTurn(e)
		return
	case ltp.ExpediteSignal:
		o.note(e, NoteOperator, a.GetIdentity(), "asked to release the order before all others")
		return
	default:
		o.note(e, NoteSignal, a.GetIdentity(), fmt.Sprintf("sent the signal %q, which orders do not listen for", a.GetSignalName()))
		return
	}
	var s ltp.Stability
	if err := Decode(a.GetInput(), &s); err != nil {
		o.note(e, NoteSignal, a.GetIdentity(), fmt.Sprintf("sent a %s signal that cannot be read: %v", ltp.StabilitySignal, err))
		return
	}
	o.unread = append(o.unread, signal{s, e})
}

// scheduled reads the beginning of an Execute. Either the routing before it admitted
// the order, or the order took the word of a signal, and that signal is the routing.
func (o *orderReader) scheduled(e *historypb.HistoryEvent) error {
	a := e.GetActivityTaskScheduledEventAttributes()
	name := a.GetActivityType().GetName()
	var in struct {
		Order ltp.Order `json:"order"`
	}
	if err := Decode(a.GetInput(), &in); err != nil {
		return fmt.Errorf("the input of %s: %w", name, err)
	}
	if in.Order.ID != o.Order.ID {
		return fmt.Errorf("%s is of order %q", name, in.Order.ID)
	}
	if len(o.running) > 0 {
		return fmt.Errorf("%s is scheduled while another is under way", name)
	}
	x, err := o.admissible(a)
	if err != nil {
		return err
	}
	o.used, o.due = true, ""
	o.running[e.GetEventId()] = len(o.Executions)
	x.RequestFrameID, x.ScheduledAt, x.Source = ltp.RequestFrameID(o.Order.ID, o.last.Attempt), at(e), o.source(e)
	o.Executions = append(o.Executions, x)
	return nil
}

// takeWord finds the signal that admitted an order without a routing of its own. It
// repeats what the order did: it waited, since it was deferred; it looked at all the
// signals that it had, and among those that were news it took the one of the latest
// epoch, the first where several tell of that epoch.
func (o *orderReader) takeWord() error {
	var word *signal
	for i, s := range o.unread {
		if s.News(o.last) && (word == nil || s.Epoch > word.Epoch) {
			word = &o.unread[i]
		}
	}
	o.unread = nil
	if word == nil || o.used || o.last.Attempt == 0 || !slices.Equal(o.Order.Components(), []string{word.Component}) {
		return fmt.Errorf("%s is scheduled, and nothing before it admits the order", execute)
	}
	request := ltp.Request{HighRisk: o.Order.Risk == ltp.HighRisk, Replay: true, InLine: o.inLine()}
	r, admitted := word.Route(request, o.last.Attempt+1, ltp.RequestFrameID(o.Order.ID, 1))
	if !admitted {
		return fmt.Errorf("%s is scheduled, and the word of event %d does not admit the order: %s %s",
			execute, word.event.GetEventId(), r.Decision, r.Reason)
	}
	return o.route(word.event, r)
}

// route adds the two frames of a routing, told by event e.
func (o *orderReader) route(e *historypb.HistoryEvent, r ltp.Routing) error {
	if err := o.follows(r); err != nil {
		return fmt.Errorf("routing: %w", err)
	}
	request := ltp.RouteRequest{OrderID: o.Order.ID, Attempt: r.Attempt, Woken: r.Woken, InLine: r.InLine}
	if r.Replays != "" {
		request.Replay, request.OriginalFrameID, request.DeferredReason = true, r.Replays, o.deferred
	}
	response := ltp.RouteResponse{
		OrderID: o.Order.ID, RequestFrameID: ltp.RequestFrameID(o.Order.ID, r.Attempt),
		Admissible: r.Decision.Admissible(), Decision: r.Decision, Reason: r.Reason,
		Component: r.Component, State: r.State, Epoch: r.Epoch,
	}
	if !response.Admissible {
		response.Commitment = r.Reason.Commitment()
		o.deferred = r.Reason
	}
	o.Frames = append(o.Frames,
		ltp.Frame{ID: response.RequestFrameID, Type: ltp.FrameRouteRequest, At: at(e), Request: &request, Source: o.source(e)},
		ltp.Frame{ID: ltp.ResponseFrameID(o.Order.ID, r.Attempt), Type: ltp.FrameRouteResponse, At: at(e), Response: &response, Source: o.source(e)})
	o.attempts.Routed(r.Component, r.Epoch)
	o.last, o.used, o.rang, o.called, o.due = r, false, false, false, ""
	return nil
}

// follows checks that r is a routing that can come next. It does not judge the
// decision: that is for an audit.
func (o *orderReader) follows(r ltp.Routing) error {
	replays := ""
	if r.Attempt > 1 {
		replays = ltp.RequestFrameID(o.Order.ID, 1)
	}
	switch {
	case r.Attempt != o.last.Attempt+1:
		return fmt.Errorf("attempt %d follows attempt %d", r.Attempt, o.last.Attempt)
	case len(o.running) > 0:
		return fmt.Errorf("it comes while %s is under way", execute)
	case o.last.Decision.Admissible() && !o.used:
		return fmt.Errorf("attempt %d was admitted and never executed", o.last.Attempt)
	case r.Replays != replays:
		return fmt.Errorf("attempt %d replays frame %q", r.Attempt, r.Replays)
	case r.Reason == "" || r.Component == "":
		return errors.New("it does not say why, or of which component")
	case r.Epoch < 1 && !r.Blind:
		return fmt.Errorf("there is no epoch %d", r.Epoch)
	case !r.State.Valid():
		return fmt.Errorf("there is no state %q", r.State)
	}
	switch r.Decision {
	case ltp.Execute, ltp.Defer, ltp.Freeze:
	default:
		return fmt.Errorf("%q is no answer to a route request", r.Decision)
	}
	// What woke it tells which signals it has looked at.
	wakes := o.wakes()
	if r.Attempt == 1 {
		wakes = []ltp.Wake{""}
	} else if o.used {
		wakes = []ltp.Wake{ltp.WokenByFailure}
	}
	if !slices.Contains(wakes, r.Woken) {
		return fmt.Errorf("attempt %d cannot have been woken by %q", r.Attempt, r.Woken)
	}
	return o.inTurn(r)
}

// end reads how the order ended. An outcome that claims what no execution shows is
// damage.
func (o *orderReader) end(e *historypb.HistoryEvent, outcome ltp.Outcome) error {
	var final Execution
	if n := len(o.Executions); n > 0 {
		final = o.Executions[n-1]
	}
	switch {
	case outcome.State != ltp.Terminated && len(o.running) > 0:
		return fmt.Errorf("the order ended %s while %s was under way", outcome.State, execute)
	case outcome.State == ltp.Executed && !final.Done():
		return errors.New("the order ended EXECUTED without an execution that succeeded")
	case outcome.State == ltp.Rejected && final.Error != Rejected && !o.setAside(final):
		return errors.New("the order ended REJECTED without an execution that was refused")
	case outcome.State != ltp.Executed && outcome.State != ltp.Terminated && final.Done():
		return fmt.Errorf("the order ended %s after it was executed", outcome.State)
	}
	o.Outcome, o.EndedAt, o.due = &outcome, at(e), ""
	return nil
}

func (o *orderReader) note(e *historypb.HistoryEvent, kind NoteKind, by, text string) {
	o.Notes = append(o.Notes, Note{At: at(e), Kind: kind, By: by, Text: text, Source: o.source(e)})
}

// at is when an event happened, by the clock of the Temporal server.
func at(e *historypb.HistoryEvent) time.Time { return e.GetEventTime().AsTime() }
