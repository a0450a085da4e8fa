package tests

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"golang.org/x/sync/errgroup"

	"github.com/ltp-node/ltp"
)

// TestDuplicateAndOldSignalsNeitherExecuteNorBloatAnOrder: a thousand signals that
// are no news leave nothing in the history but themselves and the workflow tasks that
// read them. The one true signal executes the order, once.
func TestDuplicateAndOldSignalsNeitherExecuteNorBloatAnOrder(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.until(n, ltp.Stable)
	end := r.outage()
	epoch := r.until(n, ltp.Unstable).Epoch
	r.decided(r.submit(order("signals-1")))
	id := ltp.OrderWorkflowID("signals-1")
	r.awaitEvent(id, func(e *historypb.HistoryEvent) bool {
		return e.GetEventType() == enumspb.EVENT_TYPE_TIMER_STARTED // it waits
	})
	before := eventTypes(r.history(id))

	const signals = 1000
	for _, parallel := range []int{1, 16} { // one after the other, and in a storm
		var group errgroup.Group
		group.SetLimit(parallel)
		for i := range signals / 2 {
			group.Go(func() error {
				old := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: epoch - int64(i)%epoch}
				return r.client.SignalWorkflow(r.ctx, id, "", ltp.StabilitySignal, old)
			})
		}
		require.NoError(t, group.Wait())
	}
	read := 0 // signals that a workflow task has followed
	r.awaitEvent(id, func(e *historypb.HistoryEvent) bool {
		switch e.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
			read++
		case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
			return read == signals
		}
		return false
	})

	after := eventTypes(r.history(id))
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
	st, err := r.start.Get(r.ctx, "signals-1")
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, st.State)

	end()
	r.executedOnce("signals-", []string{"signals-1"})
	done := eventTypes(r.history(id))
	assert.Equal(t, 1, done[enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED])
	assert.Equal(t, signals+1, done[enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED])
}

// TestFalseWordOfRecoveryWritesNothing: a signal that says RECOVERING in the middle of
// an outage is believed by the order, and stopped by the fence.
func TestFalseWordOfRecoveryWritesNothing(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.until(n, ltp.Stable)
	end := r.outage()
	epoch := r.until(n, ltp.Unstable).Epoch
	r.decided(r.submit(order("liar-1")))
	id := ltp.OrderWorkflowID("liar-1")
	for range 20 {
		word := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: epoch + 1}
		require.NoError(t, r.client.SignalWorkflow(r.ctx, id, "", ltp.StabilitySignal, word))
	}
	r.awaitEvent(id, func(e *historypb.HistoryEvent) bool {
		return e.GetEventType() == enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED
	})
	end()
	r.executedOnce("liar-", []string{"liar-1"})
	story, err := r.reader().Order(r.ctx, "liar-1")
	require.NoError(t, err)
	for _, attempt := range story.Executions {
		if !attempt.Done() {
			assert.Zero(t, attempt.BegunAt, "the fence is before the write")
		}
	}
}

func eventTypes(h *historypb.History) map[enumspb.EventType]int {
	count := map[enumspb.EventType]int{}
	for _, e := range h.GetEvents() {
		count[e.GetEventType()]++
	}
	return count
}
