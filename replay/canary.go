package replay

import (
	"context"
	"slices"
	"sync"

	"github.com/ltp-node/ltp"
)

// failuresToCanaries is how many times as many setbacks in a row as there are canaries
// bring the canaries back.
const failuresToCanaries = 2

// canaries releases the first of the orders and waits for their outcomes. It returns how
// many it took; whether the rest may follow is in canariesPassed. Orders that failed as
// canaries of late are moved behind the others: some bad orders would hold up all for as
// long as they are the oldest.
//
// One that commits opens the way. Where none does, and three failed or one is known to
// have failed for a fault that others share, the component is not fit, whatever its
// observer sees: that is signalled to its Orientation. One order that fails for a reason that nobody
// knows says too little.
func (r *release) canaries(ctx context.Context, orders []waiting) (int, error) {
	r.progress.stage(PhaseCanary)
	slices.SortStableFunc(orders, func(a, b waiting) int { return r.failedBefore(a) - r.failedBefore(b) })
	some := orders[:min(r.Pace.Canary, len(orders))]
	var tried canaries
	for _, o := range some {
		now, err := r.admitted(ctx)
		if err == nil && now.ReplayControl.Rate > 0 { // an operator's rate is for canaries, too; the ramp begins after them
			err = r.turn(ctx)
		}
		if err != nil {
			return 0, err
		}
		if o, claimed := r.claim(o); claimed {
			err = r.releaseOrder(ctx, o, func(out outcome, a ltp.Answer) {
				tried.add(o.id, out, a)
				if out == setback {
					r.failedCanaries.add(o.id, struct{}{})
				}
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
	switch good, bad := tried.outcomes[committed], tried.outcomes[setback]; {
	case good > 0 && good > bad, len(some) == 0:
		r.consecutiveFailures.Store(0)
		r.canariesPassed.Store(true)
	case good == 0 && (tried.shared || len(tried.failed) >= ltp.FailingOrders):
		r.Log.Warn("no canary committed", "component", r.in.Component, "failed", bad, "error", tried.failed[0].Error)
		r.reportSetback(ctx, tried.failed)
		return len(some), sleep(ctx, r.Pace.Timeout)
	case bad > 0:
		r.Log.Warn("canaries did not commit; some more are tried before the rest", "component", r.in.Component,
			"committed", good, "failed", bad)
		return len(some), sleep(ctx, r.Pace.Timeout)
	case tried.outcomes[unsent] > 0:
		return len(some), sleep(ctx, r.Pace.Pass)
	} // else they say nothing of the component: the next may
	return len(some), nil
}

// canaries are what came of the canaries of one round.
type canaries struct {
	mu       sync.Mutex
	outcomes [unsent + 1]int
	failed   []ltp.FailedWrite
	shared   bool // one failed for no fault of its own
}

func (c *canaries) add(workflowID string, out outcome, a ltp.Answer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.outcomes[out]++
	if out == setback && a.Result.Failed() {
		c.shared = c.shared || a.Cause == ltp.CauseComponent
		id, _ := ltp.OrderID(workflowID)
		c.failed = append(c.failed, ltp.FailedWrite{Order: id, Code: a.Code, Error: a.Error, Hung: a.Result == ltp.ResultUnknown})
	}
}

// failedBefore is 1 for an order that failed as a canary of late, else 0.
func (r *release) failedBefore(o waiting) int {
	if _, failed := r.failedCanaries.get(o.id); failed {
		return 1
	}
	return 0
}

// reportSetback signals to the Orientation that the component is not fit, in the words of the
// orders that failed. It is UNSTABLE then, and the release ends as that arrives.
func (r *release) reportSetback(ctx context.Context, failed []ltp.FailedWrite) {
	report := ltp.FailedWrites{
		Component: r.in.Component, Worker: r.Worker, Epoch: r.in.Epoch, Orders: failed, Setback: true,
	}
	if err := r.Client.SignalWorkflow(ctx, ltp.OrientationWorkflowID(r.in.Component), "", ltp.FailingSignal, report); err != nil {
		r.Log.Warn("the setback of the canaries is not reported", "component", r.in.Component, "error", err)
	}
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
	return r.releaseOrder(ctx, o, func(outcome, ltp.Answer) {})
}
