package tests

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/worker"
)

// TestThePolicyOutlivesTheProcessThatAskedForIt: what is asked for explicitly at the start
// is sent to the Orientation that runs, and logged; whoever asks for nothing keeps it; and an
// operator changes it while it runs, and reads it without a worker.
func TestThePolicyOutlivesTheProcessThatAskedForIt(t *testing.T) {
	r := newRig(t)
	cli := newTerminal(t)
	cli.env = r.Environment()
	policy := func(args ...string) (p ltp.Policy) {
		require.NoError(t, json.Unmarshal([]byte(cli.run(append([]string{"orientation", "policy", "--format", "json"}, args...)...)), &p))
		return p
	}
	work := func(args ...string) *process {
		return cli.start(append([]string{"worker", "--orders-db", r.Orders}, args...)...)
	}
	first := work()
	first.Says(&first.Stderr, `ltp worker runs`)
	assert.Equal(t, ltp.DefaultPolicy(), policy())
	first.Interrupt()

	asked := work("--dwell", "30s")
	asked.Says(&asked.Stderr, `policy of orders-db changed: dwell 2s → 30s`)
	want := ltp.DefaultPolicy()
	want.Dwell = 30 * time.Second
	assert.Equal(t, want, policy())
	want.Grace = 5 * time.Second
	assert.Equal(t, want, policy("--grace", "5s", "--by", "ann", "--why", "observers are near"))
	assert.Contains(t, cli.refused("orientation", "policy", "--dwell", "5m", "--why", "x"), "--max-dwell")
	assert.Contains(t, cli.refused("orientation", "policy", "--dwell", "5s"), "--why")
	asked.Interrupt()

	last := work()
	last.Says(&last.Stderr, `ltp worker runs`)
	assert.Equal(t, want, policy(), "who asks for nothing changes nothing")
	last.Interrupt()
	assert.Equal(t, want, policy(), "and it is read without a worker")

	story, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(t, err)
	require.NotEmpty(t, story.Frames)
	assert.InDelta(t, time.Now().Unix(), story.Frames[0].Orientation.Epoch, 600, "epochs begin at the time")
}

// TestWhatAnOperatorSaidOutlivesItsOrientation: somebody terminates the workflow of a
// component that is held, and it is held again, under a later epoch and the same policy.
func TestWhatAnOperatorSaidOutlivesItsOrientation(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	require.NoError(t, r.Operator(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "migration", Freeze: true}))
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Paused: new(true), By: "bob", Why: "disk is full"}))
	before := r.Until(n.Board, ltp.Unstable)
	require.NoError(t, r.Client.TerminateWorkflow(r.Ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", "by force"))
	require.NoError(t, worker.EnsureOrientation(r.Ctx, r.Client, ltp.DefaultComponent, ltp.DefaultPolicy()))

	now, err := n.Board.Wait(r.Ctx, ltp.DefaultComponent, func(now board.Reading) bool {
		return now.State == ltp.Unstable && now.Epoch > before.Epoch
	})
	require.NoError(t, err)
	assert.Equal(t, "Held by ann: migration", now.Reason)
	assert.True(t, now.Hold.Freeze)
	assert.Equal(t, "bob", now.ReplayControl.Pause.By)
	assert.Equal(t, quickPolicy(), now.Policy)
	story, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(t, err)
	assert.Empty(t, story.Gaps)
}

// TestAHoldEndsByItself, also where somebody else holds, too, and the trace shows it.
func TestAHoldEndsByItself(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Hold("migration")
	require.NoError(t, r.Operator(ltp.HoldUpdate, ltp.Hold{By: "bob", Why: "a leak", Until: time.Now().Add(2 * time.Second)}))
	require.Error(t, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "eve", Why: "done"}))
	now, err := n.Board.Wait(r.Ctx, ltp.DefaultComponent, func(now board.Reading) bool { return now.Reason == "Held by ann: migration" && now.Hold.Joined == nil })
	require.NoError(t, err)
	assert.Equal(t, ltp.Unstable, now.State)
	r.Release()
	r.Until(n.Board, ltp.Stable)
	story, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(t, err)
	assert.Empty(t, story.Gaps)
}

// TestOrdersThatFailAreAnOutageThatOnlyTheyCanSee: the observer sees nothing wrong, a worker
// reports three orders, and the state falls with the database's words.
func TestOrdersThatFailAreAnOutageThatOnlyTheyCanSee(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	epoch := r.Until(n.Board, ltp.Stable).Epoch
	report := ltp.FailedWrites{Component: ltp.DefaultComponent, Worker: "worker-1", Epoch: epoch}
	for _, id := range []string{"A1", "A2", "A3"} {
		report.Orders = append(report.Orders, ltp.FailedWrite{Order: id, Code: "42501", Error: "permission denied for table orders"})
	}
	require.NoError(t, r.Client.SignalWorkflow(r.Ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", ltp.FailingSignal, report))
	fell := r.Until(n.Board, ltp.Unstable)
	assert.Equal(t, "Orders fail: permission denied for table orders (42501), 3 of 3 orders", fell.Reason)
	r.Until(n.Board, ltp.Stable) // nothing waited: no canary had anything to say
	_, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(t, err)
}
