package trace

import (
	"errors"
	"fmt"
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
)

// routed reads the answer of the board.
func (o *orderReader) routed(e *historypb.HistoryEvent, a localActivity, w want) (r ltp.Routing, err error) {
	in := *w.command.Route
	if a.failed {
		o.note(e, NoteRouting, "", because("the routing gave no answer", a.failure))
		r = in.NotRouted()
	} else if err := Decode(a.result, &r); err != nil {
		return r, err
	}
	return r, o.route(e, r, in, w)
}

// executed reads an attempt, and the routing that its fence made, if any.
func (o *orderReader) executed(e *historypb.HistoryEvent, a localActivity, w want) (x ltp.Attempt, err error) {
	in := *w.command.Execute
	if a.failed {
		x = ltp.NoAnswer()
		x.Error = because(x.Error, a.failure)
	} else if err := Decode(a.result, &x); err != nil {
		return x, err
	}
	under := o.p.Attempt
	if x.Routing != nil || !in.Admitted {
		under = in.Route.Attempt
	}
	if err := o.plausible(x, in.Admitted || a.failed); err != nil {
		return x, err
	}
	onlyRouted := false
	if r := x.Routing; r != nil {
		if err := o.route(e, *r, in.Route, w); err != nil {
			return x, err
		}
		onlyRouted = x.Result == ltp.ResultNotGiven || x.Result == ltp.ResultNotBegun && !r.Decision.Admissible()
	}
	if !onlyRouted && x.Result != ltp.ResultAdmitted {
		attempt := x
		attempt.Routing = nil
		o.Executions = append(o.Executions, Execution{
			RequestFrameID: ltp.RequestFrameID(o.Order.ID, under), Attempt: attempt, Given: in.Given,
			TaskAt: w.taskAt, RecordedAt: at(e), Source: o.source(e),
		})
	}
	if a.failed {
		x = ltp.NoAnswer() // what the workflow made of it
	}
	return x, nil
}

// plausible checks that an attempt says what one with its result says.
func (o *orderReader) plausible(x ltp.Attempt, routed bool) error {
	external := o.Execution.External()
	switch r := x.Receipt; {
	case !x.Result.Valid():
		return fmt.Errorf("there is no result %q", x.Result)
	case external != (x.Result == ltp.ResultAdmitted) && x.Result != ltp.ResultNotBegun && x.Result != ltp.ResultUnknown:
		return fmt.Errorf("it is %s, and the order is not executed so", x.Result)
	case x.Routing == nil && (!routed || x.Result == ltp.ResultNotGiven):
		return errors.New("its fence routed the order, and the routing is missing")
	case x.Result == ltp.ResultExecuted && (r == nil || r.BegunAt.IsZero() || r.CommittedAt.IsZero() || !r.Fence.State.Valid()):
		return errors.New("the receipt does not say when the order was written, or under which state")
	case x.Result == ltp.ResultWithdrawn && (x.Withdrawn == nil || !x.Withdrawn.State.Final()):
		return errors.New("it does not say how the order was withdrawn")
	case x.Result == ltp.ResultAdmitted && !x.Fence.State.Fit() && (x.Routing == nil || x.Routing.Request.Pass == nil):
		return fmt.Errorf("the fence admits under %q", x.Fence.State)
	}
	return nil
}

// withdrawn reads one try to end the order without executing it.
func (o *orderReader) withdrawn(e *historypb.HistoryEvent, a localActivity, w want) (x ltp.Withdrawal, err error) {
	if a.failed {
		x = ltp.NotWithdrawn()
	} else if err := Decode(a.result, &x); err != nil {
		return x, err
	}
	switch x.Found {
	case ltp.FoundUnwritten, ltp.FoundNothing:
	case ltp.FoundTombstone:
		if x.End == nil || !x.End.State.Final() {
			return x, errors.New("it does not say what the tombstone says")
		}
	case ltp.FoundOrder:
		if x.Receipt == nil {
			return x, errors.New("it does not say what the order's row says")
		}
	default:
		return x, fmt.Errorf("%q is nothing that can be found", x.Found)
	}
	o.Withdrawals = append(o.Withdrawals, Withdrawal{
		Withdrawal: x, Asked: w.command.Withdraw.End, TaskAt: w.taskAt, RecordedAt: at(e), Source: o.source(e),
	})
	return x, nil
}

// route adds the two frames of a routing that event e holds.
func (o *orderReader) route(e *historypb.HistoryEvent, r ltp.Routing, in ltp.RouteInput, w want) error {
	if err := follows(r, in); err != nil {
		return err
	}
	request := ltp.RouteRequest{
		OrderID: o.Order.ID, Attempt: r.Attempt, Replay: r.Attempt > 1, OriginalFrameID: ltp.Replays(o.Order.ID, r.Attempt),
		DeferredReason: o.deferred, Woken: r.Woken, Asked: r.Request,
	}
	response := ltp.RouteResponse{
		OrderID: o.Order.ID, RequestFrameID: ltp.RequestFrameID(o.Order.ID, r.Attempt),
		Admissible: r.Decision.Admissible(), Decision: r.Decision, Reason: r.Reason,
		Component: r.Component, State: r.State, Epoch: r.Epoch, ReadAt: r.ReadAt, Unreadable: r.Unreadable,
		Cause: r.Cause,
	}
	if !response.Admissible {
		response.Commitment = r.Reason.Commitment()
		o.deferred = r.Reason
	}
	o.Frames = append(o.Frames,
		ltp.Frame{ID: response.RequestFrameID, Type: ltp.FrameRouteRequest, At: w.asked, Request: &request, Source: o.source(e)},
		ltp.Frame{ID: ltp.ResponseFrameID(o.Order.ID, r.Attempt), Type: ltp.FrameRouteResponse, At: at(e), Response: &response, Source: o.source(e)})
	return nil
}

// follows checks that a routing answers what was asked. It does not judge the decision:
// that is for an audit.
func follows(r ltp.Routing, in ltp.RouteInput) error {
	asked := r.Request
	asked.Paused = nil // the router says it
	asked.Backlog = asked.Backlog && r.Attempt > 1
	switch {
	case r.Attempt != in.Attempt:
		return fmt.Errorf("attempt %d was asked for, and attempt %d is answered", in.Attempt, r.Attempt)
	case r.Woken != in.Woken:
		return fmt.Errorf("attempt %d was woken by %q, and %q is answered", r.Attempt, in.Woken, r.Woken)
	case !sameJSON(asked, in.Request):
		return fmt.Errorf("attempt %d answers another request than was asked", r.Attempt)
	case r.Reason == "" || r.Component == "":
		return errors.New("it does not say why, or of which component")
	case !slices.Contains(in.Components, r.Component):
		return fmt.Errorf("the order does not depend on %s", r.Component)
	case r.Epoch < 1 && !r.Unreadable:
		return fmt.Errorf("there is no epoch %d", r.Epoch)
	case !r.State.Valid():
		return fmt.Errorf("there is no state %q", r.State)
	}
	switch r.Decision {
	case ltp.Execute, ltp.Defer, ltp.Freeze:
		return nil
	}
	return fmt.Errorf("%q is no answer to a route request", r.Decision)
}

// job is what an activity of the user's was given, and how it ended.
type job struct {
	ltp.Job
	scheduled int64
	began     time.Time // the workflow's time
	execution int       // of Executions
	data      []byte
	failure   *ltp.ExternalFailure
}

// external reads an activity of the user's; false for events of other kinds.
func (o *orderReader) external(e *historypb.HistoryEvent) (known bool, err error) {
	var data []byte
	var failure *ltp.ExternalFailure
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		return true, o.scheduled(e)
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_STARTED:
		x, err := o.execution(scheduledBy(e))
		if err == nil {
			x.StartedAt, x.Worker = at(e), e.GetActivityTaskStartedEventAttributes().GetIdentity()
		}
		return true, err
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_COMPLETED:
		data = resultJSON(e.GetActivityTaskCompletedEventAttributes().GetResult())
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_FAILED:
		f := e.GetActivityTaskFailedEventAttributes().GetFailure()
		if f.GetFailureInfo() == nil {
			return true, errors.New("the failure does not say of what kind it is")
		}
		app := f.GetApplicationFailureInfo()
		failure = &ltp.ExternalFailure{Type: app.GetType(), Message: f.GetMessage()}
		if app.GetDetails() != nil && Decode(app.GetDetails(), &failure.Details) != nil {
			failure.Details = ltp.Attempted{}
		}
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT:
		failure = &ltp.ExternalFailure{Message: "no answer from its worker in time"}
		timeout := e.GetActivityTaskTimedOutEventAttributes().GetFailure().GetTimeoutFailureInfo().GetTimeoutType()
		if timeout == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START { // no worker took it
			failure.NotTaken, failure.Message = true, fmt.Sprintf("no worker on %s took it in time", o.Execution.TaskQueue)
		}
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_CANCELED:
		failure = &ltp.ExternalFailure{Message: "cancelled in Temporal"}
	default:
		return false, nil
	}
	return true, o.ended(e, scheduledBy(e), data, failure)
}

func (o *orderReader) scheduled(e *historypb.HistoryEvent) error {
	a := e.GetActivityTaskScheduledEventAttributes()
	name, queue := a.GetActivityType().GetName(), a.GetTaskQueue().GetName()
	w, err := o.take(handing)
	if err != nil {
		return fmt.Errorf("activity %q: %w", name, err)
	}
	if name != o.Execution.Activity || queue != o.Execution.TaskQueue {
		return fmt.Errorf("activity %q is scheduled on %q, and the order is executed by %q on %q",
			name, queue, o.Execution.Activity, o.Execution.TaskQueue)
	}
	var given ltp.Job
	if err := Decode(a.GetInput(), &given); err != nil {
		return fmt.Errorf("the input of %s: %w", name, err)
	}
	if !sameJSON(given, w.command.ExecuteExternal) {
		return fmt.Errorf("%s is given another job than was due", name)
	}
	o.running = &job{Job: given, scheduled: e.GetEventId(), began: w.asked, execution: len(o.Executions)}
	o.Executions = append(o.Executions, Execution{
		RequestFrameID: given.Attempt, Attempt: ltp.Attempt{Fence: given.Fence},
		TaskAt: w.taskAt, ScheduledAt: at(e), Source: o.source(e),
	})
	return nil
}

// execution is the one under way that an event speaks of.
func (o *orderReader) execution(scheduled int64) (*Execution, error) {
	if o.running == nil || o.running.scheduled != scheduled || o.returned {
		return nil, notUnderWay(scheduled)
	}
	return &o.Executions[o.running.execution], nil
}

// ended keeps how the activity ended until the order takes it in.
func (o *orderReader) ended(e *historypb.HistoryEvent, scheduled int64, data []byte, f *ltp.ExternalFailure) error {
	x, err := o.execution(scheduled)
	if err != nil {
		return err
	}
	x.RecordedAt = at(e)
	o.running.data, o.running.failure, o.returned = data, f, true
	o.handed(at(e))
	return nil
}

// handed is the attempt that an activity of the user's made, as the order has it that took
// it in at a time.
func (o *orderReader) handed(ended time.Time) ltp.Attempt {
	j := o.running
	a := j.Returned(j.data, j.began, ended)
	if j.failure != nil {
		a = j.Failed(*j.failure, j.began, ended)
	}
	x := &o.Executions[j.execution]
	worker := x.Worker
	x.Attempt = a
	x.Worker = worker
	return a
}

// resultJSON is what an activity of the user's returned, which may be anything, and nil
// where it is no JSON.
func resultJSON(result *commonpb.Payloads) []byte {
	if all := result.GetPayloads(); len(all) > 0 {
		switch string(all[0].GetMetadata()[converter.MetadataEncoding]) {
		case converter.MetadataEncodingJSON, converter.MetadataEncodingProtoJSON:
			return all[0].GetData()
		}
	}
	return nil
}
