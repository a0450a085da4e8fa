// Package report writes the postmortem of an incident from its trace: what happened in
// which phase, what customers saw, and what an engineer, a regulator and a business
// owner each want to know of it, with pictures.
//
// Everything in it is of Temporal's history, and of the order database where that is
// compared: the same history gives the same report, byte for byte.
package report

import (
	"context"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/svg"
	"github.com/ltp-node/ltp/trace"
)

// Report is an incident, as its report shows it.
type Report struct {
	Audit audit.Audit
	// AsOf is the end of the window, or the latest moment in the trace of an incident
	// that goes on.
	AsOf   time.Time
	Phases []Phase
	Tally  trace.Tally
	Money  []Money
	Waits  Waits
	Series Series
	// Example is an order that was deferred when it came; it has no frames if none was.
	Example trace.OrderTrace
	// Late are orders that were executed at their first routing, and not as soon as their
	// customers were answered.
	Late int
	// LastConfirmed is when the last order that had waited was committed; zero if none was.
	LastConfirmed time.Time
	Unnoticed     Unnoticed
}

// Unnoticed is how long an outage lasted before UNSTABLE was published; For is 0 where
// nothing shows that it did.
type Unnoticed struct {
	From time.Time
	For  time.Duration
	What string // what began then
}

// promptly is how soon an order is confirmed in the answer to its customer's request:
// api.DefaultWait.
const promptly = time.Second

// Phase is a phase of the incident.
type Phase struct {
	Name trace.PhaseName
	// Failed marks a recovery that was overtaken by the next fall.
	Failed     bool
	From, To   time.Time // To is zero while it goes on
	Under      *ltp.Orientation
	Counts     trace.Counts
	Happenings []trace.Entry // orientation frames and notes
}

// Money is what the orders in one currency are worth, in minor units.
type Money struct {
	Currency string
	AtOnce   Sum // confirmed without waiting
	Late     Sum // executed at the first routing, and later than that
	Kept     Sum // deferred, and confirmed after waiting
	Pending  Sum // but for those that are parked
	Parked   Sum
	Ended    Sum // rejected, cancelled, expired or ended by force
}

// Sum is a number of orders and what they are worth in minor units.
type Sum struct {
	Orders int
	Minor  int64
}

func (s *Sum) add(minor int64) { s.Orders, s.Minor = s.Orders+1, s.Minor+minor }

// Waits is how long orders waited that were not confirmed at once, from their acceptance
// to their commit.
type Waits struct {
	Orders        int
	P50, P99, Max time.Duration
	// Bins counts waits; each is BinWidth wide, from 0.
	BinWidth time.Duration
	Bins     []int
	// Pending still wait; Longest is how long one of them has been waiting.
	Pending int
	Longest time.Duration
}

// Build audits an incident and gathers what its report shows. It reads every history
// once and keeps some hundred bytes of each order.
func Build(ctx context.Context, r *trace.Reader, s audit.Scope) (Report, error) {
	found, err := audit.Find(ctx, r, s.Component, s.Incident)
	if err != nil {
		return Report{}, err
	}
	g := newGathering(found)
	s.Each = g.see
	judged, err := found.Audit(ctx, r, s)
	if err != nil {
		return Report{}, err
	}
	return g.report(judged), nil
}

// gathering is what is kept of the orders.
type gathering struct {
	found  audit.Found
	window trace.Window
	latest time.Time

	tally trace.Tally
	money map[string]*Money
	waits []time.Duration
	late  int
	last  time.Time   // confirmation of an order that had waited
	since []time.Time // since when those wait that still do

	steps   []step
	reasons []ltp.Reason
	arrived []arrival
	backlog []change
	written []write

	signs   signs
	example trace.OrderTrace
	clarity int
	// opening are, for each RECOVERING frame, the order that was first admitted as a
	// replay after it: there the resolution begins.
	opening map[string]trace.OrderTrace
	opened  map[string]time.Time
}

// step is a routing or an end, in short.
type step struct {
	at     time.Time
	reason uint8 // of gathering.reasons, of a deferral
	what   stepKind
	end    ending
}

type stepKind uint8

const (
	isFirst stepKind = 1 << iota
	isReplay
	isAdmitted
	hasWaited
	isEnd // or a parking: not a routing
)

type ending uint8

const (
	noEnd ending = iota
	endDone
	endRejected
	endFailed
	endCancelled
	endExpired
	endTerminated
	endParked // until an operator decides
)

// arrival is an order that was accepted.
type arrival struct {
	at       time.Time
	deferred bool
}

// change is an order that begins to wait (+1) or no longer waits (-1).
type change struct {
	at time.Time
	by int8
}

// write is a commit, and how long the write took.
type write struct {
	at   time.Time
	took time.Duration
}

func newGathering(f audit.Found) *gathering {
	g := &gathering{
		found: f, window: f.Incident.Window(), latest: f.Incident.BeganAt, money: map[string]*Money{},
		opening: map[string]trace.OrderTrace{}, opened: map[string]time.Time{},
	}
	for _, fr := range f.Incident.Frames {
		g.saw(fr.At)
	}
	g.signs = newSigns(f.Incident)
	for _, n := range f.Orientation.Notes {
		g.saw(n.At)
	}
	return g
}

func (g *gathering) saw(t time.Time) {
	if t.After(g.latest) && (g.window.To.IsZero() || t.Before(g.window.To)) {
		g.latest = t
	}
}

// see takes in an order.
func (g *gathering) see(t trace.OrderTrace) {
	g.saw(t.AcceptedAt)
	g.saw(t.EndedAt)
	if g.window.Contains(t.AcceptedAt) {
		deferred := len(t.Frames) > 1 && !t.Frames[1].Response.Admissible
		g.arrived = append(g.arrived, arrival{t.AcceptedAt, deferred})
	}
	seen := g.route(t)
	if !seen && !g.window.Contains(t.AcceptedAt) {
		return // it was pending, and nothing came of it here
	}
	g.count(t, t.Deferred())
	if n := clarity(t); n > g.clarity || n > 0 && n == g.clarity && t.AcceptedAt.Before(g.example.AcceptedAt) {
		g.example, g.clarity = t, n
	}
}

// clarity is how well a deferred order shows the incident: best if it was deferred when
// it came, under an unfit state, and executed when it was released.
func clarity(t trace.OrderTrace) (n int) {
	if len(t.Frames) < 2 || t.Frames[1].Response.Admissible {
		return 0
	}
	n = 1
	if !t.Frames[1].Response.State.Fit() {
		n++
	}
	if t.State() == ltp.Executed {
		n++
	}
	return n
}

// route takes in the routings and parkings, and reports whether anything of the order lies
// in the window.
func (g *gathering) route(t trace.OrderTrace) (seen bool) {
	waited, waits := false, false
	executions := map[string]trace.Execution{}
	own := ownFaults(t)
	for _, x := range t.Executions {
		executions[x.RequestFrameID] = x
		g.signs.see(x, own[x.RequestFrameID])
		if took, ok := x.Wrote(); ok && g.window.Contains(committed(x)) {
			g.written = append(g.written, write{committed(x), took})
		}
	}
	parked := t.ParkedBefore()
	park := func(i int) {
		p, ok := parked[i]
		if !ok {
			return
		}
		g.saw(p.Since)
		if g.window.Contains(p.Since) {
			seen = true
			g.steps = append(g.steps, step{at: p.Since, what: isEnd, end: endParked})
		}
		if waits { // it waits for no component any more
			waits, g.backlog = false, append(g.backlog, change{p.Since, -1})
		}
	}
	for i := 0; i+1 < len(t.Frames); i += 2 {
		park(i)
		q, a, at := *t.Frames[i].Request, *t.Frames[i+1].Response, t.Frames[i].At
		g.saw(at)
		s := step{at: at}
		if a.Admissible {
			s.end = endOf(executions[t.Frames[i].ID])
		}
		replay := q.Woken == ltp.WokenBySignal || q.Woken == ltp.WokenByTimer || q.Woken == ltp.WokenByTurn || q.Woken == ltp.WokenByRetry || q.Woken == ltp.WokenByPass
		s.set(isFirst, q.Attempt == 1)
		s.set(isReplay, replay)
		s.set(isAdmitted, a.Admissible)
		s.set(hasWaited, waited)
		if !a.Admissible {
			s.reason = g.reason(a.Reason)
		}
		if g.window.Contains(at) {
			seen = true
			g.steps = append(g.steps, s)
		}
		switch {
		case a.Admissible && waits:
			g.backlog = append(g.backlog, change{at, -1})
		case !a.Admissible && !waits:
			g.backlog = append(g.backlog, change{at, +1})
		}
		if a.Admissible && replay && q.Woken != ltp.WokenByPass { // one let through a hold opens no recovery
			g.opens(at, t)
		}
		waits = !a.Admissible
		waited = waited || waits
	}
	park(len(t.Frames))
	if t.Outcome == nil {
		return seen
	}
	if waits {
		g.backlog = append(g.backlog, change{t.EndedAt, -1})
	}
	ends := map[ltp.OrderState]ending{ltp.Rejected: endRejected, ltp.Cancelled: endCancelled, ltp.Expired: endExpired, ltp.Terminated: endTerminated}
	if end, ok := ends[t.Outcome.State]; ok && g.window.Contains(t.EndedAt) {
		seen = true
		g.steps = append(g.steps, step{at: t.EndedAt, what: isEnd, end: end})
	}
	return seen
}

// ownFaults are the requests whose attempts failed by the order's own fault.
func ownFaults(t trace.OrderTrace) map[string]bool {
	own := map[string]bool{}
	for i := 2; i+1 < len(t.Frames); i += 2 {
		if t.Frames[i].Request.Woken == ltp.WokenByFailure && t.Frames[i+1].Response.Cause == ltp.CauseOrder {
			own[t.Frames[i-2].ID] = true
		}
	}
	return own
}

func (s *step) set(k stepKind, yes bool) {
	if yes {
		s.what |= k
	}
}

func (s step) is(k stepKind) bool { return s.what&k != 0 }

func endOf(x trace.Execution) ending {
	switch {
	case x.Running():
		return noEnd
	case x.Done():
		return endDone
	}
	return endFailed
}

func (g *gathering) reason(r ltp.Reason) uint8 {
	i := slices.Index(g.reasons, r)
	if i < 0 {
		i = min(len(g.reasons), 255)
		g.reasons = append(g.reasons, r)
	}
	return uint8(i)
}

// opens keeps the order if none was admitted as a replay earlier since the component
// was last RECOVERING.
func (g *gathering) opens(at time.Time, t trace.OrderTrace) {
	frame := ""
	for _, f := range g.found.Incident.Frames {
		if f.At.After(at) {
			break
		}
		if f.Orientation.State == ltp.Recovering {
			frame = f.ID
		}
	}
	if first, ok := g.opened[frame]; frame != "" && (!ok || at.Before(first)) {
		g.opening[frame], g.opened[frame] = t, at
	}
}

// count takes in what became of the order.
func (g *gathering) count(t trace.OrderTrace, waited bool) {
	n := &g.tally
	n.Total++
	if waited {
		n.Deferred++
	}
	m := g.money[t.Order.Currency]
	if m == nil {
		m = &Money{Currency: t.Order.Currency}
		g.money[t.Order.Currency] = m
	}
	worth := t.Order.AmountMinor()
	switch t.State() {
	case ltp.Executed:
		at := executedAt(t)
		wait := max(at.Sub(t.AcceptedAt), 0)
		switch {
		case !waited && wait <= promptly:
			n.ExecutedAtOnce++
			m.AtOnce.add(worth)
			return
		case !waited:
			n.ExecutedAtOnce++
			m.Late.add(worth)
			g.late++
		default:
			n.ExecutedLater++
			m.Kept.add(worth)
		}
		g.waits = append(g.waits, wait)
		if at.After(g.last) {
			g.last = at
		}
		return
	case ltp.Rejected:
		n.Rejected++
	case ltp.Cancelled:
		n.Cancelled++
	case ltp.Expired:
		n.Expired++
	case ltp.Terminated:
		n.Terminated++
	case ltp.Parked:
		n.Parked++
		m.Parked.add(worth)
		return
	case ltp.Deferred:
		n.Waiting++
		m.Pending.add(worth)
		g.since = append(g.since, t.AcceptedAt)
		return
	default:
		n.Accepted++
		m.Pending.add(worth)
		return
	}
	m.Ended.add(worth)
}

// executedAt is when the order was committed, and when it ended where no attempt says so.
func executedAt(t trace.OrderTrace) time.Time {
	for _, x := range t.Executions {
		if x.Done() {
			return committed(x)
		}
	}
	return t.EndedAt
}

// committed is when the write of an attempt was acknowledged, by the worker's clock, as far
// as that keeps within the task by Temporal's.
func committed(x trace.Execution) time.Time { return within(x, x.CommittedAt()) }

// within is a time of an attempt by the worker's clock, kept within its task.
func within(x trace.Execution, at time.Time) time.Time {
	if at.Before(x.TaskAt) {
		return x.TaskAt
	}
	if !x.RecordedAt.IsZero() && at.After(x.RecordedAt) {
		return x.RecordedAt
	}
	return at
}

func (g *gathering) report(judged audit.Audit) Report {
	r := Report{Audit: judged, AsOf: g.window.To, Tally: g.tally, Example: g.example, LastConfirmed: g.last, Late: g.late, Unnoticed: g.signs.unnoticed()}
	if r.AsOf.IsZero() {
		r.AsOf = g.latest
	}
	for _, m := range g.money {
		r.Money = append(r.Money, *m)
	}
	slices.SortFunc(r.Money, func(a, b Money) int {
		if a.Currency < b.Currency {
			return -1
		}
		return 1
	})
	r.Phases = g.phases()
	r.Waits = g.waiting(r.AsOf)
	r.Series = g.series(g.window.From, r.AsOf)
	return r
}

// phases has the timeline cut the phases, and counts the orders in them.
func (g *gathering) phases() (all []Phase) {
	var orders trace.Orders
	for _, t := range g.opening {
		orders.Traces = append(orders.Traces, t)
	}
	timeline := trace.NewTimeline(g.found.Orientation, g.found.Incident, orders, g.window)
	for _, p := range timeline.Phases {
		q := Phase{Name: p.Name, Failed: p.Failed, From: p.BeginsAt, To: p.EndsAt, Under: p.Under}
		for _, e := range p.Entries {
			if e.OrderID == "" {
				q.Happenings = append(q.Happenings, e)
			}
		}
		all = append(all, q)
	}
	for _, s := range g.steps {
		i := len(all) - 1
		for i > 0 && s.at.Before(all[i].From) {
			i--
		}
		g.add(&all[i].Counts, s)
	}
	return all
}

// add counts a step, as trace.Timeline does.
func (g *gathering) add(c *trace.Counts, s step) {
	switch s.end {
	case endCancelled:
		c.Cancelled++
	case endExpired:
		c.Expired++
	case endTerminated:
		c.Terminated++
	case endRejected:
		c.Rejected++
	case endParked:
		c.Parked++
	}
	if s.is(isEnd) {
		return
	}
	if s.is(isFirst) {
		c.Requests++
	}
	if s.is(isReplay) {
		c.Replayed++
	}
	if !s.is(isAdmitted) {
		if s.is(isReplay) {
			c.DeferredAgain++
			return
		}
		if c.Deferred == nil {
			c.Deferred = map[ltp.Reason]int{}
		}
		c.Deferred[g.reasons[s.reason]]++
	}
	switch {
	case s.end == endDone && s.is(hasWaited):
		c.Executed++
	case s.end == endDone:
		c.ExecutedAtOnce++
	case s.end == endFailed:
		c.Failed++
	}
}

func (g *gathering) waiting(asOf time.Time) Waits {
	w := Waits{Orders: len(g.waits), Pending: len(g.since)}
	for _, since := range g.since {
		w.Longest = max(w.Longest, asOf.Sub(since))
	}
	if len(g.waits) == 0 {
		return w
	}
	slices.Sort(g.waits)
	w.P50, w.P99, w.Max = percentile(g.waits, 50), percentile(g.waits, 99), g.waits[len(g.waits)-1]
	w.BinWidth = svg.Step(w.Max, 24)
	w.Bins = make([]int, w.Max/w.BinWidth+1)
	for _, d := range g.waits {
		w.Bins[d/w.BinWidth]++
	}
	return w
}

// percentile is the smallest of sorted values that at least p percent do not exceed.
func percentile(sorted []time.Duration, p int) time.Duration {
	return sorted[max((len(sorted)*p+99)/100-1, 0)]
}
