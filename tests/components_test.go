package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/worker"
)

// payments is a component that the test itself observes.
const payments = "payments"

// TestOrderWaitsForEveryComponentItDependsOn: what one component says does not speak
// for the other.
func TestOrderWaitsForEveryComponentItDependsOn(t *testing.T) {
	r := newRig(t)
	n := r.upWithPayments()
	r.until(n, ltp.Stable)
	r.submit(order("both-1"))
	r.twoComponents(n, "both-2")
	r.executedOnce("both-", []string{"both-1", "both-2"})
	story, err := r.reader().Order(r.ctx, "both-2")
	require.NoError(t, err)
	first := story.Frames[1].Response
	assert.Equal(t, payments, first.Component, "it tells of the component that forbids most")
	assert.Equal(t, ltp.ReasonUnknown, first.Reason)
}

// TestHighRiskOrderWaitsWhileDegraded: a slow component is good enough for others.
func TestHighRiskOrderWaitsWhileDegraded(t *testing.T) {
	r := newRig(t)
	n := r.upWithPayments()
	r.until(n, ltp.Stable)
	r.degraded(n, "risk-1", "risk-2")
	r.executedOnce("risk-", []string{"risk-1", "risk-2"})
}

func (r *rig) upWithPayments() *node.Node {
	r.t.Helper()
	c := r.config()
	c.Components = []string{ltp.DefaultComponent, payments}
	return r.up(c)
}

// twoComponents takes an order through the recovery of one of its two components.
func (r *rig) twoComponents(n *node.Node, id string) {
	r.t.Helper()
	o := order(id)
	o.DependsOn = []string{ltp.DefaultComponent, payments}
	assert.Equal(r.t, ltp.Deferred, r.decided(r.submit(o)).State)
	r.observe(n, ltp.Healthy, ltp.Stable)
	assert.Equal(r.t, ltp.Executed, r.ended(id).State)
}

// degraded lets an order of high risk wait, and one of normal risk pass, while a
// component is slow.
func (r *rig) degraded(n *node.Node, high, normal string) {
	r.t.Helper()
	r.observe(n, ltp.Healthy, ltp.Stable)
	r.observe(n, ltp.Slow, ltp.Degraded)
	o := order(high)
	o.DependsOn, o.Risk = []string{payments}, ltp.HighRisk
	st := r.decided(r.submit(o))
	assert.Equal(r.t, ltp.Deferred, st.State)
	assert.Equal(r.t, ltp.ReasonDegraded, st.Reason)
	o = order(normal)
	o.DependsOn = []string{payments}
	r.submit(o)
	assert.Equal(r.t, ltp.Executed, r.ended(normal).State)
	r.observe(n, ltp.Healthy, ltp.Stable)
	assert.Equal(r.t, ltp.Executed, r.ended(high).State)
}

// observe says what an observer of payments would say, and waits for the state that
// follows.
func (r *rig) observe(n *node.Node, v ltp.Verdict, want ltp.State) {
	r.t.Helper()
	seen := ltp.Observation{Component: payments, Verdict: v, Reason: "as the test says", Observer: "test", At: time.Now().UTC()}
	require.NoError(r.t, r.client.SignalWorkflow(r.ctx, ltp.OrientationWorkflowID(payments), "", ltp.ObservationSignal, seen))
	require.Eventually(r.t, func() bool {
		now := n.Board.Orientation(payments)
		return now.State == want && !now.Blind
	}, patience, 20*time.Millisecond)
}

// TestTerminatedOrientationFailsClosed: somebody ends an Orientation workflow by
// force. Nothing is known then, orders wait, and a worker that starts takes over
// where the epochs ended.
func TestTerminatedOrientationFailsClosed(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	epoch := r.until(n, ltp.Stable).Epoch
	r.blinded(n, "blind-1")
	_, err := r.openDB().Row(r.ctx, "blind-1")
	require.Error(t, err)

	require.NoError(t, worker.Know(r.ctx, r.client, ltp.DefaultComponent, quickPolicy()))
	r.executedOnce("blind-", []string{"blind-1"})
	assert.Greater(t, r.until(n, ltp.Stable).Epoch, epoch+1)
}

// blinded ends the orientation by force, and submits an order that finds no worker
// who can see.
func (r *rig) blinded(n *node.Node, id string) {
	r.t.Helper()
	require.NoError(r.t, r.client.TerminateWorkflow(r.ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", "by force"))
	require.Eventually(r.t, func() bool {
		now := n.Board.Orientation(ltp.DefaultComponent)
		return now.Blind && now.State == ltp.Unknown
	}, patience, 20*time.Millisecond)
	st := r.decided(r.submit(order(id)))
	assert.Equal(r.t, ltp.Deferred, st.State)
	assert.Equal(r.t, ltp.ReasonUnknown, st.Reason)
}
