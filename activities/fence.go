package activities

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
)

// fenceWithin is how long the fence of a job waits for a reading. Without one by then
// nothing is begun.
const fenceWithin = 4 * time.Second

// FenceInput asks the fence for an order that an activity of the user's executes.
type FenceInput struct {
	OrderID    string      `json:"order_id"`
	Components []string    `json:"components"`
	Request    ltp.Request `json:"request"`
}

// Fenced is the fence's answer: the orientation, and what it asks to do.
type Fenced struct {
	Decision ltp.Decision `json:"decision"`
	Fence    ltp.Fence    `json:"fence"`
	// Why says why not, where the decision is not to execute.
	Why string `json:"why,omitempty"`
}

// Fence asks the decision table on readings that were begun after it was asked, as
// Execute does before its write. It runs as a local activity, directly before an
// activity of the user's is scheduled. It never fails; what cannot be known is deferred.
func (a *Orders) Fence(ctx context.Context, in FenceInput) (Fenced, error) {
	fence, err := ask(ctx, a.Board, in.Components, in.Request)
	if err != nil {
		return Fenced{Decision: ltp.Defer, Fence: fence, Why: err.Error()}, nil
	}
	return Fenced{Decision: ltp.Execute, Fence: fence}, nil
}

// ask returns what the fence found, and an error unless the write may begin.
func ask(ctx context.Context, b *board.Board, components []string, request ltp.Request) (ltp.Fence, error) {
	ctx, cancel := context.WithTimeout(ctx, fenceWithin)
	defer cancel()
	reading, decision, err := b.Fence(ctx, components, request)
	fence := ltp.Fence{Component: reading.Component, State: reading.State, Epoch: reading.Epoch, ReadAt: stamp(reading.ReadAt)}
	switch {
	case err != nil:
		return fence, fmt.Errorf("not begun: no orientation of %s could be read: %w", reading.Component, err)
	case !decision.Admissible():
		return fence, &errFenced{reading, decision}
	}
	return fence, nil
}

// Guard puts the fence directly in front of the write of an activity of your own: it
// asks the board, and calls write if the order may still act. Between the fence of the
// workflow and a worker that takes the job may lie seconds.
//
// It returns what the order's receipt should say. An error of write is returned as it
// is when it is an application error of type Rejected or Unavailable; after any other
// the outcome is unknown. Where write is not called, the error is of type Unavailable.
func Guard(ctx context.Context, b *board.Board, job ltp.Job, write func(context.Context) (repeated bool, err error)) (ltp.Done, error) {
	fence, err := ask(ctx, b, job.Order.Components(), job.Request())
	if err != nil {
		return ltp.Done{}, failure(Unavailable, err.Error(), Attempt{EndedAt: stamp(time.Now()), Fence: fence})
	}
	begun := stamp(time.Now())
	repeated, err := write(ctx)
	ended := stamp(time.Now())
	if err != nil {
		kind := OutcomeUnknown
		var told *temporal.ApplicationError
		if errors.As(err, &told) && (told.Type() == Rejected || told.Type() == Unavailable) {
			kind = told.Type()
			err = errors.New(told.Message())
		}
		return ltp.Done{}, failure(kind, err.Error(), Attempt{BegunAt: begun, EndedAt: ended, Fence: fence})
	}
	return ltp.Done{Repeated: repeated, BegunAt: begun, CommittedAt: ended, Fence: fence}, nil
}

// failure is an error that the Order workflow understands.
func failure(kind, message string, attempt Attempt) error {
	return temporal.NewApplicationErrorWithOptions(message, kind, temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{attempt},
	})
}

// OrderReader is what Confirm needs of the order database: see orderdb.DB. An
// OrderWriter that is none keeps an order whose outcome is unknown waiting.
type OrderReader interface {
	Row(ctx context.Context, id string) (orderdb.Row, error)
}

// Confirmation says whether an order is in the order database.
type Confirmation struct {
	// Receipt is nil when the order is not there.
	Receipt *ltp.Receipt `json:"receipt,omitempty"`
	// Fence is the orientation under which the order database was asked.
	Fence ltp.Fence `json:"fence"`
}

// Confirm looks up an order whose attempts have all failed, and of which nobody knows
// whether one of them took effect. It writes nothing, and it asks only while the
// component is fit.
//
// Its errors are application errors with an Attempt as detail: Rejected when another
// order has the ID, Unavailable when nobody could tell.
func (a *Orders) Confirm(ctx context.Context, in ExecuteInput) (Confirmation, error) {
	unavailable := func(fence ltp.Fence, err error) (Confirmation, error) {
		return Confirmation{}, failure(Unavailable, err.Error(), Attempt{EndedAt: stamp(time.Now()), Fence: fence})
	}
	if end, ok := ctx.Deadline(); ok {
		var release context.CancelFunc
		ctx, release = context.WithDeadlineCause(ctx, end.Add(-answerBefore), errOutOfTime)
		defer release()
	}
	fence, err := ask(ctx, a.Board, in.Order.Components(), in.Request)
	if err != nil {
		return unavailable(fence, err)
	}
	db, ok := a.DB.(OrderReader)
	if !ok {
		return unavailable(fence, errors.New("this order database cannot be read"))
	}
	row, err := db.Row(ctx, in.Order.ID)
	switch {
	case errors.Is(err, orderdb.ErrNotFound):
		return Confirmation{Fence: fence}, nil
	case err != nil:
		return unavailable(fence, err)
	case row.Order.ContentHash() != in.Order.ContentHash():
		return Confirmation{}, failure(Rejected, orderdb.ErrConflict.Error(), Attempt{EndedAt: stamp(time.Now()), Fence: fence})
	}
	written := stamp(row.CreatedAt) // by the clock of the order database
	return Confirmation{Fence: fence, Receipt: &ltp.Receipt{Repeated: true, BegunAt: written, CommittedAt: written, Fence: fence}}, nil
}
