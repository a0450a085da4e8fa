package ltp_test

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

// TestAPauseDefersTheReplaysOfARecoveryAndNothingElse is the row of the decision table
// that an operator's pause changes.
func TestAPauseDefersTheReplaysOfARecoveryAndNothingElse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := ltp.Orientation{
			Component: "orders-db", Epoch: 7,
			State: rapid.SampledFrom([]ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering, ltp.Unstable, ltp.Unknown, ""}).Draw(t, "state"),
			Hold:  rapid.SampledFrom([]*ltp.Hold{nil, {By: "ann"}, {By: "ann", Freeze: true}}).Draw(t, "hold"),
		}
		r := ltp.Request{
			Replay: rapid.Bool().Draw(t, "replay"), HighRisk: rapid.Bool().Draw(t, "risk"), Failed: rapid.Bool().Draw(t, "failed"),
			FailedUnder: "orders-db", FailedEpoch: rapid.Int64Range(6, 7).Draw(t, "failed under"),
			Listed: rapid.Bool().Draw(t, "listed"),
		}
		s := ltp.Steering{Paused: rapid.Bool().Draw(t, "paused"), Rate: rapid.Float64Range(0, 1000).Draw(t, "rate")}
		decision, reason := ltp.Decide(o, r)
		if s.Paused {
			r.Paused = []string{"orders-db"}
		}
		steered, why := ltp.Decide(o, r)
		if s.Paused && (reason == ltp.ReasonRecoveryConfirmed || r.Replay && reason == ltp.ReasonAwaitsReplay) {
			assert.Equal(t, ltp.Defer, steered)
			assert.Equal(t, ltp.ReasonReplayPaused, why)
			return
		}
		assert.Equal(t, decision, steered)
		assert.Equal(t, reason, why)
	})
}

// TestAReplayControlChangesOnlyWhatItNames: of two operators, none undoes what the other said, and
// each has their own reason.
func TestAReplayControlChangesOnlyWhatItNames(t *testing.T) {
	now := time.Date(2026, 11, 5, 14, 0, 0, 0, time.UTC)
	ann := ltp.Said{By: "ann", Why: "disk is full", Since: now}
	bob := ltp.Said{By: "bob", Why: "cold cache", Since: now.Add(time.Second)}
	s := ltp.Steering{}.Next(ltp.Steer{Paused: new(true), By: "ann", Why: "disk is full"}, now)
	s = s.Next(ltp.Steer{Rate: new(50.0), By: "bob", Why: "cold cache"}, now.Add(time.Second))
	assert.Equal(t, ltp.Steering{Paused: true, Pause: ann, Rate: 50, Limit: bob}, s)
	assert.Equal(t, ltp.Steering{Rate: 50, Limit: bob}, s.Next(ltp.Steer{Paused: new(false), By: "eve", Why: "done"}, now))
	assert.Equal(t, ltp.Steering{Paused: true, Pause: ann}, s.Next(ltp.Steer{Rate: new(0.0), By: "eve", Why: "warm"}, now))
	both := ltp.Said{By: "eve", Why: "a look", Since: now}
	assert.Equal(t, ltp.Steering{Paused: true, Pause: both, Rate: 5, Limit: both},
		s.Next(ltp.Steer{Paused: new(true), Rate: new(5.0), By: "eve", Why: "a look"}, now))
}

func TestReplayControlsThatCannotBeAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		word ltp.Steer
		now  ltp.Steering
		ok   bool
	}{
		"pause":                   {ltp.Steer{Paused: new(true), By: "a", Why: "b"}, ltp.Steering{}, true},
		"pause again":             {ltp.Steer{Paused: new(true), By: "a", Why: "b"}, ltp.Steering{Paused: true}, true},
		"resume":                  {ltp.Steer{Paused: new(false), By: "a", Why: "b"}, ltp.Steering{Paused: true}, true},
		"resume what is released": {ltp.Steer{Paused: new(false), By: "a", Why: "b"}, ltp.Steering{}, false},
		"slow":                    {ltp.Steer{Rate: new(ltp.MinRate), By: "a", Why: "b"}, ltp.Steering{}, true},
		"too slow":                {ltp.Steer{Rate: new(ltp.MinRate / 2), By: "a", Why: "b"}, ltp.Steering{}, false},
		"no limit":                {ltp.Steer{Rate: new(0.0), By: "a", Why: "b"}, ltp.Steering{Rate: 5}, true},
		"less than nothing":       {ltp.Steer{Rate: new(-1.0), By: "a", Why: "b"}, ltp.Steering{}, false},
		"no number":               {ltp.Steer{Rate: new(math.NaN()), By: "a", Why: "b"}, ltp.Steering{}, false},
		"without end":             {ltp.Steer{Rate: new(math.Inf(1)), By: "a", Why: "b"}, ltp.Steering{}, false},
		"nobody":                  {ltp.Steer{Paused: new(true), Why: "b"}, ltp.Steering{}, false},
		"no reason":               {ltp.Steer{Paused: new(true), By: "a"}, ltp.Steering{}, false},
		"nothing":                 {ltp.Steer{By: "a", Why: "b"}, ltp.Steering{}, false},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.word.Validate(c.now)
			assert.Equal(t, c.ok, err == nil, "%v", err)
		})
	}
}

// TestThePausedReplayReleasesWhatItsPauseDeferred: its Update is of the very epoch.
func TestThePausedReplayReleasesWhatItsPauseDeferred(t *testing.T) {
	waits := func(why ltp.Reason) ltp.Wait { return ltp.Wait{Component: "orders-db", Epoch: 5, Reason: why} }
	s := ltp.Stability{Component: "orders-db", State: ltp.Recovering, Epoch: 5}
	assert.True(t, waits(ltp.ReasonReplayPaused).SupersededBy(s))
	assert.True(t, waits(ltp.ReasonAwaitsReplay).SupersededBy(s))
	assert.False(t, waits(ltp.ReasonRecovering).SupersededBy(s))
	s.Epoch = 4
	assert.False(t, waits(ltp.ReasonReplayPaused).SupersededBy(s), "a replay that is over releases nobody")
}
