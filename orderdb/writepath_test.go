package orderdb_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
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

// breakage is a way in which the database stops taking orders, by the name of the backend.
type breakage struct {
	statements, mend map[string]string
	code             map[string]string
	class            orderdb.Class
	// onlyAtCommit says that SQLite finds it at the commit of an order, and not before.
	onlyAtCommit bool
}

// raise is a trigger function of Postgres that raises an error of a SQLSTATE.
func raise(code string) string {
	return fmt.Sprintf(`CREATE FUNCTION broken() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'out of order' USING ERRCODE = '%s'; END $$;
		CREATE TRIGGER broken BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION broken()`, code)
}

const unraise = "DROP TRIGGER broken ON orders; DROP FUNCTION broken"

// breakages find an order "A0" in the database.
func breakages() map[string]breakage {
	postgres, sqlite := backends[1], backends[0]
	return map[string]breakage{
		"a trigger refuses": {
			statements: map[string]string{"postgres": raise("P0001"), "sqlite": "CREATE TRIGGER broken BEFORE INSERT ON orders BEGIN SELECT RAISE(FAIL, 'out of order'); END"},
			mend:       map[string]string{"postgres": unraise, "sqlite": "DROP TRIGGER broken"},
			code:       map[string]string{"postgres": "P0001", "sqlite": "SQLITE_CONSTRAINT"},
			class:      orderdb.Rejected,
		},
		"a trigger has a full disk": {
			statements: map[string]string{"postgres": raise("53100")},
			mend:       map[string]string{"postgres": unraise},
			code:       map[string]string{"postgres": "53100"},
			class:      orderdb.Unavailable,
		},
		"the outbox counts behind its rows": {
			statements: map[string]string{"postgres": "INSERT INTO order_outbox (order_id, payload) SELECT 'old', '{}' FROM generate_series(1, 100); SELECT setval('order_outbox_id_seq', 10)"},
			mend:       map[string]string{"postgres": "SELECT setval('order_outbox_id_seq', 1000); DELETE FROM order_outbox WHERE order_id = 'old'"},
			code:       map[string]string{"postgres": "23505"},
			class:      orderdb.Unavailable,
		},
		"the outbox has no number left": {
			statements: map[string]string{
				"postgres": "SELECT setval('order_outbox_id_seq', 9223372036854775807)",
				"sqlite":   "UPDATE sqlite_sequence SET seq = 9223372036854775807 WHERE name = 'order_outbox'",
			},
			mend: map[string]string{
				"postgres": "SELECT setval('order_outbox_id_seq', 1000)",
				"sqlite":   "UPDATE sqlite_sequence SET seq = 1000 WHERE name = 'order_outbox'",
			},
			code:  map[string]string{"postgres": "2200H", "sqlite": "SQLITE_FULL"},
			class: orderdb.Unavailable,
		},
		"a column that must not be empty was added": {
			statements: map[string]string{
				"postgres": "ALTER TABLE orders ADD COLUMN region text; UPDATE orders SET region = ''; ALTER TABLE orders ALTER COLUMN region SET NOT NULL",
				"sqlite":   "ALTER TABLE orders RENAME TO o; CREATE TABLE orders (id TEXT, customer, currency, amount_minor, content_hash, body, created_at, attempt, epoch, fence_state, begun_at, read_at, worker, region TEXT NOT NULL)",
			},
			mend: map[string]string{
				"postgres": "ALTER TABLE orders DROP COLUMN region",
				"sqlite":   "DROP TABLE orders; ALTER TABLE o RENAME TO orders",
			},
			code:  map[string]string{"postgres": "23502", "sqlite": "SQLITE_CONSTRAINT"},
			class: orderdb.Unavailable,
		},
		"a row may be there once": {
			statements: map[string]string{"postgres": "CREATE UNIQUE INDEX broken ON orders ((1))", "sqlite": "CREATE UNIQUE INDEX broken ON orders (length(currency))"},
			mend:       map[string]string{"postgres": "DROP INDEX broken", "sqlite": "DROP INDEX broken"},
			code:       map[string]string{"postgres": "23505", "sqlite": "SQLITE_CONSTRAINT"},
			class:      orderdb.Unavailable,
		},
		"a rule is checked at the commit": {
			statements:   map[string]string{"postgres": postgres.refuseLate, "sqlite": sqlite.refuseLate},
			mend:         map[string]string{"postgres": "INSERT INTO stock VALUES ('none')", "sqlite": "INSERT INTO stock VALUES ('none')"},
			code:         map[string]string{"postgres": "23503", "sqlite": "SQLITE_CONSTRAINT"},
			class:        orderdb.Unavailable,
			onlyAtCommit: true,
		},
		"the outbox is dropped silently": {
			statements: map[string]string{"postgres": postgres.dropOutbox, "sqlite": sqlite.dropOutbox},
			mend:       map[string]string{"postgres": "DROP TRIGGER drop_outbox ON order_outbox", "sqlite": "DROP TRIGGER drop_outbox"},
			code:       map[string]string{"postgres": "", "sqlite": ""},
			class:      orderdb.Unavailable,
		},
		"a table is gone": {
			statements: map[string]string{"postgres": "ALTER TABLE order_outbox RENAME TO outbox", "sqlite": "ALTER TABLE order_outbox RENAME TO outbox"},
			mend:       map[string]string{"postgres": "ALTER TABLE outbox RENAME TO order_outbox", "sqlite": "ALTER TABLE outbox RENAME TO order_outbox"},
			code:       map[string]string{"postgres": "42P01", "sqlite": "SQLITE_ERROR"},
			class:      orderdb.Unavailable,
		},
	}
}

// contents counts the rows that an order leaves.
func contents(t *testing.T, b backend, url string) (n [3]int64) {
	t.Helper()
	for i, table := range []string{"orders", "order_keys", "order_outbox"} {
		n[i] = b.count(t, url, "SELECT count(*) FROM "+table)
	}
	return n
}

func assertError(t *testing.T, class orderdb.Class, code string, err error) {
	t.Helper()
	var e *orderdb.Error
	require.ErrorAs(t, err, &e)
	assert.Equal(t, class, e.Class, "%v", err)
	assert.Equal(t, code, e.Code, "%v", err)
	if class != orderdb.Rejected && code != "" {
		assert.Regexp(t, "^"+string(class)+`: .+ \(`+code+`\)$`, err.Error())
	}
}

// TestTheWritePathFailsAsAnOrderDoes: with the same class and code, for a try of the write path, for
// the probe and for the order, which is written when the database is mended.
func TestTheWritePathFailsAsAnOrderDoes(t *testing.T) {
	for name, c := range breakages() {
		for _, b := range backends {
			statements, ok := c.statements[b.name]
			if !ok {
				continue
			}
			t.Run(name+"/"+b.name, func(t *testing.T) {
				t.Parallel()
				url := b.fresh(t)
				db := open(t, url+b.single)
				require.NoError(t, db.Migrate(t.Context()))
				mustPut(t, db, ordertest.New("A0"))
				require.NoError(t, db.TryWritePath(t.Context()))
				p := openProbe(t, url, orderdb.WithWritePathEvery(time.Nanosecond))
				_, err := probe(t, p)
				require.NoError(t, err)

				b.exec(t, url, statements)
				_, err = db.Put(t.Context(), ordertest.New("A1"), nil)
				assertError(t, c.class, c.code[b.name], err)
				err = db.TryWritePath(t.Context())
				facts, probed := probe(t, p)
				switch {
				case c.onlyAtCommit && b.name == "sqlite":
					require.NoError(t, err)
					require.NoError(t, probed)
				case c.class == orderdb.Rejected:
					assertError(t, c.class, c.code[b.name], err)
					require.NoError(t, probed)
					assert.Equal(t, "refused by a rule: out of order", facts["write_path"])
				default:
					assertError(t, c.class, c.code[b.name], err)
					var f *orderdb.Fault
					require.ErrorAs(t, probed, &f)
					assertError(t, c.class, c.code[b.name], f)
					assert.NotEqual(t, "DB Write Failed", f.Reason())
				}

				b.exec(t, url, c.mend[b.name])
				assert.Equal(t, [3]int64{1, 1, 1}, contents(t, b, url), "nothing was left")
				require.NoError(t, db.TryWritePath(t.Context()))
				_, err = probe(t, p)
				require.NoError(t, err)
				assert.False(t, mustPut(t, db, ordertest.New("A1")))
			})
		}
	}
}

func TestATryOfTheWritePathLeavesNothingOfAnOrder(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db, other := open(t, url), open(t, url)
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() { assert.NoError(t, db.TryWritePath(t.Context())) })
			wg.Go(func() { assert.NoError(t, other.TryWritePath(t.Context())) })
			wg.Go(func() { assert.False(t, mustPut(t, db, ordertest.New(fmt.Sprint("A", i)))) })
		}
		wg.Wait()
		assertTally(t, db, 16)
		assert.Equal(t, [3]int64{16, 16, 16}, contents(t, b, url))
		assert.EqualValues(t, 32, b.count(t, url, "SELECT sum(n) FROM ltp_probe"), "each is a commit")
	})
}

// TestNoCustomerCanHaveTheProbesOrder: its ID is no ID of an order.
func TestNoCustomerCanHaveTheProbesOrder(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		b.exec(t, url, map[string]string{
			"sqlite": "CREATE TABLE seen (id TEXT); CREATE TRIGGER see BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, NEW.id); END",
			"postgres": `CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION '%', NEW.id; END $$;
				CREATE TRIGGER see BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION see()`,
		}[b.name])
		err := db.TryWritePath(t.Context())
		assertClass(t, orderdb.Rejected, err)
		assert.Regexp(t, "^ltp-probe/.", err.Error())
		assert.Error(t, ltp.ValidID(err.Error()))
	})
}

func TestATryOfTheWritePathHangsAsAnOrderDoesAndNoLonger(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url+b.single)
		mustPut(t, db, ordertest.New("A0"))
		require.NoError(t, db.TryWritePath(t.Context()))
		release := b.hold(t, url)
		defer release()
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := db.TryWritePath(ctx)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assertClass(t, b.hungClass, err)

		done := make(chan error, 1)
		go func() { done <- db.TryWritePath(context.Background()) }()
		release()
		require.NoError(t, <-done, "it waits as long as it may")
		assert.Equal(t, [3]int64{1, 1, 1}, contents(t, b, url))
		assert.False(t, mustPut(t, db, ordertest.New("A1")))
	})
}

func TestATryOfAWritePathThatIsNotThereIsUnavailable(t *testing.T) {
	for _, b := range backends {
		t.Run(b.name, func(t *testing.T) {
			assertClass(t, orderdb.Unavailable, open(t, b.nowhere(t)).TryWritePath(t.Context()))
			assertClass(t, orderdb.Unavailable, open(t, b.fresh(t)).TryWritePath(t.Context()))
		})
	}
}

// TestAMissingPrivilegeStopsOrdersAndShowsOnTheWritePath, on each table that an order is
// written to, and an order is written when it is granted again.
func TestAMissingPrivilegeStopsOrdersAndShowsOnTheWritePath(t *testing.T) {
	admin := sharedPostgres(t)
	app := appUser(t, admin)
	db := open(t, app)
	p := openProbe(t, app, orderdb.WithWritePathEvery(time.Nanosecond))
	for i, table := range []string{"orders", "order_outbox", "order_keys"} {
		require.NoError(t, db.TryWritePath(t.Context()))
		pgtest.Exec(t, admin, "REVOKE INSERT ON "+table+" FROM "+userOf(t, app))
		id := fmt.Sprint("A", i)
		_, put := db.Put(t.Context(), ordertest.New(id), nil)
		for _, err := range []error{put, db.TryWritePath(t.Context())} {
			assertError(t, orderdb.Unavailable, "42501", err)
			assert.EqualError(t, err, "unavailable: permission denied for table "+table+" (42501)")
		}
		_, err := probe(t, p)
		assertFault(t, err, false, "permission denied for table "+table+" (42501)")
		pgtest.Exec(t, admin, "GRANT INSERT ON "+table+" TO "+userOf(t, app))
		assert.False(t, mustPut(t, db, ordertest.New(id)))
	}
	assertTally(t, db, 3)
}

// appUser makes a role that may write orders and nothing else, and returns the URL with it.
func appUser(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	password, _ := u.User.Password()
	name := "app_" + strings.TrimPrefix(u.Path, "/")
	pgtest.Exec(t, raw, fmt.Sprintf("CREATE USER %s PASSWORD '%s'", name, password),
		"GRANT USAGE ON SCHEMA ltp TO "+name,
		"GRANT SELECT, INSERT ON orders, order_outbox TO "+name, "GRANT SELECT, INSERT, UPDATE ON order_keys, ltp_probe TO "+name)
	u.User = url.UserPassword(name, password)
	return u.String()
}

func userOf(t *testing.T, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	require.NoError(t, err)
	return u.User.Username()
}

// TestTheWritePathWaitsForTheStandby, as an order does.
func TestTheWritePathWaitsForTheStandby(t *testing.T) {
	server, url := ownPostgres(t)
	db := open(t, url)
	require.NoError(t, db.TryWritePath(t.Context()))
	loseStandby(t, server, url)
	done := make(chan error, 1)
	go func() { done <- db.TryWritePath(context.Background()) }()
	awaitWait(t, url, "SyncRep", done)
	pgtest.Exec(t, url, `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'`)
	assertClass(t, orderdb.Unknown, <-done)
	server.Set(t, "synchronous_standby_names", "")
	awaitSetting(t, url, "synchronous_standby_names", "")
	require.NoError(t, db.TryWritePath(t.Context()))
}
