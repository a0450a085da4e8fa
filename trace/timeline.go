package trace

import (
	"cmp"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
)

// Timeline is an incident with the orders that met it: what WriteTimeline
// shows. That of NewTimeline is complete; that of a Digest has left out entries that
// only repeat, and counted them.
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
	// Waiting are deferred, Parked wait for an operator, and Accepted are promised without
	// being deferred or done.
	Waiting  int `json:"waiting"`
	Parked   int `json:"parked"`
	Accepted int `json:"accepted"`
}

// Entry is one thing of a timeline: the orientation frame of a component; the two
// frames of a routing, with the execution that followed; the parking of an order; the end
// of an order that is not the end of an execution; or a note.
type Entry struct {
	At     time.Time  `json:"at"`
	Frames []Numbered `json:"frames,omitempty"`
	// From is the state that an orientation frame left.
	From      ltp.State  `json:"from,omitempty"`
	Execution *Execution `json:"execution,omitempty"`
	// OrderID and Amount are of the order of a routing, a parking or an end.
	OrderID string `json:"order_id,omitempty"`
	Amount  string `json:"amount,omitempty"`
	// Replays is the number of the frame that a replay replays; 0 when that frame is
	// not in the timeline.
	Replays int `json:"replays,omitempty"`
	// WaitedMs is how long the order had been waiting when a replay asked, in
	// milliseconds.
	WaitedMs int64        `json:"waited_ms,omitempty"`
	Parked   *ltp.Parking `json:"parked,omitempty"`
	Ended    *ltp.Outcome `json:"ended,omitempty"`
	Note     *Note        `json:"note,omitempty"`

	waited bool // the order has been deferred before
	folded int  // entries before it with the same key, which were left out: see Digest
}

// count is how many entries e stands for: itself, and those left out for it.
func (e Entry) count() int { return 1 + e.folded }

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

// NewTimeline joins an incident of the orientation o with the orders that depend on
// its component, as far as they lie in the window.
func NewTimeline(o OrientationTrace, in Incident, orders Orders, w Window) Timeline {
	t := Timeline{Incident: in, Window: w, Gaps: slices.Concat(o.Gaps, orders.Gaps)}
	entries := orientationEntries(o, in, w)
	for _, order := range orders.Traces {
		if !order.DependsOn(o.Component) {
			continue
		}
		its := orderEntries(order, w)
		if len(its) > 0 || w.Contains(order.AcceptedAt) {
			t.Tally.add(order)
		}
		entries = append(entries, its...)
	}
	slices.SortStableFunc(entries, byTime)
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

// orderEntries are an order's routings and parkings, and its end where no execution says
// it.
func orderEntries(t OrderTrace, w Window) (all []Entry) {
	executions := map[string]*Execution{}
	for i := range t.Executions {
		executions[t.Executions[i].RequestFrameID] = &t.Executions[i]
	}
	waited := false
	var since time.Time // since when it waits
	parked := t.ParkedBefore()
	park := func(i int) {
		if p, ok := parked[i]; ok {
			if since = p.Since; w.Contains(p.Since) {
				all = append(all, Entry{At: p.Since, OrderID: t.Order.ID, Amount: amount(t.Order), Parked: &p, waited: waited})
			}
		}
	}
	for i := 0; i+1 < len(t.Frames); i += 2 {
		park(i)
		request, response := t.Frames[i], t.Frames[i+1]
		e := Entry{
			At: request.At, Frames: []Numbered{{Frame: request}, {Frame: response}},
			OrderID: t.Order.ID, Amount: amount(t.Order), waited: waited,
		}
		if !since.IsZero() {
			e.WaitedMs = max(request.At.Sub(since).Milliseconds(), 0)
		}
		if request.Request.Woken == ltp.WokenByRetry {
			since = time.Time{}
		}
		switch {
		case response.Response.Admissible:
			e.Execution, since = executions[request.ID], time.Time{}
		case since.IsZero():
			waited, since = true, response.At
		}
		if w.Contains(e.At) {
			all = append(all, e)
		}
	}
	park(len(t.Frames))
	if t.Outcome != nil && w.Contains(t.EndedAt) {
		if t.Outcome.State != ltp.Executed || !t.executed() {
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

func (t *Tally) add(o OrderTrace) {
	t.Total++
	deferred := o.Deferred()
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
	case ltp.Parked:
		t.Parked++
	default:
		t.Accepted++
	}
}
