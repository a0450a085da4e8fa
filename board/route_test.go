package board

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

func TestRouteNamesTheComponentThatDecided(t *testing.T) {
	b := New(nil, []string{db, "payments"}, silent)
	b.Put(seen(ltp.Stable, 3))
	both := asked(ltp.Request{}, db, "payments")

	r := b.Route(both)
	assert.Equal(t, "payments", r.Component, "never read")
	assert.True(t, r.Unreadable)
	assert.Equal(t, ltp.Defer, r.Decision)
	assert.Equal(t, ltp.ReasonUnknown, r.Reason)
	assert.EqualValues(t, 3, r.Written, "whatever decided")

	payments := seen(ltp.Unstable, 8).of("payments")
	b.Put(payments)
	r = b.Route(both)
	assert.Equal(t, ltp.Routing{
		Attempt: 2, Woken: ltp.WokenByTimer, Decision: ltp.Defer, Reason: ltp.ReasonUnstable,
		Component: "payments", State: ltp.Unstable, Epoch: 8, ReadAt: ltp.Stamped(payments.ReadAt), Written: 3,
	}, r)

	r = b.Route(asked(ltp.Request{}))
	assert.Equal(t, db, r.Component)
	assert.Equal(t, ltp.Execute, r.Decision)
}

// TestEveryRoutingRecordsItsQuestion: whoever asks the decision table again finds the same
// answer.
func TestEveryRoutingRecordsItsQuestion(t *testing.T) {
	b := newBoard()
	b.Put(seen(ltp.Recovering, 5).paused())
	for _, q := range []ltp.Request{{}, {Replay: true}, {HighRisk: true, Replay: true, Listed: true}, {InLine: true, Replay: true}} {
		r := b.Route(asked(q))
		assert.Equal(t, []string{db}, r.Request.Paused)
		decision, reason := ltp.Decide(ltp.Orientation{Component: r.Component, State: r.State, Epoch: r.Epoch}, r.Request)
		assert.Equal(t, decision, r.Decision)
		assert.Equal(t, reason, r.Reason)
		r.Request.Paused = nil
		assert.Equal(t, q, r.Request)
	}
}

// TestRoutingNeedsNoNetwork: it rests on what was read, for as long as the lease.
func TestRoutingNeedsNoNetwork(t *testing.T) {
	b := Of(nil, []string{db}, silent)
	reading := seen(ltp.Stable, 3).old(Lease - time.Second)
	b.Put(reading)
	r := b.Route(asked(ltp.Request{}))
	require.Equal(t, ltp.Execute, r.Decision)
	assert.Equal(t, ltp.Stamped(reading.ReadAt), r.ReadAt)
}
