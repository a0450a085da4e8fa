package ledger

import (
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/ledger/canonical"
	"github.com/ltp-node/ltp/trace"
)

// rules checks that what a file says follows the rules of the protocol, entry by entry.
type rules struct {
	covers     Coverage
	counts     Counts
	components map[string]*holding
	orders     map[string]*ordered
	unknown    map[string][]Epochs // orientations that are named as missing
	heartbeats int64
	began      bool // an orientation of the moments at which the incident began and ended
	ended      bool
	closed     bool
	unchecked  int   // answers based on an orientation that is missing
	late       int   // answers to what was asked after the next orientation was published
	latest     int64 // by how much at most, in milliseconds
	clocks     clocks
	ahead      []Order // accepted in an epoch that the file did not have when they ended
	// alone says that one order is looked at without the orientations.
	alone bool
}

// holding is what is held true of a component, at one point of the file.
type holding struct {
	sources
	latest Held
	frames []ltp.Frame
	epochs map[int64]*held
	first  int64
	epoch  int64
}

// held is what was held true in an epoch. An operator's hold may have changed in it.
type held struct {
	state         ltp.State
	nth           int
	plain, frozen bool
	// passable are the verdicts under which an order might be let through the hold.
	passable []ltp.Verdict
}

func newRules(c Coverage) *rules {
	return &rules{
		covers: c, counts: newCounts(), components: map[string]*holding{},
		orders: map[string]*ordered{}, unknown: map[string][]Epochs{},
	}
}

// read takes the next frame.
func (r *rules) read(f Frame) *fault {
	if r.closed {
		return broken(CheckCounts, "it follows the closing entry")
	}
	if (f.Type == ltp.FrameHello) != (r.counts.Entries == 0) {
		return broken(CheckCoverage, "the file says twice what it covers")
	}
	if bad := valued(f.Payload); bad != nil {
		return bad
	}
	r.counts.add(f.Payload)
	switch p := f.Payload.(type) {
	case *Hello:
		return r.hello(f.ID, p)
	case *Heartbeat:
		r.heartbeats++
		if p.Seq != r.heartbeats || p.Status != "alive" {
			return broken(CheckIdentity, "heartbeat %d stands where heartbeat %d should", p.Seq, r.heartbeats)
		}
		return named(f.ID, heartbeatID(p.Seq))
	case *Orientation:
		return r.orientation(f, p)
	case *Request:
		return r.order(p.Order.ID, func(o *ordered) *fault { return o.request(r, f, p) })
	case *Response:
		return r.order(p.OrderID, func(o *ordered) *fault { return o.response(r, f, p) })
	case *Snapshot:
		return r.snapshot(f, p)
	}
	return broken(CheckForm, "there is no frame of type %q", f.Type)
}

// named checks the id of a frame. As an id follows from what the frame says, and nothing
// is said twice, no id comes twice.
func named(id, want string) *fault {
	if id != want {
		return broken(CheckIdentity, "the frame's id is %q, and should be %q", id, want)
	}
	return nil
}

func (r *rules) hello(id string, p *Hello) *fault {
	if p.Message != greeting || p.Role != "server" || p.Export.Software != Software {
		return broken(CheckCoverage, "it is not how this software begins a file")
	}
	if ltp.ValidComponent(p.Export.Component) != nil || slices.Contains(p.Export.Runs, "") {
		return broken(CheckCoverage, "it covers %q in the runs %q", p.Export.Component, p.Export.Runs)
	}
	if c := p.Export; (c.EndedMs == 0) != c.Open || (c.ToMs == 0) != c.Open || c.FromMs > c.BeganMs || (!c.Open && (c.EndedMs < c.BeganMs || c.ToMs < c.EndedMs)) {
		return broken(CheckCoverage, "the times of the window and of the incident do not go together")
	}
	return named(id, helloID)
}

func (r *rules) snapshot(f Frame, p *Snapshot) *fault {
	set := 0
	for _, is := range []bool{p.Execution != nil, p.Withdrawal != nil, p.Parking != nil, p.Note != nil, p.End != nil, p.Gap != nil, p.Closing != nil} {
		if is {
			set++
		}
	}
	switch {
	case set != 1 || (p.Closing == nil) != (p.Drift == nil) || (p.Drift == nil) != (p.FocusMomentum == nil):
		return broken(CheckForm, "a focus_snapshot holds one thing")
	case p.Execution != nil:
		return r.order(p.Execution.OrderID, func(o *ordered) *fault { return o.execution(r, f, p.Execution) })
	case p.Withdrawal != nil:
		return r.order(p.Withdrawal.OrderID, func(o *ordered) *fault { return o.withdrawal(r, f, p.Withdrawal) })
	case p.Parking != nil:
		return r.order(p.Parking.OrderID, func(o *ordered) *fault { return o.parking(f, p.Parking) })
	case p.Note != nil:
		return r.order(p.Note.OrderID, func(o *ordered) *fault { return o.note(f, p.Note) })
	case p.End != nil:
		return r.order(p.End.Order.ID, func(o *ordered) *fault { return o.end(r, f, p.End) })
	case p.Gap != nil:
		r.missing(p.Gap.What)
		return named(f.ID, gapID(r.counts.Gaps))
	}
	r.closed = true
	if !same(p, r.counts.closing()) {
		return broken(CheckCounts, "the closing counts do not add up: %s", difference(*p.Closing, r.counts))
	}
	return named(f.ID, closingID)
}

// same reports whether two payloads say the same.
func same(a, b any) bool {
	x, err1 := canonical.Marshal(a)
	y, err2 := canonical.Marshal(b)
	return err1 == nil && err2 == nil && string(x) == string(y)
}

// difference names the first count that differs.
func difference(said, are Counts) string {
	a, b := reflect.ValueOf(said), reflect.ValueOf(are)
	for i := range a.NumField() {
		if x, y := a.Field(i).Interface(), b.Field(i).Interface(); !reflect.DeepEqual(x, y) {
			return fmt.Sprintf("%s are %v, and %v are said", a.Type().Field(i).Tag.Get("json"), y, x)
		}
	}
	return "drift and focus_momentum are not those of the counts"
}

var missingEpochs = regexp.MustCompile(`^orientation of (\S+) in epochs? (\d+)(?: to (\d+))?$`)

// missing notes what a gap says of orientations.
func (r *rules) missing(what string) {
	m := missingEpochs.FindStringSubmatch(what)
	if m == nil {
		return
	}
	first, _ := strconv.ParseInt(m[2], 10, 64)
	last := first
	if m[3] != "" {
		last, _ = strconv.ParseInt(m[3], 10, 64)
	}
	r.unknown[m[1]] = append(r.unknown[m[1]], Epochs{m[1], first, last})
}

func (r *rules) isMissing(component string, epoch int64) bool {
	return slices.ContainsFunc(r.unknown[component], func(e Epochs) bool { return e.First <= epoch && epoch <= e.Last })
}

// orientation checks a change of what is held true.
func (r *rules) orientation(f Frame, p *Orientation) *fault {
	h := p.Held
	if !same(p, orientation(h, p.Source, r.covers.Component)) {
		return broken(CheckOrientation, "what it says for LTP's inspector is not what was held true")
	}
	if f := h.valid(f.TS); f != nil {
		return f
	}
	c, ok := r.components[h.Component]
	if !ok {
		c = &holding{epochs: map[int64]*held{}, first: h.Epoch, epoch: h.Epoch}
		r.components[h.Component] = c
	} else if f := r.next(c, h); f != nil {
		return f
	}
	if f := c.follow(p.Source, false); f != nil {
		return f
	}
	c.latest = h
	now, ok := c.epochs[h.Epoch]
	if !ok {
		now = &held{state: h.State}
		c.epochs[h.Epoch] = now
	}
	now.nth++
	if h.Hold != nil && h.Hold.Freeze {
		now.frozen = true
	} else {
		now.plain = true
	}
	o := ltp.Orientation{Component: h.Component, State: h.State, Epoch: h.Epoch, Observed: h.Observed}
	if h.Hold != nil {
		o.Hold = &ltp.Hold{}
	}
	if o.Passable() {
		now.passable = append(now.passable, h.Observed)
	}
	c.epoch = h.Epoch
	c.frames = append(c.frames, ltp.Frame{ID: f.ID, At: at(f.TS), Orientation: &o})
	if h.Component == r.covers.Component {
		r.began = r.began || (f.TS == r.covers.BeganMs && h.State != ltp.Stable)
		r.ended = r.ended || (f.TS == r.covers.EndedMs && h.State == ltp.Stable)
	}
	return named(f.ID, trace.OrientationID(h.Component, h.Epoch, now.nth))
}

// next checks that an orientation can follow the one in force.
func (r *rules) next(c *holding, h Held) *fault {
	now := c.epochs[c.epoch]
	if h.SinceMs < c.latest.SinceMs {
		return broken(CheckOrientation, "%s is %s since %d, and was %s since %d", h.Component, h.State, h.SinceMs, c.latest.State, c.latest.SinceMs)
	}
	if h.Epoch == c.epoch {
		switch {
		case h.State != now.state:
			return broken(CheckOrientation, "%s is %s in epoch %d, and was %s in the same epoch", h.Component, h.State, h.Epoch, now.state)
		case h.LastFit != c.latest.LastFit:
			return broken(CheckOrientation, "%s was last fit in epoch %d, and in epoch %d by the entry before", h.Component, h.LastFit, c.latest.LastFit)
		}
		return nil
	}
	if h.Epoch <= c.epoch {
		return broken(CheckOrientation, "epoch %d of %s follows epoch %d", h.Epoch, h.Component, c.epoch)
	}
	for e := c.epoch + 1; e < h.Epoch; e++ {
		if !r.isMissing(h.Component, e) {
			return broken(CheckOrientation, "epoch %d of %s follows epoch %d: an orientation was removed", h.Epoch, h.Component, c.epoch)
		}
	}
	switch {
	case h.Epoch > c.epoch+1:
	case !allowed(now.state, h.State):
		return broken(CheckOrientation, "%s cannot become %s from %s", h.Component, h.State, now.state)
	case !h.State.Fit() && h.LastFit != c.latest.LastFit:
		return broken(CheckOrientation, "%s was last fit in epoch %d, and in epoch %d by the entry before", h.Component, h.LastFit, c.latest.LastFit)
	}
	return nil
}

// valid checks what was held true by itself, published at ts.
func (h Held) valid(ts int64) *fault {
	by := ts + ltp.ClockBound.Milliseconds()
	switch {
	case ltp.ValidComponent(h.Component) != nil:
		return broken(CheckOrientation, "no component is called %q", h.Component)
	case !h.State.Valid() || h.Epoch < 1:
		return broken(CheckOrientation, "there is no state %q, epoch %d", h.State, h.Epoch)
	case h.LastFit < 0 || h.LastFit > h.Epoch || h.State.Fit() != (h.LastFit == h.Epoch):
		return broken(CheckOrientation, "%s is %s in epoch %d, and cannot have been last fit in epoch %d", h.Component, h.State, h.Epoch, h.LastFit)
	case h.SinceMs > by:
		return broken(CheckOrientation, "%s is %s since %d, after that was published", h.Component, h.State, h.SinceMs)
	case h.Hold != nil && h.Hold.SinceMs > by:
		return broken(CheckOrientation, "%s is held since %d, after that was published", h.Component, h.Hold.SinceMs)
	case h.Observed != "" && !h.Observed.Valid():
		return broken(CheckOrientation, "nothing is observed as %q", h.Observed)
	}
	return nil
}

// allowed reports whether the state machine leads from one state to another; see
// ltp.Condition.Next.
func allowed(from, to ltp.State) bool {
	if from == to {
		return false
	}
	switch to {
	case ltp.Unknown, ltp.Unstable:
		return true
	case ltp.Recovering:
		return from == ltp.Unknown || from == ltp.Unstable
	case ltp.Stable:
		return from == ltp.Recovering || from == ltp.Degraded
	case ltp.Degraded:
		return from == ltp.Recovering || from == ltp.Stable
	}
	return false
}

// based checks the orientation that something rests on.
func (r *rules) based(check CheckName, component string, state ltp.State, epoch int64) *fault {
	if r.alone {
		return nil
	}
	c := r.components[component]
	if c != nil && c.epochs[epoch] != nil {
		if was := c.epochs[epoch].state; was != state {
			return broken(check, "it says that %s was %s in epoch %d, and it was %s", component, state, epoch, was)
		}
		return nil
	}
	if r.isMissing(component, epoch) {
		r.unchecked++
		return nil
	}
	return broken(check, "it is based on epoch %d of %s, of which there is no orientation before it", epoch, component)
}

// decided checks an answer against the decision table.
func (r *rules) decided(p *Response, q ltp.Request) *fault {
	plain, frozen := true, r.alone
	var passable []ltp.Verdict
	if r.alone {
		passable = []ltp.Verdict{ltp.Healthy, ltp.Slow}
	}
	if c := r.components[p.Component]; c != nil && c.epochs[p.Epoch] != nil {
		plain, frozen, passable = c.epochs[p.Epoch].plain || p.Unreadable, c.epochs[p.Epoch].frozen, c.epochs[p.Epoch].passable
	}
	for _, seen := range passable {
		o := ltp.Orientation{Component: p.Component, State: p.State, Epoch: p.Epoch, Hold: &ltp.Hold{}, Observed: seen}
		if d, why := ltp.Decide(o, q); q.Pass.Opens(o) && p.Decision == d && p.Reason == why {
			return nil
		}
	}
	o := ltp.Orientation{Component: p.Component, State: p.State, Epoch: p.Epoch}
	decision, reason := ltp.Decide(o, q)
	if plain && p.Decision == decision && p.Reason == reason {
		return nil
	}
	if frozen && p.Decision == ltp.Freeze && p.Reason == ltp.ReasonFrozen {
		return nil
	}
	if frozen && !plain {
		decision, reason = ltp.Freeze, ltp.ReasonFrozen
	}
	return broken(CheckDecision, "it is %s %s under %s, and the decision table says %s %s", p.Decision, p.Reason, p.State, decision, reason)
}

// finish checks what shows at the end only.
func (r *rules) finish() *fault {
	if !r.closed {
		return broken(CheckCounts, "it is the last, and not the closing entry: the tail was cut off")
	}
	for _, id := range slices.Sorted(maps.Keys(r.orders)) {
		if r.orders[id] != finished {
			return broken(CheckEnd, "order %s has neither ended nor is it named as pending", id)
		}
	}
	if f := r.stampedAhead(); f != nil {
		return f
	}
	c := r.covers
	switch {
	case c.Orders != r.counts.Orders:
		return broken(CheckCoverage, "the file covers %d orders by its first entry, and holds %d", c.Orders, r.counts.Orders)
	case c.Gaps != r.counts.Gaps:
		return broken(CheckCoverage, "the file has %d gaps by its first entry, and names %d", c.Gaps, r.counts.Gaps)
	case !r.began:
		return broken(CheckCoverage, "there is no orientation of the moment at which the incident began by the first entry")
	case !r.ended && !c.Open:
		return broken(CheckCoverage, "there is no orientation of the moment at which the incident ended by the first entry")
	}
	epochs := []Epochs{}
	for _, name := range slices.Sorted(maps.Keys(r.components)) {
		epochs = append(epochs, Epochs{name, r.components[name].first, r.components[name].epoch})
	}
	if !slices.Equal(epochs, c.Epochs) {
		return broken(CheckCoverage, "the file covers the epochs %v by its first entry, and holds %v", c.Epochs, epochs)
	}
	return nil
}

// checks is what held, where nothing is broken.
func (r *rules) checks() []Checked {
	c := r.counts
	routing := fmt.Sprintf("%d requests, each answered under an orientation of the file", c.Requests)
	if r.unchecked > 0 {
		routing += fmt.Sprintf("; %d rest on orientations that are named as missing", r.unchecked)
	}
	if r.late > 0 {
		routing += fmt.Sprintf("; %d asked up to %d ms after the next was published", r.late, r.latest)
	}
	coverage := fmt.Sprintf("incident %d of %s, %s", r.covers.Incident, r.covers.Component, words.Plural(c.Orders, "order"))
	if c.Gaps > 0 {
		coverage += fmt.Sprintf("; %d gaps are named: what they name is not here", c.Gaps)
	}
	execution := fmt.Sprintf("%d, each after an EXECUTE; %d wrote, at most one an order", c.Executions, c.Written)
	if n := r.clocks.unchecked; n > 0 {
		execution += fmt.Sprintf("; NOT CHECKED whether begun while fit: %s, of which clocks cannot tell", words.Plural(n, "write"))
	} else {
		execution += ", none begun while unfit"
	}
	end := words.Plural(c.Orders-c.Pending, "order") + " ended"
	if c.Pending > 0 {
		end += fmt.Sprintf(", and %d named as pending", c.Pending)
	}
	return []Checked{
		{CheckCoverage, coverage},
		{CheckOrientation, fmt.Sprintf("%d, epochs by one, only allowed transitions", c.Orientations)},
		{CheckRouting, routing},
		{CheckDecision, fmt.Sprintf("%d EXECUTE, %d DEFER, %d FREEZE, as the decision table says", c.Decisions[ltp.Execute], c.Decisions[ltp.Defer], c.Decisions[ltp.Freeze])},
		{CheckReplay, fmt.Sprintf("%d, each of an earlier request that was not carried out", c.Replays)},
		{CheckExecution, execution},
		{CheckEnd, end},
		{CheckCounts, fmt.Sprintf("%d entries add up", c.Entries)},
	}
}
