package tests

import (
	"context"
	"database/sql"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// TestAHoldWaitsForTheWritesInFlight, on both order databases: it says that there is one
// for as long as a transaction is open that writes, and returns once that has ended.
func TestAHoldWaitsForTheWritesInFlight(t *testing.T) {
	for name, row := range map[string]struct {
		url func(t *testing.T) string
		// write begins a write that is open until the returned function is called.
		write func(t *testing.T, r *rig) (end func())
	}{
		"postgres": {
			func(t *testing.T) string { return pgtest.Shared(t).Database(t) },
			func(t *testing.T, r *rig) func() {
				conn := pgtest.Connect(t, r.Orders)
				_, err := conn.Exec(r.Ctx, `BEGIN; INSERT INTO ltp.order_keys (id, kind, content_hash) VALUES ('by-hand', 'ORDER', 'x')`)
				require.NoError(t, err)
				return func() {
					_, err := conn.Exec(context.Background(), "ROLLBACK")
					require.NoError(t, err)
				}
			},
		},
		"sqlite": {
			func(*testing.T) string { return "" },
			func(t *testing.T, r *rig) func() {
				db, err := sql.Open("sqlite", "file:"+r.Orders+"?_pragma=busy_timeout(10000)") // the probe writes, too
				require.NoError(t, err)
				t.Cleanup(func() { _ = db.Close() })
				conn, err := db.Conn(r.Ctx)
				require.NoError(t, err)
				_, err = conn.ExecContext(r.Ctx, "BEGIN IMMEDIATE")
				require.NoError(t, err)
				return func() {
					_, err := conn.ExecContext(context.Background(), "ROLLBACK")
					require.NoError(t, err)
				}
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, row.url(t))
			n := r.up(r.config())
			cli := r.commands()
			r.Until(n.Board, ltp.Stable)
			r.Submit("before-the-hold")
			r.becomes("before-the-hold", ltp.Executed)
			assert.Contains(t, cli.refused("orientation", "hold", "--why", "x", "--wait", "--component", "payments"), "--wait counts the writes into the order database")
			assert.Contains(t, cli.refused("orientation", "hold", "--why", "x", "--orders-db", r.Orders), "give --wait")
			r.Until(n.Board, ltp.Stable)

			end := row.write(t, r)
			p := cli.start("orientation", "hold", "--format", "json", "--wait", "--by", "ann", "--why", "migration", "--orders-db", r.Orders)
			p.Says(&p.Stderr, `orders-db is held\. For 7s writes may begin`)
			p.Says(&p.Stderr, `[1-9]\d* writes? in flight\.`)
			r.Submit("under-the-hold")
			r.becomes("under-the-hold", ltp.Deferred)
			assert.NotContains(t, p.Stderr.String(), "No write")
			end()
			require.Zero(t, p.Wait(), p)
			assert.Regexp(t, `No write of an order is in flight\.\n$`, p.Stderr.String())
			var held ltp.Orientation
			require.NoError(t, json.Unmarshal([]byte(p.Stdout.String()), &held), "standard output is what holds")
			assert.Equal(t, "ann", held.Hold.By)

			require.Eventually(t, func() bool { return n.Board.Orientation(ltp.DefaultComponent).Observed == ltp.Healthy }, patience, 20*time.Millisecond)
			p = cli.start("orientation", "hold", "--format", "json", "--wait", "--by", "ann", "--why", "again", "--orders-db", r.Orders)
			p.Says(&p.Stderr, `is held`)
			r.Release()
			assert.Equal(t, 1, p.Wait(), p)
			assert.Contains(t, p.Stderr.String(), "the hold of ann on orders-db has ended meanwhile, and orders may be written: it is ")
			r.becomes("under-the-hold", ltp.Executed)
		})
	}
}
