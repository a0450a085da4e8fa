package tests

import (
	"database/sql"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/workflows"
)

// TestStandbyObserverTakesOverWithoutAnIncident: of two observers one is active. When it is killed the other
// takes over, and that is no incident.
func TestStandbyObserverTakesOverWithoutAnIncident(t *testing.T) {
	r := newRig(t)
	n := r.up(r.deciding())
	observers := []*process{r.observer(), r.observer()}
	before := r.Until(n.Board, ltp.Stable)
	active := r.active(observers)
	other := observers[1-active]

	observers[active].Kill()
	r.awaitObserver(other)
	r.Submit("failover-1")
	r.executedOnce("failover-", []string{"failover-1"})
	after := r.Until(n.Board, ltp.Stable)
	assert.Equal(t, before.Epoch, after.Epoch, "the state stood")
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable}, r.states())

	// The one that took over sees an outage as the first one would have.
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	assert.Contains(t, n.Board.Orientation(ltp.DefaultComponent).Observer, fmt.Sprint(other.Cmd.Process.Pid))
	end()
	r.Until(n.Board, ltp.Stable)
}

// TestNothingIsKnownOfAComponentThatNobodyObserves: orders wait when the last
// observer is gone, whatever it saw last, and act when one returns.
func TestNothingIsKnownOfAComponentThatNobodyObserves(t *testing.T) {
	r := newRig(t)
	n := r.up(r.deciding())
	last := r.observer()
	r.Until(n.Board, ltp.Stable)

	last.Kill()
	r.Until(n.Board, ltp.Unknown)
	st := r.Decided(r.Submit("unobserved-1"))
	assert.Equal(t, ltp.Deferred, st.State)
	assert.Equal(t, ltp.ReasonUnknown, st.Reason)
	_, err := r.OpenDB().Row(r.Ctx, "unobserved-1")
	require.Error(t, err, "nothing is written into a database that nobody looks at")

	r.observer()
	r.executedOnce("unobserved-", []string{"unobserved-1"})
	r.Until(n.Board, ltp.Stable)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unknown, ltp.Recovering, ltp.Stable}, r.states())
}

// TestOutageOutlivesTheObserverThatSawIt: an outage does not end because nobody looks any more.
func TestOutageOutlivesTheObserverThatSawIt(t *testing.T) {
	r := newRig(t)
	n := r.up(r.deciding())
	observers := []*process{r.observer(), r.observer()}
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	before := r.Until(n.Board, ltp.Unstable)
	assert.Equal(t, ltp.Deferred, r.Decided(r.Submit("dark-1")).State)

	active := r.active(observers)
	observers[active].Kill()
	r.awaitObserver(observers[1-active])
	assert.Equal(t, before.Epoch, r.Until(n.Board, ltp.Unstable).Epoch, "the state stood")
	end()
	r.executedOnce("dark-", []string{"dark-1"})
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unstable, ltp.Recovering}, r.states()[:5])
}

// TestObserverThatMissesHeartbeatsForSecondsIsNotLost: Temporal gets nothing from the observer for some
// seconds, again and again. It was never lost, so nothing has happened.
func TestObserverThatMissesHeartbeatsForSecondsIsNotLost(t *testing.T) {
	r := newRig(t)
	c := r.deciding()
	c.Policy.Grace = new(ltp.DefaultPolicy().Grace)
	n := r.up(c)
	network := newLink(t, r.Server.Address())
	observer := r.observerOver(network.Address())
	before := r.Until(n.Board, ltp.Stable)
	for range 3 {
		r.awaitObserver(observer)
		network.Cut()
		var last time.Time
		r.observing(func(a *workflowpb.PendingActivityInfo) bool {
			last = a.GetLastHeartbeatTime().AsTime()
			return time.Since(last) > workflows.HeartbeatTimeout*7/10
		})
		network.Mend()
		r.observing(func(a *workflowpb.PendingActivityInfo) bool { return a.GetLastHeartbeatTime().AsTime().After(last) })
	}
	r.Submit("touch-1")
	r.executedOnce("touch-", []string{"touch-1"})
	assert.Equal(t, before.Epoch, r.Until(n.Board, ltp.Stable).Epoch, "the state stood")
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable}, r.states())
}

// TestObserverThatWasFrozenIsNotBelieved: the other observer takes over, and that is
// no incident. Whatever the first one still says, while frozen or thawed, changes
// nothing: neither its alarm while all is well, nor its all-clear in an outage.
func TestObserverThatWasFrozenIsNotBelieved(t *testing.T) {
	r := newRig(t)
	n := r.up(r.deciding())
	observers := []*process{r.observer(), r.observer()}
	before := r.Until(n.Board, ltp.Stable)
	active := r.active(observers)
	frozen, other := observers[active], observers[1-active]

	r.freezeBetweenWrites(frozen)
	old := r.term()
	r.awaitObserver(other)
	assert.Equal(t, old+1, r.term())
	r.ignores(old, ltp.Unhealthy)
	r.Submit("frozen-1")
	r.executedOnce("frozen-", []string{"frozen-1"})
	assert.Equal(t, before.Epoch, r.Until(n.Board, ltp.Stable).Epoch, "the state stood")

	// It missed the beginning of an outage, and looks again before the end.
	end := r.Outage()
	down := r.Until(n.Board, ltp.Unstable)
	assert.Contains(t, down.Observer, fmt.Sprint(other.Cmd.Process.Pid))
	r.ignores(old, ltp.Healthy)
	frozen.Thaw()
	r.ignores(old, ltp.Healthy)
	assert.Equal(t, ltp.Deferred, r.Decided(r.Submit("frozen-2")).State)
	end()
	r.executedOnce("frozen-", []string{"frozen-1", "frozen-2"})
	r.Until(n.Board, ltp.Stable)

	// It is as good as new, under a term of its own.
	other.Interrupt()
	r.awaitObserver(frozen)
	assert.Equal(t, old+2, r.term())
	r.ignores(old, ltp.Unhealthy)
	r.ignores(old+1, ltp.Unhealthy)
	r.Until(n.Board, ltp.Stable)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Stable}, r.states())
}

// freezeBetweenWrites freezes an observer that holds no lock of the order database, as it
// does while its probe writes.
func (r *rig) freezeBetweenWrites(p *process) {
	r.T.Helper()
	db, err := sql.Open("sqlite", "file:"+r.Orders+"?_pragma=busy_timeout(500)&_txlock=immediate")
	require.NoError(r.T, err)
	defer db.Close()
	for {
		p.Freeze()
		tx, err := db.BeginTx(r.Ctx, nil)
		if err == nil {
			require.NoError(r.T, tx.Rollback())
			return
		}
		require.ErrorContains(r.T, err, "locked")
		p.Thaw()
	}
}

// TestObserverThatNobodyReplacedReturnsWithARecovery: the only observer is frozen, and
// nothing is known, until it looks anew.
func TestObserverThatNobodyReplacedReturnsWithARecovery(t *testing.T) {
	r := newRig(t)
	n := r.up(r.deciding())
	only := r.observer()
	r.Until(n.Board, ltp.Stable)
	old := r.term()
	only.Freeze()
	r.Until(n.Board, ltp.Unknown)
	r.ignores(old, ltp.Healthy)
	assert.Equal(t, ltp.Deferred, r.Decided(r.Submit("alone-1")).State)
	only.Thaw()
	r.executedOnce("alone-", []string{"alone-1"})
	r.Until(n.Board, ltp.Stable)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unknown, ltp.Recovering, ltp.Stable}, r.states())
}

// TestAllClearThatWasReadAfterItsObserverEndedIsNotBelieved: no worker is up when the
// observer is lost in an outage. Of all that the next worker reads at once, what was
// said comes first, and nobody observes any more.
func TestAllClearThatWasReadAfterItsObserverEndedIsNotBelieved(t *testing.T) {
	r := newRig(t)
	c := r.deciding()
	c.Policy.Grace = new(ltp.DefaultPolicy().Grace) // much longer than the dwell
	n := r.up(c)
	last := r.observer()
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	n.Stop()
	r.say(r.term(), ltp.Unhealthy)
	last.Kill()
	id := ltp.OrientationWorkflowID(ltp.DefaultComponent)
	r.AwaitEvent(id, func(e *historypb.HistoryEvent) bool {
		return e.GetEventType() == enumspb.EVENT_TYPE_ACTIVITY_TASK_TIMED_OUT
	})
	r.say(r.term(), ltp.Healthy)
	end()
	n = r.up(c)
	r.Until(n.Board, ltp.Unknown)
	assert.Equal(t, []ltp.State{ltp.Unknown, ltp.Recovering, ltp.Stable, ltp.Unstable, ltp.Unknown}, r.states())
}

// term is that of the observer which was appointed last.
func (r *rig) term() int64 {
	r.T.Helper()
	var in ltp.ObserveInput
	for _, e := range r.History(ltp.OrientationWorkflowID(ltp.DefaultComponent), "").GetEvents() {
		if e.GetEventType() == enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED {
			input := e.GetActivityTaskScheduledEventAttributes().GetInput()
			require.NoError(r.T, converter.GetDefaultDataConverter().FromPayloads(input, &in))
		}
	}
	require.Positive(r.T, in.Term)
	return in.Term
}

// say has the observer of a term say something.
func (r *rig) say(term int64, v ltp.Verdict) {
	r.T.Helper()
	seen := ltp.Observation{Component: ltp.DefaultComponent, Verdict: v, Reason: "as the test says", Observer: "test", Term: term, At: time.Now().UTC()}
	require.NoError(r.T, r.Client.SignalWorkflow(r.Ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", ltp.ObservationSignal, seen))
}

// ignores has the observer of a term say something, and checks that nothing comes of
// it: no orientation, no timer.
func (r *rig) ignores(term int64, v ltp.Verdict) {
	r.T.Helper()
	id := ltp.OrientationWorkflowID(ltp.DefaultComponent)
	before := len(r.History(id, "").GetEvents())
	r.say(term, v)
	said := false
	r.AwaitEvent(id, func(e *historypb.HistoryEvent) bool {
		said = said || e.GetEventId() > int64(before) && e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
		return said && e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED
	})
	for _, e := range r.History(id, "").GetEvents()[before:] {
		switch e.GetEventType() {
		case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED, enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED,
			enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED, enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED:
		default:
			assert.Failf(r.T, "it was not ignored", "%s of term %d was followed by %s", v, term, e.GetEventType())
		}
	}
}

// deciding is a node that leaves observing to others.
func (r *rig) deciding() (c node.Config) {
	c = r.config()
	c.Observe = false
	c.Policy.Grace = new(3 * time.Second)
	return c
}

// active is which of the observers heartbeats.
func (r *rig) active(observers []*process) (which int) {
	r.T.Helper()
	r.observing(func(a *workflowpb.PendingActivityInfo) bool {
		for i, o := range observers {
			if heartbeats(a, o) {
				which = i
				return true
			}
		}
		return false
	})
	return which
}

// awaitObserver waits until an observer is the active one.
func (r *rig) awaitObserver(o *process) {
	r.T.Helper()
	r.observing(func(a *workflowpb.PendingActivityInfo) bool { return heartbeats(a, o) })
}

// observing waits until the default component is being observed in a way that fits.
func (r *rig) observing(fits func(*workflowpb.PendingActivityInfo) bool) {
	r.T.Helper()
	r.AwaitActivity(ltp.OrientationWorkflowID(ltp.DefaultComponent), fits)
}

func heartbeats(a *workflowpb.PendingActivityInfo, o *process) bool {
	var latest ltp.Heartbeat
	if err := converter.GetDefaultDataConverter().FromPayloads(a.GetHeartbeatDetails(), &latest); err != nil {
		return false
	}
	return strings.HasSuffix(latest.Observer, fmt.Sprintf("/%d", o.Cmd.Process.Pid))
}
