package tests

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/starter"
)

// held holds the component, frozen or not, and waits until the worker's board shows it.
func (r *rig) held(n *node.Node, freeze bool) int64 {
	r.T.Helper()
	require.NoError(r.T, r.Operator(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "migration", Freeze: freeze}))
	return r.Until(n.Board, ltp.Unstable).Epoch
}

// commands is a terminal on the rig's Temporal.
func (r *rig) commands() *terminal {
	cli := newTerminal(r.T)
	cli.env = r.Environment()
	return cli
}

// TestOneOrderIsLetThroughAHold, as a canary: it is executed under the hold while all others
// stay deferred, and the trace, the audit, the report and the export say who let it through.
func TestOneOrderIsLetThroughAHold(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	cli := r.commands()
	r.Until(n.Board, ltp.Stable)
	held := r.held(n, false)
	ids := []string{"pass-1", "pass-2", "pass-3"}
	for _, id := range ids {
		r.Submit(id)
		r.becomes(id, ltp.Deferred)
	}
	assert.Contains(t, cli.refused("orders", "release", "pass-2"), "--why")
	assert.Contains(t, cli.refused("orders", "release", "nobody", "--why", "x"), "no such order")

	st := cli.status("orders", "release", "pass-2", "--by", "eve", "--why", "one first")
	assert.Equal(t, ltp.Executed, st.State)
	require.NotNil(t, st.Receipt)
	assert.Equal(t, ltp.Unstable, st.Receipt.Fence.State)
	assert.Equal(t, held, st.Receipt.Fence.Epoch)
	assert.Contains(t, cli.refused("orders", "release", "pass-2", "--why", "again"), "pass-2 is EXECUTED already")
	for _, id := range []string{"pass-1", "pass-3"} {
		assert.Equal(t, ltp.Deferred, r.becomes(id, ltp.Deferred).State)
	}
	missing, err := r.OpenDB().Missing(r.Ctx, ids)
	require.NoError(t, err)
	assert.Equal(t, []string{"pass-1", "pass-3"}, missing)
	assert.Equal(t, held, r.Until(n.Board, ltp.Unstable).Epoch, "nothing of the component has changed")
	assert.Contains(t, cli.run("inspect", "pass-2"), "eve let the order through the hold of orders-db in epoch")

	r.Release()
	r.executedOnce("pass-", ids)
	r.Until(n.Board, ltp.Stable)
	a := r.audited(0, "--orders-db", r.Orders)
	assert.Equal(t, audit.Held, a.Verdict)
	fenced := a.Claim(audit.Fenced)
	assert.EqualValues(t, 1, fenced.Figures["let_through_a_hold"])
	assert.Contains(t, strings.Join(fenced.Evidence, "\n"), "1 write of orders that an operator let through a hold")
	assert.Contains(t, strings.Join(a.Claim(audit.SafeMode).Evidence, "\n"), "but for 1, which an operator let through a hold")
	r.verified()
	assert.Contains(t, cli.run("inspect"), "one first")
	page := filepath.Join(t.TempDir(), "incident.md")
	cli.run("report", "--orders-db", r.Orders, "-o", page)
}

// TestAPassLetsAnOrderThroughAHoldThatFreezes, by an order that waited before and by one whose worker is down
// when the operator lets it through.
func TestAPassLetsAnOrderThroughAHoldThatFreezes(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.held(n, false)
	for _, id := range []string{"frozen-1", "frozen-2", "frozen-3"} {
		r.Submit(id)
		r.becomes(id, ltp.Deferred)
	}
	r.held(n, true)
	given, err := r.Start.LetThrough(r.Ctx, "frozen-1", "ann", "one first")
	require.NoError(t, err)
	st, err := r.Start.AwaitPass(r.Ctx, given)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, st.State)
	n.Stop()
	r.letThroughSoon("frozen-2")
	n = r.up(r.config())
	assert.Equal(t, ltp.Executed, r.Ended("frozen-2").State)
	assert.Equal(t, ltp.Deferred, r.becomes("frozen-3", ltp.Deferred).State)
	r.Release()
	r.executedOnce("frozen-", []string{"frozen-1", "frozen-2", "frozen-3"})
	r.Until(n.Board, ltp.Stable)
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
}

// letThroughSoon lets an order through while the observer is as good as there.
func (r *rig) letThroughSoon(id string) {
	r.T.Helper()
	_, err := r.Start.LetThrough(r.Ctx, id, "ann", "one first")
	require.NoError(r.T, err)
}

// TestAPassIsRefusedWhereAHoldIsNotWhatKeepsTheOrder, each time with what does.
func TestAPassIsRefusedWhereAHoldIsNotWhatKeepsTheOrder(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.held(n, false)
	r.Submit("refused-1")
	r.becomes("refused-1", ltp.Deferred)
	refused := func(id, why string) {
		t.Helper()
		_, err := r.Start.LetThrough(r.Ctx, id, "ann", "one first")
		require.ErrorContains(t, err, why)
		require.ErrorIs(t, err, starter.ErrNotHeld)
	}
	r.Submit("refused-key-1", ordertest.OrderingKey("c-17"))
	r.Submit("refused-key-2", ordertest.OrderingKey("c-17"))
	r.becomes("refused-key-2", ltp.Deferred)
	refused("refused-key-2", "waits behind earlier orders of its ordering key")

	end := r.Outage() // the observer sees that, under the hold
	require.Eventually(t, func() bool { return n.Board.Orientation(ltp.DefaultComponent).Observed == ltp.Unhealthy }, patience, 20*time.Millisecond)
	refused("refused-1", "which observers see as UNHEALTHY")
	r.Release()
	refused("refused-1", "and no hold")
	end()
	r.executedOnce("refused-", []string{"refused-1", "refused-key-1", "refused-key-2"})
	_, err := r.Start.LetThrough(r.Ctx, "refused-1", "ann", "one first")
	require.ErrorIs(t, err, starter.ErrEnded)
}

// TestAPassWhoseAttemptFailsIsSpent: the order waits again, and so it does when the hold is
// as it was. A cancellation then waits for the end of the hold, since a write may have begun.
func TestAPassWhoseAttemptFailsIsSpent(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	cli := r.commands()
	r.Until(n.Board, ltp.Stable)
	r.held(n, false)
	for _, id := range []string{"spent-1", "spent-2"} {
		r.Submit(id)
		r.becomes(id, ltp.Deferred)
	}
	r.exec(`CREATE TRIGGER deny BEFORE INSERT ON orders WHEN NEW.id LIKE 'spent-%' BEGIN SELECT RAISE(ABORT, 'not yet'); END`)
	p := cli.start("orders", "release", "spent-1", "--format", "json", "--by", "eve", "--why", "one first")
	assert.Equal(t, 1, p.Wait(), p)
	assert.Contains(t, p.Stderr.String(), "spent-1 was not executed and waits again (SYSTEM_UNSTABLE): its pass is spent")
	var st starter.Status
	require.NoError(t, json.Unmarshal([]byte(p.Stdout.String()), &st))
	assert.Equal(t, ltp.Deferred, st.State)
	r.exec(`DROP TRIGGER deny`)

	require.NoError(t, r.Start.Cancel(r.Ctx, "spent-2"))
	assert.Equal(t, ltp.Cancelled, r.Ended("spent-2").State, "nobody can have written that one")
	require.NoError(t, r.Start.Cancel(r.Ctx, "spent-1"))
	require.Eventually(t, func() bool {
		st, err := r.Start.Get(r.Ctx, "spent-1")
		return err == nil && st.Reason == ltp.ReasonAwaitsProof
	}, patience, 20*time.Millisecond)
	_, err := r.Start.LetThrough(r.Ctx, "spent-1", "ann", "again")
	require.ErrorContains(t, err, "is to end without being executed")
	r.Release()
	assert.Equal(t, ltp.Cancelled, r.Ended("spent-1").State)
	r.Until(n.Board, ltp.Stable)
	missing, err := r.OpenDB().Missing(r.Ctx, []string{"spent-1", "spent-2"})
	require.NoError(t, err)
	assert.Len(t, missing, 2)
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
	r.verified()
}

// TestAPassThatCameTooLateIsRefusedByTheFence: the component was seen unfit after the
// operator had looked. The pass is put into the history by hand.
func TestAPassThatCameTooLateIsRefusedByTheFence(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	held := r.held(n, false)
	r.Submit("late-1")
	r.becomes("late-1", ltp.Deferred)
	end := r.Outage()
	require.Eventually(t, func() bool { return n.Board.Orientation(ltp.DefaultComponent).Observed == ltp.Unhealthy }, patience, 20*time.Millisecond)
	for i, epoch := range []int64{held, held - 1, held + 1} {
		pass := ltp.Pass{Component: ltp.DefaultComponent, Epoch: epoch, By: "ann", Why: fmt.Sprint("try ", i)}
		require.NoError(t, r.Client.SignalWorkflow(r.Ctx, ltp.OrderWorkflowID("late-1"), "", ltp.PassSignal, pass))
		require.Eventually(t, func() bool {
			story, err := r.Reader().Order(r.Ctx, "late-1")
			if err != nil || len(story.Frames) < 2 {
				return false
			}
			last := story.Frames[len(story.Frames)-1].Response
			asked := story.Frames[len(story.Frames)-2].Request
			return asked.Woken == ltp.WokenByPass && asked.Asked.Pass.Why == pass.Why && last.Reason == ltp.ReasonUnstable
		}, patience, 50*time.Millisecond)
	}
	story, err := r.Reader().Order(r.Ctx, "late-1")
	require.NoError(t, err)
	assert.Empty(t, story.Executions, "no write began")
	end()
	r.Release()
	r.executedOnce("late-", []string{"late-1"})
	r.Until(n.Board, ltp.Stable)
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
	r.verified()
}
