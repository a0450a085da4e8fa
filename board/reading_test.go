package board

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ltp-node/ltp"
)

const db = ltp.DefaultComponent

// temporal is as much of Temporal as a board asks.
type temporal struct {
	client.Client
	describe func(ctx context.Context, id, run string) (*workflowservice.DescribeWorkflowExecutionResponse, error)
	history  func(ctx context.Context, id string) client.HistoryEventIterator
}

func (t *temporal) DescribeWorkflowExecution(ctx context.Context, id, run string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return t.describe(ctx, id, run)
}

func (t *temporal) GetWorkflowHistory(ctx context.Context, id, _ string, wait bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	if !wait {
		panic("a history that is not waited for has no news")
	}
	return t.history(ctx, id)
}

func orientation(s ltp.State, epoch int64) ltp.Orientation {
	return ltp.Orientation{Component: db, State: s, Epoch: epoch, Reason: "as seen"}
}

// running is an Orientation workflow that runs and has published o.
func running(o ltp.Orientation) *workflowservice.DescribeWorkflowExecutionResponse {
	payload, err := converter.GetDefaultDataConverter().ToPayload(o)
	if err != nil {
		panic(err)
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
			Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
			Memo:   &commonpb.Memo{Fields: map[string]*commonpb.Payload{ltp.OrientationMemo: payload}},
		},
	}
}

// ago is a moment before now, as Temporal has it.
func ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(time.Now().Add(-d)) }

func observed(d *workflowservice.DescribeWorkflowExecutionResponse, by ...*workflowpb.PendingActivityInfo) *workflowservice.DescribeWorkflowExecutionResponse {
	d.PendingActivities = by
	return d
}

func unread(d *workflowservice.DescribeWorkflowExecutionResponse, since *timestamppb.Timestamp) *workflowservice.DescribeWorkflowExecutionResponse {
	d.PendingWorkflowTask = &workflowpb.PendingWorkflowTaskInfo{OriginalScheduledTime: since}
	return d
}

// read reads what Temporal answers.
func read(d *workflowservice.DescribeWorkflowExecutionResponse, err error) (Reading, error) {
	return Read(context.Background(), &temporal{
		describe: func(_ context.Context, id, run string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			if id != "orientation/orders-db" || run != "" {
				panic("asked for " + id + " " + run)
			}
			return d, err
		},
	}, db)
}

func TestAFitStateIsBelievedWhileItsObserverIsHeard(t *testing.T) {
	for name, d := range map[string]*workflowservice.DescribeWorkflowExecutionResponse{
		"heartbeats": observed(running(orientation(ltp.Stable, 3)), &workflowpb.PendingActivityInfo{
			ScheduledTime: ago(time.Hour), LastStartedTime: ago(time.Hour), LastHeartbeatTime: ago(Silence - time.Second),
		}),
		"started and not heard yet": observed(running(orientation(ltp.Stable, 3)), &workflowpb.PendingActivityInfo{
			ScheduledTime: ago(time.Hour), LastStartedTime: ago(time.Second),
		}),
		"waits to be taken": observed(running(orientation(ltp.Stable, 3)), &workflowpb.PendingActivityInfo{ScheduledTime: ago(time.Second)}),
		"is just being asked for, no activity is pending": running(orientation(ltp.Stable, 3)),
		"of two, one is heard": observed(running(orientation(ltp.Stable, 3)),
			&workflowpb.PendingActivityInfo{LastHeartbeatTime: ago(time.Second)},
			&workflowpb.PendingActivityInfo{LastHeartbeatTime: ago(time.Hour)}),
		"news was read soon enough so far": unread(running(orientation(ltp.Stable, 3)), ago(Unread-time.Second)),
		"news without a time":              unread(running(orientation(ltp.Stable, 3)), nil),
	} {
		t.Run(name, func(t *testing.T) {
			before := time.Now()
			r, err := read(d, nil)
			require.NoError(t, err)
			assert.Equal(t, orientation(ltp.Stable, 3), r.Orientation)
			assert.False(t, r.Unreadable)
			assert.False(t, r.ReadAt.Before(before))
			assert.False(t, r.ReadAt.After(time.Now()))
		})
	}
}

func TestAReadingIsAsOldAsItsQuestion(t *testing.T) {
	var asked time.Time
	r, err := Read(t.Context(), &temporal{
		describe: func(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
			asked = time.Now()
			return running(orientation(ltp.Stable, 3)), nil
		},
	}, db)
	require.NoError(t, err)
	assert.False(t, r.ReadAt.After(asked), "what happened after the question may be missing in the answer")
}

func TestAFitStateIsNotBelievedWhenNobodyCanKnow(t *testing.T) {
	for _, state := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering} {
		for why, d := range map[string]*workflowservice.DescribeWorkflowExecutionResponse{
			"observer was last heard": observed(running(orientation(state, 3)), &workflowpb.PendingActivityInfo{
				ScheduledTime: ago(time.Hour), LastStartedTime: ago(time.Hour), LastHeartbeatTime: ago(Silence + time.Second),
			}),
			"its observer was last heard": observed(running(orientation(state, 3)), &workflowpb.PendingActivityInfo{
				Attempt: 2, ScheduledTime: ago(time.Second), LastHeartbeatTime: ago(Silence + time.Second),
			}),
			"was last heard": observed(running(orientation(state, 3)), &workflowpb.PendingActivityInfo{ScheduledTime: ago(Silence + time.Second)}),
			"news is waiting unread since": unread(observed(running(orientation(state, 3)), &workflowpb.PendingActivityInfo{
				LastHeartbeatTime: ago(time.Second),
			}), ago(Unread+time.Second)),
		} {
			t.Run(string(state)+" "+why, func(t *testing.T) {
				r, err := read(d, nil)
				require.NoError(t, err)
				assert.Equal(t, ltp.Unknown, r.State)
				assert.True(t, r.Unreadable)
				assert.Contains(t, r.Reason, why)
				assert.EqualValues(t, 3, r.Epoch, "the epoch stays known")
				assert.Equal(t, db, r.Component)
				assert.False(t, r.ReadAt.IsZero())
			})
		}
	}
}

func TestAnUnfitStateIsBelievedWhoeverIsSilent(t *testing.T) {
	for _, state := range []ltp.State{ltp.Unstable, ltp.Unknown, "SERENE"} {
		t.Run(string(state), func(t *testing.T) {
			said := orientation(state, 4)
			said.Hold = &ltp.Hold{By: "ann", Why: "migration", Freeze: true}
			r, err := read(unread(observed(running(said), &workflowpb.PendingActivityInfo{LastHeartbeatTime: ago(time.Hour)}), ago(time.Hour)), nil)
			require.NoError(t, err)
			assert.Equal(t, said, r.Orientation)
			assert.False(t, r.Unreadable)
		})
	}
}

func TestAWorkflowThatHasEndedSaysNothing(t *testing.T) {
	for _, status := range []enumspb.WorkflowExecutionStatus{
		enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, enumspb.WORKFLOW_EXECUTION_STATUS_FAILED,
		enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, enumspb.WORKFLOW_EXECUTION_STATUS_TIMED_OUT, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW,
	} {
		for _, state := range []ltp.State{ltp.Stable, ltp.Unstable} {
			d := running(orientation(state, 3))
			d.WorkflowExecutionInfo.Status = status
			r, err := read(d, nil)
			require.NoError(t, err)
			assert.Equal(t, ltp.Unknown, r.State, status)
			assert.True(t, r.Unreadable, status)
		}
	}
}

func TestAComponentThatNoWorkerHasRunYetIsUnknown(t *testing.T) {
	d := running(orientation(ltp.Stable, 3))
	d.WorkflowExecutionInfo.Memo = nil
	r, err := read(d, nil)
	require.NoError(t, err)
	assert.Equal(t, ltp.Orientation{Component: db, State: ltp.Unknown, Reason: "never observed"}, r.Orientation)
	assert.True(t, r.Unreadable)
}

func TestADamagedMemoIsAnErrorAndNoState(t *testing.T) {
	d := running(orientation(ltp.Stable, 3))
	d.WorkflowExecutionInfo.Memo.Fields[ltp.OrientationMemo].Data = []byte(`{"state":"STABLE","epoch":`)
	r, err := read(d, nil)
	require.ErrorContains(t, err, "damaged")
	assert.NotErrorIs(t, err, ErrNoComponent)
	assert.Empty(t, r)
}

func TestOnlyAMissingWorkflowMeansNoSuchComponent(t *testing.T) {
	_, err := read(nil, serviceerror.NewNotFound("no such workflow"))
	require.ErrorIs(t, err, ErrNoComponent)
	require.ErrorContains(t, err, db)

	away := errors.New("connection refused")
	_, err = read(nil, away)
	require.ErrorIs(t, err, away)
	assert.NotErrorIs(t, err, ErrNoComponent)
}
