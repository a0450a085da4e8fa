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
	controls  []ltp.ReplayControl
	policies  []ltp.Policy
	replays   []ltp.ReplayInput
	input     ltp.OrientationInput
}

// before is the last epoch of an earlier workflow of the component.
const before = 100

func newOrientationTest(t *testing.T) *orientationTest {
	return orientationTestOf(t, new(testsuite.WorkflowTestSuite))
}

func orientationTestOf(t *testing.T, suite *testsuite.WorkflowTestSuite) *orientationTest {
	e := &orientationTest{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t}
	e.input = ltp.OrientationInput{Component: ltp.DefaultComponent, Policy: ltp.DefaultPolicy(), Epoch: before}
	e.SetTestTimeout(time.Minute)
	e.RegisterActivity(&activities.Observer{})
	e.RegisterWorkflowWithOptions(func(_ workflow.Context, in ltp.ReplayInput) (ltp.ReleaseReport, error) {
		e.replays = append(e.replays, in)
		return ltp.ReleaseReport{}, nil
	}, workflow.RegisterOptions{Name: ltp.ReplayWorkflow})
	e.OnUpsertMemo(mock.Anything).Run(func(args mock.Arguments) {
		memo := args.Get(0).(map[string]any)
		if s, ok := memo[ltp.ReplayControlMemo]; ok {
			e.controls = append(e.controls, s.(ltp.ReplayControl))
			return
		}
		if p, ok := memo[ltp.PolicyMemo]; ok {
			e.policies = append(e.policies, p.(ltp.Policy))
		}
		if o, ok := memo[ltp.OrientationMemo]; ok {
			e.published = append(e.published, o.(ltp.Orientation))
		}
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

// drained says that the backlog of the nth epoch of this workflow is drained.
func (e *orientationTest) drained(after time.Duration, nth int64) {
	e.RegisterDelayedCallback(func() { e.SignalWorkflow(ltp.DrainedSignal, before+nth) }, after)
}

// fails has a worker report orders that failed in the nth epoch of this workflow.
func (e *orientationTest) fails(after time.Duration, nth int64, orders ...string) {
	e.RegisterDelayedCallback(func() { e.SignalWorkflow(ltp.FailingSignal, failedWrites(nth, orders...)) }, after)
}

func failedWrites(nth int64, orders ...string) ltp.FailedWrites {
	w := ltp.FailedWrites{Component: ltp.DefaultComponent, Worker: "worker-1", Epoch: before + nth}
	for _, id := range orders {
		w.Orders = append(w.Orders, ltp.FailedWrite{Order: id, Code: "42501", Error: "permission denied for table orders"})
	}
	return w
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

func TestAnOutageOfSecondsIsOneFallAndOneRecovery(t *testing.T) {
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
		{Component: ltp.DefaultComponent, Epoch: before + 2, Drain: true}, {Component: ltp.DefaultComponent, Epoch: before + 5, Drain: true},
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

	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unstable, ltp.Unstable, ltp.Unstable, ltp.Recovering, ltp.Stable}, e.play(time.Hour))
	assert.Error(t, *nameless)
	assert.Error(t, *notHeld)
	assert.NoError(t, *held)
	assert.NoError(t, *released)
	hold := e.published[3].Hold
	require.NotNil(t, hold)
	assert.Equal(t, "ann", hold.By)
	assert.True(t, hold.Freeze)
	for i, seen := range []ltp.Verdict{ltp.Healthy, ltp.Unhealthy, ltp.Healthy} { // whoever lets an order through needs to know
		assert.Equal(t, seen, e.published[3+i].Observed)
		assert.Equal(t, hold, e.published[3+i].Hold)
		assert.Equal(t, e.published[3].Epoch, e.published[3+i].Epoch)
	}
	assert.Nil(t, e.published[6].Hold)
	assert.Empty(t, e.published[6].Observed)
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
	assert.Equal(t, ltp.ReplayInput{Component: ltp.DefaultComponent, Epoch: before + 5}, e.replays[2], "high-risk orders waited")
}

func TestInvalidObservationsAreIgnored(t *testing.T) {
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

// TestEpochsAreLargerThanThoseOfAForgottenWorkflow: those of a workflow that Temporal has
// forgotten are all smaller.
func TestEpochsAreLargerThanThoseOfAForgottenWorkflow(t *testing.T) {
	e := newOrientationTest(t)
	began := time.Date(2026, 11, 5, 14, 0, 0, 0, time.UTC)
	e.SetStartTime(began)
	e.observedBy()
	e.input.Epoch = 0
	e.sees(time.Second, ltp.Healthy, "normal")
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering}, e.play(time.Minute))
	assert.Equal(t, began.Unix()+1, e.published[0].Epoch)
	assert.Equal(t, began.Unix(), e.published[0].LastFit)
}

// TestWhatOperatorsSaidOutlivesAWorkflowThatWasEnded: a component that was held is held.
func TestWhatOperatorsSaidOutlivesAWorkflowThatWasEnded(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.input.ReplayControl = ltp.ReplayControl{Rate: 5, Limit: ltp.Attribution{By: "bob", Why: "gently"}}
	e.input.Held = &ltp.Hold{By: "ann and eve", Freeze: true, Joined: []ltp.Hold{
		{By: "ann", Why: "migration", Freeze: true}, {By: "eve", Why: "long over", Until: e.Now().Add(-time.Hour)},
	}}
	e.sees(time.Second, ltp.Healthy, "normal")
	paused := e.operator(time.Minute, ltp.ReplayControlUpdate, pause("ann"))
	released := e.operator(2*time.Minute, ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"})
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Unstable, ltp.Unstable, ltp.Recovering}, e.play(time.Hour))
	assert.Equal(t, "Held by ann: migration", e.published[1].Reason)
	assert.True(t, e.published[1].Hold.Freeze)
	assert.Empty(t, e.published[1].Observed)
	assert.Equal(t, ltp.Healthy, e.published[2].Observed)
	assert.True(t, paused.taken)
	assert.EqualValues(t, 5, e.controls[0].Rate)
	assert.True(t, released.taken)
}

// TestOrdersThatFailAreAnOutage, though the observer sees nothing wrong; and canaries are
// tried after the dwell.
func TestOrdersThatFailAreAnOutage(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	e.fails(10*time.Second, 2, "A1", "A2", "A3") // of another epoch
	e.RegisterDelayedCallback(func() {
		w := failedWrites(3, "A1", "A2", "A3")
		w.Component = "payments"
		e.SignalWorkflow(ltp.FailingSignal, w)
	}, 11*time.Second)
	e.fails(20*time.Second, 3, "A1", "A2")
	e.fails(30*time.Second, 3, "A2", "A3")
	e.drained(40*time.Second, 5)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Stable}, e.play(time.Hour))
	fall, after := e.published[3], e.published[4]
	assert.Equal(t, "Orders fail: permission denied for table orders (42501), 3 of 3 orders", fall.Reason)
	assert.Equal(t, "worker-1", fall.Observer)
	assert.Equal(t, e.input.Policy.Dwell, after.Since.Sub(fall.Since))
}

// TestAHoldEndsByTheTimerOfItsOrientation, and what was held is fit again.
func TestAHoldEndsByTheTimerOfItsOrientation(t *testing.T) {
	e := newOrientationTest(t)
	e.SetStartTime(time.Date(2026, 11, 5, 14, 0, 0, 0, time.UTC))
	at := func(clock string) (until time.Time) {
		until, err := time.Parse(time.DateTime, "2026-11-05 "+clock)
		require.NoError(t, err)
		return until
	}
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "normal")
	ann := e.operator(time.Minute, ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "migration", Until: at("15:00:00")})
	bob := e.operator(2*time.Minute, ltp.HoldUpdate, ltp.Hold{By: "bob", Why: "a leak", Freeze: true})
	past := e.operator(3*time.Minute, ltp.HoldUpdate, ltp.Hold{By: "eve", Why: "x", Until: at("14:00:00")})
	eve := e.operator(4*time.Minute, ltp.ReleaseUpdate, ltp.Release{By: "eve", Why: "done"})
	again := e.operator(5*time.Minute, ltp.HoldUpdate, ltp.Hold{By: "bob", Why: "a leak", Until: at("16:00:00")})
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Unstable, ltp.Unstable, ltp.Unstable, ltp.Unstable, ltp.Recovering}, e.play(3*time.Hour))
	for _, a := range []*answer{ann, bob, again} {
		assert.True(t, a.taken, "%+v", a)
	}
	assert.ErrorContains(t, past.refused, "past")
	assert.ErrorContains(t, eve.refused, "ann: migration; bob: a leak")
	assert.True(t, e.published[3].Hold.Freeze)
	assert.Equal(t, "Held by bob: a leak", e.published[5].Reason, "ann's has ended")
	last := e.published[6]
	assert.Equal(t, "The hold of bob ended at 16:00 UTC", last.Reason)
	assert.Equal(t, at("16:00:00"), last.Since)
}

// TestThePolicyIsAnUpdateThatHoldsAtOnce, also for the dwell that is under way, and stands
// in the memo.
func TestThePolicyIsAnUpdateThatHoldsAtOnce(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Unhealthy, "sick")
	e.sees(10*time.Second, ltp.Healthy, "normal")
	changed := e.operator(11*time.Second, ltp.PolicyUpdate, ltp.PolicyChange{Dwell: new(30 * time.Second), By: "ann", Why: "it flaps"})
	nobody := e.operator(12*time.Second, ltp.PolicyUpdate, ltp.PolicyChange{Dwell: new(time.Second)})
	wrong := e.operator(12*time.Second, ltp.PolicyUpdate, ltp.PolicyChange{Grace: new(time.Hour), By: "ann", Why: "x"})
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Unstable, ltp.Recovering}, e.play(time.Hour))
	assert.Equal(t, 39*time.Second, e.published[2].Since.Sub(e.published[1].Since))
	assert.True(t, changed.taken)
	assert.ErrorContains(t, nobody.refused, "who")
	assert.ErrorContains(t, wrong.refused, "grace")
	want := ltp.DefaultPolicy()
	want.Dwell = 30 * time.Second
	assert.Equal(t, []ltp.Policy{ltp.DefaultPolicy(), want}, e.policies)
}
