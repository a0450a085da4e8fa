package orderdb_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

var (
	cancelled = ltp.Ending{State: ltp.Cancelled, Reason: "asked for"}
	expired   = ltp.Ending{State: ltp.Expired, Reason: "its deadline passed"}
)

// receipt is of the nth attempt to write an order, with times as a worker's clock has them.
func receipt(id string, n int) ltp.Receipt {
	at := time.Date(2026, 3, 4, 5, 6, 7, 8_999_999, time.FixedZone("", 3600)).Add(time.Duration(n) * time.Second)
	return ltp.Receipt{
		Attempt: ltp.RequestFrameID(id, n), Worker: fmt.Sprint("host:", n), BegunAt: at,
		Fence: ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: int64(n) << 40, ReadAt: at.Add(-time.Second)},
	}
}

// inRow is what a row holds of a receipt.
func inRow(r ltp.Receipt) ltp.Receipt {
	r.BegunAt = r.BegunAt.UTC().Truncate(time.Millisecond)
	r.Fence.ReadAt = r.Fence.ReadAt.UTC().Truncate(time.Millisecond)
	return r
}

func admit(r ltp.Receipt) func() (ltp.Receipt, error) {
	return func() (ltp.Receipt, error) { return r, nil }
}

// mustWithdraw withdraws an order within seconds.
func mustWithdraw(t *testing.T, db orderdb.DB, o ltp.Order, end ltp.Ending) orderdb.Stored {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stored, err := db.Withdraw(ctx, o, end, nil)
	require.NoError(t, err)
	return stored
}

func TestAnOrderKeepsTheReceiptOfTheWriteThatHappened(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		first := inRow(receipt("A1", 1))
		stored, err := db.Put(t.Context(), ordertest.New("A1"), admit(receipt("A1", 1)))
		require.NoError(t, err)
		assert.Equal(t, orderdb.Stored{Receipt: first}, stored)

		for _, db := range []orderdb.DB{db, open(t, url)} {
			stored, err = db.Put(t.Context(), ordertest.New("A1"), admit(receipt("A1", 2)))
			require.NoError(t, err)
			assert.Equal(t, orderdb.Stored{Repeated: true, Receipt: first}, stored)
		}
		row, err := db.Row(t.Context(), "A1")
		require.NoError(t, err)
		assert.Equal(t, first, row.Receipt)
		for e, err := range openLedger(t, url).Entries(t.Context(), []string{"A1"}) {
			require.NoError(t, err)
			assert.Equal(t, first, e.Receipt)
		}
	})
}

func TestAnOrderMayBeWrittenWithoutAReceipt(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		none := ltp.Receipt{Fence: ltp.Fence{Component: ltp.DefaultComponent}}
		for _, repeated := range []bool{false, true} {
			stored, err := db.Put(t.Context(), ordertest.New("A1"), nil)
			require.NoError(t, err)
			assert.Equal(t, orderdb.Stored{Repeated: repeated, Receipt: none}, stored)
		}
		assert.EqualValues(t, 1, b.count(t, url, "SELECT count(*) FROM orders WHERE begun_at IS NULL AND read_at IS NULL AND attempt = ''"))
	})
}

func TestAnOrderThatIsWrittenIsNotWithdrawn(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		_, err := db.Put(t.Context(), ordertest.New("A1"), admit(receipt("A1", 1)))
		require.NoError(t, err)
		want := orderdb.Stored{Repeated: true, Receipt: inRow(receipt("A1", 1))}
		for _, db := range []orderdb.DB{db, open(t, url)} {
			assert.Equal(t, want, mustWithdraw(t, db, ordertest.New("A1"), cancelled))
		}
		assertWithdrawn(t, db, 1, 0)
	})
}

func TestAnOrderThatWasWithdrawnIsNeverWritten(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		assert.Equal(t, orderdb.Stored{Tombstone: &cancelled}, mustWithdraw(t, db, ordertest.New("A1"), cancelled))
		there := orderdb.Stored{Repeated: true, Tombstone: &cancelled}
		for _, db := range []orderdb.DB{db, open(t, url)} {
			stored, err := db.Put(t.Context(), ordertest.New("A1"), admit(receipt("A1", 1)))
			require.NoError(t, err)
			assert.Equal(t, there, stored)
			assert.Equal(t, there, mustWithdraw(t, db, ordertest.New("A1"), expired), "the first end stays")
		}
		assertWithdrawn(t, db, 0, 1)
		_, err := db.Row(t.Context(), "A1")
		require.ErrorIs(t, err, orderdb.ErrNotFound, "no reader of orders meets a tombstone")
		missing, err := db.Missing(t.Context(), []string{"A1"})
		require.NoError(t, err)
		assert.Equal(t, []string{"A1"}, missing)
	})
}

func TestEveryEndIsReadAsItWasWritten(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		for i, end := range []ltp.Ending{
			cancelled, expired, {State: ltp.Rejected, Reason: `Ада "O'Neil" 👩🏽‍💻 $1 ?`}, {State: ltp.Cancelled},
		} {
			o := ordertest.New(fmt.Sprint("A", i))
			assert.Equal(t, orderdb.Stored{Tombstone: &end}, mustWithdraw(t, db, o, end))
			assert.Equal(t, orderdb.Stored{Repeated: true, Tombstone: &end}, mustWithdraw(t, db, o, end))
		}
		noText := ltp.Ending{State: ltp.Cancelled, Reason: "a\x00b\xff"}
		assert.Equal(t, "ab\ufffd", mustWithdraw(t, db, ordertest.New("B1"), noText).Tombstone.Reason, "it keeps no order from ending")
		for _, state := range []ltp.OrderState{"", "ORDER", ltp.Executed, ltp.Deferred} {
			_, err := db.Withdraw(t.Context(), ordertest.New("C1"), ltp.Ending{State: state}, nil)
			assertClass(t, orderdb.Unavailable, err)
		}
		assertWithdrawn(t, db, 0, 5)
	})
}

// TestAnotherOrdersKeyIsAConflict, whatever stands under it.
func TestAnotherOrdersKeyIsAConflict(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		mustPut(t, db, ordertest.New("order"))
		mustWithdraw(t, db, ordertest.New("tombstone"), cancelled)
		for _, id := range []string{"order", "tombstone"} {
			_, put := db.Put(t.Context(), ordertest.New(id, ordertest.Customer("grace")), nil)
			_, withdrawn := db.Withdraw(t.Context(), ordertest.New(id, ordertest.Customer("grace")), expired, nil)
			for _, err := range []error{put, withdrawn} {
				assertClass(t, orderdb.Rejected, err)
				require.ErrorIs(t, err, orderdb.ErrConflict)
			}
		}
		assertWithdrawn(t, db, 1, 1)
	})
}

// TestOfPutAndWithdrawExactlyOneWins, and everyone is given what stands there.
func TestOfPutAndWithdrawExactlyOneWins(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		dbs := []orderdb.DB{open(t, url), open(t, url)}
		const keys, each = 40, 3
		var orders, tombstones int64
		for k := range keys {
			o := ordertest.New(fmt.Sprint("A", k))
			stored := make([]orderdb.Stored, 2*each)
			var wg sync.WaitGroup
			for i := range stored {
				wg.Go(func() {
					ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
					defer cancel()
					var err error
					if i%2 == k%2 {
						stored[i], err = dbs[i/2%2].Put(ctx, o, admit(receipt(o.ID, i+1)))
					} else {
						stored[i], err = dbs[i/2%2].Withdraw(ctx, o, ltp.Ending{State: ltp.Cancelled, Reason: fmt.Sprint(i)}, nil)
					}
					assert.NoError(t, err)
				})
			}
			wg.Wait()
			fresh := 0
			for _, s := range stored {
				if !s.Repeated {
					fresh++
				}
				s.Repeated = stored[0].Repeated
				assert.Equal(t, stored[0], s)
			}
			assert.Equal(t, 1, fresh)
			row, err := dbs[0].Row(t.Context(), o.ID)
			if stored[0].Tombstone != nil {
				tombstones++
				require.ErrorIs(t, err, orderdb.ErrNotFound)
				continue
			}
			orders++
			require.NoError(t, err)
			assert.Equal(t, stored[0].Receipt, row.Receipt)
		}
		assertWithdrawn(t, dbs[0], orders, tombstones)
	})
}

// TestNothingThatRefusesAnOrderKeepsItFromBeingWithdrawn: neither a rule of the table
// orders nor its outbox, nor that the table is gone.
func TestNothingThatRefusesAnOrderKeepsItFromBeingWithdrawn(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustPut(t, db, ordertest.New("A0", ordertest.Customer("banned")))
		for i, rule := range []string{
			"CREATE UNIQUE INDEX one_each ON orders (customer)", b.refuse, b.dropOutbox, b.refuseLate, "ALTER TABLE orders RENAME TO old_orders",
		} {
			b.exec(t, url, rule)
			o := ordertest.New(fmt.Sprint("A", i+1), ordertest.Customer("banned"))
			_, err := db.Put(t.Context(), o, nil)
			require.Error(t, err)
			assert.Equal(t, orderdb.Stored{Tombstone: &cancelled}, mustWithdraw(t, db, o, cancelled))
		}
		b.exec(t, url, "ALTER TABLE old_orders RENAME TO orders")
		assertWithdrawn(t, db, 1, 5)
	})
}

// TestARuleAboutKeysRefusesNoWithdrawalForGood: it says nothing about the order.
func TestARuleAboutKeysRefusesNoWithdrawalForGood(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustWithdraw(t, db, ordertest.New("A1"), cancelled)
		b.exec(t, url, "CREATE UNIQUE INDEX one_each ON order_keys (kind)")
		_, err := db.Withdraw(t.Context(), ordertest.New("A2"), cancelled, nil)
		assertClass(t, orderdb.Unavailable, err)
		b.exec(t, url, "DROP INDEX one_each")
		assert.False(t, mustWithdraw(t, db, ordertest.New("A2"), cancelled).Repeated)
	})
}

func TestAWithdrawalThatIsNotAdmittedLeavesNothing(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		fenced := errors.New("the component became unfit")
		_, err := db.Withdraw(t.Context(), ordertest.New("A1"), cancelled, func() error { return fenced })
		assertClass(t, orderdb.Unavailable, err)
		require.ErrorIs(t, err, fenced)
		assert.Zero(t, b.count(t, url, "SELECT count(*) FROM order_keys"))

		_, err = open(t, b.nowhere(t)).Withdraw(t.Context(), ordertest.New("A1"), cancelled, func() error { t.Error("asked for admission"); return nil })
		assertClass(t, orderdb.Unavailable, err)
		assert.False(t, mustPut(t, db, ordertest.New("A1")))
	})
}

func TestAHangingWithdrawalEndsWithItsContext(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustWithdraw(t, db, ordertest.New("A0"), cancelled) // has a connection
		release := b.hold(t, url)
		defer release()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := db.Withdraw(ctx, ordertest.New("A1"), cancelled, nil)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assertClass(t, b.hungClass, err)
		release()
		assert.Equal(t, &cancelled, mustWithdraw(t, db, ordertest.New("A1"), cancelled).Tombstone)
		assertWithdrawn(t, db, 0, 2)
	})
}

// TestAnOrderWhoseRowIsGoneIsUnknown: its key proves that it was written once.
func TestAnOrderWhoseRowIsGoneIsUnknown(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustPut(t, db, ordertest.New("A1"))
		b.exec(t, url, "DELETE FROM orders")
		_, put := db.Put(t.Context(), ordertest.New("A1"), nil)
		_, withdrawn := db.Withdraw(t.Context(), ordertest.New("A1"), cancelled, nil)
		for _, err := range []error{put, withdrawn} {
			assertClass(t, orderdb.Unknown, err)
			require.ErrorIs(t, err, orderdb.ErrNotFound)
		}
		assert.Zero(t, b.count(t, url, "SELECT count(*) FROM orders"), "it is not written again")
	})
}

// TestAWithdrawalWaitsForAPutThatNobodyWaitsFor: its caller went while the statement waited
// for a lock, and the statement goes on. It commits later, or its backend is lost.
func TestAWithdrawalWaitsForAPutThatNobodyWaitsFor(t *testing.T) {
	for _, commits := range []bool{true, false} {
		t.Run(fmt.Sprintf("commits=%v", commits), func(t *testing.T) {
			url := sharedPostgres(t)
			// A cancel request, which pgx sends when a context ends, does not stop it.
			pgtest.Exec(t, url, `CREATE FUNCTION linger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
					BEGIN
						LOCK TABLE ltp.ltp_probe IN SHARE MODE;
						RETURN NULL;
					EXCEPTION WHEN query_canceled THEN
					END;
					LOOP -- there may be several requests
						BEGIN
							LOCK TABLE ltp.ltp_probe IN ROW SHARE MODE;
							RETURN NULL;
						EXCEPTION WHEN query_canceled THEN
						END;
					END LOOP;
				END $$;
				CREATE TRIGGER linger AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION linger()`)
			holder := pgtest.Connect(t, url)
			_, err := holder.Exec(t.Context(), "BEGIN; LOCK TABLE ltp_probe")
			require.NoError(t, err)

			db := open(t, url)
			ctx, stop := context.WithCancel(t.Context())
			put := make(chan error, 1)
			go func() {
				_, err := db.Put(ctx, ordertest.New("A1"), admit(receipt("A1", 1)))
				put <- err
			}()
			awaitLock(t, url, "ShareLock")
			stop()
			assertClass(t, orderdb.Unknown, <-put)
			// pgx requests it beside, by a connection of its own, and the request may be lost.
			_, err = holder.Exec(t.Context(), `SELECT pg_cancel_backend(pid) FROM pg_locks
				WHERE locktype = 'relation' AND mode = 'ShareLock' AND relation = 'ltp.ltp_probe'::regclass AND NOT granted`)
			require.NoError(t, err)
			awaitLock(t, url, "RowShareLock")

			brief, cancel := context.WithCancel(t.Context())
			given := make(chan error, 1)
			go func() {
				_, err := db.Withdraw(brief, ordertest.New("A1"), cancelled, nil)
				given <- err
			}()
			awaitWait(t, url, "transactionid", given)
			cancel()
			assertClass(t, orderdb.Unknown, <-given)
			require.Eventually(t, func() bool { // its statement was cancelled
				return countPostgres(t, url, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid'") == 0
			}, 20*time.Second, 5*time.Millisecond)
			withdrawn := make(chan orderdb.Stored, 1)
			go func() { withdrawn <- mustWithdraw(t, db, ordertest.New("A1"), expired) }()
			awaitWait(t, url, "transactionid", nil)

			if commits {
				_, err = holder.Exec(t.Context(), "ROLLBACK")
				require.NoError(t, err)
				want := orderdb.Stored{Repeated: true, Receipt: inRow(receipt("A1", 1))}
				assert.Equal(t, want, <-withdrawn)
				assertWithdrawn(t, db, 1, 0)
				return
			}
			pgtest.Exec(t, url, `SELECT pg_terminate_backend(pid) FROM pg_locks
				WHERE locktype = 'relation' AND mode = 'RowShareLock' AND relation = 'ltp_probe'::regclass AND NOT granted`)
			assert.Equal(t, orderdb.Stored{Tombstone: &expired}, <-withdrawn)
			stored, err := db.Put(t.Context(), ordertest.New("A1"), nil)
			require.NoError(t, err)
			assert.Equal(t, orderdb.Stored{Repeated: true, Tombstone: &expired}, stored)
			assertWithdrawn(t, db, 0, 1)
		})
	}
}

// awaitLock returns when a statement in the database waits for a lock on the probe's table.
func awaitLock(t *testing.T, url, mode string) {
	t.Helper()
	watcher := pgtest.Connect(t, url)
	require.Eventually(t, func() bool {
		var n int
		return watcher.QueryRow(t.Context(), `SELECT count(*) FROM pg_locks WHERE locktype = 'relation' AND mode = $1
			AND relation = 'ltp_probe'::regclass AND NOT granted`, mode).Scan(&n) == nil && n > 0
	}, 20*time.Second, 5*time.Millisecond)
}
