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
	r.until(n, ltp.Stable)
	r.held(n, false)
	r.submit(order("R1"))
	r.submit(order("R2"))
	r.becomes("R1", ltp.Deferred)
	r.becomes("R2", ltp.Deferred)
	r.letThroughSoon("R1")
	r.ended("R1")
	r.save("order-let-through-a-hold", ltp.OrderWorkflowID("R1"), "")
	r.exec(`CREATE TRIGGER deny BEFORE INSERT ON orders BEGIN SELECT RAISE(ABORT, 'not yet'); END`)
	given, err := r.start.LetThrough(r.ctx, "R2", "ann", "one more")
	require.NoError(t, err)
	st, err := r.start.AwaitPass(r.ctx, given)
	require.NoError(t, err)
	require.Equal(t, ltp.Deferred, st.State)
	r.exec(`DROP TRIGGER deny`)
	require.NoError(t, r.start.Cancel(r.ctx, "R2"))
	require.Eventually(t, func() bool {
		st, err := r.start.Get(r.ctx, "R2")
		return err == nil && st.Reason == ltp.ReasonAwaitsProof
	}, patience, 20*time.Millisecond)
	n.Stop()
	r.submit(order("R3"))
	r.letThroughSoon("R3")
	n = r.up(r.config())
	r.ended("R3")
	r.save("order-let-through-at-once", ltp.OrderWorkflowID("R3"), "")
	end := r.outage()
	require.Eventually(t, func() bool { return n.Board.Orientation(ltp.DefaultComponent).Observed == ltp.Unhealthy }, patience, 20*time.Millisecond)
	end()
	require.Eventually(t, func() bool { return n.Board.Orientation(ltp.DefaultComponent).Observed == ltp.Healthy }, patience, 20*time.Millisecond)
	require.NoError(t, operator(r, ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "done"}))
	r.ended("R2")
	r.save("order-let-through-in-vain", ltp.OrderWorkflowID("R2"), "")
	r.until(n, ltp.Stable)
	r.save("orientation-observed-under-a-hold", ltp.OrientationWorkflowID(ltp.DefaultComponent), "")
}
