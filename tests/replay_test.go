package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay"
)

// TestARecoveryGoesByClassAndThenByAge: a plan says in which order, and it comes to pass.
func TestARecoveryGoesByClassAndThenByAge(t *testing.T) {
	r := newRig(t)
	c := r.config()
	c.Pace.InFlight = 1 // each release after the one before
	n := r.up(c)
	r.until(n, ltp.Stable)
	require.NoError(t, operator(r, ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "a look at the classes"}))
	r.until(n, ltp.Unstable)
	for _, o := range []struct {
		id       string
		priority int
	}{{"class-usual-1", 0}, {"class-last", 5}, {"class-second", 2}, {"class-usual-2", 0}, {"class-fourth", 4}, {"class-first", 1}} {
		placed := order(o.id)
		placed.Priority = o.priority
		assert.Equal(t, ltp.Deferred, r.decided(r.submit(placed)).State)
	}
	wanted := []string{"class-first", "class-second", "class-usual-1", "class-usual-2", "class-fourth", "class-last"}
	epoch := n.Board.Orientation(ltp.DefaultComponent).Epoch
	require.EventuallyWithT(t, func(t *assert.CollectT) { // the visibility store lags
		var planned []string
		err := replay.Plan(r.ctx, r.client, ltp.DefaultComponent, epoch+1, func(o replay.PlannedOrder) error {
			planned = append(planned, o.OrderID)
			return nil
		})
		assert.NoError(t, err)
		assert.Equal(t, wanted, planned)
	}, patience, 100*time.Millisecond)

	require.NoError(t, operator(r, ltp.ReleaseUpdate, ltp.Release{By: "ann", Why: "seen"}))
	var last time.Time
	for _, id := range wanted {
		st := r.ended(id)
		assert.Equal(t, ltp.Executed, st.State)
		assert.False(t, st.EndedAt.Before(last), id)
		last = st.EndedAt
	}
}
