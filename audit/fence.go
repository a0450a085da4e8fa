package audit

import (
	"fmt"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

// fence looks for writes that were begun while the component was known to be unfit.
// Temporal's times choose them: an attempt belongs to the window if its workflow task does.
//
// A write that began after an unfit state was published did not know of it when its fence
// had asked before: it was past the fence, and is counted apart. So are the writes that
// were under way when the state changed, which nothing cuts off.
type fence struct {
	c      Claim
	states states
	window trace.Window

	writes, underWay, past int64
	latest                 time.Duration
	outcomes               map[string]int64 // of those under way and past the fence
	clocks                 clocks
	// byReceipt are writes that only the receipts in the rows, or what met them, account for.
	byReceipt int64
	// lost are tasks and attempts that gave no answer about the time of an unfit state: only
	// rows show what they wrote. running are executions of which nothing does.
	lost, running int64
	// silent are orders that were executed in the window, and of which no write is known.
	silent  int64
	passed  int64 // writes that operators let through a hold
	missing int64 // writes under epochs that Temporal no longer has
}

func newFence(s states, w trace.Window) fence {
	return fence{c: claim(Fenced, "No write is begun while the state is known to be unfit"), states: s, window: w, outcomes: map[string]int64{}}
}

func (f *fence) see(t trace.OrderTrace) {
	known := false
	for _, x := range t.Executions {
		if x.Running() || x.Result == ltp.ResultUnknown && x.BegunAt.IsZero() {
			f.unanswered(x.External(), span{x.TaskAt, x.RecordedAt})
		}
		if !x.BegunAt.IsZero() {
			known = true
			f.judge(t, writeOf(t, x), outcome(x))
		}
		if r := x.Receipt; x.Repeated() && !x.External() && !made(t, *r) {
			f.judgeReceipt(t, *r, x.RecordedAt)
		}
	}
	for _, w := range t.Withdrawals {
		if r := w.Receipt; w.Found == ltp.FoundOrder && r != nil {
			if known = true; !made(t, *r) {
				f.judgeReceipt(t, *r, w.RecordedAt)
			}
		}
	}
	for _, l := range t.Lost {
		if !t.Execution.External() {
			f.unanswered(false, span{l.StartedAt, l.EndedAt})
		}
	}
	if t.State() == ltp.Executed && !known && f.window.Contains(t.EndedAt) {
		f.silent++
	}
}

// unanswered counts what gave no answer, if the component was unfit about that time.
func (f *fence) unanswered(external bool, at span) {
	if at = at.wider(ltp.ClockBound); !at.overlaps(span{f.window.From, f.window.To}) || !f.states.unfitIn(at) {
		return
	}
	if external {
		f.running++
	} else {
		f.lost++
	}
}

// writeOf is an execution whose write began, with what its fence was asked.
func writeOf(t trace.OrderTrace, x trace.Execution) ltp.Write {
	w := ltp.Write{
		Times: ltp.Times{
			Accepted: t.AcceptedAt, Task: x.TaskAt, Recorded: x.RecordedAt,
			Read: x.Fence.ReadAt, Begun: x.BegunAt, Ended: x.EndedAt, Apart: x.External(),
		},
		Fence: x.Fence, Gate: t.Order.Gate(t.Execution), Written: t.Execution.Written(),
		Asked: ltp.Request{HighRisk: t.Order.Risk == ltp.HighRisk, Replay: x.RequestFrameID != ltp.RequestFrameID(t.Order.ID, 1)},
	}
	if x.External() { // its end is the workflow's, which may have taken it in much later
		w.Ended = time.Time{}
	}
	for i := 0; i+1 < len(t.Frames); i += 2 {
		if t.Frames[i].ID == x.RequestFrameID {
			w.Asked, w.Routed = t.Frames[i].Request.Asked, t.Frames[i+1].At
		}
	}
	return w
}

// made reports whether an attempt that Temporal has made the write of a receipt.
func made(t trace.OrderTrace, r ltp.Receipt) bool {
	return slices.ContainsFunc(t.Executions, func(x trace.Execution) bool {
		return x.RequestFrameID == r.Attempt && x.BegunAt.Equal(r.BegunAt)
	})
}

// judgeReceipt judges a write of which Temporal has no attempt: its task was lost, and its
// receipt was found by the time given, which is zero where only the row has it.
func (f *fence) judgeReceipt(t trace.OrderTrace, r ltp.Receipt, found time.Time) {
	f.byReceipt++
	w := ltp.Write{
		Times: ltp.Times{Accepted: t.AcceptedAt, Task: lostSince(t, r.Attempt), Recorded: found, Read: r.Fence.ReadAt, Begun: r.BegunAt},
		Fence: r.Fence, Gate: t.Order.Gate(t.Execution), Written: t.Execution.Written(),
		Asked: ltp.Request{HighRisk: t.Order.Risk == ltp.HighRisk, Replay: r.Attempt != ltp.RequestFrameID(t.Order.ID, 1)},
	}
	w.Asked.Pass = f.passOf(t, r)
	f.judge(t, w, "committed")
}

// passOf is the pass that the lost attempt of a receipt may have had, and nil where no
// signal of an operator gave it one.
func (f *fence) passOf(t trace.OrderTrace, r ltp.Receipt) *ltp.Pass {
	by := r.BegunAt.Add(ltp.ClockBound)
	if !r.Fence.State.Fit() {
		return t.Passed(r.Fence.Component, r.Fence.Epoch, by)
	}
	for _, p := range slices.Backward(t.Passes) { // through the hold of another component
		if p.Component == f.states.component && p.Component != r.Fence.Component && !p.At.After(by) {
			return &p.Pass
		}
	}
	return nil
}

// lostSince is when the first task began that may have made a lost attempt: it follows on
// the routing before that of the attempt.
func lostSince(t trace.OrderTrace, attempt string) time.Time {
	since := t.AcceptedAt
	for i := 0; i+1 < len(t.Frames) && t.Frames[i].ID != attempt; i += 2 {
		since = t.Frames[i+1].At
	}
	for _, l := range t.Lost {
		if !l.StartedAt.Before(since) {
			return l.StartedAt
		}
	}
	return since
}

// judge judges a write that Temporal's times put into the window.
func (f *fence) judge(t trace.OrderTrace, w ltp.Write, outcome string) {
	order, pass := t.Order.ID, w.Asked.Pass
	if !(span{w.Task, w.Recorded}).overlaps(span{f.window.From, f.window.To}) {
		return
	}
	f.writes++
	if pass != nil && t.Passed(pass.Component, pass.Epoch, w.Begun.Add(ltp.ClockBound)) == nil {
		f.c.breach(order, "it says that %s let it through a hold in epoch %d, and no signal did", pass.By, pass.Epoch)
		return
	}
	flight, faults := w.Judge(f.states.component, f.states.frames, f.states.whole)
	for _, fault := range faults {
		switch fault.Kind {
		case ltp.Breach:
			f.c.breach(order, "%s", fault.What)
			return
		case ltp.Unseen:
			f.missing++
			return
		}
	}
	f.clocks.differ(faults)
	if pass != nil && pass.Component == f.states.component && (pass.Component != w.Fence.Component || !w.Fence.State.Fit()) {
		f.passed++
	}
	switch flight.Stage {
	case ltp.UnderWay:
		f.underWay++
	case ltp.PastFence:
		f.past++
		f.latest = max(f.latest, flight.Lag)
	default:
		return
	}
	f.outcomes[outcome]++
}

// outcome is what became of a write: the end of a figure's name.
func outcome(x trace.Execution) string {
	switch {
	case x.Repeated():
		return "repeated"
	case x.Done():
		return "committed"
	case x.Result == ltp.ResultRefused:
		return "refused"
	case x.Result == ltp.ResultUnavailable, x.Result == ltp.ResultWithdrawn:
		return "not_written"
	}
	return "unknown"
}

// clocks counts what a clock says that differs from Temporal's by more than the bound.
type clocks struct {
	n    int64
	most ltp.TimeFault
}

// differ counts one thing, by the fault of it that differs most.
func (c *clocks) differ(faults []ltp.TimeFault) {
	counted := false
	for _, f := range faults {
		if f.Kind != ltp.Disagree {
			continue
		}
		if !counted {
			c.n, counted = c.n+1, true
		}
		if f.By.Abs() > c.most.By.Abs() {
			c.most = f
		}
	}
}

// judge makes a claim that rests on the clock one that was not checked.
func (c clocks) judge(cl *Claim, things string) {
	if c.n == 0 {
		return
	}
	cl.Figures["clocks_disagree"], cl.Figures["clocks_disagree_ms"] = c.n, c.most.By.Milliseconds()
	cl.unchecked("the clocks of %s disagree by more than %s: %s", words.Plural(c.n, things), words.Lasted(ltp.ClockBound), c.most.What)
}

// claim comes to the verdict; rows says that the receipts of all rows were judged, too.
func (f *fence) claim(rows bool) Claim {
	c := f.c
	c.add("%s: %s after an unfit state was published that their fence could have known of", words.Plural(f.writes, "write")+" begun",
		words.Count(c.Broken))
	if n := f.underWay + f.past; n > 0 {
		what := fmt.Sprintf("in flight when the state changed, and not cut off: %s under way", words.Count(f.underWay))
		if f.past > 0 {
			what += fmt.Sprintf(", %s past the fence that began up to %d ms after it", words.Count(f.past), f.latest.Milliseconds())
		}
		o := f.outcomes
		c.add("%s: %s", what, words.Some(" + ", words.Part(o["committed"], "committed"), words.Part(o["repeated"], "there already"),
			words.Part(o["refused"], "refused"), words.Part(o["not_written"], "not written"), words.Part(o["unknown"], "without an answer")))
	} else {
		c.add("none was in flight when the state changed")
	}
	c.Figures["writes"], c.Figures["under_way"], c.Figures["past_the_fence"], c.Figures["latest_past_the_fence_ms"] =
		f.writes, f.underWay, f.past, f.latest.Milliseconds()
	for what, n := range f.outcomes {
		c.Figures["in_flight_"+what] = n
	}
	if f.passed > 0 {
		c.Figures["let_through_a_hold"] = f.passed
		c.add("%s of orders that an operator let through a hold, while observers saw the component fit", words.Plural(f.passed, "write"))
	}
	if f.byReceipt > 0 {
		c.Figures["by_receipt"] = f.byReceipt
		c.add("%s of tasks that were lost, judged by the receipts in their rows", words.Plural(f.byReceipt, "write"))
	}
	f.clocks.judge(&c, "write")
	if f.missing > 0 {
		c.unchecked("%s under epochs that Temporal no longer has", words.Plural(f.missing, "write"))
	}
	if f.silent > 0 {
		c.unchecked("%s executed of which no write is known", words.Plural(f.silent, "order"))
	}
	if f.lost > 0 {
		c.Figures["lost"] = f.lost
		what := words.Plural(f.lost, "task") + " gave no answer about the time of an unfit state"
		if rows {
			c.add("%s: what they wrote has its receipt in the order database", what)
		} else {
			c.unchecked("%s, and the rows with the receipts of what they wrote were not read", what)
		}
	}
	if f.running > 0 {
		c.unchecked("nobody knows when, or whether, %s began to write: lost with a worker, or still under way", words.Plural(f.running, "execution"))
	}
	return c
}
