package replay

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/ltp-node/ltp"
)

// release is one attempt of Release. One goroutine lists the orders and releases them in
// turn; InFlight others send the releases and await their outcomes.
type release struct {
	*Engine
	in       ltp.ReleaseInput
	token    []byte
	backlog  backlog
	lease    *lease
	pacer    *pacer
	progress progress

	turns chan claimed   // orders whose turn has come
	onWay sync.WaitGroup // releases on their way

	canariesPassed      atomic.Bool
	consecutiveFailures atomic.Int32 // setbacks in a row
	paused              atomic.Bool  // an operator's pause was seen, and its end was not
	resumes             atomic.Int32 // pauses that have ended
	answered            atomic.Int64 // orders that were released, or have ended before
	unsent              atomic.Int64 // releases that failed with Temporal

	// Of the goroutine that releases in turn.
	swept     bool      // a sweep has seen all
	classedAt time.Time // when the classes of this sweep were asked for
	next      time.Time // where a sweep that was cut short goes on; zero is the beginning

	mu           sync.Mutex
	sent         *releasedSet
	lastProgress time.Time // when an order was released last, or none could be
}

func newRelease(e *Engine, in ltp.ReleaseInput, info activity.Info) *release {
	now := time.Now()
	rate, _ := e.failureRates.get(in.Component)
	r := &release{
		Engine: e, in: in, token: info.TaskToken,
		backlog: backlog{client: e.Client, component: in.Component, before: in.Epoch},
		lease:   newLease(info),
		pacer:   newPacer(e.Pace, rate),
		turns:   make(chan claimed),
		sent:    newReleasedSet(generation), lastProgress: now,
	}
	r.progress.now = ltp.ReleaseReport{Phase: r.idlePhase(), BegunAt: now.UTC()}
	return r
}

// resumeFrom goes on where an attempt ended with a report.
func (r *release) resumeFrom(before ltp.ReleaseReport) {
	r.canariesPassed.Store(before.CanariesPassed)
	r.next = before.Next
	r.progress.update(func(now *ltp.ReleaseReport) {
		now.Released, now.Passes, now.Setbacks = before.Released, before.Passes, before.Setbacks
		now.Next = before.Next
		if !before.BegunAt.IsZero() {
			now.BegunAt = before.BegunAt
		}
	})
}

func (r *release) run(ctx context.Context) error {
	if err := r.awaitServing(ctx); err != nil {
		return err
	}
	if r.in.Settle {
		return r.settle(ctx)
	}
	return r.drain(ctx)
}

// idlePhase is the phase of a release that has nothing to release.
func (r *release) idlePhase() string {
	if r.in.Settle {
		return PhaseSettle
	}
	return PhaseSweep
}

// progressed notes that an order was released, or that none could be: patience begins
// anew.
func (r *release) progressed() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lastProgress = time.Now()
}

// idle is for how long no order was released although it could have been.
func (r *release) idle() time.Duration {
	if !r.mayRelease(r.reading()) {
		r.progressed()
		return 0
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return time.Since(r.lastProgress)
}

// unreleased are the orders that are still to be released in this sweep.
func (r *release) unreleased(orders []waiting) []waiting {
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

// claim takes an order to release it, and is false when it was released already.
func (r *release) claim(o waiting) (waiting, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, done := r.sent.lookup(o.id)
	if done {
		return o, false
	}
	o.late = m.late
	r.sent.add(o.id, mark{late: m.late})
	return o, true
}

// retry has the next sweep try the order again.
func (r *release) retry(o waiting, late bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sent.add(o.id, mark{retry: true, late: late})
}

// nextSweep begins a sweep, which tries again what could not be released by the last.
func (r *release) nextSweep() {
	r.mu.Lock()
	r.sent.sweep++
	r.mu.Unlock()
	r.progress.update(func(report *ltp.ReleaseReport) { report.Passes, report.Found = report.Passes+1, 0 })
}
