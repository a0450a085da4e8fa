package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/ledger"
)

// command runs an ltp command against the rig's Temporal to its end, and returns its exit
// status and what it printed.
func (r *rig) command(args ...string) (status int, printed string) {
	r.T.Helper()
	p := r.Command(args...)
	status = p.Wait()
	return status, p.Stdout.String() + p.Stderr.String()
}

// audited runs ltp audit --format json, which must end with a status, and returns the audit.
func (r *rig) audited(status int, args ...string) (a audit.Audit) {
	r.T.Helper()
	got, printed := r.command(append([]string{"audit", "--format", "json"}, args...)...)
	require.Equal(r.T, status, got, printed)
	require.NoError(r.T, json.Unmarshal([]byte(printed), &a))
	return a
}

// auditedButLost is audited where a worker has stopped: Temporal may have handed it an
// execution as it went, and then nobody can tell whether that one began to write.
func (r *rig) auditedButLost(args ...string) (a audit.Audit) {
	r.T.Helper()
	_, printed := r.command(append([]string{"audit", "--format", "json"}, args...)...)
	require.NoError(r.T, json.Unmarshal([]byte(printed), &a), printed)
	for _, c := range a.Claims {
		if c.Name == audit.Fenced && c.Verdict == audit.NotChecked {
			assert.Positive(r.T, a.Claim(audit.Once).Figures["outcome_unknown"], printed)
			continue
		}
		assert.Equal(r.T, audit.Held, c.Verdict, "%s\n%s", c.Says, printed)
	}
	return a
}

// verified exports the latest outage and has the file verified.
func (r *rig) verified() {
	r.T.Helper()
	file := filepath.Join(r.T.TempDir(), "incident.jsonl")
	status, said := r.command("trace", "export", "-o", file, "--state-dir", r.Dir)
	require.Zero(r.T, status, said)
	status, said = r.command("trace", "verify", file, "--key", filepath.Join(r.Dir, ledger.PublicKeyFile))
	require.Zero(r.T, status, said)
	assert.Contains(r.T, said, "is whole")
}

// TestAuditNamesTheOrderThatSomebodyChanged: an outage is audited and reported with every worker down;
// then somebody touches the order database, and the audit names the order.
func TestAuditNamesTheOrderThatSomebodyChanged(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	ids := []string{"A1"}
	r.Submit("A1")
	r.Ended("A1")
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	for i := 2; i <= 6; i++ {
		id := fmt.Sprintf("A%d", i)
		ids = append(ids, id)
		require.Equal(t, ltp.Deferred, r.Decided(r.Submit(id)).State)
	}

	// While it goes on.
	open := r.audited(0, "--orders-db", r.Orders)
	assert.Zero(t, open.EndedAt)
	assert.EqualValues(t, 5, open.Claim(audit.NoneLost).Figures["deferred"])

	end()
	for _, id := range ids {
		require.Equal(t, ltp.Executed, r.Ended(id).State)
	}
	r.Until(n.Board, ltp.Stable)
	n.Stop()

	a := r.audited(0, "--orders-db", r.Orders)
	assert.Equal(t, audit.Held, a.Verdict)
	assert.EqualValues(t, 6, a.Claim(audit.NoneLost).Figures["executed"])
	assert.EqualValues(t, 5, a.Claim(audit.SafeMode).Figures["unfit"])
	assert.EqualValues(t, 6, a.Claim(audit.Deterministic).Figures["orders"])
	assert.Positive(t, a.Claim(audit.Deterministic).Figures["replay"])
	assert.EqualValues(t, 6, a.Claim(audit.RowsAgree).Figures["rows"])
	require.Len(t, a.Unfit, 1)
	assert.False(t, a.Unfit[0].To.IsZero())

	a = r.audited(2)
	assert.Equal(t, audit.NotChecked, a.Claim(audit.RowsAgree).Verdict)
	assert.Contains(t, a.Claim(audit.RowsAgree).Why, "--orders-db")
	status, said := r.command("audit", "--incident", "9")
	assert.Equal(t, 2, status, "no audit is no verdict")
	assert.Contains(t, said, "no incident 9")
	status, said = r.command("audit", "--orders-db", r.Orders)
	assert.Zero(t, status)
	assert.Contains(t, said, "8 of 8 claims held")
	assert.NotContains(t, said, "\x1b", "no colour where there is no terminal")

	for _, name := range []string{"x.html", "x.md"} {
		path := filepath.Join(r.Dir, name)
		status, said := r.command("report", "--orders-db", r.Orders, "-o", path)
		require.Zero(t, status, said)
		first, err := os.ReadFile(path)
		require.NoError(t, err)
		for _, figure := range []string{"8 of 8 claims held", "600.00 USD", "Order Received - Pending Confirmation", "The deferral window"} {
			assert.Contains(t, string(first), figure, name)
		}
		status, said = r.command("report", "--orders-db", r.Orders, "-o", path)
		require.Zero(t, status, said)
		again, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(first), string(again), "the same history, the same report")
	}
	status, said = r.command("report", "-o", filepath.Join(r.Dir, "x.pdf"))
	assert.Equal(t, 1, status)
	assert.Contains(t, said, ".html or .md")

	r.exec("DELETE FROM orders WHERE id = 'A3'")
	rows := r.audited(1, "--orders-db", r.Orders).Claim(audit.RowsAgree)
	assert.Equal(t, []audit.Breach{{What: "A3", Why: "it was executed, and is missing in the order database"}}, rows.Breaches)
	r.exec(`INSERT INTO orders (id, customer, currency, amount_minor, content_hash, body, created_at)
		SELECT 'Z9', customer, currency, amount_minor, content_hash, body, created_at FROM orders WHERE id = 'A2'`)
	rows = r.audited(1, "--orders-db", r.Orders).Claim(audit.RowsAgree)
	require.Len(t, rows.Breaches, 2)
	assert.Equal(t, "Z9", rows.Breaches[0].What)
	assert.Contains(t, rows.Breaches[0].Why, "Temporal has no such order")
}
