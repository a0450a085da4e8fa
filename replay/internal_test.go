package replay

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

// TestSentIsBoundedAndRemembersTheLatest, however many orders are released.
func TestSentIsBoundedAndRemembersTheLatest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.IntRange(1, 50).Draw(t, "generation")
		s := newSent(most)
		var latest []string
		for i := range rapid.IntRange(0, 500).Draw(t, "orders") {
			id := fmt.Sprintf("order/%d", i)
			if !s.has(id) {
				s.add(id)
			}
			latest = append(latest, id)
			assert.LessOrEqual(t, s.len(), 2*most)
		}
		for _, id := range latest[max(len(latest)-most, 0):] {
			assert.True(t, s.has(id), id)
		}
		assert.False(t, s.has("order/other"))
		if len(latest) > 0 {
			last := latest[len(latest)-1]
			s.remove(last)
			assert.False(t, s.has(last))
		}
		s.forget()
		assert.Zero(t, s.len())
	})
}

func TestTheNextSliceIsSomeTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := time.Duration(rapid.Int64Range(int64(finest), int64(60*365*24*time.Hour)).Draw(t, "width"))
		n := rapid.IntRange(0, 100_000).Draw(t, "orders")
		next := next(width, n)
		assert.GreaterOrEqual(t, next, finest)
		assert.LessOrEqual(t, next, 4*width)
	})
}

func TestALeaseRunsOutAndIsNotHeldBeforeItWasTaken(t *testing.T) {
	l := newLease(activity.Info{HeartbeatTimeout: 10 * time.Second})
	assert.False(t, l.held())
	assert.False(t, l.lost())
	l.since = time.Now().Add(-4 * time.Second)
	assert.True(t, l.held())
	l.since = time.Now().Add(-6 * time.Second)
	assert.False(t, l.held())
	assert.True(t, l.lost())
	// The clock of the process stood still while the machine slept.
	l.since = time.Now().Round(0).Add(-6 * time.Second)
	assert.False(t, l.held())
}

func TestWhatAnOrderThatHasNotEndedTells(t *testing.T) {
	in := ReleaseInput{Component: "db", Epoch: 5}
	running := func(change func(*workflowservice.DescribeWorkflowExecutionResponse)) *workflowservice.DescribeWorkflowExecutionResponse {
		d := &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, SearchAttributes: attributes("db", 4),
		}}
		if change != nil {
			change(d)
		}
		return d
	}
	type described = workflowservice.DescribeWorkflowExecutionResponse
	for name, c := range map[string]struct {
		d          *described
		soon, late verdict
	}{
		"it waits for something else":    {running(nil), silent, silent},
		"its execution is under way":     {running(func(d *described) { d.PendingActivities = []*workflowpb.PendingActivityInfo{{}} }), silent, setback},
		"nobody runs it":                 {running(func(d *described) { d.PendingWorkflowTask = &workflowpb.PendingWorkflowTaskInfo{} }), silent, setback},
		"it was deferred again":          {running(func(d *described) { d.WorkflowExecutionInfo.SearchAttributes = attributes("db", 5) }), setback, setback},
		"another component deferred it":  {running(func(d *described) { d.WorkflowExecutionInfo.SearchAttributes = attributes("stock", 9) }), silent, silent},
		"it awaits its turn":             {running(func(d *described) { d.WorkflowExecutionInfo.SearchAttributes = nil }), inLine, inLine},
		"it has ended at this very time": {running(func(d *described) { d.WorkflowExecutionInfo.Status = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED }), silent, silent},
	} {
		assert.Equal(t, c.soon, judge(c.d, in, false), name)
		assert.Equal(t, c.late, judge(c.d, in, true), name)
	}
}

func attributes(component string, epoch int64) *commonpb.SearchAttributes {
	to := func(value any) *commonpb.Payload {
		p, err := converter.GetDefaultDataConverter().ToPayload(value)
		if err != nil {
			panic(err)
		}
		return p
	}
	return &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{
		ltp.ComponentAttribute: to(component), ltp.EpochAttribute: to(epoch),
	}}
}
