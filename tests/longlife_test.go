package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/node"
)

// TestOrientationOutlivesItsHistory: an Orientation workflow continues as new when
// its history has grown long. The state, its epoch and an operator's hold go on, and
// it is no incident.
func TestOrientationOutlivesItsHistory(t *testing.T) {
	r := newRig(t, shortHistories)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	first := r.orientationRun()
	r.outlive(n)
	assert.NotEqual(t, first, r.orientationRun())

	// The new run serves as the old one did.
	r.Hold("still the same")
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("long-1"))
	r.Release()
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("long-2"))
	end()
	r.executedOnce("long-", []string{"long-1", "long-2"})

	story, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(t, err)
	assert.Empty(t, story.Gaps)
	begun := story.Frames[0].Orientation.Epoch
	epoch := begun - 1
	for _, f := range story.Frames {
		assert.Contains(t, []int64{epoch, epoch + 1}, f.Orientation.Epoch, "epochs go on from run to run")
		epoch = f.Orientation.Epoch
		if epoch > begun {
			assert.NotEqual(t, "never observed", f.Orientation.Reason, "only the first run begins from nothing")
		}
	}
}

// outlive makes history until the component's Orientation has continued as new twice,
// the second time while an operator holds it.
func (r *rig) outlive(n *node.Node) {
	r.T.Helper()
	held, released := ltp.Hold{By: "ann", Why: "to make history"}, ltp.Release{By: "ann", Why: "done"}
	for run := r.orientationRun(); r.orientationRun() == run; {
		require.NoError(r.T, r.Operator(ltp.HoldUpdate, held))
		require.NoError(r.T, r.Operator(ltp.ReleaseUpdate, released))
		r.Until(n.Board, ltp.Stable)
	}
	require.NoError(r.T, r.Operator(ltp.HoldUpdate, held))
	for run := r.orientationRun(); r.orientationRun() == run; {
		seen := ltp.Observation{Component: ltp.DefaultComponent, Verdict: ltp.Healthy, Reason: "as the test says", Observer: "test", At: time.Now().UTC()}
		require.NoError(r.T, r.Client.SignalWorkflow(r.Ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", ltp.ObservationSignal, seen))
	}
	require.NotNil(r.T, r.Until(n.Board, ltp.Unstable).Hold)
	require.NoError(r.T, r.Operator(ltp.ReleaseUpdate, released), "the hold went on")
	r.Until(n.Board, ltp.Stable)
}

// shortHistories make Temporal suggest to continue as new after some dozen events.
func shortHistories(o *embedded.Options) {
	o.ExtraArgs = append(o.ExtraArgs, "--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40")
}

func (r *rig) orientationRun() string {
	r.T.Helper()
	return r.runOf(ltp.OrientationWorkflowID(ltp.DefaultComponent))
}

// runOf is the latest run of a workflow.
func (r *rig) runOf(workflowID string) string {
	r.T.Helper()
	d, err := r.Client.DescribeWorkflowExecution(r.Ctx, workflowID, "")
	require.NoError(r.T, err)
	return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}
