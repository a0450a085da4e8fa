package ltp_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// TestContentHashIsThatOfBefore: an order that was accepted by an earlier version is
// still the same order, and its row in the order database still agrees.
func TestContentHashIsThatOfBefore(t *testing.T) {
	o := ordertest.New("A2")
	assert.Equal(t, "f3daf66ab1e8735f7c56eb2acb48875f008eef5d7f09160a660502d74435c2b5", o.ContentHash())
	keyed, first := o, o
	keyed.OrderingKey, first.Priority = "c-17", 1
	assert.NotEqual(t, o.ContentHash(), keyed.ContentHash())
	assert.NotEqual(t, o.ContentHash(), first.ContentHash())
}

func TestOnlyWhoMayActAwaitsItsTurn(t *testing.T) {
	for _, s := range []ltp.State{ltp.Unknown, ltp.Stable, ltp.Degraded, ltp.Unstable, ltp.Recovering} {
		for _, r := range []ltp.Request{{}, {Replay: true}, {HighRisk: true}, {Failed: true, FailedUnder: "db", FailedEpoch: 3}} {
			o := ltp.Orientation{Component: "db", State: s, Epoch: 3}
			decision, reason := ltp.Decide(o, r)
			r.InLine = true
			inLine, why := ltp.Decide(o, r)
			assert.False(t, inLine.Admissible(), "%s %+v", s, r)
			if decision.Admissible() {
				decision, reason = ltp.Defer, ltp.ReasonAwaitsTurn
			}
			assert.Equal(t, decision, inLine)
			assert.Equal(t, reason, why, "what keeps it from acting otherwise comes first")
		}
	}
	assert.False(t, ltp.Wait{Component: "db", Epoch: 3, Reason: ltp.ReasonAwaitsTurn}.SupersededBy(ltp.Stability{Component: "db", State: ltp.Stable, Epoch: 9}))
}
