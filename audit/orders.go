package audit

import (
	"cmp"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
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
	if state == ltp.Terminated {
		l.c.breach(t.Order.ID, "%s", t.Outcome.Reason)
	}
}

func (l *lost) claim() Claim {
	c := l.c
	c.tell("%s = %s", trace.Plural(l.total, "order"), some("none",
		part{l.are[ltp.Executed], "executed"}, part{l.are[ltp.Rejected], "rejected"}, part{l.are[ltp.Cancelled], "cancelled"},
		part{l.are[ltp.Expired], "expired"}, part{l.are[ltp.Deferred], "deferred"},
		part{l.are[ltp.Accepted], "accepted and not yet done"}, part{l.are[ltp.Terminated], "ended by force"}))
	c.Figures["orders"] = l.total
	sum := int64(0)
	for state, figure := range map[ltp.OrderState]string{
		ltp.Executed: "executed", ltp.Rejected: "rejected", ltp.Cancelled: "cancelled", ltp.Expired: "expired",
		ltp.Deferred: "deferred", ltp.Accepted: "accepted", ltp.Terminated: "terminated",
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
	c Claim
	// executed, and of those: confirmed by a repeated write that found the order there,
	// because an earlier one had no answer; and repeated without such an earlier one.
	executed, repeated, unexplained int64
	executions, failed, unknown     int64
}

func newOnce() once { return once{c: claim(Once, "No order is executed twice")} }

func (o *once) see(t trace.OrderTrace) {
	effects, done, uncertain := 0, 0, false
	for _, x := range t.Executions {
		o.executions++
		switch {
		case x.Done() && x.Repeated:
			if done++; effects == 0 {
				effects = 1 // the first write that was confirmed, whichever made it
			}
			if o.repeated++; !uncertain {
				o.unexplained++
			}
		case x.Done():
			done++
			effects++
		case x.EndedAt.IsZero():
		case x.Error == trace.Rejected || x.Error == trace.Unavailable || x.Error == trace.Absent || x.Confirm:
			o.failed++
		default:
			o.unknown++
			uncertain = true
		}
	}
	if done > 0 {
		o.executed++
	}
	if effects > 1 {
		o.c.breach(t.Order.ID, "%d executions took effect", effects)
	}
}

func (o *once) claim() Claim {
	c := o.c
	c.tell("%s by %s, of which %s ended without a write and %s without an answer",
		trace.Plural(o.executed, "order")+" executed", trace.Plural(o.executions, "execution"), trace.Count(int(o.failed)), trace.Count(int(o.unknown)))
	if o.repeated > 0 {
		c.tell("%s put again after an unknown outcome and found there already: one effect each", trace.Plural(o.repeated, "order"))
	}
	if o.unexplained > 0 {
		c.tell("%s of them found there at the first attempt: written before what Temporal still has", trace.Count(int(o.unexplained)))
	}
	c.Figures["executed"], c.Figures["executions"], c.Figures["repeated"] = o.executed, o.executions, o.repeated
	c.Figures["not_written"], c.Figures["outcome_unknown"] = o.failed, o.unknown
	return c
}

// routes asks the decision table again.
type routes struct {
	c      Claim
	states states
	window trace.Window
	// routings, of those under an unfit state, and those that the table defers though
	// the state is fit; frozen are among the first.
	routings, unfit, frozen, deferred int64
	inLine                            int64 // told to await their turn
	// late were answered after an unfit state was published, on a reading of before.
	late    int64
	latest  time.Duration
	missing int64 // epochs that Temporal no longer has
}

func newRoutes(s states, w trace.Window) routes {
	return routes{c: claim(SafeMode, "The system entered safe mode: every order routed under an unfit state was deferred"), states: s, window: w}
}

func (r *routes) see(t trace.OrderTrace) {
	var before *ltp.RouteResponse
	for i := 0; i+1 < len(t.Frames); i += 2 {
		q, a := t.Frames[i].Request, t.Frames[i+1].Response
		if r.window.Contains(t.Frames[i].At) {
			r.judge(t.Frames[i+1], t.Order, *q, *a, before)
		}
		before = a
	}
}

func (r *routes) judge(f ltp.Frame, o ltp.Order, q ltp.RouteRequest, a ltp.RouteResponse, before *ltp.RouteResponse) {
	r.routings++
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
	if a.Admissible != a.Decision.Admissible() {
		r.c.breach(f.ID, "admissible is %t, and the decision %s", a.Admissible, a.Decision)
	}
	request := ltp.Request{HighRisk: o.Risk == ltp.HighRisk, Replay: q.Attempt > 1, InLine: q.InLine}
	request.Listed = q.Woken == ltp.WokenByTimer && a.Reason == ltp.ReasonAwaitsReplay
	if q.Woken == ltp.WokenByFailure && before != nil {
		request.Failed, request.FailedUnder, request.FailedEpoch = true, before.Component, before.Epoch
	}
	if want, ok := r.table(a, request); !ok {
		r.c.breach(f.ID, "%s %s under %s, epoch %d: the decision table says %s", a.Decision, a.Reason, a.State, a.Epoch, want)
	}
	if a.Component != r.states.component {
		return
	}
	if !r.states.said(a.State, a.Epoch) {
		if len(r.states.epochs[a.Epoch]) > 0 || r.states.whole {
			r.c.breach(f.ID, "it says %s of epoch %d, and the orientation did not", a.State, a.Epoch)
		} else {
			r.missing++
		}
	}
	if since, unfit := r.states.unfitSince(f.At); unfit && a.Admissible {
		r.late++
		r.latest = max(r.latest, f.At.Sub(since.At))
	}
}

// table reports whether the decision table gives an answer, and what it would have
// given. Whether intake was frozen stands in the orientation, not in the answer;
// whether the replay was paused in neither.
func (r *routes) table(a ltp.RouteResponse, q ltp.Request) (want string, ok bool) {
	holds := []*ltp.Hold{nil, {Freeze: true}} // of another component, nothing is known here
	if a.Component == r.states.component && len(r.states.epochs[a.Epoch]) > 0 {
		holds = nil
		for _, o := range r.states.epochs[a.Epoch] {
			holds = append(holds, o.Hold)
		}
	}
	for _, hold := range holds {
		o := ltp.Orientation{Component: a.Component, State: a.State, Epoch: a.Epoch, Hold: hold}
		for _, paused := range []bool{true, false} {
			d, why := ltp.Steering{Paused: paused}.Decide(o, q)
			if d == a.Decision && why == a.Reason {
				return "", true
			}
			want = string(d) + " " + string(why)
		}
	}
	return want, false
}

func (r *routes) claim() Claim {
	c := r.c
	c.tell("the decision table, asked again for %s, gives the same answers", trace.Plural(r.routings, "routing"))
	if c.Verdict == Broken {
		c.Evidence[0] = "the decision table was asked again for " + trace.Plural(r.routings, "routing")
	}
	said := trace.Plural(r.unfit, "order") + " asked under an unfit state"
	switch {
	case r.unfit > 0 && c.Verdict == Held && r.frozen > 0:
		said += ": none was admitted, " + trace.Count(int(r.frozen)) + " by an operator's freeze"
	case r.unfit > 0 && c.Verdict == Held:
		said += ": none was admitted"
	}
	c.tell("%s", said)
	if r.deferred > 0 {
		c.tell("%s deferred under a fit state, as the table has it for the backlog, for high risk or after a failure", trace.Plural(r.deferred, "request"))
	}
	if r.inLine > 0 {
		c.Figures["in_line"] = r.inLine
		c.tell("%s deferred until the turn of the order came", trace.Plural(r.inLine, "request"))
	}
	if r.late > 0 {
		c.tell("%s admitted on a reading from before the state was published, the latest %d ms after it; the fence has the last word", trace.Plural(r.late, "request"), r.latest.Milliseconds())
	}
	c.Figures["routings"], c.Figures["unfit"], c.Figures["frozen"] = r.routings, r.unfit, r.frozen
	c.Figures["deferred_while_fit"], c.Figures["admitted_on_an_old_reading"], c.Figures["oldest_reading_ms"] = r.deferred, r.late, r.latest.Milliseconds()
	if r.missing > 0 {
		c.unchecked("%s on epochs that Temporal no longer has", trace.Plural(r.missing, "answer")+" rest")
	}
	return c
}

// turns is the order in which the replay engine released what waited.
type turns struct {
	c      Claim
	epochs map[int64][]turn
}

type turn struct{ accepted, released time.Time }

// page is how far an order may be overtaken: what the replay engine lists at once.
const page = 500

func newTurns() turns {
	return turns{c: claim(FirstFirst, "First deferred, first released"), epochs: map[int64][]turn{}}
}

func (s *turns) see(t trace.OrderTrace) {
	for i := 0; i+1 < len(t.Frames); i += 2 {
		if a := t.Frames[i+1].Response; a.Admissible && t.Frames[i].Request.Woken == ltp.WokenBySignal {
			s.epochs[a.Epoch] = append(s.epochs[a.Epoch], turn{t.AcceptedAt, t.Frames[i].At})
			return
		}
	}
}

func (s *turns) claim() Claim {
	c := s.c
	released, most := 0, 0
	for _, queue := range s.epochs {
		released += len(queue)
		most = max(most, overtaken(queue))
	}
	c.Figures["released"], c.Figures["overtaken"] = int64(released), int64(most)
	if released == 0 {
		c.tell("no order waited for a release")
		return c
	}
	if most == 0 {
		c.tell("%s released, each in its turn", trace.Plural(released, "order"))
		return c
	}
	c.tell("%s released in the order of acceptance: none went more than %s before its turn (a page of the listing is %d)",
		trace.Plural(released, "order"), trace.Plural(most, "place"), page)
	if most > page {
		c.breach("overtaking", "an order was released %d places before its turn", most)
	}
	return c
}

// overtaken is the largest number of places by which an order was released before its
// turn.
func overtaken(queue []turn) (most int) {
	slices.SortFunc(queue, func(a, b turn) int {
		return cmp.Or(a.accepted.Compare(b.accepted), a.released.Compare(b.released))
	})
	places := make([]int, len(queue))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(a, b int) int { return queue[a].released.Compare(queue[b].released) })
	for i, accepted := range places {
		most = max(most, accepted-i)
	}
	return most
}
