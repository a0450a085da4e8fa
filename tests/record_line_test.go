package tests

import (
	"testing"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

// recordLine has three orders of one ordering key wait for a component and for each
// other, and a fourth find its place by itself.
func recordLine(t *testing.T) {
	r := newRig(t, anonymous)
	c := r.config()
	c.Backstop = ltp.Backstop{First: ltp.MinBackstop, Most: ltp.MinBackstop}
	n := r.up(c)
	r.until(n, ltp.Stable)
	r.submit(of("c-17", "R1"))
	r.ended("R1")
	r.save("order-with-its-turn", ltp.OrderWorkflowID("R1"), "")
	_ = r.client.GetWorkflow(r.ctx, ltp.SequenceWorkflowID("c-17"), "").Get(r.ctx, nil)

	end := r.outage()
	r.until(n, ltp.Unstable)
	ids := []string{"R2", "R3", "R4"}
	for _, id := range ids {
		o := of("c-17", id)
		o.Priority = 1
		r.decided(r.submit(o))
	}
	require.NoError(t, r.client.SignalWorkflow(r.ctx, ltp.OrderWorkflowID("R2"), "", ltp.ExpediteSignal, nil))
	end()
	for _, id := range ids {
		r.ended(id)
	}
	r.save("order-first-in-line", ltp.OrderWorkflowID("R2"), "")
	r.save("order-in-line", ltp.OrderWorkflowID("R4"), "")
	require.NoError(t, r.client.GetWorkflow(r.ctx, ltp.SequenceWorkflowID("c-17"), "").Get(r.ctx, nil))
	r.save("sequence-of-three", ltp.SequenceWorkflowID("c-17"), "")
	r.until(n, ltp.Stable)

	sub, err := starter.New(cutOff{r.client}).Submit(r.ctx, of("c-18", "R5"))
	require.NoError(t, err)
	require.True(t, sub.NotInLine)
	r.ended("R5")
	r.save("order-not-put-in-line", ltp.OrderWorkflowID("R5"), "")
}

// recordLongLine has a sequence begin a new run while orders stand in line.
func recordLongLine(t *testing.T) {
	r := newRig(t, anonymous, shortHistories)
	n := r.up(r.config())
	r.until(n, ltp.Stable)
	require.NoError(t, operator(r, ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "migration"}))
	r.until(n, ltp.Unstable)
	first := r.longLine("c-17", 60)
	history := r.run(ltp.SequenceWorkflowID("c-17"), first)
	second := history.Events[len(history.Events)-1].GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
	require.NotEmpty(t, second)
	r.save("sequence-continues-as-new", ltp.SequenceWorkflowID("c-17"), first)
	require.NoError(t, operator(r, ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"}))
	r.ended("c-17-59")
	r.save("sequence-continued", ltp.SequenceWorkflowID("c-17"), second)
}

// longLine puts so many orders in line that their sequence begins a new run, and returns
// the first.
func (r *rig) longLine(key string, orders int) (first string) {
	r.t.Helper()
	for i := range orders {
		r.submit(of(key, lineID(key, i)))
	}
	d, err := r.client.DescribeWorkflowExecution(r.ctx, ltp.SequenceWorkflowID(key), "")
	require.NoError(r.t, err)
	first = d.GetWorkflowExecutionInfo().GetFirstRunId()
	events := r.client.GetWorkflowHistory(r.ctx, ltp.SequenceWorkflowID(key), first, true, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	require.True(r.t, events.HasNext())
	e, err := events.Next()
	require.NoError(r.t, err)
	require.Equal(r.t, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, e.GetEventType())
	return first
}
