package audit

import (
	"fmt"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

// routes asks the decision table again, with the question that was recorded; what that
// says of a pause is checked against the orientation's own history.
type routes struct {
	c      Claim
	states states
	window trace.Window
	// routings, of those under an unfit state, and those that the table defers though
	// the state is fit; frozen are among the first.
	// passed are those that operators let through a hold.
	routings, unfit, frozen, deferred, passed int64
	inLine                                    int64 // deferred until their turn
	// late were answered after an unfit state was published, on a reading of before.
	late    int64
	latest  time.Duration
	missing int64 // epochs that Temporal no longer has
	clocks  clocks
}

func newRoutes(s states, w trace.Window) routes {
	return routes{c: claim(SafeMode, "The system entered safe mode: every order routed under an unfit state was deferred"), states: s, window: w}
}

// routing is one routing of an order.
type routing struct {
	accepted       time.Time
	request, reply ltp.Frame
}

// read is when its reading was made, by Temporal's clock: a board keeps one for its lease.
func (r routing) read() span {
	return span{r.request.At.Add(-ltp.ReadingLease - ltp.ClockBound), r.reply.At}
}

func (r *routes) see(t trace.OrderTrace) {
	if id := retriedUnparked(t); id != "" {
		r.c.breach(id, "it was woken as an order that an operator retries, and was not parked")
	}
	for i := 0; i+1 < len(t.Frames); i += 2 {
		one := routing{t.AcceptedAt, t.Frames[i], t.Frames[i+1]}
		if (span{one.request.At, one.reply.At}).overlaps(span{r.window.From, r.window.To}) {
			r.judge(one)
		}
	}
}

func (r *routes) judge(one routing) {
	a := *one.reply.Response
	r.count(a)
	if a.Admissible != a.Decision.Admissible() {
		r.c.breach(one.reply.ID, "admissible is %t, and the decision %s", a.Admissible, a.Decision)
	}
	if want, ok := r.table(one); !ok {
		r.c.breach(one.reply.ID, "%s %s under %s, epoch %d: the decision table says %s", a.Decision, a.Reason, a.State, a.Epoch, want)
	}
	if a.Component == r.states.component && !a.Unreadable {
		r.based(one, a)
	}
}

func (r *routes) count(a ltp.RouteResponse) {
	r.routings++
	if a.Reason == ltp.ReasonPassed {
		r.passed++
	}
	switch {
	case a.Decision == ltp.Freeze:
		r.frozen++
		fallthrough
	case !a.State.Fit():
		r.unfit++
	case a.Reason == ltp.ReasonAwaitsTurn:
		r.inLine++
	case !a.Admissible:
		r.deferred++
	}
}

// table reports whether the decision table gives the answer, and what it would have given.
// Whether intake was frozen stands in the orientation, not in the answer.
func (r *routes) table(one routing) (want string, ok bool) {
	a := one.reply.Response
	held := []ltp.Orientation{ // of another component, nothing is known here
		{}, {Hold: &ltp.Hold{Freeze: true}}, {Hold: &ltp.Hold{}, Observed: ltp.Healthy}, {Hold: &ltp.Hold{}, Observed: ltp.Slow},
	}
	if published := r.states.epochs[a.Epoch]; a.Component == r.states.component && len(published) > 0 {
		held = published
	}
	for _, was := range held {
		o := ltp.Orientation{Component: a.Component, State: a.State, Epoch: a.Epoch, Hold: was.Hold, Observed: was.Observed}
		d, why := ltp.Decide(o, one.request.Request.Asked)
		if d == a.Decision && why == a.Reason {
			return "", true
		}
		want = string(d) + " " + string(why)
	}
	return want, false
}

// based checks the orientation that an answer rests on: that it was published, and could
// be read when it was.
func (r *routes) based(one routing, a ltp.RouteResponse) {
	switch {
	case len(r.states.epochs[a.Epoch]) == 0 && !r.states.whole:
		r.missing++
		return
	case !r.states.published(a.State, a.Epoch):
		r.c.breach(one.reply.ID, "it says %s of epoch %d, and the orientation did not", a.State, a.Epoch)
		return
	}
	times := ltp.Times{Accepted: one.accepted, Task: one.request.At, Recorded: one.reply.At, Read: a.ReadAt}
	faults := times.CheckRouting(a.Component, a.Epoch, r.states.frames)
	for _, f := range faults {
		if f.Kind == ltp.Breach {
			r.c.breach(one.reply.ID, "%s", f.What)
			return
		}
	}
	r.clocks.differ(faults)
	if why := r.pauseClaim(one, a); why != "" {
		r.c.breach(one.reply.ID, "%s", why)
	}
	if since, unfit := r.states.unfitSince(one.reply.At); unfit && a.Admissible && a.Reason != ltp.ReasonPassed {
		r.late++
		r.latest = max(r.latest, one.reply.At.Sub(since.At))
	}
}

// pauseClaim says what an answer has wrong of the pause of the component's replay at that
// time. All else of the question is what the order's machine asked: a trace holds no other.
func (r *routes) pauseClaim(one routing, a ltp.RouteResponse) string {
	q, read := one.request.Request, one.read()
	claimed := slices.Contains(q.Asked.Paused, r.states.component)
	switch {
	case !r.states.whole: // an operator may have paused it before what Temporal still has
	case claimed && !slices.ContainsFunc(r.states.pauses, read.overlaps):
		return fmt.Sprintf("it says that the replay of %s was paused, and nobody had paused it", r.states.component)
	case !claimed && q.Woken == ltp.WokenByTimer && q.Asked.Replay && a.Admissible && slices.ContainsFunc(r.states.pauses, read.within):
		return fmt.Sprintf("it was admitted as if the replay of %s were not paused, and it was", r.states.component)
	}
	return ""
}

func (r *routes) claim() Claim {
	c := r.c
	c.add("the decision table, asked again for %s, gives the same answers", words.Plural(r.routings, "routing"))
	if c.Verdict == Broken {
		c.Evidence[0] = "the decision table was asked again for " + words.Plural(r.routings, "routing")
	}
	unfit := words.Plural(r.unfit, "order") + " asked under an unfit state"
	if r.passed > 0 {
		c.Figures["let_through_a_hold"] = r.passed
	}
	switch {
	case r.unfit > 0 && c.Verdict == Held && r.passed > 0:
		unfit += fmt.Sprintf(": none was admitted but for %s, which an operator let through a hold", words.Count(r.passed))
	case r.unfit > 0 && c.Verdict == Held && r.frozen > 0:
		unfit += ": none was admitted, " + words.Count(r.frozen) + " by an operator's freeze"
	case r.unfit > 0 && c.Verdict == Held:
		unfit += ": none was admitted"
	}
	c.add("%s", unfit)
	if r.deferred > 0 {
		c.add("%s deferred under a fit state, as the table has it for the backlog, for high risk or after a failure", words.Plural(r.deferred, "request"))
	}
	if r.inLine > 0 {
		c.Figures["in_line"] = r.inLine
		c.add("%s deferred until the turn of the order came", words.Plural(r.inLine, "request"))
	}
	if r.late > 0 {
		c.add("%s admitted on a reading from before the state was published, the latest %d ms after it; the fence decides last", words.Plural(r.late, "request"), r.latest.Milliseconds())
	}
	c.Figures["routings"], c.Figures["unfit"], c.Figures["frozen"] = r.routings, r.unfit, r.frozen
	c.Figures["deferred_while_fit"], c.Figures["admitted_on_an_old_reading"], c.Figures["oldest_reading_ms"] = r.deferred, r.late, r.latest.Milliseconds()
	r.clocks.judge(&c, "routing")
	if r.missing > 0 {
		c.unchecked("%s on epochs that Temporal no longer has", words.Plural(r.missing, "answer")+" rest")
	}
	return c
}
