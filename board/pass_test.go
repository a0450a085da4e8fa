package board

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	workflowpb "go.temporal.io/api/workflow/v1"

	"github.com/ltp-node/ltp"
)

// TestWhatIsSeenUnderAHoldIsBelievedWhileItsObserverIsHeard: nobody is let through a hold
// by what was seen long ago. That the component is held is believed all the same.
func TestWhatIsSeenUnderAHoldIsBelievedWhileItsObserverIsHeard(t *testing.T) {
	held := orientation(ltp.Unstable, 3)
	held.Hold, held.Observed = &ltp.Hold{By: "ann", Why: "migration"}, ltp.Healthy
	for since, want := range map[time.Duration]ltp.Verdict{Silence - time.Second: ltp.Healthy, Silence + time.Second: ""} {
		r, err := read(observed(running(held), &workflowpb.PendingActivityInfo{LastHeartbeatTime: ago(since)}), nil)
		require.NoError(t, err)
		assert.Equal(t, want, r.Observed, since)
		assert.Equal(t, want != "", r.Passable(), since)
		assert.Equal(t, ltp.Unstable, r.State)
		assert.False(t, r.Unreadable)
	}
	r, err := read(unread(observed(running(held), &workflowpb.PendingActivityInfo{LastHeartbeatTime: ago(0)}), ago(Unread+time.Second)), nil)
	require.NoError(t, err)
	assert.Empty(t, r.Observed, "news may be waiting that it is unfit")
}
