// Package replay releases deferred orders when their component is fit again: a few
// canaries, then at the pace that the orders released before bear out, in sweeps until
// the visibility store shows none any more. It stops when the orientation moves on,
// does what operators say, and goes on elsewhere when its process dies.
package replay

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay/pace"
)

// Meter measures replays. Its methods must return at once.
type Meter interface {
	// Released is called for every order released.
	Released(component string)
	// Replaying tells how far a release is, every second; Replayed that it has ended.
	Replaying(component string, now ReleaseReport)
	Replayed(component string)
}

// Engine releases deferred orders. One activity runs for each recovery.
type Engine struct {
	Client client.Client
	Board  *board.Board
	Pace   pace.Settings
	// Meter is told of every release; nil tells nobody.
	Meter Meter
	Log   *slog.Logger

	falls falls
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

var (
	// errMovedOn ends a release that the orientation has overtaken.
	errMovedOn = errors.New("the orientation moved on")
	// errHandOver ends an attempt that has lasted for long: the next goes on.
	errHandOver = errors.New("this attempt has lasted as long as Temporal lets one last; the next goes on")
)

// handOver is how long before Temporal gives an attempt up it ends by itself: what
// Temporal gives up without a missed heartbeat may have a successor at once.
const handOver = time.Minute

// Release lists the deferred orders and signals each that the component is fit again:
// a class before the next, within it the oldest first. A few canaries go first, until
// they commit; then the pace follows what the pilots among them tell. Visibility lags
// behind, so one sweep is never the last.
//
// It stops at once when the board says that the orientation moved on. It waits while the
// board is blind, while an operator has paused the replay, and while it is not certain
// to be the only one. After a crash the next attempt goes on where the heartbeat says;
// an order that is signalled twice acts once.
func (e *Engine) Release(ctx context.Context, in ReleaseInput) (ReleaseReport, error) {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := newRelease(e, in, activity.GetInfo(ctx))
	if activity.HasHeartbeatDetails(ctx) {
		var before ReleaseReport
		if err := activity.GetHeartbeatDetails(ctx, &before); err == nil {
			r.goOn(before)
		}
	}
	if err := r.lease.renew(ctx, e.Client, r.token, r.report()); err != nil {
		return ReleaseReport{}, err
	}
	var beside sync.WaitGroup
	beside.Go(func() { r.beat(running, ctx, stop) })
	beside.Go(func() { r.heed(running, stop) })
	beside.Go(func() { r.survey(running) })
	if end, ok := ctx.Deadline(); ok {
		alarm := time.AfterFunc(time.Until(end)-handOver, func() { stop(errHandOver) })
		defer alarm.Stop()
	}
	err := r.run(running)
	if cause := context.Cause(running); cause != nil {
		err = cause // not the error of whatever it cut short
	}
	stop(nil)
	r.signals.Wait()
	r.watches.Wait()
	beside.Wait()
	if e.Meter != nil {
		e.Meter.Replayed(in.Component)
	}
	report := r.progress.report()
	switch {
	case errors.Is(err, errMovedOn):
		if !e.Board.Orientation(in.Component).State.Fit() {
			e.falls.fell(in.Component, r.pacer.peak())
		}
		report.MovedOn, err = true, nil
	case errors.Is(err, errHandOver):
		err = temporal.NewApplicationErrorWithOptions(err.Error(), "HandOver", temporal.ApplicationErrorOptions{
			Category: temporal.ApplicationErrorCategoryBenign,
		})
	}
	return report.done(), err
}

// falls remembers at which rate components fell while this process released their
// orders, for the release that follows. Where that runs elsewhere, it begins as any.
type falls struct {
	mu sync.Mutex
	of map[string]fall
}

type fall struct {
	rate float64
	at   time.Time
}

// fallsFor is for how long a fall is remembered: what caused it may be mended.
const fallsFor = 10 * time.Minute

func (f *falls) fell(component string, rate float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.of == nil {
		f.of = map[string]fall{}
	}
	f.of[component] = fall{rate, time.Now()}
}

// rate is that of the latest fall, 0 if there was none of late.
func (f *falls) rate(component string) float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	if last := f.of[component]; time.Since(last.at) < fallsFor {
		return last.rate
	}
	return 0
}
