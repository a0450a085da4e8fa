package tests

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/sequence"
	"github.com/ltp-node/ltp/starter"
)

// cutOff is a connection over which no order is put in line.
type cutOff struct{ client.Client }

func (cutOff) SignalWithStartWorkflow(context.Context, string, string, any, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, errors.New("cut off")
}

func lineID(key string, n int) string { return fmt.Sprintf("%s-%d", key, n) }

// TestSequenceOutlivesItsRun: orders that stand in line when their sequence begins a new
// run keep their places, while further ones join.
func TestSequenceOutlivesItsRun(t *testing.T) {
	const orders = 60
	r := newRig(t, shortHistories)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Hold("migration")
	r.Until(n.Board, ltp.Unstable)
	r.longLine("c-17", orders)
	r.Release()
	var want []string
	for i := range orders {
		want = append(want, lineID("c-17", i))
		assert.Equal(t, ltp.Executed, r.Ended(want[i]).State)
	}
	assert.Equal(t, want, r.rowsInTurn("c-17-"))
}

// apart starts a node that accepts and observes, and one that works, so that the worker
// can be restarted by itself.
func (r *rig) apart() (door *node.Node, api string, work func() *node.Node) {
	c := r.config()
	c.Worker = false
	api = r.listen(&c)
	return r.up(c), api, func() *node.Node {
		w := r.config()
		w.Observe = false
		return r.up(w)
	}
}

// rowsInTurn are the ids in the order database that begin so, in the order in which they
// were written.
func (r *rig) rowsInTurn(prefix string) (ids []string) {
	r.T.Helper()
	db, err := sql.Open("sqlite", "file:"+r.Orders+"?_pragma=busy_timeout(10000)")
	require.NoError(r.T, err)
	defer db.Close()
	rows, err := db.QueryContext(r.Ctx, "SELECT id FROM orders WHERE id LIKE ? || '%' ORDER BY created_at, rowid", prefix)
	require.NoError(r.T, err)
	defer rows.Close()
	for rows.Next() {
		var id string
		require.NoError(r.T, rows.Scan(&id))
		ids = append(ids, id)
	}
	require.NoError(r.T, rows.Err())
	return ids
}

// TestOrdersOfOneKeyNeverOvertakeEachOther: 20 customers send 10 orders each, one after
// the other, while the component is fit, while it is not and while it recovers, and the
// worker is restarted in each of these. Some are cancelled while they wait.
func TestOrdersOfOneKeyNeverOvertakeEachOther(t *testing.T) {
	const keys, each = 20, 10
	r := newRig(t)
	door, api, work := r.apart()
	worker := work()
	r.Until(door.Board, ltp.Stable)
	id := func(key, n int) string { return lineID(fmt.Sprintf("k%02d", key), n) }
	post := func(key, n int) {
		body := ordertest.JSON(id(key, n), ordertest.OrderingKey(fmt.Sprint("customer-", key)))
		response, answer := do(t, "POST", api+"/orders", body, map[string]string{"Prefer": "respond-async"})
		assert.Equal(t, http.StatusAccepted, response.StatusCode, "%v", answer)
	}
	send := func(from, to int, meanwhile func()) {
		var customers sync.WaitGroup
		for key := range keys {
			customers.Go(func() {
				for n := from; n < to; n++ {
					post(key, n)
				}
			})
		}
		meanwhile()
		customers.Wait()
	}
	restart := func() {
		worker.Stop()
		worker = work()
	}

	send(0, 4, restart)
	end := r.Outage()
	r.Until(door.Board, ltp.Unstable)
	send(4, 7, restart)
	cancelled := map[string]bool{}
	for key := range 3 {
		cancelled[id(key, 5)] = true
		require.NoError(t, r.Start.Cancel(r.Ctx, id(key, 5)))
		assert.Equal(t, ltp.Cancelled, r.Ended(id(key, 5)).State)
	}
	end()
	r.Until(door.Board, ltp.Recovering)
	send(7, each, restart)

	for key := range keys {
		var want []string
		for n := range each {
			state := ltp.Executed
			if cancelled[id(key, n)] {
				state = ltp.Cancelled
			} else {
				want = append(want, id(key, n))
			}
			assert.Equal(t, state, r.Ended(id(key, n)).State, id(key, n))
		}
		assert.Equal(t, want, r.rowsInTurn(fmt.Sprintf("k%02d-", key)), "in the order in which they were acknowledged")
	}
	r.Until(door.Board, ltp.Stable)
	for key := range keys {
		require.Eventually(t, func() bool {
			seen, err := sequence.Look(r.Ctx, r.Client, fmt.Sprintf("customer-%d", key))
			return err == nil && !seen.Running
		}, patience, 50*time.Millisecond, "a sequence ends when nobody stands in line")
	}
	worker.Stop()
	door.Stop()

	a := r.auditedButLost("--orders-db", r.Orders)
	first := a.Claim(audit.FirstFirst)
	assert.EqualValues(t, keys, first.Figures["ordering_keys"])
	assert.Positive(t, a.Claim(audit.SafeMode).Figures["in_line"])
	r.verified()
}

// TestOrderThatWaitsForItsTurnSaysSo without a worker, and a customer who waits for the
// answer does not get a pending order for a turn that comes at once.
func TestOrderThatWaitsForItsTurnSaysSo(t *testing.T) {
	r := newRig(t)
	door, api, work := r.apart()
	worker := work()
	r.Until(door.Board, ltp.Stable)
	body := ordertest.JSON("T0", ordertest.OrderingKey("c-17"), ordertest.Priority(2))
	response, answer := do(t, "POST", api+"/orders", body, map[string]string{"Prefer": "wait=30"})
	assert.Equal(t, http.StatusCreated, response.StatusCode, "%v", answer)
	assert.EqualValues(t, 2, answer["priority"])

	r.Hold("migration")
	r.Until(door.Board, ltp.Unstable)
	assert.Equal(t, ltp.ReasonUnstable, r.Decided(r.Submit("T1", ordertest.OrderingKey("c-17"))).Reason)
	assert.Equal(t, ltp.ReasonUnstable, r.Decided(r.Submit("T2", ordertest.OrderingKey("c-17"))).Reason, "it defers as usual")
	// T1 ends by force while no worker could see it.
	require.NoError(t, r.Client.CancelWorkflow(r.Ctx, ltp.SequenceWorkflowID("c-17"), "")) // without effect
	worker.Stop()
	require.NoError(t, r.Client.TerminateWorkflow(r.Ctx, ltp.OrderWorkflowID("T1"), "", "by hand"))
	worker = work()
	r.Release()
	r.Until(door.Board, ltp.Stable)
	require.Eventually(t, func() bool {
		st, err := r.Start.Get(r.Ctx, "T2")
		return err == nil && st.Reason == ltp.ReasonAwaitsTurn
	}, patience, 50*time.Millisecond)
	worker.Stop()

	st, err := r.Start.Get(r.Ctx, "T2")
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, st.State)
	assert.Equal(t, ltp.TurnCommitment, st.Commitment)
	assert.Empty(t, st.Component, "it waits for no component, and no replay waits for it")
	assert.Zero(t, st.Epoch)
	status, said := r.command("orders", "list", "--state", "DEFERRED")
	assert.Zero(t, status)
	assert.Contains(t, said, "its turn")

	work()
	assert.Equal(t, ltp.Executed, r.Ended("T2").State, "the line goes on behind an order that cannot say that it ended")
	story, err := r.Reader().Order(r.Ctx, "T2")
	require.NoError(t, err)
	last := story.Frames[len(story.Frames)-2]
	assert.Equal(t, ltp.WokenByTurn, last.Request.Woken)
}

// TestOrderWhoseAcceptanceWasCutOffJoinsItsSequenceLater: the order is durable, and does not get in line. Sent
// again it goes behind what was acknowledged meanwhile; one that is not sent again finds
// its place by itself.
func TestOrderWhoseAcceptanceWasCutOffJoinsItsSequenceLater(t *testing.T) {
	r := newRig(t)
	c := r.config()
	c.Backstop = ltp.Backstop{First: ltp.MinBackstop, Most: ltp.MinBackstop}
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	cut := starter.New(cutOff{r.Client})
	for _, id := range []string{"A1", "A2"} {
		sub, err := cut.Submit(r.Ctx, ordertest.New(id, ordertest.OrderingKey("c-17")))
		require.NoError(t, err)
		assert.True(t, sub.NotInLine)
	}
	r.Submit("B1", ordertest.OrderingKey("c-17"))
	sub := r.Submit("A1", ordertest.OrderingKey("c-17"))
	assert.True(t, sub.Repeated)
	end()
	for _, id := range []string{"A1", "A2", "B1"} {
		assert.Equal(t, ltp.Executed, r.Ended(id).State, id)
	}
	assert.Equal(t, []string{"B1", "A1"}, append(r.rowsInTurn("B"), r.rowsInTurn("A1")...))
	var b1, a1 time.Time
	for id, at := range map[string]*time.Time{"B1": &b1, "A1": &a1} {
		story, err := r.Reader().Order(r.Ctx, id)
		require.NoError(t, err)
		*at = story.Executions[0].TaskAt
		if id == "B1" {
			*at = story.EndedAt
		}
	}
	assert.False(t, a1.Before(b1), "A1 was acknowledged after B1")
}

// TestOrderWithAnOrderingKeyStaysWithinItsBudget counts what a key adds: orders without one pay nothing, which
// the other tests of this kind hold to.
func TestOrderWithAnOrderingKeyStaysWithinItsBudget(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	var alone, behind []string
	for i := range 5 {
		id := fmt.Sprintf("alone-%d", i)
		r.Submit(id, ordertest.OrderingKey(id))
		r.Ended(id)
		alone = append(alone, id)
	}
	r.withinBudget(alone, cost{events: 16, transitions: 7})
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	for i := range 5 {
		id := fmt.Sprintf("behind-%d", i)
		r.Decided(r.Submit(id, ordertest.OrderingKey("c-17")))
		behind = append(behind, id)
	}
	end()
	// 29 and 9, and 6 and 3 for each epoch that begins while the order stands in line.
	r.withinBudget(behind, cost{events: 41, transitions: 15})
	for _, key := range []string{"alone-0", "c-17"} {
		d, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.SequenceWorkflowID(key), "")
		require.NoError(t, err)
		t.Logf("the sequence of %s: %d events", key, d.GetWorkflowExecutionInfo().GetHistoryLength())
		_ = r.Client.GetWorkflow(r.Ctx, ltp.SequenceWorkflowID(key), "").Get(r.Ctx, nil)
		assert.NotEqual(t, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, d.GetWorkflowExecutionInfo().GetStatus())
	}
}
