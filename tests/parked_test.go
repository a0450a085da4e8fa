package tests

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/starter"
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
// parked with their reason. An operator brings one back when its cause is mended, and ends
// the other.
func TestBadOrdersDoNotPoisonARecovery(t *testing.T) {
	pair := pgtest.StartPair(t)
	url := pair.Leader().URL("postgres")
	r := newRigOn(t, url)
	conn := pgtest.Connect(t, url)
	_, err := conn.Exec(r.Ctx, poison)
	require.NoError(t, err)

	c := r.config()
	c.Backstop = ltp.Backstop{First: 15 * time.Second, Most: time.Minute} // short pauses, too
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Hold("an outage")
	r.Until(n.Board, ltp.Unstable)
	var good []string
	for i := range 100 {
		if i == 20 {
			r.Submit("drain-serial")
		}
		if i == 60 {
			r.Submit("drain-killer")
		}
		id := fmt.Sprintf("drain-%03d", i)
		r.Submit(id)
		good = append(good, id)
	}
	for _, id := range append(good, "drain-serial", "drain-killer") {
		r.becomes(id, ltp.Deferred)
	}
	r.Release()
	stable := r.Until(n.Board, ltp.Stable)
	r.executedOnce("drain-", good)

	serial, killer := r.becomes("drain-serial", ltp.Parked), r.becomes("drain-killer", ltp.Parked)
	require.NotNil(t, serial.Parked)
	assert.Contains(t, serial.Parked.Error, "could not serialize access (40001)")
	require.NotNil(t, killer.Parked)
	assert.Contains(t, killer.Parked.Error, "terminating connection")
	assert.Equal(t, ltp.MessagePending, serial.Message, "it is not final")
	assert.Equal(t, stable.Epoch, r.Until(n.Board, ltp.Stable).Epoch, "two bad orders are no incident")
	r.executedOnce("drain-", good) // and neither of the two is there
	a := r.audited(0, "--orders-db", url)
	assert.EqualValues(t, len(good), a.Claim(audit.NoneLost).Figures["executed"])

	_, err = conn.Exec(r.Ctx, "ALTER TABLE orders DISABLE TRIGGER poisoned")
	require.NoError(t, err)
	require.NoError(t, r.Start.Instruct(r.Ctx, "drain-serial", ltp.Instruction{Do: ltp.DoRetry, By: "ann"}))
	require.NoError(t, r.Start.Instruct(r.Ctx, "drain-killer", ltp.Instruction{Do: ltp.DoReject, By: "ann", Why: "no such article"}))
	r.becomes("drain-serial", ltp.Executed)
	assert.Equal(t, "rejected by ann: no such article", r.becomes("drain-killer", ltp.Rejected).Detail)
	r.executedOnce("drain-", append(good, "drain-serial"))
	r.judged(good, url)
}

// becomes waits until an order is in a state.
func (r *rig) becomes(id string, state ltp.OrderState) (st starter.Status) {
	r.T.Helper()
	require.Eventuallyf(r.T, func() (is bool) {
		var err error
		st, err = r.Start.Get(r.Ctx, id)
		return err == nil && st.State == state
	}, 4*time.Minute, 20*time.Millisecond, "order %s never becomes %s", id, state)
	return st
}

// judged audits the incident: nothing is lost, and no late write of the order that was
// rejected takes effect. Then a row of it is put there by hand, and the audit names it.
func (r *rig) judged(good []string, url string) {
	r.T.Helper()
	a := r.audited(0, "--orders-db", url)
	assert.EqualValues(r.T, len(good)+1, a.Claim(audit.NoneLost).Figures["executed"])
	assert.EqualValues(r.T, 1, a.Claim(audit.NoneLost).Figures["rejected"])
	file := filepath.Join(r.Dir, "incident.jsonl")
	for _, args := range [][]string{{"trace", "export", "--state-dir", r.Dir, "-o", file}, {"trace", "verify", "--state-dir", r.Dir, file}} {
		status, said := r.command(args...)
		require.Zero(r.T, status, said)
	}
	conn := pgtest.Connect(r.T, url)
	late, err := r.OpenDB().Put(r.Ctx, ordertest.New("drain-killer"), nil)
	require.NoError(r.T, err)
	require.NotNil(r.T, late.Tombstone, "a write that comes late meets the tombstone")
	assert.Equal(r.T, ltp.Rejected, late.Tombstone.State)
	_, err = conn.Exec(r.Ctx, `INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body, created_at)
		SELECT 'drain-killer', customer, currency, amount_minor, content_hash, body, created_at FROM orders WHERE id = $1`, good[0])
	require.NoError(r.T, err)
	rows := r.audited(1, "--orders-db", url).Claim(audit.RowsAgree)
	require.Len(r.T, rows.Breaches, 1)
	assert.Equal(r.T, "drain-killer", rows.Breaches[0].What)
	assert.Contains(r.T, rows.Breaches[0].Why, "REJECTED")
}
