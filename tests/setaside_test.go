package tests

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/orderdb/pgtest"
)

// poison makes the order database fail on some orders: on one as if it could be tried
// again, on the other with the connection lost.
const poison = `
CREATE FUNCTION poisoned() RETURNS trigger AS $$
BEGIN
	IF NEW.id LIKE 'drain-serial%' THEN
		RAISE EXCEPTION 'could not serialize access' USING ERRCODE = '40001';
	ELSIF NEW.id LIKE 'drain-killer%' THEN
		PERFORM pg_terminate_backend(pg_backend_pid());
	END IF;
	RETURN NEW;
END $$ LANGUAGE plpgsql;
CREATE TRIGGER poisoned BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION poisoned();`

// TestBadOrdersDoNotPoisonARecovery: of the orders that waited through an outage two fail
// again and again. The others are executed, the component becomes STABLE, and the two are
// set aside with their reason, behind tombstones.
func TestBadOrdersDoNotPoisonARecovery(t *testing.T) {
	pair := pgtest.StartPair(t)
	url := pair.Leader().URL("postgres")
	r := newRigOn(t, url)
	conn, err := pgx.Connect(r.ctx, url)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(t.Context()) })
	_, err = conn.Exec(r.ctx, poison)
	require.NoError(t, err)

	c := r.config()
	c.Backstop = ltp.Backstop{First: 15 * time.Second, Most: time.Minute} // short pauses, too
	n := r.up(c)
	r.until(n, ltp.Stable)
	require.NoError(t, operator(r, ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "an outage"}))
	r.until(n, ltp.Unstable)
	var good []string
	for i := range 100 {
		if i == 20 {
			r.submit(order("drain-serial"))
		}
		if i == 60 {
			r.submit(order("drain-killer"))
		}
		id := fmt.Sprintf("drain-%03d", i)
		r.submit(order(id))
		good = append(good, id)
	}
	for _, id := range append(good, "drain-serial", "drain-killer") {
		require.Eventually(t, func() bool {
			st, err := r.start.Get(r.ctx, id)
			return err == nil && st.State == ltp.Deferred
		}, patience, 20*time.Millisecond)
	}
	require.NoError(t, operator(r, ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "over"}))
	stable := r.until(n, ltp.Stable)
	r.executedOnce("drain-", good)
	for _, id := range []string{"drain-serial", "drain-killer"} {
		st, err := r.start.Get(r.ctx, id)
		require.NoError(t, err)
		assert.Falsef(t, st.State.Final(), "the others did not wait for it: %+v", st)
	}

	serial, killer := r.setAside("drain-serial"), r.setAside("drain-killer")
	assert.Contains(t, serial.Detail, "could not serialize access")
	assert.Contains(t, killer.Detail, "terminating connection")
	assert.Equal(t, stable.Epoch, r.until(n, ltp.Stable).Epoch, "two bad orders are no incident")
	r.executedOnce("drain-", good) // and neither of the two is there
	r.judged(good, pair.Leader().URL("postgres"))
}

// setAside waits until an order was rejected for failing, and checks its story.
func (r *rig) setAside(id string) (rejected struct{ Detail string }) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 10*time.Minute)
	defer cancel()
	_ = r.client.GetWorkflow(ctx, ltp.OrderWorkflowID(id), "").Get(ctx, nil)
	st, err := r.start.Get(r.ctx, id)
	require.NoError(r.t, err)
	require.Equal(r.t, ltp.Rejected, st.State, "%+v", st)
	story, err := r.reader().Order(r.ctx, id)
	require.NoError(r.t, err)
	assert.True(r.t, story.SetAside())
	assert.GreaterOrEqual(r.t, len(story.Executions), ltp.MaxAttempts)
	require.NotEmpty(r.t, story.Withdrawals)
	last := story.Withdrawals[len(story.Withdrawals)-1]
	assert.Equal(r.t, ltp.FoundTombstone, last.Found, "a tombstone keeps it from being written ever after")
	rejected.Detail = st.Detail
	return rejected
}

// judged audits the incident: nothing is lost, and no late write of an order that was set
// aside takes effect. Then a row of it is put there by hand, and the audit names it.
func (r *rig) judged(good []string, url string) {
	r.t.Helper()
	a := r.audited(0, "--orders-db", url)
	assert.EqualValues(r.t, len(good), a.Claim(audit.NoneLost).Figures["executed"])
	assert.EqualValues(r.t, 2, a.Claim(audit.NoneLost).Figures["rejected"])
	file := filepath.Join(r.dir, "incident.jsonl")
	for _, args := range [][]string{{"trace", "export", "--state-dir", r.dir, "-o", file}, {"trace", "verify", "--state-dir", r.dir, file}} {
		status, said := r.command(args...)
		require.Zero(r.t, status, said)
	}
	conn, err := pgx.Connect(r.ctx, url)
	require.NoError(r.t, err)
	defer func() { _ = conn.Close(r.ctx) }()
	_, err = conn.Exec(r.ctx, "ALTER TABLE orders DISABLE TRIGGER poisoned")
	require.NoError(r.t, err)
	late, err := r.openDB().Put(r.ctx, order("drain-killer"), nil)
	require.NoError(r.t, err)
	require.NotNil(r.t, late.Tombstone, "a write that comes late meets the tombstone")
	assert.Equal(r.t, ltp.Rejected, late.Tombstone.State)
	_, err = conn.Exec(r.ctx, `INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body, created_at)
		SELECT 'drain-killer', customer, currency, amount_minor, content_hash, body, created_at FROM orders WHERE id = $1`, good[0])
	require.NoError(r.t, err)
	rows := r.audited(1, "--orders-db", url).Claim(audit.RowsAgree)
	require.Len(r.t, rows.Breaches, 1)
	assert.Equal(r.t, "drain-killer", rows.Breaches[0].What)
	assert.Contains(r.t, rows.Breaches[0].Why, "REJECTED")
}
