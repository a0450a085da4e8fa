package replay

import (
	"context"
	"sync"
)

// failuresToCanaries is how many times as many setbacks in a row as there are canaries
// bring the canaries back.
const failuresToCanaries = 2

// canaries releases the first of the orders and waits for their outcomes. It returns how
// many it took; whether the rest may follow is in canariesPassed.
func (r *release) canaries(ctx context.Context, orders []waiting) (int, error) {
	r.progress.stage(PhaseCanary)
	some := orders[:min(r.Pace.Canary, len(orders))]
	var mu sync.Mutex
	outcomes := map[outcome]int{}
	for _, o := range some {
		now, err := r.admitted(ctx)
		if err == nil && now.Steering.Rate > 0 { // an operator's rate is for canaries, too; the ramp begins after them
			err = r.turn(ctx)
		}
		if err != nil {
			return 0, err
		}
		if o, claimed := r.claim(o); claimed {
			err = r.releaseOrder(ctx, o, func(out outcome) {
				mu.Lock()
				defer mu.Unlock()
				outcomes[out]++
			})
		}
		if err != nil {
			return 0, err
		}
	}
	r.onWay.Wait()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	switch good, bad := outcomes[committed], outcomes[setback]; {
	case bad > 0 && bad >= good:
		r.Log.Warn("canaries did not commit; some more are tried before the rest", "component", r.in.Component,
			"committed", good, "failed", bad)
		return len(some), sleep(ctx, r.Pace.Timeout)
	case good == 0 && outcomes[unsent] > 0:
		return len(some), sleep(ctx, r.Pace.Pass)
	case good > 0, len(some) == 0:
		r.consecutiveFailures.Store(0)
		r.canariesPassed.Store(true)
	} // else they say nothing of the component: the next may
	return len(some), nil
}

// ramp releases an order when its turn has come.
func (r *release) ramp(ctx context.Context, o waiting) error {
	r.progress.stage(PhaseRamp)
	if err := r.turn(ctx); err != nil {
		return err
	}
	o, claimed := r.claim(o)
	if !claimed {
		return nil
	}
	return r.releaseOrder(ctx, o, func(outcome) {})
}
