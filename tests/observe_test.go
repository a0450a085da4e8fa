package tests

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/tests/child"
	"github.com/ltp-node/ltp/tests/harness"
)

// alone runs an ltp command where no Temporal is, to its end.
func alone(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	p := launch(t, child.Environment(t, "TEMPORAL_ADDRESS=127.0.0.1:1"), harness.Binary(t), args...)
	status = p.Wait()
	return status, p.Stdout.String(), p.Stderr.String()
}

func migrated(t *testing.T, url string) {
	t.Helper()
	db, err := orderdb.Open(t.Context(), url)
	require.NoError(t, err)
	require.NoError(t, db.Migrate(t.Context()))
	require.NoError(t, db.Close())
}

// TestObserveOnceAnswersScripts: a status, and one observation on standard output,
// without Temporal.
func TestObserveOnceAnswersScripts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "orders.db")
	migrated(t, file)
	status, stdout, stderr := alone(t, "observe", "--once", "--orders-db", file)
	assert.Equal(t, 0, status, stderr)
	assert.Regexp(t, `^orders-db  (HEALTHY|SLOW)  DB .*\n$`, stdout)
	assert.Empty(t, stderr)

	server := pgtest.Start(t)
	url := server.Database(t)
	migrated(t, url)
	status, stdout, stderr = alone(t, "observe", "--once", "--format", "json", "--url", url)
	assert.Equal(t, 0, status, stderr)
	var seen ltp.Observation
	require.NoError(t, json.Unmarshal([]byte(stdout), &seen))
	assert.True(t, seen.Verdict.Fit())
	assert.NotEmpty(t, seen.Evidence.Facts["leader"])

	server.Set(t, "default_transaction_read_only", "on")
	status, stdout, stderr = alone(t, "observe", "--once", "--url", url)
	assert.Equal(t, 1, status, stderr)
	assert.Contains(t, stdout, "orders-db  UNHEALTHY  DB Is Read-Only  (")
	assert.Empty(t, stderr)

	for _, args := range [][]string{
		{"--url", "mysql://app:s3cret@db/orders"}, {"--component", "payments"}, {"--fall", "0"}, {"--unfit"},
	} {
		status, stdout, stderr = alone(t, append([]string{"observe", "--once"}, args...)...)
		assert.Equal(t, 2, status, "%v: %s", args, stderr)
		assert.Empty(t, stdout)
		assert.Regexp(t, `^ltp: .+\n$`, stderr)
		assert.NotContains(t, stderr, "s3cret")
	}
}

// TestComponentsAreObservedOnTheirOwn: payments has a health endpoint. While that is
// down, only what depends on it waits. What its observer has recorded shows the same
// story afterwards.
func TestComponentsAreObservedOnTheirOwn(t *testing.T) {
	var down atomic.Bool
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if down.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		_, _ = w.Write([]byte(`{"status":"as the test says","leader":"pay-1"}`))
	}))
	defer endpoint.Close()
	r := newRig(t)
	n := r.upWithPayments()
	recorded := filepath.Join(r.Dir, "samples.jsonl")
	p := r.LTP(r.Address, "observe", "--component", payments, "--url", endpoint.URL+"/healthz", "--record", recorded,
		"--interval", "50ms", "--dwell", "300ms", "--grace", "3s", "--log-level", "info", "--log-format", "json")
	r.Until(n.Board, ltp.Stable)
	r.paymentsAre(n, ltp.Stable)
	p.Says(&p.Stderr, `payments  no verdict → HEALTHY .*leader pay-1`)

	down.Store(true)
	assert.Equal(t, "Health endpoint says 503", r.paymentsAre(n, ltp.Unstable).Reason)
	p.Says(&p.Stderr, `payments  HEALTHY → UNHEALTHY  Health endpoint says 503  \(\d+ ms, 1 sample, definite; .*answers 503`)
	p.Says(&p.Stderr, `"msg":"verdict","component":"payments","from":"HEALTHY","to":"UNHEALTHY"`)
	assert.Equal(t, ltp.Deferred, r.Decided(r.Submit("pay-2", ordertest.DependsOn(ltp.DefaultComponent, payments))).State)
	r.Submit("pay-1")
	assert.Equal(t, ltp.Executed, r.Ended("pay-1").State, "it does not depend on payments")
	_, err := r.OpenDB().Row(r.Ctx, "pay-2")
	require.Error(t, err)

	down.Store(false)
	assert.Equal(t, ltp.Executed, r.Ended("pay-2").State)
	r.paymentsAre(n, ltp.Stable)
	r.executedOnce("pay-", []string{"pay-1", "pay-2"})

	p.Interrupt()
	status, stdout, stderr := alone(t, "observe", "--explain", "--component", payments, "--samples", recorded, "--dwell", "300ms", "--interval", "50ms")
	assert.Equal(t, 0, status, stderr)
	shown := []string{
		"a connection is refused, or the component says that it takes no writes: with the next write, within 50ms",
		"payments  no verdict → HEALTHY", "payments  UNKNOWN → RECOVERING  epoch 2",
		"payments  HEALTHY → UNHEALTHY  Health endpoint says 503", "→ UNSTABLE",
		"payments  UNHEALTHY → HEALTHY", "payments  UNSTABLE → RECOVERING", "1 fall into UNSTABLE",
	}
	rest := stdout
	for _, want := range shown {
		_, after, found := strings.Cut(rest, want)
		require.Truef(t, found, "%s does not follow in\n%s", want, stdout)
		rest = after
	}

	torn := filepath.Join(r.Dir, "torn.jsonl")
	require.NoError(t, os.WriteFile(torn, []byte(`{"at":"2024-05-20T14:30:00Z","latency_ms":3}`+"\n"+`{"at":`), 0o600))
	status, _, stderr = alone(t, "observe", "--explain", "--samples", torn)
	assert.Equal(t, 1, status)
	assert.Contains(t, stderr, "line 2")
}

// paymentsAre waits for a state of payments.
func (r *rig) paymentsAre(n *node.Node, s ltp.State) board.Reading {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, patience)
	defer cancel()
	now, err := n.Board.Wait(ctx, payments, func(now board.Reading) bool { return now.State == s && !now.Unreadable })
	require.NoErrorf(r.T, err, "waiting for %s: it is %+v", s, n.Board.Orientation(payments))
	return now
}
