package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// ordered is where an order is, at one point of the file.
type ordered struct {
	about    Order
	entries  int
	attempt  int
	notes    int
	last     *Response // the latest answer, nil while the latest request has none
	deferred ltp.Reason
	inLine   bool     // the latest request awaits its turn
	woken    ltp.Wake // what woke the order for it
	used     bool     // the latest answer has led to an execution
	running  bool
	final    trace.ExecutionError // how the latest execution ended
	done     bool                 // it was executed
	attempts ltp.Attempts         // that failed in a row
}

// finished is what an order is that has had its last entry.
var finished = new(ordered)

func (r *rules) order(id string) *ordered {
	o, ok := r.orders[id]
	if !ok {
		o = &ordered{}
		r.orders[id] = o
	}
	return o
}

// open checks that something more can be told of an order.
func (o *ordered) open(id string) *fault {
	if o == finished {
		return broken(CheckEnd, "order %s is told of again, after its last entry", id)
	}
	o.entries++
	return nil
}

func (o *ordered) request(r *rules, f Frame, p *Request) *fault {
	id := p.Order.ID
	if f := o.open(id); f != nil {
		return f
	}
	want := ltp.RequestFrameID(id, p.Attempt)
	switch {
	case o.attempt > 0 && p.Attempt <= o.attempt:
		return broken(CheckIdentity, "the frame id %s comes twice", f.ID)
	case p.Attempt != o.attempt+1:
		return broken(CheckRouting, "attempt %d of order %s follows attempt %d: a request was removed", p.Attempt, id, o.attempt)
	case o.attempt > 0 && o.last == nil:
		return broken(CheckRouting, "order %s asks again, and its request %s was never answered", id, ltp.RequestFrameID(id, o.attempt))
	case o.attempt > 0 && !same(p.Order, o.about):
		return broken(CheckRouting, "order %s is not what it was before", id)
	case !same(p, p.complete()):
		return broken(CheckRouting, "what it says for LTP's inspector does not follow from the rest")
	case o.done || o.running:
		return broken(CheckExecution, "order %s asks again after it was executed, or while it is", id)
	case o.last != nil && o.last.Admissible && !o.used:
		return broken(CheckExecution, "order %s asks again, and its EXECUTE was never carried out", id)
	}
	if f := o.replay(p); f != nil {
		return f
	}
	o.about, o.attempt, o.inLine, o.woken = p.Order, p.Attempt, p.InLine, p.Woken
	return named(f.ID, want)
}

// replay checks what a request says of the one that it replays. The answer to the
// request before is still the last.
func (o *ordered) replay(p *Request) *fault {
	if p.Attempt == 1 {
		if p.ReplayContext != nil || p.Woken != "" {
			return broken(CheckReplay, "the first request of order %s replays nothing", p.Order.ID)
		}
		return nil
	}
	if p.ReplayContext == nil {
		return broken(CheckReplay, "request %d of order %s does not say which it replays", p.Attempt, p.Order.ID)
	}
	woken := p.Woken == ltp.WokenBySignal || p.Woken == ltp.WokenByTimer
	switch {
	case o.last.Admissible:
		woken = p.Woken == ltp.WokenByFailure
	case o.last.Reason == ltp.ReasonAwaitsTurn:
		woken = p.Woken == ltp.WokenByTimer || p.Woken == ltp.WokenByTurn && !p.InLine
	}
	switch {
	case p.ReplayContext.OriginalFrameID != ltp.RequestFrameID(p.Order.ID, 1):
		return broken(CheckReplay, "it replays frame %q, which is not the first request of order %s", p.ReplayContext.OriginalFrameID, p.Order.ID)
	case p.ReplayContext.DeferredReason != o.deferred:
		return broken(CheckReplay, "it says that the order was deferred for %q, and that was for %q", p.ReplayContext.DeferredReason, o.deferred)
	case p.InLine && !o.inLine:
		return broken(CheckReplay, "order %s awaits its turn, which had come before", p.Order.ID)
	case !woken:
		return broken(CheckReplay, "an order that was answered %s cannot be woken by %q", o.last.Decision, p.Woken)
	}
	return nil
}

func (o *ordered) response(r *rules, f Frame, p *Response) *fault {
	if f := o.open(p.OrderID); f != nil {
		return f
	}
	answered := o.attempt == 0 || (o.last != nil && o.last.RequestFrameID == ltp.RequestFrameID(p.OrderID, o.attempt))
	switch {
	case answered && o.attempt > 0 && p.RequestFrameID == o.last.RequestFrameID:
		return broken(CheckIdentity, "the frame id %s comes twice", f.ID)
	case answered, p.RequestFrameID != ltp.RequestFrameID(p.OrderID, o.attempt):
		return broken(CheckRouting, "it answers request %s, which was not asked", p.RequestFrameID)
	case !same(p, p.complete()):
		return broken(CheckDecision, "%s, admissible %t, commitment %q and branches do not go together", p.Decision, p.Admissible, p.Commitment)
	case !slices.Contains(o.about.DependsOn, p.Component):
		return broken(CheckRouting, "order %s does not depend on %s", p.OrderID, p.Component)
	}
	if f := o.under(r, p); f != nil {
		return f
	}
	if late := p.RecordedMs - f.TS; late > 0 {
		r.late, r.latest = r.late+1, max(r.latest, late)
	}
	if !p.Admissible {
		o.deferred = p.Reason
	}
	o.last, o.used = p, false
	o.attempts.Routed(p.Component, p.Epoch)
	return named(f.ID, ltp.ResponseFrameID(p.OrderID, o.attempt))
}

// under checks what an answer is based on. The answer before is still the last.
func (o *ordered) under(r *rules, p *Response) *fault {
	q := ltp.Request{HighRisk: o.about.Risk == ltp.HighRisk, Replay: o.attempt > 1, InLine: o.inLine}
	q.Listed = o.woken == ltp.WokenByTimer && p.Reason == ltp.ReasonAwaitsReplay
	if o.attempt > 1 && o.last.Admissible {
		q.Failed, q.FailedUnder, q.FailedEpoch = true, o.last.Component, o.last.Epoch
	}
	switch {
	case p.Blind && p.State != ltp.Unknown:
		return broken(CheckRouting, "what cannot be seen is UNKNOWN, and not %s", p.State)
	case !p.Blind:
		if f := r.based(CheckRouting, p.Component, p.State, p.Epoch); f != nil {
			return f
		}
	}
	if f := r.decided(p, q); f != nil {
		return f
	}
	if c := r.components[p.Component]; c != nil && p.Admissible && c.epoch != p.Epoch {
		return broken(CheckDecision, "it is EXECUTE under epoch %d of %s, and epoch %d is in force", p.Epoch, p.Component, c.epoch)
	}
	return nil
}

func (o *ordered) execution(r *rules, f Frame, p *Execution) *fault {
	if f := o.open(p.OrderID); f != nil {
		return f
	}
	switch {
	case o.used && o.last != nil && p.RequestFrameID == o.last.RequestFrameID:
		return broken(CheckExecution, "order %s is executed twice on one EXECUTE", p.OrderID)
	case o.last == nil || p.RequestFrameID != o.last.RequestFrameID || !o.last.Admissible:
		return broken(CheckExecution, "order %s is executed, and no EXECUTE admitted it", p.OrderID)
	case p.EndedMs == 0 && (p.Error != "" || p.CommittedMs != 0):
		return broken(CheckExecution, "it has a result, and has not ended")
	case p.Confirm && (o.attempts.Failed < ltp.MaxAttempts || p.BegunMs != 0 || p.done() != p.Repeated):
		return broken(CheckExecution, "order %s is looked up, and that was not due", p.OrderID)
	case p.done() && !p.Confirm && (p.BegunMs == 0 || p.CommittedMs < p.BegunMs || p.Fence == nil):
		return broken(CheckExecution, "it succeeded, and does not say when it wrote and under what")
	case p.BegunMs > 0 && (p.Fence == nil || !p.Fence.State.Fit()):
		return broken(CheckExecution, "a write of order %s was begun while unfit", p.OrderID)
	}
	if p.Fence != nil && p.BegunMs > 0 {
		if f := r.based(CheckExecution, p.Fence.Component, p.Fence.State, p.Fence.Epoch); f != nil {
			return f
		}
	}
	o.used, o.running, o.done, o.final = true, p.EndedMs == 0, p.done(), p.Error
	o.count(p)
	return named(f.ID, p.RequestFrameID+"/execution")
}

// count counts an attempt that failed, as the order itself did.
func (o *ordered) count(p *Execution) {
	switch {
	case p.Confirm, p.EndedMs == 0, p.done(), p.Error == trace.Rejected, p.Error == trace.Unavailable && p.BegunMs == 0:
	default:
		o.attempts.Fail(time.UnixMilli(p.EndedMs))
	}
}

// setAside reports whether the order may have been rejected without having been refused:
// for failing again and again while its component was fit, or since it was looked for
// and not found after that.
func (o *ordered) setAside() bool {
	spent := o.attempts.Failed >= ltp.MaxAttempts
	return spent && (o.last.Reason == ltp.ReasonExecuteUnavailable || o.used && o.final == trace.Absent)
}

func (o *ordered) note(f Frame, p *OrderNote) *fault {
	if f := o.open(p.OrderID); f != nil {
		return f
	}
	o.notes++
	if p.No != o.notes {
		return broken(CheckIdentity, "note %d of order %s stands where note %d should", p.No, p.OrderID, o.notes)
	}
	return named(f.ID, fmt.Sprintf("%s/note/%d", p.OrderID, p.No))
}

func (o *ordered) end(r *rules, f Frame, p *End) *fault {
	id := p.Order.ID
	if f := o.open(id); f != nil {
		return f
	}
	unanswered := o.attempt > 0 && (o.last == nil || o.last.RequestFrameID != ltp.RequestFrameID(id, o.attempt))
	owed := !unanswered && o.last != nil && o.last.Admissible && !o.used
	c := r.covers
	switch {
	case o.attempt > 0 && !same(p.Order, o.about):
		return broken(CheckEnd, "order %s is not what it was before", id)
	case unanswered:
		return broken(CheckRouting, "request %s was never answered", ltp.RequestFrameID(id, o.attempt))
	case p.Pending == p.State.Final(), p.Pending != (p.EndedMs == 0):
		return broken(CheckEnd, "order %s cannot be %s, pending %t", id, p.State, p.Pending)
	case p.Entries != o.entries:
		return broken(CheckEnd, "order %s has %d entries, and its last says %d", id, o.entries, p.Entries)
	case owed && p.State != ltp.Terminated && !p.Pending:
		return broken(CheckExecution, "order %s ended %s, and its EXECUTE was never carried out", id, p.State)
	case !slices.Contains(p.Order.DependsOn, c.Component):
		return broken(CheckCoverage, "order %s does not depend on %s", id, c.Component)
	case p.EndedMs != 0 && p.EndedMs < c.FromMs, c.ToMs != 0 && p.Order.AcceptedMs > c.ToMs:
		return broken(CheckCoverage, "order %s was not pending in the window", id)
	}
	if why := o.mismatch(p); why != "" {
		return broken(CheckEnd, "order %s is %s, and %s", id, p.State, why)
	}
	r.orders[id] = finished
	return named(f.ID, endID(id))
}

// mismatch says why an order cannot have ended as p says.
func (o *ordered) mismatch(p *End) string {
	waits := o.last != nil && !o.last.Admissible
	switch p.State {
	case ltp.Executed:
		if !o.done {
			return "no execution succeeded"
		}
	case ltp.Rejected:
		if refused := o.used && o.final == trace.Rejected; !refused && (o.last == nil || !o.setAside()) {
			return "no execution was refused"
		}
	case ltp.Cancelled, ltp.Expired:
		if o.done || o.running {
			return "it was executed"
		}
	case ltp.Deferred:
		if !waits {
			return "it was not deferred"
		}
	case ltp.Accepted:
		if waits {
			return "it was deferred"
		}
	}
	return ""
}
