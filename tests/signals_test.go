package tests

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"golang.org/x/sync/errgroup"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// TestDuplicateAndOldSignalsNeitherExecuteNorBloatAnOrder: a thousand signals that
// are no news leave nothing in the history but themselves and the workflow tasks that
// read them. The release executes the order, once.
func TestDuplicateAndOldSignalsNeitherExecuteNorBloatAnOrder(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	epoch := r.Until(n.Board, ltp.Unstable).Epoch
	r.Decided(r.Submit("signals-1"))
	id := ltp.OrderWorkflowID("signals-1")
	r.AwaitEvent(id, func(e *historypb.HistoryEvent) bool {
		return e.GetEventType() == enumspb.EVENT_TYPE_TIMER_STARTED // it waits
	})
	before := eventTypes(r.History(id, ""))

	const signals = 1000
	for _, parallel := range []int{1, 16} { // one after the other, and in a storm
		var group errgroup.Group
		group.SetLimit(parallel)
		for i := range signals / 2 {
			group.Go(func() error {
				old := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: epoch - int64(i)%epoch}
				return r.Client.SignalWorkflow(r.Ctx, id, "", ltp.StabilitySignal, old)
			})
		}
		require.NoError(t, group.Wait())
	}
	read := 0 // signals that a workflow task has followed
	r.AwaitEvent(id, func(e *historypb.HistoryEvent) bool {
		switch e.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			read++
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			return read == signals
		}
		return false
	})

	after := eventTypes(r.History(id, ""))
	tasks := after[enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED] - before[enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED]
	t.Logf("%d signals were read in %d workflow tasks", signals, tasks)
	assert.LessOrEqual(t, tasks, signals)
	for kind, count := range after {
		switch kind {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			assert.Equal(t, signals, count)
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			assert.LessOrEqual(t, count-before[kind], signals)
		default:
			assert.Equal(t, before[kind], count, "%s: the order was neither routed nor executed, and set no timer", kind)
		}
	}
	st, err := r.Start.Get(r.Ctx, "signals-1")
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, st.State)

	end()
	r.executedOnce("signals-", []string{"signals-1"})
	done := eventTypes(r.History(id, ""))
	assert.Zero(t, done[enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED])
	assert.Equal(t, signals, done[enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED])
	assert.Equal(t, 1, done[enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED])
}

// TestSignalOfARecoveryThatHasNotBegunWritesNothing: a signal that names a recovery in the middle of
// an outage wakes the order, and the fence stops it.
func TestSignalOfARecoveryThatHasNotBegunWritesNothing(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	epoch := r.Until(n.Board, ltp.Unstable).Epoch
	r.Decided(r.Submit("liar-1"))
	id := ltp.OrderWorkflowID("liar-1")
	for range 20 {
		news := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: epoch + 1}
		require.NoError(t, r.Client.SignalWorkflow(r.Ctx, id, "", ltp.StabilitySignal, news))
	}
	r.AwaitEvent(id, func(e *historypb.HistoryEvent) bool {
		asked, ok, err := trace.Routing(e)
		require.NoError(t, err)
		return ok && asked.Woken == ltp.WokenBySignal && !asked.Decision.Admissible()
	})
	end()
	r.executedOnce("liar-", []string{"liar-1"})
	story, err := r.Reader().Order(r.Ctx, "liar-1")
	require.NoError(t, err)
	for _, attempt := range story.Executions {
		if !attempt.Done() {
			assert.Zero(t, attempt.BegunAt, "the fence is before the write")
		}
	}
}

// TestSignalByHandReleasesAnOrder: what `temporal workflow signal --name stability` sends
// releases one order while the replay is paused, and no other.
func TestSignalByHandReleasesAnOrder(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Hold("migration")
	fell := r.Until(n.Board, ltp.Unstable).Epoch
	for _, id := range []string{"A2", "A3"} {
		require.Equal(t, ltp.Deferred, r.Decided(r.Submit(id)).State)
	}
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Paused: new(true), By: "ann", Why: "one first"}))
	r.Release()
	require.Equal(t, fell+1, r.Until(n.Board, ltp.Recovering).Epoch)

	r.signalByHand("A2", fell+1)
	r.executedOnce("A", []string{"A2"})
	st, err := r.Start.Get(r.Ctx, "A3")
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, st.State)
	kinds := eventTypes(r.History(ltp.OrderWorkflowID("A2"), ""))
	assert.Equal(t, 1, kinds[enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED])
	assert.Zero(t, kinds[enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED])
	story, err := r.Reader().Order(r.Ctx, "A2")
	require.NoError(t, err)
	require.Len(t, story.Frames, 4)
	assert.Equal(t, ltp.WokenBySignal, story.Frames[2].Request.Woken)
	assert.Equal(t, fell+1, story.Outcome.Receipt.Fence.Epoch)

	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Paused: new(false), By: "ann", Why: "now all"}))
	r.executedOnce("A", []string{"A2", "A3"})
}

// signalByHand sends what the command line of Temporal sends, byte for byte:
//
//	temporal workflow signal --workflow-id order/A2 --name stability \
//		--input '{"component":"orders-db","state":"RECOVERING","epoch":1795746357}'
func (r *rig) signalByHand(id string, epoch int64) {
	r.T.Helper()
	_, err := r.Client.WorkflowService().SignalWorkflowExecution(r.Ctx, &workflowservice.SignalWorkflowExecutionRequest{
		Namespace:         r.Server.Namespace(),
		WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: ltp.OrderWorkflowID(id)},
		SignalName:        "stability",
		Input: &commonpb.Payloads{Payloads: []*commonpb.Payload{{
			Metadata: map[string][]byte{"encoding": []byte("json/plain")},
			Data:     fmt.Appendf(nil, `{"component":"orders-db","state":"RECOVERING","epoch":%d}`, epoch),
		}}},
	})
	require.NoError(r.T, err)
}

func eventTypes(h *historypb.History) map[enumspb.EventType]int {
	count := map[enumspb.EventType]int{}
	for _, e := range h.GetEvents() {
		count[e.GetEventType()]++
	}
	return count
}
