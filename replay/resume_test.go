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

// TestAReleaseGoesOnWhereItsHeartbeatSaysItWas after a crash in the middle of a page:
// with its counts, without canaries, and with the page it was at.
func TestAReleaseGoesOnWhereItsHeartbeatSaysItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(4000, func(_ int, w *waiting) { w.lag = 10 * time.Second }) // what has gone on is listed for long
		ctx, crash := cancelled(t)
		e := engine(n, s, pace.Default())
		n.signalling = func(nth int) {
			if nth == 2600 {
				crash()
			}
		}
		_, err := run(t, environment(ctx, e), e, drain)
		require.Error(t, err)
		beat, first := n.beat(), n.begun
		require.Positive(t, beat.Passes)
		require.True(t, beat.Warm)
		require.False(t, beat.Next.IsZero())

		gone := 0
		n.signalling = func(int) {
			n.change(func() {
				if len(n.signals) < 4000 {
					gone = n.gone
				}
			})
		}
		again := time.Now()
		report, err := release(t, e, drain, from(beat))
		require.NoError(t, err)
		assert.ElementsMatch(t, n.oldestFirst(), distinct(n.released()), "every order")
		assert.Len(t, n.released(), 4000, "and none twice in effect")
		assert.Greater(t, report.Passes, beat.Passes)
		assert.Equal(t, beat.BegunAt, n.beat().BegunAt)
		assert.Less(t, gone, 2000, "of 2600, those since the last heartbeat and those of its page; the rest come last")
		assert.Less(t, n.signals[first+50].at.Sub(again), 5*time.Second, "without canaries")
	})
}

// TestAReleaseThatCrashedAmongItsCanariesBeginsWithCanaries: nobody knows what became
// of those.
func TestAReleaseThatCrashedAmongItsCanariesBeginsWithCanaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(100, func(_ int, w *waiting) { w.works = 2 * time.Second })
		p := oneByOne()
		before := replay.ReleaseReport{Released: 8, Passes: 1, Phase: replay.PhaseCanary}
		_, err := release(t, engine(n, s, p), drain, from(before))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, n.signals[p.Canary].at.Sub(n.signals[0].at), 2*time.Second)
	})
}

// TestAHeartbeatOfAnEarlierVersionIsUnderstood: it told of its counts only.
func TestAHeartbeatOfAnEarlierVersionIsUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(100, func(_ int, w *waiting) { w.works = 2 * time.Second })
		p := oneByOne()
		report, err := release(t, engine(n, s, p), drain, from(replay.ReleaseReport{Released: 40, Passes: 2}))
		require.NoError(t, err)
		assert.Equal(t, 140, report.Released)
		assert.Greater(t, report.Passes, 2)
		assert.Less(t, n.signals[p.Canary].at.Sub(n.signals[0].at), 2*time.Second, "its canaries had come back")
	})
}

// TestAnOrderBeforeTheHeartbeatsPlaceIsNotStranded: its signal may have failed.
func TestAnOrderBeforeTheHeartbeatsPlaceIsNotStranded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1000)
		before := replay.ReleaseReport{Released: 500, Passes: 1, Warm: true, Next: time.Now().Add(-500 * time.Second)}
		_, err := release(t, engine(n, s, oneByOne()), drain, from(before))
		require.NoError(t, err)
		released := n.released()
		assert.Equal(t, n.oldestFirst()[500:], released[:500], "where it was")
		assert.ElementsMatch(t, n.oldestFirst(), released)
	})
}

func distinct(ids []string) []string {
	seen := map[string]bool{}
	var once []string
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			once = append(once, id)
		}
	}
	return once
}
