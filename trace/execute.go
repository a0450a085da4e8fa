package trace

import (
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
)

// fenced is what activities.Fence returned: the fence before an activity of the user's.
type fenced struct {
	Decision ltp.Decision `json:"decision"`
	Fence    ltp.Fence    `json:"fence"`
	Why      string       `json:"why"`
}

// fencing is the fence that an event holds, and false when the event is another one. A
// fence that gave no answer let nothing begin.
func fencing(e *historypb.HistoryEvent) (f fenced, ok bool, err error) {
	m := e.GetMarkerRecordedEventAttributes()
	var about struct{ ActivityType string }
	if m.GetMarkerName() != localActivityMarker || Decode(m.GetDetails()["data"], &about) != nil || about.ActivityType != fenceActivity {
		return f, false, nil
	}
	if m.GetFailure() != nil {
		return fenced{Decision: ltp.Defer, Why: "the fence gave no answer: " + m.GetFailure().GetMessage()}, true, nil
	}
	if err := Decode(m.GetDetails()["result"], &f); err != nil {
		return f, false, fmt.Errorf("fence: %w", err)
	}
	if f.Decision.Admissible() && !f.Fence.State.Fit() {
		return f, false, fmt.Errorf("fence: it admits under %q", f.Fence.State)
	}
	return f, true, nil
}

// fence reads the fence before an activity of the user's. What it refuses is an
// execution that never began.
func (o *orderReader) fence(e *historypb.HistoryEvent, f fenced) error {
	switch {
	case !o.By.Own():
		return fmt.Errorf("%s is asked for an order that %s executes", fenceActivity, execute)
	case len(o.running) > 0 || o.admitted != nil:
		return fmt.Errorf("%s is asked while %s is under way", fenceActivity, o.By.Activity)
	}
	if o.used || !o.last.Decision.Admissible() {
		if err := o.takeWord(); err != nil {
			return err
		}
	}
	o.task = e.GetMarkerRecordedEventAttributes().GetWorkflowTaskCompletedEventId()
	if f.Decision.Admissible() {
		o.admitted, o.due = &f.Fence, o.By.Activity
		return nil
	}
	o.used, o.due = true, ""
	o.Executions = append(o.Executions, Execution{
		RequestFrameID: ltp.RequestFrameID(o.Order.ID, o.last.Attempt), ScheduledAt: at(e), EndedAt: at(e),
		Fence: f.Fence, Error: Unavailable, Message: f.Why, Source: o.source(e),
	})
	return nil
}

// admissible checks that an activity may be scheduled now, and which it is.
func (o *orderReader) admissible(a *historypb.ActivityTaskScheduledEventAttributes) (x Execution, err error) {
	name := a.GetActivityType().GetName()
	switch {
	case o.By.Own() && (name != o.By.Activity || a.GetTaskQueue().GetName() != o.By.TaskQueue):
		return x, fmt.Errorf("activity %q is scheduled on %q, and the order is executed by %q on %q",
			name, a.GetTaskQueue().GetName(), o.By.Activity, o.By.TaskQueue)
	case o.By.Own() && (o.admitted == nil || a.GetWorkflowTaskCompletedEventId() != o.task):
		return x, fmt.Errorf("%s is scheduled, and no fence is before it", name)
	case o.By.Own():
		x.Fence, o.admitted = *o.admitted, nil
		return x, nil
	case name == confirm:
		if x.Confirm = true; o.attempts.Failed < ltp.MaxAttempts {
			return x, fmt.Errorf("%s is scheduled after %d attempts", confirm, o.attempts.Failed)
		}
	case name != execute:
		return x, fmt.Errorf("activity %q is none that an order runs", name)
	}
	if o.used || !o.last.Decision.Admissible() {
		return x, o.takeWord()
	}
	if a.GetWorkflowTaskCompletedEventId() != o.task {
		return x, fmt.Errorf("%s is scheduled, and the routing before it is of another moment", name)
	}
	return x, nil
}

// returned reads what an activity of the user's returned, which may be anything. What
// it does not say, Temporal knows well enough.
func (x *Execution) returned(result *commonpb.Payloads) {
	var data []byte
	if all := result.GetPayloads(); len(all) > 0 {
		switch string(all[0].GetMetadata()[converter.MetadataEncoding]) {
		case converter.MetadataEncodingJSON, converter.MetadataEncodingProtoJSON:
			data = all[0].GetData()
		}
	}
	done, _ := ltp.ReadDone(data)
	x.Repeated, x.BegunAt, x.CommittedAt = done.Repeated, done.BegunAt, done.CommittedAt
	if x.BegunAt.IsZero() {
		x.BegunAt, x.CommittedAt = x.began(), x.EndedAt
	}
	if done.Fence != (ltp.Fence{}) {
		x.Fence = done.Fence
	}
}

// began is when an activity of the user's began, as far as Temporal knows.
func (x *Execution) began() (t time.Time) {
	if x.StartedAt.IsZero() {
		return x.ScheduledAt
	}
	return x.StartedAt
}

// gaveUp reads the failure of an activity of the user's, whose errors need not have
// details.
func (x *Execution) gaveUp(app *failurepb.ApplicationFailureInfo) {
	if x.Error == "" {
		x.Error = OutcomeUnknown
	}
	x.BegunAt = x.began()
	var told attempt
	if Decode(app.GetDetails(), &told) == nil && !told.EndedAt.IsZero() {
		if x.BegunAt = told.BegunAt; told.Fence.State.Valid() {
			x.Fence = told.Fence
		}
	}
}

// confirmed reads whether the order was found in the order database.
func (x *Execution) confirmed(result *commonpb.Payloads) error {
	var found struct {
		Receipt *ltp.Receipt `json:"receipt"`
		Fence   ltp.Fence    `json:"fence"`
	}
	if err := Decode(result, &found); err != nil {
		return fmt.Errorf("the confirmation: %w", err)
	}
	if !found.Fence.State.Valid() {
		return errors.New("the confirmation does not say under which state")
	}
	if x.Fence = found.Fence; found.Receipt == nil {
		x.Error, x.Message = Absent, "it is not in the order database"
		return nil
	}
	x.Repeated, x.CommittedAt = true, found.Receipt.CommittedAt
	return nil
}

// count counts an execution that has ended, as the order itself did.
func (o *orderReader) count(x Execution) {
	switch {
	case x.Confirm, x.Done(), x.Error == Rejected, x.Error == Unavailable && x.BegunAt.IsZero():
	default:
		o.attempts.Fail(x.EndedAt)
	}
}

// setAside reports whether an order may have been rejected without having been refused.
func (o *orderReader) setAside(final Execution) bool {
	return final.Error == Absent ||
		o.attempts.Failed >= ltp.MaxAttempts && o.waits() && o.last.Reason == ltp.ReasonExecuteUnavailable
}

// SetAside reports whether the order was rejected for failing again and again, and not
// because an execution was refused.
func (t OrderTrace) SetAside() bool {
	n := len(t.Executions)
	return t.Outcome != nil && t.Outcome.State == ltp.Rejected && n > 0 && t.Executions[n-1].Error != Rejected
}

// untaken reports whether an activity was given up before a worker took it.
func untaken(f *failurepb.Failure) bool {
	return f.GetTimeoutFailureInfo().GetTimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
}
