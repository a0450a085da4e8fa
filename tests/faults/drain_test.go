package faults

import (
	"context"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
)

// Faults in the middle of a drain: a turnstile stops the release of orders where the
// test wants it, and lets what it held up through when that is out of date.

// engine is a worker with a turnstile before what it releases.
type engine struct{ *process }

func (r *rig) engine(gate *turnstile) *engine {
	r.T.Helper()
	x, e := newExchange(r.T, r.Address), &engine{}
	x.on(func(ctx context.Context, call any, pass func() (any, error)) (any, error) {
		if c, ok := call.(*workflowservice.UpdateWorkflowExecutionRequest); ok && c.GetRequest().GetInput().GetName() == ltp.StabilityUpdate {
			if err := gate.enter(ctx, e); err != nil {
				return nil, err
			}
		}
		return pass()
	})
	e.process = r.worker(x.address)
	return e
}

func anyone(*engine) bool { return true }

const (
	backlog = 60 // orders that wait
	// part of them is released before the fault: more than the canaries.
	part = 20
)

// midDrain brings two engines into the middle of a drain, and returns the orders, the
// turnstile, and the engine that releases.
func (r *rig) midDrain(prefix string) (ids []string, gate *turnstile, active *engine) {
	r.T.Helper()
	r.observer(r.Orders)
	gate = newTurnstile()
	r.engine(gate)
	r.engine(gate)
	r.Until(r.seen, ltp.Stable)
	end := r.Outage()
	r.Until(r.seen, ltp.Unstable)
	ids = r.defers(prefix, backlog)
	gate.allow(part)
	end()
	return ids, gate, gate.await(r.T, part, anyone)
}

// TestEngineKilledDuringAPageReleasesEveryOrderOnce: some orders have the release, some have it
// without the engine knowing, the rest has none. The other engine goes on.
func TestEngineKilledDuringAPageReleasesEveryOrderOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	ids, gate, active := r.midDrain("killed")
	active.Kill()
	gate.open()
	r.executedOnce(ids)
}

// TestEngineFrozenDuringAPageReleasesEveryOrderOnce: the other engine takes over, and when it is in
// the middle itself the first one thaws and goes on where it was.
func TestEngineFrozenDuringAPageReleasesEveryOrderOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	ids, gate, active := r.midDrain("frozen")
	r.freeze(active.process)
	gate.let(active) // what it had asked for is done while it is frozen
	other := func(e *engine) bool { return e != active }
	gate.await(t, part, other)
	gate.allow(part / 2)
	gate.await(t, part+part/2, other)
	active.Thaw()
	gate.open()
	r.executedOnce(ids)
}

// TestTemporalKilledDuringTheDrainLosesNoOrder: it comes back on its own data, and no
// other process needs a restart.
func TestTemporalKilledDuringTheDrainLosesNoOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	ids, gate, active := r.midDrain("temporal")
	r.KillServer()
	gate.open()
	r.Serve()
	r.executedOnce(ids)
	select {
	case <-active.Ended:
		assert.Failf(t, "it ended", "%s", active)
	default:
	}
}

// TestStateThatFlipsDuringTheDrainLosesNoOrder: an operator holds and releases, and the
// database fails and comes back, again and again before the backlog is drained. What
// was released under a state that is no longer arrives late, each time.
func TestStateThatFlipsDuringTheDrainLosesNoOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.Orders)
	gate := newTurnstile()
	r.engine(gate)
	r.Until(r.seen, ltp.Stable)
	end := r.Outage()
	r.Until(r.seen, ltp.Unstable)
	ids := r.defers("flip", backlog)
	end()
	for flip := range 10 {
		gate.await(t, 0, anyone)
		down := r.Until(r.seen, ltp.Recovering).Epoch
		mend := r.Release
		if flip%2 == 0 {
			r.Hold("flip " + number(flip))
		} else {
			mend = r.Outage()
		}
		down = max(down, r.Until(r.seen, ltp.Unstable).Epoch)
		gate.allow(4) // releases of a recovery that is over
		mend()
		require.Greater(t, r.Until(r.seen, ltp.Recovering).Epoch, down)
	}
	gate.open()
	r.executedOnce(ids)
	recovered := 0
	o, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(t, err)
	for _, f := range o.Frames {
		if f.Orientation.State == ltp.Recovering {
			recovered++
		}
	}
	assert.GreaterOrEqual(t, recovered, 11)
}

// TestBacklogOfManyPagesIsReleasedInOrderAfterTheEngineDies: more wait than a page of the listing holds, so that the
// order of release is bound by something.
func TestBacklogOfManyPagesIsReleasedInOrderAfterTheEngineDies(t *testing.T) {
	orders := setting("FAULTS_BACKLOG", 0)
	if orders == 0 {
		t.Skip("FAULTS_BACKLOG says how many orders wait; make faults has 1,200 of them wait")
	}
	r := newRig(t, "")
	r.observer(r.Orders)
	gate := newTurnstile()
	r.engine(gate)
	r.engine(gate)
	r.Until(r.seen, ltp.Stable)
	r.Hold("to have many wait")
	r.Until(r.seen, ltp.Unstable)
	ids := r.defers("many", orders)
	gate.allow(orders / 2)
	r.Release()
	gate.await(t, orders/2, anyone).Kill()
	gate.open()
	r.executedOnce(ids)
}

// TestVisibilityThatLagsFailsAndRepeatsPagesStrandsNoOrder: the store shows nothing of the backlog
// when recovery is declared, then fails, then shows the same old page again and again.
// Every order is released by a sweep, and none waits for its backstop.
func TestVisibilityThatLagsFailsAndRepeatsPagesStrandsNoOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.Orders)
	x, v := newExchange(t, r.Address), &visibility{}
	x.on(v.handle)
	r.worker(x.address)
	r.Until(r.seen, ltp.Stable)
	end := r.Outage()
	r.Until(r.seen, ltp.Unstable)
	ids := r.defers("vis", backlog)
	asked := func(n int64) {
		t.Helper()
		r.Eventually("the store is asked", func() bool { return v.asks.Load() >= n })
	}
	v.set("empty", always)
	end()
	r.Until(r.seen, ltp.Stable) // as far as anybody can see
	asked(3)
	for _, id := range ids[:3] {
		assert.Equal(t, ltp.Deferred, r.Status(id).State)
	}
	v.set("failing", always)
	asked(3)
	v.set("", 0)
	asked(2)
	v.set("repeating", always)
	asked(4)
	v.set("", 0)
	r.executedOnce(ids)
	for _, id := range ids {
		story, err := r.Reader().Order(r.Ctx, id)
		require.NoError(t, err)
		for _, f := range story.Frames {
			if f.Request != nil {
				assert.NotEqual(t, ltp.WokenByTimer, f.Request.Woken, id)
			}
		}
	}
}
