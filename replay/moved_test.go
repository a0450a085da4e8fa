package replay_test

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay"
	"github.com/ltp-node/ltp/replay/pace"
)

func TestNothingIsReleasedAfterTheOrientationMovedOn(t *testing.T) {
	for _, next := range []struct {
		state ltp.State
		epoch int64
	}{{ltp.Unstable, 6}, {ltp.Unknown, 6}, {ltp.Stable, 6}, {ltp.Recovering, 7}} {
		for _, parallel := range []int{1, 32} {
			t.Run(fmt.Sprintf("%s, %d at once", next.state, parallel), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
					n.add(400)
					n.releasing = func(nth int) {
						if nth == 100 {
							s.sees(next.state, next.epoch)
						}
					}
					p := oneByOne()
					p.InFlight = parallel
					report, err := release(t, engine(n, s, p), drain)
					require.NoError(t, err)
					assert.True(t, report.MovedOn)
					assert.LessOrEqual(t, n.begun, 100+parallel-1, "only what was under way at that moment")
					assert.GreaterOrEqual(t, len(n.taken), report.Released, "those that answered")
				})
			})
		}
	}
}

// TestNoOrderThatWaitedForItsTurnIsReleasedAfterTheOrientationMovedOn: its turn comes
// when the release before it has been answered, which may take long.
func TestNoOrderThatWaitedForItsTurnIsReleasedAfterTheOrientationMovedOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(400)
		n.releasing = func(nth int) {
			if nth == 100 {
				time.Sleep(time.Second)
				s.sees(ltp.Unstable, 6)
			}
		}
		report, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.True(t, report.MovedOn)
		assert.Equal(t, 100, n.begun)
	})
}

// TestAReleaseThatWaitsEndsWhenTheOrientationMovesOn, within a refresh of the board and
// whatever it waits for.
func TestAReleaseThatWaitsEndsWhenTheOrientationMovesOn(t *testing.T) {
	for name, waits := range map[string]func(*namespace, *sight, *pace.Settings){
		"for canaries":    func(n *namespace, _ *sight, _ *pace.Settings) { n.add(3, func(_ int, w *waiting) { w.stuck = true }) },
		"for late orders": func(n *namespace, _ *sight, _ *pace.Settings) { n.add(3, func(_ int, w *waiting) { w.inLine = true }) },
		"for the store":   func(n *namespace, _ *sight, _ *pace.Settings) { n.hangs = true },
		"for a store that fails": func(n *namespace, _ *sight, _ *pace.Settings) {
			n.broken = fmt.Errorf("visibility is away")
		},
		"for its turn": func(n *namespace, s *sight, _ *pace.Settings) {
			n.add(30)
			s.controlled(ltp.ReplayControl{Rate: 0.01})
		},
		"for answers": func(n *namespace, _ *sight, p *pace.Settings) {
			p.Timeout = time.Minute
			n.add(1000, func(i int, w *waiting) { w.stuck = i > p.Canary })
		},
		"for the end of a pause": func(n *namespace, s *sight, _ *pace.Settings) {
			n.add(30)
			s.controlled(ltp.ReplayControl{Paused: true})
		},
	} {
		for kind, in := range map[string]ltp.ReleaseInput{"drain": drain, "settle": {Component: db, Epoch: 5, Settle: true}} {
			t.Run(name+", "+kind, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
					p := pace.Default()
					waits(n, s, &p)
					began := time.Now()
					time.AfterFunc(9*time.Second, func() { s.sees(ltp.Unstable, 6) })
					report, err := release(t, engine(n, s, p), in)
					require.NoError(t, err)
					assert.True(t, report.MovedOn)
					assert.LessOrEqual(t, time.Since(began), 9*time.Second+board.Refresh)
				})
			})
		}
	}
}

func TestAReleaseThatIsOvertakenBeforeItBeginsReleasesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Unstable, 6)
		n.add(10)
		report, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.Equal(t, ltp.ReleaseReport{MovedOn: true}, report)
		assert.Empty(t, n.taken)
	})
}

func TestAReleaseWaitsForABoardThatIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Unstable, 4)
		n.add(10)
		began := time.Now()
		time.AfterFunc(time.Second, func() { s.sees(ltp.Recovering, 5) })
		report, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.Equal(t, 10, report.Released)
		assert.GreaterOrEqual(t, n.taken[0].at.Sub(began), time.Second)
	})
}

func TestAReleaseWaitsWhileTheBoardIsUnreadable(t *testing.T) {
	for name, parallel := range map[string]int{"one at a time": 1, "many at once": 32} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(400)
				var lost, found time.Time
				n.releasing = func(nth int) {
					if nth == 100 {
						lost = time.Now()
						s.loses()
						time.AfterFunc(30*time.Second, func() { assert.Equal(t, replay.PhaseUnreadable, n.heartbeat().Phase) })
						time.AfterFunc(time.Minute, func() {
							found = time.Now()
							s.sees(ltp.Recovering, 5)
						})
					}
				}
				p := oneByOne()
				p.InFlight = parallel
				report, err := release(t, engine(n, s, p), drain)
				require.NoError(t, err)
				assert.Equal(t, 400, report.Released)
				assert.ElementsMatch(t, n.oldestFirst(), n.released())
				for _, took := range n.taken {
					assert.False(t, took.at.After(lost) && took.at.Before(found), "released without sight")
					assert.Equal(t, ltp.Recovering, took.said.State)
				}
			})
		})
	}
}

func TestABoardThatWasUnreadableAndMovedOnEndsTheRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(400)
		n.releasing = func(nth int) {
			if nth == 100 {
				s.loses()
				time.AfterFunc(time.Minute, func() { s.sees(ltp.Unstable, 6) })
			}
		}
		report, err := release(t, engine(n, s, oneByOne()), drain)
		require.NoError(t, err)
		assert.True(t, report.MovedOn)
		assert.Equal(t, 100, n.begun)
	})
}
