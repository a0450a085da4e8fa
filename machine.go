package ltp

import (
	"slices"
	"time"
)

// maxFlaps bounds what a Condition remembers; with that many flaps the dwell has
// long reached its cap.
const maxFlaps = 16

// Condition is a component's orientation together with what the state machine
// must remember between inputs.
type Condition struct {
	Orientation Orientation `json:"orientation"`
	// Last is the observation in force; its Verdict is empty when nobody observes.
	Last Observation `json:"last,omitzero"`
	// FitSince is since when the component was observed fit while UNSTABLE; zero
	// otherwise.
	FitSince time.Time `json:"fit_since,omitzero"`
	// Falls are the times of the latest falls into UNSTABLE, oldest first.
	Falls []time.Time `json:"falls,omitempty"`
	// Failed are the orders whose writes failed lately under this epoch, fewer than
	// FailingOrders, oldest first.
	Failed []FailedAt `json:"failed,omitempty"`
}

// NewCondition is a component that nobody has observed yet. Epochs go on from the last one
// that is remembered; as nobody knows whether that was fit, it counts as the last fit one.
func NewCondition(component string, last int64, now time.Time) Condition {
	return Condition{Orientation: Orientation{
		Component: component, State: Unknown, Epoch: last + 1, LastFit: last, Reason: "never observed", Since: now,
	}}
}

// Input is one thing that happened to a component. Exactly one field is set; the
// zero Input says only that time has passed.
type Input struct {
	Observed *Observation  // an observer saw something
	Failing  *FailedWrites // writes of orders failed
	Backlog  *Backlog      // orders waited for a worker
	Lost     string        // why nobody observes any more
	Drained  int64         // the epoch whose deferred backlog is drained
	Held     *Hold         // an operator holds the component
	Released *Release      // an operator lets go
}

// Next is the state machine: the condition that follows c when in happens at
// now, and whether the orientation changed in a way that is to be published.
// The epoch has grown by one exactly if the state is another.
//
//	UNKNOWN ──fit──▶ RECOVERING ──drained──▶ STABLE ◀──healthy── DEGRADED
//	   ▲                 │ ▲                  │  │                  ▲
//	   │ lost            │ │ fit for dwell    │  └──────slow────────┘
//	(any state)          ▼ │                  ▼
//	                   UNSTABLE ◀──────── unhealthy (any state) / orders fail (fit) / hold
//
// A drained backlog while the component is slow leads to DEGRADED. A backlog that waited
// for a worker leads from STABLE and DEGRADED to RECOVERING.
func (c Condition) Next(in Input, p Policy, now time.Time) (Condition, bool) {
	before := c.Orientation
	c.Falls, c.Failed = slices.Clone(c.Falls), slices.Clone(c.Failed)
	c.clampToNow(now)
	switch {
	case in.Held != nil:
		c.hold(*in.Held, now)
	case in.Released != nil:
		c.release(*in.Released, now)
	case in.Observed != nil:
		c.observe(*in.Observed, p, now)
	case in.Failing != nil:
		c.weighFailures(*in.Failing, p, now)
	case in.Backlog != nil:
		c.weighBacklog(*in.Backlog, now)
	case in.Lost != "":
		c.loseObserver(in.Lost, now)
	case in.Drained != 0:
		c.drained(in.Drained, now)
	}
	// One thing changes the state once: a moment that is due as well has its own turn.
	if c.Orientation.Epoch == before.Epoch {
		c.expireHolds(now)
	}
	if c.Orientation.Epoch == before.Epoch {
		c.endDwell(p, now)
	}
	after := c.Orientation
	return c, after.State != before.State || after.Hold != before.Hold || after.Observed != before.Observed
}

// clampToNow follows a clock that was set back: what happened later than now happened
// now. Otherwise a fall would be remembered, and a dwell last, until the clock has
// caught up.
func (c *Condition) clampToNow(now time.Time) {
	for i, t := range c.Falls {
		c.Falls[i] = earlier(t, now)
	}
	c.FitSince = earlier(c.FitSince, now)
	for i, f := range c.Failed {
		c.Failed[i].At = earlier(f.At, now)
	}
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// DwellEnds is when a component that is observed fit may be called RECOVERING,
// and false when no such moment is due.
func (c Condition) DwellEnds(p Policy) (time.Time, bool) {
	if c.Orientation.State != Unstable || c.Orientation.Hold != nil || c.FitSince.IsZero() {
		return time.Time{}, false
	}
	return c.FitSince.Add(c.holdDown(p, c.FitSince)), true
}

// holdDown is the dwell that the flaps within the window have earned.
func (c Condition) holdDown(p Policy, now time.Time) time.Duration {
	recent := 0
	for _, t := range c.Falls {
		if now.Sub(t) < p.FlapWindow {
			recent++
		}
	}
	d := p.Dwell
	for i := 1; i < recent && d < p.MaxDwell; i++ {
		d *= 2
	}
	return min(d, p.MaxDwell)
}

func (c *Condition) observe(o Observation, p Policy, now time.Time) {
	c.Last = o
	if c.Orientation.Hold != nil {
		c.Orientation.Observed = o.Verdict
		return
	}
	switch state := c.Orientation.State; {
	case !o.Verdict.Fit():
		c.FitSince = time.Time{}
		if state != Unstable {
			c.recordFall(now, p)
			c.enter(Unstable, o.Reason, now)
		}
	case state == Unknown:
		c.enter(Recovering, o.Reason, now)
	case state == Unstable && c.FitSince.IsZero():
		c.FitSince = now
	case state == Stable && o.Verdict == Slow:
		c.enter(Degraded, o.Reason, now)
	case state == Degraded && o.Verdict == Healthy:
		c.enter(Stable, o.Reason, now)
	}
}

// endDwell ends the wait of a component that has been observed fit for long enough.
func (c *Condition) endDwell(p Policy, now time.Time) {
	if end, due := c.DwellEnds(p); due && !now.Before(end) {
		c.enter(Recovering, c.Last.Reason, now)
	}
}

func (c *Condition) loseObserver(why string, now time.Time) {
	c.Last = Observation{}
	c.FitSince, c.Orientation.Observed = time.Time{}, ""
	if c.Orientation.Hold == nil && c.Orientation.State != Unknown {
		c.enter(Unknown, why, now)
	}
}

func (c *Condition) drained(epoch int64, now time.Time) {
	if c.Orientation.State != Recovering || c.Orientation.Epoch != epoch {
		return // the orientation moved on meanwhile
	}
	if c.Last.Verdict == Slow {
		c.enter(Degraded, c.Last.Reason, now)
		return
	}
	c.enter(Stable, "Deferred backlog drained", now)
}

func (c *Condition) recordFall(now time.Time, p Policy) {
	c.Falls = slices.DeleteFunc(c.Falls, func(t time.Time) bool { return now.Sub(t) >= p.FlapWindow })
	c.Falls = append(c.Falls, now)
	if over := len(c.Falls) - maxFlaps; over > 0 {
		c.Falls = slices.Delete(c.Falls, 0, over)
	}
}

// enter changes the state; the epoch grows by one.
func (c *Condition) enter(s State, reason string, now time.Time) {
	c.FitSince, c.Failed = time.Time{}, nil
	o := &c.Orientation
	o.State, o.Reason, o.Since = s, reason, now
	o.Epoch++
	if s.Fit() {
		o.LastFit = o.Epoch
	}
	o.Evidence, o.Observer = c.Last.Evidence, c.Last.Observer
}
