package main

import (
	"time"

	"github.com/ltp-node/ltp/replay/pace"
)

// schedule gives the orders of a release their turns, as the pace would if every commit
// succeeds and every order takes as long. It is the controller of the replay engine over
// a time of its own: the earliest that a release can be.
type schedule struct {
	s       pace.Settings
	control *pace.Controller
	took    time.Duration
	now     time.Time
	n       int
	// ends are when the latest orders end, as many as may be on their way at once, and
	// answers those of which the controller does not know yet, oldest first.
	ends    []time.Time
	answers []time.Time
}

var epochZero = time.Unix(0, 0)

// aWrite is how long a write takes that is not slow.
const aWrite = 10 * time.Millisecond

func newSchedule(s pace.Settings, limit float64, took time.Duration) *schedule {
	x := &schedule{s: s, control: pace.NewController(s, epochZero), took: took, now: epochZero, ends: make([]time.Time, s.InFlight)}
	x.control.Limit(limit)
	return x
}

// next is when the next order is released, counted from the beginning.
func (x *schedule) next() time.Duration {
	defer func() { x.n++ }()
	if x.n == x.s.Canary && x.n > 0 { // the canaries have come back
		x.now = x.now.Add(x.took)
	}
	for len(x.answers) > 0 && !x.answers[0].After(x.now) {
		x.control.Report(x.answers[0], pace.Sample{Committed: true, Write: aWrite, Took: x.took})
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
	return x.now.Sub(epochZero)
}

// end is when the last order has ended.
func (x *schedule) end() time.Duration {
	if x.n == 0 {
		return 0
	}
	return x.now.Add(x.took).Sub(epochZero)
}
