package pace

import (
	"math"
	"time"
)

// What the controller goes by.
const (
	// reaction is the least time between two cuts. Samples released before a cut measured
	// the rate before it, and are ignored.
	reaction = 500 * time.Millisecond
	// The rate is cut when more than setbackShare of about setbackSamples releases were
	// setbacks: four of the latest 32. One order that keeps failing by its own fault says nothing of the
	// component, and every release is a sample.
	setbackShare, setbackSamples = 0.1, 32
	// roundTrips are how many writes, one after the other, a doubling takes at least: the
	// effect of a rate must be measured before the rate grows further.
	roundTrips = 4
	// carefulGrowth is the growth in a second after a setback, and thresholdGrowth the
	// growth in a minute close to the rate that the component failed at: from
	// thresholdShare of it on.
	carefulGrowth, thresholdGrowth = 1.1, 1.1
	thresholdShare                 = 0.7
	// carefulTrust is for how long a good sample lets a careful rate grow. A rate that
	// doubles may grow for two doublings.
	carefulTrust = 2 * time.Second
	// calmFor is for how long there must be no setback, and no write far from the best,
	// before the rate doubles again.
	calmFor = 10 * time.Second
)

// Sample is what became of one release. An order that was refused, cancelled or expired,
// or that waits for something else, says nothing of the component and is no sample.
type Sample struct {
	// Committed says that the order was executed.
	Committed bool
	// Write is how long its write took, 0 if that is not known.
	Write time.Duration
	// Took is the time from its release to the answer.
	Took time.Duration
}

// Controller says how fast to release, by the samples of the releases before. Times may
// jump, in both directions: what lies behind the latest time counts as now. It is not
// safe for concurrent use.
type Controller struct {
	s     Settings
	limit float64 // an operator's; 0 is none

	last     time.Time     // the latest time given
	at       time.Duration // the controller's own time: it never goes back
	began    bool          // a turn was taken
	rate     float64
	tokens   float64       // turns that may be taken at once; below 0 are turns taken ahead
	since    time.Duration // since the first turn
	used     float64       // turns taken since, the latest count most
	growFor  time.Duration // for how long the rate may still grow without another good sample
	latency  latency
	setbacks float64 // the share of setbacks among the latest samples

	careful     bool          // there was a setback: grow gently
	cutAt       time.Duration // when the rate was cut; only if careful
	queued      time.Duration // for how long writes after it still stand behind those before
	calm        time.Duration // for how long nothing was wrong since
	setbackRate float64       // the rate that the setbacks began at
	failureRate float64       // the rate that the component failed at; 0 is none known
}

// NewController returns the controller of a release that begins. The settings must be
// valid.
func NewController(s Settings, now time.Time) *Controller {
	return &Controller{s: s, last: now, rate: s.Start, tokens: s.burst(), growFor: 2 * s.Double}
}

// Limit sets an operator's ceiling in orders per second. It wins over the floor. 0,
// and what is no rate, is none.
func (c *Controller) Limit(perSecond float64) {
	if !(perSecond > 0) || math.IsInf(perSecond, 1) {
		perSecond = 0
	}
	c.limit = perSecond
}

// FailedAt sets the rate at which the component failed in the release before this one.
// The rate then begins at half of it at most, grows gently, and slowly where it comes
// near; once it is past it, that is forgotten.
func (c *Controller) FailedAt(perSecond float64) {
	if !(perSecond > 0) || math.IsInf(perSecond, 1) {
		return
	}
	c.failureRate, c.careful, c.cutAt = perSecond, true, c.at-maxWait
	c.setbackRate = max(c.setbackRate, perSecond)
	c.rate = c.bounded(min(c.rate, perSecond/2))
}

// Next takes one turn and returns how long to wait for it.
func (c *Controller) Next(now time.Time) time.Duration {
	c.advance(now)
	if !c.began {
		c.began = true
		c.firstTurn()
	}
	c.used++
	c.tokens--
	if c.tokens >= 0 {
		return 0
	}
	return time.Duration(min(-c.tokens/c.current()*float64(time.Second), float64(maxWait)))
}

// firstTurn begins the ramp, with no more than twice what the canaries have shown to be
// borne: so many at once, each for so long.
func (c *Controller) firstTurn() {
	if c.latency.smooth > 0 {
		c.rate = c.bounded(min(c.rate, 2*float64(c.s.Canary)/c.latency.smooth.Seconds()))
	}
}

// maxWait bounds a wait: a limit far below one in an hour is no pace but a pause.
const maxWait = time.Hour

// Rate is the present rate in orders per second.
func (c *Controller) Rate(now time.Time) float64 {
	c.advance(now)
	return c.current()
}

// Used is how many turns were taken in the last second, about: less than the rate
// where something else holds the release back. Pass the most of late to [FailedAt]:
// that a component failed is known only seconds later.
func (c *Controller) Used(now time.Time) float64 {
	c.advance(now)
	seen := 1 - math.Exp(-c.since.Seconds()) // of a second
	if c.used > 0 && c.used >= seen*c.current() {
		return c.current()
	}
	return c.used / max(seen, 1e-9)
}

// Report takes the sample of a release.
func (c *Controller) Report(now time.Time, s Sample) {
	c.advance(now)
	released := c.at - max(s.Took, 0)
	if c.careful && (released < c.cutAt || c.at < c.cutAt+reaction) {
		return // it measured the rate before the cut
	}
	far := c.latency.add(c.at, s.Write, c.s.SlowWrite)
	slow := s.Write > c.s.SlowWrite
	if (far || slow) && s.Committed && c.careful && released < c.cutAt+c.queued {
		return // it stood behind what was released before the cut
	}
	setback := 0.0
	if slow || !s.Committed {
		setback = 1
	}
	c.setbacks += (setback - c.setbacks) / setbackSamples
	switch {
	case far, setback > 0 && c.setbacks > setbackShare:
		c.cut(s)
	case setback > 0:
	case c.careful:
		c.growFor = max(c.growFor, carefulTrust)
	default:
		c.growFor = max(c.growFor, 2*c.s.Double)
	}
}

// cut halves the rate.
func (c *Controller) cut(s Sample) {
	c.setbackRate = max(c.setbackRate, c.rate)
	c.rate = c.bounded(c.rate / 2)
	c.careful, c.cutAt, c.calm, c.growFor, c.setbacks = true, c.at, 0, 0, 0
	c.queued = min(max(s.Write, 0), maxWait)
	c.latency.forget()
}

// advance lets time pass.
func (c *Controller) advance(now time.Time) {
	passed := min(max(now.Sub(c.last), 0), maxWait)
	c.last = now
	c.at += passed
	c.tokens = min(c.s.burst(), c.tokens+passed.Seconds()*c.current())
	c.used *= math.Exp(-passed.Seconds())
	if c.began {
		c.since = min(c.since+passed, maxWait)
		c.grow(min(passed, c.growFor))
		c.growFor -= min(passed, c.growFor)
	}
}

// grow raises the rate for a time in which all went well.
func (c *Controller) grow(d time.Duration) {
	if d <= 0 {
		return
	}
	if !c.careful && !c.latency.rising() {
		double := max(c.s.Double, roundTrips*c.latency.smooth)
		c.rate = c.bounded(c.rate * math.Exp2(float64(d)/float64(double)))
		return
	}
	if c.calm += d; c.latency.rising() {
		c.calm = 0
	}
	factor := math.Pow(carefulGrowth, d.Seconds())
	if c.failureRate > 0 && c.rate*factor > thresholdShare*c.failureRate {
		factor = math.Pow(thresholdGrowth, d.Minutes())
	}
	c.rate = c.bounded(c.rate * factor)
	if c.rate >= c.failureRate {
		c.failureRate = 0
	}
	if c.failureRate == 0 && c.calm >= calmFor && (c.rate > c.setbackRate || c.rate >= c.s.Ceiling) {
		c.careful, c.setbackRate = false, 0
	}
}

// bounded keeps a rate between floor and ceiling.
func (c *Controller) bounded(rate float64) float64 {
	return min(max(rate, c.s.Floor), c.s.Ceiling)
}

// current is the rate under the operator's limit.
func (c *Controller) current() float64 {
	if c.limit > 0 {
		return min(c.rate, c.limit)
	}
	return c.rate
}
