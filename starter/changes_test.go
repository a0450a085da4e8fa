package starter

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// tale is a Temporal in which one order's history grows as it is read.
type tale struct {
	client.Client
	t       *testing.T
	steps   []telling
	at      int // of steps, up to where it was read
	looks   int
	stopped error // the error that ends the stream, where it is no event
}

// telling is an event, and where the order is from then on.
type telling struct {
	run    string
	id     int64
	kind   enumspb.EventType
	status enumspb.WorkflowExecutionStatus
	wait   *ltp.Wait
}

func (s *tale) DescribeWorkflowExecution(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	s.looks++
	now := s.steps[s.at]
	info := run(now.run, accepted, now.status, nil)
	info.FirstRunId, info.HistoryLength = now.run, now.id
	if now.wait != nil {
		info.SearchAttributes = waitsFor(s.t, *now.wait)
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{
		WorkflowExecutionInfo: info, WorkflowExtendedInfo: &workflowpb.WorkflowExecutionExtendedInfo{},
	}, nil
}

func (s *tale) GetWorkflowHistory(_ context.Context, _, runID string, poll bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	if !poll { // of an order that has ended
		return &chapter{tale: s, run: runID, next: s.at}
	}
	return &chapter{tale: s, run: runID, next: slices.IndexFunc(s.steps, func(t telling) bool { return t.run == runID })}
}

// chapter is the history of one run.
type chapter struct {
	*tale
	run  string
	next int
}

func (c *chapter) HasNext() bool {
	return c.next < len(c.steps) && c.steps[c.next].run == c.run || c.stopped != nil
}

func (c *chapter) Next() (*historypb.HistoryEvent, error) {
	if c.next == len(c.steps) {
		return nil, c.stopped
	}
	now := c.steps[c.next]
	c.at = max(c.at, c.next)
	c.next++
	return &historypb.HistoryEvent{EventId: now.id, EventType: now.kind}, nil
}

// TestChangesAreYieldedOnce, across runs, and the end is the last.
func TestChangesAreYieldedOnce(t *testing.T) {
	const running = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	marker, task, upsert := enumspb.EVENT_TYPE_MARKER_RECORDED, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES
	turn := ltp.Wait{Reason: ltp.ReasonAwaitsTurn}
	s := &tale{t: t, at: 2, steps: []telling{
		{"one", 1, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, running, nil},
		{"one", 2, task, running, nil},
		{"one", 3, upsert, running, &unstable}, // where it is when it is looked up first
		{"one", 4, task, running, &unstable},
		{"one", 5, marker, running, &unstable}, // which changes nothing
		{"one", 6, upsert, running, &turn},
		{"one", 7, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, &turn},
		{"two", 1, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, running, &turn},
		{"two", 2, upsert, running, &unstable},
		{"two", 3, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED, enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, &unstable},
	}}
	var seen []ltp.Reason
	var last Status
	for st, err := range New(movedOn{s}).Changes(t.Context(), "A2") {
		require.NoError(t, err)
		seen, last = append(seen, st.Reason), st
	}
	assert.Equal(t, []ltp.Reason{ltp.ReasonUnstable, ltp.ReasonAwaitsTurn, ltp.ReasonUnstable, ""}, seen)
	assert.Equal(t, ltp.Cancelled, last.State)
	assert.LessOrEqual(t, s.looks, 7, "one look for each event that may change something, and none for what was seen")
}

// movedOn describes the second run as soon as the first has ended.
type movedOn struct{ *tale }

func (c movedOn) DescribeWorkflowExecution(ctx context.Context, id, run string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if c.steps[c.at].kind == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW {
		c.at++
	}
	return c.tale.DescribeWorkflowExecution(ctx, id, run)
}

// TestChangesEndWithTheirError: the end of the context is no error.
func TestChangesEndWithTheirError(t *testing.T) {
	begun := telling{"one", 1, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, &unstable}
	var errs []error
	for _, err := range New(&tale{t: t, steps: []telling{begun}, stopped: serviceerror.NewUnavailable("away")}).Changes(t.Context(), "A2") {
		errs = append(errs, err)
	}
	require.Len(t, errs, 2)
	require.NoError(t, errs[0])
	require.ErrorIs(t, errs[1], ErrUnreachable)

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	errs = nil
	for _, err := range New(&tale{t: t, steps: []telling{begun}, stopped: errors.New("cut off")}).Changes(ctx, "A2") {
		errs = append(errs, err)
		cancel()
	}
	assert.Equal(t, []error{nil}, errs)
}
