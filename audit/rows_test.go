package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
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
		all = append(all, put(t, db, id, time.Now()))
	}
	return all
}

// put writes an order at a moment, by all clocks but that of the order database.
func put(t *testing.T, db orderdb.DB, id string, now time.Time) trace.OrderTrace {
	t.Helper()
	o := placed(id, 0)
	o.AcceptedAt = now.Add(-time.Millisecond)
	fence := ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3, ReadAt: ltp.Stamped(now)}
	stored, err := db.Put(t.Context(), o.Order, func() (ltp.Receipt, error) {
		return ltp.Receipt{Attempt: ltp.RequestFrameID(id, 1), BegunAt: ltp.Stamped(now), Fence: fence}, nil
	})
	require.NoError(t, err)
	r := stored.Receipt
	r.CommittedAt = ltp.Stamped(now.Add(time.Millisecond))
	o.Executions = []trace.Execution{{
		RequestFrameID: r.Attempt, TaskAt: now, RecordedAt: now.Add(5 * time.Millisecond),
		Attempt: ltp.Attempt{Result: ltp.ResultExecuted, BegunAt: r.BegunAt, EndedAt: r.CommittedAt, Fence: fence, Receipt: &r},
	}}
	o.Outcome, o.EndedAt = &ltp.Outcome{State: ltp.Executed}, now.Add(5*time.Millisecond)
	return o
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
			all[1].Executions = nil
			all[1] = ended(&all[1], 1, s)
			return all
		}
	}
	pending := func(x trace.Execution) func([]trace.OrderTrace) []trace.OrderTrace {
		return func(all []trace.OrderTrace) []trace.OrderTrace {
			o := placed("A2", 0)
			o.Executions = []trace.Execution{x}
			all[1] = o
			return all
		}
	}
	done := trace.Execution{Attempt: ltp.Attempt{Result: ltp.ResultExecuted}}
	const erased = `UPDATE order_keys SET erased_at = '2026-01-02T03:04:05.678Z' WHERE id = 'A2';
		UPDATE orders SET customer = '', body = '{}' WHERE id = 'A2'; DELETE FROM order_outbox WHERE order_id = 'A2'`
	const added = `INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body) VALUES ('X1', 'c', 'USD', 1, 'h', '{}')`
	for name, c := range map[string]change{
		"as it should be":                           {"", none, nil, Held, "", ""},
		"a row is missing":                          {"DELETE FROM orders WHERE id = 'A2'", none, nil, Broken, "A2", "is missing"},
		"a row too many":                            {added, none, nil, Broken, "X1", "Temporal has no such order"},
		"an order was erased":                       {erased, func(all []trace.OrderTrace) []trace.OrderTrace { return append(all[:1], all[2:]...) }, nil, NotChecked, "", "data of 1 order was erased"},
		"its erasure was cut short":                 {erased, none, nil, NotChecked, "", "data of 1 order was erased"},
		"it is said to be erased, and is there":     {`UPDATE order_keys SET erased_at = '2026-01-02T03:04:05.678Z' WHERE id = 'A2'`, none, nil, Broken, "A2", "has it all the same"},
		"erased, with another content hash":         {erased + `; UPDATE orders SET content_hash = 'x' WHERE id = 'A2'`, none, nil, Broken, "A2", "content hash"},
		"erased, with another amount":               {erased + `; UPDATE orders SET amount_minor = 1 WHERE id = 'A2'`, none, nil, Broken, "A2", "0.01 USD, and 120.00 USD was ordered"},
		"erased, with another attempt":              {erased + `; UPDATE orders SET attempt = 'A2/7' WHERE id = 'A2'`, none, nil, Broken, "A2", `says that attempt "A2/7" wrote it`},
		"a row too many, of before what is kept":    {added, none, []trace.Gap{{What: "orders that ended before 2999-01-01 00:00:00 UTC", Why: "gone"}}, NotChecked, "", "no longer has the orders of 1 row"},
		"a row too many, of what is kept":           {added, none, []trace.Gap{{What: "orders that ended before 2020-01-01 00:00:00 UTC", Why: "gone"}}, Broken, "X1", "Temporal has no such order"},
		"a row too many, whose order is damaged":    {added, none, []trace.Gap{{What: "run 1 of order/X1", Why: "reset"}}, NotChecked, "", "no longer has the orders of 1 row"},
		"a row too many, and a reset of another":    {added, none, []trace.Gap{{What: "run 1 of order/A9", Why: "reset"}}, Broken, "X1", "Temporal has no such order"},
		"an expired order is there, since ever":     {`UPDATE orders SET created_at = '2020-01-01T00:00:00.000Z' WHERE id = 'A2'`, turn(ltp.Expired), nil, Broken, "A2", "Temporal has it EXPIRED"},
		"a rejected order is there":                 {"", turn(ltp.Rejected), nil, Broken, "A2", "Temporal has it REJECTED"},
		"a cancelled order is there":                {"", turn(ltp.Cancelled), nil, Broken, "A2", "Temporal has it CANCELLED"},
		"another content hash":                      {"UPDATE orders SET content_hash = 'x' WHERE id = 'A2'", none, nil, Broken, "A2", "content hash"},
		"another customer":                          {"UPDATE orders SET customer = 'x' WHERE id = 'A2'", none, nil, Broken, "A2", "customer"},
		"another amount":                            {"UPDATE orders SET amount_minor = 1 WHERE id = 'A2'", none, nil, Broken, "A2", "0.01 USD, and 120.00 USD was ordered"},
		"another body":                              {`UPDATE orders SET body = '{"id":"A2","customer":"c-17","currency":"USD","lines":[]}' WHERE id = 'A2'`, none, nil, Broken, "A2", "body"},
		"a body that cannot be read":                {`UPDATE orders SET body = '[1]' WHERE id = 'A2'`, none, nil, Broken, "A2", "cannot be read"},
		"it took effect twice":                      {`INSERT INTO order_outbox (order_id, payload) VALUES ('A2', '{}')`, none, nil, Broken, "A2", "2 times"},
		"the outbox was emptied":                    {"DELETE FROM order_outbox", none, nil, NotChecked, "", "the outbox has nothing of 3 orders"},
		"the outbox says another amount":            {`UPDATE order_outbox SET payload = '{"id":"A2","customer":"c-17","currency":"USD","lines":[{"sku":"book","quantity":9,"unit_amount_minor":6000}]}' WHERE order_id = 'A2'`, none, nil, Broken, "A2", "the outbox has it with another content"},
		"a ghost in the outbox":                     {`INSERT INTO order_outbox (order_id, payload) VALUES ('G1', '{}')`, none, nil, Broken, "G1", "the order database has no such order"},
		"another attempt":                           {"UPDATE orders SET attempt = 'A2/7' WHERE id = 'A2'", none, nil, Broken, "A2", `says that attempt "A2/7" wrote it`},
		"another epoch":                             {"UPDATE orders SET epoch = 4 WHERE id = 'A2'", none, nil, Broken, "A2", "written under STABLE, epoch 4"},
		"another fence":                             {"UPDATE orders SET fence_state = 'UNSTABLE' WHERE id = 'A2'", none, nil, Broken, "A2", "written under UNSTABLE, epoch 3"},
		"begun at another time":                     {"UPDATE orders SET begun_at = '2024-05-20T14:30:05.000Z' WHERE id = 'A2'", none, nil, Broken, "A2", "at another time"},
		"its fence asked at another":                {"UPDATE orders SET read_at = '2024-05-20T14:30:05.000Z' WHERE id = 'A2'", none, nil, Broken, "A2", "at another time"},
		"an old row of nobody's":                    {added + `; UPDATE orders SET created_at = '2020-01-01T00:00:00.000Z' WHERE id = 'X1'`, none, nil, Held, "", ""},
		"an executed order of long ago":             {`UPDATE orders SET created_at = '2020-01-01T00:00:00.000Z' WHERE id = 'A2'`, none, nil, NotChecked, "", "the clocks of 1 row disagree"},
		"a table is missing":                        {"DROP TABLE orders", none, nil, NotChecked, "", "cannot be read"},
		"its attempt gave no answer":                {"", pending(trace.Execution{Attempt: ltp.NoAnswer()}), nil, Held, "", ""},
		"written, and not taken in by its workflow": {"", pending(done), nil, Held, "", ""},
		"the same, and deleted":                     {"DELETE FROM orders WHERE id = 'A2'", pending(done), nil, Broken, "A2", "is missing"},
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
				r := newRows(newStates(outage()))
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

// TestRowsThatWereMovedIntoTheUnfitTimeAreNamed, and a clock that is off is not: it is off
// for all rows.
func TestRowsThatWereMovedIntoTheUnfitTimeAreNamed(t *testing.T) {
	for name, c := range map[string]struct {
		statement string
		verdict   Verdict
		broken    int
		why       string
	}{
		"none was moved":             {"UPDATE orders SET created_at = begun_at", Held, 0, ""},
		"three of thirty":            {"UPDATE orders SET created_at = begun_at; UPDATE orders SET created_at = '2024-05-20T14:30:20.000Z' WHERE id < 'A03'", Broken, 3, "while the component was unfit"},
		"all, to one moment":         {"UPDATE orders SET created_at = '2024-05-20T14:30:20.000Z'", Broken, 30, "while the component was unfit"},
		"the database is 20 s ahead": {"UPDATE orders SET created_at = later(begun_at, 20)", NotChecked, 0, "the clocks of 30 rows disagree by more than 2 s: the order database's clock is at least"},
		"the database is 1 s ahead":  {"UPDATE orders SET created_at = later(begun_at, 1)", Held, 0, ""},
	} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, url string, exec func(string)) {
				db, err := orderdb.Open(t.Context(), url)
				require.NoError(t, err)
				defer db.Close()
				require.NoError(t, db.Migrate(t.Context()))
				ledger, err := orderdb.OpenLedger(t.Context(), url)
				require.NoError(t, err)
				defer ledger.Close()
				r := newRows(newStates(outage()))
				for i := range 30 { // one a second, the last a second before the fall
					r.see(put(t, db, fmt.Sprintf("A%02d", i), at(-30_000+1000*i)))
				}
				later := regexp.MustCompile(`later\((\w+), (\d+)\)`)
				if strings.HasPrefix(url, "postgres") {
					exec(later.ReplaceAllString(c.statement, "$1 + interval '$2 s'"))
				} else {
					exec(later.ReplaceAllString(c.statement, "strftime('%Y-%m-%dT%H:%M:%fZ', $1, '+$2 seconds')"))
				}
				got, err := r.claim(t.Context(), Scope{Rows: ledger}, trace.Incidents(outage())[0].Window(), nil, temporalHas(nil))
				require.NoError(t, err)
				assert.Equal(t, c.verdict, got.Verdict, "%s %v", got.Why, got.Breaches)
				assert.Equal(t, c.broken, got.Broken)
				switch c.verdict {
				case Broken:
					assert.Contains(t, got.Breaches[0].Why, c.why)
				case NotChecked:
					assert.Contains(t, got.Why, c.why)
				}
			})
		})
	}
}

// TestAReceiptOfALostTaskIsHandedOn: what only the row knows is judged by its receipt.
func TestAReceiptOfALostTaskIsHandedOn(t *testing.T) {
	onBoth(t, func(t *testing.T, url string, _ func(string)) {
		db, err := orderdb.Open(t.Context(), url)
		require.NoError(t, err)
		defer db.Close()
		require.NoError(t, db.Migrate(t.Context()))
		all := executed(t, db, "A1", "A2", "A3", "A4")
		failed(&all[3].Executions[0], ltp.ResultUnknown) // and its row shows which attempt it was
		all[3].Outcome = nil
		written := *all[1].Executions[0].Receipt
		all[1].Executions, all[1].Outcome = nil, nil
		all[1].Lost = []trace.LostTask{{StartedAt: all[1].AcceptedAt, EndedAt: time.Now()}}
		all[2].Lost = all[1].Lost // its write is known
		ledger, err := orderdb.OpenLedger(t.Context(), url)
		require.NoError(t, err)
		defer ledger.Close()
		r := newRows(newStates(outage()))
		var handed []string
		r.receipt = func(o trace.OrderTrace, is ltp.Receipt, _ time.Time) {
			handed = append(handed, o.Order.ID)
			assert.Equal(t, written.Attempt, is.Attempt)
			assert.True(t, written.BegunAt.Equal(is.BegunAt))
			assert.Equal(t, written.Fence.Epoch, is.Fence.Epoch)
		}
		for _, o := range all {
			r.see(o)
		}
		got, err := r.claim(t.Context(), Scope{Rows: ledger}, trace.Window{From: time.Now().Add(-time.Minute)}, nil, temporalHas(all))
		require.NoError(t, err)
		assert.Equal(t, Held, got.Verdict, "%v", got.Breaches)
		assert.Equal(t, []string{"A2"}, handed)
	})
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
		r := newRows(newStates(outage()))
		r.see(all[0])
		got, err := r.claim(t.Context(), Scope{Rows: ledger}, trace.Window{}, nil, temporalHas(all))
		require.NoError(t, err)
		assert.Equal(t, Held, got.Verdict, "%v", got.Breaches)

		broken := errors.New("temporal is away")
		r = newRows(newStates(outage()))
		_, err = r.claim(t.Context(), Scope{Rows: ledger}, trace.Window{}, nil,
			func(context.Context, string) (trace.OrderTrace, error) { return trace.OrderTrace{}, broken })
		assert.ErrorIs(t, err, broken, "that is no verdict")
	})
}

func TestWithoutAnOrderDatabaseNothingIsCompared(t *testing.T) {
	r := newRows(newStates(outage()))
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
