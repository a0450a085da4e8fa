package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// recordPass lets orders through a hold: one is executed, the attempt of another fails, and
// a third is let through before a worker has looked at it. Meanwhile what observers see
// changes.
func recordPass(t *testing.T) {
	r := newRig(t, anonymous)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.held(n, false)
	r.Submit("R1")
	r.Submit("R2")
	r.becomes("R1", ltp.Deferred)
	r.becomes("R2", ltp.Deferred)
	r.letThroughSoon("R1")
	r.Ended("R1")
	r.save("order-let-through-a-hold", ltp.OrderWorkflowID("R1"), "")
	r.exec(`CREATE TRIGGER deny BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'not yet'); END`)
	given, err := r.Start.LetThrough(r.Ctx, "R2", "ann", "one more")
	require.NoError(t, err)
	st, err := r.Start.AwaitPass(r.Ctx, given)
	require.NoError(t, err)
	require.Equal(t, ltp.Deferred, st.State)
	r.exec(`DROP TRIGGER deny`)
	require.NoError(t, r.Start.Cancel(r.Ctx, "R2"))
	require.Eventually(t, func() bool {
		st, err := r.Start.Get(r.Ctx, "R2")
		return err == nil && st.Reason == ltp.ReasonAwaitsProof
	}, patience, 20*time.Millisecond)
	n.Stop()
	r.Submit("R3")
	r.letThroughSoon("R3")
	n = r.up(r.config())
	r.Ended("R3")
	r.save("order-let-through-at-once", ltp.OrderWorkflowID("R3"), "")
	end := r.Outage()
	require.Eventually(t, func() bool { return n.Board.Orientation(ltp.DefaultComponent).Observed == ltp.Unhealthy }, patience, 20*time.Millisecond)
	end()
	require.Eventually(t, func() bool { return n.Board.Orientation(ltp.DefaultComponent).Observed == ltp.Healthy }, patience, 20*time.Millisecond)
	require.NoError(t, r.Operator(ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "done"}))
	r.Ended("R2")
	r.save("order-let-through-in-vain", ltp.OrderWorkflowID("R2"), "")
	r.Until(n.Board, ltp.Stable)
	r.save("orientation-observed-under-a-hold", ltp.OrientationWorkflowID(ltp.DefaultComponent), "")
}
