package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

var left = ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonAwaitsReplay, State: ltp.Recovering, Epoch: 5}

// TestAnOrderLeavesItselfToTheReplay that is under way when its backstop rings: it stays
// where that looks for it, and takes its word.
func TestAnOrderLeavesItselfToTheReplay(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{unstable, left})
	e.tell(6*time.Minute, ltp.Recovering, 5)
	began := e.Now()
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Equal(t, 6*time.Minute, e.Now().Sub(began).Truncate(time.Second), "woken by the signal")
	require.Len(t, e.routes, 2, "and its backstop rings seldom")
	assert.True(t, e.routes[1].Request.Listed)
	assert.Equal(t, []mark{{ltp.DefaultComponent, 4, string(ltp.ReasonUnstable)}}, e.marked, "no event is spent on it")
	require.Len(t, e.writes, 1)
	assert.False(t, e.writes[0].Request.Listed, "the fence does not ask for that")
}

// TestNoReplayIsTrustedTwice: if the engine does not come until the longest backstop, the
// order acts by itself.
func TestNoReplayIsTrustedTwice(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{unstable, left, confirmed})
	began := e.Now()
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	require.Len(t, e.routes, 3)
	assert.True(t, e.routes[1].Request.Listed)
	assert.False(t, e.routes[2].Request.Listed)
	b := ltp.DefaultBackstop()
	assert.InDelta(t, (b.First + b.Most).Minutes(), e.Now().Sub(began).Minutes(), (b.First+b.Most).Minutes()/4)
}

// TestAnOrderThatWaitsForItselfIsLeftToNobody: no replay looks for one whose execution
// failed, or whose worker could not see.
func TestAnOrderThatWaitsForItselfIsLeftToNobody(t *testing.T) {
	blind := ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonUnknown, State: ltp.Unknown, Epoch: 3, Blind: true}
	failed := ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonExecuteUnavailable, State: ltp.Recovering, Epoch: 5}
	for name, first := range map[string]ltp.Routing{"blind": blind, "failed": failed} {
		t.Run(name, func(t *testing.T) {
			e := newOrderTest(t, []ltp.Routing{first, confirmed})
			_, err := e.run(order)
			require.NoError(t, err)
			require.Len(t, e.routes, 2)
			assert.Equal(t, ltp.WokenByTimer, e.routes[1].Woken)
			assert.False(t, e.routes[1].Request.Listed)
		})
	}
}
