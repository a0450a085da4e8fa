package tests

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/worker"
)

// payments is a component that the test itself observes.
const payments = "payments"

// TestOrderWaitsForEveryComponentItDependsOn: what one component says does not speak
// for the other.
func TestOrderWaitsForEveryComponentItDependsOn(t *testing.T) {
	r := newRig(t)
	n := r.upWithPayments()
	r.Until(n.Board, ltp.Stable)
	r.Submit("both-1")
	r.twoComponents(n, "both-2")
	r.executedOnce("both-", []string{"both-1", "both-2"})
	story, err := r.Reader().Order(r.Ctx, "both-2")
	require.NoError(t, err)
	first := story.Frames[1].Response
	assert.Equal(t, payments, first.Component, "it names the component that forbids most")
	assert.Equal(t, ltp.ReasonUnknown, first.Reason)
}

// TestHighRiskOrderWaitsWhileDegraded: a slow component is good enough for others.
func TestHighRiskOrderWaitsWhileDegraded(t *testing.T) {
	r := newRig(t)
	n := r.upWithPayments()
	r.Until(n.Board, ltp.Stable)
	r.degraded(n, "risk-1", "risk-2")
	r.executedOnce("risk-", []string{"risk-1", "risk-2"})
}

// TestWriteUnderAnEpochThatNobodyGaveWaitsForTheNextTask: while an order waits for
// payments, the order database goes through an outage. The release names payments only,
// so that the epoch of the order database is recorded first, and then the order is written.
func TestWriteUnderAnEpochThatNobodyGaveWaitsForTheNextTask(t *testing.T) {
	r := newRig(t)
	n := r.upWithPayments()
	r.Until(n.Board, ltp.Stable)
	r.newEpoch(n, "epoch-1")
	r.executedOnce("epoch-", []string{"epoch-1"})
	recorded := r.awaitAttempt("epoch-1", ltp.ResultNotGiven)
	story, err := r.Reader().Order(r.Ctx, "epoch-1")
	require.NoError(t, err)
	require.Len(t, story.Executions, 1)
	written := story.Executions[0]
	assert.True(t, written.Done())
	assert.Contains(t, written.Given, written.Fence.Epoch)
	assert.True(t, written.TaskAt.After(recorded.GetEventTime().AsTime()), "another task writes")
}

// newEpoch takes an order of two components through a hold of the one that it is written
// to, while it waits for the other.
func (r *rig) newEpoch(n *node.Node, id string) {
	r.T.Helper()
	r.Submit(id, ordertest.DependsOn(ltp.DefaultComponent, payments))
	r.awaitRouting(id, ltp.ReasonUnknown, 0)
	before := r.Until(n.Board, ltp.Stable).Epoch
	r.Hold("migration")
	r.Until(n.Board, ltp.Unstable)
	r.Release()
	require.Greater(r.T, r.Until(n.Board, ltp.Stable).Epoch, before)
	r.observe(n, ltp.Healthy, ltp.Stable)
	assert.Equal(r.T, ltp.Executed, r.Ended(id).State)
}

// TestOrderWaitsForTheComponentThatItIsWrittenTo: an order that names payments alone is written into the
// order database all the same, and so waits for it, and is refused while that is frozen.
func TestOrderWaitsForTheComponentThatItIsWrittenTo(t *testing.T) {
	r := newRig(t)
	c := r.config()
	c.Components = []string{ltp.DefaultComponent, payments}
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.observe(n, ltp.Healthy, ltp.Stable)
	ofPayments := func(id string) string {
		return ordertest.JSON(id, ordertest.DependsOn(payments))
	}

	require.NoError(t, r.Operator(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "no more", Freeze: true}))
	_, err := n.Board.Wait(r.Ctx, ltp.DefaultComponent, func(now board.Reading) bool { return now.Hold != nil })
	require.NoError(t, err)
	response, said := do(t, "POST", api+"/orders", ofPayments("C1"), nil)
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode, "%v", said)
	assert.Contains(t, said["detail"], "no more")
	_, err = r.Start.Get(r.Ctx, "C1")
	assert.ErrorIs(t, err, starter.ErrNotFound)
	r.unwritten("C1")

	r.Hold("migration")
	_, err = n.Board.Wait(r.Ctx, ltp.DefaultComponent, func(now board.Reading) bool { return now.Hold != nil && !now.Hold.Freeze })
	require.NoError(t, err)
	response, said = do(t, "POST", api+"/orders", ofPayments("C2"), nil)
	assert.Equal(t, http.StatusAccepted, response.StatusCode)
	assert.Equal(t, "DEFERRED", said["state"])
	assert.Equal(t, ltp.DefaultComponent, said["component"])
	r.unwritten("C2")

	r.Release()
	r.executedOnce("C", []string{"C2"})
	story, err := r.Reader().Order(r.Ctx, "C2")
	require.NoError(t, err)
	assert.Equal(t, ltp.DefaultComponent, story.Outcome.Receipt.Fence.Component)
}

func (r *rig) upWithPayments() *node.Node {
	r.T.Helper()
	c := r.config()
	c.Components = []string{ltp.DefaultComponent, payments}
	return r.up(c)
}

// twoComponents takes an order through the recovery of one of its two components.
func (r *rig) twoComponents(n *node.Node, id string) {
	r.T.Helper()
	assert.Equal(r.T, ltp.Deferred, r.Decided(r.Submit(id, ordertest.DependsOn(ltp.DefaultComponent, payments))).State)
	r.observe(n, ltp.Healthy, ltp.Stable)
	assert.Equal(r.T, ltp.Executed, r.Ended(id).State)
}

// degraded lets an order of high risk wait, and one of normal risk pass, while a
// component is slow.
func (r *rig) degraded(n *node.Node, high, normal string) {
	r.T.Helper()
	r.observe(n, ltp.Healthy, ltp.Stable)
	r.observe(n, ltp.Slow, ltp.Degraded)
	r.Submit(high, ordertest.DependsOn(payments), ordertest.HighRisk)
	require.Eventually(r.T, func() bool { // the door may go by what it had read a moment before
		st, err := r.Start.Get(r.Ctx, high)
		return err == nil && st.State == ltp.Deferred && st.Reason == ltp.ReasonDegraded
	}, patience, 20*time.Millisecond)
	r.Submit(normal, ordertest.DependsOn(payments))
	assert.Equal(r.T, ltp.Executed, r.Ended(normal).State)
	r.observe(n, ltp.Healthy, ltp.Stable)
	assert.Equal(r.T, ltp.Executed, r.Ended(high).State)
}

// observe says what an observer of payments would say, and waits for the state that
// follows.
func (r *rig) observe(n *node.Node, v ltp.Verdict, want ltp.State) {
	r.T.Helper()
	seen := ltp.Observation{Component: payments, Verdict: v, Reason: "as the test says", Observer: "test", At: time.Now().UTC()}
	require.NoError(r.T, r.Client.SignalWorkflow(r.Ctx, ltp.OrientationWorkflowID(payments), "", ltp.ObservationSignal, seen))
	require.Eventually(r.T, func() bool {
		now := n.Board.Orientation(payments)
		return now.State == want && !now.Unreadable
	}, patience, 20*time.Millisecond)
}

// TestTerminatedOrientationFailsClosed: somebody ends an Orientation workflow by
// force. Nothing is known then, orders wait, and a worker that starts takes over
// where the epochs ended.
func TestTerminatedOrientationFailsClosed(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	epoch := r.Until(n.Board, ltp.Stable).Epoch
	r.blinded(n, "blind-1")
	_, err := r.OpenDB().Row(r.Ctx, "blind-1")
	require.Error(t, err)

	require.NoError(t, worker.EnsureOrientation(r.Ctx, r.Client, ltp.DefaultComponent, quickPolicy()))
	r.executedOnce("blind-", []string{"blind-1"})
	assert.Greater(t, r.Until(n.Board, ltp.Stable).Epoch, epoch+1)
}

// blinded ends the orientation by force, and submits an order that finds no worker
// who can see.
func (r *rig) blinded(n *node.Node, id string) {
	r.T.Helper()
	require.NoError(r.T, r.Client.TerminateWorkflow(r.Ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", "by force"))
	require.Eventually(r.T, func() bool {
		now := n.Board.Orientation(ltp.DefaultComponent)
		return now.Unreadable && now.State == ltp.Unknown
	}, patience, 20*time.Millisecond)
	st := r.Decided(r.Submit(id))
	assert.Equal(r.T, ltp.Deferred, st.State)
	assert.Equal(r.T, ltp.ReasonUnknown, st.Reason)
}

// TestTheStatusOfReplaysIsOfEveryComponent, also of those that nobody names.
func TestTheStatusOfReplaysIsOfEveryComponent(t *testing.T) {
	r := newRig(t)
	n := r.upWithPayments()
	r.Until(n.Board, ltp.Stable)
	r.Submit("status-1", ordertest.DependsOn(payments))
	r.awaitRouting("status-1", ltp.ReasonUnknown, 0)
	cli := r.commands()
	var status string
	require.Eventually(t, func() bool {
		status = cli.run("replay", "status")
		return strings.Contains(status, "Waiting: 1 order (1 ORIENTATION_UNKNOWN)")
	}, patience, 50*time.Millisecond, "the visibility store shows it late")
	orders, others, found := strings.Cut(status, payments+" is UNKNOWN")
	require.True(t, found, status)
	assert.Contains(t, orders, "orders-db is STABLE")
	assert.NotContains(t, orders, "Waiting")
	assert.Contains(t, others, "First in turn: status-1")
	assert.NotContains(t, cli.run("replay", "status", "--component", payments), ltp.DefaultComponent)
}
