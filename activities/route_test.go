package activities_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/orderdb"
)

func TestRoutingIsTheDecisionTableOnTheBoard(t *testing.T) {
	fresh, replay, risky := ltp.Request{}, ltp.Request{Replay: true}, ltp.Request{HighRisk: true}
	failed := ltp.Request{Failed: true, FailedUnder: db, FailedEpoch: 3}
	for _, row := range []struct {
		state    ltp.State
		request  ltp.Request
		decision ltp.Decision
		reason   ltp.Reason
	}{
		{ltp.Stable, fresh, ltp.Execute, ltp.ReasonOK},
		{ltp.Stable, failed, ltp.Defer, ltp.ReasonExecuteUnavailable},
		{ltp.Degraded, fresh, ltp.Execute, ltp.ReasonOK},
		{ltp.Degraded, risky, ltp.Defer, ltp.ReasonDegraded},
		{ltp.Unstable, fresh, ltp.Defer, ltp.ReasonUnstable},
		{ltp.Unstable, replay, ltp.Defer, ltp.ReasonUnstable},
		{ltp.Recovering, fresh, ltp.Defer, ltp.ReasonRecovering},
		{ltp.Recovering, replay, ltp.Execute, ltp.ReasonRecoveryConfirmed},
		{ltp.Unknown, replay, ltp.Defer, ltp.ReasonUnknown},
	} {
		t.Run(fmt.Sprintf("%s %+v", row.state, row.request), func(t *testing.T) {
			b, m := newBoard(db), &meter{}
			a := &activities.Orders{Board: b, Meter: m, Backstop: ltp.DefaultBackstop()}
			reading := seen(row.state, 3)
			b.Put(reading)
			routing := local[ltp.Routing](t, t.Context(), a, a.CheckOrientation, ltp.RouteInput{
				OrderID: "A1", Components: []string{db}, Written: db, Request: row.request, Attempt: 2, Woken: ltp.WokenByTimer,
			})
			assert.Equal(t, ltp.Routing{
				Attempt: 2, Woken: ltp.WokenByTimer, Request: row.request, Decision: row.decision, Reason: row.reason,
				Component: db, State: row.state, Epoch: 3, ReadAt: ltp.Stamped(reading.ReadAt), Written: 3,
			}, routing)
			assert.Equal(t, []ltp.Routing{routing}, m.routings)
		})
	}
}

func TestRoutingNeverFailsAndDefersWhatCannotBeKnown(t *testing.T) {
	b := newBoard(db)
	a := &activities.Orders{Board: b}
	in := ltp.RouteInput{OrderID: "A1", Components: []string{db}, Written: db, Attempt: 1}
	routing, err := a.CheckOrientation(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, in.NotRouted(), routing, "never read")

	b.Put(seen(ltp.Stable, 3))
	in.Components = []string{db, "payments"}
	routing, err = a.CheckOrientation(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, "payments", routing.Component, "not on this worker's board")
	assert.Equal(t, ltp.Defer, routing.Decision)
	assert.True(t, routing.Unreadable)
}

// TestRoutingSaysTheBackstopOfItsWorker where that is not the usual one.
func TestRoutingSaysTheBackstopOfItsWorker(t *testing.T) {
	long := ltp.Backstop{First: time.Hour, Most: 2 * time.Hour}
	for own, want := range map[ltp.Backstop]ltp.Backstop{{}: {}, ltp.DefaultBackstop(): {}, long: long} {
		a := &activities.Orders{Board: newBoard(db), Backstop: own}
		routing, err := a.CheckOrientation(t.Context(), ltp.RouteInput{OrderID: "A1", Components: []string{db}})
		require.NoError(t, err)
		assert.Equal(t, want, routing.Backstop)
	}
}

// meter keeps what is measured.
type meter struct {
	routings []ltp.Routing
	attempts []measured
}

type measured struct {
	ltp.Attempt
	took time.Duration
}

func (m *meter) Routed(r ltp.Routing, _ time.Duration) { m.routings = append(m.routings, r) }

func (m *meter) Attempted(a ltp.Attempt, took time.Duration) {
	m.attempts = append(m.attempts, measured{a, took})
}

func TestEveryAttemptIsMeasuredAlsoOneThatDoesNotBegin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, m := newBoard(db), &meter{}
		a := &activities.Orders{Board: b, Meter: m}
		b.Put(seen(ltp.Stable, 3))
		slow := func(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
			time.Sleep(4 * time.Millisecond)
			return writes(nil)(ctx, o, admit)
		}
		written := executeWith(t, t.Context(), a, slow, attempt(3))
		b.Put(seen(ltp.Unstable, 4))
		refused := executeWith(t, t.Context(), a, nil, attempt(3))
		require.Equal(t, ltp.ResultNotBegun, refused.Result)
		assert.Equal(t, []measured{{written, 4 * time.Millisecond}, {refused, 0}}, m.attempts)
	})
}
