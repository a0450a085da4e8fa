package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/workflows"
)

// What a week of flapping may cost.
const (
	week = 7 * 24 * time.Hour
	// suggested is how many events Temporal lets a history have before it suggests to
	// continue as new, and most how many it may have by then, with what came in that
	// very moment.
	suggested, most = 4096, 4096 + 64
	// aFlap is the most that one flap may cost in events: it falls, recovers and is
	// drained.
	aFlap = 40
)

// flapping is a component that falls and recovers once a minute, for a week, over as
// many runs as that takes.
type flapping struct {
	*orientationTest
	events int // of this run, as Temporal counts them
	taken  int // steps
}

// task counts n events that wake the workflow, and the workflow task that they cause.
func (f *flapping) task(n int) {
	if f.events += n + 3; f.total() >= suggested {
		f.SetContinueAsNewSuggested(true)
	}
}

// newFlapping is one run, which begins at a time.
func newFlapping(t *testing.T, in ltp.OrientationInput, at time.Time) *flapping {
	suite := new(testsuite.WorkflowTestSuite)
	suite.SetLogger(quiet)
	f := &flapping{orientationTest: orientationTestOf(t, suite)}
	f.input = in
	f.SetStartTime(at)
	f.task(1)
	var a *activities.Observer
	f.OnActivity(a.Observe, mock.Anything, mock.Anything).After(workflows.ObserveFor).Return(
		func(context.Context, ltp.ObserveInput) (ltp.Handover, error) {
			f.task(2) // started and completed
			return ltp.Handover{At: f.Now()}, nil
		})
	f.SetOnActivityStartedListener(func(*activity.Info, context.Context, converter.EncodedValues) { f.events++ })
	f.SetOnTimerScheduledListener(func(string, time.Duration) { f.events++ })
	f.SetOnTimerFiredListener(func(string) { f.task(1) })
	f.SetOnTimerCanceledListener(func(string) { f.events++ })
	f.SetOnChildWorkflowStartedListener(func(*workflow.Info, workflow.Context, converter.EncodedValues) { f.task(2) })
	f.SetOnChildWorkflowCompletedListener(func(*workflow.Info, converter.EncodedValue, error) { f.task(1) })
	return f
}

// total is how many events the run has, with what it published.
func (f *flapping) total() int { return f.events + len(f.published) + len(f.controls) }

// step is the nth thing that happens in the week, and when: every minute the component
// falls, is observed fit again, and its backlog is drained; then an operator changes the ReplayControl.
func (f *flapping) step(n int) {
	saw := func(v ltp.Verdict) {
		f.task(1)
		f.SignalWorkflow(ltp.ObservationSignal, ltp.Observation{Component: ltp.DefaultComponent, Verdict: v, Reason: "as the test says", Observer: "test"})
	}
	switch n % 4 {
	case 0:
		saw(ltp.Unhealthy)
	case 1:
		saw(ltp.Healthy)
	case 2:
		f.task(1)
		f.SignalWorkflow(ltp.DrainedSignal, f.epoch())
	case 3:
		f.task(2)
		f.send(new(answer), ltp.ReplayControlUpdate, limit("ann", float64(n)))
	}
}

const stepLasts = 15 * time.Second

// steps takes one step after the other, and the first of them after a while.
func (f *flapping) steps(n, end int, after time.Duration) {
	f.RegisterDelayedCallback(func() {
		if n == end {
			f.CancelWorkflow()
			return
		}
		f.steps(n+1, end, stepLasts)
		f.taken++
		f.step(n)
	}, after)
}

// epoch is the one in force.
func (f *flapping) epoch() int64 {
	if n := len(f.published); n > 0 {
		return f.published[n-1].Epoch
	}
	return f.input.Continued.Orientation.Epoch
}

// TestAWeekOfFlappingCostsBoundedHistory: once a minute. Every run stays short, and no
// flap, no epoch and no Update is lost between two runs.
func TestAWeekOfFlappingCostsBoundedHistory(t *testing.T) {
	at := time.Date(2026, 11, 2, 0, 0, 0, 0, time.UTC)
	policy := ltp.DefaultPolicy()
	policy.MaxDwell = policy.Dwell // every flap counts, however often
	in := ltp.OrientationInput{Component: ltp.DefaultComponent, Policy: policy, Term: 1, Epoch: before}
	flaps := int(week / (4 * stepLasts))
	epoch := int64(before)
	var runs, events, replays, fallen, controlled, next int
	for ; next < 4*flaps; runs++ {
		f := newFlapping(t, in, at)
		f.steps(next, 4*flaps, stepLasts)
		f.ExecuteWorkflow(workflows.Orientation, f.input)
		require.True(t, f.IsWorkflowCompleted())
		require.LessOrEqual(t, f.total(), most)
		for _, o := range f.published {
			require.Equal(t, epoch+1, o.Epoch, "run %d", runs)
			if epoch = o.Epoch; o.State == ltp.Unstable {
				fallen++
			}
		}
		events, replays, controlled = events+f.total(), replays+len(f.replays), controlled+len(f.controls)
		next, at = next+f.taken, f.Now()
		if next < 4*flaps {
			in = carriedOn(t, f.GetWorkflowError())
			require.Equal(t, epoch, in.Continued.Orientation.Epoch)
			require.EqualValues(t, (next-4)/4*4+3, in.ReplayControl.Rate, "the operator's last Update")
		}
	}
	assert.Equal(t, flaps, fallen)
	assert.Equal(t, flaps, controlled)
	assert.Equal(t, flaps, replays)
	assert.EqualValues(t, before+1+3*flaps, epoch, "UNSTABLE, RECOVERING and STABLE, every minute")
	assert.LessOrEqual(t, events/flaps, aFlap)
	t.Logf("%d flaps: %d runs, %d events, %.1f a flap, %d replays, epoch %d", flaps, runs, events, float64(events)/float64(flaps), replays, epoch)
}

// carriedOn is what a run that continued as new gives to the next.
func carriedOn(t *testing.T, err error) (in ltp.OrientationInput) {
	t.Helper()
	var next *workflow.ContinueAsNewError
	require.ErrorAs(t, err, &next)
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(next.Input, &in))
	return in
}
