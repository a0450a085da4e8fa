package orderdb_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
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
	// dropOutbox is a trigger that drops outbox rows silently.
	dropOutbox string
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
		dropOutbox: `CREATE TRIGGER drop_outbox BEFORE INSERT ON order_outbox BEGIN SELECT RAISE(IGNORE); END`,
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
		dropOutbox: `CREATE FUNCTION drop_outbox() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
			CREATE TRIGGER drop_outbox BEFORE INSERT ON order_outbox FOR EACH ROW EXECUTE FUNCTION drop_outbox()`,
		refuseLate: `CREATE TABLE stock (sku text PRIMARY KEY);
			CREATE TABLE picks (sku text REFERENCES stock DEFERRABLE INITIALLY DEFERRED);
			CREATE FUNCTION pick() RETURNS trigger LANGUAGE plpgsql AS
			$$ BEGIN INSERT INTO ltp.picks VALUES ('none'); RETURN NULL; END $$;
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
	_, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE orders, order_keys IN SHARE MODE")
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

func open(t *testing.T, url string, opts ...orderdb.Option) orderdb.DB {
	t.Helper()
	db, err := orderdb.Open(t.Context(), url, opts...)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, db.Close()) })
	return db
}

// mustPut puts an order and returns whether it was repeated.
func mustPut(t *testing.T, db orderdb.DB, o ltp.Order) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	stored, err := db.Put(ctx, o, nil)
	require.NoError(t, err)
	require.Nil(t, stored.Tombstone)
	return stored.Repeated
}

// neverAdmitted is for a write that must not get as far.
func neverAdmitted(t *testing.T) func() (ltp.Receipt, error) {
	return func() (ltp.Receipt, error) {
		t.Error("asked for admission")
		return ltp.Receipt{}, nil
	}
}

func assertClass(t *testing.T, want orderdb.Class, err error) {
	t.Helper()
	got, ok := orderdb.ClassOf(err)
	assert.True(t, ok, "not an *orderdb.Error: %v", err)
	assert.Equal(t, want, got, "%v", err)
}

func assertTally(t *testing.T, db orderdb.DB, orders int64) {
	t.Helper()
	assertWithdrawn(t, db, orders, 0)
}

// assertWithdrawn counts tombstones, too.
func assertWithdrawn(t *testing.T, db orderdb.DB, orders, tombstones int64) {
	t.Helper()
	got, err := db.Tally(t.Context(), "")
	require.NoError(t, err)
	assert.Equal(t, orderdb.Tally{Orders: orders, Outbox: orders, Withdrawn: tombstones}, got)
}
