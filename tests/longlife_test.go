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
	r.until(n, ltp.Stable)
	first := r.orientationRun()
	r.outlive(n)
	assert.NotEqual(t, first, r.orientationRun())

	// The new run serves as the old one did.
	require.NoError(t, operator(r, ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "still the same"}))
	r.until(n, ltp.Unstable)
	r.decided(r.submit(order("long-1")))
	require.NoError(t, operator(r, ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "yes"}))
	r.until(n, ltp.Stable)
	end := r.outage()
	r.until(n, ltp.Unstable)
	r.decided(r.submit(order("long-2")))
	end()
	r.executedOnce("long-", []string{"long-1", "long-2"})

	story, err := r.reader().Orientation(r.ctx, ltp.DefaultComponent)
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
	r.t.Helper()
	held, released := ltp.Hold{By: "ann", Why: "to make history"}, ltp.Release{By: "ann", Why: "done"}
	for run := r.orientationRun(); r.orientationRun() == run; {
		require.NoError(r.t, operator(r, ltp.HoldUpdate, held))
		require.NoError(r.t, operator(r, ltp.ReleaseUpdate, released))
		r.until(n, ltp.Stable)
	}
	require.NoError(r.t, operator(r, ltp.HoldUpdate, held))
	for run := r.orientationRun(); r.orientationRun() == run; {
		seen := ltp.Observation{Component: ltp.DefaultComponent, Verdict: ltp.Healthy, Reason: "as the test says", Observer: "test", At: time.Now().UTC()}
		require.NoError(r.t, r.client.SignalWorkflow(r.ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", ltp.ObservationSignal, seen))
	}
	require.NotNil(r.t, r.until(n, ltp.Unstable).Hold)
	require.NoError(r.t, operator(r, ltp.ReleaseUpdate, released), "the hold went on")
	r.until(n, ltp.Stable)
}

// shortHistories make Temporal suggest to continue as new after some dozen events.
func shortHistories(o *embedded.Options) {
	o.ExtraArgs = append(o.ExtraArgs, "--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40")
}

func (r *rig) orientationRun() string {
	r.t.Helper()
	return r.runOf(ltp.OrientationWorkflowID(ltp.DefaultComponent))
}

// runOf is the latest run of a workflow.
func (r *rig) runOf(workflowID string) string {
	r.t.Helper()
	d, err := r.client.DescribeWorkflowExecution(r.ctx, workflowID, "")
	require.NoError(r.t, err)
	return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
}
