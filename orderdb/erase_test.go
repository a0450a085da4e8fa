package orderdb_test

import (
	"bytes"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

const secretName, secretWord = "Zebulon Quast", "hollyhock lane"

// private is an order that holds what is to be erased.
func private(id string) ltp.Order {
	o := ordertest.New(id, ordertest.Customer(secretName))
	var err error
	if o.Attributes, err = ltp.ParseAttributes([]byte(`{"street":"` + secretWord + `"}`)); err != nil {
		panic(err)
	}
	return o
}

func erasure(o ltp.Order) orderdb.Erasure {
	return orderdb.Erasure{ID: o.ID, ContentHash: o.ContentHash(), By: "ann", Why: "asked for"}
}

// found are the words that stand anywhere in the database, in whichever table.
func found(t *testing.T, b backend, url string, words ...string) (all []string) {
	t.Helper()
	var content []string
	if b.name == "sqlite" {
		path, _ := orderdb.File(url)
		files, err := filepath.Glob(strings.NewReplacer("[", "\\[").Replace(path) + "*")
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, f := range files { // the log as well, and pages that are free
			bytes, err := os.ReadFile(f)
			require.NoError(t, err)
			content = append(content, string(bytes))
		}
		content = append(content, sqliteRows(t, url)...)
	} else {
		content = postgresRows(t, url)
	}
	for _, w := range words {
		if strings.Contains(strings.Join(content, "\n"), w) {
			all = append(all, w)
		}
	}
	return all
}

func sqliteRows(t *testing.T, url string) (all []string) {
	t.Helper()
	conn := sqliteConn(t, url)
	for _, table := range []string{"orders", "order_keys", "order_outbox", "ltp_probe"} {
		rows, err := conn.QueryContext(t.Context(), "SELECT * FROM "+table)
		require.NoError(t, err)
		columns, err := rows.Columns()
		require.NoError(t, err)
		for rows.Next() {
			values, into := make([]sql.RawBytes, len(columns)), make([]any, len(columns))
			for i := range values {
				into[i] = &values[i]
			}
			require.NoError(t, rows.Scan(into...))
			for _, v := range values {
				all = append(all, string(bytes.Clone(v)))
			}
		}
		require.NoError(t, rows.Err())
	}
	return all
}

func postgresRows(t *testing.T, url string) (all []string) {
	t.Helper()
	conn := pgtest.Connect(t, url)
	rows, err := conn.Query(t.Context(), `SELECT format('SELECT t::text FROM %I.%I AS t', table_schema, table_name) FROM information_schema.tables
		WHERE table_schema NOT IN ('pg_catalog', 'information_schema')`)
	require.NoError(t, err)
	queries, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	require.GreaterOrEqual(t, len(queries), 5)
	for _, q := range queries {
		rows, err := conn.Query(t.Context(), q)
		require.NoError(t, err)
		found, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		all = append(all, found...)
	}
	return all
}

// TestAnErasedOrderLeavesItsKeyAndReceipt, and nothing of its customer.
func TestAnErasedOrderLeavesItsKeyAndReceipt(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		_, err := db.Put(t.Context(), private("A1"), admit(receipt("A1", 1)))
		require.NoError(t, err)
		mustPut(t, db, ordertest.New("A2"))
		require.Len(t, found(t, b, url, secretName, secretWord, "book"), 3)

		erased, err := db.Erase(t.Context(), erasure(private("A1")))
		require.NoError(t, err)
		assert.Equal(t, orderdb.Erased{At: erased.At, Row: true, Outbox: 1}, erased)
		assert.NotZero(t, erased.At)
		assert.Empty(t, found(t, b, url, secretName, secretWord))
		assert.EqualValues(t, 1, b.count(t, url, "SELECT count(*) FROM order_keys WHERE erased_by = 'ann' AND erased_why = 'asked for' AND erased_at IS NOT NULL"))

		again, err := db.Erase(t.Context(), orderdb.Erasure{ID: "A1", By: "bob", Why: "once more"})
		require.NoError(t, err)
		assert.Equal(t, orderdb.Erased{At: erased.At, Before: true, Row: true}, again)
		assert.EqualValues(t, 1, b.count(t, url, "SELECT count(*) FROM order_keys WHERE erased_by = 'ann'"), "who erased it first")

		stored, err := db.Put(t.Context(), private("A1"), admit(receipt("A1", 2)))
		require.NoError(t, err)
		assert.Equal(t, orderdb.Stored{Repeated: true, Receipt: inRow(receipt("A1", 1))}, stored, "a repeat writes nothing")
		_, err = db.Put(t.Context(), ordertest.New("A1"), nil)
		require.ErrorIs(t, err, orderdb.ErrConflict)
		assert.Empty(t, found(t, b, url, secretName, secretWord))

		row, err := db.Row(t.Context(), "A1")
		require.NoError(t, err)
		assert.Equal(t, orderdb.Row{Order: ltp.Order{ID: "A1"}, CreatedAt: row.CreatedAt, Receipt: inRow(receipt("A1", 1)), ErasedAt: erased.At}, row)
		for e, err := range openLedger(t, url).Entries(t.Context(), []string{"A1", "A2"}) {
			require.NoError(t, err)
			assert.Equal(t, e.ID == "A1", e.Customer == "", e.ID)
			assert.Equal(t, e.ID == "A1", e.ErasedAt.Equal(erased.At), e.ID)
			assert.EqualValues(t, 12000, e.AmountMinor)
			if e.ID == "A1" {
				assert.Equal(t, private("A1").ContentHash(), e.ContentHash)
				assert.Equal(t, inRow(receipt("A1", 1)), e.Receipt)
			}
		}
		missing, err := db.Missing(t.Context(), []string{"A1", "A2"})
		require.NoError(t, err)
		assert.Empty(t, missing)
		tally, err := db.Tally(t.Context(), "")
		require.NoError(t, err)
		assert.Equal(t, orderdb.Tally{Orders: 2, Outbox: 1}, tally)
		require.NoError(t, db.TryLatest(t.Context()))
	})
}

// TestAnErasedOrderThatWasNotExecutedIsNeverWritten: what its tombstone said goes, and one is
// written where none stood.
func TestAnErasedOrderThatWasNotExecutedIsNeverWritten(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustWithdraw(t, db, private("A1"), ltp.Ending{State: ltp.Rejected, Reason: "nothing is sent to " + secretName})
		require.NotEmpty(t, found(t, b, url, secretName))
		for _, id := range []string{"A1", "A2"} {
			e := erasure(private(id))
			e.Tombstone = ltp.Expired
			erased, err := db.Erase(t.Context(), e)
			require.NoError(t, err)
			want := map[string]ltp.OrderState{"A1": ltp.Rejected, "A2": ltp.Expired}[id]
			assert.Equal(t, orderdb.Erased{At: erased.At, Tombstone: want}, erased)
			stored, err := db.Put(t.Context(), private(id), nil)
			require.NoError(t, err)
			assert.Equal(t, orderdb.Stored{Repeated: true, Tombstone: &ltp.Ending{State: want}}, stored)
		}
		assert.Empty(t, found(t, b, url, secretName, secretWord))
		assertWithdrawn(t, db, 0, 2)
	})
}

// TestWhatMayNotBeErasedIsLeftAsItWas.
func TestWhatMayNotBeErasedIsLeftAsItWas(t *testing.T) {
	conform(t, func(t *testing.T, b backend, url string) {
		db := open(t, url)
		mustPut(t, db, private("A1"))
		_, err := db.Erase(t.Context(), erasure(ordertest.New("A1")))
		require.ErrorIs(t, err, orderdb.ErrConflict, "another order")
		_, err = db.Erase(t.Context(), erasure(ordertest.New("A2")))
		require.ErrorIs(t, err, orderdb.ErrNotFound)
		_, err = db.Erase(t.Context(), orderdb.Erasure{ID: "A2", Tombstone: ltp.Cancelled})
		require.ErrorContains(t, err, "content hash")
		_, err = db.Erase(t.Context(), orderdb.Erasure{ID: "A2", ContentHash: "x", Tombstone: ltp.Executed})
		require.ErrorContains(t, err, `cannot be withdrawn as "EXECUTED"`)
		assert.EqualValues(t, 1, b.count(t, url, "SELECT count(*) FROM order_keys WHERE erased_at IS NULL"))

		b.exec(t, url, "CREATE UNIQUE INDEX each ON orders (customer); INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body) VALUES ('X1', '', 'USD', 1, 'h', '{}')")
		_, err = db.Erase(t.Context(), erasure(private("A1")))
		require.ErrorContains(t, err, "erasing order A1: ")
		assert.EqualValues(t, 1, b.count(t, url, "SELECT count(*) FROM order_keys WHERE erased_at IS NULL"), "all of it or nothing")
		assert.EqualValues(t, 1, b.count(t, url, "SELECT count(*) FROM order_outbox"))
		row, err := db.Row(t.Context(), "A1")
		require.NoError(t, err)
		assert.Equal(t, private("A1"), row.Order)
		b.exec(t, url, "DROP INDEX each")
		_, err = db.Erase(t.Context(), erasure(private("A1")))
		require.NoError(t, err)
	})
}

// TestTheRoleOfAWorkerMayNotErase: it says what to do, and what it says is enough.
func TestTheRoleOfAWorkerMayNotErase(t *testing.T) {
	url := pgtest.Start(t).Database(t) // roles are the server's
	limited := role(t, url, "worker")
	pgtest.Exec(t, url, script(t, url, "worker"))
	db := open(t, limited)
	mustPut(t, db, private("A1"))
	_, err := db.Erase(t.Context(), erasure(private("A1")))
	require.ErrorContains(t, err, `it takes the role that owns the tables, or one with GRANT UPDATE ON "ltp".order_keys, "ltp".orders and GRANT DELETE ON "ltp".order_outbox`)
	pgtest.Exec(t, url, `GRANT UPDATE ON ltp.order_keys, ltp.orders TO worker; GRANT DELETE ON ltp.order_outbox TO worker`)
	_, err = db.Erase(t.Context(), erasure(private("A1")))
	require.NoError(t, err)
}
