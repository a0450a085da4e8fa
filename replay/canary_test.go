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

func TestCanariesGoFirstAndTheRestFollowsWhenTheyHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(50, func(_ int, w *waiting) { w.works = 2 * time.Second })
		began := time.Now()
		p := pace.Default()
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.ElementsMatch(t, n.oldestFirst()[:p.Canary], n.released()[:p.Canary])
		assert.ElementsMatch(t, n.oldestFirst(), n.released())
		for i, took := range n.taken {
			if i < p.Canary {
				assert.Equal(t, began, took.at)
			} else {
				assert.GreaterOrEqual(t, took.at.Sub(began), 2*time.Second)
				assert.Less(t, took.at.Sub(began), p.Timeout)
			}
		}
	})
}

// TestTheReleaseStaysAtCanariesUntilTheyCommit: some more are tried after a pause, for
// as long as the component counts as fit.
func TestTheReleaseStaysAtCanariesUntilTheyCommit(t *testing.T) {
	for name, bad := range map[string]func(*waiting){
		"they hang": func(w *waiting) { w.stuck = true },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				p := pace.Default()
				n.add(100, func(i int, w *waiting) {
					if i < 2*p.Canary {
						bad(w)
					}
				})
				began := time.Now()
				report, err := release(t, engine(n, s, p), drain)
				require.NoError(t, err)
				assert.ElementsMatch(t, n.oldestFirst(), n.released())
				assert.Equal(t, 2*p.Canary, report.Setbacks)
				at := func(i int) time.Duration { return n.taken[i].at.Sub(began) }
				assert.Zero(t, at(p.Canary-1))
				assert.GreaterOrEqual(t, at(p.Canary), p.Timeout)
				assert.Equal(t, at(p.Canary), at(2*p.Canary-1))
				assert.GreaterOrEqual(t, at(2*p.Canary), 2*p.Timeout)
				assert.Equal(t, at(2*p.Canary), at(3*p.Canary-1), "canaries once more")
				assert.Less(t, at(3*p.Canary), at(3*p.Canary-1)+100*time.Millisecond, "which commit")
			})
		})
	}
}

// TestCanariesThatFailAreASetback: as many as there are canaries are tried, and the
// Orientation learns it in the words of the database, whatever the observer sees.
func TestCanariesThatFailAreASetback(t *testing.T) {
	for name, c := range map[string]struct {
		waiting int
		cause   ltp.FailureCause
	}{
		"for a reason that nobody knows":     {waiting: 40},
		"for no fault of their own":          {waiting: 40, cause: ltp.CauseComponent},
		"one alone, for no fault of its own": {waiting: 1, cause: ltp.CauseComponent},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(c.waiting, func(_ int, w *waiting) { w.fails, w.cause = true, c.cause })
				n.onFailing = func() { s.sees(ltp.Unstable, 6) }
				p := pace.Default()
				report, err := release(t, engine(n, s, p), drain)
				require.NoError(t, err)
				assert.True(t, report.MovedOn)
				tried := min(c.waiting, p.Canary)
				assert.Len(t, n.taken, tried)
				require.Len(t, n.failing, 1)
				signalled := n.failing[0]
				assert.True(t, signalled.Setback)
				assert.EqualValues(t, 5, signalled.Epoch)
				assert.Len(t, signalled.Orders, tried)
				assert.Equal(t, "42501", signalled.Orders[0].Code)
			})
		})
	}
}

// TestBadOrdersAreNotTheCanariesOfEveryRecovery: the oldest orders fail, for a reason that
// nobody knows, and the next recovery tries others first.
func TestBadOrdersAreNotTheCanariesOfEveryRecovery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := pace.Default()
		n.add(50, func(i int, w *waiting) { w.fails = i < p.Canary })
		n.onFailing = func() { s.sees(ltp.Unstable, 6) }
		e := engine(n, s, p)
		report, err := release(t, e, drain)
		require.NoError(t, err)
		require.True(t, report.MovedOn)
		require.Len(t, n.taken, p.Canary)

		s.sees(ltp.Recovering, 7)
		_, err = release(t, e, ltp.ReleaseInput{Component: drain.Component, Epoch: 7})
		require.NoError(t, err)
		require.Len(t, n.failing, 1, "the recovery stands")
		oldest := n.oldestFirst()
		assert.ElementsMatch(t, oldest[p.Canary:2*p.Canary], n.released()[p.Canary:2*p.Canary])
	})
}

// TestOneCanaryThatFailsForAReasonThatNobodyKnowsIsNoSetback, nor are many that fail by
// themselves.
func TestOneCanaryThatFailsForAReasonThatNobodyKnowsIsNoSetback(t *testing.T) {
	for waits, b := range map[int]ltp.FailureCause{1: "", 20: ltp.CauseOrder} {
		synctest.Test(t, func(t *testing.T) {
			n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
			n.add(waits, func(_ int, w *waiting) { w.fails, w.cause = true, b })
			_, err := release(t, engine(n, s, pace.Default()), drain)
			require.NoError(t, err)
			assert.Empty(t, n.failing)
			assert.Len(t, n.released(), waits)
		})
	}
}

// TestOneBadOrderAmongTheCanariesDoesNotHoldTheRest: it may be the order's own fault.
func TestOneBadOrderAmongTheCanariesDoesNotHoldTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(50, func(i int, w *waiting) { w.fails = i == 3 })
		began := time.Now()
		p := pace.Default()
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		require.Len(t, n.taken, 50)
		assert.Less(t, n.taken[49].at.Sub(began), p.Timeout)
	})
}

// TestCanariesThatSayNothingAreFollowedByOthers: an order that the order database refuses
// says nothing of it, nor does one that has ended before.
func TestCanariesThatSayNothingAreFollowedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := pace.Default()
		n.add(100, func(i int, w *waiting) {
			switch {
			case i < 2*p.Canary:
				w.state = ltp.Rejected
			case i < 3*p.Canary:
				w.ends, w.lag = time.Now(), time.Minute
			case i < 4*p.Canary:
				w.works = 2 * time.Second // the first whose outcome counts
			}
		})
		began := time.Now()
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Zero(t, report.Setbacks)
		at := func(i int) time.Duration { return n.taken[i].at.Sub(began) }
		assert.Less(t, at(3*p.Canary-1), time.Second)
		assert.GreaterOrEqual(t, at(3*p.Canary), 2*time.Second)
	})
}

// TestCanariesThatStandInLineDoNotHoldTheRest: they wait for other orders, not for the
// component.
func TestCanariesThatStandInLineDoNotHoldTheRest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(100, func(i int, w *waiting) { w.inLine = i < 20 })
		began := time.Now()
		p := pace.Default()
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Zero(t, report.Setbacks)
		require.Len(t, n.taken, 100)
		assert.Less(t, n.taken[99].at.Sub(began), 2*p.Timeout)
	})
}

func TestNothingFollowsTheCanariesWhenTheyMakeTheComponentUnfit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(20, func(_ int, w *waiting) { w.stuck = true })
		p := pace.Default()
		time.AfterFunc(p.Timeout/2, func() { s.sees(ltp.Unstable, 6) })
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Equal(t, ltp.ReleaseReport{Passes: 1, MovedOn: true}, report)
		assert.Len(t, n.taken, p.Canary)
	})
}

// TestTheRampBeginsAfterTheCanaries and not while they are waited for: a component
// that let them wait is not given full speed next.
func TestTheRampBeginsAfterTheCanaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := pace.Default()
		p.Start, p.Floor, p.Ceiling, p.Double, p.InFlight = 10, 5, 40, 2*time.Second, p.Canary
		n.add(300, func(i int, w *waiting) {
			if i < p.Canary {
				w.works, w.write = 4*time.Second, time.Millisecond
			}
		})
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		require.Len(t, n.taken, 300)
		began := n.taken[p.Canary].at
		var perSecond [6]int
		for _, took := range n.taken[p.Canary:] {
			if second := int(took.at.Sub(began) / time.Second); second < len(perSecond) {
				perSecond[second]++
			}
		}
		for second, limit := range []int{12, 17, 24, 34, 40, 40} {
			assert.InDelta(t, limit, perSecond[second], 3, "in second %d", second)
		}
	})
}

// TestNoMoreThanInFlightAreOnTheirWay, however fast the ramp.
func TestNoMoreThanInFlightAreOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := pace.Default()
		n.add(1000, func(i int, w *waiting) { w.stuck = i >= p.Canary })
		p.Start, p.Ceiling = 10_000, 10_000
		time.AfterFunc(p.Timeout-time.Second, func() { s.sees(ltp.Unstable, 6) })
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Equal(t, p.Canary+p.InFlight, len(n.taken))
		assert.Equal(t, p.InFlight, n.most)
	})
}

func TestSlowWritesShrinkTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := pace.Default()
		n.add(3000, func(i int, w *waiting) {
			if i >= 1000 {
				w.works = 2 * p.SlowWrite
			}
		})
		var before, after float64
		n.releasing = func(nth int) {
			now := n.heartbeat()
			n.change(func() {
				switch {
				case nth < 1000:
					before = max(before, now.Ceiling)
				case nth > 1500:
					after = now.Ceiling
				}
			})
		}
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		require.Len(t, n.taken, 3000)
		assert.Greater(t, before, 2*p.Start)
		assert.Less(t, after, p.Start)
	})
}

// TestOrdersThatAllFailBringTheCanariesBack in place of orders by the hundred.
func TestOrdersThatAllFailBringTheCanariesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := pace.Default()
		n.add(5000, func(i int, w *waiting) { w.fails = i >= 200 })
		phases := map[string]bool{}
		n.releasing = func(nth int) {
			if phase := n.heartbeat().Phase; nth > 200+p.InFlight+2*p.Canary {
				n.change(func() { phases[phase] = true })
			}
		}
		time.AfterFunc(time.Minute, func() { s.sees(ltp.Unstable, 6) })
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.True(t, phases[replay.PhaseCanary])
		assert.Less(t, report.Released, 500, "in a minute in which nothing commits")
	})
}

func TestOrdersThatNeverEndDoNotStopTheRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(100, func(_ int, w *waiting) { w.stuck = true })
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Equal(t, 100, report.Released)
	})
}

func TestOrdersThatEndAreReleasedAtTheSpeedOfTheRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1500, func(_ int, w *waiting) { w.works = 20 * time.Millisecond })
		p := pace.Default()
		began := time.Now()
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		atFullSpeed := time.Duration(1500 / p.Ceiling * float64(time.Second))
		assert.Less(t, n.taken[1499].at.Sub(began), atFullSpeed+4*p.Double)
	})
}

// TestAComponentThatFailedUnderAReleaseIsReleasedMoreSlowly when it is fit again.
func TestAComponentThatFailedUnderAReleaseIsReleasedMoreSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(10_000)
		e := engine(n, s, pace.Default())
		time.AfterFunc(2*time.Second, func() { s.sees(ltp.Unstable, 6) })
		first, err := release(t, e, drain)
		require.NoError(t, err)
		require.True(t, first.MovedOn)

		s.sees(ltp.Recovering, 7)
		time.AfterFunc(2*time.Second, func() { s.sees(ltp.Unstable, 8) })
		second, err := release(t, e, ltp.ReleaseInput{Component: db, Epoch: 7})
		require.NoError(t, err)
		assert.Less(t, second.Released, first.Released*3/4)
	})
}
