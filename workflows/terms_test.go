package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/workflows"
)

// Terms of the observers in these tests: the first to be appointed, and the one that
// takes over from it.
const first, second = 7, 8

// appoint says how the observer of a term ends, and after what time; a nil end stays.
func (e *orientationTest) appoint(term int64, after time.Duration, end func() (ltp.Handover, error)) {
	if end == nil {
		after, end = 1000*time.Hour, func() (ltp.Handover, error) { return ltp.Handover{}, nil }
	}
	var a *activities.Observer
	e.OnActivity(a.Observe, mock.Anything, mock.MatchedBy(func(in ltp.ObserveInput) bool {
		return in.Component == ltp.DefaultComponent && in.Term == term
	})).After(after).Return(
		func(context.Context, ltp.ObserveInput) (ltp.Handover, error) { return end() }).Once()
}

// lost is how an observer ends that is frozen, cut off or dead.
func (e *orientationTest) lost() (ltp.Handover, error) {
	return ltp.Handover{}, temporal.NewHeartbeatTimeoutError(ltp.Heartbeat{At: e.Now()})
}

// failed is how an observer ends that cannot work. It is not replaced at once.
func failed() (ltp.Handover, error) {
	return ltp.Handover{}, temporal.NewNonRetryableApplicationError("no such table", "Probe", nil)
}

// says has an observer of a term say something; those outside have the term 0.
func (e *orientationTest) says(after time.Duration, term int64, v ltp.Verdict) {
	e.RegisterDelayedCallback(func() { e.SignalWorkflow(ltp.ObservationSignal, said(term, v)) }, after)
}

func said(term int64, v ltp.Verdict) ltp.Observation {
	return ltp.Observation{Component: ltp.DefaultComponent, Verdict: v, Reason: "as the test says", Observer: "test", Term: term}
}

// TestOnlyTheActiveObserverIsBelieved: the first observer is lost after a minute, and
// says something when another has taken over.
func TestOnlyTheActiveObserverIsBelieved(t *testing.T) {
	stable := []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable}
	unstable := append(stable[:3:3], ltp.Unstable)
	for name, c := range map[string]struct {
		now  ltp.Verdict // what the second observer says
		late ltp.Verdict
		term int64 // under which that comes
		want []ltp.State
	}{
		"an alarm of the replaced one":           {ltp.Healthy, ltp.Unhealthy, first, stable},
		"slow, as the replaced one says":         {ltp.Healthy, ltp.Slow, first, stable},
		"an all-clear of the replaced one":       {ltp.Unhealthy, ltp.Healthy, first, unstable},
		"slow but fit, as the replaced one says": {ltp.Unhealthy, ltp.Slow, first, unstable},
		"nobody was appointed under the term":    {ltp.Unhealthy, ltp.Healthy, second + 1, unstable},
		"a negative term":                        {ltp.Unhealthy, ltp.Healthy, -second, unstable},
		"an alarm of the active one":             {ltp.Healthy, ltp.Unhealthy, second, unstable},
		"an all-clear of the active one":         {ltp.Unhealthy, ltp.Healthy, second, append(unstable[:4:4], ltp.Recovering)},
		"an alarm from outside":                  {ltp.Healthy, ltp.Unhealthy, 0, unstable},
		"an all-clear from outside":              {ltp.Unhealthy, ltp.Healthy, 0, append(unstable[:4:4], ltp.Recovering)},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOrientationTest(t)
			e.input.Term = first - 1
			e.appoint(first, time.Minute, e.lost)
			e.appoint(second, 0, nil)
			e.says(time.Second, first, ltp.Healthy)
			e.drained(2*time.Second, 2)
			e.says(2*time.Minute, second, c.now)
			e.says(3*time.Minute, c.term, c.late)
			assert.Equal(t, c.want, e.play(time.Hour))
		})
	}
}

// TestTheStateStandsUntilTheNewObserverSpeaks: what the lost observer says late is not
// believed either while the new one has not said anything.
func TestTheStateStandsUntilTheNewObserverSpeaks(t *testing.T) {
	e := newOrientationTest(t)
	e.input.Term = first - 1
	e.appoint(first, time.Minute, e.lost)
	e.appoint(second, 0, nil)
	e.says(time.Second, first, ltp.Unhealthy)
	e.says(2*time.Minute, first, ltp.Healthy)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Unstable}, e.play(time.Hour))
}

// TestOnlyAnUnfitVerdictIsBelievedOfAnObserverThatEnded: its successor is not appointed yet,
// and nobody would notice if good news stopped being true.
func TestOnlyAnUnfitVerdictIsBelievedOfAnObserverThatEnded(t *testing.T) {
	for late, want := range map[ltp.Verdict][]ltp.State{
		ltp.Healthy:   {ltp.Unknown},
		ltp.Slow:      {ltp.Unknown},
		ltp.Unhealthy: {ltp.Unknown, ltp.Unstable},
	} {
		t.Run(string(late), func(t *testing.T) {
			e := newOrientationTest(t)
			e.input.Term = first - 1
			e.appoint(first, time.Minute, failed)
			e.appoint(second, 0, nil)
			e.says(time.Minute+500*time.Millisecond, first, late) // the pause takes a second
			assert.Equal(t, want, e.play(2*time.Minute))
		})
	}
}

// TestTermsAreLargerThanThoseOfAnEarlierWorkflow: an observer of an earlier workflow of the component, which
// somebody terminated, cannot have the term of one of this.
func TestTermsAreLargerThanThoseOfAnEarlierWorkflow(t *testing.T) {
	e := newOrientationTest(t)
	began := time.Date(2026, 11, 5, 14, 0, 0, 0, time.UTC)
	e.SetStartTime(began)
	e.appoint(began.Unix()+1, time.Minute, e.lost)
	e.appoint(began.Unix()+2, 0, nil)
	e.says(2*time.Minute, began.Unix()+2, ltp.Healthy)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering}, e.play(time.Hour))
}

// TestContinuingAsNewLosesNothingThatWasSaid: neither good nor bad news, of the active
// observer, that has arrived by then; and terms go on.
func TestContinuingAsNewLosesNothingThatWasSaid(t *testing.T) {
	for _, last := range []ltp.Verdict{ltp.Healthy, ltp.Slow, ltp.Unhealthy} {
		t.Run(string(last), func(t *testing.T) {
			e := newOrientationTest(t)
			e.input.Term = first - 1
			e.appoint(first, 0, nil)
			e.says(time.Second, first, ltp.Healthy)
			e.drained(2*time.Second, 2)
			e.RegisterDelayedCallback(func() {
				e.SetContinueAsNewSuggested(true)
				// Each of these two starts a Replay, and the next is read only after that.
				e.SignalWorkflow(ltp.ObservationSignal, said(first, ltp.Slow))
				e.SignalWorkflow(ltp.ObservationSignal, said(first, ltp.Healthy))
				e.SignalWorkflow(ltp.ObservationSignal, said(first, last))
				e.SignalWorkflow(ltp.ObservationSignal, said(first-1, ltp.Unhealthy))
			}, time.Minute)
			e.ExecuteWorkflow(workflows.Orientation, e.input)

			var next *workflow.ContinueAsNewError
			require.ErrorAs(t, e.GetWorkflowError(), &next)
			var in ltp.OrientationInput
			require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
			assert.EqualValues(t, first, in.Term)
			assert.Equal(t, last, in.Continued.Last.Verdict)
			assert.EqualValues(t, first, in.Continued.Last.Term)

			// What the observer of the run before says from now on, its successor says, too.
			e = newOrientationTest(t)
			e.input = in
			e.appoint(second, 0, nil)
			e.says(time.Second, first, ltp.Unhealthy)
			e.says(time.Second, first, ltp.Healthy)
			e.play(time.Minute)
			assert.Empty(t, e.published)
		})
	}
}

// TestAnObserverIsToldTheVerdictInForce: none at first, that of the observer before it when
// it takes over, and none when the component has been lost sight of.
func TestAnObserverIsToldTheVerdictInForce(t *testing.T) {
	e := newOrientationTest(t)
	var handed []ltp.Verdict
	var a *activities.Observer
	e.OnActivity(a.Observe, mock.Anything, mock.Anything).After(time.Minute).Return(
		func(_ context.Context, in ltp.ObserveInput) (ltp.Handover, error) {
			handed = append(handed, in.LastVerdict)
			if len(handed) == 3 {
				return ltp.Handover{}, temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
			}
			return ltp.Handover{At: e.Now()}, nil
		})
	e.sees(time.Second, ltp.Unhealthy, "sick")
	e.sees(90*time.Second, ltp.Slow, "slow")
	e.play(4*time.Minute + 30*time.Second)
	assert.Equal(t, []ltp.Verdict{"", ltp.Unhealthy, ltp.Slow, ""}, handed)
}
