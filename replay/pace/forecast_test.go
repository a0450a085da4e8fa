package pace

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestAForecastKeepsToTheLimits: of the operator, of the pace, and of what may be on its
// way at once.
func TestAForecastKeepsToTheLimits(t *testing.T) {
	s := Default()
	for name, c := range map[string]struct {
		limit  float64
		took   time.Duration
		perSec float64
	}{
		"the operator's":             {50, 100 * time.Millisecond, 50},
		"the pace's":                 {0, 10 * time.Millisecond, s.Ceiling},
		"what is on its way at once": {0, time.Second, float64(s.InFlight)},
		"an operator's crawl":        {0.1, time.Second, 0.1},
	} {
		t.Run(name, func(t *testing.T) {
			f := ForecastBegin(s, c.limit, c.took)
			assert.Zero(t, f.At(0))
			assert.GreaterOrEqual(t, f.At(int64(s.Canary)), c.took, "the canaries go first")
			for _, from := range []int64{1000, 100_000, 10_000_000} {
				n := int64(20*c.perSec) + int64(s.InFlight)
				rate := float64(n) / (f.At(from+n) - f.At(from)).Seconds()
				assert.InDelta(t, c.perSec, rate, 0.1*c.perSec, "after %d", from)
			}
			assert.Equal(t, f.At(1499)+c.took, f.Ends(1500))
		})
	}
	assert.Zero(t, ForecastBegin(s, 0, time.Second).Ends(0))
}

// TestAForecastGoesOnAsTheControllerDoes: far orders follow from the latest turns that were
// played, as if all were.
func TestAForecastGoesOnAsTheControllerDoes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Default()
		took := time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(5*time.Second)).Draw(t, "took"))
		limit := rapid.OneOf(rapid.Just(0.0), rapid.Float64Range(0.1, 2000)).Draw(t, "limit")
		f := ForecastBegin(s, limit, took)
		x := &schedule{s: s, control: NewController(s, start), took: took, now: start, ends: make([]time.Time, s.InFlight)}
		x.control.Limit(limit)
		for i := range int64(6000) {
			want, got := x.next(), f.At(i)
			require.InDelta(t, want.Seconds(), got.Seconds(), 0.01*want.Seconds()+0.01, "order %d", i)
		}
	})
}

// TestForecastEndsAtAHundredYears for any number of orders.
func TestForecastEndsAtAHundredYears(t *testing.T) {
	f := ForecastBegin(Default(), 0.1, 300*time.Millisecond)
	assert.Equal(t, far, f.At(1<<40))
	assert.Equal(t, far, f.At(math.MaxInt64))
	assert.Equal(t, far, ForecastUnderWay(Default(), 0, 0.1, time.Second).At(1<<40))
}

// TestMoreAheadIsNeverEarlierAndAFasterPaceNeverLater.
func TestMoreAheadIsNeverEarlierAndAFasterPaceNeverLater(t *testing.T) {
	ahead := rapid.OneOf(rapid.Int64Range(0, 3000), rapid.Int64Range(0, 1<<40), rapid.Int64())
	rate := rapid.OneOf(rapid.Float64Range(0, 2000), rapid.Float64Range(0, 1))
	rapid.Check(t, func(t *rapid.T) {
		s := Default()
		used, allowed := rate.Draw(t, "used"), rate.Filter(func(r float64) bool { return r > 0 }).Draw(t, "allowed")
		less, more := ahead.Draw(t, "one"), ahead.Draw(t, "another")
		less, more = min(less, more), max(less, more)
		f := ForecastUnderWay(s, used, allowed, time.Second)
		assert.LessOrEqual(t, f.At(less), f.At(more))
		faster := ForecastUnderWay(s, used+rate.Draw(t, "faster"), allowed+rate.Draw(t, "allowed more"), time.Second)
		assert.LessOrEqual(t, faster.At(more), f.At(more))
		assert.LessOrEqual(t, f.Rate(), allowed)

		limit := rapid.Float64Range(0.1, 2000).Draw(t, "limit")
		f = ForecastBegin(s, limit, 300*time.Millisecond)
		assert.LessOrEqual(t, f.At(less), f.At(more))
		assert.GreaterOrEqual(t, f.At(less), time.Duration(0))
		faster = ForecastBegin(s, limit+rate.Draw(t, "more"), 300*time.Millisecond)
		assert.LessOrEqual(t, faster.At(more), f.At(more)+f.At(more)/1000)
	})
}
