package observer_test

import (
	"iter"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/observer"
)

// aDay are the samples of a day, a write begun every 250 ms or when the one before has
// ended: draw says how long the next takes.
func aDay(draw func(random *rand.Rand, since time.Duration) time.Duration) iter.Seq2[observer.Recorded, error] {
	settings, random := observer.DefaultSettings(), rand.New(rand.NewPCG(7, 1))
	return func(yield func(observer.Recorded, error) bool) {
		for since := time.Duration(0); since < 24*time.Hour; {
			took := min(draw(random, since), settings.Timeout)
			s := observer.Recorded{At: noon.Add(since + took), Sample: observer.Sample{Latency: took}}
			if !yield(s, nil) {
				return
			}
			since += max(took, settings.Interval)
		}
	}
}

func between(random *rand.Rand, from, to time.Duration) time.Duration {
	return from + time.Duration(random.Int64N(int64(to-from)))
}

// became are the states that a day of samples led to, in order, after the first minute.
func became(t *testing.T, draw func(random *rand.Rand, since time.Duration) time.Duration) (first ltp.State, then []ltp.State, totals observer.Totals) {
	t.Helper()
	sim := observer.NewSimulation("orders-db", rules())
	for d, err := range sim.Run(aDay(draw)) {
		assert.NoError(t, err)
		switch {
		case d.Orientation == nil:
		case d.At.Before(noon.Add(time.Minute)):
			first = d.Orientation.State
		default:
			then = append(then, d.Orientation.State)
		}
	}
	return first, then, sim.Totals()
}

// TestADayOfNoiseAroundAThreshold: latencies on both sides of one threshold lead to one
// state, which is reached within a minute and stays for the day.
func TestADayOfNoiseAroundAThreshold(t *testing.T) {
	s := observer.DefaultSettings()
	for name, c := range map[string]struct {
		from, to time.Duration
		want     ltp.State
	}{
		"where quick begins":         {time.Millisecond, s.SlowLatency, ltp.Stable},
		"where slow begins":          {s.SlowExit, 2*s.SlowLatency - s.SlowExit, ltp.Degraded},
		"where recovery begins":      {s.SlowLatency, 2*s.FitLatency - s.SlowLatency, ltp.Degraded},
		"where the database is lost": {s.FitLatency, 2*s.UnfitLatency - s.FitLatency, ltp.Unstable},
	} {
		t.Run(name, func(t *testing.T) {
			first, then, totals := became(t, func(random *rand.Rand, _ time.Duration) time.Duration { return between(random, c.from, c.to) })
			if c.want == ltp.Unstable && first == "" { // it never was anything else
				first = ltp.Unstable
			}
			t.Logf("%d samples, %s, %d changes after the first minute", totals.Samples, first, len(then))
			assert.Equal(t, c.want, first)
			assert.Empty(t, then)
		})
	}
}

// TestADayOfSpikesIsStable: one write in a thousand takes about as long as a slow one, or
// nearly as long as one that hangs.
func TestADayOfSpikesIsStable(t *testing.T) {
	s, spikes := observer.DefaultSettings(), 0
	first, then, totals := became(t, func(random *rand.Rand, _ time.Duration) time.Duration {
		switch random.IntN(2000) {
		case 0:
			spikes++
			return between(random, s.SlowExit, 2*s.SlowLatency)
		case 1:
			spikes++
			return between(random, s.FitLatency, s.UnfitLatency)
		}
		return between(random, time.Millisecond, 20*time.Millisecond)
	})
	t.Logf("%d samples, %d spikes, %d changes", totals.Samples, spikes, len(then))
	assert.Equal(t, ltp.Stable, first)
	assert.Empty(t, then)
	assert.Greater(t, spikes, 100)
}

// TestWhatIsNoNoiseIsSeen: three minutes above a threshold change the state once, and
// their end changes it back.
func TestWhatIsNoNoiseIsSeen(t *testing.T) {
	s := observer.DefaultSettings()
	for name, c := range map[string]struct {
		from, to time.Duration
		want     []ltp.State
	}{
		"writes are slow": {s.SlowLatency, s.FitLatency, []ltp.State{ltp.Degraded, ltp.Stable}},
		"writes hang":     {s.UnfitLatency, s.Timeout, []ltp.State{ltp.Unstable, ltp.Recovering, ltp.Stable}},
	} {
		t.Run(name, func(t *testing.T) {
			first, then, _ := became(t, func(random *rand.Rand, since time.Duration) time.Duration {
				if since >= 12*time.Hour && since < 12*time.Hour+3*time.Minute {
					return between(random, c.from, c.to)
				}
				return 5 * time.Millisecond
			})
			assert.Equal(t, ltp.Stable, first)
			assert.Equal(t, c.want, then)
		})
	}
}
