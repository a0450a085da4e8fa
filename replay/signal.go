package replay

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/ltp-node/ltp"
)

// signalTimeout is how long a signal may take; a later sweep finds the order.
const signalTimeout = 5 * time.Second

// give releases an order when its turn has come, as a pilot where it is one: no more
// than some pilots are on their way at once, so that what is released and has not ended
// is bounded.
func (r *release) give(ctx context.Context, o waiting) error {
	r.progress.stage(PhaseRamp)
	if err := r.turn(ctx); err != nil {
		return err
	}
	if !r.claim(o) {
		return nil
	}
	r.progress.update(func(report *ReleaseReport) { report.Oldest = o.started })
	pilot := r.nth%r.Pace.PilotEvery == 0
	r.nth++
	if pilot {
		if err := take(ctx, r.pilots); err != nil {
			r.disclaim(o)
			return err
		}
	}
	return r.send(ctx, o, func(at time.Time, taken bool) {
		if !pilot {
			return
		}
		r.watches.Go(func() {
			defer func() { <-r.pilots }()
			if taken {
				r.learn(r.fate(ctx, o, at))
			}
		})
	})
}

// take waits for room.
func take(ctx context.Context, room chan struct{}) error {
	select {
	case room <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// send signals an order that was claimed beside others, and then tells when, and whether
// the order took it.
func (r *release) send(ctx context.Context, o waiting, then func(at time.Time, taken bool)) error {
	if err := take(ctx, r.slots); err != nil {
		r.disclaim(o)
		then(time.Time{}, false)
		return err
	}
	r.signals.Go(func() {
		defer func() { <-r.slots }()
		then(r.signal(ctx, o))
	})
	return nil
}

// signal signals an order as soon as it may, and reports when that was, and whether the
// order took it.
func (r *release) signal(ctx context.Context, o waiting) (at time.Time, taken bool) {
	now, err := r.admitted(ctx) // at the last moment: its turn may have been long in coming
	if err != nil {
		r.disclaim(o)
		return time.Time{}, false
	}
	at = time.Now()
	calling, cancel := context.WithTimeout(ctx, signalTimeout)
	defer cancel()
	err = r.Client.SignalWorkflow(calling, o.id, "", ltp.StabilitySignal, ltp.Stability{
		Component: r.in.Component, State: now.State, Epoch: now.Epoch,
	})
	switch {
	case errors.As(err, new(*serviceerror.NotFound)): // it has ended, and is listed a while longer
		r.signalled.Add(1)
		return at, false
	case err != nil:
		r.disclaim(o)
		if ctx.Err() == nil {
			r.missed.Add(1)
			r.Log.Warn("order not released, the next sweep finds it", "workflow", o.id, "error", err)
		}
		return at, false
	}
	r.signalled.Add(1)
	r.progress.update(func(report *ReleaseReport) { report.Released++ })
	r.news()
	if r.Meter != nil {
		r.Meter.Released(r.in.Component)
	}
	return at, true
}
