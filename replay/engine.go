// Package replay releases the backlog of a component that is fit again, as a circuit
// breaker does that closes: a few canaries first, then at a rate that follows the outcome
// of each release (AIMD with slow start, see package pace), with a bound on those in
// flight. It sweeps until the visibility store shows no order any more. It stops when the
// orientation moves on, follows the ReplayControl of operators, and goes on elsewhere when its
// process dies: a lease, kept by heartbeats, makes sure that one release runs at a time.
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

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay/pace"
)

// Meter measures replays. Its methods must return at once.
type Meter interface {
	// Released is called for every order released.
	Released(component string)
	// Replaying is called every second of a release, and Replayed when it has ended.
	Replaying(component string, now ltp.ReleaseReport)
	Replayed(component string)
}

// Engine releases deferred orders. One activity runs for each recovery.
type Engine struct {
	Client client.Client
	Board  *board.Board
	Pace   pace.Settings
	// Worker names this process in what it reports of canaries.
	Worker string
	// Meter measures the releases; nil measures none.
	Meter Meter
	Log   *slog.Logger

	failureRates   recent[float64]  // by component, at which it failed during a release
	failedCanaries recent[struct{}] // by workflow ID
}

var (
	// errMovedOn ends a release that the orientation has overtaken.
	errMovedOn = errors.New("the orientation moved on")
	// errHandOver ends an attempt that has lasted for long: the next goes on.
	errHandOver = errors.New("this attempt has lasted as long as Temporal allows; the next goes on")
)

// handOver is how long before its timeout an attempt ends by itself, so that the next one
// begins in good order: an attempt that Temporal times out with its heartbeats in time has
// a successor at once, and may not know.
const handOver = time.Minute

// Release lists the deferred orders and releases each by an Update: a class before the
// next, within it the oldest first. A few canaries go first, until they commit; then the
// pace follows the outcome of every release. Visibility lags behind, so one sweep is never
// the last.
//
// It stops at once when the board shows that the orientation moved on. It waits while the
// board is unreadable, while an operator has paused the replay, and while it is not certain
// to be the only one. After a crash the next attempt goes on where the heartbeat was; an
// order that is released twice acts once.
func (e *Engine) Release(ctx context.Context, in ltp.ReleaseInput) (ltp.ReleaseReport, error) {
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	r := newRelease(e, in, activity.GetInfo(ctx))
	if activity.HasHeartbeatDetails(ctx) {
		var before ltp.ReleaseReport
		if err := activity.GetHeartbeatDetails(ctx, &before); err == nil {
			r.resumeFrom(before)
		}
	}
	if err := r.lease.renew(ctx, e.Client, r.token, r.report()); err != nil {
		return ltp.ReleaseReport{}, err
	}
	var beside sync.WaitGroup
	beside.Go(func() { r.heartbeat(running, ctx, stop) })
	beside.Go(func() { r.watchOrientation(running, stop) })
	beside.Go(func() { r.survey(running) })
	for range e.Pace.InFlight {
		beside.Go(func() { r.send(running) })
	}
	if end, ok := ctx.Deadline(); ok {
		alarm := time.AfterFunc(time.Until(end)-handOver, func() { stop(errHandOver) })
		defer alarm.Stop()
	}
	err := r.run(running)
	if cause := context.Cause(running); cause != nil {
		err = cause // not the error of whatever it cut short
	}
	stop(nil)
	close(r.turns)
	beside.Wait()
	if e.Meter != nil {
		e.Meter.Replayed(in.Component)
	}
	report := r.progress.report()
	switch {
	case errors.Is(err, errMovedOn):
		if !e.Board.Orientation(in.Component).State.Fit() {
			e.failureRates.add(in.Component, r.pacer.peak())
		}
		report.MovedOn, err = true, nil
	case errors.Is(err, errHandOver):
		err = temporal.NewApplicationErrorWithOptions(err.Error(), "HandOver", temporal.ApplicationErrorOptions{
			Category: temporal.ApplicationErrorCategoryBenign,
		})
	}
	return report.Done(), err
}
