package activities_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
)

// orders is an order database of functions. One that is nil must not be called.
type orders struct {
	put      put
	withdraw withdraw
}

// withdraw is what an order database does with an order that is to end unwritten.
type withdraw func(ctx context.Context, o ltp.Order, end ltp.Ending, admit func() error) (orderdb.Stored, error)

func (o orders) Put(ctx context.Context, order ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
	return o.put(ctx, order, admit)
}

func (o orders) Withdraw(ctx context.Context, order ltp.Order, end ltp.Ending, admit func() error) (orderdb.Stored, error) {
	return o.withdraw(ctx, order, end, admit)
}

// buries writes the tombstone, or finds what is given.
func buries(found *orderdb.Stored, end error) withdraw {
	return func(_ context.Context, _ ltp.Order, e ltp.Ending, admit func() error) (orderdb.Stored, error) {
		err := admit()
		switch {
		case err != nil:
			return orderdb.Stored{}, unavailable(err)
		case end != nil:
			return orderdb.Stored{}, end
		case found != nil:
			return *found, nil
		}
		return orderdb.Stored{Tombstone: &e}, nil
	}
}

var cancelled = ltp.Ending{State: ltp.Cancelled, Reason: "by the customer"}

// stamped asks for the end of an order that the door stamped with an epoch.
func stamped(epoch int64) ltp.WithdrawInput {
	return ltp.WithdrawInput{Order: order, End: cancelled, Stamp: ltp.Stamp{Epoch: epoch, State: ltp.Unstable}, Written: db}
}

func end(t *testing.T, b *board.Board, w withdraw, in ltp.WithdrawInput) ltp.Withdrawal {
	t.Helper()
	a := &activities.Orders{Board: b, DB: orders{withdraw: w}, Worker: "host/7"}
	got := local[ltp.Withdrawal](t, t.Context(), a, a.Withdraw, in)
	assert.Equal(t, "host/7", got.Worker)
	assert.False(t, got.EndedAt.IsZero())
	return got
}

// unfit is a reading of a component that was fit in an earlier epoch.
func unfit(s ltp.State, epoch, lastFit int64) board.Reading {
	r := seen(s, epoch)
	r.LastFit = lastFit
	return r
}

// TestAnOrderThatNoFitEpochHasSeenEndsAtOnce: no write of it can have begun, and the order
// database is not asked.
func TestAnOrderThatNoFitEpochHasSeenEndsAtOnce(t *testing.T) {
	for name, c := range map[string]struct {
		now   board.Reading
		stamp int64
		want  ltp.Found
	}{
		"accepted in this outage":             {unfit(ltp.Unstable, 4, 3), 4, ltp.FoundUnwritten},
		"of an observer that was lost in it":  {unfit(ltp.Unknown, 5, 3), 4, ltp.FoundUnwritten},
		"accepted while it was fit":           {unfit(ltp.Unstable, 4, 3), 3, ltp.FoundNothing},
		"accepted in the outage before":       {unfit(ltp.Unstable, 6, 5), 4, ltp.FoundNothing},
		"without a stamp":                     {unfit(ltp.Unstable, 4, 3), 0, ltp.FoundNothing},
		"of an Orientation that was lost":     {unfit(ltp.Unknown, 2, 1), 4, ltp.FoundNothing},
		"of a state of a later version":       {unfit("SERENE", 4, 3), 4, ltp.FoundUnwritten},
		"of an Orientation that says nothing": {unfit("", 4, 3), 4, ltp.FoundNothing},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard(db)
			b.Put(c.now)
			got := end(t, b, nil, stamped(c.stamp))
			assert.Equal(t, c.want, got.Found)
			assert.False(t, got.Unreadable)
			assertFence(t, ltp.Fence{Component: db, State: c.now.State, Epoch: c.now.Epoch, LastFit: c.now.LastFit}, got.Fence)
			assert.Nil(t, got.End)
			assert.Nil(t, got.Receipt)
		})
	}
}

func TestWithdrawalIsDecidedByTheOrderDatabaseWhileItIsFit(t *testing.T) {
	earlier := ltp.Ending{State: ltp.Expired, Reason: "deadline passed"}
	row := ltp.Receipt{Attempt: "A1/1", Worker: "host/6", BegunAt: time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)}
	conflict := &orderdb.Error{Class: orderdb.Rejected, Message: "another order with this id", Err: orderdb.ErrConflict}
	for name, c := range map[string]struct {
		do    withdraw
		found ltp.Found
		end   *ltp.Ending
		says  string
	}{
		"a tombstone is written":                 {buries(nil, nil), ltp.FoundTombstone, &cancelled, ""},
		"an earlier one stands":                  {buries(&orderdb.Stored{Repeated: true, Tombstone: &earlier}, nil), ltp.FoundTombstone, &earlier, ""},
		"the order stands there":                 {buries(&orderdb.Stored{Repeated: true, Receipt: row}, nil), ltp.FoundOrder, nil, ""},
		"another order holds the key":            {buries(nil, conflict), ltp.FoundUnwritten, nil, "another order"},
		"nothing was written":                    {buries(nil, unavailable(errors.New("connection refused"))), ltp.FoundNothing, nil, "connection refused"},
		"nobody knows whether it was":            {buries(nil, &orderdb.Error{Class: orderdb.Unknown, Err: errors.New("reset")}), ltp.FoundNothing, nil, "reset"},
		"an error without a class":               {buries(nil, errors.New("odd")), ltp.FoundNothing, nil, "odd"},
		"refused for good by something else yet": {buries(nil, &orderdb.Error{Class: orderdb.Rejected, Message: "no", Err: errors.New("P0001")}), ltp.FoundNothing, nil, "no"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard(db)
			b.Put(unfit(ltp.Recovering, 5, 5))
			got := end(t, b, c.do, stamped(4))
			assert.Equal(t, c.found, got.Found)
			assert.Equal(t, c.end, got.End)
			assert.Contains(t, got.Error, c.says)
			assert.Equal(t, c.says == "", got.Error == "")
			assertFence(t, ltp.Fence{Component: db, State: ltp.Recovering, Epoch: 5, LastFit: 5}, got.Fence)
			if c.found == ltp.FoundOrder {
				require.NotNil(t, got.Receipt)
				want := row
				want.Repeated, want.CommittedAt = true, got.Receipt.CommittedAt
				assert.Equal(t, want, *got.Receipt)
				assert.False(t, got.Receipt.CommittedAt.IsZero())
			}
		})
	}
}

// TestNothingIsWrittenWhileTheComponentIsUnfit, also where it becomes so while the tombstone
// waits for a connection.
func TestNothingIsWrittenWhileTheComponentIsUnfit(t *testing.T) {
	for name, then := range map[string]func() board.Reading{
		"unstable":      func() board.Reading { return unfit(ltp.Unstable, 6, 5) },
		"sight is lost": func() board.Reading { return sightless(5) },
	} {
		t.Run(name, func(t *testing.T) {
			b := newBoard(db)
			b.Put(then())
			got := end(t, b, nil, stamped(4))
			assert.Equal(t, ltp.FoundNothing, got.Found)

			b = newBoard(db)
			b.Put(unfit(ltp.Recovering, 5, 5))
			got = end(t, b, func(_ context.Context, _ ltp.Order, _ ltp.Ending, admit func() error) (orderdb.Stored, error) {
				b.Put(then())
				err := admit()
				require.Error(t, err, "admitted")
				return orderdb.Stored{}, unavailable(err)
			}, stamped(4))
			assert.Equal(t, ltp.FoundNothing, got.Found)
			assert.Contains(t, got.Error, "became unfit")
		})
	}
}

// TestTheTombstoneAsksAgainWhenItHasItsConnection: the reading of before may be old by then.
func TestTheTombstoneAsksAgainWhenItHasItsConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := board.Of(func(context.Context, string) (board.Reading, error) { return unfit(ltp.Stable, 6, 6), nil }, []string{db}, silent)
		var held time.Time
		got := end(t, b, func(_ context.Context, _ ltp.Order, e ltp.Ending, admit func() error) (orderdb.Stored, error) {
			time.Sleep(time.Second)
			held = time.Now()
			require.NoError(t, admit())
			return orderdb.Stored{Tombstone: &e}, nil
		}, stamped(4))
		assert.Equal(t, ltp.FoundTombstone, got.Found)
		assert.Equal(t, ltp.Stamped(held), got.Fence.ReadAt)
		synctest.Wait()
	})
}

// TestWithdrawalWithoutAReadingConcludesNothing: what a worker cannot read is no state of the component,
// whatever its memo says of states and epochs.
func TestWithdrawalWithoutAReadingConcludesNothing(t *testing.T) {
	for name, now := range map[string]ltp.Orientation{
		"the memo says STABLE":                     {Component: db, State: ltp.Unknown, Epoch: 7, LastFit: 7, Reason: "its observer is silent"},
		"the memo says UNSTABLE":                   {Component: db, State: ltp.Unknown, Epoch: 7, LastFit: 6, Reason: "its workflow has ended"},
		"the memo does not say what was fit last":  {Component: db, State: ltp.Unknown, Epoch: 7, Reason: "its observer is silent"},
		"the memo is of a component without epoch": {Component: db, State: ltp.Unknown, Reason: "never observed"},
	} {
		t.Run(name, func(t *testing.T) {
			b := board.Of(func(context.Context, string) (board.Reading, error) {
				return board.Reading{Orientation: now, ReadAt: time.Now(), Unreadable: true}, nil
			}, []string{db}, silent)
			for stamp := range int64(9) {
				got := end(t, b, nil, stamped(stamp))
				assert.Equal(t, ltp.FoundNothing, got.Found)
				assert.True(t, got.Unreadable)
				assert.Equal(t, now.Reason, got.Error)
			}
		})
	}
}

func TestAWithdrawalThatCannotReadAnswersBeforeTemporalGivesItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard(db)
		old := unfit(ltp.Unstable, 4, 3)
		old.ReadAt = old.ReadAt.Add(-3 * time.Second)
		b.Put(old) // as of then, nothing was written: but that is no reading of this task
		got := end(t, b, nil, stamped(4))
		assert.Equal(t, ltp.FoundNothing, got.Found)
		assert.True(t, got.Unreadable)
		assert.Contains(t, got.Error, "could be read")
	})
}
