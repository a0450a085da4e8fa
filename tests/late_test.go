package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/trace"
)

// TestOrdersThatWaitedForAWorkerAreReleasedLikeABacklog: an observer sees a healthy
// database all the while, and no worker runs. When one returns, a few orders go ahead, and
// the others follow by a release.
func TestOrdersThatWaitedForAWorkerAreReleasedLikeABacklog(t *testing.T) {
	const orders, late = 60, time.Second
	r := newRig(t)
	watching := r.config()
	watching.Worker = false
	r.up(watching)
	working := r.config()
	working.Observe, working.LateAfter = false, late
	n := r.up(working)
	stable := r.Until(n.Board, ltp.Stable)
	n.Stop()

	var ids []string
	for i := range orders {
		id := fmt.Sprintf("late-%d", i)
		r.Submit(id)
		ids = append(ids, id)
	}
	require.Eventually(t, func() bool {
		w, err := board.ReadWorkers(r.Ctx, r.Client, r.Server.Namespace())
		return err == nil && w.Waiting >= orders && w.OldestSeconds > 2*late.Seconds()
	}, patience, 50*time.Millisecond, "Temporal shows that orders wait for a worker")

	n = r.up(working)
	for _, id := range ids {
		assert.Equal(t, ltp.Executed, r.Ended(id).State)
	}
	r.executedOnce("late-", ids)
	r.Until(n.Board, ltp.Stable)

	story, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(t, err)
	var released *ltp.Orientation
	for _, f := range story.Frames {
		if f.Orientation.Epoch == stable.Epoch+1 {
			released = f.Orientation
		}
	}
	require.NotNil(t, released)
	assert.Equal(t, ltp.Recovering, released.State)
	assert.Regexp(t, `^Orders waited \d+s for a worker$`, released.Reason)

	atOnce := 0
	for _, id := range ids {
		o, err := r.Reader().Order(r.Ctx, id)
		require.NoError(t, err)
		if len(o.Frames) > 1 && o.Frames[1].Response.Admissible {
			atOnce++
		}
	}
	assert.LessOrEqual(t, atOnce, ltp.LateOrders)
	r.audited(0, "--orders-db", r.Orders)
}

// TestAWorkerLearnsFirstWhatWasSaidWhileNoneRan: the observer found the database sick while
// no worker ran. An order that came before that is not written into it when one returns.
func TestAWorkerLearnsFirstWhatWasSaidWhileNoneRan(t *testing.T) {
	r := newRig(t)
	watching := r.config()
	watching.Worker = false
	said := make(chan ltp.Observation, 99)
	watching.Listener.Said = func(o ltp.Observation) { said <- o }
	r.up(watching)
	working := r.config()
	working.Observe = false
	n := r.up(working)
	r.Until(n.Board, ltp.Stable)
	n.Stop()

	r.Submit("sick-1")
	end := r.Outage()
	for o := range said {
		if !o.Verdict.Fit() {
			break
		}
	}
	require.Eventually(t, r.saidUnfit, patience, 10*time.Millisecond, "the verdict is on its way to Temporal until then")
	n = r.up(working)
	r.Until(n.Board, ltp.Unstable)
	sub := r.Submit("sick-1")
	st := r.Decided(sub)
	assert.Equal(t, ltp.Deferred, st.State)
	o, err := r.Reader().Order(r.Ctx, "sick-1")
	require.NoError(t, err)
	assert.Equal(t, ltp.ReasonUnstable, o.Frames[1].Response.Reason, "and it did not try")
	end()
	r.executedOnce("sick-", []string{"sick-1"})
}

// saidUnfit reports whether the latest verdict that Temporal has for the Orientation is unfit.
func (r *rig) saidUnfit() bool {
	var latest ltp.Observation
	for _, e := range r.History(ltp.OrientationWorkflowID(ltp.DefaultComponent), "").Events {
		if s := e.GetWorkflowExecutionSignaledEventAttributes(); s.GetSignalName() == ltp.ObservationSignal {
			require.NoError(r.T, trace.Decode(s.GetInput(), &latest))
		}
	}
	return latest.Verdict != "" && !latest.Verdict.Fit()
}
