package worker_test

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/worker"
)

// described is an Orientation workflow that has published an epoch.
func described(t *testing.T, status enumspb.WorkflowExecutionStatus, epoch int64) *workflowservice.DescribeWorkflowExecutionResponse {
	t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayload(ltp.Orientation{Component: "payments", State: ltp.Stable, Epoch: epoch})
	require.NoError(t, err)
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Status: status, Memo: &commonpb.Memo{Fields: map[string]*commonpb.Payload{ltp.OrientationMemo: p}},
	}}
}

// TestOrientationIsBegunWhereNoneRuns, once, and its epochs go on from those of an earlier
// workflow: they never come back.
func TestOrientationIsBegunWhereNoneRuns(t *testing.T) {
	const running, ended = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
	missing := serviceerror.NewNotFound("no such workflow")
	for name, c := range map[string]struct {
		found  *workflowservice.DescribeWorkflowExecutionResponse
		err    error
		begins bool
		epoch  int64
	}{
		"it runs":              {found: described(t, running, 7)},
		"there is none":        {err: missing, begins: true},
		"it was terminated":    {found: described(t, ended, 7), begins: true, epoch: 7},
		"Temporal is away":     {err: errors.New("connection refused")},
		"it has not said much": {found: &workflowservice.DescribeWorkflowExecutionResponse{}, begins: true},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := mocks.NewClient(t)
			temporal.On("DescribeWorkflowExecution", mock.Anything, "orientation/payments", "").Return(c.found, c.err)
			if c.begins {
				temporal.On("ExecuteWorkflow", mock.Anything, mock.MatchedBy(func(o client.StartWorkflowOptions) bool {
					return o.ID == "orientation/payments" && o.TaskQueue == ltp.ControlQueue &&
						o.WorkflowIDConflictPolicy == enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING // however many workers start at once
				}), ltp.OrientationWorkflow, ltp.OrientationInput{Component: "payments", Policy: ltp.DefaultPolicy(), Epoch: c.epoch}).Return(nil, nil).Once()
			}
			err := worker.EnsureOrientation(t.Context(), temporal, "payments", ltp.DefaultPolicy())
			assert.Equal(t, c.err != nil && !c.begins, err != nil, "%v", err)
		})
	}
}

// TestNothingIsBegunForWhatIsNoComponent, nor under a policy that makes no sense.
func TestNothingIsBegunForWhatIsNoComponent(t *testing.T) {
	temporal := mocks.NewClient(t) // which is not asked
	assert.Error(t, worker.EnsureOrientation(t.Context(), temporal, "Payments & more", ltp.DefaultPolicy()))
	assert.Error(t, worker.EnsureOrientation(t.Context(), temporal, "payments", ltp.Policy{Dwell: -1}))
}
