package replay_test

import (
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

// TestAPauseReleasesNothingAndKeepsCounting, and the release resumes at once, at the
// beginning of the ramp.
func TestAPauseReleasesNothingAndKeepsCounting(t *testing.T) {
	for name, inFlight := range map[string]int{"one at a time": 1, "many at once": 64} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(3000)
				p := pace.Default()
				p.InFlight = inFlight
				var paused, resumed time.Time
				n.releasing = func(nth int) {
					if nth != 1500 {
						return
					}
					paused = time.Now()
					s.controlled(ltp.ReplayControl{Paused: true, Pause: ltp.Attribution{By: "ann", Why: "a look at the database"}})
					time.AfterFunc(time.Minute, func() {
						now := n.heartbeat()
						assert.Equal(t, replay.PhasePaused, now.Phase)
						assert.InDelta(t, 1500, now.Remaining, 40)
						n.change(func() {
							for _, w := range n.orders { // half of what waits ends by itself
								if w.ends.IsZero() && w.started.Second()%2 == 0 {
									w.ends = time.Now()
								}
							}
						})
					})
					time.AfterFunc(90*time.Second, func() {
						now := n.heartbeat()
						assert.InDelta(t, 750, now.Remaining, 40)
						assert.WithinDuration(t, time.Now().Add(-90*time.Second-1500*time.Second), now.Oldest, 2*time.Minute)
						resumed = time.Now()
						s.controlled(ltp.ReplayControl{})
					})
				}
				report, err := release(t, engine(n, s, p), drain)
				require.NoError(t, err)
				assert.False(t, report.MovedOn)
				after := 0
				for _, took := range n.taken {
					assert.False(t, took.at.After(paused) && took.at.Before(resumed), "released during the pause")
					if !took.at.Before(resumed) && took.at.Before(resumed.Add(p.Double)) {
						after++
					}
				}
				assert.Positive(t, after, "at once")
				assert.Less(t, float64(after), 2*p.Start*p.Double.Seconds()+float64(p.InFlight), "from the beginning of the ramp")
				assert.InDelta(t, 2250, report.Released, 40)
			})
		})
	}
}

// TestAPausedBacklogIsNotDrained, however long the pause: patience is for orders that
// were released.
func TestAPausedBacklogIsNotDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(10)
		s.controlled(ltp.ReplayControl{Paused: true})
		began := time.Now()
		time.AfterFunc(8*time.Minute, func() { s.controlled(ltp.ReplayControl{}) })
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Equal(t, 10, report.Released)
		assert.LessOrEqual(t, n.taken[0].at.Sub(began), 8*time.Minute+board.Refresh)
	})
}

// TestAnOrderThatAPauseDeferredIsReleasedAgain: it was released before the pause, and
// deferred again by it.
func TestAnOrderThatAPauseDeferredIsReleasedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(20, func(i int, w *waiting) { w.inLine = i == 12 })
		time.AfterFunc(3*time.Second, func() { s.controlled(ltp.ReplayControl{Paused: true}) })
		time.AfterFunc(time.Minute, func() {
			n.change(func() { n.orders["order/00012"].inLine = false; n.orders["order/00012"].ends = time.Time{} })
			s.controlled(ltp.ReplayControl{})
		})
		_, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		require.Len(t, n.taken, 21)
		assert.Equal(t, "order/00012", n.taken[20].order)
	})
}

func TestTheRateIsAnOperatorsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(2000)
		began := time.Now()
		s.controlled(ltp.ReplayControl{Rate: 10})
		time.AfterFunc(10*time.Second, func() { s.controlled(ltp.ReplayControl{Rate: 0.1}) })
		time.AfterFunc(25*time.Second, func() { s.controlled(ltp.ReplayControl{Rate: 50}) })
		time.AfterFunc(35*time.Second, func() { s.controlled(ltp.ReplayControl{}) })
		_, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		between := func(from, to time.Duration) (count int) {
			for _, took := range n.taken {
				if at := took.at.Sub(began); at >= from && at < to {
					count++
				}
			}
			return count
		}
		assert.InDelta(t, 100, between(0, 10*time.Second), 12)
		assert.InDelta(t, 2, between(10*time.Second+board.Refresh, 25*time.Second), 2)
		assert.InDelta(t, 500, between(25*time.Second, 35*time.Second), 25)
		assert.Positive(t, between(25*time.Second, 25*time.Second+2*board.Refresh), "who waited for a turn of the old rate does not wait on")
		assert.Greater(t, between(35*time.Second, 40*time.Second), 1000)
	})
}
