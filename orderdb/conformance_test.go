package orderdb_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// backend is one kind of order database, as the conformance suite sees it.
type backend struct {
	name string
	// fresh returns the URL of an order database without tables.
	fresh func(t *testing.T) string
	// nowhere is the URL of a database that is not there.
	nowhere func(t *testing.T) string
	// exec runs statements behind the back of the order database.
	exec func(t *testing.T, url, statements string)
	// count runs a query for a number.
	count func(t *testing.T, url, query string) int64
	// hold makes every write hang until release is called.
	hold func(t *testing.T, url string) (release func())
	// hungClass is the class of a write that was given up while it hung.
	hungClass orderdb.Class
	// single is added to the URL to have writes over one connection only.
	single string
	// refuse is a trigger that refuses the orders of the customer "banned" with the
	// sentence "banned does not order here", and drop one that drops them silently.
	refuse, drop string
	// refuseLate refuses every order with a rule that is checked at the commit.
	refuseLate string
}

var backends = []backend{
	{
		name:      "sqlite",
		fresh:     func(t *testing.T) string { return "sqlite://" + filepath.Join(t.TempDir(), "or ders#1.db") },
		nowhere:   func(t *testing.T) string { return filepath.Join(t.TempDir(), "nowhere", "orders.db") },
		exec:      execSQLite,
		count:     countSQLite,
		hold:      holdSQLite,
		hungClass: orderdb.Unavailable,
		refuse: `CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.customer = 'banned'
			BEGIN SELECT RAISE(ABORT, 'banned does not order here'); END`,
		drop: `CREATE TRIGGER refuse BEFORE INSERT ON orders WHEN NEW.customer = 'banned'
			BEGIN SELECT RAISE(IGNORE); END`,
		refuseLate: `CREATE TABLE stock (sku TEXT PRIMARY KEY);
			CREATE TABLE picks (sku TEXT REFERENCES stock DEFERRABLE INITIALLY DEFERRED);
			CREATE TRIGGER pick AFTER INSERT ON orders BEGIN INSERT INTO picks VALUES ('none'); END`,
	},
	{
		name:      "postgres",
		fresh:     func(t *testing.T) string { return pgtest.Shared(t).Database(t) },
		nowhere:   func(t *testing.T) string { return "postgres://u:secret@127.0.0.1:1/orders?sslmode=disable" },
		exec:      func(t *testing.T, url, statements string) { pgtest.Exec(t, url, statements) },
		count:     countPostgres,
		hold:      holdPostgres,
		hungClass: orderdb.Unknown,
		single:    "&pool_max_conns=1",
		refuse: `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN RAISE EXCEPTION '% does not order here', NEW.customer; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW.customer = 'banned') EXECUTE FUNCTION refuse()`,
		drop: `CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
			CREATE TRIGGER refuse BEFORE INSERT ON orders FOR EACH ROW WHEN (NEW.customer = 'banned') EXECUTE FUNCTION refuse()`,
		refuseLate: `CREATE TABLE stock (sku text PRIMARY KEY);
			CREATE TABLE picks (sku text REFERENCES stock DEFERRABLE INITIALLY DEFERRED);
			CREATE FUNCTION pick() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO picks VALUES ('none'); RETURN NULL; END $$;
			CREATE TRIGGER pick AFTER INSERT ON orders FOR EACH ROW EXECUTE FUNCTION pick()`,
	},
}

func sqliteConn(t *testing.T, url string) *sql.Conn {
	t.Helper()
	path := strings.ReplaceAll(strings.TrimPrefix(url, "sqlite://"), "#", "%23")
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	t.Cleanup(func() { _ = db.Close() })
	conn, err := db.Conn(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func execSQLite(t *testing.T, url, statements string) {
	t.Helper()
	_, err := sqliteConn(t, url).ExecContext(t.Context(), statements)
	require.NoError(t, err)
}

func countSQLite(t *testing.T, url, query string) (n int64) {
	t.Helper()
	require.NoError(t, sqliteConn(t, url).QueryRowContext(t.Context(), query).Scan(&n))
	return n
}

func countPostgres(t *testing.T, url, query string) (n int64) {
	t.Helper()
	require.NoError(t, pgtest.Connect(t, url).QueryRow(t.Context(), query).Scan(&n))
	return n
}

func holdSQLite(t *testing.T, url string) func() {
	t.Helper()
	conn := sqliteConn(t, url)
	_, err := conn.ExecContext(t.Context(), "BEGIN EXCLUSIVE")
	require.NoError(t, err)
	return sync.OnceFunc(func() {
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		assert.NoError(t, err)
	})
}

func holdPostgres(t *testing.T, url string) func() {
	t.Helper()
	conn := pgtest.Connect(t, url)
	_, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE orders IN SHARE MODE")
	require.NoError(t, err)
	return sync.OnceFunc(func() {
		_, err := conn.Exec(context.Background(), "ROLLBACK")
		assert.NoError(t, err)
	})
}

// conform runs a test of the suite against every backend, each with an order
// database of its own.
func conform(t *testing.T, test func(t *testing.T, b backend, url string)) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			url := b.fresh(t)
			require.NoError(t, open(t, url).Migrate(t.Context()))
			test(t, b, url)
		})
	}
}

func open(t *testing.T, url string) orderdb.DB {
	t.Helper()
	db, err := orderdb.Open(t.Context(), url)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

func order(id string) ltp.Order {
	return ltp.Order{ID: id, Customer: "ada", Currency: "USD", Lines: []ltp.Line{{SKU: "lamp", Quantity: 2, UnitAmountMinor: 1999}}}
}

// mustPut puts an order and returns whether it was repeated.
func mustPut(t *testing.T, db orderdb.DB, o ltp.Order) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	repeated, err := db.Put(ctx, o, nil)
	require.NoError(t, err)
	return repeated
}

func assertClass(t *testing.T, want orderdb.Class, err error) {
	t.Helper()
	got, ok := orderdb.ClassOf(err)
	assert.True(t, ok, "not an *orderdb.Error: %v", err)
	assert.Equal(t, want, got, "%v", err)
}

func assertTally(t *testing.T, db orderdb.DB, orders int64) {
	t.Helper()
	got, err := db.Tally(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, orderdb.Tally{Orders: orders, Outbox: orders}, got)
}

func TestAnOrderIsWrittenOnceAndToldFromARepeatedOne(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		assert.False(t, mustPut(t, db, order("A1")))
		assert.True(t, mustPut(t, db, order("A1")))
		assert.True(t, mustPut(t, open(t, url), order("A1")), "another process")
		assert.False(t, mustPut(t, db, order("A2")))
		assertTally(t, db, 2)
	})
}

func TestAnotherOrderWithTheSameIDIsRejected(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		mustPut(t, db, order("A1"))
		other := order("A1")
		other.Lines[0].Quantity++
		_, err := db.Put(t.Context(), other, nil)
		assertClass(t, orderdb.Rejected, err)
		require.ErrorIs(t, err, orderdb.ErrConflict)
		assert.EqualError(t, err, "another order with this id is in the order database")
		row, err := db.Row(t.Context(), "A1")
		require.NoError(t, err)
		assert.Equal(t, order("A1"), row.Order)
		assertTally(t, db, 1)
	})
}

func TestARuleOfTheDatabaseRejects(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustPut(t, db, order("A1"))
		b.exec(t, url, "CREATE UNIQUE INDEX one_each ON orders (customer)")
		_, err := db.Put(t.Context(), order("A2"), nil)
		assertClass(t, orderdb.Rejected, err)
		assert.Contains(t, strings.ToLower(err.Error()), "unique constraint")
		assert.NotContains(t, err.Error(), "SQLSTATE")
		assert.NotRegexp(t, `\(\d+\)|^constraint failed`, err.Error())
		assertTally(t, db, 1)
		next := order("A3")
		next.Customer = "grace"
		assert.False(t, mustPut(t, db, next), "the connection is fine")
	})
}

func TestATriggerRejectsInItsOwnWords(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		b.exec(t, url, b.refuse)
		o := order("A1")
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
		o := order("A1")
		o.Customer = "banned"
		mustPut(t, db, o)
		b.exec(t, url, b.refuse)
		assert.True(t, mustPut(t, db, o))
		assertTally(t, db, 1)
	})
}

func TestAnOrderThatATriggerDropsIsRejected(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		b.exec(t, url, b.drop)
		o := order("A1")
		o.Customer = "banned"
		_, err := db.Put(t.Context(), o, nil)
		assertClass(t, orderdb.Rejected, err)
		assertTally(t, db, 0)
	})
}

func TestARuleThatIsCheckedAtTheCommitRejects(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		b.exec(t, url, b.refuseLate)
		_, err := db.Put(t.Context(), order("A1"), nil)
		assertClass(t, orderdb.Rejected, err)
		assert.Contains(t, strings.ToLower(err.Error()), "foreign key constraint")
		assertTally(t, db, 0)
		b.exec(t, url, "INSERT INTO stock VALUES ('none')")
		assert.False(t, mustPut(t, db, order("A1")))
	})
}

func TestWhatTheDatabaseCannotHoldIsRejected(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		o := order("A1")
		o.Customer = "nul\x00" // SQLite can hold it, Postgres cannot
		_, err := db.Put(t.Context(), o, nil)
		if b.name == "sqlite" {
			require.NoError(t, err)
			assertTally(t, db, 1)
			return
		}
		assertClass(t, orderdb.Rejected, err)
		assertTally(t, db, 0)
	})
}

func TestARefusalAtTheDoorLeavesNothing(t *testing.T) {
	conform(t, func(t *testing.T, _ backend, url string) {
		db := open(t, url)
		fenced := errors.New("the component became unfit")
		_, err := db.Put(t.Context(), order("A1"), func() error { return fenced })
		assertClass(t, orderdb.Unavailable, err)
		require.ErrorIs(t, err, fenced)
		assertTally(t, db, 0)

		asked := 0
		_, err = db.Put(t.Context(), order("A1"), func() error { asked++; return nil })
		require.NoError(t, err)
		assert.Equal(t, 1, asked)
		assertTally(t, db, 1)
	})
}

func TestWhileOneWriteHangsTheNextHasNotBegun(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url+b.single)
		mustPut(t, db, order("A0"))
		release := b.hold(t, url)
		defer release()

		begun := make(chan struct{})
		first := make(chan error, 1)
		go func() {
			_, err := db.Put(context.Background(), order("A1"), func() error { close(begun); return nil })
			first <- err
		}()
		<-begun

		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		_, err := db.Put(ctx, order("A2"), func() error { t.Error("asked at the door"); return nil })
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
		mustPut(t, db, order("A0")) // has a connection
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
			_, err := db.Put(ctx, order("A1"), func() error { admitted = true; return nil })
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
		mustPut(t, db, order("A1"))
		assert.True(t, mustPut(t, db, order("A1")))
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
				if !mustPut(t, dbs[i%len(dbs)], order("A1")) {
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
			wg.Go(func() { assert.False(t, mustPut(t, db, order(fmt.Sprint("A", i)))) })
		}
		wg.Wait()
		assertTally(t, db, 64)
	})
}

func TestEveryValidOrderIsReadAsItWasWritten(t *testing.T) {
	big := order("big")
	big.Lines = nil
	for i := range ltp.MaxLines {
		big.Lines = append(big.Lines, ltp.Line{SKU: fmt.Sprint(strings.Repeat("s", 250), i), Quantity: 1, UnitAmountMinor: int64(i)})
	}
	unicode := order("unicode")
	unicode.Customer = `Ада "O'Neil" \ 阿达 👩🏽‍💻 % _ $1 ?`
	unicode.Lines[0].SKU = "lämp <&>\u2028"
	most := order("most")
	most.Lines = []ltp.Line{{SKU: "lamp", Quantity: ltp.MaxAmountMinor, UnitAmountMinor: 1}}
	least := order(strings.Repeat("i", ltp.MaxIDLength))
	least.Lines = []ltp.Line{{SKU: "gift", Quantity: 1}}
	full := order("full.of:things_-1")
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
		_, err := nowhere.Put(t.Context(), order("A1"), func() error { t.Error("asked at the door"); return nil })
		assertClass(t, orderdb.Unavailable, err)
		assert.NotContains(t, err.Error(), "secret")
		require.Error(t, nowhere.Ping(t.Context()))
		require.Error(t, nowhere.Migrate(t.Context()))

		closed := open(t, url)
		mustPut(t, closed, order("A1"))
		require.NoError(t, closed.Close())
		_, err = closed.Put(t.Context(), order("A2"), nil)
		assertClass(t, orderdb.Unavailable, err)
	})
}

func TestADatabaseWithoutTablesIsUnavailable(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			db := open(t, b.fresh(t))
			_, err := db.Put(t.Context(), order("A1"), nil)
			assertClass(t, orderdb.Unavailable, err)
			require.Error(t, db.Ping(t.Context()))
			require.NoError(t, db.Migrate(t.Context()))
			require.NoError(t, db.Ping(t.Context()))
			assert.False(t, mustPut(t, db, order("A1")))
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
			mustPut(t, db, order("A1"))
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
		mustPut(t, db, order("A3"))
		mustPut(t, db, order("A11"))
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
			mustPut(t, db, order(id))
		}
		got, err := db.Tally(t.Context(), "a_")
		require.NoError(t, err)
		assert.Equal(t, orderdb.Tally{Orders: 2, Outbox: 2}, got)

		b.exec(t, url, `INSERT INTO order_outbox (order_id, payload) VALUES ('a_2', '{}'), ('a_2', '{}')`)
		got, err = db.Tally(t.Context(), "a_")
		require.NoError(t, err)
		assert.Equal(t, orderdb.Tally{Orders: 2, Outbox: 4, Duplicates: 1}, got)
		got, err = db.Tally(t.Context(), "b")
		require.NoError(t, err)
		assert.Equal(t, orderdb.Tally{Orders: 1, Outbox: 1}, got)
	})
}
