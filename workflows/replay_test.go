package workflows_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay"
	"github.com/ltp-node/ltp/workflows"
)

func play(t *testing.T, in ltp.ReplayInput, drain ltp.ReleaseReport) (ltp.ReleaseReport, *testsuite.TestWorkflowEnvironment) {
	var suite testsuite.WorkflowTestSuite
	e := suite.NewTestWorkflowEnvironment()
	var a *replay.Engine
	e.RegisterActivity(&replay.Engine{})
	e.OnActivity(a.Release, mock.Anything, ltp.ReleaseInput{Component: "db", Epoch: 5}).Return(drain, nil).Maybe()
	e.OnActivity(a.Release, mock.Anything, ltp.ReleaseInput{Component: "db", Epoch: 5, Settle: true}).
		Return(ltp.ReleaseReport{Released: 2, Passes: 3}, nil).Maybe()
	e.OnActivity(a.Release, mock.Anything, ltp.ReleaseInput{Component: "db", Epoch: 6, Settle: true}).
		Return(ltp.ReleaseReport{Released: 94, Passes: 4}, nil).Maybe()
	e.OnSignalExternalWorkflow(mock.Anything, ltp.OrientationWorkflowID("db"), "", ltp.DrainedSignal, int64(5)).Return(nil).Maybe()
	e.ExecuteWorkflow(workflows.Replay, in)
	require.NoError(t, e.GetWorkflowError())
	var report ltp.ReleaseReport
	require.NoError(t, e.GetWorkflowResult(&report))
	return report, e
}

func TestReplayReportsTheBacklogDrainedAndSweepsOn(t *testing.T) {
	report, e := play(t, ltp.ReplayInput{Component: "db", Epoch: 5, Drain: true}, ltp.ReleaseReport{Released: 1406, Passes: 2})
	assert.Equal(t, ltp.ReleaseReport{Released: 1500, Passes: 6}, report)
	e.AssertNumberOfCalls(t, "Release", 2)
}

func TestReplayThatWasOvertakenReportsNothing(t *testing.T) {
	report, e := play(t, ltp.ReplayInput{Component: "db", Epoch: 5, Drain: true}, ltp.ReleaseReport{Released: 10, MovedOn: true})
	assert.True(t, report.MovedOn)
	e.AssertNumberOfCalls(t, "Release", 1)
	e.AssertNotCalled(t, "SignalExternalWorkflow", mock.Anything, mock.Anything, mock.Anything, mock.Anything, mock.Anything)
}

func TestReplayWithoutADrainOnlySweeps(t *testing.T) {
	report, e := play(t, ltp.ReplayInput{Component: "db", Epoch: 5}, ltp.ReleaseReport{})
	assert.Equal(t, 2, report.Released)
	e.AssertNumberOfCalls(t, "Release", 1)
}
