package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/ltp-node/ltp"
)

var drainBenchmark = benchmark{
	name: "drain", title: "Drain",
	sides: []string{"product", "bare"}, ratio: true,
	measures: []measure{
		{key: "seconds", label: "from RECOVERING, or from the first signal, to the last commit, s", decimals: 2},
		{key: "ended", label: "to the end of the last workflow, s", decimals: 2},
		{key: "server", label: "CPU of the server, ms/order", decimals: 2},
		{key: "here", label: "CPU of worker and engine, ms/order", decimals: 2},
		{key: "events", label: "history events, from start to end", decimals: 1, count: true},
		{key: "transitions", label: "state transitions, from start to end", decimals: 1, count: true},
		{key: "bytes", label: "history bytes, from start to end", decimals: 0, count: true},
	},
	aims: func(r Result) []Aim {
		m := measure{key: "seconds", label: "seconds to the last commit", decimals: 2}
		return []Aim{r.atLeast(m, "product", "bare", 1), r.atMost("product", m, 5)}
	},
	setting: func(s sizes) string {
		return fmt.Sprintf("%s wait; product: deferred, then released by RECOVERING at the default pace; bare: each waits for a signal, which %d goroutines send, then one activity does the same write", orderCount(s.drained), s.clients)
	},
	run: func(ctx context.Context, b *bench) ([]Round, error) {
		return b.inTurn([]string{"product", "bare"}, func(side string, r *rig) (Figures, error) {
			f, err := b.drain(ctx, r, side, b.drained)
			if err == nil {
				b.say("round %d of %d, %s: %.2f s, CPU of the server %.2f ms/order", r.round, b.rounds, side, f["seconds"], f["server"])
			}
			return f, err
		}, func() (*rig, error) { return b.open(ctx) })
	},
}

// drain has n orders wait and go.
func (b *bench) drain(ctx context.Context, r *rig, side string, n int) (Figures, error) {
	var orders []ltp.Order
	var err error
	if side == "product" {
		orders, err = b.backlog(ctx, r, n)
	} else {
		orders, err = b.bareBacklog(ctx, r, n)
	}
	if err != nil {
		return nil, err
	}
	f, from, err := b.goOn(ctx, r, side, orders)
	if err != nil {
		return nil, err
	}
	ended, err := r.lastEnd(ctx, orders, workflowID(side))
	f["ended"] = ended.Sub(from).Seconds()
	return f, err
}

// backlog makes n deferred orders of the product.
func (b *bench) backlog(ctx context.Context, r *rig, n int) ([]ltp.Order, error) {
	if err := r.hold(ctx); err != nil {
		return nil, err
	}
	deferred := r.meter.deferred.Load() + int64(n)
	orders := r.orders("wait-product", n)
	if _, _, err := each(ctx, orders, b.clients, r.submit); err != nil {
		return nil, err
	}
	if err := await(ctx, "orders to be deferred", func() bool { return r.meter.deferred.Load() >= deferred }); err != nil {
		return nil, err
	}
	return orders, r.settle(ctx)
}

// bareBacklog makes n waiting bare workflows.
func (b *bench) bareBacklog(ctx context.Context, r *rig, n int) ([]ltp.Order, error) {
	waiting := r.bare.waiting.Load()
	orders := r.orders("wait-bare", n)
	_, _, err := each(ctx, orders, b.clients, func(ctx context.Context, o ltp.Order) error {
		_, err := r.bare.submit(ctx, bareWaiting, bareInput{Order: o})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := await(ctx, "bare workflows to wait", func() bool { return r.bare.waiting.Load() >= waiting+int64(n) }); err != nil {
		return nil, err
	}
	return orders, r.settle(ctx)
}

// goOn releases a backlog, measures until its last commit, and looks at what it cost. It
// returns when that began.
func (b *bench) goOn(ctx context.Context, r *rig, side string, orders []ltp.Order) (f Figures, from time.Time, err error) {
	drained, from, err := b.letGo(ctx, r, side, orders)
	if err != nil {
		return nil, from, err
	}
	if f, err = r.cost(ctx, orders, workflowID(side)); err != nil {
		return nil, from, err
	}
	maps.Copy(f, drained)
	return f, from, r.allWritten(ctx, orders)
}

// letGo releases a backlog and measures until its last commit. It returns when that began.
func (b *bench) letGo(ctx context.Context, r *rig, side string, orders []ltp.Order) (f Figures, from time.Time, err error) {
	before, since := r.cpu(), time.Now()
	release := r.releaseBare
	if side == "product" {
		release = r.release
	}
	from, last, err := release(ctx, orders, b.clients)
	if err != nil {
		return nil, from, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, from, err
	}
	after := r.cpu()
	if side == "product" {
		if from, err = r.published(ctx, ltp.Recovering, since); err != nil {
			return nil, from, err
		}
		if err := r.until(ctx, ltp.Stable); err != nil {
			return nil, from, err
		}
	}
	f = Figures{"seconds": last.Sub(from).Seconds()}
	f["server"], f["here"] = after.since(before, len(orders))
	return f, from, nil
}

// workflowID is how a side names the workflow of an order.
func workflowID(side string) func(order string) string {
	if side == "product" {
		return ltp.OrderWorkflowID
	}
	return bareID
}

// lastEnd is when the last of the workflows ended.
func (r *rig) lastEnd(ctx context.Context, orders []ltp.Order, id func(string) string) (last time.Time, err error) {
	var mu sync.Mutex
	_, _, err = each(ctx, orders, lookers, func(ctx context.Context, o ltp.Order) error {
		d, err := r.client.DescribeWorkflowExecution(ctx, id(o.ID), "")
		if err != nil {
			return fmt.Errorf("look up order %s: %w", o.ID, err)
		}
		mu.Lock()
		defer mu.Unlock()
		if at := d.GetWorkflowExecutionInfo().GetCloseTime().AsTime(); at.After(last) {
			last = at
		}
		return nil
	})
	return last, err
}

// lookers are how many look up workflows at once.
const lookers = 8

// release has the product replay what waits; when it began is in history.
func (r *rig) release(ctx context.Context, orders []ltp.Order, _ int) (from, last time.Time, err error) {
	done := r.meter.executed.Load() + int64(len(orders))
	if err := r.unhold(ctx); err != nil {
		return from, last, err
	}
	err = await(ctx, "the backlog to be drained", func() bool { return r.meter.executed.Load() >= done })
	return from, time.Unix(0, r.meter.last.Load()), err
}

// releaseBare signals what waits, the oldest first.
func (r *rig) releaseBare(ctx context.Context, orders []ltp.Order, signallers int) (from, last time.Time, err error) {
	done := r.bare.written.Load() + int64(len(orders))
	from = time.Now()
	_, _, err = each(ctx, orders, signallers, func(ctx context.Context, o ltp.Order) error {
		return r.client.SignalWorkflow(ctx, bareID(o.ID), "", bareSignal, nil)
	})
	if err != nil {
		return from, last, err
	}
	err = await(ctx, "the bare backlog to be drained", func() bool { return r.bare.written.Load() >= done })
	return from, time.Unix(0, r.bare.last.Load()), err
}
