package demo

import (
	"slices"
	"sync"
	"time"

	"github.com/ltp-node/ltp"
)

// Meter counts the writes of a worker. It is an activities.Meter for the
// worker that the demo runs on.
type Meter struct {
	mu       sync.Mutex
	attempts []attempt
	deferred int
	executed int
	latency  time.Duration
}

// Routed implements activities.Meter.
func (d *Meter) Routed(r ltp.Routing, _ time.Duration) {
	if r.Decision.Admissible() || r.Woken == ltp.WokenByTimer {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deferred++
}

// Attempted implements activities.Meter.
func (d *Meter) Attempted(a ltp.Attempt, took time.Duration) {
	now := time.Now()
	d.mu.Lock()
	defer d.mu.Unlock()
	done := a.Result == ltp.ResultExecuted
	d.attempts = append(d.attempts, attempt{entered: now.Add(-took), readAt: a.Fence.ReadAt, begun: a.BegunAt, ended: now, failed: !done})
	if done {
		d.executed++
	}
}

// Heartbeat takes what the observer saw last.
func (d *Meter) Heartbeat(b ltp.Heartbeat) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.latency = time.Duration(b.LatencyMs) * time.Millisecond
}

// reset forgets what was counted before the demo's first order.
func (d *Meter) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.attempts, d.deferred, d.executed = nil, 0, 0
}

func (d *Meter) counts() (deferred, executed int, latency time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.deferred, d.executed, d.latency
}

// BegunWhileUnfit counts the writes that were begun while the timeline was unfit, and
// counted apart those among them that were on their way: the fence had asked before that
// state was published, and the write began before the answer to a later question could
// have come. Late is the longest that such a write began after the publication.
func (d *Meter) BegunWhileUnfit(timeline []Transition) (unfit, underWay int, late time.Duration) {
	return begunWhileUnfit(d.all(), timeline)
}

func begunWhileUnfit(attempts []attempt, timeline []Transition) (unfit, underWay int, late time.Duration) {
	for _, a := range attempts {
		t, known := inForce(timeline, a.begun)
		switch {
		case a.begun.IsZero() || !known || t.State.Fit():
		case a.readAt.Before(t.At.Time):
			underWay++
			late = max(late, a.begun.Sub(t.At.Time))
		default:
			unfit++
		}
	}
	return unfit, underWay, late
}

// attempted implements writes: the worker counts attempts that Temporal never heard of, too.
func (d *Meter) attempted([]record) []attempt { return d.all() }

func (d *Meter) all() []attempt {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.attempts)
}

// inForce is what was published last before t; of several unfit states in a row, the
// first, since that is what a write must have known of.
func inForce(timeline []Transition, t time.Time) (last Transition, known bool) {
	for _, tr := range timeline {
		if tr.At.After(t) {
			break
		}
		if !known || last.State.Fit() || tr.State.Fit() {
			last = tr
		}
		known = true
	}
	return last, known
}

// Executed is how many orders were written, since the demo's first or from the
// beginning.
func (d *Meter) Executed() int {
	_, executed, _ := d.counts()
	return executed
}
