package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/workflows"
)

// orientationTest runs one component's orientation against a mocked observer.
type orientationTest struct {
	*testsuite.TestWorkflowEnvironment
	t         *testing.T
	published []ltp.Orientation
	steered   []ltp.Steering
	replays   []ltp.ReplayInput
	input     ltp.OrientationInput
}

func newOrientationTest(t *testing.T) *orientationTest {
	return orientationTestOf(t, new(testsuite.WorkflowTestSuite))
}

func orientationTestOf(t *testing.T, suite *testsuite.WorkflowTestSuite) *orientationTest {
	e := &orientationTest{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t}
	e.input = ltp.OrientationInput{Component: ltp.DefaultComponent, Policy: ltp.DefaultPolicy()}
	e.SetTestTimeout(time.Minute)
	e.RegisterActivity(&activities.Observer{})
	e.RegisterWorkflowWithOptions(func(_ workflow.Context, in ltp.ReplayInput) (ltp.ReleaseReport, error) {
		e.replays = append(e.replays, in)
		return ltp.ReleaseReport{}, nil
	}, workflow.RegisterOptions{Name: ltp.ReplayWorkflow})
	e.OnUpsertMemo(mock.Anything).Run(func(args mock.Arguments) {
		memo := args.Get(0).(map[string]any)
		if s, ok := memo[ltp.SteeringMemo]; ok {
			e.steered = append(e.steered, s.(ltp.Steering))
			return
		}
		e.published = append(e.published, memo[ltp.OrientationMemo].(ltp.Orientation))
	}).Return(nil)
	return e
}

// observedBy says how the Observe activities end, one after the other; the last one
// stays.
func (e *orientationTest) observedBy(ends ...func() (ltp.Handover, error)) {
	var a *activities.Observer
	for _, end := range ends {
		e.OnActivity(a.Observe, mock.Anything, mock.Anything).Return(
			func(context.Context, ltp.ObserveInput) (ltp.Handover, error) { return end() }).Once()
	}
	e.OnActivity(a.Observe, mock.Anything, mock.Anything).After(1000*time.Hour).Return(ltp.Handover{}, nil)
}

func (e *orientationTest) sees(after time.Duration, v ltp.Verdict, reason string) {
	e.RegisterDelayedCallback(func() {
		e.SignalWorkflow(ltp.ObservationSignal, ltp.Observation{Component: ltp.DefaultComponent, Verdict: v, Reason: reason, Observer: "test"})
	}, after)
}

func (e *orientationTest) drained(after time.Duration, epoch int64) {
	e.RegisterDelayedCallback(func() { e.SignalWorkflow(ltp.DrainedSignal, epoch) }, after)
}

// play runs for a while and returns the states that were published.
func (e *orientationTest) play(d time.Duration) []ltp.State {
	e.RegisterDelayedCallback(e.CancelWorkflow, d)
	e.ExecuteWorkflow(workflows.Orientation, e.input)
	require.True(e.t, e.IsWorkflowCompleted())
	var states []ltp.State
	for i, o := range e.published {
		states = append(states, o.State)
		if i > 0 && o.State != e.published[i-1].State {
			assert.Equal(e.t, e.published[i-1].Epoch+1, o.Epoch)
		}
	}
	return states
}

func TestTheFlickerAsOrientationSeesIt(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "DB write latency normal")
	e.drained(2*time.Second, 2)
	e.sees(65*time.Second, ltp.Unhealthy, "DB Write Latency > 5000ms")
	e.sees(115*time.Second, ltp.Healthy, "DB write latency normal")
	e.drained(125*time.Second, 5)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Stable}, e.play(3*time.Minute))
	assert.Equal(t, "DB Write Latency > 5000ms", e.published[3].Reason)
	assert.Equal(t, 52*time.Second, e.published[4].Since.Sub(e.published[3].Since), "unfit until the dwell has passed")
	assert.Equal(t, []ltp.ReplayInput{
		{Component: ltp.DefaultComponent, Epoch: 2, Drain: true}, {Component: ltp.DefaultComponent, Epoch: 5, Drain: true},
	}, e.replays)
}

func TestNobodySaysStableOfAComponentThatNobodyObserves(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.drained(time.Minute, 1)
	assert.Equal(t, []ltp.State{ltp.Unknown}, e.play(time.Hour))
	assert.Empty(t, e.replays)
}

func TestRestartedObserverIsNoIncident(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy(
		func() (ltp.Handover, error) {
			return ltp.Handover{Why: "its worker stopped", At: e.Now()}, nil
		},
		func() (ltp.Handover, error) {
			return ltp.Handover{}, temporal.NewHeartbeatTimeoutError(ltp.Heartbeat{At: e.Now()})
		},
	)
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable}, e.play(time.Hour))
}

func TestLostObserverIsUnknownAndItsReturnIsARecovery(t *testing.T) {
	e := newOrientationTest(t)
	first := true
	var a *activities.Observer
	e.OnActivity(a.Observe, mock.Anything, mock.Anything).After(time.Minute).Return(
		func(context.Context, ltp.ObserveInput) (ltp.Handover, error) {
			if first {
				first = false
				return ltp.Handover{}, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
			}
			return ltp.Handover{At: e.Now()}, nil
		})
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	e.sees(5*time.Minute, ltp.Healthy, "normal")
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unknown, ltp.Recovering}, e.play(6*time.Minute))
}

func TestObserverThatWasSilentForLongLeavesNothingKnown(t *testing.T) {
	e := newOrientationTest(t)
	var a *activities.Observer
	e.OnActivity(a.Observe, mock.Anything, mock.Anything).After(time.Hour).Return(
		func(context.Context, ltp.ObserveInput) (ltp.Handover, error) {
			return ltp.Handover{}, temporal.NewHeartbeatTimeoutError(ltp.Heartbeat{At: e.Now().Add(-30 * time.Minute)})
		}).Once()
	e.OnActivity(a.Observe, mock.Anything, mock.Anything).After(1000*time.Hour).Return(ltp.Handover{}, nil)
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unknown}, e.play(2*time.Hour))
}

func TestHandoverThatWasReadLongAfterLeavesNothingKnown(t *testing.T) {
	e := newOrientationTest(t)
	var a *activities.Observer
	e.OnActivity(a.Observe, mock.Anything, mock.Anything).After(time.Hour).Return(
		func(context.Context, ltp.ObserveInput) (ltp.Handover, error) {
			return ltp.Handover{Why: "everything was stopped", At: e.Now().Add(-30 * time.Minute)}, nil
		}).Once()
	e.OnActivity(a.Observe, mock.Anything, mock.Anything).After(1000*time.Hour).Return(ltp.Handover{}, nil)
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unknown}, e.play(2*time.Hour))
}

func TestOperatorHoldsAndReleases(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	update := func(after time.Duration, name string, arg any) (rejected *error) {
		rejected = new(error)
		e.RegisterDelayedCallback(func() {
			e.UpdateWorkflow(name, "", &testsuite.TestUpdateCallback{
				OnAccept: func() {}, OnReject: func(err error) { *rejected = err }, OnComplete: func(any, error) {},
			}, arg)
		}, after)
		return rejected
	}
	nameless := update(3*time.Second, ltp.HoldUpdate, ltp.Hold{Why: "no name"})
	notHeld := update(3*time.Second, ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "x"})
	held := update(5*time.Second, ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "migration", Freeze: true})
	e.sees(10*time.Second, ltp.Unhealthy, "sick")
	e.sees(20*time.Second, ltp.Healthy, "well")
	released := update(30*time.Second, ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"})
	e.drained(40*time.Second, 5)

	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Stable}, e.play(time.Hour))
	assert.Error(t, *nameless)
	assert.Error(t, *notHeld)
	assert.NoError(t, *held)
	assert.NoError(t, *released)
	hold := e.published[3].Hold
	require.NotNil(t, hold)
	assert.Equal(t, "ann", hold.By)
	assert.True(t, hold.Freeze)
	assert.Nil(t, e.published[4].Hold)
}

func TestDegradedAndBackReleasesWhatWaited(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	e.sees(10*time.Second, ltp.Slow, "slow")
	e.sees(20*time.Second, ltp.Healthy, "normal")
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Degraded, ltp.Stable}, e.play(time.Minute))
	require.Len(t, e.replays, 3)
	assert.Equal(t, ltp.ReplayInput{Component: ltp.DefaultComponent, Epoch: 5}, e.replays[2], "high-risk orders waited")
}

func TestNonsenseIsIgnored(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, "SPLENDID", "?")
	e.RegisterDelayedCallback(func() {
		e.SignalWorkflow(ltp.ObservationSignal, ltp.Observation{Component: "other", Verdict: ltp.Healthy})
	}, 2*time.Second)
	assert.Equal(t, []ltp.State{ltp.Unknown}, e.play(time.Minute))
}

func TestEpochsGoOnAfterAnEarlierWorkflow(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.input.Epoch = 57
	e.sees(time.Second, ltp.Healthy, "normal")
	e.play(time.Minute)
	assert.EqualValues(t, 58, e.published[0].Epoch)
	assert.Equal(t, ltp.Unknown, e.published[0].State)
	assert.EqualValues(t, 59, e.published[1].Epoch)
}

func TestOrientationFailsLoudlyWhenObservingCannotWork(t *testing.T) {
	e := newOrientationTest(t)
	broken := func() (ltp.Handover, error) {
		return ltp.Handover{}, temporal.NewNonRetryableApplicationError("no such table", "Probe", nil)
	}
	e.observedBy(broken, broken, broken)
	e.sees(500*time.Millisecond, ltp.Healthy, "normal")
	states := e.play(time.Minute)
	assert.Equal(t, ltp.Unknown, states[len(states)-1])
	assert.Contains(t, e.published[len(e.published)-1].Reason, "no such table")
}
