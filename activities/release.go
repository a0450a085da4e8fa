package activities

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

// Pace bounds how fast deferred orders are released. The zero value is not
// usable; start from [DefaultPace].
type Pace struct {
	// Canary is how many orders go first; the rest follows when they have ended, or
	// after CanaryWait while the component still counts as fit.
	Canary     int
	CanaryWait time.Duration
	// Start and Ceiling are rates in orders per second. The rate doubles every
	// Double from Start up to Ceiling.
	Start, Ceiling float64
	Double         time.Duration
	// Every PilotEvery-th order is a pilot, and Pilots of them may be on their way at
	// once: what is released and has not ended stays below PilotEvery*(Pilots+1), so
	// that a slow database slows the release down, and no order overtakes many others.
	PilotEvery, Pilots int
	// Parallel is how many signals are under way at once.
	Parallel int
	// Pass is the least pause between two sweeps.
	Pass time.Duration
	// Patience is for how long orders that were released and do not end hold back
	// the word that the backlog is drained.
	Patience time.Duration
	// Settle is for how long sweeps after recovery must find nothing before they
	// end: longer than the visibility store ever lags.
	Settle time.Duration
}

// DefaultPace drains 1,500 orders in seconds and spares a database that has just
// come back.
func DefaultPace() Pace {
	return Pace{
		Canary: 8, CanaryWait: 5 * time.Second,
		Start: 200, Ceiling: 500, Double: 250 * time.Millisecond,
		PilotEvery: 32, Pilots: 4,
		Parallel: 32,
		Pass:     250 * time.Millisecond, Patience: 15 * time.Second, Settle: 15 * time.Second,
	}
}

// Engine releases deferred orders. One activity runs for each recovery.
type Engine struct {
	Client client.Client
	Board  *board.Board
	Pace   Pace
	// Released is called for every order released; nil is not called.
	Released func(component string)
	Log      *slog.Logger
}

// ReleaseInput says what to release: the orders that were deferred under an epoch
// before Epoch, for as long as the component is in that epoch and fit.
type ReleaseInput struct {
	Component string `json:"component"`
	Epoch     int64  `json:"epoch"`
	// Settle sweeps on, slower and slower, until nothing has been found for
	// Pace.Settle. Without it, Release ends as soon as the backlog is drained.
	Settle bool `json:"settle,omitempty"`
}

// ReleaseReport is what a Release did, and its heartbeat while it runs.
type ReleaseReport struct {
	Released int `json:"released"`
	Passes   int `json:"passes"`
	// MovedOn says that Release stopped because the orientation is no longer what
	// it was asked to serve; what still waits is somebody else's.
	MovedOn bool `json:"moved_on,omitempty"`
}

// Release lists the deferred orders oldest first and signals each that the
// component is fit again: a few canaries, then a ramp, in sweeps until one finds
// nothing more. Visibility lags behind, so one sweep is never the last. It stops
// at once when the board says that the orientation moved on, and pauses while the
// board is blind. After a crash it begins a new sweep; an order that is signalled
// twice acts once.
func (e *Engine) Release(ctx context.Context, in ReleaseInput) (ReleaseReport, error) {
	r := &release{Engine: e, in: in, sent: map[string]struct{}{}, pilots: make(chan struct{}, e.Pace.Pilots)}
	if activity.HasHeartbeatDetails(ctx) {
		var before ReleaseReport
		if err := activity.GetHeartbeatDetails(ctx, &before); err == nil {
			r.released.Store(int64(before.Released))
			r.passes.Store(int64(before.Passes))
			r.warm = before.Released > 0
		}
	}
	err := r.run(ctx)
	report := r.report()
	if errors.Is(err, errMovedOn) {
		report.MovedOn, err = true, nil
	}
	return report, err
}

// errMovedOn ends a release that the orientation has overtaken.
var errMovedOn = errors.New("the orientation moved on")

// release is one run of Release.
type release struct {
	*Engine
	in       ReleaseInput
	warm     bool          // the canaries have come back
	pilots   chan struct{} // one element for each pilot on its way
	limiter  *rate.Limiter
	began    time.Time // when the ramp began
	passes   atomic.Int64
	released atomic.Int64
	missed   atomic.Int64 // signals that failed

	mu   sync.Mutex
	sent map[string]struct{} // orders that have the signal: one is enough
}

func (r *release) report() ReleaseReport {
	return ReleaseReport{Released: int(r.released.Load()), Passes: int(r.passes.Load())}
}

func (r *release) run(ctx context.Context) error {
	stopBeat := r.beat(ctx)
	defer stopBeat()
	if _, err := r.serving(ctx); err != nil {
		return err
	}
	if r.in.Settle {
		return r.settle(ctx)
	}
	return r.drain(ctx)
}

// drain sweeps until nothing deferred under an earlier epoch is left.
func (r *release) drain(ctx context.Context) error {
	var idleSince time.Time
	for {
		released, err := r.sweep(ctx)
		if err != nil {
			return err
		}
		left, err := r.count(ctx)
		switch {
		case err != nil:
			return err
		case left == 0:
			return nil
		case released > 0:
			idleSince = time.Time{}
		case idleSince.IsZero():
			idleSince = time.Now()
		case time.Since(idleSince) > r.Pace.Patience:
			r.Log.Warn("released orders have not ended; recovery goes on without them", "component", r.in.Component, "orders", left)
			return nil
		}
		if left, err = r.ebb(ctx, left); err != nil || left == 0 {
			return err
		}
	}
}

// ebb waits while the backlog shrinks by itself, since orders that were released
// are listed until they have ended, and counting is cheaper than listing.
func (r *release) ebb(ctx context.Context, left int64) (int64, error) {
	for i := 0; i < 8; i++ {
		if err := r.pause(ctx, r.Pace.Pass); err != nil {
			return left, err
		}
		now, err := r.count(ctx)
		if err != nil || now == 0 || now >= left {
			return now, err
		}
		left = now
	}
	return left, nil
}

// settle sweeps at growing intervals until nothing was found for long enough. An
// order that could not be signalled was found, too.
func (r *release) settle(ctx context.Context) error {
	quiet, wait := time.Now(), r.Pace.Pass
	for {
		missed := r.missed.Load()
		released, err := r.sweep(ctx)
		if err != nil {
			return err
		}
		if released > 0 || r.missed.Load() > missed {
			quiet, wait = time.Now(), r.Pace.Pass
		}
		if time.Since(quiet) >= r.Pace.Settle {
			return nil
		}
		if err := r.pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, r.Pace.Settle/3)
	}
}

// sweep releases every order it finds that has not been released yet, and returns
// how many.
func (r *release) sweep(ctx context.Context) (int, error) {
	r.passes.Add(1)
	before := r.released.Load()
	backlog := backlog{client: r.Client, component: r.in.Component, before: r.in.Epoch}
	err := backlog.oldestFirst(ctx, func(orders []deferred) error {
		return r.page(ctx, orders)
	})
	return int(r.released.Load() - before), err
}

// page releases orders, the first of all as canaries.
func (r *release) page(ctx context.Context, orders []deferred) error {
	fresh := orders[:0:0]
	for _, o := range orders {
		if _, done := r.sent[o.id]; !done {
			fresh = append(fresh, o)
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	if !r.warm {
		canaries := fresh[:min(r.Pace.Canary, len(fresh))]
		if err := r.signalAll(ctx, canaries); err != nil {
			return err
		}
		if err := r.awaitEnd(ctx, canaries); err != nil {
			return err
		}
		r.warm, fresh = true, fresh[len(canaries):]
	}
	return r.signalAll(ctx, fresh)
}

// signalAll signals the orders in turn, several at once, at the pace of the ramp.
func (r *release) signalAll(ctx context.Context, orders []deferred) error {
	if r.warm && r.limiter == nil {
		r.limiter, r.began = rate.NewLimiter(rate.Limit(r.Pace.Start), 1+r.Pace.Parallel/4), time.Now()
	}
	group, groupCtx := errgroup.WithContext(ctx)
	group.SetLimit(r.Pace.Parallel)
	for i, o := range orders {
		if r.warm {
			r.limiter.SetLimit(r.ramp())
			if err := r.limiter.Wait(groupCtx); err != nil {
				break // the group's error says why
			}
		}
		if r.warm && i%r.Pace.PilotEvery == 0 {
			r.pilot(ctx, groupCtx, group, o)
			continue
		}
		group.Go(func() error { return r.signal(groupCtx, o.id) })
	}
	return group.Wait()
}

// pilot releases an order as a pilot, when one of those on their way has ended.
func (r *release) pilot(ctx, groupCtx context.Context, group *errgroup.Group, o deferred) {
	select {
	case r.pilots <- struct{}{}:
	case <-groupCtx.Done():
		return // the group's error says why
	}
	group.Go(func() error {
		err := r.signal(groupCtx, o.id)
		go func() { // it may outlast its page
			defer func() { <-r.pilots }()
			if err == nil {
				r.ended(ctx, o)
			}
		}()
		return err
	})
}

// ramp is the rate at this moment.
func (r *release) ramp() rate.Limit {
	limit := r.Pace.Start
	for d := time.Since(r.began); d >= r.Pace.Double && limit < r.Pace.Ceiling; d -= r.Pace.Double {
		limit *= 2
	}
	return rate.Limit(min(limit, r.Pace.Ceiling))
}

func (r *release) signal(ctx context.Context, workflowID string) error {
	now, err := r.serving(ctx) // at the last moment: its turn may have been long in coming
	if err != nil {
		return err
	}
	err = r.Client.SignalWorkflow(ctx, workflowID, "", ltp.StabilitySignal, ltp.Stability{
		Component: r.in.Component, State: now.State, Epoch: now.Epoch,
	})
	if err != nil && !errors.As(err, new(*serviceerror.NotFound)) {
		if ctx.Err() == nil {
			r.missed.Add(1)
			r.Log.Warn("order not released, the next sweep finds it", "workflow", workflowID, "error", err)
			return nil
		}
		return err
	}
	r.mu.Lock()
	r.sent[workflowID] = struct{}{}
	r.mu.Unlock()
	r.released.Add(1)
	if err == nil && r.Released != nil {
		r.Released(r.in.Component)
	}
	return nil
}

// awaitEnd waits until the orders have ended, for CanaryWait at most. An order that
// failed has ended too: what it says of the component, the observer says better.
func (r *release) awaitEnd(ctx context.Context, orders []deferred) error {
	var wg sync.WaitGroup
	for _, o := range orders {
		wg.Go(func() { r.ended(ctx, o) })
	}
	wg.Wait()
	_, err := r.serving(ctx)
	return err
}

// ended returns when the order has ended, or after CanaryWait.
func (r *release) ended(ctx context.Context, o deferred) {
	waiting, cancel := context.WithTimeout(ctx, r.Pace.CanaryWait)
	defer cancel()
	_ = r.Client.GetWorkflow(waiting, o.id, "").Get(waiting, nil)
}

// serving returns the orientation that this release serves, or errMovedOn when it is
// no longer the one in force. While the board is blind, or still behind, it waits.
func (r *release) serving(ctx context.Context) (board.Reading, error) {
	now, err := r.Board.Wait(ctx, r.in.Component, func(now board.Reading) bool {
		return now.Epoch > r.in.Epoch || (now.Epoch == r.in.Epoch && !now.Blind)
	})
	switch {
	case err != nil:
		return now, err
	case now.Epoch != r.in.Epoch || !now.State.Fit():
		return now, errMovedOn
	}
	return now, nil
}

// pause waits between sweeps, for as long as the orientation stands.
func (r *release) pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		_, err := r.serving(ctx)
		return err
	}
}

// beat heartbeats the report until the returned function is called.
func (r *release) beat(ctx context.Context) (stop func()) {
	beating, cancel := context.WithCancel(ctx)
	go func() {
		t := time.NewTicker(time.Second)
		defer t.Stop()
		for {
			select {
			case <-beating.Done():
				return
			case <-t.C:
				activity.RecordHeartbeat(ctx, r.report())
			}
		}
	}()
	return cancel
}

// Add adds what another Release did.
func (r *ReleaseReport) Add(other ReleaseReport) {
	r.Released += other.Released
	r.Passes += other.Passes
	r.MovedOn = r.MovedOn || other.MovedOn
}
