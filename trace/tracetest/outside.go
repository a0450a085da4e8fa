package tracetest

import (
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	updatepb "go.temporal.io/api/update/v1"

	"github.com/ltp-node/ltp"
)

// Signal is any signal; the order takes it in with its next workflow task.
func (o *Order) Signal(name string, input ...any) *Order {
	a := &historypb.WorkflowExecutionSignaledEventAttributes{SignalName: name, Identity: "ltp@node-1"}
	if len(input) > 0 {
		a.Input = Payloads(input...)
	}
	o.add(a)
	if len(input) != 1 && name != ltp.ExpediteSignal {
		return o
	}
	switch name {
	case ltp.InstructionSignal:
		if i, ok := input[0].(ltp.Instruction); ok {
			o.inbox.Instruction = &i
		}
	case ltp.PassSignal:
		if p, ok := input[0].(ltp.Pass); ok {
			o.inbox.Pass = &p
		}
	case ltp.StabilitySignal:
		if s, ok := input[0].(ltp.Stability); ok {
			o.inbox.Signals = append(o.inbox.Signals, s)
		}
	case ltp.TurnSignal:
		if t, ok := input[0].(ltp.Turn); ok {
			o.inbox.Turn = &t
		}
	case ltp.ExpediteSignal:
		o.inbox.Expedited = true
	}
	return o
}

// Turn is the signal of its sequence that the order has its turn.
func (o *Order) Turn() *Order { return o.Signal(ltp.TurnSignal, ltp.Turn{Watched: o.Now.UTC()}) }

// Stability is the signal that orders-db may be fit again.
func (o *Order) Stability(s ltp.State, epoch int64) *Order {
	return o.Signal(ltp.StabilitySignal, ltp.Stability{Component: ltp.DefaultComponent, State: s, Epoch: epoch})
}

// Release is the Update by which the replay engine releases an order, which the next
// workflow task serves. What the order does not take leaves no event.
func (o *Order) Release(s ltp.State, epoch int64) *Order {
	release := ltp.Stability{Component: ltp.DefaultComponent, State: s, Epoch: epoch}
	if o.Takes(release) == nil {
		o.update = &release
	}
	return o
}

func (o *Order) accept(s ltp.Stability) {
	o.do(&historypb.WorkflowExecutionUpdateAcceptedEventAttributes{
		ProtocolInstanceId: "release-1", AcceptedRequest: &updatepb.Request{
			Meta: &updatepb.Meta{UpdateId: "release-1"}, Input: &updatepb.Input{Name: ltp.StabilityUpdate, Args: Payloads(s)},
		},
	})
}

func (o *Order) answered(a ltp.Answer) {
	o.answer = nil
	o.do(&historypb.WorkflowExecutionUpdateCompletedEventAttributes{
		Meta: &updatepb.Meta{UpdateId: "release-1"}, Outcome: &updatepb.Outcome{Value: &updatepb.Outcome_Success{Success: Payloads(a)}},
	})
}

// Cancel is the request to cancel the order.
func (o *Order) Cancel(by string) *Order {
	o.inbox.Cancelled = true
	o.add(&historypb.WorkflowExecutionCancelRequestedEventAttributes{Identity: by})
	return o
}

// Terminate ends the order by force.
func (o *Order) Terminate(why string) *Order {
	o.add(&historypb.WorkflowExecutionTerminatedEventAttributes{Reason: why, Identity: "ops@desk"})
	return o
}

// Reset is a run that was reset from what the order has done so far.
func (o *Order) Reset(run string) *Order {
	r := *o
	r.Events, r.Run = slices.Clone(o.Events), run
	r.begin("")
	r.add(&historypb.WorkflowTaskFailedEventAttributes{
		Cause: enumspb.WORKFLOW_TASK_FAILED_CAUSE_RESET_WORKFLOW, BaseRunId: o.Run, NewRunId: run,
		Failure: &failurepb.Failure{Message: "try again"},
	})
	return &r
}

// Continue is a workflow task in which the order continues as new.
func (o *Order) Continue(run string) *Order {
	o.carriesOn = run
	return o.Work()
}

func (o *Order) continueAsNew() {
	o.do(&historypb.WorkflowExecutionContinuedAsNewEventAttributes{NewExecutionRunId: o.carriesOn, Input: Payloads(o.Continued())})
	o.complete()
	before := o.Run
	o.Progress, o.Run, o.carriesOn = o.Continued(), o.carriesOn, ""
	o.from, o.timer, o.clock = len(o.Events), timer{}, time.Time{}
	o.start(before)
	o.Work()
}

// Picks is the start of the user's activity.
func (o *Order) Picks(worker string) *Order {
	o.add(&historypb.ActivityTaskStartedEventAttributes{ScheduledEventId: o.scheduled, Identity: worker, Attempt: 1})
	return o
}

// Returns is the end of the user's activity, with a result.
func (o *Order) Returns(result any) *Order {
	p := Payloads(result)
	o.add(&historypb.ActivityTaskCompletedEventAttributes{ScheduledEventId: o.scheduled, Result: p})
	job, begun := o.job, o.begun
	o.returned = func(ended time.Time) ltp.Attempt { return job.Returned(p.Payloads[0].Data, begun, ended) }
	return o
}

// Fails is the end of the user's activity, with an application error.
func (o *Order) Fails(kind, message string, details *ltp.Attempted) *Order {
	app := &failurepb.ApplicationFailureInfo{Type: kind}
	f := ltp.ExternalFailure{Type: kind, Message: message}
	if details != nil {
		app.Details, f.Details = Payloads(*details), *details
	}
	o.add(&historypb.ActivityTaskFailedEventAttributes{ScheduledEventId: o.scheduled, Failure: &failurepb.Failure{
		Message: message, FailureInfo: &failurepb.Failure_ApplicationFailureInfo{ApplicationFailureInfo: app},
	}})
	return o.failed(f)
}

// TimesOut is the end of the user's activity, which took too long.
func (o *Order) TimesOut(kind enumspb.TimeoutType) *Order {
	o.add(&historypb.ActivityTaskTimedOutEventAttributes{ScheduledEventId: o.scheduled, Failure: &failurepb.Failure{
		FailureInfo: &failurepb.Failure_TimeoutFailureInfo{TimeoutFailureInfo: &failurepb.TimeoutFailureInfo{TimeoutType: kind}},
	}})
	return o.failed(ltp.ExternalFailure{Message: "timeout", NotTaken: kind == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START})
}

func (o *Order) failed(f ltp.ExternalFailure) *Order {
	job, begun := o.job, o.begun
	o.returned = func(ended time.Time) ltp.Attempt { return job.Failed(f, begun, ended) }
	return o
}

// Marker is a marker that the SDK writes for itself in the next workflow task.
func (o *Order) Marker(name string) *Order {
	o.do(&historypb.MarkerRecordedEventAttributes{MarkerName: name, Details: map[string]*commonpb.Payloads{}})
	return o
}
