package board

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// retryPause is the pause before an Update that got lost is sent again.
const retryPause = 50 * time.Millisecond

// SendUpdate sends an operator's Update to the Orientation of a component, waits until it
// is carried out, and decodes the answer into answer. It needs a worker and waits for one
// until ctx ends. It returns ErrNoComponent when there is no such component; what the
// Orientation refuses is its own error.
//
// An Orientation continues as new from time to time. Temporal drops an Update that
// comes in the moment between two runs, and says that nothing came of it: such an Update
// is sent again.
func SendUpdate(ctx context.Context, c client.Client, component, update string, arg, answer any) error {
	options := client.UpdateWorkflowOptions{
		// The same Update sent twice to one run is carried out once.
		UpdateID:   rand.Text(),
		WorkflowID: ltp.OrientationWorkflowID(component), UpdateName: update, Args: []any{arg},
		WaitForStage: client.WorkflowUpdateStageCompleted,
	}
	for {
		handle, err := c.UpdateWorkflow(ctx, options)
		if err == nil {
			err = handle.Get(ctx, answer)
		}
		if err == nil || !mayResend(err) {
			return err
		}
		if err := checkRunning(ctx, c, component); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(retryPause):
		}
	}
}

// mayResend reports whether an error says that the Update was not carried out, and that only
// because of when it was sent.
func mayResend(err error) bool {
	return errors.As(err, new(*serviceerror.NotFound)) || // the run ended before it could take it
		errors.As(err, new(*serviceerror.WorkflowNotReady)) || // the task that took it was undone
		errors.As(err, new(*serviceerror.ResourceExhausted)) // the run is just ending
}

// checkRunning returns nil when the Orientation of a component runs.
func checkRunning(ctx context.Context, c client.Client, component string) error {
	d, err := c.DescribeWorkflowExecution(ctx, ltp.OrientationWorkflowID(component), "")
	switch {
	case errors.As(err, new(*serviceerror.NotFound)):
		return fmt.Errorf("%w: %s", ErrNoComponent, component)
	case err != nil:
		return fmt.Errorf("look for the Orientation of %s: %w", component, err)
	case d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
		return fmt.Errorf("the Orientation workflow of %s has ended: start a worker or an observer of it", component)
	}
	return nil
}
