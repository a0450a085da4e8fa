package audit

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"database/sql"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/trace"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

// onBoth runs a test on both order databases; exec changes them behind our back.
func onBoth(t *testing.T, test func(t *testing.T, url string, exec func(string))) {
	t.Run("sqlite", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "orders.db")
		test(t, path, func(statement string) {
			db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
			require.NoError(t, err)
			defer db.Close()
			_, err = db.Exec(statement)
			require.NoError(t, err)
		})
	})
	t.Run("postgres", func(t *testing.T) {
		url := pgtest.Shared(t).Database(t)
		test(t, url, func(statement string) { pgtest.Exec(t, url, statement) })
	})
}

// executed are orders that the order database holds, and what Temporal has of them.
func executed(t *testing.T, db orderdb.DB, ids ...string) (all []trace.OrderTrace) {
	t.Helper()
	for _, id := range ids {
		o := placed(id, 0)
		_, err := db.Put(t.Context(), o.Order, nil)
		require.NoError(t, err)
		all = append(all, ended(&o, 1, ltp.Executed))
	}
	return all
}

func TestTheOrderDatabaseIsComparedRowByRow(t *testing.T) {
	type change struct {
		statement string // in the order database
		trace     func(all []trace.OrderTrace) []trace.OrderTrace
		gaps      []trace.Gap
		verdict   Verdict
		what, why string
	}
	none := func(all []trace.OrderTrace) []trace.OrderTrace { return all }
	turn := func(s ltp.OrderState) func([]trace.OrderTrace) []trace.OrderTrace {
		return func(all []trace.OrderTrace) []trace.OrderTrace {
			all[1] = ended(&all[1], 1, s)
			return all
		}
	}
	const added = `INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body) VALUES ('X1', 'c', 'USD', 1, 'h', '{}')`
	for name, c := range map[string]change{
		"as it should be":                  {"", none, nil, Held, "", ""},
		"a row is missing":                 {"DELETE FROM orders WHERE id = 'A2'", none, nil, Broken, "A2", "is missing"},
		"a row too many":                   {added, none, nil, Broken, "X1", "Temporal has no such order"},
		"a row too many, and a gap":        {added, none, []trace.Gap{{What: "orders", Why: "gone"}}, NotChecked, "", "no longer has the orders of 1 row"},
		"a rejected order is there":        {"", turn(ltp.Rejected), nil, Broken, "A2", "Temporal has it REJECTED"},
		"a cancelled order is there":       {"", turn(ltp.Cancelled), nil, Broken, "A2", "Temporal has it CANCELLED"},
		"another content hash":             {"UPDATE orders SET content_hash = 'x' WHERE id = 'A2'", none, nil, Broken, "A2", "content hash"},
		"another customer":                 {"UPDATE orders SET customer = 'x' WHERE id = 'A2'", none, nil, Broken, "A2", "customer"},
		"another amount":                   {"UPDATE orders SET amount_minor = 1 WHERE id = 'A2'", none, nil, Broken, "A2", "0.01 USD, and 120.00 USD was ordered"},
		"another body":                     {`UPDATE orders SET body = '{"id":"A2","customer":"c-17","currency":"USD","lines":[]}' WHERE id = 'A2'`, none, nil, Broken, "A2", "body"},
		"a body that cannot be read":       {`UPDATE orders SET body = '[1]' WHERE id = 'A2'`, none, nil, Broken, "A2", "cannot be read"},
		"it took effect twice":             {`INSERT INTO order_outbox (order_id, payload) VALUES ('A2', '{}')`, none, nil, Broken, "A2", "2 times"},
		"consumers have drained an outbox": {"DELETE FROM order_outbox", none, nil, Held, "", ""},
		"an old row of nobody's":           {added + `; UPDATE orders SET created_at = '2020-01-01T00:00:00.000Z' WHERE id = 'X1'`, none, nil, Held, "", ""},
		"an executed order of long ago":    {`UPDATE orders SET created_at = '2020-01-01T00:00:00.000Z' WHERE id = 'A2'`, none, nil, Held, "", ""},
		"a table is missing":               {"DROP TABLE orders", none, nil, NotChecked, "", "cannot be read"},
		"not written yet, or not told": {"", func(all []trace.OrderTrace) []trace.OrderTrace {
			o := placed("A2", 0)
			o.Executions = []trace.Execution{{Error: trace.OutcomeUnknown, EndedAt: at(5)}}
			all[1] = o
			return all
		}, nil, Held, "", ""},
		"written, and the workflow has yet to hear of it": {"", func(all []trace.OrderTrace) []trace.OrderTrace {
			o := placed("A2", 0)
			o.Executions = []trace.Execution{{EndedAt: at(5)}}
			all[1] = o
			return all
		}, nil, Held, "", ""},
		"written, and deleted before the workflow heard of it": {"DELETE FROM orders WHERE id = 'A2'", func(all []trace.OrderTrace) []trace.OrderTrace {
			o := placed("A2", 0)
			o.Executions = []trace.Execution{{EndedAt: at(5)}}
			all[1] = o
			return all
		}, nil, Broken, "A2", "is missing"},
		"pending, and nothing was ever tried": {"", func(all []trace.OrderTrace) []trace.OrderTrace {
			all[1] = placed("A2", 0)
			return all
		}, nil, Broken, "A2", "Temporal has it ACCEPTED"},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, url string, exec func(string)) {
				db, err := orderdb.Open(t.Context(), url)
				require.NoError(t, err)
				defer db.Close()
				require.NoError(t, db.Migrate(t.Context()))
				all := c.trace(executed(t, db, "A1", "A2", "A3"))
				if c.statement != "" {
					exec(c.statement)
				}
				ledger, err := orderdb.OpenLedger(t.Context(), url)
				require.NoError(t, err)
				defer ledger.Close()
				r := newRows()
				for _, o := range all {
					r.see(o)
				}
				w := trace.Window{From: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)}
				got, err := r.claim(t.Context(), Scope{Rows: ledger}, w, c.gaps, temporalHas(all))
				require.NoError(t, err)
				assert.Equal(t, c.verdict, got.Verdict, "%s %v", got.Why, got.Breaches)
				if c.verdict == Broken {
					require.Len(t, got.Breaches, 1)
					assert.Equal(t, c.what, got.Breaches[0].What)
					assert.Contains(t, got.Breaches[0].Why, c.why)
				}
				if c.verdict == NotChecked {
					assert.Contains(t, got.Why, c.why)
				}
			})
		})
	}
}

// temporalHas looks orders up among all.
func temporalHas(all []trace.OrderTrace) lookUp {
	return func(_ context.Context, id string) (trace.OrderTrace, error) {
		for _, o := range all {
			if o.Order.ID == id {
				return o, nil
			}
		}
		return trace.OrderTrace{}, trace.ErrNotFound
	}
}

// TestARowThatTheListingDidNotShowIsLookedUp: listings are late, and clocks differ.
func TestARowThatTheListingDidNotShowIsLookedUp(t *testing.T) {
	onBoth(t, func(t *testing.T, url string, _ func(string)) {
		db, err := orderdb.Open(t.Context(), url)
		require.NoError(t, err)
		defer db.Close()
		require.NoError(t, db.Migrate(t.Context()))
		all := executed(t, db, "A1", "A2")
		ledger, err := orderdb.OpenLedger(t.Context(), url)
		require.NoError(t, err)
		defer ledger.Close()
		r := newRows()
		r.see(all[0])
		got, err := r.claim(t.Context(), Scope{Rows: ledger}, trace.Window{}, nil, temporalHas(all))
		require.NoError(t, err)
		assert.Equal(t, Held, got.Verdict, "%v", got.Breaches)

		broken := errors.New("temporal is away")
		r = newRows()
		_, err = r.claim(t.Context(), Scope{Rows: ledger}, trace.Window{}, nil,
			func(context.Context, string) (trace.OrderTrace, error) { return trace.OrderTrace{}, broken })
		assert.ErrorIs(t, err, broken, "that is no verdict")
	})
}

func TestWithoutAnOrderDatabaseNothingIsCompared(t *testing.T) {
	r := newRows()
	c, err := r.claim(t.Context(), Scope{NoRows: "give --orders-db"}, trace.Window{}, nil, nil)
	require.NoError(t, err)
	assert.Equal(t, NotChecked, c.Verdict)
	assert.Equal(t, "give --orders-db", c.Why)

	ledger, err := orderdb.OpenLedger(t.Context(), filepath.Join(t.TempDir(), "nowhere", "orders.db"))
	require.NoError(t, err)
	defer ledger.Close()
	c, err = r.claim(t.Context(), Scope{Rows: ledger}, trace.Window{}, nil, nil)
	require.NoError(t, err)
	assert.Equal(t, NotChecked, c.Verdict)
}
