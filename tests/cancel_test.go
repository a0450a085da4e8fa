package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/orderdb"
)

// TestOrderAcceptedWhileUnfitIsCancelledAtOnce: nobody can have written it, so that the
// customer need not wait for the order database.
func TestOrderAcceptedWhileUnfitIsCancelledAtOnce(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	response, said := do(t, "POST", api+"/orders", ordertest.JSON("X1"), nil)
	require.Equal(t, http.StatusAccepted, response.StatusCode)
	require.Equal(t, "DEFERRED", said["state"])

	response, said = do(t, "DELETE", api+"/orders/X1", "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "CANCELLED", said["state"])
	assert.NotContains(t, said, "cancel_requested")
	response, said = do(t, "DELETE", api+"/orders/X1", "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode, "%v", said)
	story, err := r.Reader().Order(r.Ctx, "X1")
	require.NoError(t, err)
	require.Len(t, story.Withdrawals, 1)
	assert.Equal(t, ltp.FoundUnwritten, story.Withdrawals[0].Found)

	end()
	r.Until(n.Board, ltp.Stable)
	r.unwritten("X1")
}

// TestCancellationOfWhatMayBeWrittenWaitsForProof: the write of an order that was accepted
// under STABLE hangs and fails, and an operator holds the component. Whether there is a
// row only the order database can say, so the cancellation waits for it.
func TestCancellationOfWhatMayBeWrittenWaitsForProof(t *testing.T) {
	r, n, api := cancelling(t)
	end := r.hangs(n, "P1")
	require.Eventually(t, func() bool {
		st, err := r.Start.Get(r.Ctx, "P1")
		return assert.NoError(t, err) && st.Reason == ltp.ReasonUnstable
	}, patience, 50*time.Millisecond, "the attempt has ended, and the order waits")
	end()

	response, said := do(t, "DELETE", api+"/orders/P1", "", nil)
	assert.Equal(t, http.StatusAccepted, response.StatusCode)
	assert.Equal(t, "DEFERRED", said["state"])
	assert.Equal(t, true, said["cancel_requested"])
	r.awaitWithdrawal("P1", ltp.FoundNothing)
	_, said = do(t, "GET", api+"/orders/P1", "", nil)
	assert.Equal(t, true, said["cancel_requested"])
	assert.Equal(t, "AWAITS_PROOF", said["reason"])
	r.unwritten("P1")

	r.Release()
	assert.Equal(t, ltp.Cancelled, r.Ended("P1").State)
	r.awaitWithdrawal("P1", ltp.FoundTombstone)
	response, said = do(t, "GET", api+"/orders/P1", "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.NotContains(t, said, "cancel_requested")
	late, err := n.DB.Put(r.Ctx, ordertest.New("P1"), nil)
	require.NoError(t, err)
	require.NotNil(t, late.Tombstone, "a write that comes late meets the tombstone")
	r.unwritten("P1")
	r.Until(n.Board, ltp.Stable)
	n.Stop()
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
	r.verified()
}

// TestCancellationOfAWriteThatSucceedsComesTooLate: the write that hangs commits in the
// end, and Temporal refuses the task that says so, since the cancellation came meanwhile.
// The row is found once the component is fit, and the order is EXECUTED.
func TestCancellationOfAWriteThatSucceedsComesTooLate(t *testing.T) {
	r, n, api := cancelling(t)
	end := r.hangs(n, "P2")
	response, said := do(t, "DELETE", api+"/orders/P2", "", map[string]string{"Prefer": "respond-async"})
	assert.Equal(t, http.StatusAccepted, response.StatusCode)
	assert.Equal(t, true, said["cancel_requested"])
	end()
	require.Eventually(t, func() bool {
		_, err := r.OpenDB().Row(r.Ctx, "P2")
		return err == nil
	}, patience, 50*time.Millisecond)
	r.awaitWithdrawal("P2", ltp.FoundNothing)
	r.Release()
	r.executedOnce("P2", []string{"P2"})
	story, err := r.Reader().Order(r.Ctx, "P2")
	require.NoError(t, err)
	require.Len(t, story.Lost, 1)
	assert.Equal(t, "UnhandledCommand", story.Lost[0].Cause)
	assert.Empty(t, story.Executions, "only the row says that it was written")
	response, said = do(t, "DELETE", api+"/orders/P2", "", nil)
	assert.Equal(t, http.StatusConflict, response.StatusCode)
	assert.Equal(t, "EXECUTED", said["state"])
	r.Until(n.Board, ltp.Stable)
	n.Stop()
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict, "the row accounts for the task that was lost")
	r.verified()
}

// cancelling is a node with an order API, and an observer that takes long to see that
// writes hang.
func cancelling(t *testing.T) (r *rig, n *node.Node, api string) {
	t.Helper()
	r = newRig(t)
	c := r.config()
	c.Settings.UnfitLatency = c.Settings.Timeout
	api = r.listen(&c)
	n = r.up(c)
	r.Until(n.Board, ltp.Stable)
	return r, n, api
}

// hangs has an order accepted under STABLE whose write hangs until end is called, or its
// attempt is over, and has an operator hold the component meanwhile.
func (r *rig) hangs(n *node.Node, id string) (end func()) {
	r.T.Helper()
	r.Submit("first-" + id) // the worker has its connection now
	require.Equal(r.T, ltp.Executed, r.Ended("first-"+id).State)
	end = r.Outage()
	require.Equal(r.T, ltp.Stable, n.Board.Orientation(ltp.DefaultComponent).State)
	sub := r.Submit(id)
	require.Nil(r.T, sub.Deferred)
	r.awaitHanging(id)
	r.Hold("writes hang")
	r.Until(n.Board, ltp.Unstable)
	return end
}

// awaitWithdrawal waits until it was tried to withdraw an order, and that was found.
func (r *rig) awaitWithdrawal(id string, want ltp.Found) {
	r.T.Helper()
	r.AwaitEvent(ltp.OrderWorkflowID(id), func(e *historypb.HistoryEvent) bool {
		w, ok, err := withdrawn(e)
		require.NoError(r.T, err)
		return ok && w.Found == want
	})
}

// unwritten checks that an order is not in the order database.
func (r *rig) unwritten(id string) {
	r.T.Helper()
	_, err := r.OpenDB().Row(r.Ctx, id)
	assert.ErrorIs(r.T, err, orderdb.ErrNotFound)
}
