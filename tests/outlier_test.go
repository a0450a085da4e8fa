package tests

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/starter"
)

// executions counts the orders that a worker executed, and those that it tried.
type executions struct{ done, tried atomic.Int64 }

func (*executions) Routed(ltp.Routing, time.Duration) {}

func (e *executions) Attempted(a ltp.Attempt, _ time.Duration) {
	e.tried.Add(1)
	if a.Result == ltp.ResultExecuted {
		e.done.Add(1)
	}
}

// TestAWorkerThatFailsAloneLeavesTheOrdersToOthers: one of two workers has a role of its
// own in the order database, which loses a grant. The other executes every order, none is
// parked, and the one runs orders again once its way works.
func TestAWorkerThatFailsAloneLeavesTheOrdersToOthers(t *testing.T) {
	owner := pgtest.Shared(t).Database(t)
	r := newRigOn(t, owner)
	role := "west_" + strings.ToLower(rand.Text()[:8])
	west := asRole(t, owner, role)
	pgtest.Exec(t, owner, fmt.Sprintf("GRANT USAGE ON SCHEMA ltp TO %[1]s; GRANT ALL ON ALL TABLES IN SCHEMA ltp TO %[1]s; GRANT USAGE ON ALL SEQUENCES IN SCHEMA ltp TO %[1]s", role))

	east := r.up(r.config())
	r.Until(east.Board, ltp.Stable)
	var count executions
	c := r.config()
	c.Client = r.dialWith(func(o *client.Options) { o.Identity = "west"; payload.Connect(o, nil) })
	c.OrdersURL, c.Observe, c.Meter = west, false, &count
	lone := r.up(c)

	r.Start = starter.New(r.Dial()) // that of a worker gives its orders to itself
	var ids []string
	submitUntil := func(what string, met func() bool) {
		t.Helper()
		begun := time.Now()
		require.Eventually(t, func() bool {
			ids = append(ids, fmt.Sprintf("order-%03d", len(ids)))
			r.Submit(ids[len(ids)-1])
			return met()
		}, patience, 100*time.Millisecond, what)
		t.Logf("%s: after %s, %d orders so far", what, time.Since(begun).Round(10*time.Millisecond), len(ids))
	}
	submitUntil("both execute orders", func() bool { return count.done.Load() > 0 })

	pgtest.Exec(t, owner, "REVOKE INSERT ON ltp.orders FROM "+role)
	submitUntil("the worker that fails alone is ejected", func() bool { return ejected(t, lone) })
	tried := count.tried.Load()
	for range 20 {
		ids = append(ids, fmt.Sprintf("order-%03d", len(ids)))
		r.Submit(ids[len(ids)-1])
	}
	for _, id := range ids {
		r.becomes(id, ltp.Executed)
	}
	assert.Equal(t, tried, count.tried.Load(), "it tries none meanwhile")
	r.Until(east.Board, ltp.Stable)

	pgtest.Exec(t, owner, "GRANT INSERT ON ltp.orders TO "+role)
	require.Eventually(t, func() bool { return !ejected(t, lone) }, patience, 20*time.Millisecond)
	done := count.done.Load()
	submitUntil("it executes orders again", func() bool { return count.done.Load() > done })
	r.executedOnce("order-", ids)
}

// ejected reports whether a node's worker says that it runs no orders.
func ejected(t *testing.T, n *node.Node) bool {
	t.Helper()
	w := httptest.NewRecorder()
	n.Metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return strings.Contains(w.Body.String(), "\nltp_worker_ejected 1\n")
}
