package trace

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	updatepb "go.temporal.io/api/update/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/ltp-node/ltp"
)

// DamageError says that a history cannot be relied on, and from which event on.
// There are no frames of a damaged history: a trace with a hole in it would prove
// nothing.
type DamageError struct {
	WorkflowID string
	RunID      string
	// EventID is the event that cannot be read, does not belong, or follows on
	// something that is missing; 0 when there is no event at all.
	EventID int64
	Err     error
}

func (e *DamageError) Error() string {
	if e.WorkflowID == "" {
		return fmt.Sprintf("history damaged at event %d: %v", e.EventID, e.Err)
	}
	return fmt.Sprintf("history of %s damaged at event %d: %v", e.WorkflowID, e.EventID, e.Err)
}

func (e *DamageError) Unwrap() error { return e.Err }

// ReadJSON reads the events of a history that Temporal's tools and UI exported as
// JSON.
func ReadJSON(r io.Reader) ([]*historypb.HistoryEvent, error) {
	h, err := client.HistoryFromJSON(r, client.HistoryJSONOptions{})
	if err != nil {
		return nil, fmt.Errorf("read exported history: %w", err)
	}
	return h.GetEvents(), nil
}

// run is the history of one workflow run, from its first event on. The last event
// closes it, or the run is still going on as far as this history knows.
type run struct {
	workflowID string
	runID      string
	started    *historypb.WorkflowExecutionStartedEventAttributes
	// base is the run that this one was reset from, and resetAt the event before which
	// all events are copies of that run's; both are zero for other runs.
	base    string
	resetAt int64
	events  []*historypb.HistoryEvent
}

// openRun checks that events are one run of a workflow of the given type: whole,
// in order, each event of a shape that goes with its type.
func openRun(workflowType string, events []*historypb.HistoryEvent) (run, error) {
	if len(events) == 0 {
		return run{}, &DamageError{Err: errors.New("it has no events")}
	}
	s := events[0].GetWorkflowExecutionStartedEventAttributes()
	r := run{
		workflowID: s.GetWorkflowId(), runID: s.GetOriginalExecutionRunId(),
		started: s, events: events,
	}
	ended := false
	var task tasks
	for i, e := range events {
		if e == nil {
			e = &historypb.HistoryEvent{EventId: int64(i + 1)}
		}
		if err := sound(e, int64(i+1)); err != nil {
			return run{}, r.damaged(e, err)
		}
		if err := task.follow(e); err != nil {
			return run{}, r.damaged(e, err)
		}
		t := e.GetEventType()
		switch first := t == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED; {
		case ended:
			return run{}, r.damaged(e, errors.New("it follows the event that closed the run"))
		case i == 0 && !first:
			return run{}, r.damaged(e, errors.New("it should be the start of a workflow"))
		case i > 0 && first:
			return run{}, r.damaged(e, errors.New("a run starts once"))
		}
		// Of a run that was reset, the history before is a copy of the run it was reset
		// from, and only this event holds the run's own ID.
		if f := e.GetWorkflowTaskFailedEventAttributes(); f.GetCause() == enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW {
			r.base, r.resetAt = f.GetBaseRunId(), e.GetEventId()
			if id := f.GetNewRunId(); id != "" {
				r.runID = id
			}
		}
		ended = closes(t)
	}
	if name := s.GetWorkflowType().GetName(); name != workflowType {
		return run{}, r.damaged(events[0], fmt.Errorf("the workflow is of type %q, not %s", name, workflowType))
	}
	return r, nil
}

// resetAt is when the run was reset from another one, for the last time; false where it
// was not.
func resetAt(events []*historypb.HistoryEvent) (when time.Time, reset bool) {
	for _, e := range events {
		if e.GetWorkflowTaskFailedEventAttributes().GetCause() == enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW {
			when, reset = at(e), true
		}
	}
	return when, reset
}

// sound checks one event by itself.
func sound(e *historypb.HistoryEvent, id int64) error {
	switch {
	case e.GetEventId() != id:
		return fmt.Errorf("event %d is missing", id)
	case e.GetEventTime().CheckValid() != nil || e.GetEventTime().AsTime().Unix() <= 0:
		return errors.New("it has no time")
	case e.GetAttributes() == nil:
		return fmt.Errorf("%s has no content", e.GetEventType())
	case e.GetWorkerMayIgnore():
		return nil
	}
	if want := attributesOf(e.GetEventType()); want != contentOf(e) {
		return fmt.Errorf("%s has the content of %q", e.GetEventType(), contentOf(e))
	}
	return nil
}

// attributesOf is the name of the field that holds the content of an event of type
// t, by the naming rule of Temporal's API.
func attributesOf(t enumspb.EventType) string {
	v := t.Descriptor().Values().ByNumber(t.Number())
	if v == nil {
		return ""
	}
	name := strings.TrimPrefix(string(v.Name()), "EVENT_TYPE_")
	return strings.ToLower(name) + "_event_attributes"
}

func contentOf(e *historypb.HistoryEvent) string {
	if field := content(e); field != nil {
		return string(field.Name())
	}
	return ""
}

func content(e *historypb.HistoryEvent) protoreflect.FieldDescriptor {
	m := e.ProtoReflect()
	return m.WhichOneof(m.Descriptor().Oneofs().ByName("attributes"))
}

// tasks follows the workflow tasks of a run.
type tasks struct {
	open bool
	done int64 // the event that completed the latest
}

// follow checks that what a worker did in a workflow task stands behind the event
// that completed the task, before the next.
func (t *tasks) follow(e *historypb.HistoryEvent) error {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
		t.open = true
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
		t.open = false
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
		if !t.open {
			return errors.New("no workflow task is under way")
		}
		t.open, t.done = false, e.GetEventId()
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: // the server may do that by itself
	default:
		if by, ok := doneIn(e); ok && (t.open || by != t.done) {
			return fmt.Errorf("it belongs behind event %d, and the last workflow task before it is that of event %d", by, t.done)
		}
	}
	return nil
}

// doneIn is the event that completed the workflow task in which a worker did what e says;
// false where it is not a worker's doing.
func doneIn(e *historypb.HistoryEvent) (completed int64, ok bool) {
	field := content(e)
	if field == nil || field.Message() == nil {
		return 0, false
	}
	of := field.Message().Fields().ByName("workflow_task_completed_event_id")
	if of == nil {
		return 0, false
	}
	return e.ProtoReflect().Get(field).Message().Get(of).Int(), true
}

func (r run) damaged(e *historypb.HistoryEvent, err error) error {
	return &DamageError{WorkflowID: r.workflowID, RunID: r.runID, EventID: e.GetEventId(), Err: err}
}

func (r run) source(e *historypb.HistoryEvent) ltp.Source {
	return ltp.Source{WorkflowID: r.workflowID, RunID: r.runID, EventID: e.GetEventId()}
}

// request is what an Update asks that was accepted.
func (r run) request(e *historypb.HistoryEvent) *updatepb.Request {
	a := e.GetWorkflowExecutionUpdateAcceptedEventAttributes()
	if request := a.GetAcceptedRequest(); request != nil {
		return request
	}
	for _, before := range r.events { // it was admitted before
		if request := before.GetWorkflowExecutionUpdateAdmittedEventAttributes().GetRequest(); request.GetMeta().GetUpdateId() == a.GetProtocolInstanceId() && request != nil {
			return request
		}
	}
	return nil
}

func (r run) last() *historypb.HistoryEvent { return r.events[len(r.events)-1] }

// closes reports whether an event of type t ends its run.
func closes(t enumspb.EventType) bool {
	return slices.Contains([]enumspb.EventType{
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED,
		enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW,
	}, t)
}

// silent reports whether an event is known to say nothing about orders or
// orientation: how workflow tasks are handed out, timers, and the index of
// deferred orders.
func silent(e *historypb.HistoryEvent) bool {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED,
		enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED,
		enumspb.EVENT_TYPE_TIMER_STARTED, enumspb.EVENT_TYPE_TIMER_FIRED, enumspb.EVENT_TYPE_TIMER_CANCELED,
		enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCEL_REQUESTED:
		return true
	}
	switch e.GetMarkerRecordedEventAttributes().GetMarkerName() {
	case "Version", "SideEffect", "MutableSideEffect": // the SDK's own, of workflow.GetVersion and the like
		return true
	}
	return e.GetWorkerMayIgnore()
}

// touched notes what an operator did to a workflow in Temporal itself, and false
// for other events.
func (r run) touched(e *historypb.HistoryEvent) (Note, bool) {
	n := Note{At: at(e), Kind: NoteOperator, Source: r.source(e)}
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED:
		f := e.GetWorkflowTaskFailedEventAttributes()
		if f.GetCause() != enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW {
			return Note{}, false
		}
		n.Text = because("the workflow was reset to this point in Temporal", f.GetFailure().GetMessage())
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_PAUSED:
		a := e.GetWorkflowExecutionPausedEventAttributes()
		n.By, n.Text = a.GetIdentity(), because("the workflow was paused in Temporal", a.GetReason())
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UNPAUSED:
		a := e.GetWorkflowExecutionUnpausedEventAttributes()
		n.By, n.Text = a.GetIdentity(), because("the workflow was unpaused in Temporal", a.GetReason())
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_OPTIONS_UPDATED:
		n.By, n.Text = e.GetWorkflowExecutionOptionsUpdatedEventAttributes().GetIdentity(), "the workflow's options were changed in Temporal"
	default:
		return Note{}, false
	}
	return n, true
}

func because(what, why string) string {
	if why == "" {
		return what
	}
	return what + ": " + why
}

// attributes are the content of an event that has some.
func attributes(e *historypb.HistoryEvent) any {
	return e.ProtoReflect().Get(content(e)).Message().Interface()
}

// scheduledBy is the event that scheduled the activity that e speaks of; 0 where it speaks
// of none.
func scheduledBy(e *historypb.HistoryEvent) int64 {
	if a, ok := attributes(e).(interface{ GetScheduledEventId() int64 }); ok {
		return a.GetScheduledEventId()
	}
	return 0
}
