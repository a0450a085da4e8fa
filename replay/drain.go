package replay

import (
	"context"
	"errors"
	"time"
)

const (
	// slowest is the longest pause between sweeps of a drain that find nothing new.
	slowest = 2 * time.Second
	// unseen is how many times Patience a drain waits for a visibility store that does
	// not answer.
	unseen = 4
	// counts is how often orders are counted while they become fewer, before they are
	// listed again.
	counts = 8
)

// drain sweeps until nothing deferred under an earlier epoch is left, as far as the
// visibility store can be believed. A component must not stay RECOVERING, and defer
// whatever is new, because that store shows orders which have long ended, counts what it
// does not list, or does not answer: once all was seen, the drain ends when nothing was
// released for Patience. What the store shows after that is released while the component
// is STABLE.
func (r *release) drain(ctx context.Context) error {
	for wait := r.Pace.Pass; ; {
		before := r.progress.report().Released
		left, err := r.sweepAndCount(ctx)
		switch idle := r.idle(); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err == nil && left == 0:
			return r.awaitServing(ctx)
		case err == nil && r.swept && idle > r.Pace.Patience:
			r.Log.Warn("released orders have not ended; recovery goes on without them", "component", r.in.Component, "orders", left)
			return r.awaitServing(ctx)
		case err != nil && idle > unseen*r.Pace.Patience:
			r.Log.Warn("the backlog cannot be seen; recovery goes on without it", "component", r.in.Component, "error", err)
			return r.awaitServing(ctx)
		case err != nil:
			r.Log.Warn("the backlog cannot be seen, trying again", "component", r.in.Component, "error", err)
		}
		r.progress.stage(r.idlePhase())
		if wait = min(2*wait, max(slowest, r.Pace.Pass)); r.progress.report().Released > before {
			wait = r.Pace.Pass
		}
		if left, err = r.awaitDrain(ctx, left, wait); err != nil {
			return err
		}
		if left == 0 {
			return r.awaitServing(ctx)
		}
	}
}

// sweepAndCount sweeps, and then counts what is left.
func (r *release) sweepAndCount(ctx context.Context) (int64, error) {
	if err := r.sweep(ctx); err != nil && !errors.Is(err, errIdle) {
		return unknown, err
	}
	return r.count(ctx)
}

// unknown is how many are left while the store does not answer.
const unknown = -1

// awaitDrain waits, and goes on waiting while the backlog shrinks by itself, since orders
// that have ended are listed a while longer, and counting is cheaper than listing.
func (r *release) awaitDrain(ctx context.Context, left int64, wait time.Duration) (int64, error) {
	for range counts {
		if err := sleep(ctx, wait); err != nil {
			return left, err
		}
		if err := r.awaitServing(ctx); err != nil {
			return left, err
		}
		now, err := r.count(ctx)
		if err != nil {
			return unknown, ctx.Err()
		}
		if now == 0 || now >= left {
			return now, nil
		}
		left = now
	}
	return left, nil
}

// settle sweeps at growing intervals until nothing was released for long enough. A store
// that does not answer, and a release that failed with Temporal, begin the time anew.
func (r *release) settle(ctx context.Context) error {
	quiet, wait := time.Now(), r.Pace.Pass
	for {
		released, unsent := r.progress.report().Released, r.unsent.Load()
		err := r.sweep(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			r.Log.Warn("the backlog cannot be seen, trying again", "component", r.in.Component, "error", err)
			quiet = time.Now()
		case r.progress.report().Released > released || r.unsent.Load() > unsent:
			quiet, wait = time.Now(), r.Pace.Pass
		}
		if time.Since(quiet) >= r.Pace.Settle {
			return nil
		}
		r.progress.stage(r.idlePhase())
		if err := sleep(ctx, wait); err != nil {
			return err
		}
		if err := r.awaitServing(ctx); err != nil {
			return err
		}
		wait = min(2*wait, r.Pace.Settle/3)
	}
}
