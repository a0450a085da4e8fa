package trace_test

import (
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/trace/tracetest"
)

// day is the day of the incident in the tests.
func day(clock string) time.Time {
	t, err := time.Parse("2006-01-02 15:04:05", "2024-05-20 "+clock)
	if err != nil {
		panic(err)
	}
	return t
}

// history builds the history of a run as the server writes it.
type history struct {
	events []*historypb.HistoryEvent
	now    time.Time
	id     string // workflow ID
	run    string
	task   int64 // the last WorkflowTaskCompleted
}

// at moves the clock.
func (h *history) at(t time.Time) *history { h.now = t; return h }

// after moves the clock on.
func (h *history) after(d time.Duration) *history { h.now = h.now.Add(d); return h }

// add appends an event; its attributes are set by the caller.
func (h *history) add(t enumspb.EventType) *historypb.HistoryEvent {
	e := &historypb.HistoryEvent{EventId: int64(len(h.events) + 1), EventTime: timestamppb.New(h.now), EventType: t}
	h.events = append(h.events, e)
	return e
}

func (h *history) started(workflowType string, continued string, input any) {
	h.add(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED).Attributes = &historypb.HistoryEvent_WorkflowExecutionStartedEventAttributes{
		WorkflowExecutionStartedEventAttributes: &historypb.WorkflowExecutionStartedEventAttributes{
			WorkflowType: &commonpb.WorkflowType{Name: workflowType}, WorkflowId: h.id,
			OriginalExecutionRunId: h.run, FirstExecutionRunId: h.run, ContinuedExecutionRunId: continued, Input: payloads(input),
		}}
}

// work is a workflow task that a worker does.
func (h *history) work() *history {
	h.add(enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED).Attributes = &historypb.HistoryEvent_WorkflowTaskScheduledEventAttributes{
		WorkflowTaskScheduledEventAttributes: &historypb.WorkflowTaskScheduledEventAttributes{}}
	h.add(enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED).Attributes = &historypb.HistoryEvent_WorkflowTaskStartedEventAttributes{
		WorkflowTaskStartedEventAttributes: &historypb.WorkflowTaskStartedEventAttributes{}}
	e := h.after(time.Millisecond).add(enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED)
	e.Attributes = &historypb.HistoryEvent_WorkflowTaskCompletedEventAttributes{
		WorkflowTaskCompletedEventAttributes: &historypb.WorkflowTaskCompletedEventAttributes{}}
	h.task = e.EventId
	return h
}

func (h *history) signal(name string, input any) *history {
	h.add(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED).Attributes = &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
		WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{
			SignalName: name, Input: payloads(input), Identity: "ltp@node-1",
		}}
	return h
}

func (h *history) fires() *history {
	h.add(enumspb.EVENT_TYPE_TIMER_FIRED).Attributes = &historypb.HistoryEvent_TimerFiredEventAttributes{
		TimerFiredEventAttributes: &historypb.TimerFiredEventAttributes{}}
	return h
}

func (h *history) scheduled(activity string, input any) int64 {
	e := h.add(enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
	e.Attributes = &historypb.HistoryEvent_ActivityTaskScheduledEventAttributes{
		ActivityTaskScheduledEventAttributes: &historypb.ActivityTaskScheduledEventAttributes{
			ActivityType: &commonpb.ActivityType{Name: activity}, Input: payloads(input), WorkflowTaskCompletedEventId: h.task,
		}}
	return e.EventId
}

// picked is the start of an activity: the server writes it when the activity ends.
func (h *history) picked(scheduled int64, worker string) {
	h.add(enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED).Attributes = &historypb.HistoryEvent_ActivityTaskStartedEventAttributes{
		ActivityTaskStartedEventAttributes: &historypb.ActivityTaskStartedEventAttributes{ScheduledEventId: scheduled, Identity: worker, Attempt: 1}}
}

func (h *history) activityDone(scheduled int64, result any) {
	h.picked(scheduled, "4711@node-1")
	h.add(enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED).Attributes = &historypb.HistoryEvent_ActivityTaskCompletedEventAttributes{
		ActivityTaskCompletedEventAttributes: &historypb.ActivityTaskCompletedEventAttributes{ScheduledEventId: scheduled, Result: payloads(result)}}
}

func (h *history) activityTimedOut(scheduled int64, kind enumspb.TimeoutType, beat any) {
	if kind != enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START {
		h.picked(scheduled, "4712@node-2")
	}
	info := &failurepb.TimeoutFailureInfo{TimeoutType: kind}
	if beat != nil {
		info.LastHeartbeatDetails = payloads(beat)
	}
	h.add(enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT).Attributes = &historypb.HistoryEvent_ActivityTaskTimedOutEventAttributes{
		ActivityTaskTimedOutEventAttributes: &historypb.ActivityTaskTimedOutEventAttributes{
			ScheduledEventId: scheduled, Failure: &failurepb.Failure{FailureInfo: &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: info}},
		}}
}

func (h *history) terminated(why string) {
	h.add(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED).Attributes = &historypb.HistoryEvent_WorkflowExecutionTerminatedEventAttributes{
		WorkflowExecutionTerminatedEventAttributes: &historypb.WorkflowExecutionTerminatedEventAttributes{Reason: why, Identity: "ops@desk"}}
}

func (h *history) continuedAsNew(run string, input any) {
	h.add(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW).Attributes = &historypb.HistoryEvent_WorkflowExecutionContinuedAsNewEventAttributes{
		WorkflowExecutionContinuedAsNewEventAttributes: &historypb.WorkflowExecutionContinuedAsNewEventAttributes{WorkflowTaskCompletedEventId: h.task, NewExecutionRunId: run, Input: payloads(input)}}
}

// reset makes of the history so far that of a run which was reset from it.
func (h *history) reset(run string) *history {
	copied := &history{now: h.now, id: h.id, run: run, task: h.task, events: append([]*historypb.HistoryEvent(nil), h.events...)}
	copied.add(enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED).Attributes = &historypb.HistoryEvent_WorkflowTaskFailedEventAttributes{
		WorkflowTaskFailedEventAttributes: &historypb.WorkflowTaskFailedEventAttributes{
			Cause: enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW, BaseRunId: h.run, NewRunId: run,
			Failure: &failurepb.Failure{Message: "try again"},
		}}
	return copied
}

func payloads(v any) *commonpb.Payloads {
	if v == nil {
		return nil
	}
	p, err := converter.GetDefaultDataConverter().ToPayloads(v)
	if err != nil {
		panic(err)
	}
	return p
}

// order is the history of an order.
type order = tracetest.Order

// newOrder is an order that the door accepted under STABLE, epoch 3.
func newOrder(id string, at time.Time) *order { return accepted(ordertest.New(id), at, ltp.Stable, 3) }

// accepted is an order that the door accepted under a state, as everybody holds true.
func accepted(o ltp.Order, at time.Time, s ltp.State, epoch int64) *order {
	p := ltp.NewProgress(o, ltp.Execution{}, ltp.Stamp{Epoch: epoch, State: s}, nil)
	return tracetest.New(p, at).Hold(s, epoch)
}

// deferred is an order that came while the component was in a state in which it waits.
func deferred(id string, at time.Time, s ltp.State, epoch int64) *order {
	return accepted(ordertest.New(id), at, s, epoch).Work()
}

// released is o after the replay engine released it.
func released(o *order, s ltp.State, epoch int64) *order {
	return o.Hold(s, epoch).Release(s, epoch).Work()
}

// inLine is an order that does not have its turn yet.
func inLine(id string, at time.Time, s ltp.State, epoch int64) *order {
	o := ordertest.New(id)
	o.OrderingKey = "c-17"
	return accepted(o, at, s, epoch).Work()
}

// external is an order that an activity of the user's executes.
func external(id string, at time.Time, s ltp.State, epoch int64) *order {
	p := ltp.NewProgress(ordertest.New(id), ltp.Execution{Activity: "Sell", TaskQueue: "shop"}, ltp.Stamp{}, nil)
	return tracetest.New(p, at).Hold(s, epoch).Work()
}

// component builds the history of a component's orientation.
type component struct {
	history
	ltp.Orientation
	runs     []*historypb.HistoryEvent // of earlier runs
	watching int64
	applied  []string // the Updates that the next run knows of
}

func newComponent(at time.Time) *component {
	c := &component{history: history{id: "orientation/orders-db", run: "run-1", now: at}}
	c.started(ltp.OrientationWorkflow, "", map[string]any{"component": "orders-db", "policy": ltp.DefaultPolicy()})
	c.work()
	c.Orientation = ltp.Orientation{Component: "orders-db"}
	c.enters(ltp.Unknown, "never observed")
	c.watches()
	return c
}

func (c *component) after(d time.Duration) *component { c.history.after(d); return c }

// all are the events of all runs.
func (c *component) all() []*historypb.HistoryEvent {
	return append(append([]*historypb.HistoryEvent(nil), c.runs...), c.events...)
}

func (c *component) watches() {
	c.watching = c.scheduled("Observe", map[string]string{"component": "orders-db"})
}

// enters publishes a new state.
func (c *component) enters(s ltp.State, reason string) *component {
	c.State, c.Reason, c.Since, c.Evidence, c.Observer = s, reason, c.now.UTC(), ltp.Evidence{}, ""
	c.Epoch++
	if s.Fit() {
		c.LastFit = c.Epoch
	}
	return c.publishes()
}

// publishes puts the orientation into the memo.
func (c *component) publishes() *component {
	p, err := converter.GetDefaultDataConverter().ToPayload(c.Orientation)
	if err != nil {
		panic(err)
	}
	return c.memo(ltp.OrientationMemo, p)
}

// memo upserts a field of the memo.
func (c *component) memo(field string, p *commonpb.Payload) *component {
	c.add(enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED).Attributes = &historypb.HistoryEvent_WorkflowPropertiesModifiedEventAttributes{
		WorkflowPropertiesModifiedEventAttributes: &historypb.WorkflowPropertiesModifiedEventAttributes{
			WorkflowTaskCompletedEventId: c.task, UpsertedMemo: &commonpb.Memo{Fields: map[string]*commonpb.Payload{field: p}},
		}}
	return c
}

// seen is an observation.
func (c *component) seen(by string, v ltp.Verdict, reason string) *component {
	c.signal(ltp.ObservationSignal, ltp.Observation{Component: "orders-db", Verdict: v, Reason: reason, Observer: by, At: c.now})
	c.work()
	return c
}

// falls is an observation that makes the component UNSTABLE.
func (c *component) falls(by, reason string, e ltp.Evidence) *component {
	c.seen(by, ltp.Unhealthy, reason)
	c.State, c.Reason, c.Since, c.Evidence, c.Observer = ltp.Unstable, reason, c.now.UTC(), e, by
	c.Epoch++
	return c.publishes()
}

// replays is the start of a Replay.
func (c *component) replays() int64 {
	id := ltp.ReplayWorkflowID("orders-db", c.Epoch)
	e := c.add(enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED)
	e.Attributes = &historypb.HistoryEvent_StartChildWorkflowExecutionInitiatedEventAttributes{
		StartChildWorkflowExecutionInitiatedEventAttributes: &historypb.StartChildWorkflowExecutionInitiatedEventAttributes{
			WorkflowTaskCompletedEventId: c.task,
			WorkflowId:                   id, WorkflowType: &commonpb.WorkflowType{Name: ltp.ReplayWorkflow},
		}}
	c.after(time.Millisecond).add(enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED).Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionStartedEventAttributes{
		ChildWorkflowExecutionStartedEventAttributes: &historypb.ChildWorkflowExecutionStartedEventAttributes{
			InitiatedEventId: e.EventId, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: "replay-run"},
		}}
	c.work()
	return e.EventId
}

func (c *component) replayed(initiated int64, id string, released, passes int) {
	c.add(enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED).Attributes = &historypb.HistoryEvent_ChildWorkflowExecutionCompletedEventAttributes{
		ChildWorkflowExecutionCompletedEventAttributes: &historypb.ChildWorkflowExecutionCompletedEventAttributes{
			InitiatedEventId: initiated, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: id},
			Result: payloads(map[string]int{"released": released, "passes": passes}),
		}}
	c.work()
}

// drained declares the component STABLE.
func (c *component) drained() *component {
	c.signal(ltp.DrainedSignal, c.Epoch)
	c.work()
	return c.enters(ltp.Stable, "Deferred backlog drained")
}

// update is an operator's word.
func (c *component) update(name string, args any) *component {
	c.work()
	c.add(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED).Attributes = &historypb.HistoryEvent_WorkflowExecutionUpdateAcceptedEventAttributes{
		WorkflowExecutionUpdateAcceptedEventAttributes: &historypb.WorkflowExecutionUpdateAcceptedEventAttributes{
			ProtocolInstanceId: "update-1", AcceptedRequest: &updatepb.Request{
				Meta: &updatepb.Meta{UpdateId: "update-1"}, Input: &updatepb.Input{Name: name, Args: payloads(args)},
			},
		}}
	return c
}

func (c *component) updated() *component {
	c.add(enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED).Attributes = &historypb.HistoryEvent_WorkflowExecutionUpdateCompletedEventAttributes{
		WorkflowExecutionUpdateCompletedEventAttributes: &historypb.WorkflowExecutionUpdateCompletedEventAttributes{}}
	return c
}

// continues ends the run and begins the next.
func (c *component) continues(run string) *component {
	input := map[string]any{
		"component": "orders-db", "policy": ltp.DefaultPolicy(),
		"continued": ltp.Condition{Orientation: c.Orientation, Last: ltp.Observation{Verdict: ltp.Healthy, Observer: "observer-1"}},
	}
	if c.applied != nil {
		input["applied"] = c.applied
	}
	c.continuedAsNew(run, input)
	before := c.run
	c.runs = append(c.runs, c.events...)
	c.history = history{id: c.id, run: run, now: c.now}
	c.started(ltp.OrientationWorkflow, before, input)
	c.work()
	c.watches()
	return c
}

// must ends the test on an error.
func must[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
