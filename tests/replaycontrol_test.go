package tests

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/ledger"
)

// TestAPausedReplayReleasesNothingUntilItIsResumed: an operator pauses during the
// outage. After recovery nothing is released, and what its backstop wakes goes on
// waiting; the commands tell so without a worker's help. Resumed, every order is executed
// once, and the incident proves itself with the pause in it.
func TestAPausedReplayReleasesNothingUntilItIsResumed(t *testing.T) {
	r := newRig(t)
	c := r.config()
	c.Backstop = ltp.Backstop{First: time.Second, Most: 2 * time.Second}
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	cli := newTerminal(t)
	cli.env = r.Environment()
	require.Eventually(t, func() bool { return strings.Contains(cli.run("replay", "status"), "no order waits") }, patience, time.Second)
	assert.Contains(t, cli.run("replay", "plan"), "No order waits")
	assert.Contains(t, cli.refused("replay", "resume", "--why", "x"), "the replay is not paused")
	assert.Contains(t, cli.refused("replay", "rate", "0.01", "--why", "x"), "pause the replay instead")
	assert.Contains(t, cli.refused("replay", "rate", "NaN", "--why", "x"), "is none")
	assert.Contains(t, cli.refused("replay", "pause"), "--why")

	end := r.Outage()
	fell := r.Until(n.Board, ltp.Unstable).Epoch
	var ids []string
	for i := range 12 {
		ids = append(ids, fmt.Sprintf("paused-%02d", i))
		require.Equal(t, ltp.Deferred, r.Decided(r.Submit(ids[i])).State)
	}
	require.Eventually(t, func() bool { return strings.Contains(cli.run("replay", "status"), "Waiting: 12 orders") }, patience, time.Second)
	assert.Contains(t, cli.run("replay", "status"), "First in turn: paused-00")
	var said ltp.ReplayControl
	require.NoError(t, json.Unmarshal([]byte(cli.run("replay", "pause", "--by", "ann", "--why", "the cache is cold", "--format", "json")), &said))
	assert.True(t, said.Paused)
	assert.Equal(t, ids, planned(cli), "the plan for when it recovers, in turn")

	end()
	recovering := r.Until(n.Board, ltp.Recovering)
	for _, id := range ids {
		r.awaitRouting(id, ltp.ReasonReplayPaused, recovering.Epoch)
		st, err := r.Start.Get(r.Ctx, id)
		require.NoError(t, err)
		assert.Equal(t, ltp.Deferred, st.State)
		assert.Equal(t, fell, st.Epoch, "under which the replay looks for it")
	}
	shows := func(s string) func() bool {
		return func() bool { return strings.Contains(cli.run("replay", "status"), s) }
	}
	require.Eventually(t, shows("0 of 12 released, 12 left"), patience, time.Second)
	assert.Contains(t, cli.run("replay", "status"), "PAUSED, by ann")
	assert.Contains(t, cli.run("orientation", "get"), "PAUSED, by ann")
	assert.Equal(t, ids, planned(cli))
	assert.Equal(t, recovering.Epoch, r.Until(n.Board, ltp.Recovering).Epoch, "a pause changes no epoch")

	cli.run("replay", "resume", "--rate", "50", "--by", "bob", "--why", "the cache is warm")
	r.executedOnce("paused-", ids)
	r.Until(n.Board, ltp.Stable)
	r.replayed(recovering.Epoch)
	n.Stop()
	assert.Contains(t, cli.run("replay", "status"), "at most 50 orders/s, by bob")

	shown := cli.run("inspect")
	for _, note := range []string{"ann paused the replay: the cache is cold", "bob resumed the replay, at most 50 orders/s: the cache is warm", "REPLAY_PAUSED"} {
		assert.Contains(t, shown, note)
	}
	file := filepath.Join(t.TempDir(), "incident.jsonl")
	cli.run("trace", "export", "-o", file)
	public, err := os.ReadFile(filepath.Join(cli.stateDir, ledger.PublicKeyFile))
	require.NoError(t, err)
	assert.Contains(t, cli.run("trace", "verify", file, "--key", strings.TrimSpace(string(public))), "is whole")
	status, printed := r.command("audit", "--orders-db", r.Orders)
	assert.Zero(t, status, printed)
}

// TestBackstopsDoNotOvertakeTheReplay: they ring while an operator has the backlog go
// slowly, and the orders wait on, for the engine's turn and signal.
func TestBackstopsDoNotOvertakeTheReplay(t *testing.T) {
	const orders = 14 // nine of which go at once
	r := newRig(t)
	c := r.config()
	c.Backstop = ltp.Backstop{First: time.Second, Most: 10 * time.Minute}
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Rate: new(ltp.MinRate), By: "ann", Why: "the cache is cold"}))
	end := r.Outage()
	fell := r.Until(n.Board, ltp.Unstable).Epoch
	var ids []string
	for i := range orders {
		ids = append(ids, fmt.Sprintf("left-%02d", i))
		require.Equal(t, ltp.Deferred, r.Decided(r.Submit(ids[i])).State)
	}
	end()
	recovering := r.Until(n.Board, ltp.Recovering)
	last := ids[orders-1]
	r.awaitRouting(last, ltp.ReasonAwaitsReplay, recovering.Epoch)
	st, err := r.Start.Get(r.Ctx, last)
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, st.State)
	assert.Equal(t, fell, st.Epoch, "under which the replay looks for it")

	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Rate: new(0.0), By: "ann", Why: "the cache is warm"}))
	r.executedOnce("left-", ids)
	r.Until(n.Board, ltp.Stable)
	r.replayed(recovering.Epoch)
	n.Stop()
	for _, id := range ids {
		story, err := r.Reader().Order(r.Ctx, id)
		require.NoError(t, err)
		request := story.Frames[len(story.Frames)-2].Request
		require.NotNil(t, request, id)
		assert.Equal(t, ltp.WokenBySignal, request.Woken, id)
	}
	r.verified()
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
}

// planned are the orders of a plan, in turn.
func planned(cli *terminal) (ids []string) {
	cli.t.Helper()
	lines := bufio.NewScanner(strings.NewReader(cli.run("replay", "plan", "--all", "--format", "json")))
	for n := 1; lines.Scan(); n++ {
		var o struct {
			No      int    `json:"no"`
			OrderID string `json:"order_id"`
		}
		require.NoError(cli.t, json.Unmarshal(lines.Bytes(), &o))
		assert.Equal(cli.t, n, o.No)
		ids = append(ids, o.OrderID)
	}
	return ids
}

// replayed waits for the end of a replay.
func (r *rig) replayed(epoch int64) {
	r.T.Helper()
	require.NoError(r.T, r.Client.GetWorkflow(r.Ctx, ltp.ReplayWorkflowID(ltp.DefaultComponent, epoch), "").Get(r.Ctx, nil))
}
