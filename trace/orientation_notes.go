package trace

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/payload"
)

// observed notes an observation that has no frame of its own: that of a
// new observer, and what is seen while the component has not yet left UNSTABLE.
func (o *orientationReader) observed(e *historypb.HistoryEvent, seen ltp.Observation) {
	what := ""
	switch {
	case o.observer == "":
		what = "observes"
	case seen.Observer != o.observer:
		what = fmt.Sprintf("took over from %s", o.observer)
	case o.gone:
		what = "is back"
	}
	o.observer, o.gone = seen.Observer, false
	if what == "" && o.now.State != ltp.Unstable {
		return
	}
	if what != "" {
		what += ", and "
	}
	o.note(e, NoteObserver, seen.Observer, because(what+"sees "+string(seen.Verdict), seen.Reason))
}

// updated notes an operator's Update. What the workflow refused is not in its history.
func (o *orientationReader) updated(e *historypb.HistoryEvent) error {
	if err := o.settled(); err != nil {
		return err
	}
	request := o.request(e)
	if slices.Contains(o.applied, request.GetMeta().GetUpdateId()) {
		return nil // Temporal delivered it again to this run, which only answers
	}
	switch in := request.GetInput(); in.GetName() {
	case ltp.HoldUpdate:
		var h ltp.Hold
		if err := Decode(in.GetArgs(), &h); err != nil {
			return fmt.Errorf("the hold: %w", err)
		}
		what := "held the component"
		if h.Freeze {
			what = "held the component and froze intake"
		}
		if !h.Until.IsZero() {
			what += " until " + h.Until.UTC().Format(time.DateTime) + " UTC"
		}
		o.due = ltp.OrientationMemo
		o.note(e, NoteHold, h.By, because(what, h.Why))
	case ltp.ReleaseUpdate:
		var r ltp.Release
		if err := Decode(in.GetArgs(), &r); err != nil {
			return fmt.Errorf("the release: %w", err)
		}
		o.due = ltp.OrientationMemo
		what := "released the component"
		if r.All {
			what = "released the component from all holds"
		}
		o.note(e, NoteRelease, r.By, because(what, r.Why))
	case ltp.ReplayControlUpdate:
		var w ltp.ReplayControlChange
		if err := Decode(in.GetArgs(), &w); err != nil {
			return fmt.Errorf("the replay control: %w", err)
		}
		o.due = ltp.ReplayControlMemo
		o.note(e, NoteReplayControl, w.By, because(w.String(), w.Why))
	case ltp.PolicyUpdate:
		var w ltp.PolicyChange
		if err := Decode(in.GetArgs(), &w); err != nil {
			return fmt.Errorf("the policy: %w", err)
		}
		o.due = ltp.PolicyMemo
		o.note(e, NotePolicy, w.By, because(w.String(), w.Why))
	default:
		return fmt.Errorf("update %q is none that an orientation accepts", in.GetName())
	}
	return nil
}

// replayControlSet reads what an operator's change of the ReplayControl led to. It is no frame: the
// note of the Update says it.
func (o *orientationReader) replayControlSet(p *commonpb.Payload) error {
	var s ltp.ReplayControl
	if err := payload.Converter().FromPayload(p, &s); err != nil {
		return fmt.Errorf("the replay control: %w", err)
	}
	if o.due != ltp.ReplayControlMemo {
		return errors.New("the replay control changed, and no operator asked for it")
	}
	o.due = ""
	return nil
}

// policySet reads what an operator's change of the policy led to. It is no frame either.
func (o *orientationReader) policySet(p *commonpb.Payload) error {
	var policy ltp.Policy
	if err := payload.Converter().FromPayload(p, &policy); err != nil {
		return err
	}
	if o.due != ltp.PolicyMemo {
		return errors.New("the policy is changed, and no operator asked for it")
	}
	o.due = ""
	return nil
}

// failing notes the failed writes of orders that count against the component.
func (o *orientationReader) failing(e *historypb.HistoryEvent, by string, w ltp.FailedWrites) {
	if !o.now.State.Fit() || w.Epoch != o.now.Epoch || len(w.Orders) == 0 {
		return
	}
	what := words.Plural(len(w.Orders), "order") + " failed"
	if w.Setback {
		what = "canaries failed"
	}
	o.note(e, NoteFailing, cmp.Or(w.Worker, by), because(what, w.Orders[len(w.Orders)-1].String()))
}

// watched reads how Observe goes on.
func (o *orientationReader) watched(e *historypb.HistoryEvent) (known bool, err error) {
	scheduled := scheduledBy(e)
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		if name := e.GetActivityTaskScheduledEventAttributes().GetActivityType().GetName(); name != observe {
			return true, fmt.Errorf("activity %q is none that an orientation runs", name)
		}
		o.watchers[e.GetEventId()] = ""
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
		if _, ok := o.watchers[scheduled]; !ok {
			return true, notUnderWay(scheduled)
		}
		o.watchers[scheduled] = e.GetActivityTaskStartedEventAttributes().GetIdentity()
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		var handover ltp.Handover
		if err := Decode(e.GetActivityTaskCompletedEventAttributes().GetResult(), &handover); err != nil {
			return true, fmt.Errorf("the handover: %w", err)
		}
		return true, o.unwatched(e, scheduled, handover.Observer, because("handed over", handover.Why))
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED:
		return true, o.unwatched(e, scheduled, "", because("observing failed", e.GetActivityTaskFailedEventAttributes().GetFailure().GetMessage()))
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
		return true, o.unwatched(e, scheduled, "", "")
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
		timeout := e.GetActivityTaskTimedOutEventAttributes().GetFailure().GetTimeoutFailureInfo()
		switch timeout.GetTimeoutType() {
		case enumspb.TIMEOUT_TYPE_HEARTBEAT:
			var last ltp.Heartbeat
			_ = Decode(timeout.GetLastHeartbeatDetails(), &last) // it may have died before its first
			return true, o.unwatched(e, scheduled, last.Observer, "is lost: its heartbeats stopped")
		case enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START:
			return true, o.unwatched(e, scheduled, "", "no observer took over in time")
		case enumspb.TIMEOUT_TYPE_START_TO_CLOSE: // its day is over, and it is asked again
			return true, o.unwatched(e, scheduled, "", "")
		}
		return true, fmt.Errorf("observing ended by a timeout of type %s", timeout.GetTimeoutType())
	default:
		return false, nil
	}
	return true, nil
}

// unwatched notes that an Observe ended; without text there is nothing to note.
func (o *orientationReader) unwatched(e *historypb.HistoryEvent, scheduled int64, by, text string) error {
	worker, ok := o.watchers[scheduled]
	if !ok {
		return notUnderWay(scheduled)
	}
	delete(o.watchers, scheduled)
	if text == "" {
		return nil
	}
	o.gone = true
	if by == "" {
		by = worker
	}
	o.note(e, NoteLost, by, text)
	return nil
}

func notUnderWay(scheduled int64) error {
	return fmt.Errorf("it speaks of an activity of event %d, and none of that event is under way", scheduled)
}

// replayed notes how the replay engine begins and ends.
func (o *orientationReader) replayed(e *historypb.HistoryEvent) (known bool, err error) {
	text := ""
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
		a := e.GetStartChildWorkflowExecutionInitiatedEventAttributes()
		if name := a.GetWorkflowType().GetName(); name != ltp.ReplayWorkflow {
			return true, fmt.Errorf("workflow %q is none that an orientation starts", name)
		}
		return true, nil
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_FAILED:
		a := e.GetStartChildWorkflowExecutionFailedEventAttributes()
		o.note(e, NoteReplay, "", fmt.Sprintf("%s was not started (%s): orders wait for their backstop", a.GetWorkflowId(), a.GetCause()))
		return true, nil
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_STARTED:
		text = "picks up the deferred orders"
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_COMPLETED:
		var report ltp.ReleaseReport
		if err := Decode(e.GetChildWorkflowExecutionCompletedEventAttributes().GetResult(), &report); err != nil {
			return true, fmt.Errorf("the report of the replay: %w", err)
		}
		text = fmt.Sprintf("released %s in %s", words.Plural(report.Released, "order"), words.Plural(report.Passes, "sweep"))
		if report.MovedOn {
			text += ", and stopped because the orientation moved on"
		}
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_FAILED:
		text = because("failed", e.GetChildWorkflowExecutionFailedEventAttributes().GetFailure().GetMessage())
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_CANCELED:
		text = "was cancelled in Temporal"
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TIMED_OUT:
		text = "timed out"
	case enumspb.EVENT_TYPE_CHILD_WORKFLOW_EXECUTION_TERMINATED:
		text = "was ended by force in Temporal"
	default:
		return false, nil
	}
	child := attributes(e).(interface {
		GetWorkflowExecution() *commonpb.WorkflowExecution
	}).GetWorkflowExecution()
	o.note(e, NoteReplay, "", child.GetWorkflowId()+" "+text)
	return true, nil
}
