package audit

import (
	"fmt"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// fence looks for writes that were begun while the component was known to be unfit.
//
// A write that was begun after an unfit state was published did not know of it when
// its fence had asked Temporal before: it was past the fence, and is told apart. So
// are the writes that were under way when the state changed, which nothing cuts off.
type fence struct {
	c      Claim
	states states
	window trace.Window

	writes, underWay, past int64
	latest                 time.Duration
	outcomes               map[string]int64 // of those under way and past the fence
	untold                 int64            // nobody knows whether or when they began
}

func newFence(s states, w trace.Window) fence {
	return fence{c: claim(Fenced, "No write is begun while the state is known to be unfit"), states: s, window: w, outcomes: map[string]int64{}}
}

func (f *fence) see(t trace.OrderTrace) {
	for _, x := range t.Executions {
		if f.untellable(x) {
			f.untold++
		}
		if !x.BegunAt.IsZero() && f.window.Contains(x.BegunAt) {
			f.judge(t.Order, x)
		}
	}
}

func (f *fence) judge(o ltp.Order, x trace.Execution) {
	f.writes++
	f.fit(o, x)
	// Writes are timed to the millisecond, frames to the nanosecond: a frame of the
	// same millisecond counts as earlier than the write.
	since, unfit := f.states.unfitSince(x.BegunAt.Add(time.Millisecond - 1))
	switch lag := x.BegunAt.Sub(since.At); {
	case !unfit:
		if f.changed(x) {
			f.underWay++
			f.outcomes[outcome(x)]++
		}
	case x.Fence.ReadAt.IsZero():
		f.c.breach(o.ID, "its write began %d ms after %s (%s), and does not say when its fence asked", lag.Milliseconds(), since.Orientation.State, since.ID)
	case !x.Fence.ReadAt.Before(since.At):
		f.c.breach(o.ID, "its write began %d ms after %s (%s), and its fence asked %d ms after it",
			lag.Milliseconds(), since.Orientation.State, since.ID, x.Fence.ReadAt.Sub(since.At).Milliseconds())
	default:
		f.past++
		f.latest = max(f.latest, lag)
		f.outcomes[outcome(x)]++
	}
}

// fit checks what the fence itself says: that it admitted the order, and under a state
// that there was.
func (f *fence) fit(o ltp.Order, x trace.Execution) {
	request := ltp.Request{HighRisk: o.Risk == ltp.HighRisk, Replay: x.RequestFrameID != ltp.RequestFrameID(o.ID, 1)}
	at := ltp.Orientation{Component: x.Fence.Component, State: x.Fence.State, Epoch: x.Fence.Epoch}
	if d, why := ltp.Decide(at, request); !d.Admissible() {
		f.c.breach(o.ID, "its write began under %s, epoch %d, which asks to %s: %s", at.State, at.Epoch, d, why)
		return
	}
	if at.Component == f.states.component && f.states.whole && !f.states.said(at.State, at.Epoch) {
		f.c.breach(o.ID, "its fence says %s of epoch %d, and the orientation did not", at.State, at.Epoch)
	}
}

// changed reports whether the state became unfit while the write was under way.
func (f *fence) changed(x trace.Execution) bool {
	end := x.CommittedAt
	if end.IsZero() {
		end = x.EndedAt
	}
	since, unfit := f.states.unfitSince(end)
	return unfit && since.At.After(x.BegunAt)
}

// untellable reports whether an execution may have written while the component was
// unfit without anybody knowing: it was lost with its worker, or still runs.
func (f *fence) untellable(x trace.Execution) bool {
	switch x.Error {
	case trace.Rejected, trace.Unavailable, trace.OutcomeUnknown:
		return false
	}
	if x.Done() || x.Confirm {
		return false
	}
	end := x.EndedAt
	if end.IsZero() {
		end = f.window.To
	}
	if end.IsZero() && len(f.states.frames) > 0 { // both go on
		end = f.states.frames[len(f.states.frames)-1].At
	}
	if !f.window.To.IsZero() && x.ScheduledAt.After(f.window.To) || end.Before(f.window.From) {
		return false
	}
	for i := max(f.states.at(x.ScheduledAt), 0); i < len(f.states.frames) && !f.states.frames[i].At.After(end); i++ {
		if !f.states.frames[i].Orientation.State.Fit() {
			return true
		}
	}
	return false
}

// outcome is what became of a write.
func outcome(x trace.Execution) string {
	switch {
	case x.Done() && x.Repeated:
		return "was there already"
	case x.Done():
		return "committed"
	case x.Error == trace.Rejected:
		return "refused"
	case x.Error == trace.Unavailable:
		return "not written"
	}
	return "without an answer"
}

func (f *fence) claim() Claim {
	c := f.c
	c.tell("%s: %s after an unfit state was published that their fence could have known of", trace.Plural(f.writes, "write")+" begun",
		trace.Count(c.Broken))
	if n := f.underWay + f.past; n > 0 {
		said := fmt.Sprintf("in flight when the state changed, and not cut off: %s under way", trace.Count(int(f.underWay)))
		if f.past > 0 {
			said += fmt.Sprintf(", %s past the fence that began up to %d ms after it", trace.Count(int(f.past)), f.latest.Milliseconds())
		}
		c.tell("%s: %s", said, some("", part{f.outcomes["committed"], "committed"}, part{f.outcomes["was there already"], "there already"},
			part{f.outcomes["refused"], "refused"}, part{f.outcomes["not written"], "not written"}, part{f.outcomes["without an answer"], "without an answer"}))
	} else {
		c.tell("none was in flight when the state changed")
	}
	c.Figures["writes"], c.Figures["under_way"], c.Figures["past_the_fence"], c.Figures["latest_past_the_fence_ms"] =
		f.writes, f.underWay, f.past, f.latest.Milliseconds()
	for what, n := range f.outcomes {
		c.Figures["in_flight_"+map[string]string{
			"committed": "committed", "was there already": "repeated", "refused": "refused",
			"not written": "not_written", "without an answer": "unknown",
		}[what]] = n
	}
	if f.untold > 0 {
		c.unchecked("nobody knows when, or whether, %s began to write: lost with a worker, or still under way", trace.Plural(f.untold, "execution"))
	}
	return c
}
