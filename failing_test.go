package ltp_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

var denied = ltp.FailedWrite{Code: "42501", Error: "permission denied for table orders"}

// fails is a worker's report of orders that failed under an epoch.
func fails(epoch int64, orders ...string) ltp.FailedWrites {
	w := ltp.FailedWrites{Component: "orders-db", Worker: "worker-1", Epoch: epoch}
	for _, id := range orders {
		one := denied
		one.Order = id
		w.Orders = append(w.Orders, one)
	}
	return w
}

// anyFailing draws a report under an epoch near the one in force.
func anyFailing(t *rapid.T, epoch int64) *ltp.FailedWrites {
	w := fails(epoch + rapid.Int64Range(-1, 1).Draw(t, "of epoch"))
	for range rapid.IntRange(0, 20).Draw(t, "orders") {
		w.Orders = append(w.Orders, ltp.FailedWrite{Order: fmt.Sprint("A", rapid.IntRange(1, 5).Draw(t, "order"))})
	}
	w.Commits, w.Setback = rapid.IntRange(0, 2).Draw(t, "commits"), rapid.IntRange(0, 9).Draw(t, "setback") == 0
	return &w
}

func reported(c ltp.Condition, w ltp.FailedWrites, now time.Time) ltp.Condition {
	c, _ = c.Next(ltp.Input{Failing: &w}, policy(), now)
	return c
}

func TestOrdersThatFailMakeAFitComponentUnstable(t *testing.T) {
	for _, s := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering} {
		c := at(t, s)
		epoch := c.Orientation.Epoch
		c = reported(c, fails(epoch, "A1", "A2"), start)
		assert.Equal(t, s, c.Orientation.State)
		c = reported(c, fails(epoch, "A3"), start.Add(ltp.FailingWindow-1))
		o := c.Orientation
		assert.Equal(t, ltp.Unstable, o.State)
		assert.Equal(t, epoch+1, o.Epoch)
		assert.Equal(t, "Orders fail: permission denied for table orders (42501), 3 of 3 orders", o.Reason)
		assert.Equal(t, "worker-1", o.Observer)
		assert.Equal(t, ltp.Evidence{Samples: 3, Error: "permission denied for table orders (42501)",
			Facts: map[string]string{"worker": "worker-1", "code": "42501", "orders": "3"}}, o.Evidence)
		assert.Len(t, c.Falls, 1)
	}
}

// TestOrdersThatFailSayNothingOfAnUnfitComponent, nor of another epoch.
func TestOrdersThatFailSayNothingOfAnUnfitComponent(t *testing.T) {
	for _, s := range []ltp.State{ltp.Unknown, ltp.Unstable} {
		c := at(t, s)
		assert.Equal(t, c, reported(c, fails(c.Orientation.Epoch, "A1", "A2", "A3"), start))
	}
	held := holds(at(t, ltp.Stable), ltp.Hold{By: "ann", Why: "x"}, start)
	assert.Equal(t, held, reported(held, fails(held.Orientation.Epoch, "A1", "A2", "A3"), start))
}

// TestAFallByOrdersIsLeftAfterTheDwell, though the observer has no news; and it counts as
// a fall, so that the dwell doubles.
func TestAFallByOrdersIsLeftAfterTheDwell(t *testing.T) {
	p, now := policy(), start
	c := at(t, ltp.Recovering)
	for flap := range 4 {
		w := fails(c.Orientation.Epoch, "A1")
		w.Setback = true
		c = reported(c, w, now)
		require.Equal(t, ltp.Unstable, c.Orientation.State)
		assert.Equal(t, "Canaries fail: permission denied for table orders (42501)", c.Orientation.Reason)
		end, due := c.DwellEnds(p)
		require.True(t, due)
		assert.Equal(t, p.Dwell<<flap, end.Sub(now))
		c, _ = c.Next(ltp.Input{}, p, end)
		require.Equal(t, ltp.Recovering, c.Orientation.State)
		now = end
	}
	c = reported(c, fails(c.Orientation.Epoch, "A1", "A2", "A3"), now)
	c, _ = c.Next(saw(ltp.Unhealthy), p, now)
	_, due := c.DwellEnds(p)
	assert.False(t, due, "an observer that sees it unfit has the last word")
}

// TestAFallByOrdersWithoutADwellIsOneChange: nothing is skipped.
func TestAFallByOrdersWithoutADwellIsOneChange(t *testing.T) {
	p := policy()
	p.Dwell = 0
	c := at(t, ltp.Stable)
	w := fails(c.Orientation.Epoch, "A1", "A2", "A3")
	c, _ = c.Next(ltp.Input{Failing: &w}, p, start)
	assert.Equal(t, ltp.Unstable, c.Orientation.State)
	c, _ = c.Next(ltp.Input{}, p, start)
	assert.Equal(t, ltp.Recovering, c.Orientation.State)
}

func TestACommitForgetsWhatFailedBefore(t *testing.T) {
	c := at(t, ltp.Stable)
	epoch := c.Orientation.Epoch
	c = reported(c, fails(epoch, "A1", "A2"), start)
	w := fails(epoch, "A3", "A4")
	w.Commits = 1
	c = reported(c, w, start)
	assert.Equal(t, ltp.Stable, c.Orientation.State)
	c = reported(c, fails(epoch, "A5"), start)
	assert.Equal(t, ltp.Unstable, c.Orientation.State)
}

// TestNoStormOfOneOrderIsAnOutage, whatever it fails of, and however often.
func TestNoStormOfOneOrderIsAnOutage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, now := stableCondition(), start
		for range rapid.IntRange(1, 100).Draw(t, "reports") {
			now = now.Add(time.Duration(rapid.Int64Range(-int64(time.Minute), int64(time.Minute)).Draw(t, "passed")))
			w := fails(c.Orientation.Epoch)
			for range rapid.IntRange(1, ltp.MaxFailed).Draw(t, "times") {
				w.Orders = append(w.Orders, ltp.FailedWrite{Order: "A1", Hung: rapid.Bool().Draw(t, "hung")})
			}
			next := reported(c, w, now)
			if next.Orientation.State != ltp.Stable || next.Orientation.Epoch != c.Orientation.Epoch {
				t.Fatalf("%s after one order", next.Orientation.State)
			}
			c = next
		}
	})
}

// TestThreeOrdersWithoutACommitAreAnOutage, in however many reports, in whatever order,
// repeated or not, whatever was heard before.
func TestThreeOrdersWithoutACommitAreAnOutage(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c, now := stableCondition(), start
		fell := false // it may be fit again by the end
		for range rapid.IntRange(0, 3).Draw(t, "before") {
			w := fails(c.Orientation.Epoch, rapid.SampledFrom([]string{"A1", "A2"}).Draw(t, "order"))
			w.Commits = rapid.IntRange(0, 2).Draw(t, "commits")
			c = reported(c, w, now)
			fell = fell || c.Orientation.State == ltp.Unstable
			now = now.Add(time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "passed")))
		}
		left := int64(ltp.FailingWindow) - 1
		orders := rapid.Permutation([]string{"A1", "A2", "A3"}).Draw(t, "orders")
		for len(orders) > 0 {
			n := rapid.IntRange(1, len(orders)).Draw(t, "in one")
			c = reported(c, fails(c.Orientation.Epoch, orders[:n]...), now)
			fell = fell || c.Orientation.State == ltp.Unstable
			orders = orders[n:]
			passed := rapid.Int64Range(0, left).Draw(t, "passed")
			now, left = now.Add(time.Duration(passed)), left-passed
		}
		if !fell {
			t.Fatalf("%s, and remembers %v", c.Orientation.State, c.Failed)
		}
	})
}

// TestThreeOrdersOverALongTimeAreNone: each has its own reason, most likely.
func TestThreeOrdersOverALongTimeAreNone(t *testing.T) {
	c, now := stableCondition(), start
	for i := range 50 {
		c = reported(c, fails(c.Orientation.Epoch, fmt.Sprint("A", i)), now)
		now = now.Add(ltp.FailingWindow / 2)
	}
	assert.Equal(t, ltp.Stable, c.Orientation.State)
}

// TestFailuresOfAnotherEpochSayNothing, however many, and a setback neither.
func TestFailuresOfAnotherEpochSayNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := stableCondition()
		for range rapid.IntRange(1, 20).Draw(t, "reports") {
			w := anyFailing(t, c.Orientation.Epoch)
			if w.Epoch == c.Orientation.Epoch {
				w.Epoch -= 5
			}
			if next := reported(c, *w, start); next.Orientation.Epoch != c.Orientation.Epoch || next.Orientation.Reason != c.Orientation.Reason || len(next.Failed) > 0 {
				t.Fatalf("%+v", next)
			}
		}
	})
}

func TestWhatTheDatabaseSaidIsOneShortSentence(t *testing.T) {
	long := strings.Repeat("é ", 5000)
	for want, w := range map[string]ltp.FailedWrite{
		"permission denied for table orders (42501)": denied,
		"a line and another":                         {Error: "a line\n\tand another"},
		"ERROR: full (SQLSTATE 53100)":               {Error: "ERROR: full (SQLSTATE 53100)", Code: "53100"},
		"the write hangs":                            {Hung: true},
		"no reason was given (55P03)":                {Code: "55P03"},
	} {
		assert.Equal(t, want, w.String())
	}
	assert.Less(t, len(ltp.FailedWrite{Error: long}.String()), 1000)
}

func stableCondition() ltp.Condition {
	c := ltp.NewCondition("orders-db", 0, start)
	c, _ = c.Next(saw(ltp.Healthy), policy(), start)
	c, _ = c.Next(ltp.Input{Drained: c.Orientation.Epoch}, policy(), start)
	return c
}
