package workflows

import (
	"fmt"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay"
)

// Replay releases the orders that a component deferred before an epoch. It reports
// the backlog drained, and then sweeps on under the epoch that follows, because the
// visibility store shows some orders late. It ends when there is nothing left to
// release, or when the orientation moves on.
func Replay(ctx workflow.Context, in ltp.ReplayInput) (ltp.ReleaseReport, error) {
	var total ltp.ReleaseReport
	epoch := in.Epoch
	if in.Drain {
		report, err := releaseOrders(ctx, ltp.ReleaseInput{Component: in.Component, Epoch: epoch})
		if total.Add(report); err != nil || report.MovedOn {
			return total, err
		}
		err = workflow.SignalExternalWorkflow(ctx, ltp.OrientationWorkflowID(in.Component), "", ltp.DrainedSignal, epoch).Get(ctx, nil)
		if err != nil {
			return total, fmt.Errorf("report the backlog of %s drained: %w", in.Component, err)
		}
		epoch++
	}
	report, err := releaseOrders(ctx, ltp.ReleaseInput{Component: in.Component, Epoch: epoch, Settle: true})
	total.Add(report)
	return total, err
}

func releaseOrders(ctx workflow.Context, in ltp.ReleaseInput) (report ltp.ReleaseReport, err error) {
	summary := fmt.Sprintf("release the orders deferred by %s before epoch %d", in.Component, in.Epoch)
	if in.Settle {
		summary = fmt.Sprintf("look for orders of %s that showed up late", in.Component)
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 24 * time.Hour,
		HeartbeatTimeout:    HeartbeatTimeout,
		WaitForCancellation: true,
		Summary:             summary,
		// It must go on for as long as orders wait: only a new epoch ends it.
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: time.Second, MaximumInterval: 10 * time.Second},
	})
	var a *replay.Engine
	err = workflow.ExecuteActivity(ctx, a.Release, in).Get(ctx, &report)
	return report, err
}
