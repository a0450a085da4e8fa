package starter

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/marks"
)

var (
	accepted = time.Date(2026, 11, 23, 14, 0, 0, 0, time.UTC)
	later    = accepted.Add(time.Hour)
	unstable = ltp.Wait{Component: ltp.DefaultComponent, Epoch: 4, Reason: ltp.ReasonUnstable}
	unproven = ltp.Wait{Component: ltp.DefaultComponent, Epoch: 5, Reason: ltp.ReasonAwaitsProof}
	parked   = ltp.Wait{Reason: ltp.ReasonParked}
)

// runs is a Temporal that has the runs of one order, the latest last.
type runs struct {
	client.Client
	t         *testing.T
	info      []*workflowpb.WorkflowExecutionInfo
	cancelled bool
	histories map[string][]*historypb.HistoryEvent // by run
	read      []enumspb.HistoryEventFilterType     // the histories that were read
}

func run(id string, start time.Time, status enumspb.WorkflowExecutionStatus, sa *commonpb.SearchAttributes) *workflowpb.WorkflowExecutionInfo {
	return &workflowpb.WorkflowExecutionInfo{
		Execution: &commonpb.WorkflowExecution{WorkflowId: ltp.OrderWorkflowID("A2"), RunId: id}, FirstRunId: "run-1",
		StartTime: timestamppb.New(start), Status: status, SearchAttributes: sa,
	}
}

// waitsFor are the search attributes of an order that waits for w.
func waitsFor(t *testing.T, w ltp.Wait) *commonpb.SearchAttributes {
	t.Helper()
	sa := &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{}}
	for key, value := range marks.AtStart("", "c-17", &ltp.Mark{Wait: w, Priority: ltp.DefaultPriority}).GetUntypedValues() {
		sa.IndexedFields[key.GetName()] = payloadOf(t, value)
	}
	return sa
}

func payloadOf(t *testing.T, v any) *commonpb.Payload {
	t.Helper()
	p, err := converter.GetDefaultDataConverter().ToPayload(v)
	require.NoError(t, err)
	return p
}

func payloads(t *testing.T, v any) *commonpb.Payloads {
	return &commonpb.Payloads{Payloads: []*commonpb.Payload{payloadOf(t, v)}}
}

func (r *runs) DescribeWorkflowExecution(_ context.Context, _, runID string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	for i, info := range r.info {
		if latest := i == len(r.info)-1; info.GetExecution().GetRunId() == runID || (runID == "" && latest) {
			return &workflowservice.DescribeWorkflowExecutionResponse{
				WorkflowExecutionInfo: info, WorkflowExtendedInfo: &workflowpb.WorkflowExecutionExtendedInfo{CancelRequested: r.cancelled && latest},
			}, nil
		}
	}
	return nil, serviceerror.NewNotFound(runID)
}

func (r *runs) GetWorkflowHistory(_ context.Context, _, runID string, poll bool, filter enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	r.read = append(r.read, filter)
	events, ok := r.histories[runID]
	require.True(r.t, ok, "nobody asked for the history of %s", runID)
	if filter == enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT {
		events = events[len(events)-1:]
	}
	return &iterator{events: events, poll: poll, t: r.t}
}

// iterator fails the test when it is asked for more than the history holds: that would be
// a long poll which nobody answers.
type iterator struct {
	events []*historypb.HistoryEvent
	poll   bool
	t      *testing.T
}

func (i *iterator) HasNext() bool {
	if len(i.events) == 0 && i.poll {
		i.t.Error("it waits for more")
	}
	return len(i.events) > 0
}

func (i *iterator) Next() (*historypb.HistoryEvent, error) {
	e := i.events[0]
	if i.events = i.events[1:]; closes(e) {
		i.poll = false
	}
	return e, nil
}

func closes(e *historypb.HistoryEvent) bool {
	return e.GetWorkflowExecutionCompletedEventAttributes() != nil || e.GetWorkflowExecutionCanceledEventAttributes() != nil ||
		e.GetWorkflowExecutionContinuedAsNewEventAttributes() != nil
}

func started(t *testing.T, p ltp.Progress) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{
		EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, EventTime: timestamppb.New(accepted),
		Attributes: &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
			WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{Input: payloads(t, p)},
		},
	}
}

func routed(t *testing.T, r ltp.Routing) *historypb.HistoryEvent {
	about := struct{ ActivityType string }{"CheckOrientation"}
	return &historypb.HistoryEvent{
		EventType: enumspb.EVENT_TYPE_MARKER_RECORDED, EventTime: timestamppb.New(accepted),
		Attributes: &historypb.HistoryEvent_MarkerRecordedEventAttributes{
			MarkerRecordedEventAttributes: &historypb.MarkerRecordedEventAttributes{
				MarkerName: "LocalActivity", Details: map[string]*commonpb.Payloads{"data": payloads(t, about), "result": payloads(t, r)},
			},
		},
	}
}

func completed(t *testing.T, o ltp.Outcome) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{
		EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, EventTime: timestamppb.New(later),
		Attributes: &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{Result: payloads(t, o)},
		},
	}
}

func continuedAs(runID string) *historypb.HistoryEvent {
	return &historypb.HistoryEvent{
		EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW, EventTime: timestamppb.New(later),
		Attributes: &historypb.HistoryEvent_WorkflowExecutionContinuedAsNewEventAttributes{
			WorkflowExecutionContinuedAsNewEventAttributes: &historypb.WorkflowExecutionContinuedAsNewEventAttributes{NewExecutionRunId: runID},
		},
	}
}

// TestAwaitEndsWithTheFirstThingWorthKnowing, by one long poll of the history.
func TestAwaitEndsWithTheFirstThingWorthKnowing(t *testing.T) {
	begin := started(t, ltp.Progress{})
	admitted := routed(t, ltp.Routing{Decision: ltp.Execute, Reason: ltp.ReasonOK, Component: ltp.DefaultComponent, Epoch: 3})
	deferred := routed(t, ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonUnstable, Component: ltp.DefaultComponent, Epoch: 4})
	inLine := routed(t, ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonAwaitsTurn, Component: ltp.DefaultComponent, Epoch: 3})
	itself := routed(t, ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonExecuteUnavailable, Component: ltp.DefaultComponent, Epoch: 3, Cause: ltp.CauseOrder})
	timer := &historypb.HistoryEvent{EventType: enumspb.EVENT_TYPE_TIMER_STARTED}
	executed := completed(t, ltp.Outcome{State: ltp.Executed, Receipt: &ltp.Receipt{Worker: "w"}})
	through := completed(t, ltp.Outcome{State: ltp.Executed, Receipt: &ltp.Receipt{Worker: "w", Fence: ltp.Fence{State: ltp.Unstable}}})
	rejected := completed(t, ltp.Outcome{State: ltp.Rejected, Reason: "credit limit exceeded"})
	for name, c := range map[string]struct {
		first, second []*historypb.HistoryEvent
		want          Status
	}{
		"executed at once": {first: []*historypb.HistoryEvent{begin, admitted, executed}, want: Status{
			State: ltp.Executed, Decision: ltp.Execute, Reason: ltp.ReasonOK, Receipt: &ltp.Receipt{Worker: "w"}, EndedAt: later}},
		"deferred": {first: []*historypb.HistoryEvent{begin, deferred}, want: Status{
			State: ltp.Deferred, Decision: ltp.Defer, Reason: ltp.ReasonUnstable, Commitment: ltp.Commitment, Component: ltp.DefaultComponent, Epoch: 4}},
		"admitted, and then deferred": {first: []*historypb.HistoryEvent{begin, admitted, deferred}, want: Status{
			State: ltp.Deferred, Decision: ltp.Defer, Reason: ltp.ReasonUnstable, Commitment: ltp.Commitment, Component: ltp.DefaultComponent, Epoch: 4}},
		"refused": {first: []*historypb.HistoryEvent{begin, admitted, rejected}, want: Status{
			State: ltp.Rejected, Decision: ltp.Reject, Detail: "credit limit exceeded", EndedAt: later}},
		"refused for what it is": {first: []*historypb.HistoryEvent{begin, admitted, itself, rejected}, want: Status{
			State: ltp.Rejected, Decision: ltp.Reject, Detail: "credit limit exceeded", EndedAt: later}},
		"failed by itself, and to be tried again": {first: []*historypb.HistoryEvent{begin, admitted, itself, timer}, want: Status{
			State: ltp.Deferred, Decision: ltp.Defer, Reason: ltp.ReasonExecuteUnavailable, Commitment: ltp.Commitment, Component: ltp.DefaultComponent, Epoch: 3}},
		"its turn comes in a moment": {first: []*historypb.HistoryEvent{begin, inLine, admitted, executed}, want: Status{
			State: ltp.Executed, Decision: ltp.Execute, Reason: ltp.ReasonOK, Receipt: &ltp.Receipt{Worker: "w"}, EndedAt: later}},
		"executed through a hold": {first: []*historypb.HistoryEvent{begin, through}, want: Status{
			State: ltp.Executed, Decision: ltp.Execute, Reason: ltp.ReasonPassed, Receipt: &ltp.Receipt{Worker: "w", Fence: ltp.Fence{State: ltp.Unstable}}, EndedAt: later}},
		"it continues as new": {first: []*historypb.HistoryEvent{begin, inLine, continuedAs("run-2")}, second: []*historypb.HistoryEvent{begin, executed}, want: Status{
			State: ltp.Executed, Decision: ltp.Execute, Reason: ltp.ReasonOK, Receipt: &ltp.Receipt{Worker: "w"}, EndedAt: later}},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := &runs{t: t, histories: map[string][]*historypb.HistoryEvent{"run-1": c.first, "run-2": c.second}}
			st, err := New(temporal).Await(t.Context(), Submission{OrderID: "A2", RunID: "run-1"})
			require.NoError(t, err)
			c.want.OrderID, c.want.Message, c.want.AcceptedAt = "A2", c.want.State.Message(), accepted
			assert.Equal(t, c.want, st)
		})
	}
}

// TestCancellationIsShownUntilTheOrderEnds, also when a run that continued as new does not
// know of the request.
func TestCancellationIsShownUntilTheOrderEnds(t *testing.T) {
	const running, asNew = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
	first := run("run-1", accepted, running, waitsFor(t, unproven))
	before, second := run("run-1", accepted, asNew, nil), run("run-2", later, running, waitsFor(t, unproven))
	ending := func(s ltp.OrderState) map[string][]*historypb.HistoryEvent {
		return map[string][]*historypb.HistoryEvent{"run-2": {started(t, ltp.Progress{Ending: &ltp.Ending{State: s}})}}
	}
	unfit := run("run-2", later, running, waitsFor(t, unstable))
	plain := map[string][]*historypb.HistoryEvent{"run-2": {started(t, ltp.Progress{})}}
	for name, c := range map[string]struct {
		temporal runs
		want     bool
	}{
		"it was asked for":               {temporal: runs{info: []*workflowpb.WorkflowExecutionInfo{first}, cancelled: true}, want: true},
		"the order expires":              {temporal: runs{info: []*workflowpb.WorkflowExecutionInfo{first}}},
		"it was asked for before":        {temporal: runs{info: []*workflowpb.WorkflowExecutionInfo{before, second}, histories: ending(ltp.Cancelled)}, want: true},
		"the order had expired before":   {temporal: runs{info: []*workflowpb.WorkflowExecutionInfo{before, second}, histories: ending(ltp.Expired)}},
		"it is asked for a second time":  {temporal: runs{info: []*workflowpb.WorkflowExecutionInfo{before, second}, cancelled: true}, want: true},
		"the order waits, and continued": {temporal: runs{info: []*workflowpb.WorkflowExecutionInfo{before, unfit}, histories: plain}},
		"it can only be finished":        {temporal: runs{info: []*workflowpb.WorkflowExecutionInfo{before, unfit}, histories: ending(ltp.Cancelled)}, want: true},
	} {
		t.Run(name, func(t *testing.T) {
			c.temporal.t = t
			st, err := New(&c.temporal).Get(t.Context(), "A2")
			require.NoError(t, err)
			assert.Equal(t, c.want, st.CancelRequested)
			assert.Equal(t, ltp.Deferred, st.State)
			assert.Equal(t, ltp.MessagePending, st.Message)
			assert.Equal(t, accepted, st.AcceptedAt, "that of the first run")
			if st.Reason == ltp.ReasonAwaitsProof {
				assert.Empty(t, st.Commitment, "nothing is promised")
			}
		})
	}
}

func TestAcceptanceOfARunThatTemporalHasDeletedIsNotKnown(t *testing.T) {
	temporal := &runs{t: t,
		info:      []*workflowpb.WorkflowExecutionInfo{run("run-2", later, enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil)},
		histories: map[string][]*historypb.HistoryEvent{"run-2": {started(t, ltp.Progress{})}},
	}
	st, err := New(temporal).Get(t.Context(), "A2")
	require.NoError(t, err)
	assert.Zero(t, st.AcceptedAt)
	assert.Equal(t, ltp.Accepted, st.State)
}

// TestOutcomeStandsInTheClosingEvent: an order that was deferred once is marked so for
// ever.
func TestOutcomeStandsInTheClosingEvent(t *testing.T) {
	temporal := &runs{t: t,
		info: []*workflowpb.WorkflowExecutionInfo{run("run-1", accepted, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, waitsFor(t, unstable))},
		histories: map[string][]*historypb.HistoryEvent{"run-1": {
			started(t, ltp.Progress{}),
			completed(t, ltp.Outcome{State: ltp.Executed, Receipt: &ltp.Receipt{Fence: ltp.Fence{State: ltp.Recovering}}}),
		}},
	}
	st, err := New(temporal).Get(t.Context(), "A2")
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, st.State)
	assert.Equal(t, ltp.ReasonRecoveryConfirmed, st.Reason)
	assert.Equal(t, []enumspb.HistoryEventFilterType{enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT}, temporal.read)
}

func TestListingTellsTheStateOfEveryRun(t *testing.T) {
	state := func(s ltp.OrderState) *commonpb.SearchAttributes {
		return &commonpb.SearchAttributes{IndexedFields: map[string]*commonpb.Payload{ltp.StateAttribute: payloadOf(t, s)}}
	}
	for name, c := range map[string]struct {
		status enumspb.WorkflowExecutionStatus
		sa     *commonpb.SearchAttributes
		want   ltp.OrderState
	}{
		"new":                       {status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, want: ltp.Accepted},
		"waiting":                   {status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, sa: waitsFor(t, unstable), want: ltp.Deferred},
		"paused in Temporal":        {status: enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED, sa: waitsFor(t, unstable), want: ltp.Deferred},
		"continued":                 {status: enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, sa: waitsFor(t, unstable), want: ltp.Deferred},
		"parked":                    {status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, sa: waitsFor(t, parked), want: ltp.Parked},
		"parked, and continued":     {status: enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, sa: waitsFor(t, parked), want: ltp.Parked},
		"parked, retried, executed": {status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, sa: waitsFor(t, parked), want: ltp.Executed},
		"parked, and cancelled":     {status: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, sa: waitsFor(t, parked), want: ltp.Cancelled},
		"continued, never deferred": {status: enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW, want: ltp.Accepted},
		"executed":                  {status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, want: ltp.Executed},
		"executed after a wait":     {status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, sa: waitsFor(t, unstable), want: ltp.Executed},
		"rejected":                  {status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, sa: state(ltp.Rejected), want: ltp.Rejected},
		"expired":                   {status: enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, sa: state(ltp.Expired), want: ltp.Expired},
		"cancelled":                 {status: enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED, sa: waitsFor(t, unproven), want: ltp.Cancelled},
		"ended by force":            {status: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, want: ltp.Terminated},
		"its workflow failed":       {status: enumspb.WORKFLOW_EXECUTION_STATUS_FAILED, want: ltp.Terminated},
	} {
		t.Run(name, func(t *testing.T) {
			st, err := statusOfListing(run("run-1", accepted, c.status, c.sa))
			require.NoError(t, err)
			assert.Equal(t, c.want, st.State)
			assert.Equal(t, c.want.Message(), st.Message)
		})
	}
}

// page is a Temporal that lists the same page to everybody.
type page struct {
	client.Client
	executions []*workflowpb.WorkflowExecutionInfo
	queries    []string
}

func (p *page) ListWorkflow(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	p.queries = append(p.queries, r.GetQuery())
	return &workflowservice.ListWorkflowExecutionsResponse{Executions: p.executions}, nil
}

// TestOrderThatContinuedIsListedOnce: by its latest run, however late the visibility store
// learns that the one before has closed.
func TestOrderThatContinuedIsListedOnce(t *testing.T) {
	const running, asNew = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW
	latest := run("run-3", later, running, waitsFor(t, unstable))
	p := &page{executions: []*workflowpb.WorkflowExecutionInfo{
		latest, run("run-2", accepted.Add(time.Minute), running, nil), run("run-1", accepted, asNew, nil),
	}}
	found, err := New(p).List(t.Context(), Filter{})
	require.NoError(t, err)
	require.Len(t, found.Orders, 1)
	assert.Equal(t, ltp.Deferred, found.Orders[0].State)
	waiting, err := New(p).Waiting(t.Context(), Selector{}, 10)
	require.NoError(t, err)
	assert.Equal(t, found.Orders, waiting)
	assert.Contains(t, p.queries[0], "ExecutionStatus!='ContinuedAsNew'")
	assert.Contains(t, p.queries[1], "ExecutionStatus='Running'")
}
