package replay

import (
	"context"

	"github.com/ltp-node/ltp/board"
)

// movedOn reports whether the orientation is no longer the one that this release serves.
// A board that is behind, or unreadable, does not know.
func (r *release) movedOn(now board.Reading) bool {
	return now.Epoch > r.in.Epoch || (now.Epoch == r.in.Epoch && !now.Unreadable && !now.State.Fit())
}

// serves reports whether now is the orientation that this release serves.
func (r *release) serves(now board.Reading) bool {
	return now.Epoch == r.in.Epoch && !now.Unreadable && now.State.Fit()
}

// isServing reports whether this release knows that it serves the orientation in force, and
// that no other attempt has taken its place.
func (r *release) isServing(now board.Reading) bool { return r.serves(now) && r.lease.held() }

// mayRelease reports whether an order may be released at this moment.
func (r *release) mayRelease(now board.Reading) bool {
	return r.isServing(now) && !now.ReplayControl.Paused
}

func (r *release) reading() board.Reading { return r.Board.Orientation(r.in.Component) }

// watchOrientation stops the release when the orientation moves on: whatever it waits for
// just then, its turn, an answer, or the visibility store, ends at once.
func (r *release) watchOrientation(ctx context.Context, stop context.CancelCauseFunc) {
	if _, err := r.Board.Wait(ctx, r.in.Component, r.movedOn); err == nil {
		stop(errMovedOn)
	}
}

// awaitServing returns once this release is certain of what it serves.
func (r *release) awaitServing(ctx context.Context) error {
	_, err := r.await(ctx, r.isServing)
	return err
}

// admitted returns the orientation under which an order may be released, as soon as one
// may.
func (r *release) admitted(ctx context.Context) (board.Reading, error) {
	now := r.reading()
	if !r.mayRelease(now) {
		if now.ReplayControl.Paused {
			r.paused.Store(true)
		}
		var err error
		if now, err = r.await(ctx, r.mayRelease); err != nil {
			return now, err
		}
		r.progressed()
	}
	r.resume()
	return now, nil
}

// resume goes on where a pause has ended: with the ramp from its beginning, and without
// the memory of what was released, since the pause deferred again what was routed
// meanwhile.
func (r *release) resume() {
	if r.reading().ReplayControl.Paused || !r.paused.CompareAndSwap(true, false) {
		return
	}
	r.progressed()
	r.pacer.restart()
	r.mu.Lock()
	r.sent.forget()
	r.mu.Unlock()
	r.resumes.Add(1)
}

// await returns the first reading that fits, and errMovedOn when none will.
func (r *release) await(ctx context.Context, fits func(board.Reading) bool) (board.Reading, error) {
	now, err := r.Board.Wait(ctx, r.in.Component, func(now board.Reading) bool {
		return r.movedOn(now) || fits(now)
	})
	if err == nil && r.movedOn(now) {
		err = errMovedOn
	}
	return now, err
}
