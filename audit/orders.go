package audit

import (
	"cmp"
	"slices"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

// lost counts what became of every order.
type lost struct {
	c     Claim
	total int64
	are   map[ltp.OrderState]int64
}

func newLost() lost {
	return lost{c: claim(NoneLost, "No accepted order is lost"), are: map[ltp.OrderState]int64{}}
}

func (l *lost) see(t trace.OrderTrace) {
	l.total++
	state := t.State()
	l.are[state]++
	switch {
	case state == ltp.Terminated:
		l.c.breach(t.Order.ID, "%s", t.Outcome.Reason)
	case state == ltp.Rejected:
		if why := unjust(t); why != "" {
			l.c.breach(t.Order.ID, "it was rejected, and %s", why)
		}
	}
}

func (l *lost) claim() Claim {
	c := l.c
	c.add("%s = %s", words.Plural(l.total, "order"), cmp.Or(words.Some(" + ",
		words.Part(l.are[ltp.Executed], "executed"), words.Part(l.are[ltp.Rejected], "rejected"), words.Part(l.are[ltp.Cancelled], "cancelled"),
		words.Part(l.are[ltp.Expired], "expired"), words.Part(l.are[ltp.Deferred], "deferred"),
		words.Part(l.are[ltp.Parked], "parked until an operator decides"),
		words.Part(l.are[ltp.Accepted], "accepted and not yet done"), words.Part(l.are[ltp.Terminated], "ended by force")), "none"))
	c.Figures["orders"] = l.total
	sum := int64(0)
	for state, figure := range map[ltp.OrderState]string{
		ltp.Executed: "executed", ltp.Rejected: "rejected", ltp.Cancelled: "cancelled", ltp.Expired: "expired",
		ltp.Deferred: "deferred", ltp.Parked: "parked", ltp.Accepted: "accepted", ltp.Terminated: "terminated",
	} {
		c.Figures[figure] = l.are[state]
		sum += l.are[state]
	}
	if sum != l.total {
		c.breach("counts", "%d orders are in no known state", l.total-sum)
	}
	return c
}

// once counts the executions that took effect.
type once struct {
	c      Claim
	states states
	// executed, and of those: found by a write that was put again, because an earlier one
	// had no answer; and found without such an earlier one.
	executed, repeated, unexplained int64
	executions, failed, unknown     int64
}

func newOnce(s states) once { return once{c: claim(Once, "No order is executed twice"), states: s} }

func (o *once) see(t trace.OrderTrace) {
	effects, uncertain := 0, len(t.Lost) > 0
	for _, x := range t.Executions {
		o.executions++
		switch x.Result {
		case ltp.ResultExecuted:
			if x.Repeated() {
				if o.repeated++; !uncertain {
					o.unexplained++
				}
				effects = max(effects, 1) // of the first write, whichever made it
				continue
			}
			effects++
		case ltp.ResultUnknown:
			o.unknown++
			uncertain = true
		case ltp.ResultRefused, ltp.ResultNotBegun, ltp.ResultNotGiven, ltp.ResultUnavailable, ltp.ResultWithdrawn:
			o.failed++
		}
	}
	for _, w := range t.Withdrawals {
		switch {
		case w.Found == ltp.FoundOrder:
			effects = max(effects, 1)
		case w.Found == ltp.FoundUnwritten && w.Error == "": // with an error, another order holds its key
			o.unwritten(t, w)
		}
	}
	if effects > 0 {
		o.executed++
	}
	switch {
	case effects > 1:
		o.c.breach(t.Order.ID, "%d executions took effect", effects)
	case effects > 0 && t.Outcome != nil && t.Outcome.State != ltp.Executed && t.Outcome.State != ltp.Terminated:
		o.c.breach(t.Order.ID, "it ended %s, and an execution took effect", t.Outcome.State)
	}
}

// unwritten checks an end without a tombstone: no write can have begun since the door
// stamped the order, neither by the reading nor by what was published before its task.
func (o *once) unwritten(t trace.OrderTrace, w trace.Withdrawal) {
	if !w.Fence.Unwritten(t.Stamp) {
		o.c.breach(t.Order.ID, "it ended %s unwritten, by %s, epoch %d, under which a write can have begun", w.Asked.State, w.Fence.State, w.Fence.Epoch)
		return
	}
	if p := slices.IndexFunc(t.Passes, func(p trace.Pass) bool { return p.Component == w.Fence.Component && !p.At.After(w.TaskAt) }); p >= 0 {
		o.c.breach(t.Order.ID, "it ended %s unwritten, and a write can have begun in epoch %d, in which %s let it through a hold",
			w.Asked.State, t.Passes[p].Epoch, t.Passes[p].By)
		return
	}
	i := slices.IndexFunc(o.states.frames, func(f ltp.Frame) bool {
		return f.Orientation.State.Fit() && f.Orientation.Epoch >= t.Stamp.Epoch && f.At.Before(w.TaskAt)
	})
	if i >= 0 && w.Fence.Component == o.states.component {
		o.c.breach(t.Order.ID, "it ended %s unwritten, and a write can have begun in epoch %d", w.Asked.State, o.states.frames[i].Orientation.Epoch)
	}
}

func (o *once) claim() Claim {
	c := o.c
	c.add("%s by %s, of which %s ended without a write and %s without an answer",
		words.Plural(o.executed, "order")+" executed", words.Plural(o.executions, "execution"), words.Count(o.failed), words.Count(o.unknown))
	if o.repeated > 0 {
		c.add("%s put again after an unknown outcome and found there already: one effect each", words.Plural(o.repeated, "order"))
	}
	if o.unexplained > 0 {
		c.add("%s of them found there at the first attempt: written in a task of which Temporal has nothing", words.Count(o.unexplained))
	}
	c.Figures["executed"], c.Figures["executions"], c.Figures["repeated"] = o.executed, o.executions, o.repeated
	c.Figures["not_written"], c.Figures["outcome_unknown"] = o.failed, o.unknown
	return c
}
