package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// TestSecondOutageDuringRecoveryLosesAndRepeatsNoOrder: the database is sick again as soon as it counts as
// fit. Orders that were released into it wait again, and none is lost or repeated.
func TestSecondOutageDuringRecoveryLosesAndRepeatsNoOrder(t *testing.T) {
	r := newRig(t)
	ids := r.relapse("relapse", 8)
	r.executedOnce("relapse-", ids)
	twice := 0
	for _, id := range ids {
		story, err := r.Reader().Order(r.Ctx, id)
		require.NoError(t, err)
		deferrals := 0
		for _, f := range story.Frames {
			if f.Response != nil && f.Response.Decision == ltp.Defer {
				deferrals++
			}
		}
		if deferrals > 1 {
			twice++
		}
	}
	assert.Positive(t, twice, "orders that were deferred twice")
}

// relapse takes orders through two outages, of which the second begins with the
// recovery from the first. It returns their IDs when the second has ended.
func (r *rig) relapse(prefix string, orders int) (ids []string) {
	c := r.config()
	// The observer takes longer to see the second outage than the first recovery
	// takes to be declared, so that orders are released into it.
	c.Policy.Dwell = new(time.Second)
	c.Settings.UnfitLatency = 4 * time.Second
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	first := r.Until(n.Board, ltp.Unstable).Epoch
	for i := range orders {
		id := fmt.Sprintf("%s-%d", prefix, i)
		r.Decided(r.Submit(id))
		ids = append(ids, id)
	}
	end()
	r.AwaitEvent(ltp.OrientationWorkflowID(ltp.DefaultComponent), func(e *historypb.HistoryEvent) bool {
		return e.GetEventType() == enumspb.EVENT_TYPE_TIMER_STARTED // it was seen fit, and dwells
	})
	end = r.Outage()
	r.Until(n.Board, ltp.Recovering)
	require.Greater(r.T, r.Until(n.Board, ltp.Unstable).Epoch, first)
	require.Eventually(r.T, func() bool { return r.deferredTwice(ids) }, patience, 50*time.Millisecond)
	end()
	return ids
}

// deferredTwice reports whether an order has been deferred under two epochs.
func (r *rig) deferredTwice(ids []string) bool {
	for _, id := range ids {
		epochs := map[int64]bool{}
		for _, e := range r.History(ltp.OrderWorkflowID(id), "").GetEvents() {
			routing, ok, err := trace.Routing(e)
			require.NoError(r.T, err)
			if ok && !routing.Decision.Admissible() {
				epochs[routing.Epoch] = true
			}
		}
		if len(epochs) > 1 {
			return true
		}
	}
	return false
}
