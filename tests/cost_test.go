package tests

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

// cost is what Temporal says that a workflow has cost it.
type cost struct{ events, transitions int64 }

func (r *rig) cost(orderID string) cost {
	r.T.Helper()
	d, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.OrderWorkflowID(orderID), "")
	require.NoError(r.T, err)
	info := d.GetWorkflowExecutionInfo()
	return cost{info.GetHistoryLength(), info.GetStateTransitionCount()}
}

// TestOrderExecutedAtOnceStaysWithinItsBudget: one order after the other, and all at the
// same time.
func TestOrderExecutedAtOnceStaysWithinItsBudget(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Start = starter.New(r.Dial()) // the door is elsewhere
	var ids []string
	for i := range 5 {
		id := fmt.Sprintf("alone-%d", i)
		r.Submit(id)
		r.Ended(id)
		ids = append(ids, id)
	}
	for i := range 15 {
		id := fmt.Sprintf("together-%d", i)
		r.Submit(id)
		ids = append(ids, id)
	}
	r.withinBudget(ids, cost{events: 8, transitions: 3})
}

// TestWorkerInTheDoorsProcessSavesATransition: the order's first task comes back with the
// answer to its start.
func TestWorkerInTheDoorsProcessSavesATransition(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	var ids []string
	for i := range 10 {
		id := fmt.Sprintf("eager-%d", i)
		response, _ := do(t, "POST", api+"/orders", ordertest.JSON(id), map[string]string{"Prefer": "wait=20"})
		require.Equal(t, http.StatusCreated, response.StatusCode)
		ids = append(ids, id)
	}
	r.withinBudget(ids, cost{events: 7, transitions: 2})
}

// TestOrderDeferredOnceAndReplayedStaysWithinItsBudget, backstop included: a release costs
// one transition.
func TestOrderDeferredOnceAndReplayedStaysWithinItsBudget(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Start = starter.New(r.Dial())
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	var ids []string
	for i := range 20 {
		id := fmt.Sprintf("deferred-%d", i)
		assert.Equal(t, ltp.Deferred, r.Decided(r.Submit(id)).State)
		ids = append(ids, id)
	}
	end()
	r.withinBudget(ids, cost{events: 15, transitions: 5})
	for _, id := range ids {
		story, err := r.Reader().Order(r.Ctx, id)
		require.NoError(t, err)
		require.Len(t, story.Frames, 4, "%s was routed twice, and no more", id)
		assert.Equal(t, ltp.WokenBySignal, story.Frames[2].Request.Woken, id)
	}
}

// withinBudget checks every order, not only the usual one: a million may wait at
// once.
func (r *rig) withinBudget(ids []string, budget cost) {
	r.T.Helper()
	spent := map[cost]int{}
	for _, id := range ids {
		require.Equal(r.T, ltp.Executed, r.Ended(id).State, id)
		c := r.cost(id)
		spent[c]++
		assert.LessOrEqual(r.T, c.events, budget.events, "history events of %s", id)
		assert.LessOrEqual(r.T, c.transitions, budget.transitions, "state transitions of %s", id)
	}
	r.T.Logf("events and transitions of %d orders: %v", len(ids), spent)
}
