package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
)

// Replayer returns a replayer of every workflow of this package, under the names that
// histories have. It is for one history each: it remembers every result.
func Replayer() worker.WorkflowReplayer {
	r := worker.NewWorkflowReplayer()
	r.RegisterWorkflowWithOptions(Order, workflow.RegisterOptions{Name: ltp.OrderWorkflow})
	r.RegisterWorkflowWithOptions(Orientation, workflow.RegisterOptions{Name: ltp.OrientationWorkflow})
	r.RegisterWorkflowWithOptions(Replay, workflow.RegisterOptions{Name: ltp.ReplayWorkflow})
	r.RegisterWorkflowWithOptions(Sequence, workflow.RegisterOptions{Name: ltp.SequenceWorkflow})
	return r
}
