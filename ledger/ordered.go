package ledger

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// ordered is where an order is, at one point of the file.
type ordered struct {
	about       Order
	entries     int
	attempt     int
	notes       int
	withdrawals int
	asked       *Request  // the latest request
	last        *Response // the latest answer, nil while the latest request has none
	deferred    ltp.Reason
	sources
	recordedMs int64      // the latest time by Temporal's clock
	used       bool       // the latest answer has led to an attempt
	unknown    bool       // the latest attempt gave no answer
	running    bool       // an attempt has not ended
	final      ltp.Result // how the latest attempt ended
	message    string     // what it failed with
	failed     int        // attempts that began and did not execute it, since it was retried
	own        int        // of the latest in a row, those that were the order's own fault
	done       bool       // it was executed
	parkings   int
	parked     bool       // it waits for an operator
	retried    int        // how often it was retried
	retries    int        // how often operators asked for that
	rejected   []string   // operators who asked to reject it
	passes     []Note     // what operators said who let it through a hold
	passed     []ltp.Pass // those that it asked with
	// asksEnd is how it is to end, once that was tried.
	asksEnd *ltp.Ending
	// withdrawn is how it ends without being executed, and waits says that it is to, and that
	// nobody could tell whether it was written.
	withdrawn *ltp.Ending
	waits     bool
}

// finished is what an order is that has had its last entry.
var finished = new(ordered)

// order checks an entry of an order, of which there may be more.
func (r *rules) order(id string, check func(*ordered) *fault) *fault {
	o, ok := r.orders[id]
	if !ok {
		o = &ordered{}
		r.orders[id] = o
	}
	if o == finished {
		return broken(CheckEnd, "order %s goes on after its last entry", id)
	}
	o.entries++
	return check(o)
}

func (o *ordered) request(r *rules, f Frame, p *Request) *fault {
	id := p.Order.ID
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
	case o.withdrawn != nil || o.asksEnd != nil:
		return broken(CheckExecution, "order %s asks again after it was withdrawn", id)
	case o.last != nil && o.last.Admissible && !o.used && p.Woken != ltp.WokenByFence:
		return broken(CheckExecution, "order %s asks again, and its EXECUTE was never carried out", id)
	}
	if f := p.Order.valid(); f != nil {
		return f
	}
	if f := o.follow(p.Source, false); f != nil {
		return f
	}
	if o.asked != nil {
		if f := later(id, o.asked.AskedMs, p.AskedMs); f != nil {
			return f
		}
	}
	if f := o.replay(p); f != nil {
		return f
	}
	if f := o.question(p); f != nil {
		return f
	}
	if p.Woken == ltp.WokenByRetry {
		o.retried, o.parked, o.failed, o.own = o.retried+1, false, 0, 0
	}
	if p.Asked.Pass != nil && p.Woken != ltp.WokenByFence { // that one goes on with the pass of before
		o.passed = append(o.passed, *p.Asked.Pass)
	}
	o.about, o.attempt, o.asked = p.Order, p.Attempt, p
	return named(f.ID, ltp.RequestFrameID(id, p.Attempt))
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
	switch {
	case p.ReplayContext.OriginalFrameID != ltp.RequestFrameID(p.Order.ID, 1):
		return broken(CheckReplay, "it replays frame %q, which is not the first request of order %s", p.ReplayContext.OriginalFrameID, p.Order.ID)
	case p.ReplayContext.DeferredReason != o.deferred:
		return broken(CheckReplay, "it says that the order was deferred for %q, and that was for %q", p.ReplayContext.DeferredReason, o.deferred)
	case o.parked && p.Woken != ltp.WokenByRetry:
		return broken(CheckReplay, "order %s is parked, and nothing but an operator's word wakes it: not %q", p.Order.ID, p.Woken)
	case !slices.Contains(o.wakes(), p.Woken):
		return broken(CheckReplay, "an order that was answered %s cannot be woken by %q", o.last.Decision, p.Woken)
	}
	return nil
}

// wakes are what may have made the order ask again.
func (o *ordered) wakes() []ltp.Wake {
	switch {
	case o.parked:
		return []ltp.Wake{ltp.WokenByRetry}
	case o.unknown, o.last.Admissible && o.used:
		return []ltp.Wake{ltp.WokenByFailure}
	case o.last.Admissible:
		return []ltp.Wake{ltp.WokenByFence}
	case o.last.Reason == ltp.ReasonAwaitsTurn:
		return []ltp.Wake{ltp.WokenByTimer, ltp.WokenByTurn, ltp.WokenByPass}
	}
	return []ltp.Wake{ltp.WokenBySignal, ltp.WokenByTimer, ltp.WokenByPass}
}

// question checks that what was asked follows from what the order is and has met.
func (o *ordered) question(p *Request) *fault {
	q := p.Asked
	want := ltp.Request{HighRisk: p.Order.Risk == ltp.HighRisk, Replay: p.Attempt > 1, InLine: q.InLine, Listed: q.Listed, Backlog: q.Backlog && p.Attempt == 1, Paused: q.Paused}
	if p.Attempt == 1 || p.Woken == ltp.WokenByPass {
		want.Pass = q.Pass
	}
	switch p.Woken {
	case ltp.WokenByPass:
		want.Listed = false
		if q.Pass == nil {
			return broken(CheckReplay, "order %s asks as one that is let through a hold, and does not say by whom", p.Order.ID)
		}
	case ltp.WokenByFailure:
		want.Failed, want.FailedUnder, want.FailedEpoch, want.Listed = true, o.last.Component, o.last.Epoch, false
		if written := p.Order.written(); written != "" && written != o.last.Component {
			// It is held against what was written to, whose epoch another component's answer
			// does not tell.
			want.FailedUnder, want.FailedEpoch = written, q.FailedEpoch
		}
	case ltp.WokenByFence:
		want.Replay, want.InLine, want.Listed = o.asked.Asked.Replay, o.asked.Asked.InLine, false
		want.Pass = o.asked.Asked.Pass
	case ltp.WokenByTurn:
		want.InLine, want.Listed = false, false
	case ltp.WokenByTimer:
	default:
		want.Listed = false
	}
	if o.asked != nil && q.InLine && !o.asked.Asked.InLine {
		return broken(CheckReplay, "order %s awaits its turn, which had come before", p.Order.ID)
	}
	if !same(q, want) {
		return broken(CheckReplay, "what order %s asks does not follow from what it is and has met", p.Order.ID)
	}
	return nil
}

func (o *ordered) response(r *rules, f Frame, p *Response) *fault {
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
	case p.Source != o.asked.Source:
		return broken(CheckIdentity, "its source is event %d of run %s, and that of its request event %d of run %s", p.Source.EventID, p.Source.RunID, o.asked.Source.EventID, o.asked.Source.RunID)
	case p.Cause != "" && (o.asked.Woken != ltp.WokenByFailure || p.Cause != ltp.CauseOrder && p.Cause != ltp.CauseComponent):
		return broken(CheckRouting, "it blames %q, and nothing failed that this can be of", p.Cause)
	}
	if f := o.under(r, p); f != nil {
		return f
	}
	if f := r.routedInTime(o, f.TS, p); f != nil {
		return f
	}
	o.recordedMs = max(o.recordedMs, p.RecordedMs)
	if !p.Admissible {
		o.deferred = p.Reason
	}
	if p.Reason == ltp.ReasonExecuteUnavailable {
		if o.own++; p.Cause != ltp.CauseOrder {
			o.own = 0
		}
	}
	o.last, o.used, o.unknown, o.waits = p, false, false, false
	return named(f.ID, ltp.ResponseFrameID(p.OrderID, o.attempt))
}

// under checks what an answer is based on. The answer before is still the last.
func (o *ordered) under(r *rules, p *Response) *fault {
	switch {
	case p.Unreadable && p.State != ltp.Unknown:
		return broken(CheckRouting, "what cannot be seen is UNKNOWN, and not %s", p.State)
	case !p.Unreadable:
		if f := r.based(CheckRouting, p.Component, p.State, p.Epoch); f != nil {
			return f
		}
	}
	if f := r.decided(p, o.asked.Asked); f != nil {
		return f
	}
	if c := r.components[p.Component]; c != nil && p.Admissible && c.epoch != p.Epoch {
		return broken(CheckDecision, "it is EXECUTE under epoch %d of %s, and epoch %d is in force", p.Epoch, p.Component, c.epoch)
	}
	return nil
}

func (o *ordered) execution(r *rules, f Frame, p *Execution) *fault {
	if p.noAnswer() {
		return o.noAnswer(f, p)
	}
	x := o.about.External
	switch {
	case o.used && o.last != nil && p.RequestFrameID == o.last.RequestFrameID:
		return broken(CheckExecution, "order %s is executed twice on one EXECUTE", p.OrderID)
	case o.last == nil || p.RequestFrameID != o.last.RequestFrameID || !o.last.Admissible:
		return broken(CheckExecution, "order %s is executed, and no EXECUTE admitted it", p.OrderID)
	case o.withdrawn != nil:
		return broken(CheckExecution, "order %s is executed after it was withdrawn", p.OrderID)
	case (p.Result == "") != (p.RecordedMs == 0), p.Result == "" && !x, p.Result != "" && !p.Result.Valid():
		return broken(CheckExecution, "it has the result %q, recorded at %d", p.Result, p.RecordedMs)
	case p.done() && (p.Attempt == "" || p.CommittedMs == 0 || p.Fence == nil || p.BegunMs == 0):
		return broken(CheckExecution, "it succeeded, and does not say when it wrote and under what")
	case p.done() && !p.Repeated && p.Attempt != p.RequestFrameID:
		return broken(CheckExecution, "the receipt names %s, and it is of %s", p.Attempt, p.RequestFrameID)
	case p.begun() && (p.Fence == nil || !p.Fence.State.Fit() && o.last.Reason != ltp.ReasonPassed):
		return broken(CheckExecution, "a write of order %s was begun while unfit", p.OrderID)
	case p.begun() && !x && p.Fence.ReadMs == 0:
		return broken(CheckExecution, "a write of order %s was begun, and it does not say when its fence asked", p.OrderID)
	case p.Fence != nil && (p.Fence.Epoch < 0 || p.Fence.LastFit < 0 || p.Fence.LastFit > p.Fence.Epoch):
		return broken(CheckExecution, "the fence of order %s is of epoch %d, last fit in epoch %d", p.OrderID, p.Fence.Epoch, p.Fence.LastFit)
	case p.begun() && !x && !slices.Contains(p.Given, p.Fence.Epoch):
		return broken(CheckExecution, "a write of order %s was begun under epoch %d, and its task was given %v", p.OrderID, p.Fence.Epoch, p.Given)
	}
	if p.begun() {
		if f := r.based(CheckExecution, p.Fence.Component, p.Fence.State, p.Fence.Epoch); f != nil {
			return f
		}
	}
	if f := r.attemptedInTime(o, p); f != nil {
		return f
	}
	if f := o.follow(p.Source, true); f != nil {
		return f
	}
	o.recordedMs = max(o.recordedMs, p.RecordedMs)
	o.used, o.unknown, o.running, o.done, o.final = true, false, p.Result == "", p.done(), p.Result
	o.withdrawn = p.Withdrawn
	o.message = p.Message
	if p.Result.Failed() {
		o.failed++
	}
	return named(f.ID, p.id())
}

// noAnswer is an attempt of which nothing is known, not even whether its fence admitted it.
func (o *ordered) noAnswer(f Frame, p *Execution) *fault {
	is, next := ltp.RequestFrameID(p.OrderID, o.attempt), ltp.RequestFrameID(p.OrderID, o.attempt+1)
	switch {
	case o.last == nil || p.RequestFrameID != is && p.RequestFrameID != next || p.RequestFrameID == is && (!o.last.Admissible || o.used):
		return broken(CheckExecution, "order %s was to be executed under %s, and that was not due", p.OrderID, p.RequestFrameID)
	case p.done() || p.RecordedMs == 0:
		return broken(CheckExecution, "an attempt without an answer has a result")
	}
	if f := o.follow(p.Source, true); f != nil {
		return f
	}
	o.recordedMs = max(o.recordedMs, p.RecordedMs)
	o.used, o.unknown, o.final, o.message = true, true, p.Result, p.Message
	o.failed++
	return named(f.ID, p.id())
}

func (o *ordered) withdrawal(r *rules, f Frame, p *Withdrawal) *fault {
	o.withdrawals++
	switch {
	case p.No != o.withdrawals:
		return broken(CheckIdentity, "withdrawal %d of order %s stands where withdrawal %d should", p.No, p.OrderID, o.withdrawals)
	case o.done || o.running || o.withdrawn != nil:
		return broken(CheckEnd, "order %s is to be %s after it was executed or withdrawn, or while it is executed", p.OrderID, p.Asked.State)
	case o.about.External:
		return broken(CheckEnd, "order %s is withdrawn from the order database, which does not execute it", p.OrderID)
	case o.asksEnd != nil && p.Asked != *o.asksEnd:
		return broken(CheckEnd, "order %s is to be %s, and was to be %s before", p.OrderID, p.Asked.State, o.asksEnd.State)
	case o.asksEnd == nil && p.Asked.State == ltp.Rejected && !o.mayReject(p.Asked.Reason):
		return broken(CheckEnd, "order %s is to be REJECTED, and neither was it refused by its own fault nor did an operator ask for it", p.OrderID)
	}
	if f := o.follow(p.Source, false); f != nil {
		return f
	}
	if f := r.withdrawnInTime(o, p); f != nil {
		return f
	}
	o.recordedMs = max(o.recordedMs, p.RecordedMs)
	o.waits, o.parked, o.asksEnd = false, false, &p.Asked
	switch {
	case p.Found == ltp.FoundOrder && p.Attempt != "":
		o.done = true
	case p.Found == ltp.FoundTombstone && p.Tombstone != nil:
		o.withdrawn = p.Tombstone
	case p.Found == ltp.FoundUnwritten && p.Message != "": // the order database has another order under its id
		if p.Fence == nil || !p.Fence.State.Fit() {
			return broken(CheckEnd, "the order database was asked about order %s while unfit", p.OrderID)
		}
		if f := r.based(CheckEnd, p.Fence.Component, p.Fence.State, p.Fence.Epoch); f != nil {
			return f
		}
		o.withdrawn = &p.Asked
	case p.Found == ltp.FoundUnwritten && p.Fence != nil:
		f := ltp.Fence{Component: p.Fence.Component, State: p.Fence.State, Epoch: p.Fence.Epoch, LastFit: p.Fence.LastFit}
		if o.passesOf(f.Component) {
			return broken(CheckEnd, "order %s was let through a hold of %s, and nothing but the order database can show that it was not written", p.OrderID, f.Component)
		}
		if o.attempt > 0 && !f.Unwritten(ltp.Stamp{Epoch: o.about.StampEpoch}) {
			return broken(CheckEnd, "%s in epoch %d, last fit in epoch %d, does not show that order %s was not written: it was accepted in epoch %d",
				f.State, f.Epoch, f.LastFit, p.OrderID, o.about.StampEpoch)
		}
		if f := r.based(CheckEnd, f.Component, f.State, f.Epoch); f != nil {
			return f
		}
		o.withdrawn = &p.Asked
	case p.Found == ltp.FoundNothing:
		o.waits = true
	default:
		return broken(CheckEnd, "it is %s, and does not say what shows that", p.Found)
	}
	return named(f.ID, withdrawalID(p.OrderID, p.No))
}

// parking checks that the order has failed by itself often enough.
func (o *ordered) parking(f Frame, p *Parking) *fault {
	o.parkings++
	least := ltp.ParkAfter
	if o.final == ltp.ResultUnknown {
		least = ltp.ParkUncertainAfter
	}
	switch {
	case p.No != o.parkings:
		return broken(CheckIdentity, "parking %d of order %s stands where parking %d should", p.No, p.OrderID, o.parkings)
	case o.parked || o.done || o.running || o.withdrawn != nil || o.asksEnd != nil:
		return broken(CheckEnd, "order %s is parked after it was parked, executed or withdrawn, or while it is executed", p.OrderID)
	case !o.answered() || o.last.Reason != ltp.ReasonExecuteUnavailable || o.last.Cause != ltp.CauseOrder:
		return broken(CheckEnd, "order %s is parked, and its own fault is not what came last", p.OrderID)
	case o.own < least || p.Failures < least || p.Failures > o.failed || o.final == ltp.ResultRefused:
		return broken(CheckEnd, "order %s is parked after %d failures, %d of them in a row its own, and fails %s", p.OrderID, o.failed, o.own, o.final)
	case p.SinceMs < o.asked.AskedMs:
		return broken(CheckTime, "order %s is parked before it asked", p.OrderID)
	}
	o.parked, o.recordedMs = true, max(o.recordedMs, p.SinceMs)
	return named(f.ID, parkingID(p.OrderID, p.No))
}

// answered reports whether the latest request has its answer.
func (o *ordered) answered() bool {
	return o.last != nil && o.last.RequestFrameID == ltp.RequestFrameID(o.last.OrderID, o.attempt)
}

// mayReject reports whether the order may end REJECTED for a reason: it was refused by its
// own fault, or it is parked and an operator asked for it.
func (o *ordered) mayReject(reason string) bool {
	if o.parked {
		return slices.ContainsFunc(o.rejected, func(by string) bool { return strings.HasPrefix(reason, "rejected by "+by+": ") })
	}
	refused := o.answered() && o.last.Cause == ltp.CauseOrder && o.last.Reason == ltp.ReasonExecuteUnavailable && o.final == ltp.ResultRefused
	return refused && strings.HasPrefix(o.message, reason)
}

func (o *ordered) note(f Frame, p *OrderNote) *fault {
	o.notes++
	switch p.Kind {
	case trace.NoteRetry:
		o.retries++
	case trace.NoteReject:
		o.rejected = append(o.rejected, p.By)
	case trace.NotePass:
		o.passes = append(o.passes, p.Note)
	}
	if p.No != o.notes {
		return broken(CheckIdentity, "note %d of order %s stands where note %d should", p.No, p.OrderID, o.notes)
	}
	return named(f.ID, fmt.Sprintf("%s/note/%d", p.OrderID, p.No))
}

func (o *ordered) end(r *rules, f Frame, p *End) *fault {
	id := p.Order.ID
	unanswered := o.attempt > 0 && (o.last == nil || o.last.RequestFrameID != ltp.RequestFrameID(id, o.attempt))
	owed := !unanswered && o.last != nil && o.last.Admissible && !o.used && (p.State == ltp.Executed || p.State == ltp.Rejected)
	c := r.covers
	switch {
	case o.attempt > 0 && !same(p.Order, o.about):
		return broken(CheckEnd, "order %s is not what it was before", id)
	case p.RunID == "":
		return broken(CheckForm, "order %s is of no run", id)
	case unanswered:
		return broken(CheckRouting, "request %s was never answered", ltp.RequestFrameID(id, o.attempt))
	case p.Pending == p.State.Final(), p.Pending != (p.EndedMs == 0):
		return broken(CheckEnd, "order %s cannot be %s, pending %t", id, p.State, p.Pending)
	case p.Entries != o.entries:
		return broken(CheckEnd, "order %s has %d entries, and its last says %d", id, o.entries, p.Entries)
	case o.retried > o.retries: // a request may stand before the note of what it came of: see exporter.routing
		return broken(CheckReplay, "order %s was retried %d times, and operators asked %d times", id, o.retried, o.retries)
	case o.unsignalled() != nil:
		return broken(CheckReplay, "order %s was let through a hold by %s, and no operator asked for that", id, o.unsignalled().By)
	case owed && !o.done && o.withdrawn == nil:
		return broken(CheckExecution, "order %s ended %s, and its EXECUTE was never carried out", id, p.State)
	case !slices.Contains(p.Order.DependsOn, c.Component):
		return broken(CheckCoverage, "order %s does not depend on %s", id, c.Component)
	case p.EndedMs != 0 && p.EndedMs < c.FromMs, c.ToMs != 0 && p.Order.AcceptedMs > c.ToMs:
		return broken(CheckCoverage, "order %s was not pending in the window", id)
	}
	if f := p.Order.valid(); f != nil {
		return f
	}
	if f := r.stampedInTime(p.Order); f != nil {
		return f
	}
	if f := later(id, p.Order.AcceptedMs, o.recordedMs, p.EndedMs); f != nil {
		return f
	}
	if why := o.mismatch(p); why != "" {
		return broken(CheckEnd, "order %s is %s, and %s", id, p.State, why)
	}
	r.orders[id] = finished
	return named(f.ID, endID(id))
}

// unsignalled is a pass that the order asked with, and that no operator gave it so often;
// nil where there is none. A request may stand before the note of what it came of.
func (o *ordered) unsignalled() *ltp.Pass {
	left := slices.Clone(o.passes)
	for _, p := range o.passed {
		i := slices.IndexFunc(left, func(n Note) bool { return n.By == p.By && n.Text == trace.PassText(p) })
		if i < 0 {
			return &p
		}
		left = slices.Delete(left, i, i+1)
	}
	return nil
}

// passesOf reports whether an operator has let the order through a hold of a component.
func (o *ordered) passesOf(component string) bool {
	asked := slices.ContainsFunc(o.passed, func(p ltp.Pass) bool { return p.Component == component })
	return asked || slices.ContainsFunc(o.passes, func(n Note) bool { return trace.IsPassOf(n.Text, component) })
}

// mismatch says why an order cannot be as p says.
func (o *ordered) mismatch(p *End) string {
	waits := o.waits || o.last != nil && !o.last.Admissible
	if o.withdrawn != nil && p.State != ltp.Terminated && p.State != o.withdrawn.State {
		return fmt.Sprintf("it was withdrawn as %s", o.withdrawn.State)
	}
	switch p.State {
	case ltp.Executed:
		if !o.done {
			return "no execution succeeded"
		}
	case ltp.Rejected:
		if o.done || o.withdrawn == nil && !(p.Order.External && o.mayReject(p.Reason)) {
			return "neither was it refused by its own fault nor did an operator reject it"
		}
	case ltp.Cancelled, ltp.Expired:
		switch {
		case o.done || o.running:
			return "it was executed"
		case o.withdrawn == nil && !p.Order.External && o.attempt > 0 && !o.asked.Asked.InLine:
			return "nothing shows that it was not executed"
		}
	case ltp.Parked:
		if !o.parked {
			return "it was not parked"
		}
	case ltp.Deferred:
		switch {
		case !waits:
			return "it was not deferred"
		case o.parked:
			return "it was parked"
		}
	case ltp.Accepted:
		if waits {
			return "it was deferred"
		}
	}
	return ""
}
