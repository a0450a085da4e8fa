package trace

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
)

// Timeline is an incident told with the orders that met it: what WriteTimeline
// shows.
type Timeline struct {
	Incident Incident `json:"incident"`
	Window   Window   `json:"window"`
	// Tally is of the orders that appear in the window, by where they are now.
	Tally  Tally   `json:"tally"`
	Phases []Phase `json:"phases"`
	// Gaps are what should be here and is not. Without any, the timeline is whole.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Tally counts orders. Every order is in exactly one of its fields, save Total and
// Deferred.
type Tally struct {
	Total int `json:"total"`
	// Deferred were deferred at least once, whatever became of them.
	Deferred       int `json:"deferred"`
	ExecutedAtOnce int `json:"executed_at_once"` // never deferred
	ExecutedLater  int `json:"executed_later"`   // deferred before
	Rejected       int `json:"rejected"`
	Cancelled      int `json:"cancelled"`
	Expired        int `json:"expired"`
	Terminated     int `json:"terminated"`
	// Waiting are deferred, and Accepted promised without being deferred or done.
	Waiting  int `json:"waiting"`
	Accepted int `json:"accepted"`
}

// Phase is a part of an incident, in the order in which the postmortem tells it.
type Phase struct {
	Name PhaseName `json:"name"`
	// BeginsAt and EndsAt bound the phase; each ends where the next begins.
	BeginsAt time.Time `json:"begins_at"`
	EndsAt   time.Time `json:"ends_at,omitzero"`
	// Failed marks a recovery that was overtaken by the next fall.
	Failed bool `json:"failed,omitempty"`
	// Under is the orientation in force when the phase began; nil when it is not known.
	Under   *ltp.Orientation `json:"under,omitempty"`
	Counts  Counts           `json:"counts"`
	Entries []Entry          `json:"entries,omitempty"`
}

// PhaseName names a phase: stable words for programs.
type PhaseName string

// The phases. An incident that flaps has some of them several times.
const (
	StartUp        PhaseName = "START_UP"        // before the component was first STABLE
	Stability      PhaseName = "STABILITY"       // before the incident
	Degradation    PhaseName = "DEGRADATION"     // from leaving STABLE to being unfit
	DeferralWindow PhaseName = "DEFERRAL_WINDOW" // unfit: orders wait
	Recovery       PhaseName = "RECOVERY"        // fit again, and nothing replayed yet
	Resolution     PhaseName = "RESOLUTION"      // from the first replay on
)

// Counts are of what happened in a phase.
type Counts struct {
	// Requests are orders that asked for the first time.
	Requests int `json:"requests"`
	// Deferred are orders that began to wait, by reason, and DeferredAgain those that
	// asked and went on waiting.
	Deferred      map[ltp.Reason]int `json:"deferred,omitempty"`
	DeferredAgain int                `json:"deferred_again,omitempty"`
	// Replayed are requests of orders that had waited.
	Replayed int `json:"replayed"`
	// ExecutedAtOnce and Executed were admitted in this phase and written: those that
	// never waited, and those that did.
	ExecutedAtOnce int `json:"executed_at_once"`
	Executed       int `json:"executed"`
	// Failed are executions that found the component unavailable, or were lost.
	Failed     int `json:"failed"`
	Rejected   int `json:"rejected"`
	Cancelled  int `json:"cancelled"`
	Expired    int `json:"expired"`
	Terminated int `json:"terminated"`
}

// Entry is one thing of a timeline: the orientation frame of a component; the two
// frames of a routing, with the execution that followed; the end of an order that is
// not the end of an execution; or a note.
type Entry struct {
	At     time.Time  `json:"at"`
	Frames []Numbered `json:"frames,omitempty"`
	// From is the state that an orientation frame left.
	From      ltp.State  `json:"from,omitempty"`
	Execution *Execution `json:"execution,omitempty"`
	// OrderID and Amount are of the order of a routing or an end.
	OrderID string `json:"order_id,omitempty"`
	Amount  string `json:"amount,omitempty"`
	// Replays is the number of the frame that a replay replays; 0 when that frame is
	// not in the timeline.
	Replays int `json:"replays,omitempty"`
	// WaitedMs is how long the order had been waiting when a replay asked, in
	// milliseconds.
	WaitedMs int64        `json:"waited_ms,omitempty"`
	Ended    *ltp.Outcome `json:"ended,omitempty"`
	Note     *Note        `json:"note,omitempty"`

	waited bool // the order has been deferred before
}

// Numbered is a frame and its number in a timeline, from 1.
type Numbered struct {
	No int `json:"no"`
	ltp.Frame
}

// Frames are all frames of the timeline, in the order of their numbers.
func (t Timeline) Frames() (all []Numbered) {
	for _, p := range t.Phases {
		for _, e := range p.Entries {
			all = append(all, e.Frames...)
		}
	}
	return all
}

// NewTimeline tells an incident of the orientation o with the orders that depend on
// its component, as far as they lie in the window.
func NewTimeline(o OrientationTrace, in Incident, orders Orders, w Window) Timeline {
	t := Timeline{Incident: in, Window: w, Gaps: slices.Concat(o.Gaps, orders.Gaps)}
	entries := orientationEntries(o, in, w)
	for _, order := range orders.Traces {
		if !slices.Contains(order.Order.Components(), o.Component) {
			continue
		}
		its := orderEntries(order, w)
		if len(its) > 0 || w.Contains(order.AcceptedAt) {
			t.Tally.add(order)
		}
		entries = append(entries, its...)
	}
	slices.SortStableFunc(entries, func(a, b Entry) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.rank(), b.rank()))
	})
	number(entries)
	t.Phases = phases(in, w, entries)
	return t
}

// rank puts, of two things at the same moment, that first which is about the
// component. Beyond that, order of appearance is order of history.
func (e Entry) rank() int {
	if e.OrderID == "" {
		return 0
	}
	return 1
}

// orientationEntries are the frames and notes about the component, in the order of
// history.
func orientationEntries(o OrientationTrace, in Incident, w Window) (all []Entry) {
	from := ltp.State("")
	if in.Before != nil {
		from = in.Before.State
	}
	for _, f := range in.Frames {
		all = append(all, Entry{At: f.At, From: from, Frames: []Numbered{{Frame: f}}})
		from = f.Orientation.State
	}
	for _, n := range o.Notes {
		if w.Contains(n.At) {
			all = append(all, Entry{At: n.At, Note: &n})
		}
	}
	slices.SortStableFunc(all, func(a, b Entry) int {
		if a.source().RunID != b.source().RunID {
			return a.At.Compare(b.At)
		}
		return cmp.Compare(a.source().EventID, b.source().EventID)
	})
	return all
}

func (e Entry) source() ltp.Source {
	if e.Note != nil {
		return e.Note.Source
	}
	return e.Frames[0].Source
}

// orderEntries are an order's routings, and its end where no execution tells it.
func orderEntries(t OrderTrace, w Window) (all []Entry) {
	executions := map[string]*Execution{}
	for i := range t.Executions {
		executions[t.Executions[i].RequestFrameID] = &t.Executions[i]
	}
	waited := false
	var since time.Time // since when it waits
	for i := 0; i+1 < len(t.Frames); i += 2 {
		request, response := t.Frames[i], t.Frames[i+1]
		e := Entry{
			At: request.At, Frames: []Numbered{{Frame: request}, {Frame: response}},
			Execution: executions[request.ID], OrderID: t.Order.ID, Amount: amount(t.Order), waited: waited,
		}
		if !since.IsZero() {
			e.WaitedMs = request.At.Sub(since).Milliseconds()
		}
		switch {
		case response.Response.Admissible:
			since = time.Time{}
		case since.IsZero():
			waited, since = true, response.At
		}
		if w.Contains(e.At) {
			all = append(all, e)
		}
	}
	if t.Outcome != nil && w.Contains(t.EndedAt) {
		switch t.Outcome.State {
		case ltp.Cancelled, ltp.Expired, ltp.Terminated:
			all = append(all, Entry{At: t.EndedAt, OrderID: t.Order.ID, Amount: amount(t.Order), Ended: t.Outcome, waited: waited})
		}
	}
	return all
}

// number gives the frames their numbers, and replays the number of what they replay.
func number(entries []Entry) {
	no, numbers := 0, map[string]int{}
	for i := range entries {
		for j := range entries[i].Frames {
			no++
			f := &entries[i].Frames[j]
			f.No, numbers[f.ID] = no, no
			if f.Request != nil {
				entries[i].Replays = numbers[f.Request.OriginalFrameID]
			}
		}
	}
}

// phases cuts the entries, which are in order of time, where the orientation changes
// and where replaying begins.
func phases(in Incident, w Window, entries []Entry) []Phase {
	c := cutter{under: in.Before}
	c.open(firstPhase(in), w.From)
	for i := range entries {
		e := &entries[i]
		if len(e.Frames) == 1 {
			c.turn(e)
		} else if c.name() == Recovery && len(e.Frames) > 0 && e.replay() && e.Frames[1].Response.Admissible {
			c.open(Resolution, e.At)
		}
		p := &c.phases[len(c.phases)-1]
		p.Entries = append(p.Entries, *e)
		p.Counts.add(*e)
		if len(e.Frames) == 1 {
			c.under = e.Frames[0].Orientation
			if c.name() == Degradation && !c.under.State.Fit() {
				c.open(DeferralWindow, e.At)
			}
		}
	}
	c.phases[len(c.phases)-1].EndsAt = w.To
	return c.phases
}

func firstPhase(in Incident) PhaseName {
	switch {
	case in.StartUp:
		return StartUp
	case in.Before == nil, in.Before.State == ltp.Degraded:
		return Degradation
	case in.Before.State == ltp.Stable:
		return Stability
	case in.Before.State == ltp.Recovering:
		return Recovery
	}
	return DeferralWindow
}

// cutter cuts phases.
type cutter struct {
	phases []Phase
	under  *ltp.Orientation
}

func (c *cutter) name() PhaseName {
	return c.phases[len(c.phases)-1].Name
}

func (c *cutter) open(name PhaseName, at time.Time) {
	if n := len(c.phases); n > 0 {
		c.phases[n-1].EndsAt = at
	}
	c.phases = append(c.phases, Phase{Name: name, BeginsAt: at, Under: c.under})
}

// turn opens the phase that an orientation frame belongs to.
func (c *cutter) turn(e *Entry) {
	now := c.name()
	switch state := e.Frames[0].Orientation.State; {
	case now == StartUp && state != ltp.Stable:
	case now == StartUp:
		c.open(Stability, e.At)
	case state == ltp.Stable, state == ltp.Degraded && now == Recovery:
		if now != Resolution {
			c.open(Resolution, e.At)
		}
	case state == ltp.Recovering:
		c.open(Recovery, e.At)
	case state == ltp.Degraded && now == Resolution:
	case !state.Fit() && now == DeferralWindow:
	default: // it fell
		for i := len(c.phases) - 1; i >= 0 && (c.phases[i].Name == Recovery || c.phases[i].Name == Resolution); i-- {
			c.phases[i].Failed = true
		}
		if now != Degradation {
			c.open(Degradation, e.At)
		}
	}
}

func (e Entry) replay() bool {
	switch e.Frames[0].Request.Woken {
	case ltp.WokenBySignal, ltp.WokenByTimer:
		return true
	}
	return false
}

func (c *Counts) add(e Entry) {
	if e.Ended != nil {
		switch e.Ended.State {
		case ltp.Cancelled:
			c.Cancelled++
		case ltp.Expired:
			c.Expired++
		default:
			c.Terminated++
		}
	}
	if len(e.Frames) != 2 {
		return
	}
	if e.Frames[0].Request.Attempt == 1 {
		c.Requests++
	}
	if e.replay() {
		c.Replayed++
	}
	if r := e.Frames[1].Response; !r.Admissible {
		if e.replay() {
			c.DeferredAgain++
			return
		}
		if c.Deferred == nil {
			c.Deferred = map[ltp.Reason]int{}
		}
		c.Deferred[r.Reason]++
	}
	switch x := e.Execution; {
	case x == nil || x.EndedAt.IsZero():
	case x.Done() && e.waited:
		c.Executed++
	case x.Done():
		c.ExecutedAtOnce++
	case x.Error == Rejected:
		c.Rejected++
	default:
		c.Failed++
	}
}

func (t *Tally) add(o OrderTrace) {
	t.Total++
	deferred := slices.ContainsFunc(o.Frames, func(f ltp.Frame) bool { return f.Response != nil && !f.Response.Admissible })
	if deferred {
		t.Deferred++
	}
	switch o.State() {
	case ltp.Executed:
		if deferred {
			t.ExecutedLater++
		} else {
			t.ExecutedAtOnce++
		}
	case ltp.Rejected:
		t.Rejected++
	case ltp.Cancelled:
		t.Cancelled++
	case ltp.Expired:
		t.Expired++
	case ltp.Terminated:
		t.Terminated++
	case ltp.Deferred:
		t.Waiting++
	default:
		t.Accepted++
	}
}

// Told is an entry of a folded phase.
type Told struct {
	Entry
	// Alike is how many entries that say the same were left out before this one, which
	// is the last of them, and Like the number of the first.
	Alike int `json:"alike,omitempty"`
	Like  int `json:"like,omitempty"`
}

// Folded are the entries of the phase in the order of time, without those that only
// repeat: of entries that say the same, the first and the last are left. What comes
// before and after a change of the orientation is never folded together.
func (p Phase) Folded() (told []Told) {
	type group struct{ first, last, n int }
	groups := map[string]*group{}
	at := map[int]*group{} // the group that the first or last entry stands for
	for i, e := range p.Entries {
		says := e.says()
		if says == "" {
			if len(e.Frames) > 0 {
				clear(groups)
			}
			continue
		}
		g, ok := groups[says]
		if !ok {
			g = &group{first: i, last: i}
			groups[says], at[i] = g, g
		} else if g.last != g.first {
			delete(at, g.last)
		}
		g.last, g.n, at[i] = i, g.n+1, g
	}
	for i, e := range p.Entries {
		g := at[i]
		switch {
		case g == nil && e.says() != "":
			continue
		case g == nil || i == g.first:
			told = append(told, Told{Entry: e})
		default:
			t := Told{Entry: e, Alike: g.n - 2}
			if first := p.Entries[g.first]; len(first.Frames) > 0 {
				t.Like = first.Frames[0].No
			}
			told = append(told, t)
		}
	}
	return told
}

// says is the same for entries that differ only in the order, the time and how long
// it took; empty for what is told by itself.
func (e Entry) says() string {
	switch {
	case e.Ended != nil:
		return fmt.Sprintf("%s %s", e.Ended.State, e.Ended.Reason)
	case len(e.Frames) != 2:
		return ""
	}
	q, r := e.Frames[0].Request, e.Frames[1].Response
	written := ""
	if x := e.Execution; x != nil {
		written = fmt.Sprintf("%t %s %v %t", x.EndedAt.IsZero(), x.Error, x.Fence, x.Repeated)
		if x.Error != "" && x.Error != Unavailable {
			written += " " + x.Message
		}
	}
	return fmt.Sprintln(q.Woken, q.DeferredReason, r.Decision, r.Reason, r.Component, r.State, r.Epoch, written)
}
