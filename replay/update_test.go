package replay_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay/pace"
)

// TestAnEngineKilledWithReleasesOnTheirWayReleasesNoOrderTwice: they are carried out
// without it, and the attempt that follows finds the others.
func TestAnEngineKilledWithReleasesOnTheirWayReleasesNoOrderTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := pace.Default()
		n.add(500, func(i int, w *waiting) {
			w.lag = 5 * time.Second
			if i >= p.Canary {
				w.works = 2 * time.Second
			}
		})
		ctx, kill := cancelled(t)
		e := engine(n, s, p)
		n.releasing = func(nth int) {
			if nth == p.Canary+p.InFlight {
				time.AfterFunc(time.Second, kill)
			}
		}
		began := time.Now()
		_, err := run(t, environment(ctx, e), e, drain)
		require.Error(t, err)
		assert.Less(t, time.Since(began), 2*time.Second, "at once")
		assert.Len(t, n.taken, p.Canary+p.InFlight)
		assert.Equal(t, p.InFlight, n.most)

		n.releasing = nil
		report, err := release(t, e, drain, from(n.heartbeat()))
		require.NoError(t, err)
		assert.Zero(t, report.Setbacks)
		assert.ElementsMatch(t, n.oldestFirst(), n.released(), "each once")
	})
}

// TestAWriteOfWhichNoBeginningIsKnownIsNotSlow: an order that was found written, or whose
// attempt was not begun.
func TestAWriteOfWhichNoBeginningIsKnownIsNotSlow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1500, func(i int, w *waiting) {
			w.found = i%2 == 0
			if i%100 == 50 {
				w.fails, w.found = true, true
			}
		})
		began := time.Now()
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Equal(t, 15, report.Setbacks)
		assert.Less(t, time.Since(began), 3*time.Second, "at the full pace")
	})
}

// TestAnAnswerThatComesLateIsOneSetback, and the order is not released twice.
func TestAnAnswerThatComesLateIsOneSetback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		p := pace.Default()
		n.add(100, func(i int, w *waiting) {
			if i == 50 {
				w.works, w.slowness = 12*time.Second, time.Second
			}
		})
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.Equal(t, 1, report.Setbacks)
		assert.Equal(t, 100, report.Released)
		assert.ElementsMatch(t, n.oldestFirst(), n.released(), "each once")
		assert.Positive(t, n.busy, "it was tried again")
	})
}

// TestAReleaseThatIsLostIsTriedAgain: an Update that no worker has taken goes with the
// server that held it.
func TestAReleaseThatIsLostIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(100, func(i int, w *waiting) {
			if i == 50 {
				w.lost = 2
			}
		})
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Equal(t, 1, report.Setbacks, "not one for each time")
		assert.Equal(t, 100, report.Released)
		assert.ElementsMatch(t, n.oldestFirst(), n.released())
	})
}

// TestWhatDoesNotConcernTheComponentIsNoSetback: neither are canaries repeated after a
// pause, nor is the release slowed down.
func TestWhatDoesNotConcernTheComponentIsNoSetback(t *testing.T) {
	deferred := func(component string, reason ltp.Reason, result ltp.Result) func(int, *waiting) {
		return func(i int, w *waiting) {
			if i < 100 {
				w.answer = &ltp.Answer{State: ltp.Deferred, Wait: ltp.Wait{Component: component, Epoch: 9, Reason: reason}, Result: result}
				w.of = component
			}
		}
	}
	for name, c := range map[string]struct {
		how      func(i int, w *waiting)
		released int
	}{
		"validators refuse":                  {func(i int, w *waiting) { w.busy = i % 3 }, 1500},
		"temporal's limits are reached":      {func(i int, w *waiting) { w.refuse = i % 2 }, 1500},
		"the runs have ended":                {func(i int, w *waiting) { w.ends, w.lag = map[bool]time.Time{true: time.Now()}[i < 100], time.Second }, 1400},
		"the runs end before they answer":    {func(i int, w *waiting) { w.closes = i < 100 }, 1400},
		"the order database refuses":         {func(i int, w *waiting) { w.state = []ltp.OrderState{ltp.Rejected, ltp.Executed}[i%2] }, 1500},
		"another component defers":           {deferred("stock", ltp.ReasonUnstable, ltp.ResultNotBegun), 1400},
		"another component fails the orders": {deferred("stock", ltp.ReasonExecuteUnavailable, ltp.ResultUnavailable), 1400},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
				n.add(1500, c.how)
				began := time.Now()
				report, err := release(t, engine(n, s, pace.Default()), drain)
				require.NoError(t, err)
				assert.Zero(t, report.Setbacks)
				assert.Equal(t, c.released, report.Released)
				assert.Less(t, time.Since(began), 5*time.Second)
			})
		})
	}
}

// TestAnOrderThatRefusesIsTriedOnceASweep, and does not keep the recovery from ending.
func TestAnOrderThatRefusesIsTriedOnceASweep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(1500, func(i int, w *waiting) {
			if i%500 == 7 {
				w.busy = 1_000_000
			}
		}, ofClassEvery(3))
		p := pace.Default()
		began := time.Now()
		report, err := release(t, engine(n, s, p), drain)
		require.NoError(t, err)
		assert.LessOrEqual(t, n.busy, 3*report.Passes)
		assert.Less(t, time.Since(began), 2*p.Patience)
	})
}

func ofClassEvery(nth int) func(int, *waiting) {
	first := 1
	return func(i int, w *waiting) {
		if i%nth == 0 {
			w.priority = &first
		}
	}
}

// TestTemporalThatDoesNotAnswerIsNoSetback: no heartbeat is answered either.
func TestTemporalThatDoesNotAnswerIsNoSetback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, s := newNamespace(), newSight(t, ltp.Recovering, 5)
		n.add(3000)
		away := time.Now().Add(2 * time.Second)
		back := away.Add(20 * time.Second)
		n.away = func() bool { return !time.Now().Before(away) && time.Now().Before(back) }
		n.answers = func() error {
			if n.away() {
				return errors.New("unavailable")
			}
			return nil
		}
		report, err := release(t, engine(n, s, pace.Default()), drain)
		require.NoError(t, err)
		assert.Zero(t, report.Setbacks)
		assert.Equal(t, 3000, report.Released)
		assert.ElementsMatch(t, n.oldestFirst(), n.released())
	})
}
