package pace_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp/replay/pace"
)

var noon = time.Date(2024, 5, 20, 12, 0, 0, 0, time.UTC)

const burst = 9 // of the default settings

// good is the sample of a release that went well, bad of one that did not.
var (
	good = pace.Sample{Committed: true, Write: 5 * time.Millisecond, Took: 50 * time.Millisecond}
	bad  = pace.Sample{Took: 50 * time.Millisecond}
)

// enough setbacks in a row cut the rate.
const enough = 4

// play takes turns for a while, each when it is due, and reports a sample for each.
func play(c *pace.Controller, now time.Time, d time.Duration, s pace.Sample) (time.Time, int) {
	turns := 0
	for end := now.Add(d); now.Before(end); turns++ {
		now = now.Add(c.Next(now))
		c.Report(now, s)
	}
	return now, turns
}

// repeat reports the same sample again and again at one moment.
func repeat(c *pace.Controller, now time.Time, n int, s pace.Sample) {
	for range n {
		c.Report(now, s)
	}
}

// atCeiling is a controller after two seconds of good samples.
func atCeiling(t require.TestingT, s pace.Settings) (*pace.Controller, time.Time) {
	c := pace.NewController(s, noon)
	now, _ := play(c, noon, 2*time.Second, good)
	require.InDelta(t, s.Ceiling, c.Rate(now), 1e-9)
	return c, now
}

func TestAHealthyBacklogOfAnIncidentIsNotHeldUp(t *testing.T) {
	c, now := pace.NewController(pace.Default(), noon), noon
	for range 1500 {
		now = now.Add(c.Next(now))
		c.Report(now, good)
	}
	assert.Less(t, now.Sub(noon), 1900*time.Millisecond)
}

func TestTheRateDoublesOnlyAsLongAsAnswersComeBack(t *testing.T) {
	s := pace.Default()
	s.Ceiling = 1e6
	c := pace.NewController(s, noon)
	assert.InDelta(t, s.Start, c.Rate(noon.Add(time.Hour)), 1e-9, "before the first turn")
	c = pace.NewController(s, noon)
	c.Next(noon)
	assert.InDelta(t, 2*s.Start, c.Rate(noon.Add(s.Double)), 1e-6)
	assert.InDelta(t, 4*s.Start, c.Rate(noon.Add(2*s.Double)), 1e-6)
	later := noon.Add(time.Minute)
	assert.InDelta(t, 4*s.Start, c.Rate(later), 1e-6, "no sample shows that it is borne")
	c.Report(later, good)
	assert.InDelta(t, 8*s.Start, c.Rate(later.Add(s.Double)), 1e-6)
}

func TestTheRateIsCutByFailedAndSlowWrites(t *testing.T) {
	ms := func(n int) time.Duration { return time.Duration(n) * time.Millisecond }
	committed := func(write int) pace.Sample { return pace.Sample{Committed: true, Write: ms(write)} }
	times := func(n int, s pace.Sample) []pace.Sample { return slices.Repeat([]pace.Sample{s}, n) }
	usually := committed(5)
	for name, test := range map[string]struct {
		usual   int // what writes take before, in ms
		samples []pace.Sample
		cut     bool
	}{
		"one that did not commit":             {5, times(1, pace.Sample{}), false},
		"some that did not commit":            {5, times(enough, pace.Sample{}), true},
		"one in fifty that did not commit":    {5, slices.Repeat(append(times(49, usually), pace.Sample{}), 50), false},
		"one in five that did not commit":     {5, slices.Repeat(append(times(4, usually), pace.Sample{}), 5), true},
		"one that was slow":                   {5, times(1, committed(501)), false},
		"some that were slow":                 {5, times(enough, committed(501)), true},
		"slower than usual, and yet short":    {5, times(100, committed(240)), false},
		"outliers":                            {5, slices.Repeat([]pace.Sample{committed(400), usually, usually}, 20), false},
		"far above its best, again and again": {5, times(20, committed(400)), true},
		"slow as usual":                       {120, times(100, committed(400)), false},
		"nothing known of the write":          {5, times(100, committed(0)), false},
	} {
		t.Run(name, func(t *testing.T) {
			c, now := pace.NewController(pace.Default(), noon), noon
			now, _ = play(c, now, 2500*time.Millisecond, committed(test.usual))
			before := c.Rate(now)
			for _, s := range test.samples {
				c.Report(now, s)
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
		for range rapid.IntRange(enough, 200).Draw(t, "setbacks") {
			c.Report(now, rapid.SampledFrom([]pace.Sample{bad, {}, {Committed: true, Write: time.Minute, Took: time.Minute}}).Draw(t, "setback"))
		}
		assert.InDelta(t, before/2, c.Rate(now), 1e-6)
	})
}

// However many samples come, and whatever they say, the rate is cut at most once in the
// time that a cut takes to show.
func TestAStormOfSamplesCutsTheRateOncePerReaction(t *testing.T) {
	const reaction = 500 * time.Millisecond
	rapid.Check(t, func(t *rapid.T) {
		c, now := atCeiling(t, pace.Default())
		began, cuts := now, 0
		for range rapid.IntRange(1, 300).Draw(t, "bursts") {
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(100*time.Millisecond)).Draw(t, "passed")))
			s := rapid.OneOf(rapid.Just(bad), rapid.Just(good), result()).Draw(t, "sample")
			for range rapid.IntRange(1, 64).Draw(t, "samples") {
				before := c.Rate(now)
				if c.Report(now, s); c.Rate(now) < before {
					cuts++
				}
			}
		}
		assert.LessOrEqual(t, cuts, 1+int(now.Sub(began)/reaction))
	})
}

func TestSamplesReleasedBeforeACutAreIgnored(t *testing.T) {
	c, now := atCeiling(t, pace.Default())
	repeat(c, now, enough, bad)
	half := c.Rate(now)
	later := now.Add(4 * time.Second)
	repeat(c, later, 100, pace.Sample{Took: 5 * time.Second})
	assert.InDelta(t, half, c.Rate(later), 1e-6, "released before the cut")
	repeat(c, later, enough, pace.Sample{Took: 3 * time.Second})
	assert.InDelta(t, half/2, c.Rate(later), 1e-6, "released after it")
}

func TestAWriteThatStoodBehindThoseOfBeforeTheCutIsNoSetback(t *testing.T) {
	c, now := atCeiling(t, pace.Default())
	slow := pace.Sample{Committed: true, Write: 2 * time.Second, Took: 2 * time.Second}
	repeat(c, now, enough, slow)
	half := c.Rate(now)
	repeat(c, now.Add(3*time.Second), 100, slow) // released 1 s after the cut, into a queue of 2 s
	assert.InDelta(t, half, c.Rate(now.Add(3*time.Second)), 1e-6)
	repeat(c, now.Add(5*time.Second), enough, slow)
	assert.InDelta(t, half/2, c.Rate(now.Add(5*time.Second)), 1e-6)
}

func TestCanariesThatAreSlowMakeASlowStart(t *testing.T) {
	c := pace.NewController(pace.Default(), noon)
	repeat(c, noon, 8, pace.Sample{Committed: true, Write: 200 * time.Millisecond})
	c.Next(noon)
	assert.InDelta(t, 2*8/0.2, c.Rate(noon), 1e-6)
}

// One of the canaries that fails may be an order that is bad by itself.
func TestOneCanaryThatFailsDoesNotSlowTheStart(t *testing.T) {
	c := pace.NewController(pace.Default(), noon)
	c.Report(noon, bad)
	repeat(c, noon, 7, good)
	c.Next(noon)
	assert.InDelta(t, pace.Default().Start, c.Rate(noon), 1e-6)
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
			c.Report(now, pace.Sample{Committed: true, Write: 5 * time.Millisecond})
		}
		assert.InDelta(t, s.Ceiling, c.Rate(now), 1e-9)
	})
}

// After setbacks that brought it to the floor, good samples bring it back: gently up to
// where the setbacks began, and by doubling beyond.
func TestTheRateRecoversFromTheFloor(t *testing.T) {
	s := pace.Default()
	c, now := atCeiling(t, s)
	for range 10 {
		now = now.Add(time.Second)
		repeat(c, now, enough, bad)
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

func TestTheRateDoublesAgainBeyondTheLastSetback(t *testing.T) {
	c, now := pace.NewController(pace.Default(), noon), noon
	c.Next(now)
	repeat(c, now, enough, bad) // at Start
	for range 200 {             // 20 s
		now = now.Add(100 * time.Millisecond)
		c.Next(now)
		c.Report(now, good)
	}
	assert.InDelta(t, 1000, c.Rate(now), 1e-6, "10 %% a second would have made 673")
}

func TestTheRateThatTheComponentFailedAtIsApproachedSlowly(t *testing.T) {
	c, now := pace.NewController(pace.Default(), noon), noon
	c.FailedAt(300)
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

func TestUsedRateCountsActualReleases(t *testing.T) {
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
