package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/ltp-node/ltp"
)

// recordCancellation has the cancellation of an order wait until the order database can
// say that it was not written.
func recordCancellation(t *testing.T) {
	r := newRig(t, anonymous)
	c := r.config()
	c.Settings.UnfitLatency = c.Settings.Timeout
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.hangs(n, "R1")
	r.awaitRouting("R1", ltp.ReasonUnstable, 0)
	end()
	require.NoError(t, r.Start.Cancel(r.Ctx, "R1"))
	r.awaitWithdrawal("R1", ltp.FoundNothing)
	r.save("order-whose-cancellation-waits", ltp.OrderWorkflowID("R1"), "")
	require.NoError(t, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "done"}))
	r.Ended("R1")
	r.save("order-cancelled-by-a-tombstone", ltp.OrderWorkflowID("R1"), "")
}

// recordSignal releases an order by hand, while the replay is paused.
func recordSignal(t *testing.T) {
	r := newRig(t, anonymous)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Hold("migration")
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("R1"))
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Paused: new(true), By: "ann", Why: "one first"}))
	require.NoError(t, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "done"}))
	epoch := r.Until(n.Board, ltp.Recovering).Epoch
	r.signalByHand("R1", epoch)
	r.Ended("R1")
	r.save("order-released-by-hand", ltp.OrderWorkflowID("R1"), "")
}

// recordNewEpoch has an order released under an epoch that its task was not given: the
// routing is recorded, and the next task writes.
func recordNewEpoch(t *testing.T) {
	r := newRig(t, anonymous)
	n := r.upWithPayments()
	r.Until(n.Board, ltp.Stable)
	r.newEpoch(n, "R1")
	r.save("order-of-a-new-epoch", ltp.OrderWorkflowID("R1"), "")
}

// recordOrderContinues has an order wait for so long that it continues as new, and asks
// for its end meanwhile.
func recordOrderContinues(t *testing.T) {
	r := newRig(t, anonymous, shortHistories)
	c := r.config()
	c.Backstop = ltp.Backstop{First: ltp.MinBackstop, Most: ltp.MinBackstop}
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Hold("a long migration")
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("R1"))
	id := ltp.OrderWorkflowID("R1")
	first := r.runOf(id)
	require.Eventually(t, func() bool { return r.runOf(id) != first }, patience, 100*time.Millisecond)
	r.save("order-continues-as-new", id, first)
	require.NoError(t, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"}))
	r.Ended("R1")
	second := r.History(id, first).Events
	closed := second[len(second)-1]
	require.Equal(t, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, closed.GetEventType())
	r.save("order-continued", id, closed.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId())
}
