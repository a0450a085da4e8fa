package ltp_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

func TestExecutionThatNoWorkerCouldTakeIsRefused(t *testing.T) {
	good := ltp.Execution{Activity: "Fulfil", TaskQueue: "shop"}
	slow := good
	slow.Timeout = time.Minute
	for _, e := range []ltp.Execution{{}, good, slow} {
		assert.NoError(t, e.Validate())
	}
	assert.False(t, ltp.Execution{}.External())
	assert.True(t, good.External())
	assert.Equal(t, ltp.DefaultExecuteTimeout, good.StartToClose())
	assert.Equal(t, time.Minute, slow.StartToClose())
	for field, bad := range map[string][]ltp.Execution{
		"execute activity":   {{TaskQueue: "shop"}, {Timeout: time.Minute}, {Activity: "Ful\nfil", TaskQueue: "shop"}, {Activity: strings.Repeat("x", 300), TaskQueue: "shop"}},
		"execute task queue": {{Activity: "Fulfil"}, {Activity: "Fulfil", TaskQueue: ltp.OrderQueue}, {Activity: "Fulfil", TaskQueue: ltp.ObserveQueue("x")}, {Activity: "Fulfil", TaskQueue: "/_sys/x"}, {Activity: "Fulfil", TaskQueue: "\x00"}},
		"execute timeout":    {{Activity: "Fulfil", TaskQueue: "shop", Timeout: time.Millisecond}, {Activity: "Fulfil", TaskQueue: "shop", Timeout: -1}, {Activity: "Fulfil", TaskQueue: "shop", Timeout: 2 * time.Hour}},
	} {
		for _, e := range bad {
			var invalid *ltp.InvalidError
			require.ErrorAs(t, e.Validate(), &invalid, "%+v", e)
			assert.Equal(t, field, invalid.Field)
		}
	}
}

func TestReadDoneAcceptsAnyResultOfAnActivity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		data := rapid.OneOf(
			rapid.SliceOf(rapid.Byte()),
			rapid.Map(rapid.StringMatching(`(\{"repeated":(true|1)(,"begun_at":("2030-01-01T00:00:00Z"|7|null))?(,"committed_at":"20(2|3)0-01-01T00:00:01Z")?(,"fence":\{"component":"x","state":"(STABLE|UNSTABLE|OPEN)"\})?\})?`),
				func(s string) []byte { return []byte(s) }),
		).Draw(t, "result")
		done, kept := ltp.ReadDone(data)
		if len(kept) > ltp.MaxResult {
			t.Fatalf("%d bytes are kept", len(kept))
		}
		if kept != nil && !json.Valid(kept) {
			t.Fatalf("no JSON is kept: %q", kept)
		}
		if done.BegunAt.IsZero() != done.CommittedAt.IsZero() || done.CommittedAt.Before(done.BegunAt) {
			t.Fatalf("the times of %q make no sense: %+v", data, done)
		}
		if done.Fence != (ltp.Fence{}) && !done.Fence.State.Fit() {
			t.Fatalf("a write under %s", done.Fence.State)
		}
	})
	done, _ := ltp.ReadDone([]byte(`{"repeated":true,"begun_at":"2030-01-01T00:00:00Z","committed_at":"2030-01-01T00:00:01Z","fence":{"component":"x","state":"STABLE","epoch":3}}`))
	assert.True(t, done.Repeated)
	assert.Equal(t, time.Second, done.CommittedAt.Sub(done.BegunAt))
	assert.EqualValues(t, 3, done.Fence.Epoch)
}

func TestBackstopsOutOfBoundsAreRefused(t *testing.T) {
	for _, b := range []ltp.Backstop{{}, ltp.DefaultBackstop(), {First: time.Second, Most: time.Second}, {First: time.Hour, Most: 24 * time.Hour}} {
		assert.NoError(t, b.Validate())
	}
	for _, b := range []ltp.Backstop{{First: time.Second}, {Most: time.Minute}, {First: time.Millisecond, Most: time.Hour}, {First: time.Hour, Most: time.Minute}, {First: time.Hour, Most: 25 * time.Hour}, {First: -1, Most: time.Hour}} {
		assert.Error(t, b.Validate(), "%+v", b)
	}
	assert.Equal(t, ltp.DefaultBackstop(), ltp.Backstop{}.OrDefault())
}
