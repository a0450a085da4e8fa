package activities_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
)

var job = ltp.Job{Order: order, Attempt: "A1/1"}

// boardOf is a board that reads this state whenever the fence asks.
func boardOf(s ltp.State) *board.Board {
	return board.Of(func(context.Context, string) (board.Reading, error) { return seen(s, 7), nil }, []string{db}, silent)
}

// failureOf is what the error of a guarded write says to the Order workflow.
func failureOf(t *testing.T, err error) (kind string, attempted ltp.Attempted) {
	t.Helper()
	var failure *temporal.ApplicationError
	require.ErrorAs(t, err, &failure)
	assert.True(t, failure.NonRetryable(), "the workflow decides what follows")
	require.NoError(t, failure.Details(&attempted))
	assert.False(t, attempted.EndedAt.IsZero())
	return failure.Type(), attempted
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

	for _, state := range []ltp.State{ltp.Unstable, ltp.Unknown, ltp.Recovering} {
		_, err = activities.Guard(t.Context(), boardOf(state), job, write)
		kind, attempted := failureOf(t, err)
		assert.Equal(t, ltp.UnavailableError, kind)
		assert.Zero(t, attempted.BegunAt, "nothing was begun")
		assert.Equal(t, state, attempted.Fence.State)
	}
	assert.Equal(t, 1, written)

	replay := job
	replay.Replay = true
	_, err = activities.Guard(t.Context(), boardOf(ltp.Recovering), replay, write)
	assert.NoError(t, err)
}

func TestWhatAGuardedWriteSaysIsPassedOn(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind string
	}{
		{errors.New("the connection was lost"), ltp.UnknownError},
		{temporal.NewApplicationError("out of stock", ltp.RejectedError), ltp.RejectedError},
		{temporal.NewApplicationError("try later", ltp.UnavailableError), ltp.UnavailableError},
		{temporal.NewApplicationError("who knows", "Mine"), ltp.UnknownError},
	} {
		_, err := activities.Guard(t.Context(), boardOf(ltp.Stable), job, func(context.Context) (bool, error) { return false, c.err })
		kind, attempted := failureOf(t, err)
		assert.Equal(t, c.kind, kind)
		assert.NotZero(t, attempted.BegunAt)
		assert.Equal(t, ltp.Stable, attempted.Fence.State)
	}
}

// TestAGuardThatCannotReadBeginsNothing, and does not wait for ever.
func TestAGuardThatCannotReadBeginsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := board.Of(func(context.Context, string) (board.Reading, error) {
			return board.Reading{}, errors.New("temporal is away")
		}, []string{db}, silent)
		began := time.Now()
		_, err := activities.Guard(t.Context(), b, job, func(context.Context) (bool, error) {
			t.Error("written")
			return false, nil
		})
		kind, attempted := failureOf(t, err)
		assert.Equal(t, ltp.UnavailableError, kind)
		assert.Zero(t, attempted.BegunAt)
		assert.Less(t, time.Since(began), time.Minute)
	})
}
