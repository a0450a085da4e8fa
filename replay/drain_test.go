package replay_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay/pace"
)

// meter keeps what it is called with.
type meter struct {
	released map[string]int
	reports  []ltp.ReleaseReport
	ended    int
}

func (m *meter) Released(component string)                    { m.released[component]++ }
func (m *meter) Replaying(_ string, report ltp.ReleaseReport) { m.reports = append(m.reports, report) }
func (m *meter) Replayed(string)                              { m.ended++ }

func TestEveryDeferredOrderIsReleasedOnceAndTheOldestFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		at := func(age, step time.Duration) func(int, *waiting) {
			began := time.Now().Add(-age)
			return func(i int, w *waiting) {
				w.started = began.Add(time.Duration(i) * step)
				w.lag = 2 * time.Second // the store shows it for a while after it has ended
			}
		}
		n.add(20, at(3*24*time.Hour, time.Hour))
		n.add(700, at(time.Hour, 7*time.Microsecond)) // more than fit on a page, in 5 ms
		n.add(600, at(time.Minute, 50*time.Millisecond))
		n.add(600, at(10*time.Second, 0)) // at the very same moment
		expected := n.oldestFirst()
		n.add(5, func(_ int, w *waiting) { w.under = 5 })       // deferred while RECOVERING: not its business
		n.add(5, func(_ int, w *waiting) { w.of = "payments" }) // waits for another component
		e := engine(n, s, oneByOne())
		m := &meter{released: map[string]int{}}
		e.Meter = m

		report, err := release(t, e, drain)
		require.NoError(t, err)
		assert.Equal(t, expected, n.released())
		assert.Equal(t, len(expected), report.Released)
		assert.False(t, report.MovedOn)
		assert.Positive(t, report.Passes)
		assert.Equal(t, map[string]int{db: len(expected)}, m.released)
		assert.Equal(t, 1, m.ended)
		assert.NotEmpty(t, m.reports)
		for _, took := range n.taken {
			require.Equal(t, ltp.Stability{Component: db, State: ltp.Recovering, Epoch: 5}, took.said)
		}
	})
}

// TestALongBacklogIsNotListedBeforeItIsReleased: the oldest go on while the others are
// still to be looked for.
func TestALongBacklogIsNotListedBeforeItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(10_000)
		begun := 0
		n.releasing = func(nth int) {
			n.mu.Lock()
			defer n.mu.Unlock()
			if nth == 1 {
				begun = n.listed
			}
			assert.LessOrEqual(t, n.listed-begun, 2*nth+3*500, "some pages ahead at most, and some in vain")
		}
		_, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.Less(t, begun, 5*500)
		assert.Equal(t, n.oldestFirst(), n.released())
	})
}

func TestManyAtOnceReleaseNoOrderTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1500, func(i int, w *waiting) {
			w.lag = time.Duration(i%7) * time.Second
			w.works = time.Duration(i%50) * time.Millisecond
		})
		n.releasing = func(int) { time.Sleep(10 * time.Millisecond) }
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.ElementsMatch(t, n.oldestFirst(), n.released())
		assert.Equal(t, 1500, report.Released)
	})
}

// TestNoOrderOvertakesOthersByMoreThanAPage: also with many releases at once, of which
// some take long.
func TestNoOrderOvertakesOthersByMoreThanAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(3000)
		n.releasing = func(nth int) { time.Sleep(time.Duration(nth%20) * 5 * time.Millisecond) }
		_, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		place := map[string]int{}
		for i, id := range n.oldestFirst() {
			place[id] = i
		}
		for i, id := range n.released() {
			assert.InDelta(t, place[id], i, 500)
		}
	})
}

func TestAnOrderThatHasEndedAlreadyIsDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(20, func(i int, w *waiting) {
			if i%2 == 0 { // cancelled meanwhile, and still listed
				w.ends, w.lag = time.Now(), 5*time.Second
			}
		})
		report, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.Equal(t, 20, n.begun, "none is released again")
		assert.Equal(t, 10, report.Released, "what was not there was not released")
	})
}

func TestAnOrderWhoseReleaseTemporalFailedIsReleasedByALaterSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(300, func(i int, w *waiting) { w.refuse = i % 3 })
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Equal(t, 300, n.failed)
		assert.Equal(t, 300, report.Released)
		assert.ElementsMatch(t, n.oldestFirst(), n.released())
	})
}

// TestAReleaseThatHangsHoldsUpNoneOfTheOthers and is given up.
func TestAReleaseThatHangsHoldsUpNoneOfTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(500)
		began := time.Now()
		n.releasing = func(nth int) {
			if nth == 100 {
				time.Sleep(6 * time.Second)
			}
		}
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Equal(t, 500, report.Released)
		assert.Less(t, n.taken[498].at.Sub(began), 5*time.Second)
	})
}

func TestABacklogOfNoneIsDrainedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		began := time.Now()
		report, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.Equal(t, ltp.ReleaseReport{Passes: 1}, report)
		assert.LessOrEqual(t, time.Since(began), 250*time.Millisecond)
	})
}

func TestTheBacklogIsDrainedWhenEveryOrderHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(30, func(_ int, w *waiting) { w.works, w.write = 4*time.Second, time.Millisecond })
		_, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		for _, w := range n.orders {
			assert.True(t, w.ended())
		}
	})
}

// TestABacklogThatEndsByItselfIsCountedAndSeldomListed: an order that has ended is listed
// a while longer, and listing costs the store more than counting.
func TestABacklogThatEndsByItselfIsCountedAndSeldomListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1000, func(i int, w *waiting) { w.lag = time.Duration(i) * 4 * time.Millisecond })
		_, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Len(t, n.taken, 1000)
		assert.Less(t, n.listed, 10*1000)
	})
}

func TestWhatShowsUpDuringTheDrainIsReleasedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := oneByOne()
		shown := time.Now().Add(p.Patience / 2)
		n.add(10, func(_ int, w *waiting) { w.inLine = true })
		n.add(1, func(_ int, w *waiting) { w.shown = shown })
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		require.Len(t, n.taken, 11)
		assert.LessOrEqual(t, n.taken[10].at.Sub(shown), 2500*time.Millisecond)
	})
}

func TestOrdersThatNeverEndHoldRecoveryBackForThePatienceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(30, func(i int, w *waiting) { w.stuck = i == 17 })
		p := oneByOne()
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Equal(t, 30, report.Released)
		assert.False(t, report.MovedOn)
		waited := time.Since(n.taken[29].at)
		assert.Greater(t, waited, p.Patience)
		assert.Less(t, waited, 2*p.Patience)
		assert.Len(t, n.taken, 30, "and are not released again")
	})
}

func TestPatienceBeginsWhenNothingMoreIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := oneByOne()
		began := time.Now()
		n.add(10, func(i int, w *waiting) {
			w.inLine, w.shown = i == 0, began.Add(time.Duration(i)*p.Patience/2)
		})
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		require.Equal(t, 10, report.Released)
		assert.Greater(t, time.Since(n.taken[9].at), p.Patience)
	})
}

// TestABadOrderDoesNotHoldTheRecovery: one that finds the component unavailable waits on
// its own pause, and is none of those deferred before.
func TestABadOrderDoesNotHoldTheRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(300, func(i int, w *waiting) { w.fails = i%100 == 3 })
		began := time.Now()
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Equal(t, 300, report.Released)
		assert.Len(t, n.taken, 300, "and none is released again")
		assert.Less(t, time.Since(began), pace.Default().Patience)
	})
}

func TestAReleaseEndsWithItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(400)
		ctx, cancel := cancelled(t)
		e := engine(n, s, pace.Default())
		n.releasing = func(nth int) {
			if nth == 100 {
				cancel()
			}
		}
		_, err := run(t, environment(ctx, e), e, drain)
		require.ErrorContains(t, err, "canceled")
		assert.Less(t, n.begun, 100+e.Pace.InFlight)
	})
}

// TestAnAttemptHandsOverBeforeTemporalGivesItUp: whoever is given up without a missed
// heartbeat may have a successor at once.
func TestAnAttemptHandsOverBeforeTemporalGivesItUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(10)
		s.controlled(ltp.ReplayControl{Paused: true})
		began := time.Now()
		_, err := release(t, engine(n, s, pace.Default()), drain)
		require.ErrorContains(t, err, "the next goes on")
		assert.Equal(t, 9*time.Minute, time.Since(began), "of the ten that the environment gives")
		assert.Empty(t, n.taken)
	})
}
