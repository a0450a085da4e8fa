package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// TestTheBackstopExecutesAnOrderThatNoSignalReaches: the backstop has the order look again by itself.
func TestTheBackstopExecutesAnOrderThatNoSignalReaches(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.becomes(40*time.Minute, ltp.Stable)
	began := e.Now()
	e.executed(order)
	require.Len(t, e.routes, 4)
	for i, r := range e.routes[1:] {
		assert.Equal(t, ltp.WokenByTimer, r.Woken)
		assert.Equal(t, i+2, r.Attempt)
		assert.True(t, r.Request.Replay)
	}
	assert.Less(t, e.Now().Sub(began), 75*time.Minute)
	assert.Len(t, e.upserts, 1, "that it still waits is no news")
	assert.Equal(t, ltp.Yield, e.timers[len(e.timers)-1], "nobody gave it the epoch: the next task writes")
}

func TestBackstopIsAsTheWorkerHasIt(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.backstop = ltp.Backstop{First: 10 * time.Hour, Most: 20 * time.Hour}
	e.becomes(time.Hour, ltp.Stable)
	began := e.Now()
	e.executed(order)
	assert.Greater(t, e.Now().Sub(began), 7*time.Hour)
	assert.Less(t, e.Now().Sub(began), 13*time.Hour)
}

func TestAWorkerWithoutAReadingLooksAgainSoon(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.unreadable = true
	e.at(500*time.Millisecond, func() { e.unreadable = false })
	began := e.Now()
	e.executed(order)
	assert.Less(t, e.Now().Sub(began), 10*time.Second)
	require.Len(t, e.routes, 2)
	assert.False(t, e.routes[1].Request.Listed, "no replay looks for it")
}

// TestOrderWaitsForTheReplayThatIsUnderWay when its backstop fires: it stays where that looks
// for it, and takes its release.
func TestOrderWaitsForTheReplayThatIsUnderWay(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.becomes(time.Minute, ltp.Recovering)
	var r *released
	e.at(15*time.Minute, func() { r = e.release(e.stability()) })
	began := e.Now()
	e.executed(order)
	assert.Equal(t, 15*time.Minute, e.Now().Sub(began))
	assert.Equal(t, ltp.Executed, r.answers(t).State)
	require.Len(t, e.routes, 2, "and its backstop fires seldom")
	assert.True(t, e.routes[1].Request.Listed)
	assert.Equal(t, []ltp.Reason{ltp.ReasonUnstable, ltp.ReasonAwaitsReplay, ltp.ReasonRecoveryConfirmed}, e.reasons())
	assert.Equal(t, []map[string]any{marked(db, 3, ltp.ReasonUnstable)}, e.upserts, "no event is spent on it")
	assert.False(t, e.attempts[0].Route.Request.Listed, "the fence does not ask for that")
}

// TestNoReplayIsTrustedTwice: if the engine does not come until the longest backstop, the
// order acts by itself.
func TestNoReplayIsTrustedTwice(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.becomes(time.Minute, ltp.Recovering)
	began := e.Now()
	e.executed(order)
	require.Len(t, e.routes, 3)
	assert.True(t, e.routes[1].Request.Listed)
	assert.False(t, e.routes[2].Request.Listed)
	b := ltp.DefaultBackstop()
	assert.InDelta(t, (b.First + b.Most).Minutes(), e.Now().Sub(began).Minutes(), (b.First+b.Most).Minutes()/4)
}

// TestAPausedReplayFindsWhatTheBackstopWokeMeanwhile: the order stays under the epoch that it
// was deferred under, for which the replay looks, and takes the release of that replay when
// it is resumed.
func TestAPausedReplayFindsWhatTheBackstopWokeMeanwhile(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.paused = []string{db}
	e.becomes(time.Minute, ltp.Recovering)
	e.at(20*time.Minute, func() { e.paused = nil; e.signal(e.stability()) })
	began := e.Now()
	e.executed(order)
	assert.Equal(t, 20*time.Minute, e.Now().Sub(began))
	assert.Greater(t, len(e.routes), 2)
	assert.Equal(t, []string{db}, e.routings[1].Request.Paused)
	assert.Equal(t, []map[string]any{
		marked(db, 3, ltp.ReasonUnstable), marked(db, 3, ltp.ReasonReplayPaused),
	}, e.upserts, "and once only")
}

// TestWhatIsLeftToAReplayIsMarkedUnderAnEpochOfBefore where the order was not deferred by
// that component before: the replay must find it, paused or under way.
func TestWhatIsLeftToAReplayIsMarkedUnderAnEpochOfBefore(t *testing.T) {
	for reason, paused := range map[ltp.Reason][]string{ltp.ReasonReplayPaused: {payments}, ltp.ReasonAwaitsReplay: nil} {
		t.Run(string(reason), func(t *testing.T) {
			both := order
			both.DependsOn = []string{db, payments}
			e := newOrderTest(t, ltp.Unstable)
			e.paused = paused
			e.at(time.Minute, func() { e.set(db, ltp.Stable); e.set(payments, ltp.Recovering) })
			e.at(15*time.Minute, func() { e.set(payments, ltp.Stable) })
			e.executed(both)
			assert.Equal(t, []map[string]any{
				marked(db, 3, ltp.ReasonUnstable), marked(payments, 2, reason),
			}, e.upserts)
		})
	}
}
