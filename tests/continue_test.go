package tests

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/trace"
)

// continuations is how often the Orientation must continue as new in a test that tries
// what is said at that moment.
const continuations = 12

// TestNothingSaidWhileContinuingAsNewIsLost: two operators and an observer say one thing
// after the other, without a pause, while the Orientation continues as new again and
// again. No request fails, each takes effect once and in its turn, epochs go on by one, and
// the last observation is the one in force.
func TestNothingSaidWhileContinuingAsNewIsLost(t *testing.T) {
	r := newRig(t, func(o *embedded.Options) {
		o.ExtraArgs = append(o.ExtraArgs, "--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=60")
	})
	c := r.config()
	c.Observe = false // the test observes
	r.up(c)
	talk := &talk{rig: r, client: &counting{Client: r.Client}}
	talk.observe("first", ltp.Healthy)

	ctx, stop := context.WithCancel(r.Ctx)
	var said sync.WaitGroup
	said.Go(func() { talk.hold(ctx) })
	said.Go(func() { talk.steer(ctx) })
	said.Go(func() { talk.watch(ctx) })
	runs := map[string]bool{}
	assert.Eventually(t, func() bool {
		runs[r.orientationRun()] = true
		return len(runs) > continuations || t.Failed()
	}, patience, 10*time.Millisecond)
	stop()
	said.Wait()
	talk.observe("last", ltp.Unhealthy)
	require.False(t, t.Failed())

	// One more run, to see what it is given.
	for run := r.orientationRun(); r.orientationRun() == run; {
		talk.oneSteer()
	}
	in := r.carriedOn()
	assert.Equal(t, "last", in.Continued.Last.Reason)
	assert.Equal(t, ltp.Unstable, in.Continued.Orientation.State)
	now, err := board.Read(r.Ctx, r.Client, ltp.DefaultComponent)
	require.NoError(t, err)
	assert.EqualValues(t, talk.steers, now.ReplayControl.Rate, "the last request for a rate")

	story, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(t, err, "the trace is whole over all runs")
	assert.Empty(t, story.Gaps)
	epoch := story.Frames[0].Orientation.Epoch - 1
	for _, f := range story.Frames {
		require.Contains(t, []int64{epoch, epoch + 1}, f.Orientation.Epoch, f.ID)
		epoch = f.Orientation.Epoch
	}
	assert.Equal(t, talk.held, whys(story, trace.NoteHold))
	assert.Equal(t, talk.released, whys(story, trace.NoteRelease))
	assert.Equal(t, talk.steered, whys(story, trace.NoteReplayControl))

	longest, undone := r.runsOfOrientation()
	assert.Less(t, longest, 60+600, "a run ends soon after it is time, however much is said")
	t.Logf("%d runs, the longest of %d events; %d holds and releases, %d steers, %d observations; %d workflow tasks undone by what arrived, %d requests sent again",
		len(runs), longest, len(talk.held)+len(talk.released), talk.steers, talk.seen.Load(), undone, talk.client.lost.Load())
}

// talk is what is said to an Orientation, and what of it was acknowledged.
type talk struct {
	*rig
	client                  *counting
	seen                    atomic.Int64
	held, released, steered []string
	steers                  int
}

// counting counts the requests that Temporal gave up.
type counting struct {
	client.Client
	lost atomic.Int64
}

func (c *counting) UpdateWorkflow(ctx context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	handle, err := c.Client.UpdateWorkflow(ctx, o)
	if err != nil {
		c.lost.Add(1)
	}
	return handle, err
}

// send sends an Update, which must be carried out.
func (k *talk) send(update string, request, answer any) bool {
	ctx, cancel := context.WithTimeout(k.Ctx, time.Minute)
	defer cancel()
	return assert.NoError(k.T, board.SendUpdate(ctx, k.client, ltp.DefaultComponent, update, request, answer), update)
}

// hold holds and releases the component, in turn, until ctx ends.
func (k *talk) hold(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		var held, released ltp.Orientation
		why := fmt.Sprint("h", i)
		if !k.send(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: why}, &held) {
			return
		}
		k.held = append(k.held, why)
		assert.Equal(k.T, ltp.Unstable, held.State)
		if !k.send(ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: why}, &released) {
			return
		}
		k.released = append(k.released, why)
		assert.Nil(k.T, released.Hold)
		assert.GreaterOrEqual(k.T, released.Epoch, held.Epoch)
	}
}

// steer sets one rate after the other, until ctx ends.
func (k *talk) steer(ctx context.Context) {
	for ctx.Err() == nil && k.oneSteer() {
	}
}

func (k *talk) oneSteer() bool {
	var now ltp.ReplayControl
	rate := float64(k.steers + 1)
	why := fmt.Sprint("s", k.steers)
	if !k.send(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Rate: &rate, By: "bob", Why: why}, &now) {
		return false
	}
	k.steers++
	k.steered = append(k.steered, why)
	return assert.Equal(k.T, rate, now.Rate)
}

// watch says what an observer outside sees, until ctx ends.
func (k *talk) watch(ctx context.Context) {
	for i := 0; ctx.Err() == nil; i++ {
		k.observe(fmt.Sprint("o", i), []ltp.Verdict{ltp.Healthy, ltp.Unhealthy, ltp.Slow}[i%3])
	}
}

func (k *talk) observe(reason string, v ltp.Verdict) {
	k.seen.Add(1)
	assert.NoError(k.T, k.rig.Client.SignalWorkflow(k.Ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", ltp.ObservationSignal,
		ltp.Observation{Component: ltp.DefaultComponent, Verdict: v, Reason: reason, Observer: "test", At: time.Now().UTC()}))
}

// whys are the reasons that operators gave in notes of a kind, in turn.
func whys(story trace.OrientationTrace, kind trace.NoteKind) (all []string) {
	for _, n := range story.Notes {
		if n.Kind == kind {
			all = append(all, n.Text[strings.LastIndex(n.Text, " ")+1:])
		}
	}
	return all
}

// carriedOn is what the run before gave to the run in force.
func (r *rig) carriedOn() (in ltp.OrientationInput) {
	r.T.Helper()
	h := r.History(ltp.OrientationWorkflowID(ltp.DefaultComponent), r.orientationRun())
	require.NoError(r.T, trace.Decode(h.Events[0].GetWorkflowExecutionStartedEventAttributes().GetInput(), &in))
	require.NotNil(r.T, in.Continued)
	return in
}

// runsOfOrientation are how many events the longest run has, and how many workflow tasks
// were undone because something arrived while they were under way.
func (r *rig) runsOfOrientation() (longest, undone int) {
	r.T.Helper()
	for run := r.orientationRun(); run != ""; {
		events := r.History(ltp.OrientationWorkflowID(ltp.DefaultComponent), run).GetEvents()
		longest = max(longest, len(events))
		for _, e := range events {
			if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED &&
				e.GetWorkflowTaskFailedEventAttributes().GetCause() == enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND {
				undone++
			}
		}
		run = before(events[0])
	}
	return longest, undone
}

// before is the run that the one which begins so continues.
func before(started *historypb.HistoryEvent) string {
	return started.GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId()
}
