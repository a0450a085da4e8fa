package orderdb_test

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// shopTables are tables that were there before us: an article has a stock that does not
// go below 0, and an order is of a known customer.
const shopTables = `
	CREATE TABLE shop_customers (name VARCHAR(40) PRIMARY KEY);
	INSERT INTO shop_customers VALUES ('c-17'), ('grace');
	CREATE TABLE shop_stock (sku VARCHAR(40) PRIMARY KEY, units INTEGER NOT NULL CONSTRAINT shop_stock_check CHECK (units >= 0));
	INSERT INTO shop_stock VALUES ('book', 1000);
	CREATE TABLE shop_orders (number VARCHAR(80) PRIMARY KEY, customer VARCHAR(40) NOT NULL REFERENCES shop_customers, total INTEGER NOT NULL);`

// shopSQL writes into them, and takes two of each article that is there.
const shopSQL = `
	INSERT INTO shop_orders (number, customer, total) VALUES (@id, @customer, @total_minor);
	UPDATE shop_stock SET units = units - 2 WHERE sku = 'book' AND @customer <> 'nobody'; -- none is fine; too`

// withShop makes the tables and returns the order database with the statements.
func withShop(t *testing.T, b backend, url string, opts ...orderdb.Option) orderdb.DB {
	t.Helper()
	b.exec(t, url, shopTables)
	return open(t, url, append(opts, orderdb.WithSQL(b.qualified(shopSQL)))...)
}

// qualified names the schema of the tables, which no connection of ours looks in.
func (b backend) qualified(sql string) string {
	if b.name == "postgres" {
		return strings.ReplaceAll(sql, "shop_", "ltp.shop_")
	}
	return sql
}

// inShop counts what orders have left there: rows, and books taken.
func inShop(t *testing.T, b backend, url string) (n [2]int64) {
	t.Helper()
	n[0] = b.count(t, url, "SELECT count(*) FROM shop_orders")
	n[1] = 1000 - b.count(t, url, "SELECT units FROM shop_stock WHERE sku = 'book'")
	return n
}

// TestTheShopsStatementsRunOnceForEachOrder, not for a repeat, not for another order under
// the same id, and never for one that was withdrawn.
func TestTheShopsStatementsRunOnceForEachOrder(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := withShop(t, b, url)
		require.NoError(t, db.Check(within(t)))
		assert.False(t, mustPut(t, db, ordertest.New("A1")))
		assert.Equal(t, [2]int64{1, 2}, inShop(t, b, url))
		assert.EqualValues(t, 12000, b.count(t, url, "SELECT total FROM shop_orders WHERE number = 'A1' AND customer = 'c-17'"))

		stored, err := db.Put(t.Context(), ordertest.New("A2"), admit(receipt("A2", 1)))
		require.NoError(t, err)
		assert.Equal(t, orderdb.Stored{Receipt: inRow(receipt("A2", 1))}, stored)
		for _, again := range []orderdb.DB{db, open(t, url, orderdb.WithSQL(b.qualified(shopSQL)))} {
			stored, err = again.Put(t.Context(), ordertest.New("A2"), admit(receipt("A2", 2)))
			require.NoError(t, err)
			assert.Equal(t, orderdb.Stored{Repeated: true, Receipt: inRow(receipt("A2", 1))}, stored)
		}
		_, err = db.Put(t.Context(), ordertest.New("A1", ordertest.Customer("grace")), nil)
		require.ErrorIs(t, err, orderdb.ErrConflict)
		assert.Equal(t, orderdb.Stored{Tombstone: &cancelled}, mustWithdraw(t, db, ordertest.New("A3"), cancelled))
		stored, err = db.Put(t.Context(), ordertest.New("A3"), nil)
		require.NoError(t, err)
		assert.Equal(t, orderdb.Stored{Repeated: true, Tombstone: &cancelled}, stored)
		assert.Equal(t, [2]int64{2, 4}, inShop(t, b, url))
		assertWithdrawn(t, db, 2, 1)
	})
}

// TestOneOrderThatManyPutAtOnceRunsTheShopsStatementsOnce.
func TestOneOrderThatManyPutAtOnceRunsTheShopsStatementsOnce(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		dbs := []orderdb.DB{withShop(t, b, url), open(t, url, orderdb.WithSQL(b.qualified(shopSQL)))}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() { mustPut(t, dbs[i%2], ordertest.New(fmt.Sprint("A", i/8))) })
		}
		wg.Wait()
		assert.Equal(t, [2]int64{5, 10}, inShop(t, b, url))
		assertTally(t, dbs[0], 5)
	})
}

// TestAnOrderThatTheShopRefusesLeavesNothing and takes no other with it, also of those that
// commit together.
func TestAnOrderThatTheShopRefusesLeavesNothing(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := withShop(t, b, url)
		release := b.hold(t, url)
		defer release()
		var wg sync.WaitGroup
		for i := range 30 {
			if i == 1 && b.name == "sqlite" { // the first waits for the lock by itself
				require.Eventually(t, func() bool { return orderdb.Taken(db) }, 20*time.Second, time.Millisecond)
			}
			wg.Go(func() {
				o := ordertest.New(fmt.Sprint("A", i))
				if i%3 == 0 {
					o.Customer = "stranger"
				}
				ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
				defer cancel()
				_, err := db.Put(ctx, o, nil)
				if i%3 != 0 {
					assert.NoError(t, err)
					return
				}
				assertClass(t, orderdb.Unavailable, err)
				assert.Contains(t, strings.ToLower(err.Error()), "foreign key constraint")
			})
		}
		if b.name == "sqlite" { // what waits shares a transaction
			require.Eventually(t, func() bool { return orderdb.Queued(db) == 29 }, 20*time.Second, time.Millisecond)
		}
		release()
		wg.Wait()
		assert.Equal(t, [2]int64{20, 40}, inShop(t, b, url))
		assertTally(t, db, 20)
		assert.EqualValues(t, 20, b.count(t, url, "SELECT count(*) FROM order_keys"))

		b.exec(t, url, "INSERT INTO shop_customers VALUES ('stranger')")
		assert.False(t, mustPut(t, db, ordertest.New("A0", ordertest.Customer("stranger"))), "it was mended")
	})
}

// TestAStatementThatEndsTheTransactionTakesNoOtherOrderWithIt: in SQLite one can, of a group
// that commits together.
func TestAStatementThatEndsTheTransactionTakesNoOtherOrderWithIt(t *testing.T) {
	b, url := backends[0], backends[0].fresh(t)
	require.NoError(t, open(t, url).Migrate(t.Context()))
	b.exec(t, url, "CREATE TABLE shop_orders (number TEXT, customer TEXT UNIQUE)")
	db := open(t, url, orderdb.WithSQL("INSERT OR ROLLBACK INTO shop_orders VALUES (@id, @customer)"))
	release := b.hold(t, url)
	defer release()
	var failed atomic.Int64
	var wg sync.WaitGroup
	for i := range 20 {
		if i == 1 { // the first waits for the lock by itself
			require.Eventually(t, func() bool { return orderdb.Taken(db) }, 20*time.Second, time.Millisecond)
		}
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			_, err := db.Put(ctx, ordertest.New(fmt.Sprint("A", i), ordertest.Customer(fmt.Sprint("c-", i%15))), nil) // five come twice
			if err != nil {
				assertClass(t, orderdb.Unavailable, err)
				failed.Add(1)
			}
		})
	}
	require.Eventually(t, func() bool { return orderdb.Queued(db) == 19 }, 20*time.Second, time.Millisecond)
	release()
	wg.Wait()
	assert.EqualValues(t, 5, failed.Load())
	assertTally(t, db, 15)
	assert.EqualValues(t, 15, b.count(t, url, "SELECT count(*) FROM shop_orders"))
}

// TestTheShopRejectsAsOurTablesDo: a trigger does, and a constraint that is named.
func TestTheShopRejectsAsOurTablesDo(t *testing.T) {
	rules, err := orderdb.ParseRejectOn("constraint:shop_stock_check")
	require.NoError(t, err)
	conform(t, func(t *testing.T, b backend, url string) {
		db := withShop(t, b, url, orderdb.WithRejectOn(rules))
		b.exec(t, url, map[string]string{
			"sqlite": `CREATE TRIGGER closed BEFORE INSERT ON shop_orders WHEN NEW.customer = 'grace' BEGIN SELECT RAISE(ABORT, 'closed for grace'); END`,
			"postgres": `CREATE FUNCTION closed() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'closed for %', NEW.customer; END $$;
				CREATE TRIGGER closed BEFORE INSERT ON shop_orders FOR EACH ROW WHEN (NEW.customer = 'grace') EXECUTE FUNCTION closed()`,
		}[b.name])
		_, err := db.Put(t.Context(), ordertest.New("A1", ordertest.Customer("grace")), nil)
		assertClass(t, orderdb.Rejected, err)
		require.EqualError(t, err, "closed for grace")
		b.exec(t, url, "UPDATE shop_stock SET units = 1")
		_, err = db.Put(t.Context(), ordertest.New("A2"), nil)
		assertClass(t, orderdb.Rejected, err)
		require.ErrorContains(t, err, "shop_stock_check")
		_, err = open(t, url, orderdb.WithSQL(b.qualified(shopSQL))).Put(t.Context(), ordertest.New("A2"), nil)
		assertClass(t, orderdb.Unavailable, err)
		assertTally(t, db, 0)
		assert.Equal(t, [2]int64{0, 999}, inShop(t, b, url))
	})
}

// TestTheShopsRulesThatAreCheckedAtTheCommitLeaveNothing.
func TestTheShopsRulesThatAreCheckedAtTheCommitLeaveNothing(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		b.exec(t, url, `CREATE TABLE shop_customers (name TEXT PRIMARY KEY);
			CREATE TABLE shop_orders (number TEXT PRIMARY KEY, customer TEXT REFERENCES shop_customers DEFERRABLE INITIALLY DEFERRED)`)
		db := open(t, url, orderdb.WithSQL(b.qualified(`INSERT INTO shop_orders VALUES (@id, @customer)`)))
		_, err := db.Put(t.Context(), ordertest.New("A1"), nil)
		assertClass(t, orderdb.Unavailable, err)
		assert.Contains(t, strings.ToLower(err.Error()), "foreign key constraint")
		assertTally(t, db, 0)
		if b.name == "postgres" { // SQLite checks it at a commit only
			assertClass(t, orderdb.Rejected, db.TryWritePath(t.Context()))
		}
		b.exec(t, url, "INSERT INTO shop_customers VALUES ('c-17')")
		assert.False(t, mustPut(t, db, ordertest.New("A1")))
		if b.name == "postgres" { // a rule of our own table is one that all orders share
			b.exec(t, url, `INSERT INTO shop_customers VALUES ('ltp-probe'); CREATE TABLE regions (customer text PRIMARY KEY);
				ALTER TABLE orders ADD FOREIGN KEY (customer) REFERENCES regions DEFERRABLE INITIALLY DEFERRED NOT VALID`)
			assertError(t, orderdb.Unavailable, "23503", db.TryWritePath(t.Context()))
		}
	})
}

// TestAStatementOfTheShopsSeesTheWholeOrder, by each of its names, as documented.
func TestAStatementOfTheShopsSeesTheWholeOrder(t *testing.T) {
	attributes, err := ltp.ParseAttributes([]byte(`{"n":12345678901234567890123,"s":"a'b\"@id"}`))
	require.NoError(t, err)
	full := ordertest.New("A1")
	full.Customer, full.Risk, full.OrderingKey, full.Priority = `o'neill; DROP TABLE orders; --`, ltp.HighRisk, "k-1", 2
	full.DependsOn, full.Attributes, full.Deadline = []string{"orders-db", "payments"}, attributes, time.Date(2030, 1, 2, 3, 4, 5, 6_000_000, time.UTC)
	full.Lines = append(full.Lines, ltp.Line{SKU: "<tea>", Name: "Grüner Tee", Quantity: 1, UnitAmountMinor: -5, Attributes: attributes})
	names := []string{"id", "customer", "currency", "total_minor", "lines", "depends_on", "attributes", "priority", "risk", "ordering_key", "deadline", "order"}
	for _, mode := range []string{"", "&default_query_exec_mode=exec", "&default_query_exec_mode=simple_protocol", "&default_query_exec_mode=cache_describe"} {
		conform(t, func(t *testing.T, b backend, url string) {
			if b.name == "postgres" {
				url += mode
			}
			var columns, values []string
			for _, name := range names {
				columns = append(columns, fmt.Sprintf(`"%s" TEXT`, name))
				value := "@" + name
				if b.name == "postgres" {
					value = map[string]string{"deadline": `to_char(@deadline AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`}[name]
					value = cmp.Or(value, "@"+name+"::text")
				}
				values = append(values, value)
			}
			b.exec(t, url, "CREATE TABLE shop_orders ("+strings.Join(columns, ", ")+")")
			db := open(t, url, orderdb.WithSQL(b.qualified("INSERT INTO shop_orders VALUES ("+strings.Join(values, ", ")+")")))
			require.NoError(t, db.Check(within(t)))
			said := teller(t, b, url)
			seen := func(id, name string) string {
				return said(fmt.Sprintf(`SELECT coalesce("%s", 'NULL') FROM shop_orders WHERE id = '%s'`, name, id))
			}
			mustPut(t, db, full)
			for name, want := range map[string]string{
				"id": "A1", "customer": full.Customer, "currency": "USD", "total_minor": "11995", "priority": "2", "risk": "high",
				"ordering_key": "k-1", "deadline": "2030-01-02T03:04:05.006Z",
			} {
				assert.Equal(t, want, seen("A1", name), name)
			}
			for name, want := range map[string]any{"lines": full.Lines, "depends_on": full.DependsOn, "attributes": full.Attributes, "order": full} {
				data, err := json.Marshal(want)
				require.NoError(t, err)
				assert.JSONEq(t, string(data), seen("A1", name), name)
			}
			mustPut(t, db, ordertest.New("A2"))
			for name, want := range map[string]string{"priority": "3", "risk": "NULL", "ordering_key": "NULL", "deadline": "NULL", "attributes": "NULL"} {
				assert.Equal(t, want, seen("A2", name), name)
			}
			assert.JSONEq(t, `["orders-db"]`, seen("A2", "depends_on"))
		})
	}
}

// teller runs queries for a text, over one connection.
func teller(t *testing.T, b backend, url string) func(query string) string {
	t.Helper()
	if b.name == "postgres" {
		conn := pgtest.Connect(t, url)
		return func(query string) (s string) {
			require.NoError(t, conn.QueryRow(t.Context(), query).Scan(&s))
			return s
		}
	}
	conn := sqliteConn(t, url)
	return func(query string) (s string) {
		require.NoError(t, conn.QueryRowContext(t.Context(), query).Scan(&s))
		return s
	}
}

// TestWordsOfOursInAnOrderDeceiveNobody: a cast of the shop's fails with what our own
// statement fails with.
func TestWordsOfOursInAnOrderDeceiveNobody(t *testing.T) {
	url := sharedPostgres(t)
	db := open(t, url, orderdb.WithSQL("SELECT @customer::integer"))
	for i, customer := range []string{"ltp: stands", "ltp: dropped"} {
		_, err := db.Put(t.Context(), ordertest.New(fmt.Sprint("A", i), ordertest.Customer(customer)), nil)
		assertError(t, orderdb.Unavailable, "22P02", err)
	}
	assertTally(t, db, 0)
	mustPut(t, db, ordertest.New("A0", ordertest.Customer("17")))
}

// TestAProcedureOfTheShopsCommitsNothingByItself.
func TestAProcedureOfTheShopsCommitsNothingByItself(t *testing.T) {
	url := sharedPostgres(t)
	pgtest.Exec(t, url, `CREATE TABLE shop_orders (number text PRIMARY KEY);
		CREATE PROCEDURE place(id text, hasty boolean) LANGUAGE plpgsql AS $$
		BEGIN INSERT INTO ltp.shop_orders VALUES (id); IF hasty THEN COMMIT; END IF; END $$`)
	db := open(t, url, orderdb.WithSQL("CALL ltp.place(@id, @risk = 'high')"))
	require.NoError(t, db.Check(within(t)))
	hasty := ordertest.New("A1")
	hasty.Risk = ltp.HighRisk
	_, err := db.Put(t.Context(), hasty, nil)
	assertError(t, orderdb.Unavailable, "2D000", err)
	assertTally(t, db, 0)
	mustPut(t, db, ordertest.New("A2"))
	assert.EqualValues(t, 1, countPostgres(t, url, "SELECT count(*) FROM shop_orders"))
}

// TestTheWritePathTriesTheShopsStatements: what stops the orders of all shows there, with the
// database's words; that the shop knows nothing of the probe's customer does not.
func TestTheWritePathTriesTheShopsStatements(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := withShop(t, b, url)
		p := openProbe(t, url, orderdb.WithWritePathEvery(time.Nanosecond), orderdb.WithSQL(b.qualified(shopSQL)))
		try := func() (writePath, fact string, faulty error) {
			writePath = "open"
			if err := db.TryWritePath(t.Context()); err != nil {
				class, _ := orderdb.ClassOf(err)
				writePath = string(class)
			}
			facts, err := probe(t, p)
			return writePath, facts["write_path"], err
		}
		writePath, fact, err := try()
		require.NoError(t, err)
		assert.Equal(t, "rejected", writePath)
		assert.Contains(t, strings.ToLower(fact), "refused by a rule: ")
		assert.Contains(t, strings.ToLower(fact), "foreign key constraint")

		b.exec(t, url, "INSERT INTO shop_customers VALUES ('ltp-probe')")
		writePath, fact, err = try()
		require.NoError(t, err)
		assert.Equal(t, "open", writePath)
		assert.Equal(t, "orders", fact)
		assert.Equal(t, [2]int64{0, 0}, inShop(t, b, url), "nothing stays")

		b.exec(t, url, "ALTER TABLE shop_stock RENAME TO shop_gone")
		writePath, _, err = try()
		assert.Equal(t, "unavailable", writePath)
		assert.Contains(t, err.Error(), "shop_stock")
		b.exec(t, url, "ALTER TABLE shop_gone RENAME TO shop_stock")
		writePath, _, err = try()
		require.NoError(t, err)
		assert.Equal(t, "open", writePath)
		mustPut(t, db, ordertest.New("A1"))
	})
}

// TestWhatTheShopRaisesForTheProbesOrder condemns where it is about the database, and not
// where it names the order.
func TestWhatTheShopRaisesForTheProbesOrder(t *testing.T) {
	admin := sharedPostgres(t)
	pgtest.Exec(t, admin, `CREATE FUNCTION judge() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RETURN; END $$; CREATE TABLE shop_orders (number text)`)
	app := appUser(t, admin)
	db := open(t, app, orderdb.WithSQL("INSERT INTO ltp.shop_orders SELECT @id WHERE ltp.judge() IS NOT NULL"))
	assertError(t, orderdb.Unavailable, "42501", db.TryWritePath(t.Context()))
	pgtest.Exec(t, admin, "GRANT INSERT ON shop_orders TO "+userOf(t, app))
	require.NoError(t, db.TryWritePath(t.Context()))
	for code, class := range map[string]orderdb.Class{
		"P0001": orderdb.Rejected, "23503": orderdb.Rejected, "23514": orderdb.Rejected, "22P02": orderdb.Rejected, "P0002": orderdb.Rejected, "LT001": orderdb.Rejected,
		"42501": orderdb.Unavailable, "42P01": orderdb.Unavailable, "42804": orderdb.Unavailable, "53100": orderdb.Unavailable, "55P03": orderdb.Unavailable, "40P01": orderdb.Unavailable,
		"2D000": orderdb.Unavailable, "HV00N": orderdb.Unavailable, "0A000": orderdb.Unavailable, "44000": orderdb.Rejected,
		"58030": orderdb.Unknown, "XX001": orderdb.Unknown,
	} {
		pgtest.Exec(t, admin, fmt.Sprintf(`CREATE OR REPLACE FUNCTION judge() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'judged' USING ERRCODE = '%s'; END $$`, code))
		assertError(t, class, code, db.TryWritePath(t.Context()))
		_, err := db.Put(t.Context(), ordertest.New("A1"), nil)
		assertClass(t, map[bool]orderdb.Class{true: orderdb.Rejected, false: cmp.Or(map[orderdb.Class]orderdb.Class{orderdb.Unknown: orderdb.Unknown}[class], orderdb.Unavailable)}[code == "P0001"], err)
	}
	pgtest.Exec(t, admin, "CREATE OR REPLACE FUNCTION judge() RETURNS void LANGUAGE plpgsql AS $$ BEGIN RETURN; END $$")
	assert.False(t, mustPut(t, db, ordertest.New("A1")))
}

// TestATriggerThatDropsKeysRunsNoStatementOfTheShops: neither for an order that is new, nor
// for a repeat, nor for one that was withdrawn.
func TestATriggerThatDropsKeysRunsNoStatementOfTheShops(t *testing.T) {
	for name, trigger := range map[string]string{
		"new keys": `CREATE FUNCTION drops() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
			CREATE TRIGGER drops BEFORE INSERT ON order_keys FOR EACH ROW EXECUTE FUNCTION drops()`,
		"updates that change nothing": `CREATE TRIGGER drops BEFORE UPDATE ON order_keys FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()`,
	} {
		t.Run(name, func(t *testing.T) {
			url := sharedPostgres(t)
			pgtest.Exec(t, url, "CREATE TABLE shop_orders (number text)")
			db := open(t, url, orderdb.WithSQL("INSERT INTO ltp.shop_orders VALUES (@id)"))
			assert.False(t, mustPut(t, db, ordertest.New("A1")))
			mustWithdraw(t, db, ordertest.New("A2"), cancelled)
			pgtest.Exec(t, url, trigger)
			for _, id := range []string{"A1", "A2", "A3"} {
				_, _ = db.Put(t.Context(), ordertest.New(id), nil)
			}
			want := countPostgres(t, url, "SELECT count(*) FROM orders")
			assert.EqualValues(t, want, countPostgres(t, url, "SELECT count(*) FROM shop_orders"))
			assert.Zero(t, countPostgres(t, url, "SELECT count(*) FROM shop_orders WHERE number = 'A2'"))
		})
	}
}

// TestCheckFindsAStatementThatTheDatabaseDoesNotTake, by the line where it is wrong.
func TestCheckFindsAStatementThatTheDatabaseDoesNotTake(t *testing.T) {
	for sql, words := range map[string]map[string]string{
		"-- the shop\n\nINSERT INTO shop_orders (number, total)\nVALUES (@id, 'x');\nUPDATE shop_order SET total = 1": {
			"postgres": `--orders-sql, line 5: the order database does not take the statement: relation "ltp.shop_order" does not exist (42P01)`,
			"sqlite":   `--orders-sql, line 5: the order database does not take the statement: no such table: shop_order (SQLITE_ERROR)`,
		},
		"/* é\n; */ INSERT INTO shop_orders\n(number, totl) VALUES\n(@id, @total_minor)": {
			"postgres": `--orders-sql, line 3: the order database does not take the statement: column "totl" of relation "shop_orders" does not exist (42703)`,
			"sqlite":   `--orders-sql, line 2: the order database does not take the statement: table shop_orders has no column named totl (SQLITE_ERROR)`,
		},
		"SELECT 1;\nINSERT INTO shop_orders (number) VALUES (@id)) ": {
			"postgres": `--orders-sql, line 2: the order database does not take the statement: syntax error at or near ")" (42601)`,
			"sqlite":   `--orders-sql, line 2: the order database does not take the statement: near ")": syntax error (SQLITE_ERROR)`,
		},
		"INSERT INTO shop_orders (placed) VALUES (\n@id)": {
			"postgres": `--orders-sql, line 2: the order database does not take the statement: column "placed" is of type date but expression is of type text (42804)`,
		},
	} {
		conform(t, func(t *testing.T, b backend, url string) {
			want, applies := words[b.name]
			if !applies {
				return
			}
			b.exec(t, url, "CREATE TABLE shop_orders (number TEXT, total TEXT, placed DATE)")
			db := open(t, url, orderdb.WithSQL(b.qualified(sql)))
			assertProblem(t, orderdb.SchemaStatement, want, db.Check(within(t)))
			require.NoError(t, db.Migrate(within(t)), "our tables are as they should be")
			assert.Zero(t, b.count(t, url, "SELECT count(*) FROM shop_orders"))
		})
	}
	url := sharedPostgres(t)
	pgtest.Exec(t, url, "CREATE SCHEMA hidden; CREATE TABLE hidden.orders (number text)")
	app := appUser(t, url)
	pgtest.Exec(t, url, "GRANT SELECT ON ltp_migrations TO "+userOf(t, app))
	db := open(t, app, orderdb.WithSQL("SELECT 1;\n\nINSERT INTO hidden.orders VALUES (@id)"))
	err := db.Check(within(t))
	assertProblem(t, orderdb.SchemaDenied, "--orders-sql, line 3: the role may not run the statement: permission denied for schema hidden (42501)", err)
	assert.True(t, orderdb.Denied(err))
}

// TestTheShopsStatementsRunThroughAPooler, once for each order, also beside writers that
// have none: what the sessions remember of others is theirs.
func TestTheShopsStatementsRunThroughAPooler(t *testing.T) {
	_, url := pooled(t)
	b := backends[1]
	conn, err := pgx.Connect(t.Context(), url[:strings.Index(url, "&pool_max_conns")]) // pgtest's own sets what a pooler does not take
	require.NoError(t, err)
	defer conn.Close(context.Background())
	count := func(query string) (n int) {
		require.NoError(t, conn.QueryRow(t.Context(), query, pgx.QueryExecModeSimpleProtocol).Scan(&n))
		return n
	}
	_, err = conn.Exec(t.Context(), strings.NewReplacer(
		"TABLE shop_", "TABLE ltp.shop_", "INTO shop_", "INTO ltp.shop_", "REFERENCES shop_", "REFERENCES ltp.shop_").Replace(shopTables))
	require.NoError(t, err)
	with := orderdb.WithSQL(b.qualified(shopSQL))
	for _, mode := range []string{"", "&default_query_exec_mode=exec", "&default_query_exec_mode=simple_protocol"} {
		dbs := []orderdb.DB{open(t, url+mode, with), open(t, url+mode, with)}
		require.NoError(t, dbs[0].Check(within(t)))
		prefix := fmt.Sprint("A", len(mode), "-")
		var wg sync.WaitGroup
		wg.Go(func() { putAll(t, []orderdb.DB{open(t, url+mode)}, prefix+"plain-", 30) })
		for i := range 60 {
			wg.Go(func() { mustPut(t, dbs[i%2], ordertest.New(fmt.Sprint(prefix, i/2))) })
			if i%6 == 0 {
				wg.Go(func() { assertClass(t, orderdb.Rejected, dbs[i%4/2].TryWritePath(t.Context())) })
				wg.Go(func() {
					_, err := dbs[i%4/2].Put(t.Context(), ordertest.New(fmt.Sprint(prefix, "no-", i), ordertest.Customer("stranger")), nil)
					assertClass(t, orderdb.Unavailable, err)
				})
			}
		}
		wg.Wait()
		tally, err := dbs[0].Tally(t.Context(), prefix)
		require.NoError(t, err)
		assert.Equal(t, orderdb.Tally{Orders: 60, Outbox: 60}, tally)
		assert.Equal(t, 30, count("SELECT count(*) FROM ltp.shop_orders WHERE number LIKE '"+prefix+"%'"))
	}
	assert.Equal(t, 1000-2*90, count("SELECT units FROM ltp.shop_stock"))
}

// TestAFileThatCannotBeMeantIsRefused, with a sentence that names the line and says what
// to do.
func TestAFileThatCannotBeMeantIsRefused(t *testing.T) {
	both := map[string]string{
		"-- nothing\n;;":                     "has no statement",
		"SELECT @id;\nSELECT 1,\n@idd":       "line 3: there is no parameter @idd: use @id, @customer, ",
		"SELECT @Id":                         "line 1: there is no parameter @Id: use ",
		"SELECT 1;\n/* x */ begin; SELECT 2": "line 2: leave BEGIN out: ",
		"commit":                             "leave COMMIT out",
		"SELECT 1; ROLLBACK":                 "leave ROLLBACK out",
		"SAVEPOINT a":                        "leave SAVEPOINT out",
		"RELEASE a":                          "leave RELEASE out",
		"END":                                "leave END out",
		"CREATE TABLE a (b int)":             "line 1: CREATE is not run for an order: use INSERT",
		"\\set x":                            "is not run for an order",
		"SELECT 'it''s":                      "line 1: what ' begins is not closed",
		"SELECT 1;\nSELECT \"a":              `line 2: what " begins is not closed`,
		"SELECT 1 /* x":                      "line 1: what /* begins is not closed",
		"SELECT $1":                          "$ begins no parameter here: write @ and the name",
		strings.Repeat("SELECT 1;", 33):      "has 33 statements: use at most 32",
		"SELECT '" + strings.Repeat("x", orderdb.MaxSQL) + "'": "more than 65536 bytes",
		"SELECT '\xff'":           "not text in UTF-8",
		"SELECT '\x00'":           "not text in UTF-8",
		"PREPARE TRANSACTION 'a'": "leave PREPARE out",
	}
	only := map[string]map[string]string{
		"sqlite":   {"SELECT :id": ": begins no parameter here", "SELECT id=?": "? begins no parameter here", "SELECT [a": "what [ begins is not closed", "PRAGMA x": "PRAGMA is not run", "CALL f()": "CALL is not run"},
		"postgres": {"SELECT $a$ $b$": "what $a$ begins is not closed", "SELECT /* /* */": "what /* begins is not closed", "DO $$ $$": "DO is not run", "START TRANSACTION": "leave START out", "ABORT": "leave ABORT out", "SET x = 1": "SET is not run", "REPLACE INTO a VALUES (1)": "REPLACE is not run"},
	}
	for _, b := range backends {
		url := b.nowhere(t)
		refused := func(sql, words string) {
			_, err := orderdb.Open(t.Context(), url, orderdb.WithSQL(sql))
			require.ErrorContains(t, err, "--orders-sql", sql)
			require.ErrorContains(t, err, words, sql)
			assert.NotContains(t, err.Error(), "\n")
			assert.Less(t, len(err.Error()), 400)
			_, again := orderdb.OpenProbe(url, ltp.DefaultComponent, orderdb.WithSQL(sql))
			require.EqualError(t, again, err.Error())
		}
		for sql, words := range both {
			refused(sql, words)
		}
		for sql, words := range only[b.name] {
			refused(sql, words)
		}
	}
}

// fragment is a text as SQL writes it, and what it means.
type fragment struct{ sql, means string }

// drawFragment draws an expression for a text that is full of what SQL is made of.
func drawFragment(t *rapid.T, b backend) fragment {
	text := strings.Join(rapid.SliceOfN(rapid.SampledFrom([]string{
		"a", ";", "@id", "@idd", "'", `"`, "--", "/*", "*/", "$$", "$a$", "\n", `\`, "é", " ", "[", "]", "`", "E", "COMMIT",
	}), 0, 8).Draw(t, "text"), "")
	quoted := fragment{"'" + strings.ReplaceAll(text, "'", "''") + "'", text}
	if b.name == "sqlite" {
		return quoted
	}
	switch rapid.SampledFrom([]string{"quoted", "escaped", "dollar", "tagged", "in two"}).Draw(t, "style") {
	case "escaped":
		return fragment{"E'" + strings.NewReplacer("'", `\'`, `\`, `\\`, "\n", `\n`).Replace(text) + "'", text}
	case "in two":
		return fragment{"e'" + strings.NewReplacer("'", `\'`, `\`, `\\`).Replace(text) + "' \n '\\''", text + "'"}
	case "dollar":
		if !strings.Contains(text+"$", "$$") {
			return fragment{"$$" + text + "$$", text}
		}
	case "tagged":
		return fragment{"$tag_1é$" + text + "$tag_1é$", text}
	}
	return quoted
}

// TestStatementsAreReadAsTheDatabaseReadsThem: whatever stands in quotes and comments, each
// statement runs with the parameters that it has, and no other.
func TestStatementsAreReadAsTheDatabaseReadsThem(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		b.exec(t, url, `CREATE TABLE shop_seen (n INTEGER, number TEXT, "said;@id" TEXT)`)
		id, said := 0, teller(t, b, url)
		rapid.Check(t, func(rt *rapid.T) {
			var sql strings.Builder
			var want []string
			for i := range rapid.IntRange(1, 4).Draw(rt, "statements") {
				comments := []string{"", " ", "\n", "-- ; @idd '\n", "/* ; @idd ' $$ \" */", "/**/"}
				if b.name == "postgres" {
					comments = append(comments, "/* /* ; */ @idd */")
				}
				space := func() string { return rapid.SampledFrom(comments).Draw(rt, "space") }
				f := drawFragment(rt, b)
				comparison := rapid.SampledFrom([]string{"@id=@id", "@id = @id", "1<@priority", "'A'<@id||'z'", "@total_minor>-@priority"}).Draw(rt, "comparison")
				if b.name == "postgres" {
					comparison = strings.NewReplacer("<@", "< @").Replace(comparison)
					comparison += rapid.SampledFrom([]string{"", " AND '[1,2]'::jsonb @> '1' AND '1'<@'[1]'::jsonb", " AND '{\"a\":1}'::jsonb ? 'a'", ` AND @lines->0->>'sku' = 'book'`}).Draw(rt, "operator")
				}
				fmt.Fprintf(&sql, `%sINSERT%s INTO shop_seen (n, number, "said;@id")%s SELECT %d,@id,%s%s WHERE %s%s;`,
					space(), space(), space(), i, f.sql, space(), strings.ReplaceAll(comparison, "1<", "0<"), space())
				want = append(want, f.means)
			}
			db := open(t, url, orderdb.WithSQL(b.qualified(sql.String())))
			defer db.Close()
			id++
			o := ordertest.New(fmt.Sprint("A", id), ordertest.Customer("b"))
			o.Priority = 2
			if err := db.Check(within(t)); err != nil {
				rt.Fatalf("%v\n%s", err, sql.String())
			}
			mustPut(t, db, o)
			for i, means := range want {
				got := said(fmt.Sprintf(`SELECT coalesce(max("said;@id"), 'none') FROM shop_seen WHERE n = %d AND number = '%s'`, i, o.ID))
				if got != means {
					rt.Fatalf("statement %d said %q and means %q\n%s", i, got, means, sql.String())
				}
			}
		})
	})
}
