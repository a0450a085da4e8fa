package ltp_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

func holds(c ltp.Condition, h ltp.Hold, now time.Time) ltp.Condition {
	c, _ = c.Next(ltp.Input{Held: &h}, policy(), now)
	return c
}

// TestASecondHoldDoesNotSwallowTheFirst: both stand, with author and reason, and each is
// ended by who holds.
func TestASecondHoldDoesNotSwallowTheFirst(t *testing.T) {
	c := holds(at(t, ltp.Stable), ltp.Hold{By: "ann", Why: "migration", Freeze: true}, start)
	epoch := c.Orientation.Epoch
	c = holds(c, ltp.Hold{By: "bob", Why: "a leak"}, start.Add(time.Minute))
	require.NotNil(t, c.Orientation.Hold)
	h := *c.Orientation.Hold
	assert.Equal(t, "Held by ann: migration; bob: a leak", c.Orientation.Reason)
	assert.Equal(t, "ann and bob", h.By)
	assert.Equal(t, "migration; a leak", h.Why)
	assert.True(t, h.Freeze, "one of them freezes")
	assert.Equal(t, start, h.Since)
	assert.Len(t, h.Holds(), 2)

	c = holds(c, ltp.Hold{By: "bob", Why: "a big leak"}, start.Add(2*time.Minute))
	assert.Equal(t, "Held by ann: migration; bob: a big leak", c.Orientation.Reason, "the same author replaces their own")

	require.ErrorContains(t, ltp.Release{By: "eve", Why: "done"}.Validate(c.Orientation.Hold), "ann: migration; bob: a big leak")
	same, changed := c.Next(ltp.Input{Released: &ltp.Release{By: "eve", Why: "done"}}, policy(), start)
	assert.False(t, changed)
	assert.Equal(t, c.Orientation, same.Orientation)

	ended, changed := c.Next(ltp.Input{Released: &ltp.Release{By: "ann", Why: "done"}}, policy(), start)
	assert.True(t, changed)
	assert.Equal(t, ltp.Unstable, ended.Orientation.State)
	assert.Equal(t, epoch, ended.Orientation.Epoch)
	assert.Equal(t, "Held by bob: a big leak", ended.Orientation.Reason)
	assert.False(t, ended.Orientation.Hold.Freeze, "bob does not freeze")
	require.NoError(t, ltp.Release{By: "eve", Why: "done"}.Validate(ended.Orientation.Hold), "the only hold is anybody's to end")
	ended, _ = ended.Next(ltp.Input{Released: &ltp.Release{By: "eve", Why: "done"}}, policy(), start)
	assert.Equal(t, ltp.Recovering, ended.Orientation.State)

	all, _ := c.Next(ltp.Input{Released: &ltp.Release{By: "eve", Why: "done", All: true}}, policy(), start)
	assert.Equal(t, ltp.Recovering, all.Orientation.State)
	assert.Nil(t, all.Orientation.Hold)
	assert.Equal(t, "Held by ann: migration; bob: a big leak", c.Orientation.Reason, "a condition is a value")
}

func TestAHoldEndsByItselfWhenItsTimeHasCome(t *testing.T) {
	until := time.Date(2024, 5, 20, 15, 0, 0, 0, time.UTC)
	c := holds(at(t, ltp.Stable), ltp.Hold{By: "ann", Why: "migration", Until: until}, start)
	end, due := c.HoldEnds()
	require.True(t, due)
	assert.Equal(t, until, end)

	early, changed := c.Next(ltp.Input{}, policy(), until.Add(-time.Nanosecond))
	assert.False(t, changed)
	assert.NotNil(t, early.Orientation.Hold)
	late, changed := c.Next(ltp.Input{}, policy(), until)
	assert.True(t, changed)
	assert.Equal(t, ltp.Recovering, late.Orientation.State)
	assert.Equal(t, "The hold of ann ended at 15:00 UTC", late.Orientation.Reason)
	_, due = late.HoldEnds()
	assert.False(t, due)

	sick, _ := c.Next(saw(ltp.Unhealthy), policy(), start)
	sick, changed = sick.Next(ltp.Input{}, policy(), until)
	assert.True(t, changed, "the memo says that nobody holds it")
	assert.Equal(t, ltp.Unstable, sick.Orientation.State)
	assert.Nil(t, sick.Orientation.Hold)
	unseen, _ := c.Next(ltp.Input{Lost: "gone"}, policy(), start)
	unseen, _ = unseen.Next(ltp.Input{}, policy(), until)
	assert.Equal(t, ltp.Unknown, unseen.Orientation.State)
}

// TestOfSeveralHoldsEachHasItsOwnEnd, and the whole lasts as long as the longest.
func TestOfSeveralHoldsEachHasItsOwnEnd(t *testing.T) {
	at15, at16 := time.Date(2024, 5, 20, 15, 0, 0, 0, time.UTC), time.Date(2024, 5, 20, 16, 0, 0, 0, time.UTC)
	c := holds(at(t, ltp.Stable), ltp.Hold{By: "ann", Why: "migration", Until: at16}, start)
	c = holds(c, ltp.Hold{By: "bob", Why: "a leak", Until: at15, Freeze: true}, start)
	assert.Equal(t, at16, c.Orientation.Hold.Until)
	end, _ := c.HoldEnds()
	assert.Equal(t, at15, end)
	open := holds(c, ltp.Hold{By: "eve", Why: "for good"}, start)
	assert.Zero(t, open.Orientation.Hold.Until)

	c, _ = c.Next(ltp.Input{}, policy(), at15)
	assert.Equal(t, "Held by ann: migration", c.Orientation.Reason)
	assert.False(t, c.Orientation.Hold.Freeze)
	c, _ = c.Next(ltp.Input{}, policy(), at16)
	assert.Equal(t, "The hold of ann ended at 16:00 UTC", c.Orientation.Reason)
}

func TestAHoldMustBeSensible(t *testing.T) {
	past := start.Add(-time.Second)
	require.NoError(t, ltp.Hold{By: "ann", Why: "x", Until: start.Add(time.Second)}.Validate(nil, start))
	for says, h := range map[string]ltp.Hold{
		"who": {Why: "x"}, "why": {By: "ann"}, "past": {By: "ann", Why: "x", Until: past},
	} {
		assert.ErrorContains(t, h.Validate(nil, start), says)
	}
	c := at(t, ltp.Stable)
	for i := range ltp.MaxHolds {
		c = holds(c, ltp.Hold{By: fmt.Sprint("operator ", i), Why: "x"}, start)
	}
	assert.ErrorContains(t, ltp.Hold{By: "one more", Why: "x"}.Validate(c.Orientation.Hold, start), "already")
	assert.NoError(t, ltp.Hold{By: "operator 3", Why: "y"}.Validate(c.Orientation.Hold, start), "who replaces their own adds none")
}
