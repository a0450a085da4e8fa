package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

// guardTimeout is how long Guard waits for a reading. Without one by then nothing is
// begun.
const guardTimeout = 4 * time.Second

// Guard puts the fence directly in front of the write of an activity of your own: it
// asks the board, and calls write if the order may still act. Between the fence of the
// workflow and a worker that takes the job may lie seconds.
//
// It returns what the order's receipt should say. An error of write is returned as it
// is when it is an application error of type Rejected or Unavailable; after any other
// the outcome is unknown. Where write is not called, the error is of type Unavailable.
func Guard(ctx context.Context, b *board.Board, job ltp.Job, write func(context.Context) (repeated bool, err error)) (ltp.Done, error) {
	asking, cancel := context.WithTimeout(ctx, guardTimeout)
	defer cancel()
	r, fence, err := b.Fence(asking, ltp.RouteInput{OrderID: job.Order.ID, Components: job.Order.Components(), Request: job.Request()})
	if err == nil && !r.Decision.Admissible() {
		err = fmt.Errorf("%s is %s (epoch %d), which asks to %s", r.Component, r.State, r.Epoch, r.Decision)
	}
	if err != nil {
		return ltp.Done{}, failure(ltp.UnavailableError, "not begun: "+err.Error(), ltp.Attempted{EndedAt: ltp.Stamped(time.Now()), Fence: fence})
	}
	begun := ltp.Stamped(time.Now())
	repeated, err := write(ctx)
	ended := ltp.Stamped(time.Now())
	if err != nil {
		kind := ltp.UnknownError
		var own *temporal.ApplicationError
		if errors.As(err, &own) && (own.Type() == ltp.RejectedError || own.Type() == ltp.UnavailableError) {
			kind = own.Type()
			err = errors.New(own.Message())
		}
		return ltp.Done{}, failure(kind, err.Error(), ltp.Attempted{BegunAt: begun, EndedAt: ended, Fence: fence})
	}
	return ltp.Done{Repeated: repeated, BegunAt: begun, CommittedAt: ended, Fence: fence}, nil
}

// failure is an error that the Order workflow understands.
func failure(kind, message string, attempted ltp.Attempted) error {
	return temporal.NewApplicationErrorWithOptions(message, kind, temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{attempted},
	})
}
