package trace

import (
	"errors"
	"fmt"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
)

// read takes in one event, the ith of its run.
func (o *orderReader) read(i int, e *historypb.HistoryEvent) error {
	switch part := isAnswer(e); {
	case o.answering && !part: // the answer to the workflow task ends here
		o.answering = false
		if err := o.answered(); err != nil {
			return err
		}
	case part && !o.answering && e.GetEventType() != enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED: // that the server may do by itself
		return errors.New("it belongs to the answer to a workflow task, and does not stand behind one")
	}
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
		if o.beating && at(e).Sub(o.didAt) > beat {
			return fmt.Errorf("%s is missing: it was due by event %d", o.wanted[0].kind, o.did)
		}
		o.beating = false
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED:
		o.task = task{id: e.GetEventId(), at: at(e), worker: e.GetWorkflowTaskStartedEventAttributes().GetIdentity()}
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
		o.answering, o.did, o.didAt = true, e.GetEventId(), at(e)
		return o.worked(i)
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
		if e.GetWorkflowTaskTimedOutEventAttributes().GetTimeoutType() != enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START { // that one no worker took
			o.lost(e, "TIMED_OUT")
		}
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED:
		if cause := e.GetWorkflowTaskFailedEventAttributes().GetCause(); cause != enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW {
			o.lost(e, cause.String())
		}
		return o.other(e)
	case enumspb.EVENT_TYPE_TIMER_STARTED:
		return o.alarm.start(e.GetTimerStartedEventAttributes().GetTimerId())
	case enumspb.EVENT_TYPE_TIMER_CANCELED:
		if id := e.GetTimerCanceledEventAttributes().GetTimerId(); o.alarm.replaces == "" || id != o.alarm.replaces {
			return fmt.Errorf("timer %q is cancelled, and the order has no reason to", id)
		}
		o.alarm.replaces = ""
	case enumspb.EVENT_TYPE_TIMER_FIRED:
		if id := e.GetTimerFiredEventAttributes().GetTimerId(); id != o.alarm.id || o.alarm.wanted || o.alarm.at.IsZero() {
			return fmt.Errorf("timer %q fires, and none of that name is under way", id)
		}
		o.alarm.fired = true
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		o.signalled(e)
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
		a := e.GetWorkflowExecutionCancelRequestedEventAttributes()
		o.inbox.Cancelled = true
		o.note(e, NoteCancel, a.GetIdentity(), because("asked to cancel the order", a.GetCause()))
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
		if o.taken != e.GetEventId() {
			return errors.New("an Update is accepted, and the order does not wait for one")
		}
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
		if !o.answer {
			return errors.New("an Update is answered, and the order has no answer")
		}
		o.answer = false
	case enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED:
		_, err := o.take(parking)
		return err
	case enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES:
		_, err := o.take(upsert)
		return err
	case enumspb.EVENT_TYPE_MARKER_RECORDED:
		if !silent(e) {
			return o.marker(i, e)
		}
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
		return o.continues(e)
	default:
		return o.other(e)
	}
	return nil
}

// other takes in an event of an activity of the user's, of an operator, or of the end.
func (o *orderReader) other(e *historypb.HistoryEvent) error {
	if known, err := o.external(e); known || err != nil {
		return err
	}
	if n, ok := o.touched(e); ok {
		o.Notes = append(o.Notes, n)
		return nil
	}
	if end, ok, err := outcome(e); err != nil {
		return err
	} else if ok {
		return o.end(e, end)
	}
	if !silent(e) {
		return fmt.Errorf("%s has no place in the history of an order", e.GetEventType())
	}
	return nil
}

// isAnswer reports whether an event is part of a worker's answer to a workflow task.
func isAnswer(e *historypb.HistoryEvent) bool {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
		return true
	}
	_, ok := doneIn(e)
	return ok
}

// signalled keeps what a signal brings for when the order takes it in. What it cannot read
// it drops, and it does not listen for other signals.
func (o *orderReader) signalled(e *historypb.HistoryEvent) {
	a := e.GetWorkflowExecutionSignaledEventAttributes()
	name := a.GetSignalName()
	var (
		s   ltp.Stability
		t   ltp.Turn
		i   ltp.Instruction
		p   ltp.Pass
		err error
	)
	switch name {
	case ltp.StabilitySignal:
		if err = Decode(a.GetInput(), &s); err == nil {
			o.inbox.Signals = append(o.inbox.Signals, s)
		}
	case ltp.TurnSignal:
		if err = Decode(a.GetInput(), &t); err == nil {
			o.inbox.Turn = &t
			o.note(e, NoteTurn, a.GetIdentity(), "gave the order its turn")
		}
	case ltp.ExpediteSignal:
		o.inbox.Expedited = true
		o.note(e, NoteOperator, a.GetIdentity(), "asked to release the order before all others")
	case ltp.InstructionSignal:
		if err = Decode(a.GetInput(), &i); err == nil {
			o.inbox.Instruction = &i
			kind, what := instructed(i.Do)
			o.note(e, kind, i.By, because(what, i.Why))
		}
	case ltp.PassSignal:
		if err = Decode(a.GetInput(), &p); err == nil {
			o.inbox.Pass = &p
			o.Passes = append(o.Passes, Pass{Pass: p, At: at(e)})
			o.note(e, NotePass, p.By, PassText(p))
		}
	default:
		o.note(e, NoteSignal, a.GetIdentity(), fmt.Sprintf("sent the signal %q, which orders do not listen for", name))
	}
	if err != nil {
		o.note(e, NoteSignal, a.GetIdentity(), fmt.Sprintf("sent a %s signal that cannot be read: %v", name, err))
	}
}

// PassText is what the note of a pass says, without who gave it.
func PassText(p ltp.Pass) string { return because(p.String(), p.Why) }

// IsPassOf reports whether a note's text is of a pass through the hold of a component.
func IsPassOf(text, component string) bool {
	return strings.HasPrefix(text, strings.TrimSuffix(ltp.Pass{Component: component}.String(), "0"))
}

// instructed is what an operator asked for with an Instruction.
func instructed(do ltp.Do) (NoteKind, string) {
	switch do {
	case ltp.DoRetry:
		return NoteRetry, "asked to retry the order"
	case ltp.DoReject:
		return NoteReject, "asked to reject the order"
	}
	return NoteOperator, fmt.Sprintf("asked for %q, which orders do not know", do)
}

// release reads an Update that the order has accepted.
func (o *orderReader) release(e *historypb.HistoryEvent) (*ltp.Stability, error) {
	request := o.request(e)
	if name := request.GetInput().GetName(); name != ltp.StabilityUpdate {
		return nil, fmt.Errorf("update %q is none that an order accepts", name)
	}
	var s ltp.Stability
	if err := Decode(request.GetInput().GetArgs(), &s); err != nil {
		return nil, fmt.Errorf("the release: %w", err)
	}
	if err := o.p.Takes(s); err != nil {
		return nil, fmt.Errorf("the release was accepted, and %w", err)
	}
	return &s, nil
}

func (o *orderReader) lost(e *historypb.HistoryEvent, cause string) {
	o.Lost = append(o.Lost, LostTask{StartedAt: o.task.at, EndedAt: at(e), Worker: o.task.worker, Cause: cause, Source: o.source(e)})
}

// end reads the event that closed the last run. What the machine did not come to is
// damage, unless somebody ended the order by force.
func (o *orderReader) end(e *historypb.HistoryEvent, outcome ltp.Outcome) error {
	if outcome.State != ltp.Terminated {
		w, err := o.take(closing)
		if err != nil {
			return fmt.Errorf("the order ended %s: %w", outcome.State, err)
		}
		if err := o.answered(); err != nil {
			return err
		}
		want := w.outcome
		if o.Execution.External() { // its reason may quote Temporal, and its times are the workflow's
			want.Reason, want.Receipt = outcome.Reason, outcome.Receipt
		}
		if outcome.State == ltp.Cancelled { // a cancelled workflow has no result
			outcome.Reason = want.Reason
		}
		if !sameJSON(want, outcome) {
			return fmt.Errorf("the order ended %s %s, and by what came before it ended %s %s",
				outcome.State, outcome.Reason, want.State, want.Reason)
		}
	}
	o.Outcome, o.EndedAt = &outcome, at(e)
	return nil
}

// continues reads the end of a run that another continues.
func (o *orderReader) continues(e *historypb.HistoryEvent) error {
	a := e.GetWorkflowExecutionContinuedAsNewEventAttributes()
	var p ltp.Progress
	switch err := Decode(a.GetInput(), &p); {
	case err != nil:
		return fmt.Errorf("what is carried on: %w", err)
	case a.GetNewExecutionRunId() == "":
		return errors.New("it does not say which run continues this one")
	case !o.p.Continues() || len(o.wanted) > 0:
		return fmt.Errorf("it continues as new while it is %s", o.p.Phase)
	case !carries(p, o.p):
		return errors.New("what is carried on is not what came of this run")
	}
	o.continued = a.GetNewExecutionRunId()
	return o.answered()
}

func (o *orderReader) note(e *historypb.HistoryEvent, kind NoteKind, by, text string) {
	o.Notes = append(o.Notes, Note{At: at(e), Kind: kind, By: by, Text: text, Source: o.source(e)})
}

// at is when an event happened, by the clock of the Temporal server.
func at(e *historypb.HistoryEvent) time.Time { return e.GetEventTime().AsTime() }

// localActivity is what a marker says of a local activity; false for other events.
type localActivity struct {
	ActivityType string
	ReplayTime   time.Time // what the workflow took for the time from then on
	result       *commonpb.Payloads
	failure      string
	failed       bool
}

func readLocalActivity(e *historypb.HistoryEvent) (a localActivity, ok bool, err error) {
	m := e.GetMarkerRecordedEventAttributes()
	if m == nil || m.GetMarkerName() != localActivityMarker {
		return a, false, nil
	}
	if err := Decode(m.GetDetails()["data"], &a); err != nil {
		return a, false, fmt.Errorf("local activity marker: %w", err)
	}
	a.result, a.failure, a.failed = m.GetDetails()["result"], m.GetFailure().GetMessage(), m.GetFailure() != nil
	return a, true, nil
}
