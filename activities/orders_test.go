package activities_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.uber.org/mock/gomock"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
	mockdb "github.com/ltp-node/ltp/orderdb/mock"
)

var order = ltp.Order{
	ID: "A1", Customer: "ann", Currency: "USD", Lines: []ltp.Line{{SKU: "tea", Quantity: 2, UnitAmountMinor: 450}},
}

// put is what an order database does with an order.
type put func(ctx context.Context, o ltp.Order, admit func() error) (repeated bool, err error)

// unavailable is how an order database says that nothing was written.
func unavailable(err error) error { return &orderdb.Error{Class: orderdb.Unavailable, Err: err} }

// writes asks at the door and then ends as given.
func writes(repeated bool, end error) put {
	return func(_ context.Context, _ ltp.Order, admit func() error) (bool, error) {
		if err := admit(); err != nil {
			return false, unavailable(err)
		}
		return repeated, end
	}
}

// never fails the test when it is written after all.
func never(t *testing.T) put {
	return func(_ context.Context, _ ltp.Order, admit func() error) (bool, error) {
		err := admit()
		require.Error(t, err, "admitted")
		return false, unavailable(err)
	}
}

// execute runs Execute once on an order database that does as it is told.
func execute(t *testing.T, b *board.Board, do put, in activities.ExecuteInput) (ltp.Receipt, error) {
	t.Helper()
	return executeWith(t, t.Context(), &activities.Orders{Board: b}, do, in)
}

func executeWith(t *testing.T, ctx context.Context, a *activities.Orders, put put, in activities.ExecuteInput) (ltp.Receipt, error) {
	t.Helper()
	db := mockdb.NewMockDB(gomock.NewController(t))
	db.EXPECT().Put(gomock.Any(), in.Order, gomock.Not(gomock.Nil())).DoAndReturn(put)
	a.DB = db
	return do[ltp.Receipt](t, environment(ctx, a), a.Execute, in)
}

// attempted is what a failed Execute tells its workflow.
func attempted(t *testing.T, err error) (*temporal.ApplicationError, activities.Attempt) {
	t.Helper()
	var failure *temporal.ApplicationError
	require.ErrorAs(t, err, &failure)
	assert.True(t, failure.NonRetryable(), "Temporal must not try again by itself")
	var attempt activities.Attempt
	require.NoError(t, failure.Details(&attempt))
	return failure, attempt
}

func TestAnAdmittedOrderIsWrittenAndItsReceiptTellsWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(db)
		b.Put(seen(ltp.Stable, 3))
		began := time.Now().UTC()
		receipt, err := execute(t, b, func(_ context.Context, _ ltp.Order, admit func() error) (bool, error) {
			time.Sleep(3 * time.Millisecond) // a connection
			if err := admit(); err != nil {
				return false, unavailable(err)
			}
			time.Sleep(7*time.Millisecond + time.Microsecond) // the write
			return false, nil
		}, activities.ExecuteInput{Order: order})
		require.NoError(t, err)
		assert.Equal(t, ltp.Receipt{
			BegunAt: began.Add(3 * time.Millisecond), CommittedAt: began.Add(10 * time.Millisecond),
			Fence: ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3, ReadAt: began.Add(3 * time.Millisecond)},
		}, receipt)
	})
}

func TestAnOrderThatWasThereAlreadyIsReceiptedAsRepeated(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	receipt, err := execute(t, b, writes(true, nil), activities.ExecuteInput{Order: order})
	require.NoError(t, err)
	assert.True(t, receipt.Repeated)
}

func TestTheFenceRefusesWhatBecameUnfitBetweenRoutingAndTheDoor(t *testing.T) {
	b := newBoard(db)
	a := &activities.Orders{Board: b}
	b.Put(seen(ltp.Stable, 3))
	routing, err := a.CheckOrientation(t.Context(), activities.RouteInput{OrderID: "A1", Components: []string{db}, Attempt: 1})
	require.NoError(t, err)
	require.Equal(t, ltp.Execute, routing.Decision)

	b.Put(seen(ltp.Unstable, 4))
	_, err = executeWith(t, t.Context(), a, never(t), activities.ExecuteInput{Order: order})
	failure, attempt := attempted(t, err)
	assert.Equal(t, activities.Unavailable, failure.Type())
	assert.Contains(t, failure.Message(), "not begun: orders-db is UNSTABLE (epoch 4), which asks to DEFER")
	assert.Zero(t, attempt.BegunAt)
	assert.False(t, attempt.EndedAt.IsZero())
	assertFence(t, ltp.Fence{Component: db, State: ltp.Unstable, Epoch: 4}, attempt.Fence)
}

// TestTheFenceIsTheDecisionTable: the door is as strict as routing was, row by row.
func TestTheFenceIsTheDecisionTable(t *testing.T) {
	for _, state := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering, ltp.Unstable, ltp.Unknown} {
		for _, request := range []ltp.Request{{}, {Replay: true}, {HighRisk: true}, {HighRisk: true, Replay: true}} {
			t.Run(fmt.Sprintf("%s %+v", state, request), func(t *testing.T) {
				b := newBoard(db)
				b.Put(seen(state, 3))
				_, err := execute(t, b, writes(false, nil), activities.ExecuteInput{Order: order, Request: request})
				decision, _ := ltp.Decide(b.Orientation(db).Orientation, request)
				assert.Equal(t, decision.Admissible(), err == nil)
			})
		}
	}
}

func TestTheFenceLooksAtEveryComponentOfTheOrder(t *testing.T) {
	b := newBoard(db, "payments")
	b.Put(seen(ltp.Stable, 3))
	b.Put(seenOf("payments", ltp.Unstable, 8))
	both := order
	both.DependsOn = []string{db, "payments"}
	_, err := execute(t, b, never(t), activities.ExecuteInput{Order: both})
	_, attempt := attempted(t, err)
	assertFence(t, ltp.Fence{Component: "payments", State: ltp.Unstable, Epoch: 8}, attempt.Fence)
}

func TestTheDoorWaitsForAFreshReading(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(db)
		old := seen(ltp.Stable, 3)
		old.ReadAt = old.ReadAt.Add(-time.Second)
		b.Put(old)
		go func() {
			synctest.Wait() // it stands at the door
			b.Put(seen(ltp.Recovering, 6))
		}()
		receipt, err := execute(t, b, writes(false, nil), activities.ExecuteInput{Order: order, Request: ltp.Request{Replay: true}})
		require.NoError(t, err)
		assertFence(t, ltp.Fence{Component: db, State: ltp.Recovering, Epoch: 6}, receipt.Fence)
	})
}

func TestAnExecuteAnswersBeforeTemporalGivesItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(db)
		old := seen(ltp.Stable, 3)
		old.ReadAt = old.ReadAt.Add(-time.Second)
		b.Put(old)
		_, err := execute(t, b, never(t), activities.ExecuteInput{Order: order}) // no fresh reading comes
		failure, attempt := attempted(t, err)
		assert.Equal(t, activities.Unavailable, failure.Type())
		assert.Equal(t, "the time for one attempt is up", failure.Message())
		assert.Zero(t, attempt.BegunAt)

		b.Put(seen(ltp.Stable, 3))
		began := time.Now().UTC()
		_, err = execute(t, b, func(ctx context.Context, _ ltp.Order, admit func() error) (bool, error) {
			if err := admit(); err != nil {
				return false, unavailable(err)
			}
			<-ctx.Done() // no answer comes
			return false, &orderdb.Error{Class: orderdb.Unknown, Err: ctx.Err()}
		}, activities.ExecuteInput{Order: order})
		failure, attempt = attempted(t, err)
		assert.Equal(t, activities.OutcomeUnknown, failure.Type())
		assert.Equal(t, began, attempt.BegunAt)
	})
}

func TestAWriteThatHasNotBegunWhenTheWorkerStopsIsUnavailable(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	ctx, stop := context.WithCancelCause(t.Context())
	_, err := executeWith(t, ctx, &activities.Orders{Board: b}, func(ctx context.Context, _ ltp.Order, _ func() error) (bool, error) {
		stop(errors.New("the worker stops"))
		<-ctx.Done()
		return false, unavailable(ctx.Err())
	}, activities.ExecuteInput{Order: order})
	failure, attempt := attempted(t, err)
	assert.Equal(t, activities.Unavailable, failure.Type())
	assert.Equal(t, "the worker stops", failure.Message())
	assert.Zero(t, attempt.BegunAt)
}

func TestNewsThatTheComponentIsUnfitEndsTheWaitForAConnection(t *testing.T) {
	for name, news := range map[string]func() board.Reading{
		"unstable":      func() board.Reading { return seen(ltp.Unstable, 4) },
		"sight is lost": func() board.Reading { return sightless(3) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBoard(db)
				b.Put(seen(ltp.Stable, 3))
				began := time.Now()
				_, err := execute(t, b, func(ctx context.Context, _ ltp.Order, _ func() error) (bool, error) {
					b.Put(news())
					<-ctx.Done() // no connection comes
					return false, unavailable(ctx.Err())
				}, activities.ExecuteInput{Order: order})
				failure, attempt := attempted(t, err)
				assert.Equal(t, activities.Unavailable, failure.Type())
				assert.Equal(t, "the component became unfit before the write began", failure.Message())
				assert.Zero(t, attempt.BegunAt)
				assert.Zero(t, time.Since(began))
			})
		})
	}
}

func TestNewsThatComesAtTheDoorIsGivenAsTheReason(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	_, err := execute(t, b, func(ctx context.Context, o ltp.Order, admit func() error) (bool, error) {
		b.Put(seen(ltp.Unstable, 4))
		return never(t)(ctx, o, admit)
	}, activities.ExecuteInput{Order: order})
	failure, _ := attempted(t, err)
	assert.Contains(t, failure.Message(), "orders-db is UNSTABLE (epoch 4)")
}

// TestADoorThatNewsHasClosedStaysClosed even for an order database that was given its
// connection nevertheless, and although the component is fit again by then.
func TestADoorThatNewsHasClosedStaysClosed(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	_, err := execute(t, b, func(ctx context.Context, o ltp.Order, admit func() error) (bool, error) {
		b.Put(seen(ltp.Unstable, 4))
		b.Put(seen(ltp.Stable, 6))
		return never(t)(ctx, o, admit)
	}, activities.ExecuteInput{Order: order})
	failure, attempt := attempted(t, err)
	assert.Equal(t, activities.Unavailable, failure.Type())
	assert.Zero(t, attempt.BegunAt)
}

func TestNewsDoesNotCutOffAWriteThatHasBegun(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	receipt, err := execute(t, b, func(ctx context.Context, _ ltp.Order, admit func() error) (bool, error) {
		if err := admit(); err != nil {
			return false, unavailable(err)
		}
		b.Put(seen(ltp.Unstable, 4))
		return false, ctx.Err()
	}, activities.ExecuteInput{Order: order})
	require.NoError(t, err)
	assertFence(t, ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3}, receipt.Fence, "what it began under")
}

// TestEitherTheNewsHasTheDoorOrTheWrite when both arrive at the very same time: a
// write that was admitted is known to have begun and runs on, any other never began.
func TestEitherTheNewsHasTheDoorOrTheWrite(t *testing.T) {
	var begun, refused int
	for round := range 2000 {
		b := newBoard(db)
		b.Put(seen(ltp.Stable, 3))
		a := &activities.Orders{Board: b}
		admitted := false
		a.DB = writer(func(ctx context.Context, _ ltp.Order, admit func() error) (bool, error) {
			var news sync.WaitGroup
			defer news.Wait()
			news.Go(func() { b.Put(seen(ltp.Unstable, 4)) })
			if round%2 == 0 {
				runtime.Gosched() // lets the news come first, now and then
			}
			if err := admit(); err != nil {
				return false, unavailable(err)
			}
			admitted = true
			news.Wait()
			return false, ctx.Err()
		})
		receipt, err := a.Execute(t.Context(), activities.ExecuteInput{Order: order})
		if !admitted {
			_, attempt := attempted(t, err)
			require.Zero(t, attempt.BegunAt)
			refused++
			continue
		}
		require.NoError(t, err, "a write that has begun is not cut off")
		require.False(t, receipt.BegunAt.IsZero())
		begun++
	}
	t.Logf("%d writes came first, %d news", begun, refused)
}

type writer put

func (w writer) Put(ctx context.Context, o ltp.Order, admit func() error) (bool, error) {
	return w(ctx, o, admit)
}

func TestEveryEndOfAWriteIsToldFromTheOthers(t *testing.T) {
	cause := errors.New("connection reset by peer")
	wrapped := func(err error) error { return fmt.Errorf("put A1: %w", err) }
	rejected := &orderdb.Error{Class: orderdb.Rejected, Message: "credit limit exceeded", Err: errors.New("P0001")}
	unknown := &orderdb.Error{Class: orderdb.Unknown, Err: cause}
	before := func(end error) put { // the door is never reached
		return func(context.Context, ltp.Order, func() error) (bool, error) { return false, end }
	}
	rows := []struct {
		name  string
		put   put
		kind  string
		says  string
		begun bool
	}{
		{"refused for good", writes(false, rejected), activities.Rejected, "credit limit exceeded", true},
		{"refused for good, wrapped", writes(false, wrapped(rejected)), activities.Rejected, "credit limit exceeded", true},
		{"nothing was written", writes(false, unavailable(cause)), activities.Unavailable, "connection reset", true},
		{"nobody can know", writes(false, unknown), activities.OutcomeUnknown, "connection reset", true},
		{"an error without a class", writes(false, cause), activities.OutcomeUnknown, "connection reset", true},
		{"an error of a class of a later version", writes(false, &orderdb.Error{Class: "torn", Err: cause}), activities.OutcomeUnknown, "torn", true},
		{"its context ended while it was written", writes(false, context.DeadlineExceeded), activities.OutcomeUnknown, "deadline", true},
		{"no connection", before(unavailable(cause)), activities.Unavailable, "connection reset", false},
		{"an error without a class, before the door", before(cause), activities.Unavailable, "connection reset", false},
		{"nobody can know, before the door", before(unknown), activities.Unavailable, "connection reset", false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := newBoard(db)
			b.Put(seen(ltp.Stable, 3))
			_, err := execute(t, b, row.put, activities.ExecuteInput{Order: order})
			failure, attempt := attempted(t, err)
			assert.Equal(t, row.kind, failure.Type())
			assert.Contains(t, failure.Message(), row.says)
			assert.Equal(t, row.begun, !attempt.BegunAt.IsZero())
			assert.False(t, attempt.EndedAt.IsZero())
			if row.begun {
				assertFence(t, ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3}, attempt.Fence)
			}
		})
	}
}

// meter keeps what it is told.
type meter struct {
	routings []ltp.Routing
	writes   []wrote
}

type wrote struct {
	fence ltp.Fence
	begun time.Time
	took  time.Duration
	err   error
}

func (m *meter) Routed(r ltp.Routing, _ time.Duration) { m.routings = append(m.routings, r) }

func (m *meter) Wrote(fence ltp.Fence, begun time.Time, took time.Duration, err error) {
	m.writes = append(m.writes, wrote{fence, begun, took, err})
}

func TestEveryWriteIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBoard(db), &meter{}
		a := &activities.Orders{Board: b, Meter: m}
		b.Put(seen(ltp.Stable, 3))
		began := time.Now()
		slow := func(ctx context.Context, o ltp.Order, admit func() error) (bool, error) {
			time.Sleep(4 * time.Millisecond)
			return writes(false, nil)(ctx, o, admit)
		}
		_, err := executeWith(t, t.Context(), a, slow, activities.ExecuteInput{Order: order})
		require.NoError(t, err)
		assert.Equal(t, []wrote{{
			fence: ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3, ReadAt: began.Add(4 * time.Millisecond).UTC()}, begun: began.Add(4 * time.Millisecond), took: 4 * time.Millisecond,
		}}, m.writes)

		b.Put(seen(ltp.Unstable, 4))
		_, err = executeWith(t, t.Context(), a, never(t), activities.ExecuteInput{Order: order})
		require.Error(t, err)
		require.Len(t, m.writes, 2)
		assertFence(t, ltp.Fence{Component: db, State: ltp.Unstable, Epoch: 4}, m.writes[1].fence)
		assert.Zero(t, m.writes[1].begun, "it never began")
		assert.Error(t, m.writes[1].err)
	})
}

func TestRoutingIsTheDecisionTableOnTheBoard(t *testing.T) {
	fresh, replay, risky := ltp.Request{}, ltp.Request{Replay: true}, ltp.Request{HighRisk: true}
	failed := ltp.Request{Failed: true, FailedUnder: db, FailedEpoch: 3}
	rows := []struct {
		state    ltp.State
		request  ltp.Request
		decision ltp.Decision
		reason   ltp.Reason
	}{
		{ltp.Stable, fresh, ltp.Execute, ltp.ReasonOK},
		{ltp.Stable, failed, ltp.Defer, ltp.ReasonExecuteUnavailable},
		{ltp.Degraded, fresh, ltp.Execute, ltp.ReasonOK},
		{ltp.Degraded, risky, ltp.Defer, ltp.ReasonDegraded},
		{ltp.Unstable, fresh, ltp.Defer, ltp.ReasonUnstable},
		{ltp.Unstable, replay, ltp.Defer, ltp.ReasonUnstable},
		{ltp.Recovering, fresh, ltp.Defer, ltp.ReasonRecovering},
		{ltp.Recovering, replay, ltp.Execute, ltp.ReasonRecoveryConfirmed},
		{ltp.Unknown, replay, ltp.Defer, ltp.ReasonUnknown},
	}
	for _, row := range rows {
		t.Run(fmt.Sprintf("%s %+v", row.state, row.request), func(t *testing.T) {
			b, m := newBoard(db), &meter{}
			a := &activities.Orders{Board: b, Meter: m}
			reading := seen(row.state, 3)
			b.Put(reading)
			value, err := environment(t.Context(), a).ExecuteLocalActivity(a.CheckOrientation, activities.RouteInput{
				OrderID: "A1", Components: []string{db}, Request: row.request, Attempt: 2, Replays: "A1/1", Woken: ltp.WokenByTimer,
			})
			require.NoError(t, err)
			var routing ltp.Routing
			require.NoError(t, value.Get(&routing))
			assert.Equal(t, ltp.Routing{
				Attempt: 2, Replays: "A1/1", Woken: ltp.WokenByTimer, Decision: row.decision, Reason: row.reason,
				Component: db, State: row.state, Epoch: 3, ReadAt: reading.ReadAt.UTC().Truncate(time.Millisecond),
			}, routing)
			assert.Equal(t, []ltp.Routing{routing}, m.routings)
		})
	}
}

func TestRoutingNeverFailsAndDefersWhatCannotBeKnown(t *testing.T) {
	b := newBoard(db)
	a := &activities.Orders{Board: b}
	routing, err := a.CheckOrientation(t.Context(), activities.RouteInput{OrderID: "A1", Components: []string{db}, Attempt: 1})
	require.NoError(t, err)
	assert.Equal(t, ltp.Routing{
		Attempt: 1, Decision: ltp.Defer, Reason: ltp.ReasonUnknown, Component: db, State: ltp.Unknown, Blind: true,
	}, routing, "never read")

	b.Put(seen(ltp.Stable, 3))
	routing, err = a.CheckOrientation(t.Context(), activities.RouteInput{OrderID: "A1", Components: []string{db, "payments"}, Attempt: 1})
	require.NoError(t, err)
	assert.Equal(t, "payments", routing.Component, "not on this worker's board")
	assert.Equal(t, ltp.Defer, routing.Decision)
	assert.True(t, routing.Blind)
}

// assertFence compares but for when it was read, which must be told.
func assertFence(t *testing.T, want, got ltp.Fence, why ...any) {
	t.Helper()
	assert.False(t, got.ReadAt.IsZero())
	want.ReadAt = got.ReadAt
	assert.Equal(t, want, got, why...)
}
