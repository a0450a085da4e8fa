package activities_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/mock/gomock"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	mockdb "github.com/ltp-node/ltp/orderdb/mock"
)

var order = ordertest.New("A1")

// attempt is the second attempt at the order, which the routing before admitted, in a task
// that was given the epochs.
func attempt(given ...int64) ltp.ExecuteInput {
	return ltp.ExecuteInput{
		Order: order, Admitted: true, Given: given,
		Route: ltp.RouteInput{OrderID: order.ID, Components: []string{db}, Written: db, Attempt: 3, Woken: ltp.WokenByFence},
	}
}

// release is an attempt whose fence routes the order, in a task that was given the epochs.
func release(given ...int64) ltp.ExecuteInput {
	in := attempt(given...)
	in.Admitted, in.Route.Woken, in.Route.Request = false, ltp.WokenBySignal, ltp.Request{Replay: true}
	return in
}

// put is what an order database does with an order.
type put func(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error)

// unavailable is how an order database says that nothing was written.
func unavailable(err error) error { return &orderdb.Error{Class: orderdb.Unavailable, Err: err} }

// writes asks for the receipt, and then ends as given. Without an error the order is stored
// under that receipt.
func writes(end error) put {
	return func(_ context.Context, _ ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
		receipt, err := admit()
		switch {
		case err != nil:
			return orderdb.Stored{}, unavailable(err)
		case end != nil:
			return orderdb.Stored{}, end
		}
		return orderdb.Stored{Receipt: receipt}, nil
	}
}

// finds asks for the receipt, and finds what stands under the order's key already.
func finds(stored orderdb.Stored) put {
	return func(_ context.Context, _ ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
		if _, err := admit(); err != nil {
			return orderdb.Stored{}, unavailable(err)
		}
		stored.Repeated = true
		return stored, nil
	}
}

// never fails the test when a write is admitted after all.
func never(t *testing.T) put {
	return func(_ context.Context, _ ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
		_, err := admit()
		require.Error(t, err, "admitted")
		return orderdb.Stored{}, unavailable(err)
	}
}

// execute runs Execute once, as the local activity that it is. Nothing that it does is an
// error. A nil put is an order database that must not be asked.
func execute(t *testing.T, b *board.Board, put put, in ltp.ExecuteInput) ltp.Attempt {
	t.Helper()
	return executeWith(t, t.Context(), &activities.Orders{Board: b, Worker: "host/7"}, put, in)
}

func executeWith(t *testing.T, ctx context.Context, a *activities.Orders, put put, in ltp.ExecuteInput) ltp.Attempt {
	t.Helper()
	db := mockdb.NewMockDB(gomock.NewController(t))
	if put != nil {
		db.EXPECT().Put(gomock.Any(), in.Order, gomock.Not(gomock.Nil())).DoAndReturn(put)
	}
	a.DB = db
	return local[ltp.Attempt](t, ctx, a, a.Execute, in)
}

func TestAnAdmittedOrderIsWrittenAndItsReceiptSaysWhenAndBehindWhatFence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(db)
		reading := seen(ltp.Stable, 3)
		reading.LastFit = 3
		b.Put(reading)
		began := time.Now().UTC()
		fence := ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3, LastFit: 3, ReadAt: began.Add(3 * time.Millisecond)}
		row := ltp.Receipt{Attempt: "A1/2", Worker: "host/7", BegunAt: began.Add(3 * time.Millisecond), Fence: fence}
		got := execute(t, b, func(_ context.Context, _ ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
			time.Sleep(3 * time.Millisecond) // a connection
			receipt, err := admit()
			if err != nil {
				return orderdb.Stored{}, unavailable(err)
			}
			assert.Equal(t, row, receipt, "what the row says of its write, before that begins")
			time.Sleep(7*time.Millisecond + time.Microsecond) // the write
			return orderdb.Stored{Receipt: receipt}, nil
		}, attempt(3))
		receipt := row
		receipt.CommittedAt = began.Add(10 * time.Millisecond)
		assert.Equal(t, ltp.Attempt{
			Result: ltp.ResultExecuted, Fence: fence, Worker: "host/7",
			BegunAt: began.Add(3 * time.Millisecond), EndedAt: began.Add(10 * time.Millisecond), Receipt: &receipt,
		}, got)
	})
}

// TestARowThatIsMetIsTheReceipt: an earlier attempt, of which nothing is in history, has
// written the order, and the order's row says which.
func TestARowThatIsMetIsTheReceipt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(db)
		b.Put(seen(ltp.Recovering, 5))
		row := ltp.Receipt{
			Attempt: "A1/1", Worker: "host/6", BegunAt: time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC),
			Fence: ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3, ReadAt: time.Date(2030, 1, 31, 11, 59, 59, 0, time.UTC)},
		}
		now := ltp.Stamped(time.Now())
		got := execute(t, b, finds(orderdb.Stored{Receipt: row}), release(5))
		assert.Equal(t, ltp.ResultExecuted, got.Result)
		row.Repeated, row.CommittedAt = true, now
		assert.Equal(t, &row, got.Receipt)
		assertFence(t, ltp.Fence{Component: db, State: ltp.Recovering, Epoch: 5}, got.Fence, "that of this attempt")
		assert.Equal(t, now, got.BegunAt)
	})
}

// TestATombstoneThatIsMetIsTheEnd that it names, and nothing is written.
func TestATombstoneThatIsMetIsTheEnd(t *testing.T) {
	b := newBoard(db)
	b.Put(seen(ltp.Stable, 3))
	end := ltp.Ending{State: ltp.Expired, Reason: "deadline passed"}
	got := execute(t, b, finds(orderdb.Stored{Tombstone: &end}), attempt(3))
	assert.Equal(t, ltp.ResultWithdrawn, got.Result)
	assert.Equal(t, &end, got.Withdrawn)
	assert.Nil(t, got.Receipt)
}

// TestEveryEndOfAWriteIsAResultOfItsOwn: callers must not mix them up.
func TestEveryEndOfAWriteIsAResultOfItsOwn(t *testing.T) {
	cause := errors.New("connection reset by peer")
	wrapped := func(err error) error { return fmt.Errorf("put A1: %w", err) }
	rejected := &orderdb.Error{Class: orderdb.Rejected, Message: "credit limit exceeded", Err: errors.New("P0001")}
	unknown := &orderdb.Error{Class: orderdb.Unknown, Err: cause}
	before := func(end error) put { // no connection is held
		return func(context.Context, ltp.Order, func() (ltp.Receipt, error)) (orderdb.Stored, error) {
			return orderdb.Stored{}, end
		}
	}
	for _, row := range []struct {
		name   string
		put    put
		result ltp.Result
		says   string
		begun  bool
	}{
		{"executed", writes(nil), ltp.ResultExecuted, "", true},
		{"refused for good", writes(rejected), ltp.ResultRefused, "credit limit exceeded", true},
		{"refused for good, wrapped", writes(wrapped(rejected)), ltp.ResultRefused, "credit limit exceeded", true},
		{"nothing was written", writes(unavailable(cause)), ltp.ResultUnavailable, "connection reset", true},
		{"nobody can know", writes(unknown), ltp.ResultUnknown, "connection reset", true},
		{"an error without a class", writes(cause), ltp.ResultUnknown, "connection reset", true},
		{"an error of a class of a later version", writes(&orderdb.Error{Class: "torn", Err: cause}), ltp.ResultUnknown, "torn", true},
		{"its context ended while it was written", writes(context.DeadlineExceeded), ltp.ResultUnknown, "deadline", true},
		{"no connection", before(unavailable(cause)), ltp.ResultNotBegun, "connection reset", false},
		{"an error without a class, before it began", before(cause), ltp.ResultNotBegun, "connection reset", false},
		{"nobody can know, before it began", before(unknown), ltp.ResultNotBegun, "connection reset", false},
		{"refused for good, before it began", before(rejected), ltp.ResultNotBegun, "credit limit exceeded", false},
	} {
		for kind, in := range map[string]ltp.ExecuteInput{"admitted": attempt(3), "released": release(3)} {
			t.Run(row.name+", "+kind, func(t *testing.T) {
				b := newBoard(db)
				b.Put(seen(ltp.Stable, 3))
				got := execute(t, b, row.put, in)
				assert.Equal(t, row.result, got.Result)
				assert.Contains(t, got.Error, row.says)
				assert.Equal(t, row.begun, !got.BegunAt.IsZero())
				assert.False(t, got.EndedAt.IsZero())
				assert.Equal(t, "host/7", got.Worker)
				assert.Equal(t, row.result == ltp.ResultExecuted, got.Receipt != nil)
				assert.Equal(t, kind == "released", got.Routing != nil, "a release is routed whatever comes of it")
				if row.begun {
					assertFence(t, ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3}, got.Fence)
				}
			})
		}
	}
}

// assertFence compares but for when it was read, which must be said.
func assertFence(t *testing.T, want, got ltp.Fence, why ...any) {
	t.Helper()
	assert.False(t, got.ReadAt.IsZero())
	want.ReadAt = got.ReadAt
	assert.Equal(t, want, got, why...)
}
