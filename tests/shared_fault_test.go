package tests

import (
	"fmt"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// sharedFault is one that the order database puts in the way of every order.
type sharedFault struct {
	begin, end string
	words      []string // which the reason or the evidence holds
}

// sharedFaults are faults that the probe of a table of its own would not see.
func sharedFaults() map[string]sharedFault {
	raise := func(does string) string {
		return `CREATE FUNCTION broken() RETURNS trigger AS $$ BEGIN ` + does + ` RETURN NEW; END $$ LANGUAGE plpgsql;
			CREATE TRIGGER broken BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION broken()`
	}
	const mended = "DROP TRIGGER broken ON orders"
	return map[string]sharedFault{
		"orders may not be inserted": {"REVOKE INSERT ON orders FROM app", "GRANT INSERT ON orders TO app", []string{"permission denied for table orders", "42501"}},
		"the outbox may not be used": {"REVOKE INSERT ON order_outbox FROM app", "GRANT INSERT ON order_outbox TO app", []string{"permission denied for table order_outbox", "42501"}},
		"a trigger finds the disk full": {
			raise("RAISE EXCEPTION 'no space left' USING ERRCODE = '53100';"), mended, []string{"no space left", "53100"},
		},
		"a trigger ends the session": {raise("PERFORM pg_terminate_backend(pg_backend_pid());"), mended, nil},
		"a trigger drops every row":  {raise("RETURN NULL;"), mended, []string{"dropped the order"}},
		"a sequence is behind its rows": {
			// Every try uses up a number: there must be more rows than tries.
			`INSERT INTO order_outbox (id, order_id, payload) OVERRIDING SYSTEM VALUE SELECT n, 'old-' || n, '{}' FROM generate_series(1001, 21000) n;
				SELECT setval('order_outbox_id_seq', 1001, false)`,
			"SELECT setval('order_outbox_id_seq', 21000)", []string{"23505"},
		},
		"a sequence is exhausted": {
			"ALTER SEQUENCE order_outbox_id_seq MAXVALUE 2000; SELECT setval('order_outbox_id_seq', 2000)",
			"ALTER SEQUENCE order_outbox_id_seq MAXVALUE 9000000", []string{"2200H"},
		},
		"a column is missing from the statement": {
			"ALTER TABLE orders ADD COLUMN region text; UPDATE orders SET region = ''; ALTER TABLE orders ALTER region SET NOT NULL",
			"ALTER TABLE orders DROP COLUMN region", []string{"region", "23502"},
		},
		"a new check does not know the customers": { // the probe's own order meets it
			"ALTER TABLE orders ADD CONSTRAINT new_check CHECK (customer LIKE 'ltp-%') NOT VALID",
			"ALTER TABLE orders DROP CONSTRAINT new_check", []string{"new_check", "23514"},
		},
		"somebody holds a lock on the orders": {"BEGIN; LOCK TABLE orders IN SHARE ROW EXCLUSIVE MODE", "ROLLBACK", nil},
		"a rule of the business refuses everything": {
			raise("RAISE EXCEPTION 'closed for stocktaking';"), mended, []string{"closed for stocktaking"},
		},
	}
}

// TestNoOrderPaysForAFaultThatOthersShare: while the database takes no order at all, the
// component is UNSTABLE in the database's own words, the orders wait, and all of them are
// executed once it is mended.
func TestNoOrderPaysForAFaultThatOthersShare(t *testing.T) {
	for name, fault := range sharedFaults() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pair := pgtest.StartPair(t)
			admin := pgtest.Connect(t, pair.Leader().URL("postgres"))
			exec := func(sql string) {
				_, err := admin.Exec(t.Context(), sql)
				require.NoError(t, err, sql)
			}
			app, err := url.Parse(pair.Leader().URL("postgres"))
			require.NoError(t, err)
			password, _ := app.User.Password()
			exec("CREATE ROLE app LOGIN PASSWORD '" + password + "'; GRANT CREATE ON DATABASE postgres TO app")
			app.User = url.UserPassword("app", password)
			r := newRigOn(t, app.String())
			n := r.up(r.config())
			r.Until(n.Board, ltp.Stable)
			for i := range 3 {
				r.Submit(fmt.Sprintf("before-%d", i))
				r.becomes(fmt.Sprintf("before-%d", i), ltp.Executed)
			}
			exec(fault.begin)
			began := time.Now()
			var ids []string
			for i := range 12 {
				ids = append(ids, fmt.Sprintf("order-%02d", i))
				r.Submit(ids[i])
			}
			now := r.Until(n.Board, ltp.Unstable)
			t.Logf("UNSTABLE after %s: %s", time.Since(began).Round(10*time.Millisecond), now.Reason)
			said := now.Reason + " " + now.Evidence.Error
			for _, words := range fault.words {
				assert.Contains(t, said, words)
			}
			for _, id := range ids {
				assert.False(t, r.becomes(id, ltp.Deferred).State.Final())
			}
			exec(fault.end)
			mended := time.Now()
			for _, id := range ids {
				r.becomes(id, ltp.Executed)
			}
			t.Logf("all executed %s after the repair", time.Since(mended).Round(10*time.Millisecond))
			r.Until(n.Board, ltp.Stable)
			r.executedOnce("order-", ids)
			var before, after int // attempts that failed, by when they ended
			for _, id := range ids {
				story, err := r.Reader().Order(r.Ctx, id)
				require.NoError(t, err)
				for _, e := range story.Executions {
					switch {
					case !e.Result.Failed():
					case e.EndedAt.Before(now.Since):
						before++
					default:
						after++
					}
				}
			}
			t.Logf("of %d orders, %d attempts failed before it was UNSTABLE, and %d after", len(ids), before, after)
		})
	}
}
