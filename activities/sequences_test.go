package activities_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// TestOrderJoinsWhereItMayNotStandInLine, and no more often: all that wait may wake at
// once.
func TestOrderJoinsWhereItMayNotStandInLine(t *testing.T) {
	const ended, running = enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	for name, c := range map[string]struct {
		status  enumspb.WorkflowExecutionStatus
		stands  string // the sequence into which it has put itself
		waiting int
		joins   int // of 1,000 orders
	}{
		"nobody stands in line":        {status: ended, joins: 1000},
		"it may be in line":            {status: running, joins: 1000},
		"it is in line":                {status: running, stands: "run-1"},
		"another sequence":             {status: running, stands: "run-0", joins: 1000},
		"its sequence was terminated":  {status: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, stands: "run-1", joins: 1000},
		"some at a time, of very many": {status: running, waiting: 10_000, joins: 50},
		"nobody, where it is full":     {status: running, waiting: ltp.MaxSequence},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := converter.GetDefaultDataConverter().ToPayload(ltp.Sequence{Waiting: c.waiting})
			require.NoError(t, err)
			var temporal mocks.Client
			temporal.On("DescribeWorkflowExecution", mock.Anything, "sequence/c-17", "").Return(
				&workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
					Status: c.status, FirstRunId: "run-1", Memo: &commonpb.Memo{Fields: map[string]*commonpb.Payload{ltp.SequenceMemo: p}},
				}}, nil)
			joins := 0
			temporal.On("SignalWithStartWorkflow", mock.Anything, "sequence/c-17", ltp.JoinSignal, "A2", mock.Anything, ltp.SequenceWorkflow, mock.Anything).
				Run(func(mock.Arguments) { joins++ }).Return(nil, nil)
			s := &activities.Sequences{Client: &temporal}
			for range 1000 {
				got, err := s.Join(t.Context(), ltp.JoinInput{Key: "c-17", OrderID: "A2", Sequence: c.stands})
				require.NoError(t, err)
				assert.Contains(t, []string{c.stands, "run-1"}, got)
			}
			assert.InDelta(t, c.joins, joins, 40)
		})
	}
}
