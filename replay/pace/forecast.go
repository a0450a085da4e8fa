package pace

import (
	"sync"
	"time"
)

// Forecast says when the orders of a release have their turn, if every commit succeeds and
// every order takes as long. These are the earliest times that can be: a release goes
// slower when commits fail, or take long. It is safe for concurrent use.
type Forecast struct {
	took  time.Duration
	rate  float64 // of a release under way, in orders per second; 0 is one that begins
	turns func() []time.Duration
	flow  int // so many turns after the known ones come as the latest of those did
}

// ForecastBegin is the forecast of a release that begins, counted from its beginning:
// canaries first, and then the rate of a [Controller] under an operator's limit, 0 for
// none. took is how long an order takes from its release to its end.
func ForecastBegin(s Settings, limit float64, took time.Duration) *Forecast {
	return &Forecast{took: took, flow: s.InFlight, turns: sync.OnceValue(func() []time.Duration {
		x := &schedule{s: s, control: NewController(s, start), took: took, now: start, ends: make([]time.Time, s.InFlight)}
		x.control.Limit(limit)
		turns := make([]time.Duration, s.Canary+1024+8*s.InFlight)
		for i := range turns {
			turns[i] = x.next()
		}
		return turns
	})}
}

// ForecastUnderWay is the forecast of a release whose canaries have committed, counted from
// now: used is how many orders were released in the last second, and allowed how many may
// be by the pace and the operator, more than 0. It goes on at that rate, and at the floor at least as
// far as it is allowed, since little is used where a release begins, and where little
// is left.
func ForecastUnderWay(s Settings, used, allowed float64, took time.Duration) *Forecast {
	return &Forecast{took: took, rate: min(max(used, s.Floor), allowed)}
}

// Rate is at which rate a release under way goes on, in orders per second; 0 is a release
// that begins.
func (f *Forecast) Rate() float64 { return f.rate }

// At is when an order is released that so many go before. It is never earlier for one that
// more go before.
func (f *Forecast) At(ahead int64) time.Duration {
	ahead = max(ahead, 0)
	if f.rate > 0 {
		return seconds(float64(ahead) / f.rate)
	}
	turns := f.turns()
	n := int64(len(turns))
	if ahead < n {
		return turns[ahead]
	}
	// The rate grows no more, so that every flow of orders takes as long as the latest.
	flow := int64(f.flow)
	flows := (ahead-n)/flow + 1
	each := turns[n-1] - turns[n-1-flow]
	return min(far, turns[ahead-flows*flow]+seconds(float64(flows)*each.Seconds()))
}

// Ends is when the last of so many orders has ended.
func (f *Forecast) Ends(orders int64) time.Duration {
	if orders < 1 {
		return 0
	}
	return f.At(orders-1) + f.took
}

// far is the longest that a forecast gives: a hundred years.
const far = 100 * 365 * 24 * time.Hour

func seconds(s float64) time.Duration {
	if !(s < far.Seconds()) {
		return far
	}
	return time.Duration(s * float64(time.Second))
}

// schedule gives the orders of a release their turns. It is a controller over a time of
// its own.
type schedule struct {
	s       Settings
	control *Controller
	took    time.Duration
	now     time.Time
	n       int
	// ends are when the latest orders end, as many as may be on their way at once, and
	// answers those of which the controller does not know yet, oldest first.
	ends    []time.Time
	answers []time.Time
}

var start = time.Unix(0, 0)

// aWrite is how long a write takes that is not slow.
const aWrite = 10 * time.Millisecond

// next is when the next order is released, counted from the beginning.
func (x *schedule) next() time.Duration {
	defer func() { x.n++ }()
	if x.n == x.s.Canary && x.n > 0 { // the canaries have come back
		x.now = x.now.Add(x.took)
	}
	for len(x.answers) > 0 && !x.answers[0].After(x.now) {
		x.control.Report(x.answers[0], Sample{Committed: true, Write: aWrite, Took: x.took})
		x.answers = x.answers[1:]
	}
	if x.n >= x.s.Canary {
		x.now = x.now.Add(x.control.Next(x.now))
	}
	slot := &x.ends[x.n%len(x.ends)]
	if slot.After(x.now) {
		x.now = *slot
	}
	*slot = x.now.Add(x.took)
	x.answers = append(x.answers, *slot)
	return x.now.Sub(start)
}
