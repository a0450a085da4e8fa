package workflows

import (
	"errors"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
)

// scheduleToStartTimeout is how long a job waits for a worker of the user's. One that
// nobody took by then was not begun, and the fence before it is getting old: it is
// withdrawn, and the order is routed again.
const scheduleToStartTimeout = 5 * time.Second

// executeExternal gives the order to the activity that was named when it was accepted.
func (o *order) executeExternal(ctx workflow.Context, job ltp.Job) ltp.Attempt {
	begun := workflow.Now(ctx)
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		TaskQueue:              o.Execution.TaskQueue,
		ScheduleToStartTimeout: scheduleToStartTimeout,
		StartToCloseTimeout:    o.Execution.StartToClose(),
		Summary:                jobSummary(o.Last),
		// Every attempt is routed first, so that no retry hammers a sick system.
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var result converter.RawValue // whatever it is, it is no reason to do it again
	err := workflow.ExecuteActivity(ctx, o.Execution.Activity, job).Get(ctx, &result)
	if err != nil {
		return job.Failed(externalFailure(err), begun, workflow.Now(ctx))
	}
	// The same bytes are read as the same, however the reader takes types apart.
	//workflowcheck:ignore
	return job.Returned(resultJSON(result.Payload()), begun, workflow.Now(ctx))
}

// externalFailure is what the error of an activity of the user's says.
func externalFailure(err error) ltp.ExternalFailure {
	f := ltp.ExternalFailure{Message: err.Error()}
	var own *temporal.ApplicationError
	if errors.As(err, &own) {
		f.Type, f.Message = own.Type(), own.Message()
		if own.HasDetails() && own.Details(&f.Details) != nil {
			f.Details = ltp.Attempted{}
		}
	}
	var late *temporal.TimeoutError
	f.NotTaken = errors.As(err, &late) && late.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START
	return f
}

// resultJSON is the JSON of a result, and nil of one that is none.
func resultJSON(p *commonpb.Payload) []byte {
	switch string(p.GetMetadata()[converter.MetadataEncoding]) {
	case converter.MetadataEncodingJSON, converter.MetadataEncodingProtoJSON:
		return p.GetData()
	}
	return nil
}
