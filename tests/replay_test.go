package tests

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/replay"
)

// TestARecoveryGoesByClassAndThenByAge: a plan says in which order, and it comes to pass.
func TestARecoveryGoesByClassAndThenByAge(t *testing.T) {
	r := newRig(t)
	c := r.config()
	c.Pace.InFlight = 1 // each release after the one before
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Hold("a look at the classes")
	r.Until(n.Board, ltp.Unstable)
	for _, o := range []struct {
		id       string
		priority int
	}{{"class-usual-1", 0}, {"class-last", 5}, {"class-second", 2}, {"class-usual-2", 0}, {"class-fourth", 4}, {"class-first", 1}} {
		assert.Equal(t, ltp.Deferred, r.Decided(r.Submit(o.id, ordertest.Priority(o.priority))).State)
	}
	wanted := []string{"class-first", "class-second", "class-usual-1", "class-usual-2", "class-fourth", "class-last"}
	epoch := n.Board.Orientation(ltp.DefaultComponent).Epoch
	require.EventuallyWithT(t, func(t *assert.CollectT) { // the visibility store lags
		var planned []string
		err := replay.Plan(r.Ctx, r.Client, ltp.DefaultComponent, epoch+1, func(o replay.PlannedOrder) error {
			planned = append(planned, o.OrderID)
			return nil
		})
		assert.NoError(t, err)
		assert.Equal(t, wanted, planned)
	}, patience, 100*time.Millisecond)

	r.Release()
	var last time.Time
	for _, id := range wanted {
		st := r.Ended(id)
		assert.Equal(t, ltp.Executed, st.State)
		assert.False(t, st.EndedAt.Before(last), id)
		last = st.EndedAt
	}
}
