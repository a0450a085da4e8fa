package workflows

import (
	"encoding/json"
	"errors"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// takenWithin is how long a job waits for a worker of the user's. One that nobody took
// by then was not begun, and the fence before it is getting old: it is withdrawn, and
// the order is routed again.
const takenWithin = 5 * time.Second

// hand gives the order to the activity that was named when it was accepted, with the
// fence directly before it. Its outcome is final, or empty when the order is to be
// routed again.
func (o *order) hand(ctx workflow.Context, request ltp.Request) (ltp.Outcome, error) {
	fenced, err := o.fence(ctx, request)
	if err != nil || !fenced.Decision.Admissible() {
		o.log.Info("order not handed over, routing it again", "order", o.ID, "error", err, "why", fenced.Why)
		return ltp.Outcome{}, nil
	}
	begun := workflow.Now(ctx)
	ctx = workflow.WithActivityOptions(disconnected(ctx), workflow.ActivityOptions{
		TaskQueue:              o.by.TaskQueue,
		ScheduleToStartTimeout: takenWithin,
		StartToCloseTimeout:    o.by.StartToClose(),
		Summary:                executeSummary(o.last),
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var result converter.RawValue // whatever it is, it is no reason to do it again
	err = workflow.ExecuteActivity(ctx, o.by.Activity, ltp.Job{
		Order: o.Order, Attempt: ltp.RequestFrameID(o.ID, o.last.Attempt), Replay: request.Replay, Fence: fenced.Fence,
	}).Get(ctx, &result)
	if err != nil {
		return o.failed(ctx, err), nil
	}
	receipt := receiptOf(result.Payload(), fenced.Fence, begun, workflow.Now(ctx))
	return ltp.Outcome{State: ltp.Executed, Receipt: &receipt}, nil
}

// fence asks the board anew. It costs one event, and no network but the worker's own
// reading of the orientation.
func (o *order) fence(ctx workflow.Context, request ltp.Request) (fenced activities.Fenced, err error) {
	ctx = workflow.WithLocalActivityOptions(disconnected(ctx), workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: time.Minute,
		RetryPolicy:            &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:                fenceSummary(o.by),
	})
	var a *activities.Orders
	err = workflow.ExecuteLocalActivity(ctx, a.Fence, activities.FenceInput{
		OrderID: o.ID, Components: o.Components(), Request: request,
	}).Get(ctx, &fenced)
	return fenced, err
}

// receiptOf reads what an activity of the user's returned. What it does not say, the
// workflow knows well enough.
func receiptOf(result *commonpb.Payload, fence ltp.Fence, begun, ended time.Time) ltp.Receipt {
	// The same bytes are read as the same, however the reader takes types apart.
	//workflowcheck:ignore
	done, kept := ltp.ReadDone(resultJSON(result))
	r := ltp.Receipt{Repeated: done.Repeated, BegunAt: done.BegunAt, CommittedAt: done.CommittedAt, Fence: done.Fence, Result: kept}
	if r.BegunAt.IsZero() {
		r.BegunAt, r.CommittedAt = stamp(begun), stamp(ended)
	}
	if r.Fence == (ltp.Fence{}) {
		r.Fence = fence
	}
	return r
}

// resultJSON is the JSON of a result, and nil of one that is none.
func resultJSON(p *commonpb.Payload) json.RawMessage {
	switch string(p.GetMetadata()[converter.MetadataEncoding]) {
	case converter.MetadataEncodingJSON, converter.MetadataEncodingProtoJSON:
		return p.GetData()
	}
	return nil
}

// stamp is t as histories keep it: milliseconds, UTC.
func stamp(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }

// failed judges an execution that failed. The outcome is final, or empty when the order
// is to be routed again.
func (o *order) failed(ctx workflow.Context, err error) ltp.Outcome {
	var failure *temporal.ApplicationError
	known := errors.As(err, &failure)
	switch {
	case known && failure.Type() == activities.Rejected:
		return ltp.Outcome{State: ltp.Rejected, Reason: failure.Message()}
	case known && failure.Type() == activities.Unavailable:
		if begun(failure) {
			o.attempts.Fail(workflow.Now(ctx))
			o.lastError = failure.Message()
		}
	case untaken(err):
	default: // it says that it does not know, or it was lost with its worker
		o.uncertain = true
		o.attempts.Fail(workflow.Now(ctx))
		o.lastError = err.Error()
		if known {
			o.lastError = failure.Message()
		}
	}
	o.log.Info("order not executed, routing it again", "order", o.ID, "error", err)
	return ltp.Outcome{}
}

// begun reports whether a write that ended Unavailable had begun: unless it says
// otherwise, it had.
func begun(failure *temporal.ApplicationError) bool {
	var attempt activities.Attempt
	if !failure.HasDetails() || failure.Details(&attempt) != nil || attempt.EndedAt.IsZero() {
		return true
	}
	return !attempt.BegunAt.IsZero()
}

// untaken reports whether an activity was given up before a worker took it.
func untaken(err error) bool {
	var late *temporal.TimeoutError
	return errors.As(err, &late) && late.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
}
