package pace_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp/replay/pace"
)

var noon = time.Date(2024, 5, 20, 12, 0, 0, 0, time.UTC)

const burst = 9 // of the default settings

// good is a pilot that went well, bad one that did not.
var (
	good = pace.Result{Committed: true, Write: 5 * time.Millisecond, Took: 50 * time.Millisecond}
	bad  = pace.Result{Took: 50 * time.Millisecond}
)

// play takes turns for a while, each when it is due, and reports every 32nd.
func play(c *pace.Controller, now time.Time, d time.Duration, r pace.Result) (time.Time, int) {
	turns := 0
	for end := now.Add(d); now.Before(end); turns++ {
		now = now.Add(c.Next(now))
		if turns%32 == 0 {
			c.Report(now, r)
		}
	}
	return now, turns
}

// atCeiling is a controller that has been told of nothing but good, for two seconds.
func atCeiling(t require.TestingT, s pace.Settings) (*pace.Controller, time.Time) {
	c := pace.NewController(s, noon)
	now, _ := play(c, noon, 2*time.Second, good)
	require.InDelta(t, s.Ceiling, c.Rate(now), 1e-9)
	return c, now
}

func TestAHealthyBacklogOfAnIncidentIsNotHeldUp(t *testing.T) {
	c, now := pace.NewController(pace.Default(), noon), noon
	for i := range 1500 {
		now = now.Add(c.Next(now))
		if i%32 == 0 {
			c.Report(now, good)
		}
	}
	assert.Less(t, now.Sub(noon), 2200*time.Millisecond)
}

func TestTheRateDoublesOnlyAsLongAsPilotsComeBack(t *testing.T) {
	s := pace.Default()
	s.Ceiling = 1e6
	c := pace.NewController(s, noon)
	assert.InDelta(t, s.Start, c.Rate(noon.Add(time.Hour)), 1e-9, "before the first turn")
	c = pace.NewController(s, noon)
	c.Next(noon)
	assert.InDelta(t, 2*s.Start, c.Rate(noon.Add(s.Double)), 1e-6)
	assert.InDelta(t, 4*s.Start, c.Rate(noon.Add(2*s.Double)), 1e-6)
	later := noon.Add(time.Minute)
	assert.InDelta(t, 4*s.Start, c.Rate(later), 1e-6, "nobody said that it is borne")
	c.Report(later, good)
	assert.InDelta(t, 8*s.Start, c.Rate(later.Add(s.Double)), 1e-6)
}

func TestWhatIsASetback(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	committed := func(writes ...int) (all []pace.Result) {
		for _, w := range writes {
			all = append(all, pace.Result{Committed: true, Write: ms(w)})
		}
		return all
	}
	for name, test := range map[string]struct {
		usual   int // what writes take before, in ms
		reports []pace.Result
		cut     bool
	}{
		"not committed":                      {5, []pace.Result{{}}, true},
		"slow":                               {5, committed(501), true},
		"slower than usual, and yet short":   {5, committed(240, 240, 240, 240), false},
		"one outlier":                        {5, committed(400, 5, 5), false},
		"far above its best, more than once": {5, committed(400, 400, 400, 400), true},
		"slow as usual":                      {120, committed(400, 400, 400, 400), false},
		"nothing known of the write":         {5, committed(0, 0, 0), false},
	} {
		t.Run(name, func(t *testing.T) {
			c, now := pace.NewController(pace.Default(), noon), noon
			usual := pace.Result{Committed: true, Write: ms(test.usual)}
			for range 10 {
				now, _ = play(c, now, 250*time.Millisecond, usual)
				c.Report(now, usual)
			}
			before := c.Rate(now)
			for _, r := range test.reports {
				c.Report(now, r)
			}
			if after := c.Rate(now); test.cut {
				assert.InDelta(t, before/2, after, 1e-6)
			} else {
				assert.InDelta(t, before, after, 1e-6)
			}
		})
	}
}

func TestSetbacksOfOneMomentCountOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, now := atCeiling(t, pace.Default())
		before := c.Rate(now)
		for range rapid.IntRange(1, 200).Draw(t, "setbacks") {
			c.Report(now, rapid.SampledFrom([]pace.Result{bad, {}, {Committed: true, Write: time.Minute, Took: time.Minute}}).Draw(t, "setback"))
		}
		assert.InDelta(t, before/2, c.Rate(now), 1e-6)
	})
}

func TestPilotsReleasedBeforeACutTellNothingNew(t *testing.T) {
	c, now := atCeiling(t, pace.Default())
	c.Report(now, bad)
	half := c.Rate(now)
	later := now.Add(4 * time.Second)
	c.Report(later, pace.Result{Took: 5 * time.Second})
	assert.InDelta(t, half, c.Rate(later), 1e-6, "released before the cut")
	c.Report(later, pace.Result{Took: 3 * time.Second})
	assert.InDelta(t, half/2, c.Rate(later), 1e-6, "released after it")
}

func TestAWriteThatStoodBehindThoseOfBeforeTheCutIsNoSetback(t *testing.T) {
	c, now := atCeiling(t, pace.Default())
	slow := pace.Result{Committed: true, Write: 2 * time.Second, Took: 2 * time.Second}
	c.Report(now, slow)
	half := c.Rate(now)
	c.Report(now.Add(3*time.Second), slow) // released 1 s after the cut, into a queue of 2 s
	assert.InDelta(t, half, c.Rate(now.Add(3*time.Second)), 1e-6)
	c.Report(now.Add(5*time.Second), slow)
	assert.InDelta(t, half/2, c.Rate(now.Add(5*time.Second)), 1e-6)
}

func TestCanariesThatAreSlowMakeASlowStart(t *testing.T) {
	c := pace.NewController(pace.Default(), noon)
	for range 8 {
		c.Report(noon, pace.Result{Committed: true, Write: 200 * time.Millisecond})
	}
	c.Next(noon)
	assert.InDelta(t, 2*8/0.2, c.Rate(noon), 1e-6)
}

func TestHealthyFeedbackReachesTheCeiling(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := settings(t)
		c := pace.NewController(s, noon)
		now := noon
		doublings := math.Log2(s.Ceiling/s.Start) + 1
		step := min(s.Double, 100*time.Millisecond)
		for range int(doublings*float64(max(s.Double, 20*time.Millisecond))/float64(step)) + 2 {
			c.Next(now)
			now = now.Add(step)
			c.Report(now, pace.Result{Committed: true, Write: 5 * time.Millisecond})
		}
		assert.InDelta(t, s.Ceiling, c.Rate(now), 1e-9)
	})
}

// After setbacks that brought it to the floor, good reports bring it back: gently up to
// where the setbacks began, and by doubling beyond.
func TestRecoversFromTheFloor(t *testing.T) {
	s := pace.Default()
	c, now := atCeiling(t, s)
	for range 10 {
		now = now.Add(time.Second)
		c.Report(now, bad)
	}
	require.InDelta(t, s.Floor, c.Rate(now), 1e-9)
	began := now
	for c.Rate(now) < s.Ceiling {
		before := c.Rate(now)
		now = now.Add(100 * time.Millisecond)
		c.Next(now)
		c.Report(now, good)
		require.LessOrEqual(t, c.Rate(now), before*1.011, "grows gently")
		require.Less(t, now.Sub(began), time.Minute)
	}
	assert.Greater(t, now.Sub(began), 30*time.Second)
}

func TestDoublesAgainBeyondTheRateThatSetbacksBeganAt(t *testing.T) {
	c, now := pace.NewController(pace.Default(), noon), noon
	c.Next(now)
	c.Report(now, bad) // at Start
	for range 200 {    // 20 s
		now = now.Add(100 * time.Millisecond)
		c.Next(now)
		c.Report(now, good)
	}
	assert.InDelta(t, 1000, c.Rate(now), 1e-6, "10 %% a second would have made 673")
}

func TestARateThatTheComponentFellUnderIsApproachedSlowly(t *testing.T) {
	c, now := pace.NewController(pace.Default(), noon), noon
	c.Fell(300)
	assert.InDelta(t, 150, c.Rate(now), 1e-9)
	at := func(d time.Duration) float64 {
		for now.Before(noon.Add(d)) {
			now = now.Add(100 * time.Millisecond)
			c.Next(now)
			c.Report(now, good)
		}
		return c.Rate(now)
	}
	assert.InDelta(t, 0.7*300, at(5*time.Second), 10)
	assert.Less(t, at(2*time.Minute), 300.0)
	assert.InDelta(t, 1000, at(10*time.Minute), 1e-6, "once past it, it is forgotten")
}

func TestUsedTellsWhatWasReallyReleased(t *testing.T) {
	c, now := atCeiling(t, pace.Default())
	now, _ = play(c, now, 5*time.Second, good)
	assert.InDelta(t, 1000, c.Used(now), 50)
	assert.Less(t, c.Used(now.Add(5*time.Second)), 20.0, "no turn was taken since")

	c, now = pace.NewController(pace.Default(), noon), noon
	assert.Zero(t, c.Used(now))
	for range 300 { // something else allows 50 a second
		now = now.Add(20 * time.Millisecond)
		c.Next(now)
		c.Report(now, good)
	}
	assert.InDelta(t, 50, c.Used(now), 2)
}

func TestAnOperatorsLimitWins(t *testing.T) {
	c, now := atCeiling(t, pace.Default())
	c.Limit(10)
	assert.InDelta(t, 10, c.Rate(now), 1e-9, "below the floor, too")
	_, turns := play(c, now, 10*time.Second, good)
	assert.InDelta(t, 100+burst, turns, burst)
	for _, none := range []float64{0, -5, math.NaN(), math.Inf(1)} {
		c.Limit(none)
		assert.InDelta(t, 1000, c.Rate(now), 1e-9)
	}
}
