package ltp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

var start = time.Date(2024, 5, 20, 14, 29, 0, 0, time.UTC)

func policy() ltp.Policy { return ltp.DefaultPolicy() }

func saw(v ltp.Verdict) ltp.Input {
	return ltp.Input{Observed: &ltp.Observation{Component: "orders-db", Verdict: v, Reason: string(v), Observer: "test"}}
}

// at returns a condition that has just entered a state.
func at(t *testing.T, s ltp.State) ltp.Condition {
	t.Helper()
	c := ltp.NewCondition("orders-db", 0, start)
	step := func(in ltp.Input, now time.Time) { c, _ = c.Next(in, policy(), now) }
	if s != ltp.Unknown {
		step(saw(ltp.Healthy), start)
	}
	if s == ltp.Stable || s == ltp.Degraded {
		step(ltp.Input{Drained: c.Orientation.Epoch}, start)
	}
	if s == ltp.Degraded {
		step(saw(ltp.Slow), start)
	}
	if s == ltp.Unstable {
		step(saw(ltp.Unhealthy), start)
	}
	require.Equal(t, s, c.Orientation.State)
	return c
}

func TestTheStateMachineHasTheseTransitions(t *testing.T) {
	rows := []struct {
		from ltp.State
		in   ltp.Input
		to   ltp.State
	}{
		{ltp.Unknown, saw(ltp.Healthy), ltp.Recovering},
		{ltp.Unknown, saw(ltp.Slow), ltp.Recovering},
		{ltp.Unknown, saw(ltp.Unhealthy), ltp.Unstable},
		{ltp.Unknown, ltp.Input{Lost: "gone"}, ltp.Unknown},
		{ltp.Recovering, saw(ltp.Healthy), ltp.Recovering},
		{ltp.Recovering, saw(ltp.Slow), ltp.Recovering},
		{ltp.Recovering, saw(ltp.Unhealthy), ltp.Unstable},
		{ltp.Recovering, ltp.Input{Lost: "gone"}, ltp.Unknown},
		{ltp.Recovering, ltp.Input{Drained: 2}, ltp.Stable},
		{ltp.Recovering, ltp.Input{Drained: 1}, ltp.Recovering},
		{ltp.Stable, saw(ltp.Healthy), ltp.Stable},
		{ltp.Stable, saw(ltp.Slow), ltp.Degraded},
		{ltp.Stable, saw(ltp.Unhealthy), ltp.Unstable},
		{ltp.Stable, ltp.Input{Lost: "gone"}, ltp.Unknown},
		{ltp.Stable, ltp.Input{Drained: 3}, ltp.Stable},
		{ltp.Degraded, saw(ltp.Healthy), ltp.Stable},
		{ltp.Degraded, saw(ltp.Slow), ltp.Degraded},
		{ltp.Degraded, saw(ltp.Unhealthy), ltp.Unstable},
		{ltp.Degraded, ltp.Input{Lost: "gone"}, ltp.Unknown},
		{ltp.Unstable, saw(ltp.Healthy), ltp.Unstable},
		{ltp.Unstable, saw(ltp.Slow), ltp.Unstable},
		{ltp.Unstable, saw(ltp.Unhealthy), ltp.Unstable},
		{ltp.Unstable, ltp.Input{Lost: "gone"}, ltp.Unknown},
		{ltp.Unstable, ltp.Input{Drained: 3}, ltp.Unstable},
		{ltp.Stable, ltp.Input{Held: &ltp.Hold{By: "ann", Why: "drill"}}, ltp.Unstable},
		{ltp.Unknown, ltp.Input{Held: &ltp.Hold{By: "ann", Why: "drill"}}, ltp.Unstable},
		{ltp.Stable, ltp.Input{Released: &ltp.Release{By: "ann", Why: "done"}}, ltp.Stable},
	}
	for _, r := range rows {
		t.Run(fmt.Sprintf("%s to %s", r.from, r.to), func(t *testing.T) {
			c := at(t, r.from)
			next, changed := c.Next(r.in, policy(), start)
			assert.Equal(t, r.to, next.Orientation.State)
			assert.Equal(t, r.from != r.to, changed)
			grown := next.Orientation.Epoch - c.Orientation.Epoch
			if r.from != r.to {
				assert.EqualValues(t, 1, grown)
			} else {
				assert.Zero(t, grown)
			}
		})
	}
}

func TestUnstableIsLeftAfterTheDwellOnly(t *testing.T) {
	c := at(t, ltp.Unstable)
	c, _ = c.Next(saw(ltp.Healthy), policy(), start.Add(time.Second))
	end, due := c.DwellEnds(policy())
	require.True(t, due)
	assert.Equal(t, start.Add(3*time.Second), end)

	early, _ := c.Next(ltp.Input{}, policy(), end.Add(-time.Millisecond))
	assert.Equal(t, ltp.Unstable, early.Orientation.State)
	late, changed := c.Next(ltp.Input{}, policy(), end)
	assert.True(t, changed)
	assert.Equal(t, ltp.Recovering, late.Orientation.State)

	// An unhealthy sample in between begins the dwell anew.
	c, _ = c.Next(saw(ltp.Unhealthy), policy(), start.Add(2*time.Second))
	_, due = c.DwellEnds(policy())
	assert.False(t, due)
}

func TestDwellGrowsWithEachFlapAndDecays(t *testing.T) {
	p, now := policy(), start
	c := at(t, ltp.Recovering)
	var dwells []time.Duration
	for range 12 {
		c, _ = c.Next(saw(ltp.Unhealthy), p, now)
		c, _ = c.Next(saw(ltp.Healthy), p, now)
		end, due := c.DwellEnds(p)
		require.True(t, due)
		dwells = append(dwells, end.Sub(now))
		c, _ = c.Next(ltp.Input{}, p, end)
		require.Equal(t, ltp.Recovering, c.Orientation.State)
		now = end
	}
	assert.Equal(t, []time.Duration{2 * time.Second, 4 * time.Second, 8 * time.Second}, dwells[:3])
	for _, d := range dwells {
		assert.LessOrEqual(t, d, p.MaxDwell)
	}
	now = now.Add(p.FlapWindow)
	c, _ = c.Next(saw(ltp.Unhealthy), p, now)
	c, _ = c.Next(saw(ltp.Healthy), p, now)
	end, _ := c.DwellEnds(p)
	assert.Equal(t, p.Dwell, end.Sub(now), "flaps before the window are forgotten")
}

// TestAClockThatWasSetBackHoldsNothingUp: a fall of tomorrow, and a dwell that began
// tomorrow, are of now.
func TestAClockThatWasSetBackHoldsNothingUp(t *testing.T) {
	p, tomorrow := policy(), start.AddDate(0, 0, 1)
	c := at(t, ltp.Recovering)
	c, _ = c.Next(saw(ltp.Unhealthy), p, tomorrow)
	c, _ = c.Next(saw(ltp.Healthy), p, tomorrow)

	c, _ = c.Next(ltp.Input{}, p, start)
	end, due := c.DwellEnds(p)
	require.True(t, due)
	assert.Equal(t, start.Add(p.Dwell), end)
	c, _ = c.Next(ltp.Input{}, p, end)
	assert.Equal(t, ltp.Recovering, c.Orientation.State)

	again := end.Add(p.FlapWindow)
	c, _ = c.Next(saw(ltp.Unhealthy), p, again)
	c, _ = c.Next(saw(ltp.Healthy), p, again)
	end, _ = c.DwellEnds(p)
	assert.Equal(t, p.Dwell, end.Sub(again), "the fall of tomorrow is forgotten")
}

// TestNoClockHoldsAComponentDown: however the clock has jumped, a dwell ends within
// the longest one, falls are forgotten after the flap window, and flaps within it
// lengthen the dwell.
func TestNoClockHoldsAComponentDown(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, now := policy(), start
		c := ltp.NewCondition("orders-db", 0, now)
		year := int64(365 * 24 * time.Hour)
		for range rapid.IntRange(1, 40).Draw(t, "steps") {
			jump := rapid.OneOf(rapid.Int64Range(0, int64(time.Minute)), rapid.Int64Range(-year, year)).Draw(t, "passed")
			now = now.Add(time.Duration(jump))
			c, _ = c.Next(saw(rapid.SampledFrom([]ltp.Verdict{ltp.Healthy, ltp.Unhealthy}).Draw(t, "verdict")), p, now)
			if end, due := c.DwellEnds(p); due && (end.After(now.Add(p.MaxDwell)) || end.Before(now)) {
				t.Fatalf("at %s the dwell ends at %s", now, end)
			}
		}
		now = now.Add(p.FlapWindow)
		c, _ = c.Next(saw(ltp.Healthy), p, now)
		c, _ = c.Next(ltp.Input{}, p, now.Add(p.MaxDwell))
		now = now.Add(p.MaxDwell)
		if c.Orientation.State != ltp.Recovering {
			t.Fatalf("fit for the longest dwell, and %s", c.Orientation.State)
		}
		for flap := range 9 {
			c, _ = c.Next(saw(ltp.Unhealthy), p, now)
			c, _ = c.Next(saw(ltp.Healthy), p, now)
			end, _ := c.DwellEnds(p)
			if want := min(p.Dwell<<flap, p.MaxDwell); end.Sub(now) != want {
				t.Fatalf("flap %d: the dwell is %s, not %s", flap, end.Sub(now), want)
			}
			c, _ = c.Next(ltp.Input{}, p, end)
			now = end
		}
	})
}

func TestHoldWinsUntilReleased(t *testing.T) {
	c := at(t, ltp.Stable)
	c, _ = c.Next(ltp.Input{Held: &ltp.Hold{By: "ann", Why: "migration"}}, policy(), start)
	assert.Equal(t, "Held by ann: migration", c.Orientation.Reason)
	epoch := c.Orientation.Epoch
	for _, in := range []ltp.Input{saw(ltp.Healthy), saw(ltp.Slow), saw(ltp.Unhealthy), saw(ltp.Healthy), {Lost: "x"}, saw(ltp.Healthy), {Drained: epoch}, {}} {
		c, _ = c.Next(in, policy(), start.Add(time.Hour))
		assert.Equal(t, ltp.Unstable, c.Orientation.State)
		assert.Equal(t, epoch, c.Orientation.Epoch)
	}
	healthy, _ := c.Next(ltp.Input{Released: &ltp.Release{By: "bob", Why: "done"}}, policy(), start)
	assert.Equal(t, ltp.Recovering, healthy.Orientation.State)
	assert.Equal(t, "Released by bob: done", healthy.Orientation.Reason)

	sick, _ := c.Next(saw(ltp.Unhealthy), policy(), start)
	sick, changed := sick.Next(ltp.Input{Released: &ltp.Release{By: "bob", Why: "done"}}, policy(), start)
	assert.True(t, changed)
	assert.Equal(t, ltp.Unstable, sick.Orientation.State)
	assert.Nil(t, sick.Orientation.Hold)

	unseen, _ := c.Next(ltp.Input{Lost: "gone"}, policy(), start)
	unseen, _ = unseen.Next(ltp.Input{Released: &ltp.Release{By: "bob", Why: "done"}}, policy(), start)
	assert.Equal(t, ltp.Unknown, unseen.Orientation.State)
}

func TestDrainedWhileSlowIsDegraded(t *testing.T) {
	c := at(t, ltp.Recovering)
	c, _ = c.Next(saw(ltp.Slow), policy(), start)
	c, _ = c.Next(ltp.Input{Drained: c.Orientation.Epoch}, policy(), start)
	assert.Equal(t, ltp.Degraded, c.Orientation.State)
}

// TestStateMachineKeepsItsPromises walks at random, with a clock that may jump.
func TestStateMachineKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := policy()
		p.Dwell = rapid.SampledFrom([]time.Duration{0, p.Dwell}).Draw(t, "dwell")
		c := ltp.NewCondition("orders-db", 0, start)
		now := start
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Minute), int64(5*time.Minute)).Draw(t, "passed")))
			var in ltp.Input
			switch rapid.IntRange(0, 8).Draw(t, "input") {
			case 0, 1, 2:
				in = saw(rapid.SampledFrom([]ltp.Verdict{ltp.Healthy, ltp.Slow, ltp.Unhealthy}).Draw(t, "verdict"))
			case 3:
				in = ltp.Input{Lost: "gone"}
			case 4:
				in = ltp.Input{Drained: c.Orientation.Epoch - rapid.Int64Range(-1, 1).Draw(t, "of epoch")}
			case 5:
				h := ltp.Hold{By: rapid.SampledFrom([]string{"ann", "bob"}).Draw(t, "by"), Why: "drill", Freeze: rapid.Bool().Draw(t, "freeze")}
				if rapid.Bool().Draw(t, "ends") {
					h.Until = now.Add(time.Duration(rapid.Int64Range(-1, int64(5*time.Minute)).Draw(t, "until")))
				}
				in = ltp.Input{Held: &h}
			case 6:
				in = ltp.Input{Released: &ltp.Release{By: rapid.SampledFrom([]string{"ann", "bob", "eve"}).Draw(t, "by"), Why: "done", All: rapid.Bool().Draw(t, "all")}}
			case 7:
				in = ltp.Input{Failing: anyFailing(t, c.Orientation.Epoch)}
			}
			before := c
			next, changed := c.Next(in, p, now)
			was, is := before.Orientation, next.Orientation
			if (is.State != was.State) != (is.Epoch == was.Epoch+1) || is.Epoch < was.Epoch || is.Epoch > was.Epoch+1 {
				t.Fatalf("%s@%d to %s@%d", was.State, was.Epoch, is.State, is.Epoch)
			}
			if is.State != was.State && !changed {
				t.Fatal("a change of state was not published")
			}
			if !is.State.Valid() {
				t.Fatalf("state %q", is.State)
			}
			if is.State == ltp.Stable && was.State != ltp.Stable && was.State != ltp.Recovering && was.State != ltp.Degraded {
				t.Fatalf("%s to STABLE", was.State)
			}
			if is.State == ltp.Degraded && was.State != ltp.Degraded && was.State != ltp.Stable && was.State != ltp.Recovering {
				t.Fatalf("%s to DEGRADED", was.State)
			}
			if is.Hold != nil && is.State != ltp.Unstable {
				t.Fatalf("held, and %s", is.State)
			}
			if in.Observed != nil && !in.Observed.Verdict.Fit() && is.State != ltp.Unstable {
				t.Fatalf("observed unhealthy, and %s", is.State)
			}
			if len(next.Falls) > 16 || len(next.Failed) >= ltp.FailingOrders {
				t.Fatal("memory grows without bound")
			}
			c = next
		}
	})
}
