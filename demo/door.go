package demo

import (
	"sync"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// Door counts at the door of the order database. It is an activities.Meter for the
// worker that the demo runs on.
type Door struct {
	mu       sync.Mutex
	begun    []time.Time
	deferred int
	executed int
	latency  time.Duration
}

// Routed implements activities.Meter.
func (d *Door) Routed(r ltp.Routing, _ time.Duration) {
	if r.Decision.Admissible() || r.Woken == ltp.WokenByTimer {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.deferred++
}

// Wrote implements activities.Meter.
func (d *Door) Wrote(_ ltp.Fence, begun time.Time, _ time.Duration, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !begun.IsZero() {
		d.begun = append(d.begun, begun)
	}
	if err == nil {
		d.executed++
	}
}

// Beat takes what the observer saw last.
func (d *Door) Beat(b activities.Beat) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.latency = time.Duration(b.LatencyMs) * time.Millisecond
}

// reset forgets what was counted before the demo's first order.
func (d *Door) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.begun, d.deferred, d.executed = nil, 0, 0
}

func (d *Door) counts() (deferred, executed int, latency time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.deferred, d.executed, d.latency
}

// begunWhile counts the writes that were begun while the timeline was unfit.
func (d *Door) begunWhile(timeline []Transition) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := 0
	for _, t := range d.begun {
		if s, known := stateAt(timeline, t); known && !s.Fit() {
			n++
		}
	}
	return n
}

// stateAt is the state that was published last before t.
func stateAt(timeline []Transition, t time.Time) (ltp.State, bool) {
	var s ltp.State
	known := false
	for _, tr := range timeline {
		if tr.At.After(t) {
			break
		}
		s, known = tr.State, true
	}
	return s, known
}
