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
		s := ltp.ReplayControl{Paused: rapid.Bool().Draw(t, "paused"), Rate: rapid.Float64Range(0, 1000).Draw(t, "rate")}
		decision, reason := ltp.Decide(o, r)
		if s.Paused {
			r.Paused = []string{"orders-db"}
		}
		controlled, why := ltp.Decide(o, r)
		if s.Paused && (reason == ltp.ReasonRecoveryConfirmed || r.Replay && reason == ltp.ReasonAwaitsReplay) {
			assert.Equal(t, ltp.Defer, controlled)
			assert.Equal(t, ltp.ReasonReplayPaused, why)
			return
		}
		assert.Equal(t, decision, controlled)
		assert.Equal(t, reason, why)
	})
}

// TestAReplayControlChangesOnlyWhatItNames: of two operators, none undoes what the other said, and
// each has their own reason.
func TestAReplayControlChangesOnlyWhatItNames(t *testing.T) {
	now := time.Date(2026, 11, 5, 14, 0, 0, 0, time.UTC)
	ann := ltp.Attribution{By: "ann", Why: "disk is full", Since: now}
	bob := ltp.Attribution{By: "bob", Why: "cold cache", Since: now.Add(time.Second)}
	s := ltp.ReplayControl{}.Next(ltp.ReplayControlChange{Paused: new(true), By: "ann", Why: "disk is full"}, now)
	s = s.Next(ltp.ReplayControlChange{Rate: new(50.0), By: "bob", Why: "cold cache"}, now.Add(time.Second))
	assert.Equal(t, ltp.ReplayControl{Paused: true, Pause: ann, Rate: 50, Limit: bob}, s)
	assert.Equal(t, ltp.ReplayControl{Rate: 50, Limit: bob}, s.Next(ltp.ReplayControlChange{Paused: new(false), By: "eve", Why: "done"}, now))
	assert.Equal(t, ltp.ReplayControl{Paused: true, Pause: ann}, s.Next(ltp.ReplayControlChange{Rate: new(0.0), By: "eve", Why: "warm"}, now))
	both := ltp.Attribution{By: "eve", Why: "a look", Since: now}
	assert.Equal(t, ltp.ReplayControl{Paused: true, Pause: both, Rate: 5, Limit: both},
		s.Next(ltp.ReplayControlChange{Paused: new(true), Rate: new(5.0), By: "eve", Why: "a look"}, now))
}

func TestReplayControlsThatCannotBeAreRefused(t *testing.T) {
	for name, c := range map[string]struct {
		word ltp.ReplayControlChange
		now  ltp.ReplayControl
		ok   bool
	}{
		"pause":                   {ltp.ReplayControlChange{Paused: new(true), By: "a", Why: "b"}, ltp.ReplayControl{}, true},
		"pause again":             {ltp.ReplayControlChange{Paused: new(true), By: "a", Why: "b"}, ltp.ReplayControl{Paused: true}, true},
		"resume":                  {ltp.ReplayControlChange{Paused: new(false), By: "a", Why: "b"}, ltp.ReplayControl{Paused: true}, true},
		"resume what is released": {ltp.ReplayControlChange{Paused: new(false), By: "a", Why: "b"}, ltp.ReplayControl{}, false},
		"slow":                    {ltp.ReplayControlChange{Rate: new(ltp.MinRate), By: "a", Why: "b"}, ltp.ReplayControl{}, true},
		"too slow":                {ltp.ReplayControlChange{Rate: new(ltp.MinRate / 2), By: "a", Why: "b"}, ltp.ReplayControl{}, false},
		"no limit":                {ltp.ReplayControlChange{Rate: new(0.0), By: "a", Why: "b"}, ltp.ReplayControl{Rate: 5}, true},
		"less than nothing":       {ltp.ReplayControlChange{Rate: new(-1.0), By: "a", Why: "b"}, ltp.ReplayControl{}, false},
		"no number":               {ltp.ReplayControlChange{Rate: new(math.NaN()), By: "a", Why: "b"}, ltp.ReplayControl{}, false},
		"without end":             {ltp.ReplayControlChange{Rate: new(math.Inf(1)), By: "a", Why: "b"}, ltp.ReplayControl{}, false},
		"nobody":                  {ltp.ReplayControlChange{Paused: new(true), Why: "b"}, ltp.ReplayControl{}, false},
		"no reason":               {ltp.ReplayControlChange{Paused: new(true), By: "a"}, ltp.ReplayControl{}, false},
		"nothing":                 {ltp.ReplayControlChange{By: "a", Why: "b"}, ltp.ReplayControl{}, false},
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
