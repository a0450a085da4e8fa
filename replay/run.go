package replay

import (
	"context"
	"errors"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/payload"
)

// Run is a replay under way, by what Temporal holds of it.
type Run struct {
	WorkflowID string `json:"workflow_id"`
	Settling   bool   `json:"settling,omitempty"` // the backlog is drained, and what showed up late is looked for
	// Attempt counts from 1; LastError is why the one before ended.
	Attempt   int32  `json:"attempt"`
	LastError string `json:"last_error,omitempty"`
	// Report is its latest heartbeat; nil before the first.
	Report *ltp.ReleaseReport `json:"report,omitempty"`
	// LeftSeconds is about how long the rest takes at the present rate; 0 is not known.
	LeftSeconds float64 `json:"left_seconds,omitempty"`
}

// UnderWay is the replay of a component under an epoch: one that began with the epoch, or
// one that drained the epoch before and sweeps on. It is nil where none runs. It needs no
// worker.
func UnderWay(ctx context.Context, c client.Client, component string, epoch int64) (*Run, error) {
	for _, e := range []int64{epoch, epoch - 1} {
		id := ltp.ReplayWorkflowID(component, e)
		d, err := c.DescribeWorkflowExecution(ctx, id, "")
		if errors.As(err, new(*serviceerror.NotFound)) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", id, err)
		}
		if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			continue
		}
		run := &Run{WorkflowID: id, Settling: e < epoch}
		for _, p := range d.GetPendingActivities() {
			if err := run.read(p); err != nil {
				return nil, fmt.Errorf("the heartbeat of %s: %w", id, err)
			}
		}
		return run, nil
	}
	return nil, nil
}

func (r *Run) read(p *workflowpb.PendingActivityInfo) error {
	r.Attempt, r.LastError = p.GetAttempt(), p.GetLastFailure().GetMessage()
	if p.GetHeartbeatDetails() == nil {
		return nil
	}
	report := new(ltp.ReleaseReport)
	if err := payload.Converter().FromPayloads(p.GetHeartbeatDetails(), report); err != nil {
		return err
	}
	r.Report = report
	if report.Rate >= 1 && report.Phase == PhaseRamp {
		r.LeftSeconds = float64(report.Remaining) / report.Rate
	}
	return nil
}
