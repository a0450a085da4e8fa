package activities_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
)

// sight is a board that is kept fresh, as Run does it.
type sight struct {
	*board.Board
	mu  sync.Mutex
	now board.Reading
}

func newSight(t *testing.T, s ltp.State, epoch int64) *sight {
	t.Helper()
	sight := &sight{Board: newBoard(db)}
	sight.sees(s, epoch)
	end := make(chan struct{})
	go func() {
		tick := time.NewTicker(board.Refresh)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				sight.put()
			}
		}
	}()
	t.Cleanup(func() { close(end) })
	return sight
}

func (s *sight) put() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now.ReadAt = time.Now()
	s.Put(s.now)
}

func (s *sight) shows(r board.Reading) {
	s.mu.Lock()
	s.now = r
	s.mu.Unlock()
	s.put()
}

func (s *sight) sees(state ltp.State, epoch int64) { s.shows(seen(state, epoch)) }

// loses is that nothing can be read any more.
func (s *sight) loses() {
	s.mu.Lock()
	epoch := s.now.Epoch
	s.mu.Unlock()
	s.shows(sightless(epoch))
}

// inTurn is the default pace with one signal at a time, so that their order is
// certain.
func inTurn() activities.Pace {
	p := activities.DefaultPace()
	p.Parallel = 1
	return p
}

var (
	drain  = activities.ReleaseInput{Component: db, Epoch: 5}
	settle = activities.ReleaseInput{Component: db, Epoch: 6, Settle: true}
)

// engine releases the orders of a namespace.
func engine(n *namespace, s *sight, p activities.Pace) *activities.Engine {
	return &activities.Engine{Client: n, Board: s.Board, Pace: p, Log: silent}
}

func release(t *testing.T, e *activities.Engine, in activities.ReleaseInput, prepare ...func(*testsuite.TestActivityEnvironment)) (activities.ReleaseReport, error) {
	t.Helper()
	env := environment(t.Context(), e)
	for _, p := range prepare {
		p(env)
	}
	return do[activities.ReleaseReport](t, env, e.Release, in)
}

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
		released := map[string]int{}
		e := engine(n, s, inTurn())
		e.Released = func(component string) { released[component]++ }

		report, err := release(t, e, drain)
		require.NoError(t, err)
		assert.Equal(t, expected, n.released())
		assert.Equal(t, len(expected), report.Released)
		assert.False(t, report.MovedOn)
		assert.Positive(t, report.Passes)
		assert.Equal(t, map[string]int{db: len(expected)}, released)
		for _, signal := range n.signals {
			require.Equal(t, ltp.Stability{Component: db, State: ltp.Recovering, Epoch: 5}, signal.said)
		}
	})
}

// TestALongBacklogIsNotListedBeforeItIsReleased: the oldest go on while the others are
// still to be looked for.
func TestALongBacklogIsNotListedBeforeItIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(2000)
		n.signalling = func(nth int) {
			assert.LessOrEqual(t, n.listed, nth+500, "a page at a time")
		}
		_, err := release(t, engine(n, s, inTurn()), drain)
		require.NoError(t, err)
		assert.Equal(t, n.oldestFirst(), n.released())
	})
}

func TestManySignalsAtOnceReleaseNoOrderTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1500, func(i int, w *waiting) {
			w.lag = time.Duration(i%7) * time.Second
			w.works = time.Duration(i%50) * time.Millisecond
		})
		n.signalling = func(int) { time.Sleep(10 * time.Millisecond) }
		report, err := release(t, engine(n, s, activities.DefaultPace()), drain)
		require.NoError(t, err)
		assert.ElementsMatch(t, n.oldestFirst(), n.released())
		assert.Equal(t, 1500, report.Released)
	})
}

func TestCanariesGoFirstAndTheRestFollowsWhenTheyHaveEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(50, func(_ int, w *waiting) { w.works = 2 * time.Second })
		began := time.Now()
		p := inTurn()
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Equal(t, n.oldestFirst(), n.released())
		for i, signal := range n.signals {
			if i < p.Canary {
				assert.Equal(t, began, signal.at)
			} else {
				assert.GreaterOrEqual(t, signal.at.Sub(began), 2*time.Second)
				assert.Less(t, signal.at.Sub(began), p.CanaryWait)
			}
		}
	})
}

func TestCanariesThatDoNotEndHoldUpTheRestForTheirWaitOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(20, func(_ int, w *waiting) { w.stuck = true })
		began := time.Now()
		p := inTurn()
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		require.Len(t, n.signals, 20)
		assert.Equal(t, p.CanaryWait, n.signals[p.Canary].at.Sub(began))
	})
}

func TestNothingFollowsTheCanariesWhenTheyMakeTheComponentUnfit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(20, func(_ int, w *waiting) { w.stuck = true })
		p := inTurn()
		time.AfterFunc(p.CanaryWait/2, func() { s.sees(ltp.Unstable, 6) })
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Equal(t, activities.ReleaseReport{Released: p.Canary, Passes: 1, MovedOn: true}, report)
		assert.Len(t, n.signals, p.Canary)
	})
}

// TestTheRampBeginsAfterTheCanaries and not while they are waited for: a component
// that let them hang is not given full speed next.
func TestTheRampBeginsAfterTheCanaries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(300, func(_ int, w *waiting) { w.stuck = true })
		p := inTurn()
		p.Start, p.Ceiling, p.Double = 10, 30, 2*time.Second
		p.Pilots = 300 // these orders never end, and shall not slow the ramp down here
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		require.Len(t, n.signals, 300)
		began := n.signals[p.Canary].at
		var perSecond [8]int
		for _, signal := range n.signals[p.Canary:] {
			if second := int(signal.at.Sub(began) / time.Second); second < len(perSecond) {
				perSecond[second]++
			}
		}
		for second, limit := range []int{10, 10, 20, 20, 30, 30, 30, 30} {
			assert.InDelta(t, limit, perSecond[second], 2, "in second %d", second)
		}
	})
}

// TestOrdersThatDoNotEndSlowTheReleaseDown: what is released and has not ended stays
// below a bound, however fast the ramp.
func TestOrdersThatDoNotEndSlowTheReleaseDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1000, func(_ int, w *waiting) { w.stuck = true })
		p := activities.DefaultPace()
		p.Start, p.Ceiling = 10_000, 10_000
		time.AfterFunc(p.CanaryWait+p.CanaryWait/2, func() { s.sees(ltp.Unstable, 6) })
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(n.signals), p.Canary+p.PilotEvery*(p.Pilots+1))
		assert.Greater(t, len(n.signals), p.Canary+p.PilotEvery)
	})
}

func TestOrdersThatNeverEndDoNotStopTheRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(300, func(_ int, w *waiting) { w.stuck = true })
		report, err := release(t, engine(n, s, activities.DefaultPace()), drain)
		require.NoError(t, err)
		assert.Equal(t, 300, report.Released)
	})
}

func TestOrdersThatEndAreReleasedAtTheSpeedOfTheRamp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1500, func(_ int, w *waiting) { w.works = 20 * time.Millisecond })
		p := activities.DefaultPace()
		began := time.Now()
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		atFullSpeed := time.Duration(1500 / p.Ceiling * float64(time.Second))
		assert.Less(t, n.signals[1499].at.Sub(began), atFullSpeed+4*p.Double)
	})
}

func TestNothingIsReleasedAfterTheOrientationMovedOn(t *testing.T) {
	for _, news := range []struct {
		state ltp.State
		epoch int64
	}{{ltp.Unstable, 6}, {ltp.Unknown, 6}, {ltp.Stable, 6}, {ltp.Recovering, 7}} {
		for _, parallel := range []int{1, 32} {
			t.Run(fmt.Sprintf("%s, %d at once", news.state, parallel), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
					n.add(400)
					n.signalling = func(nth int) {
						if nth == 100 {
							s.sees(news.state, news.epoch)
						}
					}
					p := inTurn()
					p.Parallel = parallel
					report, err := release(t, engine(n, s, p), drain)
					require.NoError(t, err)
					assert.True(t, report.MovedOn)
					assert.LessOrEqual(t, n.begun, 100+parallel-1, "only what was under way at that moment")
					assert.Equal(t, len(n.signals), report.Released)
				})
			})
		}
	}
}

// TestNoSignalThatWaitedForItsTurnIsSentAfterTheOrientationMovedOn: the turn of an
// order comes when the signal before it has returned, which may take long.
func TestNoSignalThatWaitedForItsTurnIsSentAfterTheOrientationMovedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(400)
		n.signalling = func(nth int) {
			if nth == 100 {
				time.Sleep(time.Second)
				s.sees(ltp.Unstable, 6)
			}
		}
		report, err := release(t, engine(n, s, inTurn()), drain)
		require.NoError(t, err)
		assert.True(t, report.MovedOn)
		assert.Equal(t, 100, n.begun)
	})
}

func TestAReleaseThatOnlyWaitsEndsWhenTheOrientationMovesOn(t *testing.T) {
	for name, in := range map[string]activities.ReleaseInput{"drain": drain, "settle": {Component: db, Epoch: 5, Settle: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(3, func(_ int, w *waiting) { w.stuck = true })
				time.AfterFunc(10*time.Second, func() { s.sees(ltp.Unstable, 6) })
				began := time.Now()
				p := inTurn()
				report, err := release(t, engine(n, s, p), in)
				require.NoError(t, err)
				assert.True(t, report.MovedOn)
				assert.LessOrEqual(t, time.Since(began), 10*time.Second+p.Settle/3)
			})
		})
	}
}

func TestAReleaseThatIsOvertakenBeforeItBeginsReleasesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Unstable, 6)
		n.add(10)
		report, err := release(t, engine(n, s, inTurn()), drain)
		require.NoError(t, err)
		assert.Equal(t, activities.ReleaseReport{MovedOn: true}, report)
		assert.Empty(t, n.signals)
	})
}

func TestAReleaseWaitsForABoardThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Unstable, 4)
		n.add(10)
		began := time.Now()
		time.AfterFunc(time.Second, func() { s.sees(ltp.Recovering, 5) })
		report, err := release(t, engine(n, s, inTurn()), drain)
		require.NoError(t, err)
		assert.Equal(t, 10, report.Released)
		assert.GreaterOrEqual(t, n.signals[0].at.Sub(began), time.Second)
	})
}

func TestAReleasePausesWhileTheBoardIsBlind(t *testing.T) {
	for name, parallel := range map[string]int{"one at a time": 1, "many at once": 32} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(400)
				var lost, found time.Time
				n.signalling = func(nth int) {
					if nth == 100 {
						lost = time.Now()
						s.loses()
						time.AfterFunc(time.Minute, func() {
							found = time.Now()
							s.sees(ltp.Recovering, 5)
						})
					}
				}
				p := inTurn()
				p.Parallel = parallel
				report, err := release(t, engine(n, s, p), drain)
				require.NoError(t, err)
				assert.Equal(t, 400, report.Released)
				assert.ElementsMatch(t, n.oldestFirst(), n.released())
				for _, signal := range n.signals {
					assert.False(t, signal.at.After(lost) && signal.at.Before(found), "released without sight")
					assert.Equal(t, ltp.Recovering, signal.said.State)
				}
			})
		})
	}
}

func TestABoardThatWentBlindAndMovedOnEndsTheRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(400)
		n.signalling = func(nth int) {
			if nth == 100 {
				s.loses()
				time.AfterFunc(time.Minute, func() { s.sees(ltp.Unstable, 6) })
			}
		}
		report, err := release(t, engine(n, s, inTurn()), drain)
		require.NoError(t, err)
		assert.True(t, report.MovedOn)
		assert.Equal(t, 100, n.begun)
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
		e := engine(n, s, inTurn())
		told := 0
		e.Released = func(string) { told++ }
		report, err := release(t, e, drain)
		require.NoError(t, err)
		assert.Equal(t, 20, report.Released)
		assert.Equal(t, 20, n.begun, "none is signalled again")
		assert.Equal(t, 10, told, "what was not there was not released")
	})
}

func TestAnOrderWhoseSignalFailedIsReleasedByALaterSweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(300, func(i int, w *waiting) { w.refuse = i % 3 })
		report, err := release(t, engine(n, s, activities.DefaultPace()), drain)
		require.NoError(t, err)
		assert.Equal(t, 300, n.refused)
		assert.Equal(t, 300, report.Released)
		assert.ElementsMatch(t, n.oldestFirst(), n.released())
	})
}

// TestSettlingDoesNotEndBeforeWhatWasFoundIsReleased: an order that cannot be
// signalled is not an order that is not there.
func TestSettlingDoesNotEndBeforeWhatWasFoundIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Stable, 6)
		n.add(1, func(_ int, w *waiting) { w.refuse = 50 })
		report, err := release(t, engine(n, s, inTurn()), settle)
		require.NoError(t, err)
		assert.Equal(t, 50, n.refused)
		assert.Equal(t, 1, report.Released)
	})
}

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
		e := engine(n, s, activities.DefaultPace())
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
		assert.Equal(t, ltp.Stability{Component: db, State: ltp.Stable, Epoch: 6}, n.signals[1499].said)
	})
}

func TestSettlingGoesOnForAsLongAsOrdersShowUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Stable, 6)
		p := inTurn()
		began := time.Now()
		n.add(10, func(i int, w *waiting) { w.shown = began.Add(time.Duration(i) * p.Settle * 3 / 4) })
		report, err := release(t, engine(n, s, p), settle)
		require.NoError(t, err)
		require.Equal(t, 10, report.Released)
		last := n.signals[9].at
		assert.GreaterOrEqual(t, time.Since(last), p.Settle)
		assert.Less(t, time.Since(last), 2*p.Settle, "and then ends")
	})
}

func TestSettlingSweepsLessAndLessOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Stable, 6)
		p := inTurn()
		p.Settle = 5 * time.Minute
		began := time.Now()
		report, err := release(t, engine(n, s, p), settle)
		require.NoError(t, err)
		assert.Zero(t, report.Released)
		assert.Less(t, report.Passes, 20)
		assert.LessOrEqual(t, time.Since(began), p.Settle*4/3, "but three times while it settles")
	})
}

func TestABacklogOfNoneIsDrainedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		began := time.Now()
		report, err := release(t, engine(n, s, inTurn()), drain)
		require.NoError(t, err)
		assert.Equal(t, activities.ReleaseReport{Passes: 1}, report)
		assert.Zero(t, time.Since(began))
	})
}

func TestTheBacklogIsDrainedWhenEveryOrderHasEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(30, func(_ int, w *waiting) { w.works = 10 * time.Second })
		_, err := release(t, engine(n, s, inTurn()), drain)
		require.NoError(t, err)
		for _, w := range n.orders {
			assert.True(t, w.ended())
		}
	})
}

// TestABacklogThatEndsByItselfIsCountedAndSeldomListed: an order that was released is
// listed until it has ended, and listing costs the store more than counting.
func TestABacklogThatEndsByItselfIsCountedAndSeldomListed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1000, func(i int, w *waiting) { w.works = time.Duration(i) * 20 * time.Millisecond })
		_, err := release(t, engine(n, s, inTurn()), drain)
		require.NoError(t, err)
		assert.Len(t, n.signals, 1000)
		assert.Less(t, n.listed, 10*1000)
	})
}

func TestWhatShowsUpDuringTheDrainIsReleasedSoon(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := inTurn()
		shown := time.Now().Add(p.Patience / 2)
		n.add(10, func(_ int, w *waiting) { w.stuck = true })
		n.add(1, func(_ int, w *waiting) { w.shown = shown })
		_, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		require.Len(t, n.signals, 11)
		assert.LessOrEqual(t, n.signals[10].at.Sub(shown), 2*p.Pass)
	})
}

func TestOrdersThatNeverEndHoldRecoveryBackForThePatienceOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(30, func(i int, w *waiting) { w.stuck = i == 17 })
		p := inTurn()
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Equal(t, 30, report.Released)
		assert.False(t, report.MovedOn)
		waited := time.Since(n.signals[29].at)
		assert.Greater(t, waited, p.Patience)
		assert.Less(t, waited, 2*p.Patience)
		assert.Len(t, n.signals, 30, "and are not told again")
	})
}

func TestPatienceBeginsWhenNothingMoreIsReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := inTurn()
		began := time.Now()
		n.add(10, func(i int, w *waiting) {
			w.stuck, w.shown = i == 0, began.Add(time.Duration(i)*p.Patience/2)
		})
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		require.Equal(t, 10, report.Released)
		assert.Greater(t, time.Since(n.signals[9].at), p.Patience)
	})
}

// TestAReleaseGoesOnWhereItsHeartbeatSaysItWas after a crash: with its counts, and
// without canaries. What had the signal before may get it again.
func TestAReleaseGoesOnWhereItsHeartbeatSaysItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(40, func(_ int, w *waiting) { w.stuck = true })
		p := inTurn()
		ctx, crash := context.WithCancel(t.Context())
		e := engine(n, s, p)
		env := environment(ctx, e)
		var beat activities.ReleaseReport
		env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
			assert.NoError(t, details.Get(&beat))
			if beat.Released == 40 {
				crash()
			}
		})
		p.Patience = 10 * time.Minute
		e.Pace = p
		_, err := do[activities.ReleaseReport](t, env, e.Release, drain)
		require.Error(t, err)
		require.Equal(t, 40, beat.Released)
		require.Positive(t, beat.Passes)

		for _, w := range n.orders {
			w.stuck = false
		}
		n.add(20, func(_ int, w *waiting) { w.stuck = true })
		e.Pace = inTurn()
		again := time.Now()
		report, err := release(t, e, drain, func(env *testsuite.TestActivityEnvironment) { env.SetHeartbeatDetails(beat) })
		require.NoError(t, err)
		assert.Equal(t, 60, report.Released)
		assert.Greater(t, report.Passes, beat.Passes)
		assert.Less(t, n.signals[59].at.Sub(again), p.CanaryWait, "the canaries have come back before")
	})
}

// TestAReleaseIsAliveWhileItWaitsForSight: it must not be taken for dead and begun a
// second time beside itself.
func TestAReleaseIsAliveWhileItWaitsForSight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		s.loses()
		n.add(10)
		began := time.Now()
		time.AfterFunc(time.Minute, func() { s.sees(ltp.Recovering, 5) })
		var first time.Duration
		_, err := release(t, engine(n, s, inTurn()), drain, func(env *testsuite.TestActivityEnvironment) {
			env.SetOnActivityHeartbeatListener(func(*activity.Info, converter.EncodedValues) {
				if first == 0 {
					first = time.Since(began)
				}
			})
		})
		require.NoError(t, err)
		assert.Equal(t, time.Second, first)
	})
}

func TestAVisibilityStoreThatFailsFailsTheReleaseForTemporalToRetry(t *testing.T) {
	for name, in := range map[string]activities.ReleaseInput{"drain": drain, "settle": {Component: db, Epoch: 5, Settle: true}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.broken = errors.New("visibility is away")
				_, err := release(t, engine(n, s, inTurn()), in)
				require.ErrorContains(t, err, "count the deferred orders of orders-db: visibility is away")
			})
		})
	}
}

func TestAReleaseEndsWithItsWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(400, func(_ int, w *waiting) { w.stuck = true })
		ctx, cancel := context.WithCancel(t.Context())
		e := engine(n, s, activities.DefaultPace())
		n.signalling = func(nth int) {
			if nth == 100 {
				cancel()
			}
		}
		_, err := do[activities.ReleaseReport](t, environment(ctx, e), e.Release, drain)
		require.ErrorContains(t, err, context.Canceled.Error())
		assert.Less(t, n.begun, 100+e.Pace.Parallel)
	})
}
