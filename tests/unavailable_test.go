package tests

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// TestFailedWriteIsTriedAgainAfterAPause: writes fail that the observer does not see
// failing. The order waits for a moment, not for a recovery that nobody announces.
func TestFailedWriteIsTriedAgainAfterAPause(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	epoch := r.Until(n.Board, ltp.Stable).Epoch
	r.unavailable("away-1")
	r.executedOnce("away-", []string{"away-1"})
	story, err := r.Reader().Order(r.Ctx, "away-1")
	require.NoError(t, err)
	var decisions []ltp.Reason
	for _, f := range story.Frames {
		if f.Response != nil {
			decisions = append(decisions, f.Response.Reason)
		}
	}
	assert.Equal(t, []ltp.Reason{ltp.ReasonOK, ltp.ReasonExecuteUnavailable}, decisions[:2])
	assert.Equal(t, ltp.ReasonOK, decisions[len(decisions)-1])
	assert.Equal(t, epoch, r.Until(n.Board, ltp.Stable).Epoch, "one lost table is not an outage")
}

// unavailable submits an order whose first write finds its table missing.
func (r *rig) unavailable(id string) {
	r.T.Helper()
	r.exec("ALTER TABLE orders RENAME TO orders_away")
	r.Submit(id)
	r.awaitAttempt(id, ltp.ResultUnavailable)
	r.exec("ALTER TABLE orders_away RENAME TO orders")
}
