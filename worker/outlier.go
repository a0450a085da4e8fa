package worker

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"go.temporal.io/sdk/worker"

	"github.com/ltp-node/ltp"
)

const (
	// trialEvery is how often a suspected worker tries the orders' way.
	// A component that fails for this worker alone may be fit for less than a second each time.
	trialEvery = 250 * time.Millisecond
	// failsToEject is how many trials must find the worker alone: a component may be fit
	// again a moment before the way works for all.
	failsToEject = 2
	// trialWithin is how long a trial, and a question to Temporal, may take.
	trialWithin = 3 * time.Second
	// unstickAfter is when the task in which an order failed has ended: that makes the order
	// stick to the worker anew.
	unstickAfter = time.Second
	// quietAfter ends an ejection: where nobody has executed an order for as long, the
	// others may fail as well, and all are judged again.
	quietAfter = 20 * time.Second
	// passesToReturn is how many trials must pass in a row to end an ejection: a link that
	// fails now and then would have the worker stop and start for ever.
	passesToReturn = 12
)

// outlier runs the worker of orders, and ejects it while it fails alone: see ltp.Outlier.
// One that stops to poll gives its sticky queue up, so that the orders it has cached go to
// the other workers at once. A worker that commits an order is none that fails: so two that
// suspect each other both stay, and so does the last.
type outlier struct {
	make func() worker.Worker
	// try tries the orders' way into the database; nil suspects nothing.
	try func(context.Context) error
	// fit reports whether a component is fit; else nobody executes orders.
	fit func(component string) bool
	// executed returns when the order ended that was executed last, if after since.
	executed func(ctx context.Context, since time.Time) (time.Time, error)
	// unstick has the next task of an order go to any worker.
	unstick func(ctx context.Context, orderID string) error
	ejected func(bool) // may be nil
	log     *slog.Logger

	running  worker.Worker // of start, and then of watch
	ctx      context.Context
	cancel   context.CancelFunc
	watching sync.WaitGroup

	mu        sync.Mutex
	suspected bool
	committed bool // an order of this worker's, since it was suspected
}

// start begins to run orders.
func (o *outlier) start() error {
	o.ctx, o.cancel = context.WithCancel(context.Background())
	o.running = o.make()
	if err := o.running.Start(); err != nil {
		o.cancel()
		o.running.Stop() // what of it has started already
		return err
	}
	return nil
}

// stop lets what runs finish, for some seconds at most.
func (o *outlier) stop() {
	if o.cancel == nil { // it was never started
		return
	}
	o.mu.Lock()
	o.cancel()
	o.mu.Unlock()
	o.watching.Wait()
	if o.running != nil {
		o.running.Stop()
	}
}

// suspect has the worker watch itself after an order has failed, at a time of Temporal's,
// and then its own trial of the way into a component. The order may go to another worker
// the next time. It returns at once.
func (o *outlier) suspect(component, orderID string, at time.Time) {
	time.AfterFunc(unstickAfter, func() {
		if _, err := withTrialTimeout(o.ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, o.unstick(ctx, orderID) }); err != nil {
			o.log.Debug("an order that failed stays with this worker", "order", orderID, "error", err)
		}
	})
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.suspected || o.try == nil || o.ctx.Err() != nil {
		return
	}
	o.suspected, o.committed = true, false
	o.watching.Go(func() { o.watch(component, at) })
}

// commit notes that an order of this worker's has committed: it does not fail.
func (o *outlier) commit() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.committed = true
}

// hasCommitted reports whether an order of this worker's has committed since it was suspected.
func (o *outlier) hasCommitted() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.committed
}

// watch tries the orders' way until a trial passes, and ejects the worker where it fails
// alone.
func (o *outlier) watch(component string, at time.Time) {
	defer func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.suspected = false
	}()
	tick := time.NewTicker(trialEvery)
	defer tick.Stop()
	var judge ltp.Outlier
	fails := 0
	for {
		select {
		case <-o.ctx.Done():
			return
		case <-tick.C:
		}
		if o.hasCommitted() {
			return
		}
		if !o.fit(component) { // nobody executes orders
			continue
		}
		executed, err := withTrialTimeout(o.ctx, func(ctx context.Context) (time.Time, error) { return o.executed(ctx, at) })
		if err != nil {
			continue
		}
		failure := o.trial()
		if failure == nil || o.ctx.Err() != nil {
			return
		}
		if judge.Failed(executed) {
			fails++
		}
		if fails < failsToEject {
			continue
		}
		if o.eject(executed, failure) {
			return
		}
		judge, fails = ltp.Outlier{}, 0
	}
}

func (o *outlier) trial() error {
	_, err := withTrialTimeout(o.ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, o.try(ctx) })
	return err
}

func withTrialTimeout[T any](ctx context.Context, question func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, trialWithin)
	defer cancel()
	return question(ctx)
}

// eject runs no orders until some trials pass in a row, which it reports, or nobody else
// executes orders either.
func (o *outlier) eject(executed time.Time, failure error) (passed bool) {
	o.log.Warn("this worker runs no orders: its way into the order database fails, and other workers' does not", "error", failure)
	o.running.Stop()
	o.running = nil
	o.report(true)
	tick := time.NewTicker(trialEvery)
	defer tick.Stop()
	passes := 0
	for last := time.Now(); passes < passesToReturn && time.Since(last) < quietAfter; {
		select {
		case <-o.ctx.Done():
			return false
		case <-tick.C:
		}
		if newest, err := withTrialTimeout(o.ctx, func(ctx context.Context) (time.Time, error) { return o.executed(ctx, executed) }); err == nil && !newest.IsZero() {
			executed, last = newest, time.Now()
		}
		if passes++; o.trial() != nil {
			passes = 0
		}
	}
	passed = passes >= passesToReturn
	for o.running = o.make(); ; o.running = o.make() {
		err := o.running.Start()
		if err == nil {
			break
		}
		o.running.Stop() // what of it has started already
		o.running = nil
		o.log.Warn("this worker cannot run orders again yet", "error", err)
		select {
		case <-o.ctx.Done():
			return passed
		case <-tick.C:
		}
	}
	o.report(false)
	o.log.Info("this worker runs orders again", "its way works", passed)
	return passed
}

func (o *outlier) report(ejected bool) {
	if o.ejected != nil {
		o.ejected(ejected)
	}
}
