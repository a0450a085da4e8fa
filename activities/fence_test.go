package activities_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
)

// boardOf is a board that reads this state whenever the fence asks.
func boardOf(s ltp.State) *board.Board {
	return board.Of(func(context.Context, string) (board.Reading, error) {
		return board.Reading{Orientation: ltp.Orientation{Component: ltp.DefaultComponent, State: s, Epoch: 7}, ReadAt: time.Now()}, nil
	}, []string{ltp.DefaultComponent}, slog.New(slog.DiscardHandler))
}

var job = ltp.Job{Order: ltp.Order{ID: "A2", Customer: "c", Currency: "USD", Lines: []ltp.Line{{SKU: "book", Quantity: 1}}}, Attempt: "A2/1"}

// kindOf is the type of an application error, and the attempt in its details.
func kindOf(t *testing.T, err error) (string, activities.Attempt) {
	t.Helper()
	var failure *temporal.ApplicationError
	require.ErrorAs(t, err, &failure)
	assert.True(t, failure.NonRetryable(), "the workflow decides what follows")
	var attempt activities.Attempt
	require.NoError(t, failure.Details(&attempt))
	assert.False(t, attempt.EndedAt.IsZero())
	return failure.Type(), attempt
}

func TestFenceAnswersAsTheTableDoes(t *testing.T) {
	for state, want := range map[ltp.State]ltp.Decision{
		ltp.Stable: ltp.Execute, ltp.Degraded: ltp.Execute, ltp.Unstable: ltp.Defer, ltp.Unknown: ltp.Defer, ltp.Recovering: ltp.Defer,
	} {
		a := &activities.Orders{Board: boardOf(state)}
		asked := time.Now().Truncate(time.Millisecond)
		fenced, err := a.Fence(t.Context(), activities.FenceInput{OrderID: "A2", Components: []string{ltp.DefaultComponent}})
		require.NoError(t, err)
		assert.Equal(t, want, fenced.Decision, state)
		assert.Equal(t, state, fenced.Fence.State)
		assert.False(t, fenced.Fence.ReadAt.Before(asked), "it was read after it was asked")
		assert.Equal(t, want == ltp.Execute, fenced.Why == "", fenced.Why)
	}
	replay, err := (&activities.Orders{Board: boardOf(ltp.Recovering)}).Fence(t.Context(), activities.FenceInput{
		OrderID: "A2", Components: []string{ltp.DefaultComponent}, Request: ltp.Request{Replay: true},
	})
	require.NoError(t, err)
	assert.Equal(t, ltp.Execute, replay.Decision)
}

func TestFenceThatCannotReadIsShut(t *testing.T) {
	silent := board.Of(func(ctx context.Context, _ string) (board.Reading, error) {
		return board.Reading{}, errors.New("temporal is away")
	}, []string{ltp.DefaultComponent}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	fenced, err := (&activities.Orders{Board: silent}).Fence(ctx, activities.FenceInput{OrderID: "A2", Components: []string{ltp.DefaultComponent}})
	require.NoError(t, err)
	assert.Equal(t, ltp.Defer, fenced.Decision)
	assert.NotEmpty(t, fenced.Why)
}

func TestGuardStandsDirectlyBeforeTheWrite(t *testing.T) {
	written := 0
	write := func(context.Context) (bool, error) { written++; return true, nil }
	done, err := activities.Guard(t.Context(), boardOf(ltp.Stable), job, write)
	require.NoError(t, err)
	assert.True(t, done.Repeated)
	assert.False(t, done.BegunAt.Before(done.Fence.ReadAt))
	assert.False(t, done.CommittedAt.Before(done.BegunAt))
	assert.Equal(t, 1, written)

	_, err = activities.Guard(t.Context(), boardOf(ltp.Unstable), job, write)
	kind, attempt := kindOf(t, err)
	assert.Equal(t, activities.Unavailable, kind)
	assert.Zero(t, attempt.BegunAt, "nothing was begun")
	assert.Equal(t, 1, written)

	for _, c := range []struct {
		err  error
		kind string
	}{
		{errors.New("the connection was lost"), activities.OutcomeUnknown},
		{temporal.NewApplicationError("out of stock", activities.Rejected), activities.Rejected},
		{temporal.NewApplicationError("try later", activities.Unavailable), activities.Unavailable},
		{temporal.NewApplicationError("who knows", "Mine"), activities.OutcomeUnknown},
	} {
		_, err := activities.Guard(t.Context(), boardOf(ltp.Stable), job, func(context.Context) (bool, error) { return false, c.err })
		kind, attempt := kindOf(t, err)
		assert.Equal(t, c.kind, kind)
		assert.NotZero(t, attempt.BegunAt)
		assert.Equal(t, ltp.Stable, attempt.Fence.State)
	}
}

// rows is an order database that can be read.
type rows struct {
	activities.OrderWriter
	row orderdb.Row
	err error
}

func (r rows) Row(context.Context, string) (orderdb.Row, error) { return r.row, r.err }

func TestConfirmLooksAndWritesNothing(t *testing.T) {
	in := activities.ExecuteInput{Order: job.Order, Request: ltp.Request{Replay: true}}
	at := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	confirm := func(s ltp.State, db activities.OrderWriter) (activities.Confirmation, error) {
		return (&activities.Orders{Board: boardOf(s), DB: db}).Confirm(t.Context(), in)
	}
	found, err := confirm(ltp.Stable, rows{row: orderdb.Row{Order: job.Order, CreatedAt: at}})
	require.NoError(t, err)
	require.NotNil(t, found.Receipt)
	assert.True(t, found.Receipt.Repeated)
	assert.Equal(t, at, found.Receipt.CommittedAt)
	assert.Equal(t, ltp.Stable, found.Fence.State)

	found, err = confirm(ltp.Recovering, rows{err: orderdb.ErrNotFound})
	require.NoError(t, err)
	assert.Nil(t, found.Receipt)

	other := job.Order
	other.Customer = "d"
	_, err = confirm(ltp.Stable, rows{row: orderdb.Row{Order: other, CreatedAt: at}})
	kind, _ := kindOf(t, err)
	assert.Equal(t, activities.Rejected, kind)

	for _, c := range []struct {
		state ltp.State
		db    activities.OrderWriter
	}{
		{ltp.Unstable, rows{err: orderdb.ErrNotFound}},
		{ltp.Stable, rows{err: errors.New("no connection")}},
		{ltp.Stable, struct{ activities.OrderWriter }{}},
	} {
		_, err := confirm(c.state, c.db)
		kind, attempt := kindOf(t, err)
		assert.Equal(t, activities.Unavailable, kind)
		assert.Zero(t, attempt.BegunAt)
	}
}
