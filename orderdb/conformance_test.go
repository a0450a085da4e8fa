package orderdb_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
)

func TestAnOrderIsWrittenOnceAndARepeatedOneIsRecognised(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		assert.False(t, mustPut(t, db, ordertest.New("A1")))
		assert.True(t, mustPut(t, db, ordertest.New("A1")))
		assert.True(t, mustPut(t, open(t, url), ordertest.New("A1")), "another process")
		assert.False(t, mustPut(t, db, ordertest.New("A2")))
		assertTally(t, db, 2)
	})
}

func TestAnotherOrderWithTheSameIDIsRejected(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		mustPut(t, db, ordertest.New("A1"))
		other := ordertest.New("A1")
		other.Lines[0].Quantity++
		_, err := db.Put(t.Context(), other, nil)
		assertClass(t, orderdb.Rejected, err)
		require.ErrorIs(t, err, orderdb.ErrConflict)
		assert.EqualError(t, err, "another order with this id is in the order database")
		row, err := db.Row(t.Context(), "A1")
		require.NoError(t, err)
		assert.Equal(t, ordertest.New("A1"), row.Order)
		assertTally(t, db, 1)
	})
}

// TestAConstraintRejectsNothing: it may be the fault of who added it.
func TestAConstraintRejectsNothing(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustPut(t, db, ordertest.New("A1"))
		b.exec(t, url, "CREATE UNIQUE INDEX one_each ON orders (customer)")
		_, err := db.Put(t.Context(), ordertest.New("A2"), nil)
		assertClass(t, orderdb.Unavailable, err)
		assert.Contains(t, strings.ToLower(err.Error()), "unique constraint")
		assert.NotRegexp(t, `SQLSTATE|\(2067\)|: constraint failed: `, err.Error())
		assertTally(t, db, 1)
		next := ordertest.New("A3")
		next.Customer = "grace"
		assert.False(t, mustPut(t, db, next), "the connection is fine")
		b.exec(t, url, "DROP INDEX one_each")
		assert.False(t, mustPut(t, db, ordertest.New("A2")), "the order that failed")
	})
}

// TestAConstraintThatTheOperatorNamedRejects, and no other.
func TestAConstraintThatTheOperatorNamedRejects(t *testing.T) {
	rules, err := orderdb.ParseRejectOn("constraint:orders_stock_check,sqlstate:LT001")
	require.NoError(t, err)
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url, orderdb.WithRejectOn(rules))
		b.exec(t, url, `ALTER TABLE orders ADD COLUMN a INTEGER CONSTRAINT orders_stock_check CHECK (customer <> 'out of stock');
			ALTER TABLE orders ADD COLUMN b INTEGER CONSTRAINT orders_stock_check1 CHECK (customer <> 'another')`)
		_, err := db.Put(t.Context(), ordertest.New("A1", ordertest.Customer("out of stock")), nil)
		assertClass(t, orderdb.Rejected, err)
		assert.ErrorContains(t, err, "orders_stock_check")
		_, err = db.Put(t.Context(), ordertest.New("A2", ordertest.Customer("another")), nil)
		assertClass(t, orderdb.Unavailable, err)
		_, err = open(t, url).Put(t.Context(), ordertest.New("A1", ordertest.Customer("out of stock")), nil)
		assertClass(t, orderdb.Unavailable, err)
		assert.Equal(t, orderdb.Stored{Tombstone: &cancelled}, mustWithdraw(t, db, ordertest.New("A1", ordertest.Customer("out of stock")), cancelled))
		assert.False(t, mustPut(t, db, ordertest.New("A3")))
	})
}

func TestATriggerRejectsInItsOwnWords(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		b.exec(t, url, b.refuse)
		o := ordertest.New("A1")
		o.Customer = "banned"
		_, err := db.Put(t.Context(), o, nil)
		assertClass(t, orderdb.Rejected, err)
		assert.EqualError(t, err, "banned does not order here")
		assertTally(t, db, 0)
	})
}

func TestAnOrderThatTookEffectIsNotRejectedByANewTrigger(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		o := ordertest.New("A1")
		o.Customer = "banned"
		mustPut(t, db, o)
		b.exec(t, url, b.refuse)
		assert.True(t, mustPut(t, db, o))
		assertTally(t, db, 1)
	})
}

func TestAnOrderThatATriggerDropsIsUnavailable(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		b.exec(t, url, b.drop)
		_, err := db.Put(t.Context(), ordertest.New("A1", ordertest.Customer("banned")), nil)
		assertClass(t, orderdb.Unavailable, err)
		require.EqualError(t, err, "unavailable: the order database dropped the order without giving a reason")
		assert.Empty(t, err.(*orderdb.Error).Code)
		assertTally(t, db, 0)

		assert.False(t, mustPut(t, db, ordertest.New("A1")), "nothing of it is left")
		b.exec(t, url, b.dropOutbox)
		_, err = db.Put(t.Context(), ordertest.New("A2"), nil)
		assertClass(t, orderdb.Unavailable, err)
		assertTally(t, db, 1)
		assert.EqualValues(t, 1, b.count(t, url, "SELECT count(*) FROM order_keys"))
	})
}

func TestARuleThatIsCheckedAtTheCommitLeavesNothing(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		b.exec(t, url, b.refuseLate)
		_, err := db.Put(t.Context(), ordertest.New("A1"), nil)
		assertClass(t, orderdb.Unavailable, err)
		assert.Contains(t, strings.ToLower(err.Error()), "foreign key constraint")
		assertTally(t, db, 0)
		b.exec(t, url, "INSERT INTO stock VALUES ('none')")
		assert.False(t, mustPut(t, db, ordertest.New("A1")))
	})
}

func TestWhatTheDatabaseCannotHoldIsUnavailable(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		o := ordertest.New("A1")
		o.Customer = "nul\x00" // SQLite can hold it, Postgres cannot
		_, err := db.Put(t.Context(), o, nil)
		if b.name == "sqlite" {
			require.NoError(t, err)
			assertTally(t, db, 1)
			return
		}
		assertClass(t, orderdb.Unavailable, err)
		assertTally(t, db, 0)
	})
}

func TestAWriteThatIsNotAdmittedLeavesNothing(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		fenced := errors.New("the component became unfit")
		_, err := db.Put(t.Context(), ordertest.New("A1"), func() (ltp.Receipt, error) { return ltp.Receipt{}, fenced })
		assertClass(t, orderdb.Unavailable, err)
		require.ErrorIs(t, err, fenced)
		assertTally(t, db, 0)

		asked := 0
		_, err = db.Put(t.Context(), ordertest.New("A1"), func() (ltp.Receipt, error) { asked++; return ltp.Receipt{}, nil })
		require.NoError(t, err)
		assert.Equal(t, 1, asked)
		assertTally(t, db, 1)
	})
}

func TestWhileOneWriteHangsTheNextHasNotBegun(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url+b.single)
		mustPut(t, db, ordertest.New("A0"))
		release := b.hold(t, url)
		defer release()

		begun := make(chan struct{})
		first := make(chan error, 1)
		go func() {
			_, err := db.Put(context.Background(), ordertest.New("A1"), func() (ltp.Receipt, error) { close(begun); return ltp.Receipt{}, nil })
			first <- err
		}()
		<-begun

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := db.Put(ctx, ordertest.New("A2"), neverAdmitted(t))
		assertClass(t, orderdb.Unavailable, err)
		require.ErrorIs(t, err, context.DeadlineExceeded)

		release()
		require.NoError(t, <-first)
		assertTally(t, db, 2)
	})
}

func TestAHangingWriteEndsWithItsContext(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustPut(t, db, ordertest.New("A0")) // has a connection
		release := b.hold(t, url)
		defer release()
		for _, end := range []string{"deadline", "cancel"} {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			want := context.DeadlineExceeded
			if end == "cancel" {
				ctx, cancel = context.WithCancel(t.Context())
				want = context.Canceled
				time.AfterFunc(50*time.Millisecond, cancel)
			}
			admitted := false
			began := time.Now()
			_, err := db.Put(ctx, ordertest.New("A1"), func() (ltp.Receipt, error) { admitted = true; return ltp.Receipt{}, nil })
			assert.Less(t, time.Since(began), 5*time.Second)
			cancel()
			require.ErrorIs(t, err, want)
			if admitted {
				assertClass(t, b.hungClass, err)
			} else { // a new connection has to ask the hanging table first
				assertClass(t, orderdb.Unavailable, err)
			}
		}
		release()
		mustPut(t, db, ordertest.New("A1"))
		assert.True(t, mustPut(t, db, ordertest.New("A1")))
		assertTally(t, db, 2)
	})
}

func TestConcurrentPutsOfOneOrderMakeOne(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		dbs := []orderdb.DB{open(t, url), open(t, url)}
		var fresh atomic.Int32
		var wg sync.WaitGroup
		for i := range 32 {
			wg.Go(func() {
				if !mustPut(t, dbs[i%len(dbs)], ordertest.New("A1")) {
					fresh.Add(1)
				}
			})
		}
		wg.Wait()
		assert.EqualValues(t, 1, fresh.Load())
		assertTally(t, dbs[0], 1)
	})
}

func TestConcurrentPutsOfManyOrders(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() { assert.False(t, mustPut(t, db, ordertest.New(fmt.Sprint("A", i)))) })
		}
		wg.Wait()
		assertTally(t, db, 64)
	})
}

func TestEveryValidOrderIsReadAsItWasWritten(t *testing.T) {
	big := ordertest.New("big")
	big.Lines = nil
	for i := range ltp.MaxLines {
		big.Lines = append(big.Lines, ltp.Line{SKU: fmt.Sprint(strings.Repeat("s", 250), i), Quantity: 1, UnitAmountMinor: int64(i)})
	}
	unicode := ordertest.New("unicode")
	unicode.Customer = `Ада "O'Neil" \ 阿达 👩🏽‍💻 % _ $1 ?`
	unicode.Lines[0].SKU = "lämp <&>\u2028"
	most := ordertest.New("most")
	most.Lines = []ltp.Line{{SKU: "book", Quantity: ltp.MaxAmountMinor, UnitAmountMinor: 1}}
	least := ordertest.New(strings.Repeat("i", ltp.MaxIDLength))
	least.Lines = []ltp.Line{{SKU: "gift", Quantity: 1}}
	full := ordertest.New("full.of:things_-1")
	full.Risk, full.DependsOn = ltp.HighRisk, []string{"orders-db", "ledger"}
	full.Deadline = time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC)

	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		for _, o := range []ltp.Order{big, unicode, most, least, full} {
			require.NoError(t, o.Validate())
			assert.False(t, mustPut(t, db, o))
			assert.True(t, mustPut(t, db, o))
			row, err := db.Row(t.Context(), o.ID)
			require.NoError(t, err)
			assert.Equal(t, o, row.Order)
			assert.WithinDuration(t, time.Now(), row.CreatedAt, time.Minute)
		}
		assertTally(t, db, 5)
	})
}

func TestADatabaseThatIsNotThereIsUnavailable(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		nowhere := open(t, b.nowhere(t))
		_, err := nowhere.Put(t.Context(), ordertest.New("A1"), neverAdmitted(t))
		assertClass(t, orderdb.Unavailable, err)
		assert.NotContains(t, err.Error(), "secret")
		require.Error(t, nowhere.Ping(t.Context()))
		require.Error(t, nowhere.Migrate(t.Context()))

		closed := open(t, url)
		mustPut(t, closed, ordertest.New("A1"))
		require.NoError(t, closed.Close())
		_, err = closed.Put(t.Context(), ordertest.New("A2"), nil)
		assertClass(t, orderdb.Unavailable, err)
	})
}

func TestADatabaseWithoutTablesIsUnavailable(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, b.fresh(t))
			_, err := db.Put(t.Context(), ordertest.New("A1"), nil)
			assertClass(t, orderdb.Unavailable, err)
			require.Error(t, db.Ping(t.Context()))
			require.NoError(t, db.Migrate(t.Context()))
			require.NoError(t, db.Ping(t.Context()))
			assert.False(t, mustPut(t, db, ordertest.New("A1")))
		})
	}
}

func TestSeveralProcessesMigrateAtOnceAndAgain(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			url := b.fresh(t)
			var wg sync.WaitGroup
			for range 4 {
				db := open(t, url)
				wg.Go(func() { assert.NoError(t, db.Migrate(t.Context())) })
			}
			wg.Wait()
			db := open(t, url)
			mustPut(t, db, ordertest.New("A1"))
			require.NoError(t, db.Migrate(t.Context()))
			assertTally(t, db, 1)
		})
	}
}

func TestAnOrderThatIsNotThereIsNotFound(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		_, err := open(t, url).Row(t.Context(), "A1")
		require.ErrorIs(t, err, orderdb.ErrNotFound)
	})
}

func TestMissingOrdersAreNamedInOrder(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		mustPut(t, db, ordertest.New("A3"))
		mustPut(t, db, ordertest.New("A11"))
		ids := make([]string, 20_000)
		for i := range ids {
			ids[i] = fmt.Sprint("A", i)
		}
		missing, err := db.Missing(t.Context(), ids)
		require.NoError(t, err)
		require.Len(t, missing, 19_998)
		assert.Equal(t, []string{"A0", "A1", "A2", "A4"}, missing[:4])
		assert.NotContains(t, missing, "A11")

		missing, err = db.Missing(t.Context(), nil)
		require.NoError(t, err)
		assert.Empty(t, missing)
	})
}

func TestATallyCountsByPrefixAndShowsDuplicates(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		for _, id := range []string{"a_1", "a_2", "aX3", "b_1", "A_9"} {
			mustPut(t, db, ordertest.New(id))
		}
		got, err := db.Tally(t.Context(), "a_")
		require.NoError(t, err)
		assert.Equal(t, orderdb.Tally{Orders: 2, Outbox: 2}, got)

		b.exec(t, url, `INSERT INTO order_outbox (order_id, payload) VALUES ('a_2', '{}'), ('a_2', '{}')`)
		mustWithdraw(t, db, ordertest.New("a_4"), cancelled)
		mustWithdraw(t, db, ordertest.New("b_4"), cancelled)
		mustWithdraw(t, db, ordertest.New("c_4"), cancelled)
		got, err = db.Tally(t.Context(), "a_")
		require.NoError(t, err)
		assert.Equal(t, orderdb.Tally{Orders: 2, Outbox: 4, Withdrawn: 1, Duplicates: 1}, got)
		got, err = db.Tally(t.Context(), "b")
		require.NoError(t, err)
		assert.Equal(t, orderdb.Tally{Orders: 1, Outbox: 1, Withdrawn: 1}, got)
	})
}
