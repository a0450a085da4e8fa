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

// settings are any that are valid.
func settings(t *rapid.T) pace.Settings {
	s := pace.Default()
	s.Floor = rapid.Float64Range(0.01, 100).Draw(t, "floor")
	s.Ceiling = s.Floor * rapid.Float64Range(1, 1e4).Draw(t, "span")
	s.Start = min(s.Floor+(s.Ceiling-s.Floor)*rapid.Float64Range(0, 1).Draw(t, "start"), s.Ceiling)
	s.Double = time.Duration(rapid.Int64Range(int64(time.Millisecond), int64(10*time.Second)).Draw(t, "double"))
	s.SlowWrite = time.Duration(rapid.Int64Range(int64(20*time.Millisecond), int64(time.Minute)).Draw(t, "slow write"))
	require.NoError(t, s.Validate())
	return s
}

// moment is how far a clock goes between two calls: a little, or it jumps.
func moment() *rapid.Generator[time.Duration] {
	const far = int64(math.MaxInt64)
	return rapid.Custom(func(t *rapid.T) time.Duration {
		return time.Duration(rapid.OneOf(
			rapid.Int64Range(0, int64(100*time.Millisecond)),
			rapid.Int64Range(0, int64(3*time.Second)),
			rapid.Int64Range(-far/4, far/4),
		).Draw(t, "passed"))
	})
}

func result() *rapid.Generator[pace.Sample] {
	took := rapid.OneOf(rapid.Int64Range(0, int64(time.Second)), rapid.Int64())
	return rapid.Custom(func(t *rapid.T) pace.Sample {
		return pace.Sample{
			Committed: rapid.Bool().Draw(t, "committed"),
			Write:     time.Duration(took.Draw(t, "write")), Took: time.Duration(took.Draw(t, "took")),
		}
	})
}

func rate() *rapid.Generator[float64] {
	return rapid.OneOf(rapid.Float64Range(0, 2000), rapid.Float64(), rapid.SampledFrom([]float64{0, math.NaN(), math.Inf(1), math.Inf(-1)}))
}

// Whatever the samples are and however clocks jump, the rate lies between floor and ceiling,
// under the operator's limit, and a wait is one.
func TestTheRateStaysWithinItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := settings(t)
		now, limit := noon, 0.0
		c := pace.NewController(s, now)
		for range rapid.IntRange(1, 100).Draw(t, "steps") {
			now = now.Add(moment().Draw(t, "moment"))
			switch rapid.IntRange(0, 5).Draw(t, "call") {
			case 0:
				if limit = rate().Draw(t, "limit"); !(limit > 0) || math.IsInf(limit, 1) {
					c.Limit(limit)
					limit = 0
				}
				c.Limit(limit)
			case 1:
				c.FailedAt(rate().Draw(t, "failed at"))
			case 2, 3:
				c.Report(now, result().Draw(t, "result"))
			default:
				wait := c.Next(now)
				assert.GreaterOrEqual(t, wait, time.Duration(0))
				assert.LessOrEqual(t, wait, time.Hour)
			}
			got := c.Rate(now)
			most, least := s.Ceiling, s.Floor
			if limit > 0 {
				most, least = min(most, limit), min(least, limit)
			}
			if !(got >= least && got <= most) { // NaN is neither
				t.Fatalf("rate %g is not within %g and %g", got, least, most)
			}
			if used := c.Used(now); !(used >= 0 && used <= s.Ceiling) {
				t.Fatalf("used %g", used)
			}
		}
	})
}

// In no stretch of time are more turns due than the rate allows and the burst.
func TestNoMoreTurnsThanTheRateAllows(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := settings(t)
		now := noon
		c := pace.NewController(s, now)
		allowed := 0.0 // the integral of the rate, from above
		var turns []float64
		pass := func(d time.Duration) {
			now = now.Add(d)
			allowed += d.Seconds() * c.Rate(now) // which only grows while time passes
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0:
				pass(time.Duration(rapid.Int64Range(0, int64(5*time.Second)).Draw(t, "idle")))
			case 1:
				c.Report(now, result().Draw(t, "result"))
			case 2:
				c.Limit(rapid.SampledFrom([]float64{0, 1, 100}).Draw(t, "limit"))
			default:
				for range rapid.IntRange(1, 40).Draw(t, "turns") {
					wait := c.Next(now)
					pass(wait)
					turns = append(turns, allowed)
				}
			}
		}
		for i := range turns {
			for j := i; j < len(turns); j++ {
				// One turn may be under way while the rate falls.
				if n := float64(j - i + 1); n > turns[j]-turns[i]+burst+1+1e-3 {
					t.Fatalf("%g turns where the rate allows %g", n, turns[j]-turns[i])
				}
			}
		}
	})
}

// A clock that jumps does neither stop a release nor let it run away.
func TestAClockThatJumpsDoesNoHarm(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := pace.Default()
		s.Ceiling = 400
		c := pace.NewController(s, noon)
		now, turns := play(c, noon, time.Duration(rapid.Int64Range(0, int64(400*time.Millisecond)).Draw(t, "before")), good)
		if turns > 0 && rapid.Bool().Draw(t, "setback") {
			repeat(c, now, enough, bad)
		}
		before := c.Rate(now)
		now = now.Add(time.Duration(rapid.Int64Range(-int64(1000*time.Hour), int64(1000*time.Hour)).Draw(t, "jump")))
		assert.LessOrEqual(t, c.Rate(now), 4*before+1e-6, "grows only as far as samples bear it out")
		at := now
		for due := 0; ; due++ {
			wait := c.Next(at)
			assert.LessOrEqual(t, wait, 2*time.Second/time.Duration(s.Floor), "goes on")
			if wait > 0 {
				assert.LessOrEqual(t, due, burst)
				break
			}
		}
		end, _ := play(c, now.Add(time.Second), 25*time.Second, good)
		assert.InDelta(t, s.Ceiling, c.Rate(end), 1e-9, "and still grows")
	})
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	require.NoError(t, pace.Default().Validate())
	for want, change := range map[string]func(*pace.Settings){
		"canary is -1: give 0 or more":                                func(s *pace.Settings) { s.Canary = -1 },
		"in flight is 0: give 1 or more":                              func(s *pace.Settings) { s.InFlight = 0 },
		"timeout is 0s: give a duration longer than 0":                func(s *pace.Settings) { s.Timeout = 0 },
		"start is NaN orders a second: give a rate above 0":           func(s *pace.Settings) { s.Start = math.NaN() },
		"ceiling is +Inf orders a second: give a rate above 0":        func(s *pace.Settings) { s.Ceiling = math.Inf(1) },
		"floor 2000 is above ceiling 1000: no rate lies between them": func(s *pace.Settings) { s.Floor = 2000 },
		"start 5 does not lie between floor 25 and ceiling 1000":      func(s *pace.Settings) { s.Start = 5 },
		"double is 0s: give a duration longer than 0":                 func(s *pace.Settings) { s.Double = 0 },
		"slow write is -1ns: give a duration longer than 0":           func(s *pace.Settings) { s.SlowWrite = -1 },
		"settle is 0s: give a duration longer than 0":                 func(s *pace.Settings) { s.Settle = 0 },
	} {
		s := pace.Default()
		change(&s)
		assert.EqualError(t, s.Validate(), want)
	}
}
