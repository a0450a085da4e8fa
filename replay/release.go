package replay

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
)

// release is one attempt of Release. One goroutine lists and gives out the orders in
// turn; each signal, and each watch over a pilot, is one of its own.
type release struct {
	*Engine
	in       ReleaseInput
	token    []byte
	backlog  backlog
	lease    *lease
	pacer    *pacer
	progress progress

	slots   chan struct{}  // one element for each signal under way
	pilots  chan struct{}  // one element for each pilot on its way
	signals sync.WaitGroup // signals under way
	watches sync.WaitGroup // pilots on their way

	warm      atomic.Bool  // the canaries have come back
	bad       atomic.Int32 // setbacks in a row
	paused    atomic.Bool  // an operator's pause was seen, and its end was not
	resumes   atomic.Int32 // pauses that have ended
	signalled atomic.Int64 // orders that have the signal, or have ended before it came
	missed    atomic.Int64 // signals that failed

	// Of the goroutine that gives out the orders.
	swept bool      // a sweep has seen all
	nth   int       // how many orders were given out at the pace
	next  time.Time // where a sweep that was cut short goes on; zero is the beginning

	mu    sync.Mutex
	sent  *sent
	heard time.Time // when something new was released last, or could not be
}

func newRelease(e *Engine, in ReleaseInput, info activity.Info) *release {
	now := time.Now()
	r := &release{
		Engine: e, in: in, token: info.TaskToken,
		backlog: backlog{client: e.Client, component: in.Component, before: in.Epoch},
		lease:   newLease(info),
		pacer:   newPacer(e.Pace, e.falls.rate(in.Component)),
		slots:   make(chan struct{}, e.Pace.Parallel),
		pilots:  make(chan struct{}, e.Pace.Pilots),
		sent:    newSent(generation), heard: now,
	}
	r.progress.now = ReleaseReport{Phase: r.looking(), BegunAt: now.UTC()}
	return r
}

// goOn takes over from an attempt that ended with a report. Reports of before did not
// tell whether the canaries had come back.
func (r *release) goOn(before ReleaseReport) {
	r.warm.Store(before.Warm || (before.Phase == "" && before.Released > 0))
	r.next = before.Next
	r.progress.update(func(now *ReleaseReport) {
		now.Released, now.Passes, now.Setbacks = before.Released, before.Passes, before.Setbacks
		now.Next = before.Next
		if !before.BegunAt.IsZero() {
			now.BegunAt = before.BegunAt
		}
	})
}

func (r *release) run(ctx context.Context) error {
	if err := r.serving(ctx); err != nil {
		return err
	}
	if r.in.Settle {
		return r.settle(ctx)
	}
	return r.drain(ctx)
}

// looking is the phase of a release that has nothing to release.
func (r *release) looking() string {
	if r.in.Settle {
		return PhaseSettle
	}
	return PhaseSweep
}

// news notes that something new was released, or that nothing could be: patience begins
// anew.
func (r *release) news() {
	r.mu.Lock()
	r.heard = time.Now()
	r.mu.Unlock()
}

// idle is for how long nothing new was found although it could have been released.
func (r *release) idle() time.Duration {
	if !r.open(r.reading()) {
		r.news()
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.heard)
}

// fresh are the orders that have no signal yet.
func (r *release) fresh(orders []waiting) []waiting {
	r.mu.Lock()
	defer r.mu.Unlock()
	var fresh []waiting
	for _, o := range orders {
		if !r.sent.has(o.id) {
			fresh = append(fresh, o)
		}
	}
	return fresh
}

// claim takes an order to signal it, and is false when it has the signal.
func (r *release) claim(o waiting) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sent.has(o.id) {
		return false
	}
	r.sent.add(o.id)
	return true
}

// disclaim leaves an order to a later sweep.
func (r *release) disclaim(o waiting) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent.remove(o.id)
}
