package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// marked is the upsert of an order that waits.
func marked(component string, epoch int64, reason ltp.Reason) map[string]any {
	return map[string]any{
		ltp.StateAttribute: string(ltp.Deferred), ltp.ComponentAttribute: component, ltp.EpochAttribute: epoch, ltp.ReasonAttribute: string(reason),
	}
}

func TestDeferredOrderIsMarked(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.recovers(time.Minute, ltp.Recovering)
	e.executed(order)
	assert.Equal(t, []map[string]any{marked(db, 3, ltp.ReasonUnstable)}, e.upserts)
}

// TestTheDoorsMarkSavesTheUpsert where the routing agrees with it.
func TestTheDoorsMarkSavesTheUpsert(t *testing.T) {
	for name, c := range map[string]struct {
		risk   ltp.Risk
		before ltp.Orientation // as the door has read
		want   []map[string]any
	}{
		"it agrees":             {before: ltp.Orientation{Component: db, State: ltp.Unstable, Epoch: 3}},
		"of an earlier epoch":   {before: ltp.Orientation{Component: db, State: ltp.Unstable, Epoch: 1}, want: []map[string]any{marked(db, 3, ltp.ReasonUnstable)}},
		"for another reason":    {before: ltp.Orientation{Component: db, State: ltp.Unknown, Epoch: 3}, want: []map[string]any{marked(db, 3, ltp.ReasonUnstable)}},
		"it has marked nothing": {before: ltp.Orientation{Component: db, State: ltp.Stable, Epoch: 2}, want: []map[string]any{marked(db, 3, ltp.ReasonUnstable)}},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOrderTest(t, ltp.Unstable)
			e.stamp = &ltp.Stamp{Epoch: c.before.Epoch, State: c.before.State}
			e.mark = ltp.DoorMark(order, []ltp.Orientation{c.before})
			e.recovers(time.Minute, ltp.Recovering)
			e.executed(order)
			assert.Equal(t, c.want, e.upserts)
		})
	}
}

func TestPriorityIsMarkedWhereItIsNotTheUsual(t *testing.T) {
	for priority, want := range map[int]any{0: nil, ltp.DefaultPriority: nil, 1: int64(1), ltp.LastPriority: int64(5)} {
		e := newOrderTest(t, ltp.Unstable)
		e.recovers(time.Second, ltp.Degraded)
		e.recovers(2*time.Second, ltp.Stable)
		o := order
		o.Priority, o.Risk = priority, ltp.HighRisk
		e.executed(o)
		require.Len(t, e.upserts, 2)
		assert.Equal(t, want, e.upserts[0][ltp.PriorityAttribute], priority)
		assert.NotContains(t, e.upserts[1], ltp.PriorityAttribute, "once")
	}
}

func TestExpeditedOrderIsMarkedOnce(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	for _, after := range []time.Duration{time.Second, time.Second, time.Second, 2 * time.Second} {
		e.at(after, func() { e.SignalWorkflow(ltp.ExpediteSignal, nil) })
	}
	e.recovers(3*time.Second, ltp.Recovering)
	e.executed(order)
	require.Len(t, e.upserts, 2)
	assert.Equal(t, int64(0), e.upserts[1][ltp.PriorityAttribute])
	assert.Len(t, e.timers, 1, "its timer stays as it is")
	assert.Len(t, e.writes, 1)
}

// TestExpeditingDoesNotJumpTheLine: it counts when the order waits for a component again.
func TestExpeditingDoesNotJumpTheLine(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.at(time.Second, func() { e.SignalWorkflow(ltp.ExpediteSignal, nil) })
	e.at(2*time.Second, func() { assert.Len(t, e.upserts, 1); assert.Empty(t, e.writes) })
	e.becomes(3*time.Second, ltp.Unstable)
	e.turn(4*time.Second, time.Second)
	e.recovers(5*time.Second, ltp.Recovering)
	e.executed(keyed)
	require.Len(t, e.upserts, 2)
	assert.Equal(t, int64(0), e.upserts[1][ltp.PriorityAttribute])
	assert.Equal(t, db, e.upserts[1][ltp.ComponentAttribute])
}
