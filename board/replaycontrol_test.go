package board

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
)

// paused is r, with its replays paused by an operator.
func (r Reading) paused() Reading {
	r.ReplayControl = ltp.ReplayControl{Paused: true, Pause: ltp.Attribution{By: "ann", Why: "cold cache"}}
	return r
}

// TestAPausedReplayDefersWhatTheBackstopWakes: only while RECOVERING, only a replay.
func TestAPausedReplayDefersWhatTheBackstopWakes(t *testing.T) {
	replay := ltp.Request{Replay: true}
	for _, c := range []struct {
		name     string
		reading  Reading
		request  ltp.Request
		decision ltp.Decision
		reason   ltp.Reason
	}{
		{"recovering", seen(ltp.Recovering, 5).paused(), replay, ltp.Defer, ltp.ReasonReplayPaused},
		{"recovering, not paused", seen(ltp.Recovering, 5), replay, ltp.Execute, ltp.ReasonRecoveryConfirmed},
		{"recovering, woken by its backstop", seen(ltp.Recovering, 5).paused(), ltp.Request{Replay: true, Listed: true}, ltp.Defer, ltp.ReasonReplayPaused},
		{"recovering, not paused, woken by its backstop", seen(ltp.Recovering, 5), ltp.Request{Replay: true, Listed: true}, ltp.Defer, ltp.ReasonAwaitsReplay},
		{"recovering, new", seen(ltp.Recovering, 5).paused(), ltp.Request{}, ltp.Defer, ltp.ReasonRecovering},
		{"stable", seen(ltp.Stable, 6).paused(), replay, ltp.Execute, ltp.ReasonOK},
		{"degraded", seen(ltp.Degraded, 6).paused(), replay, ltp.Execute, ltp.ReasonOK},
		{"unstable", seen(ltp.Unstable, 6).paused(), replay, ltp.Defer, ltp.ReasonUnstable},
		{"read too long ago", seen(ltp.Recovering, 5).paused().old(Lease + time.Second), replay, ltp.Defer, ltp.ReasonUnknown},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBoard()
			b.Put(c.reading)
			r := b.Route(asked(c.request))
			assert.Equal(t, c.decision, r.Decision)
			assert.Equal(t, c.reason, r.Reason)
		})
	}
}

// TestAPauseOfOneComponentIsEnough, and the answer names that component.
func TestAPauseOfOneComponentIsEnough(t *testing.T) {
	b := newBoard()
	b.Put(seen(ltp.Stable, 3))
	b.Put(seen(ltp.Recovering, 8).of("payments").paused())
	r := b.Route(asked(ltp.Request{Replay: true}, db, "payments"))
	assert.Equal(t, ltp.Defer, r.Decision)
	assert.Equal(t, ltp.ReasonReplayPaused, r.Reason)
	assert.Equal(t, "payments", r.Component)
	assert.EqualValues(t, 8, r.Epoch)
	assert.Equal(t, []string{"payments"}, r.Request.Paused, "recorded, and not to be inferred")
}

// TestTheFenceDoesNotAskForAPause: what is released goes on.
func TestTheFenceDoesNotAskForAPause(t *testing.T) {
	b := newBoard()
	now := seen(ltp.Recovering, 5).paused()
	b.now = func() time.Time { return now.ReadAt }
	b.Put(now)
	r, _, err := b.Fence(t.Context(), asked(ltp.Request{Replay: true}))
	require.NoError(t, err)
	assert.Equal(t, ltp.Execute, r.Decision)
	assert.Empty(t, r.Request.Paused)
}

// TestTheReplayControlIsReadFromTheMemo, also where the state is not believed.
func TestTheReplayControlIsReadFromTheMemo(t *testing.T) {
	want := ltp.ReplayControl{Paused: true, Pause: ltp.Attribution{By: "ann", Why: "cold cache", Since: time.Date(2026, 11, 5, 14, 0, 0, 0, time.UTC)}}
	p, err := converter.GetDefaultDataConverter().ToPayload(want)
	require.NoError(t, err)
	for _, d := range []time.Duration{0, 2 * Unread} {
		said := unread(running(orientation(ltp.Recovering, 5)), ago(d))
		said.WorkflowExecutionInfo.Memo.Fields[ltp.ReplayControlMemo] = p
		r, err := read(said, nil)
		require.NoError(t, err)
		assert.Equal(t, d > 0, r.Unreadable)
		assert.Equal(t, want, r.ReplayControl)
	}
	p.Data = []byte(`{"paused":`)
	damaged := running(orientation(ltp.Recovering, 5))
	damaged.WorkflowExecutionInfo.Memo.Fields[ltp.ReplayControlMemo] = p
	_, err = read(damaged, nil)
	assert.ErrorContains(t, err, "steering")
}
