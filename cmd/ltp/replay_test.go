package main

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay"
)

// TestAPlanShowsItsEnds and counts the rest.
func TestAPlanShowsItsEnds(t *testing.T) {
	begin := time.Date(2026, 11, 5, 14, 30, 10, 0, time.UTC)
	p := plan{Component: "orders-db", State: ltp.Unstable, Epoch: 4, Classes: map[int]int{}, Limit: 1000, TookSeconds: 0.5, DoneSeconds: 61}
	for i := range 1500 {
		p.add(plannedOrder{No: i + 1, OrderID: fmt.Sprintf("A%d", i+1), Class: 1 + 2*min(i/10, 1), AcceptedAt: begin.Add(time.Duration(i) * time.Second)})
	}
	var b bytes.Buffer
	require.NoError(t, p.write(&b, begin, false))
	for _, s := range []string{
		"#1  ", "#5  ", "#1,496", "#1,500", "1,490 more", "class 1           10", "class 3        1,490",
		"1,500 orders would be released", "1 min 1 s", "UNSTABLE: the time counts from RECOVERING on", "Nothing was released",
	} {
		assert.Contains(t, b.String(), s)
	}
	assert.NotContains(t, b.String(), "#6  ")
	p.ReplayControl = ltp.ReplayControl{Paused: true, Pause: ltp.Attribution{By: "ann", Why: "cold cache"}}
	b.Reset()
	require.NoError(t, p.write(&b, begin, true))
	assert.Contains(t, b.String(), "PAUSED by ann: cold cache")
	assert.NotContains(t, b.String(), "#1  ")
}

func TestTheStatusSaysWhatWaitsAndWhy(t *testing.T) {
	at := time.Date(2026, 11, 5, 14, 31, 0, 0, time.UTC)
	ramp := func() replayStatus {
		return replayStatus{At: at, Component: "orders-db", State: ltp.Recovering, Epoch: 5, Since: at.Add(-5 * time.Second), Waiting: 396,
			Replay: &replay.Run{WorkflowID: "replay/orders-db/5", Attempt: 1, LeftSeconds: 2, Report: &ltp.ReleaseReport{
				Phase: replay.PhaseRamp, Released: 1104, Remaining: 396, Rate: 240, Ceiling: 500, Passes: 2, Oldest: at.Add(-48 * time.Second), BegunAt: at.Add(-5 * time.Second), At: at,
			}}}
	}
	for name, c := range map[string]struct {
		status func() replayStatus
		says   []string
	}{
		"under way": {ramp, []string{"RECOVERING", "RAMP", "1,104 of 1,500 released, 396 left", "240 orders/s, at most 500", "about 2 s left, until 14:31:02 UTC", "oldest   accepted 14:30:12 UTC (48 s ago)"}},
		"paused": {func() replayStatus {
			s := ramp()
			s.Replay.Report.Phase, s.Replay.Report.Ceiling = replay.PhasePaused, 0
			s.ReplayControl = ltp.ReplayControl{
				Paused: true, Pause: ltp.Attribution{By: "ann", Why: "disk is full", Since: at.Add(-time.Minute)},
				Rate: 50, Limit: ltp.Attribution{By: "bob", Why: "cold cache", Since: at.Add(-time.Second)},
			}
			return s
		}, []string{"PAUSED", "the rest waits", "PAUSED, by ann, 14:30:00 UTC (1 min ago): disk is full", "at most 50 orders/s, by bob, 14:30:59 UTC (1 s ago): cold cache"}},
		"its worker is gone": {func() replayStatus {
			s := ramp()
			s.At = at.Add(time.Minute)
			s.Replay.Attempt, s.Replay.LastError = 3, "activity heartbeat timeout"
			return s
		}, []string{"no report for 1 min", "attempt  3; the one before ended: activity heartbeat timeout"}},
		"drained": {func() replayStatus {
			s := ramp()
			s.Replay.Settling = true
			return s
		}, []string{"has drained the backlog"}},
		"just begun": {func() replayStatus {
			s := ramp()
			s.Replay.Report = nil
			return s
		}, []string{"no word of it yet"}},
		"an outage": {func() replayStatus {
			return replayStatus{At: at, Component: "orders-db", State: ltp.Unstable, Epoch: 4, Reason: "DB Write Latency > 5000ms", Waiting: 3,
				Reasons: map[ltp.Reason]int64{ltp.ReasonUnstable: 2, ltp.ReasonExecuteUnavailable: 1},
				Next:    &plannedOrder{OrderID: "A7", AcceptedAt: at.Add(-time.Minute)}}
		}, []string{"Nothing is replayed. Waiting: 3 orders (2 SYSTEM_UNSTABLE, 1 EXECUTE_UNAVAILABLE)", "First in turn: A7", "released when the state is RECOVERING"}},
		"no engine": {func() replayStatus {
			return replayStatus{At: at, Component: "orders-db", State: ltp.Recovering, Epoch: 5, Waiting: 1, Reasons: map[ltp.Reason]int64{ltp.ReasonUnstable: 1}}
		}, []string{"No release runs: is a worker up?"}},
		"nothing at all": {func() replayStatus {
			return replayStatus{At: at, Component: "orders-db", State: ltp.Stable, Epoch: 3}
		}, []string{"Nothing is replayed, and no order waits."}},
	} {
		t.Run(name, func(t *testing.T) {
			text := strings.Join(c.status().lines(), "\n")
			for _, s := range c.says {
				assert.Contains(t, text, s)
			}
		})
	}
}
