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
		n.releasing = func(nth int) {
			if nth == 2600 {
				crash()
			}
		}
		_, err := run(t, environment(ctx, e), e, drain)
		require.Error(t, err)
		before, first := n.heartbeat(), n.begun
		require.Positive(t, before.Passes)
		require.True(t, before.CanariesPassed)
		require.False(t, before.Next.IsZero())

		gone := 0
		n.releasing = func(int) {
			n.change(func() {
				if len(n.taken) < 4000 {
					gone = n.gone
				}
			})
		}
		again := time.Now()
		report, err := release(t, e, drain, from(before))
		require.NoError(t, err)
		assert.ElementsMatch(t, n.oldestFirst(), distinct(n.released()), "every order")
		assert.Len(t, n.released(), 4000, "and none twice in effect")
		assert.Greater(t, report.Passes, before.Passes)
		assert.Equal(t, before.BegunAt, n.heartbeat().BegunAt)
		assert.Less(t, gone, 2000, "of 2600, those since the last heartbeat and those of its page; the rest come last")
		assert.Less(t, n.taken[first+50].at.Sub(again), 5*time.Second, "without canaries")
	})
}

// TestAReleaseThatCrashedAmongItsCanariesBeginsWithCanaries: nobody knows what became
// of those.
func TestAReleaseThatCrashedAmongItsCanariesBeginsWithCanaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(100, func(_ int, w *waiting) { w.works = 2 * time.Second })
		p := pace.Default()
		before := ltp.ReleaseReport{Released: 8, Passes: 1, Phase: replay.PhaseCanary}
		_, err := release(t, engine(n, s, p), drain, from(before))
		require.NoError(t, err)
		assert.GreaterOrEqual(t, n.taken[p.Canary].at.Sub(n.taken[0].at), 2*time.Second)
	})
}

// TestAnOrderBeforeTheHeartbeatsPlaceIsNotStranded: its release may have failed.
func TestAnOrderBeforeTheHeartbeatsPlaceIsNotStranded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1000)
		before := ltp.ReleaseReport{Released: 500, Passes: 1, CanariesPassed: true, Next: time.Now().Add(-500 * time.Second)}
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
