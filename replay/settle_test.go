package replay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay"
	"github.com/ltp-node/ltp/replay/pace"
)

// TestOrdersThatShowUpLateAreFound: one sweep lost 94 of 1,500 orders that were just
// deferring when recovery was announced, because the visibility store lags.
func TestOrdersThatShowUpLateAreFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		late := time.Now().Add(time.Minute)
		n.add(1500, func(i int, w *waiting) {
			if i%16 == 0 { // 94 of them
				w.shown = late
			}
		})
		e := engine(n, s, pace.Default())
		drained, err := release(t, e, drain)
		require.NoError(t, err)
		assert.Equal(t, 1406, drained.Released, "the backlog looks drained")
		require.True(t, time.Now().Before(late))

		s.sees(ltp.Stable, 6)
		time.Sleep(time.Until(late) - 5*time.Second)
		settled, err := release(t, e, settle)
		require.NoError(t, err)
		assert.Equal(t, 94, settled.Released)
		assert.ElementsMatch(t, n.oldestFirst(), n.released(), "all, and each once")
		assert.Equal(t, ltp.Stability{Component: db, State: ltp.Stable, Epoch: 6}, n.taken[1499].said)
		assert.Equal(t, replay.PhaseSettle, n.heartbeat().Phase)
	})
}

func TestSettlingGoesOnForAsLongAsOrdersShowUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Stable, 6)
		p := oneByOne()
		began := time.Now()
		n.add(10, func(i int, w *waiting) { w.shown = began.Add(time.Duration(i) * p.Settle * 3 / 4) })
		report, err := release(t, engine(n, s, p), settle)
		require.NoError(t, err)
		require.Equal(t, 10, report.Released)
		last := n.taken[9].at
		assert.GreaterOrEqual(t, time.Since(last), p.Settle)
		assert.Less(t, time.Since(last), 2*p.Settle, "and then ends")
	})
}

func TestSettlingSweepsLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Stable, 6)
		p := oneByOne()
		p.Settle = 5 * time.Minute
		began := time.Now()
		report, err := release(t, engine(n, s, p), settle)
		require.NoError(t, err)
		assert.Zero(t, report.Released)
		assert.Less(t, report.Passes, 20)
		assert.LessOrEqual(t, time.Since(began), p.Settle*4/3, "but three times while it settles")
	})
}

// TestSettlingDoesNotEndBeforeWhatWasFoundIsReleased: an order that cannot be
// released is not an order that is not there.
func TestSettlingDoesNotEndBeforeWhatWasFoundIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Stable, 6)
		n.add(1, func(_ int, w *waiting) { w.refuse = 50 })
		report, err := release(t, engine(n, s, oneByOne()), settle)
		require.NoError(t, err)
		assert.Equal(t, 50, n.failed)
		assert.Equal(t, 1, report.Released)
	})
}

func TestSettlingDoesNotEndWhileWhatWasFoundIsPaused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Stable, 6)
		n.add(10)
		s.controlled(ltp.ReplayControl{Paused: true})
		time.AfterFunc(5*time.Minute, func() { s.controlled(ltp.ReplayControl{}) })
		report, err := release(t, engine(n, s, oneByOne()), settle)
		require.NoError(t, err)
		assert.Equal(t, 10, report.Released)
	})
}
