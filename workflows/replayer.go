package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/payload"
)

// Replayer returns a replayer of every workflow of this package, under the names that
// histories have. It is for one history each: it remembers every result.
func Replayer() worker.WorkflowReplayer {
	r, err := worker.NewWorkflowReplayerWithOptions(worker.WorkflowReplayerOptions{DataConverter: payload.Converter()})
	if err != nil {
		panic(err) // it checks options that are not given
	}
	r.RegisterWorkflowWithOptions(Order, workflow.RegisterOptions{Name: ltp.OrderWorkflow})
	r.RegisterWorkflowWithOptions(Orientation, workflow.RegisterOptions{Name: ltp.OrientationWorkflow})
	r.RegisterWorkflowWithOptions(Replay, workflow.RegisterOptions{Name: ltp.ReplayWorkflow})
	r.RegisterWorkflowWithOptions(Sequence, workflow.RegisterOptions{Name: ltp.SequenceWorkflow})
	r.RegisterWorkflowWithOptions(Delivery, workflow.RegisterOptions{Name: ltp.DeliveryWorkflow})
	return r
}
