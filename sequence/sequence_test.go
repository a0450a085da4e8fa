package sequence_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/sequence"
)

var (
	gone    = serviceerror.NewNotFound("no such workflow")
	away    = serviceerror.NewUnavailable("try again")
	closed  = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	running = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
)

func described(s enumspb.WorkflowExecutionStatus) *workflowservice.DescribeWorkflowExecutionResponse {
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Status: s, CloseTime: timestamppb.New(closed), FirstRunId: "run-1", HistoryLength: 12,
	}}
}

// history is a long poll for the event that closes a workflow.
type history struct {
	ctx    context.Context
	closes bool
	err    error
	read   bool
}

func (h *history) HasNext() bool { return !h.read }

func (h *history) Next() (*historypb.HistoryEvent, error) {
	h.read = true
	if h.err == nil && !h.closes {
		<-h.ctx.Done()
		return nil, h.ctx.Err()
	}
	return &historypb.HistoryEvent{}, h.err
}

// TestOrderHasEndedWhenTemporalSaysSo, and not because it could not be given its turn.
func TestOrderHasEndedWhenTemporalSaysSo(t *testing.T) {
	const watch = time.Millisecond
	for name, c := range map[string]struct {
		turn   error // the answer to the turn
		poll   history
		status enumspb.WorkflowExecutionStatus
		asked  error
		want   ltp.SequenceEnd
		fails  bool
	}{
		"it ends while it is watched": {poll: history{closes: true}, status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, want: ltp.SequenceEnd{Ended: true}},
		"it goes on":                  {status: running},
		"it was cancelled before":     {turn: gone, status: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, want: ltp.SequenceEnd{Ended: true}},
		"it was terminated":           {turn: gone, status: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, want: ltp.SequenceEnd{Ended: true, Forced: closed}},
		"its workflow failed":         {turn: gone, status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, want: ltp.SequenceEnd{Ended: true, Forced: closed}},
		"it continues as new":         {poll: history{closes: true}, status: enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW},
		"it was reset meanwhile":      {poll: history{closes: true}, status: running},
		"it is paused":                {status: enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED},
		"Temporal has forgotten it":   {turn: gone, asked: gone, want: ltp.SequenceEnd{Ended: true}},
		"it cannot be given":          {turn: away, fails: true},
		"it cannot be watched":        {poll: history{err: away}, fails: true},
		"it cannot be looked at":      {asked: away, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			var temporal mocks.Client
			temporal.On("SignalWorkflow", mock.Anything, "order/A2", "", ltp.TurnSignal, mock.Anything).Return(c.turn)
			temporal.On("GetWorkflowHistory", mock.Anything, "order/A2", "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT).Return(
				func(ctx context.Context, _, _ string, _ bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
					poll := c.poll
					poll.ctx = ctx
					return &poll
				})
			temporal.On("DescribeWorkflowExecution", mock.Anything, "order/A2", "").Return(described(c.status), c.asked)
			end, err := sequence.GiveTurn(t.Context(), &temporal, "A2", &ltp.Turn{}, watch)
			assert.Equal(t, c.fails, err != nil, "%v", err)
			assert.Equal(t, c.want, end)
		})
	}
}

func TestLookTellsWhetherAFurtherOrderMayJoin(t *testing.T) {
	memo := func(waiting int) *commonpb.Memo {
		p, err := converter.GetDefaultDataConverter().ToPayload(ltp.Sequence{Waiting: waiting})
		require.NoError(t, err)
		return &commonpb.Memo{Fields: map[string]*commonpb.Payload{ltp.SequenceMemo: p}}
	}
	for name, c := range map[string]struct {
		status  enumspb.WorkflowExecutionStatus
		waiting int
		events  int64
		err     error
		full    bool
	}{
		"there is none":         {err: gone},
		"it has ended":          {status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, waiting: ltp.MaxSequence},
		"some wait":             {status: running, waiting: 9_500, events: 4_100},
		"too many wait":         {status: running, waiting: ltp.MaxSequence, full: true},
		"too many may wait":     {status: running, waiting: 11_000, events: 4_100, full: true},
		"no worker reads joins": {status: running, events: ltp.MaxUnread, full: true},
	} {
		t.Run(name, func(t *testing.T) {
			d := described(c.status)
			d.WorkflowExecutionInfo.Memo, d.WorkflowExecutionInfo.HistoryLength = memo(c.waiting), c.events
			var temporal mocks.Client
			temporal.On("DescribeWorkflowExecution", mock.Anything, "sequence/c-17", "").Return(d, c.err)
			seen, err := sequence.Look(t.Context(), &temporal, "c-17")
			require.NoError(t, err)
			assert.Equal(t, c.full, seen.Full())
		})
	}
	var temporal mocks.Client
	temporal.On("DescribeWorkflowExecution", mock.Anything, mock.Anything, "").Return(nil, away)
	_, err := sequence.Look(t.Context(), &temporal, "c-17")
	assert.ErrorIs(t, err, away)
}

func TestSequenceThatIsGoneNeedsNoRelease(t *testing.T) {
	for _, c := range []struct{ answer, want error }{{nil, nil}, {gone, nil}, {away, away}} {
		var temporal mocks.Client
		temporal.On("SignalWorkflow", mock.Anything, "sequence/c-17", "", ltp.DoneSignal, "A2").Return(c.answer)
		err := sequence.ReleaseTurn(t.Context(), &temporal, "c-17", "A2")
		assert.True(t, errors.Is(err, c.want), "%v", err)
	}
}
