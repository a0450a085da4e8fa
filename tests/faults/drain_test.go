package faults

import (
	"context"
	"slices"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
)

// Faults in the middle of a drain: a turnstile stops the release of orders where the
// test wants it, and lets what it held up through when that is out of date.

// through has the releases of an exchange go through a turnstile.
func (x *exchange) through(s *turnstile) {
	x.on(func(ctx context.Context, call any, pass func() (any, error)) (any, error) {
		if c, ok := call.(*workflowservice.SignalWorkflowExecutionRequest); ok && c.GetSignalName() == ltp.StabilitySignal {
			if err := s.enter(ctx); err != nil {
				return nil, err
			}
		}
		return pass()
	})
}

// engine is a worker with a turnstile before what it releases.
type engine struct {
	*process
	gate *turnstile
}

func (r *rig) engine() engine {
	r.t.Helper()
	x, gate := newExchange(r.t, r.address), newTurnstile()
	x.through(gate)
	return engine{r.worker(x.address), gate}
}

// releasing waits until one of the engines holds up releases, and returns it.
func releasing(r *rig, engines []engine) (which int) {
	r.t.Helper()
	r.eventually("an engine releases", func() bool {
		which = slices.IndexFunc(engines, func(e engine) bool {
			e.gate.mu.Lock()
			defer e.gate.mu.Unlock()
			return e.gate.held > 0
		})
		return which >= 0
	})
	return which
}

const (
	backlog = 60 // orders that wait
	// part of them is released before the fault: more than the canaries.
	part = 20
)

// midDrain brings two engines into the middle of a drain, and returns the orders, the
// engine that releases and the one that does not.
func (r *rig) midDrain(prefix string) (ids []string, active, other engine) {
	r.t.Helper()
	r.observer(r.orders)
	engines := []engine{r.engine(), r.engine()}
	r.until(ltp.Stable)
	end := r.outage()
	r.until(ltp.Unstable)
	ids = r.defers(prefix, backlog)
	end()
	which := releasing(r, engines)
	active, other = engines[which], engines[1-which]
	active.gate.allow(part)
	active.gate.await(r.t, part, 1)
	return ids, active, other
}

// TestEngineKilledInTheMiddleOfAPage: some orders have the signal, some have it
// without the engine knowing, the rest has none. The other engine goes on.
func TestEngineKilledInTheMiddleOfAPage(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	ids, active, other := r.midDrain("killed")
	active.kill()
	other.gate.open()
	r.executedOnce(ids)
}

// TestEngineFrozenInTheMiddleOfAPage: the other engine takes over, and when it is in
// the middle itself the first one thaws and goes on where it was.
func TestEngineFrozenInTheMiddleOfAPage(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	ids, active, other := r.midDrain("frozen")
	r.freeze(active.process)
	active.gate.open() // what it had asked for is done while it is frozen
	other.gate.await(t, 0, 1)
	other.gate.allow(part)
	other.gate.await(t, part, 0)
	active.thaw()
	other.gate.open()
	r.executedOnce(ids)
}

// TestTemporalKilledInTheMiddleOfTheDrain: it comes back on its own data, and no
// other process needs a restart.
func TestTemporalKilledInTheMiddleOfTheDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	ids, active, other := r.midDrain("temporal")
	r.killServer()
	active.gate.open()
	other.gate.open()
	r.serve()
	r.executedOnce(ids)
	for _, p := range []*process{active.process, other.process} {
		select {
		case <-p.ended:
			assert.Failf(t, "it ended", "%s", p)
		default:
		}
	}
}

// TestStateFlipsTenTimesInTheMiddleOfTheDrain: an operator holds and releases, and the
// database fails and comes back, again and again before the backlog is drained. What
// was released under a state that is no longer arrives late, each time.
func TestStateFlipsTenTimesInTheMiddleOfTheDrain(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.orders)
	e := r.engine()
	r.until(ltp.Stable)
	end := r.outage()
	r.until(ltp.Unstable)
	ids := r.defers("flip", backlog)
	end()
	for flip := range 10 {
		e.gate.await(t, 0, 1)
		down := r.until(ltp.Recovering).Epoch
		mend := r.release
		if flip%2 == 0 {
			r.hold("flip " + number(flip))
		} else {
			mend = r.outage()
		}
		down = max(down, r.until(ltp.Unstable).Epoch)
		e.gate.allow(4) // the word of a recovery that is over
		mend()
		require.Greater(t, r.until(ltp.Recovering).Epoch, down)
	}
	e.gate.open()
	r.executedOnce(ids)
	recovered := 0
	o, err := r.reader().Orientation(r.ctx, ltp.DefaultComponent)
	require.NoError(t, err)
	for _, f := range o.Frames {
		if f.Orientation.State == ltp.Recovering {
			recovered++
		}
	}
	assert.GreaterOrEqual(t, recovered, 11)
}

// TestManyWaitAndTheEngineDies: more wait than a page of the listing holds, so that the
// order of release is bound by something.
func TestManyWaitAndTheEngineDies(t *testing.T) {
	orders := setting("FAULTS_BACKLOG", 0)
	if orders == 0 {
		t.Skip("FAULTS_BACKLOG says how many orders wait; make faults has 1,200 of them wait")
	}
	r := newRig(t, "")
	r.observer(r.orders)
	engines := []engine{r.engine(), r.engine()}
	r.until(ltp.Stable)
	r.hold("to have many wait")
	r.until(ltp.Unstable)
	ids := r.defers("many", orders)
	r.release()
	which := releasing(r, engines)
	engines[which].gate.allow(orders / 2)
	engines[which].gate.await(t, orders/2, 1)
	engines[which].kill()
	engines[1-which].gate.open()
	r.executedOnce(ids)

}

// TestVisibilityThatLagsFailsAndRepeatsItself: the store shows nothing of the backlog
// when recovery is declared, then fails, then shows the same old page again and again.
// Every order is released by a sweep, and none waits for its backstop.
func TestVisibilityThatLagsFailsAndRepeatsItself(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.orders)
	x, v := newExchange(t, r.address), &visibility{}
	x.on(v.handle)
	r.worker(x.address)
	r.until(ltp.Stable)
	end := r.outage()
	r.until(ltp.Unstable)
	ids := r.defers("vis", backlog)
	asked := func(n int64) {
		t.Helper()
		r.eventually("the store is asked", func() bool { return v.asks.Load() >= n })
	}
	v.set("empty", always)
	end()
	r.until(ltp.Stable) // as far as anybody can see
	asked(3)
	for _, id := range ids[:3] {
		assert.Equal(t, ltp.Deferred, r.status(id).State)
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
		story, err := r.reader().Order(r.ctx, id)
		require.NoError(t, err)
		for _, f := range story.Frames {
			if f.Request != nil {
				assert.NotEqual(t, ltp.WokenByTimer, f.Request.Woken, id)
			}
		}
	}
}
