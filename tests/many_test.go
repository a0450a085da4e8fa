package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/tests/harness"
)

// TestManyOrdersAreCancelledAndExpedited: an operator asks something of many orders at
// once, and is asked how many are meant.
func TestManyOrdersAreCancelledAndExpedited(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	r.Hold("an outage")
	r.Until(n.Board, ltp.Unstable)
	for i := range 60 {
		r.Submit(fmt.Sprintf("many-%02d", i))
	}
	waiting := func(want int64) {
		t.Helper()
		require.Eventually(t, func() bool {
			n, err := r.Start.Count(r.Ctx, ltp.Deferred)
			require.NoError(t, err)
			return n == want
		}, patience, 50*time.Millisecond)
	}
	waiting(60)

	// Whoever does not know how many it is does nothing.
	for _, typed := range []string{"", "59\n", "yes\n"} {
		status, said := r.types(typed, "orders", "cancel", "--query", "LtpReason='SYSTEM_UNSTABLE'")
		assert.Equal(t, 1, status)
		assert.Contains(t, said, "60 orders match")
		assert.Contains(t, said, "nothing was done")
	}
	status, said := r.command("orders", "cancel", "--query", "LtpReason='SYSTEM_UNSTABLE'", "--yes", "30")
	assert.Equal(t, 1, status)
	assert.Contains(t, said, "60 orders match, and not 30")
	for _, bad := range []string{"LtpReason='X') OR (WorkflowType='Orientation'", "NoSuchThing=1", "LtpReason="} {
		status, said = r.command("orders", "cancel", "--query", bad, "--yes", "1")
		assert.Equal(t, 1, status, said)
		assert.Contains(t, said, "--query")
	}
	waiting(60)

	status, said = r.command("orders", "expedite", "--component", ltp.DefaultComponent, "--yes", "60")
	assert.Zero(t, status, said)
	assert.Contains(t, said, "60 asked, 60 done, 0 had ended already, 0 failed")
	status, said = r.command("orders", "expedite", "many-00", "many-01")
	assert.Zero(t, status, said)

	// Half of them, by when they came.
	half, err := r.Start.Get(r.Ctx, "many-30")
	require.NoError(t, err)
	query := fmt.Sprintf("StartTime < '%s' OR StartTime < '%[1]s'", half.AcceptedAt.Format(time.RFC3339Nano))
	status, said = r.types("30\n", "orders", "cancel", "--query", query)
	assert.Zero(t, status, said)
	assert.Contains(t, said, "30 asked, 30 done")
	waiting(30)
	status, said = r.command("orders", "cancel", "--query", query)
	assert.Zero(t, status, "it may be run again")
	assert.Contains(t, said, "No waiting order matches")
	status, said = r.command("orders", "cancel", "many-00", "many-59")
	assert.Equal(t, 1, status, "one of them has ended")
	assert.Contains(t, said, "1 of 2 orders")
	assert.Equal(t, ltp.Cancelled, r.Ended("many-59").State)

	r.Release()
	for i := range 60 {
		want := ltp.Executed
		if i < 30 || i == 59 {
			want = ltp.Cancelled
		}
		assert.Equal(t, want, r.Ended(fmt.Sprintf("many-%02d", i)).State)
	}
	r.Until(n.Board, ltp.Stable)
}

// TestCancellationThatWaitsForAWorkerIsShown: with every worker down the cancellation of an order
// waits, too.
func TestCancellationThatWaitsForAWorkerIsShown(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	n.Stop()
	r.Submit("pending-1")
	require.NoError(t, r.Start.Cancel(r.Ctx, "pending-1"))
	st, err := r.Start.Get(r.Ctx, "pending-1")
	require.NoError(t, err)
	assert.Equal(t, ltp.Accepted, st.State)
	assert.True(t, st.CancelRequested)
	r.up(r.config())
	assert.Equal(t, ltp.Cancelled, r.Ended("pending-1").State)
}

// types runs an ltp command to which somebody types.
func (r *rig) types(typed string, args ...string) (status int, printed string) {
	r.T.Helper()
	env := r.Environment()
	p := launchWith(r.T, strings.NewReader(typed), env, harness.Binary(r.T), args...)
	status = p.Wait()
	return status, p.Stdout.String() + p.Stderr.String()
}
