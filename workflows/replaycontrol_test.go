package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/workflows"
)

// answer is what became of an operator's Update.
type answer struct {
	refused, failed error
	taken           bool
}

// operator sends an Update after a time, by the workflow's clock.
func (e *orientationTest) operator(after time.Duration, update string, arg any) *answer {
	a := new(answer)
	e.RegisterDelayedCallback(func() { e.send(a, update, arg) }, after)
	return a
}

func (e *orientationTest) send(a *answer, update string, arg any) { e.sendAs("", a, update, arg) }

// sendAs sends an Update under an id; without one it has an id of its own.
func (e *orientationTest) sendAs(id string, a *answer, update string, arg any) {
	e.UpdateWorkflow(update, id, &testsuite.TestUpdateCallback{
		OnAccept:   func() {},
		OnReject:   func(err error) { a.refused = err },
		OnComplete: func(_ any, err error) { a.taken, a.failed = err == nil, err },
	}, arg)
}

func pause(by string) ltp.ReplayControlChange {
	return ltp.ReplayControlChange{Paused: new(true), By: by, Why: "as the test says"}
}
func resume(by string) ltp.ReplayControlChange {
	return ltp.ReplayControlChange{Paused: new(false), By: by, Why: "as the test says"}
}
func limit(by string, rate float64) ltp.ReplayControlChange {
	return ltp.ReplayControlChange{Rate: new(rate), By: by, Why: "as the test says"}
}

// TestAReplayControlChangesNeitherStateNorEpoch: it stands beside the orientation until
// another Update comes, and what that does not name stays.
func TestAReplayControlChangesNeitherStateNorEpoch(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "normal")
	updates := []*answer{
		e.operator(10*time.Second, ltp.ReplayControlUpdate, pause("ann")),
		e.operator(20*time.Second, ltp.ReplayControlUpdate, limit("bob", 50)),
		e.operator(40*time.Second, ltp.ReplayControlUpdate, resume("ann")),
		e.operator(50*time.Second, ltp.ReplayControlUpdate, limit("bob", 0)),
	}
	e.sees(30*time.Second, ltp.Unhealthy, "sick")
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Unstable}, e.play(time.Hour))
	for _, w := range updates {
		assert.True(t, w.taken, "%+v", w)
	}
	require.Len(t, e.controls, 4)
	began := e.published[0].Since
	ann := ltp.Attribution{By: "ann", Why: "as the test says", Since: began.Add(10 * time.Second)}
	bob := ltp.Attribution{By: "bob", Why: "as the test says", Since: began.Add(20 * time.Second)}
	assert.Equal(t, []ltp.ReplayControl{
		{Paused: true, Pause: ann}, {Paused: true, Pause: ann, Rate: 50, Limit: bob}, {Rate: 50, Limit: bob}, {},
	}, e.controls)
}

// TestReplayControlUpdatesThatCannotBeAreRefused: what is refused changes nothing.
func TestReplayControlUpdatesThatCannotBeAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		what ltp.ReplayControlChange
		says string
	}{
		"nobody says it":       {ltp.ReplayControlChange{Paused: new(true), Why: "x"}, "who"},
		"nobody says why":      {ltp.ReplayControlChange{Paused: new(true), By: "ann"}, "why"},
		"it says nothing":      {ltp.ReplayControlChange{By: "ann", Why: "x"}, "what is to change"},
		"nothing is paused":    {resume("ann"), "not paused"},
		"a negative rate":      {limit("ann", -1), "rate"},
		"slower than a crawl":  {limit("ann", ltp.MinRate/2), "pause the replay instead"},
		"resumed at no rate":   {ltp.ReplayControlChange{Paused: new(true), Rate: new(-0.5), By: "ann", Why: "x"}, "rate"},
		"resumed, none paused": {ltp.ReplayControlChange{Paused: new(false), Rate: new(100.0), By: "ann", Why: "x"}, "not paused"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOrientationTest(t)
			e.observedBy()
			a := e.operator(time.Second, ltp.ReplayControlUpdate, c.what)
			e.play(time.Minute)
			assert.ErrorContains(t, a.refused, c.says)
			assert.Empty(t, e.controls)
		})
	}
}

// TestContinuingAsNewKeepsTheReplayControl: a pause goes on in the next run, which knows of
// it: it can be resumed, and the rate that stood beside it stays.
func TestContinuingAsNewKeepsTheReplayControl(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.operator(time.Second, ltp.ReplayControlUpdate, limit("bob", 50))
	e.operator(2*time.Second, ltp.ReplayControlUpdate, pause("ann"))
	// Nothing but an Update wakes the workflow when it is time to continue as new.
	e.RegisterDelayedCallback(func() { e.SetContinueAsNewSuggested(true) }, time.Minute)
	last := e.operator(2*time.Minute, ltp.ReplayControlUpdate, limit("bob", 60))
	began := e.Now()
	in := e.continued()
	assert.Less(t, e.Now().Sub(began), time.Hour, "the Update woke it")
	assert.True(t, last.taken)
	assert.Equal(t, ltp.ReplayControl{
		Paused: true, Pause: ltp.Attribution{By: "ann", Why: "as the test says", Since: in.ReplayControl.Pause.Since},
		Rate: 60, Limit: ltp.Attribution{By: "bob", Why: "as the test says", Since: in.ReplayControl.Limit.Since},
	}, in.ReplayControl)

	e = newOrientationTest(t)
	e.input = in
	e.observedBy()
	resumed := e.operator(time.Second, ltp.ReplayControlUpdate, resume("ann"))
	e.play(time.Minute)
	require.NoError(t, resumed.refused)
	require.Len(t, e.controls, 1)
	assert.False(t, e.controls[0].Paused)
	assert.EqualValues(t, 60, e.controls[0].Rate)
}

// TestContinuingAsNewFinishesEveryUpdate: a release that has a replay to start is
// finished first, and so is what comes while it does.
func TestContinuingAsNewFinishesEveryUpdate(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	e.operator(3*time.Second, ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "x"})
	updates := make([]*answer, 0, 3)
	e.RegisterDelayedCallback(func() { e.SetContinueAsNewSuggested(true) }, time.Minute)
	updates = append(updates,
		e.operator(time.Minute+1, ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "x"}),
		e.operator(time.Minute+1, ltp.ReplayControlUpdate, pause("bob")),
		e.operator(time.Minute+1, ltp.HoldUpdate, ltp.Hold{By: "bob", Why: "y"}))
	in := e.continued()
	for _, w := range updates {
		assert.True(t, w.taken, "%+v", w)
	}
	assert.True(t, in.ReplayControl.Paused)
	assert.EqualValues(t, before+6, in.Continued.Orientation.Epoch)
	require.NotNil(t, in.Continued.Orientation.Hold)
	assert.Equal(t, "bob", in.Continued.Orientation.Hold.By)
	assert.Len(t, e.replays, 2)
}

// TestContinuingAsNewTakesWhatComesWhileItCatchesUp: what has been signalled starts a
// replay, and while that starts an operator sends an Update that starts another.
func TestContinuingAsNewTakesWhatComesWhileItCatchesUp(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	e.RegisterDelayedCallback(func() {
		e.SetContinueAsNewSuggested(true)
		for _, v := range []ltp.Verdict{ltp.Slow, ltp.Healthy} { // the first is the main loop's, the second is caught up with
			e.SignalWorkflow(ltp.ObservationSignal, ltp.Observation{Component: ltp.DefaultComponent, Verdict: v, Reason: "as the test says", Observer: "test"})
		}
	}, time.Minute)
	held, released := new(answer), new(answer)
	e.SetOnChildWorkflowStartedListener(func(*workflow.Info, workflow.Context, converter.EncodedValues) {
		if len(e.published) > 0 && e.published[len(e.published)-1].Epoch == before+5 && !held.taken {
			e.send(held, ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "x"})
			e.send(released, ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "x"})
		}
	})
	in := e.continued()
	assert.True(t, held.taken)
	assert.True(t, released.taken, "%+v", released)
	assert.Equal(t, ltp.Recovering, in.Continued.Orientation.State)
	assert.EqualValues(t, before+7, in.Continued.Orientation.Epoch)
}

// TestAnUpdateThatTemporalDeliversToTheNextRunAgainIsCarriedOutOnce: as it does with one that
// was carried out in the workflow task that continued as new.
func TestAnUpdateThatTemporalDeliversToTheNextRunAgainIsCarriedOutOnce(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Unhealthy, "sick")
	hold, release := ltp.Hold{By: "ann", Why: "x"}, ltp.Release{By: "ann", Why: "x"}
	e.RegisterDelayedCallback(func() { e.sendAs("first", new(answer), ltp.HoldUpdate, hold) }, 2*time.Second)
	e.RegisterDelayedCallback(func() {
		e.SetContinueAsNewSuggested(true)
		e.sendAs("second", new(answer), ltp.ReleaseUpdate, release)
	}, 3*time.Second)
	in := e.continued()
	require.Nil(t, in.Continued.Orientation.Hold)

	e = newOrientationTest(t)
	e.input = in
	e.observedBy()
	again, anew := new(answer), new(answer)
	e.RegisterDelayedCallback(func() {
		e.sendAs("second", again, ltp.ReleaseUpdate, release)
		e.sendAs("third", anew, ltp.ReleaseUpdate, release)
	}, time.Second)
	e.play(time.Minute)
	assert.True(t, again.taken, "%+v", again)
	assert.ErrorContains(t, anew.refused, "not held")
	assert.Empty(t, e.published, "and nothing came of it")
}

// TestOnlyTheLatestUpdatesAreRemembered, so that what a run carries on stays small.
func TestOnlyTheLatestUpdatesAreRemembered(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	for i := range 100 {
		e.operator(time.Duration(i)*time.Second, ltp.ReplayControlUpdate, limit("ann", float64(1+i)))
	}
	e.RegisterDelayedCallback(func() { e.SetContinueAsNewSuggested(true) }, 90*time.Second+1)
	in := e.continued()
	assert.Len(t, in.Applied, 32)
	assert.EqualValues(t, 92, in.ReplayControl.Rate)
}

// continued plays until the workflow continues as new, and returns with what.
func (e *orientationTest) continued() (in ltp.OrientationInput) {
	e.t.Helper()
	e.ExecuteWorkflow(workflows.Orientation, e.input)
	var next *workflow.ContinueAsNewError
	require.ErrorAs(e.t, e.GetWorkflowError(), &next)
	require.NoError(e.t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	return in
}

// TestContinuingAsNewKeepsThePolicy, and what was said of failing orders.
func TestContinuingAsNewKeepsThePolicy(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	e.operator(3*time.Second, ltp.PolicyUpdate, ltp.PolicyChange{Dwell: new(30 * time.Second), By: "ann", Why: "it flaps"})
	e.RegisterDelayedCallback(func() {
		e.SetContinueAsNewSuggested(true)
		// The first starts a Replay, and the others are caught up with.
		e.SignalWorkflow(ltp.ObservationSignal, ltp.Observation{Component: ltp.DefaultComponent, Verdict: ltp.Slow, Reason: "slow", Observer: "test"})
		e.SignalWorkflow(ltp.FailingSignal, failedWrites(4, "A1", "A2"))
		e.SignalWorkflow(ltp.FailingSignal, failedWrites(4, "A3"))
	}, time.Minute)
	in := e.continued()
	assert.Equal(t, 30*time.Second, in.Policy.Dwell)
	assert.Equal(t, ltp.Unstable, in.Continued.Orientation.State)

	e = newOrientationTest(t)
	e.input = in
	e.observedBy()
	assert.Equal(t, []ltp.State{ltp.Recovering}, e.play(time.Hour))
}

// TestFailedOrdersAreRememberedOverARun: two failed in the run before, the third in this.
func TestFailedOrdersAreRememberedOverARun(t *testing.T) {
	e := newOrientationTest(t)
	e.observedBy()
	e.sees(time.Second, ltp.Healthy, "normal")
	e.drained(2*time.Second, 2)
	e.RegisterDelayedCallback(func() {
		e.SetContinueAsNewSuggested(true)
		e.SignalWorkflow(ltp.FailingSignal, failedWrites(3, "A1", "A2"))
	}, time.Minute)
	in := e.continued()
	require.Equal(t, ltp.Stable, in.Continued.Orientation.State)
	at := in.Continued.Failed[0].At

	e = newOrientationTest(t)
	e.SetStartTime(at)
	e.input = in
	e.observedBy()
	e.fails(time.Second, 3, "A3")
	assert.Equal(t, []ltp.State{ltp.Unstable, ltp.Recovering}, e.play(time.Minute))
}
