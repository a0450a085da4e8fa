package activities_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
	mockdb "github.com/ltp-node/ltp/orderdb/mock"
)

func TestAnAttemptAnswersBeforeTemporalGivesItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(db)
		old := seen(ltp.Stable, 3)
		old.ReadAt = old.ReadAt.Add(-3 * time.Second)
		b.Put(old)
		got := execute(t, b, never(t), attempt(3)) // no fresh reading comes
		assert.Equal(t, ltp.ResultNotBegun, got.Result)
		assert.Equal(t, "not begun: the time for one attempt is up", got.Error)
		assert.Zero(t, got.BegunAt)

		b.Put(seen(ltp.Stable, 3))
		got = execute(t, b, func(ctx context.Context, _ ltp.Order, _ func() (ltp.Receipt, error)) (orderdb.Stored, error) {
			<-ctx.Done() // no connection comes
			return orderdb.Stored{}, unavailable(ctx.Err())
		}, release(3))
		assert.Equal(t, ltp.ResultNotBegun, got.Result)
		assert.Equal(t, "not begun: the time for one attempt is up", got.Error)
		assert.NotNil(t, got.Routing)

		b.Put(seen(ltp.Stable, 3))
		began := time.Now().UTC()
		got = execute(t, b, func(ctx context.Context, _ ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
			if _, err := admit(); err != nil {
				return orderdb.Stored{}, unavailable(err)
			}
			<-ctx.Done() // no answer comes
			return orderdb.Stored{}, &orderdb.Error{Class: orderdb.Unknown, Err: ctx.Err()}
		}, attempt(3))
		assert.Equal(t, ltp.ResultUnknown, got.Result)
		assert.Equal(t, began, got.BegunAt)
	})
}

func TestAWriteThatHasNotBegunWhenTheWorkerStopsIsNotBegun(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	ctx, stop := context.WithCancelCause(t.Context())
	writer := mockdb.NewMockDB(gomock.NewController(t))
	writer.EXPECT().Put(gomock.Any(), gomock.Any(), gomock.Any()).DoAndReturn(func(ctx context.Context, _ ltp.Order, _ func() (ltp.Receipt, error)) (orderdb.Stored, error) {
		stop(errors.New("the worker stops"))
		<-ctx.Done()
		return orderdb.Stored{}, unavailable(ctx.Err())
	})
	// Not by the environment of the SDK, which answers for an activity that was cancelled
	// where it is sooner than the activity.
	got, err := (&activities.Orders{Board: b, DB: writer}).Execute(ctx, attempt(3))
	require.NoError(t, err)
	assert.Equal(t, ltp.ResultNotBegun, got.Result)
	assert.Equal(t, "not begun: the worker stops", got.Error)
	assert.Zero(t, got.BegunAt)
}

func TestBecomingUnfitEndsTheWaitForAConnection(t *testing.T) {
	for name, news := range map[string]func() board.Reading{
		"unstable":      func() board.Reading { return seen(ltp.Unstable, 4) },
		"sight is lost": func() board.Reading { return sightless(3) },
	} {
		for kind, in := range map[string]ltp.ExecuteInput{"admitted": attempt(3), "released": release(3)} {
			t.Run(name+", "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := newBoard(db)
					b.Put(seen(ltp.Stable, 3))
					began := time.Now()
					got := execute(t, b, func(ctx context.Context, _ ltp.Order, _ func() (ltp.Receipt, error)) (orderdb.Stored, error) {
						b.Put(news())
						<-ctx.Done() // no connection comes
						return orderdb.Stored{}, unavailable(ctx.Err())
					}, in)
					assert.Equal(t, ltp.ResultNotBegun, got.Result)
					assert.Equal(t, "not begun: the component became unfit before the write began", got.Error)
					assert.Zero(t, got.BegunAt)
					assert.Zero(t, time.Since(began))
					if !in.Admitted {
						assert.Equal(t, ltp.Defer, got.Routing.Decision, "the order is deferred by what ended the wait")
					}
				})
			})
		}
	}
}

// TestAWriteThatFindsTheComponentUnfitSaysSo: its routing does, when a connection is held.
func TestAWriteThatFindsTheComponentUnfitSaysSo(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	got := execute(t, b, func(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
		b.Put(seen(ltp.Unstable, 4))
		return never(t)(ctx, o, admit)
	}, attempt(3, 4))
	assert.Equal(t, ltp.ResultNotBegun, got.Result)
	require.NotNil(t, got.Routing)
	assert.Equal(t, ltp.ReasonUnstable, got.Routing.Reason)
	assert.EqualValues(t, 4, got.Routing.Epoch)
}

// TestAWriteThatWasCalledOffStaysSo even for an order database that has its connection
// nevertheless, and although the component is fit again by then.
func TestAWriteThatWasCalledOffStaysSo(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	got := execute(t, b, func(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
		b.Put(seen(ltp.Unstable, 4))
		b.Put(seen(ltp.Stable, 6))
		return never(t)(ctx, o, admit)
	}, attempt(3, 4, 6))
	assert.Equal(t, ltp.ResultNotBegun, got.Result)
	assert.Zero(t, got.BegunAt)
}

func TestBecomingUnfitDoesNotCutOffAWriteThatHasBegun(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	got := execute(t, b, func(ctx context.Context, _ ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
		receipt, err := admit()
		if err != nil {
			return orderdb.Stored{}, unavailable(err)
		}
		b.Put(seen(ltp.Unstable, 4))
		return orderdb.Stored{Receipt: receipt}, ctx.Err()
	}, attempt(3))
	assert.Equal(t, ltp.ResultExecuted, got.Result)
	assertFence(t, ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3}, got.Receipt.Fence, "what it began under")
}

// TestEitherTheWriteBeginsOrItIsCalledOff when both come at the very same time: a write that
// was admitted is known to have begun and runs on, any other never began.
func TestEitherTheWriteBeginsOrItIsCalledOff(t *testing.T) {
	var begun, calledOff int
	for round := range 2000 {
		b := newBoard(db)
		b.Put(seen(ltp.Stable, 3))
		admitted := false
		a := &activities.Orders{Board: b, DB: orders{put: func(ctx context.Context, _ ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
			var news sync.WaitGroup
			defer news.Wait()
			news.Go(func() { b.Put(seen(ltp.Unstable, 4)) })
			if round%2 == 0 {
				runtime.Gosched() // lets the news come first, now and then
			}
			receipt, err := admit()
			if err != nil {
				return orderdb.Stored{}, unavailable(err)
			}
			admitted = true
			news.Wait()
			return orderdb.Stored{Receipt: receipt}, ctx.Err()
		}}}
		got, err := a.Execute(t.Context(), attempt(3))
		require.NoError(t, err)
		if !admitted {
			require.Equal(t, ltp.ResultNotBegun, got.Result)
			require.Zero(t, got.BegunAt)
			calledOff++
			continue
		}
		require.Equal(t, ltp.ResultExecuted, got.Result, "a write that has begun is not cut off")
		require.False(t, got.BegunAt.IsZero())
		begun++
	}
	t.Logf("%d writes began, %d were called off", begun, calledOff)
}
