package tests

import (
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

// recordLine has three orders of one ordering key wait for a component and for each
// other, and a fourth find its place by itself.
func recordLine(t *testing.T) {
	r := newRig(t, anonymous)
	c := r.config()
	c.Backstop = ltp.Backstop{First: ltp.MinBackstop, Most: ltp.MinBackstop}
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Submit("R1", ordertest.OrderingKey("c-17"))
	r.Ended("R1")
	r.save("order-with-its-turn", ltp.OrderWorkflowID("R1"), "")
	_ = r.Client.GetWorkflow(r.Ctx, ltp.SequenceWorkflowID("c-17"), "").Get(r.Ctx, nil)

	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	ids := []string{"R2", "R3", "R4"}
	for _, id := range ids {
		r.Decided(r.Submit(id, ordertest.OrderingKey("c-17"), ordertest.Priority(1)))
	}
	require.NoError(t, r.Client.SignalWorkflow(r.Ctx, ltp.OrderWorkflowID("R2"), "", ltp.ExpediteSignal, nil))
	end()
	for _, id := range ids {
		r.Ended(id)
	}
	r.save("order-first-in-line", ltp.OrderWorkflowID("R2"), "")
	r.save("order-in-line", ltp.OrderWorkflowID("R4"), "")
	require.NoError(t, r.Client.GetWorkflow(r.Ctx, ltp.SequenceWorkflowID("c-17"), "").Get(r.Ctx, nil))
	r.save("sequence-of-three", ltp.SequenceWorkflowID("c-17"), "")
	r.Until(n.Board, ltp.Stable)

	sub, err := starter.New(cutOff{r.Client}).Submit(r.Ctx, ordertest.New("R5", ordertest.OrderingKey("c-18")))
	require.NoError(t, err)
	require.True(t, sub.NotInLine)
	r.Ended("R5")
	r.save("order-not-put-in-line", ltp.OrderWorkflowID("R5"), "")
}

// recordLongLine has a sequence begin a new run while orders stand in line.
func recordLongLine(t *testing.T) {
	r := newRig(t, anonymous, shortHistories)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Hold("migration")
	r.Until(n.Board, ltp.Unstable)
	first := r.longLine("c-17", 60)
	history := r.History(ltp.SequenceWorkflowID("c-17"), first)
	second := history.Events[len(history.Events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	require.NotEmpty(t, second)
	r.save("sequence-continues-as-new", ltp.SequenceWorkflowID("c-17"), first)
	require.NoError(t, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"}))
	r.Ended("c-17-59")
	r.save("sequence-continued", ltp.SequenceWorkflowID("c-17"), second)
}

// longLine puts so many orders in line that their sequence begins a new run, and returns
// the first.
func (r *rig) longLine(key string, orders int) (first string) {
	r.T.Helper()
	for i := range orders {
		r.Submit(lineID(key, i), ordertest.OrderingKey(key))
	}
	d, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.SequenceWorkflowID(key), "")
	require.NoError(r.T, err)
	first = d.GetWorkflowExecutionInfo().GetFirstRunId()
	events := r.Client.GetWorkflowHistory(r.Ctx, ltp.SequenceWorkflowID(key), first, true, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	require.True(r.T, events.HasNext())
	e, err := events.Next()
	require.NoError(r.T, err)
	require.Equal(r.T, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, e.GetEventType())
	return first
}
