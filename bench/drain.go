package main

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

var drainBenchmark = benchmark{
	name: "drain", title: "Drain",
	sides: []string{product, bareSide, bareUpdate}, rivals: []string{bareSide, bareUpdate},
	measures: []measure{
		{key: "seconds", label: "from RECOVERING, or from the first release, to the last commit, s", decimals: 2},
		{key: "first", label: "to the first commit, s", decimals: 2},
		{key: "ended", label: "to the end of the last workflow, s", decimals: 2},
		{key: "server", label: "CPU of the server, ms/order", decimals: 2},
		{key: "here", label: "CPU of worker and engine, ms/order", decimals: 2},
		{key: "events", label: "history events, from start to end", decimals: 1, count: true},
		{key: "transitions", label: "state transitions, from start to end", decimals: 1, count: true},
		{key: "bytes", label: "history bytes, from start to end", decimals: 0, count: true},
	},
	aims: func(r Result) []Aim {
		m := measure{key: "seconds", label: "speed to the last commit", decimals: 2}
		server := measure{key: "server", label: "CPU of the server, ms/order", decimals: 2}
		return []Aim{
			r.atLeast(m, product, bareSide, 1.1),
			r.atMost(product, measure{key: m.key, label: "seconds to the last commit", decimals: 2}, 4.8),
			r.atLeast(m, product, bareUpdate, 0.9),
			r.atMostOf(server, product, bareSide, 0.55),
		}
	},
	setting: func(s sizes) string {
		return fmt.Sprintf("%s wait; product: deferred, then released by RECOVERING at the default pace; bare: each waits for a signal, which %d goroutines send, then one activity does the same write; bare-update: each waits for an Update, which as many goroutines send as the product has releases in flight (%d), each awaiting the answer, and a local activity does the write", words.Plural(s.drained, "order"), s.clients, defaultInFlight)
	},
	run: func(ctx context.Context, b *bench) ([]Round, error) {
		return b.inTurn([]string{product, bareSide, bareUpdate}, func(side string, r *rig) (Figures, error) {
			f, err := b.drain(ctx, r, side, b.drained)
			if err == nil {
				b.report("round %d of %d, %s: %.2f s, the first after %.2f s, CPU %.2f and %.2f ms/order", r.round, b.rounds, side, f["seconds"], f["first"], f["server"], f["here"])
			}
			return f, err
		}, func() (*rig, error) { return b.open(ctx) })
	},
}

// drain has n orders wait, and releases them.
func (b *bench) drain(ctx context.Context, r *rig, side string, n int) (Figures, error) {
	orders, err := b.backlogOf(ctx, r, side, n)
	if err != nil {
		return nil, err
	}
	f, from, err := b.drainBacklog(ctx, r, side, orders)
	if err != nil {
		return nil, err
	}
	ended, err := r.lastEnd(ctx, orders, workflowID(side))
	f["ended"] = ended.Sub(from).Seconds()
	return f, err
}

// backlogOf makes n orders of a side that wait.
func (b *bench) backlogOf(ctx context.Context, r *rig, side string, n int) ([]ltp.Order, error) {
	switch side {
	case bareSide:
		return b.bareBacklog(ctx, r, bareSignalledWait, n)
	case bareUpdate:
		return b.bareBacklog(ctx, r, bareUpdatedWait, n)
	}
	return b.backlog(ctx, r, n)
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
	if err := awaitDone(ctx, "orders to be deferred", func() bool { return r.meter.deferred.Load() >= deferred }); err != nil {
		return nil, err
	}
	return orders, r.settle(ctx)
}

// bareBacklog makes n bare workflows that wait.
func (b *bench) bareBacklog(ctx context.Context, r *rig, workflowType string, n int) ([]ltp.Order, error) {
	waiting := r.bare.waiting.Load()
	orders := r.orders("wait-"+workflowType, n)
	_, _, err := each(ctx, orders, b.clients, func(ctx context.Context, o ltp.Order) error {
		_, err := r.bare.submit(ctx, workflowType, bareInput{Order: o})
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := awaitDone(ctx, "bare workflows to wait", func() bool { return r.bare.waiting.Load() >= waiting+int64(n) }); err != nil {
		return nil, err
	}
	return orders, r.settle(ctx)
}

// drainBacklog releases a backlog, measures until its last commit, and looks at what it
// cost. It returns when that began.
func (b *bench) drainBacklog(ctx context.Context, r *rig, side string, orders []ltp.Order) (f Figures, from time.Time, err error) {
	drained, from, err := b.measureRelease(ctx, r, side, orders)
	if err != nil {
		return nil, from, err
	}
	if f, err = r.cost(ctx, orders, workflowID(side)); err != nil {
		return nil, from, err
	}
	maps.Copy(f, drained)
	return f, from, r.allWritten(ctx, orders)
}

// measureRelease releases a backlog and measures until its last commit. It returns when
// that began.
func (b *bench) measureRelease(ctx context.Context, r *rig, side string, orders []ltp.Order) (f Figures, from time.Time, err error) {
	written := &r.bare.written
	if side == product {
		written = &r.meter.executed
	}
	await := written.begin(len(orders))
	before, since := r.cpu(), time.Now()
	switch from = since; side {
	case bareSide:
		_, _, err = each(ctx, orders, b.clients, r.signal) // the oldest first
	case bareUpdate:
		_, _, err = each(ctx, orders, b.pace.InFlight, r.update)
	default:
		err = r.unhold(ctx)
	}
	if err != nil {
		return nil, from, err
	}
	first, last, err := await(ctx)
	if err != nil {
		return nil, from, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, from, err
	}
	after := r.cpu()
	if side == product {
		if from, err = r.published(ctx, ltp.Recovering, since); err != nil {
			return nil, from, err
		}
		if err := r.until(ctx, ltp.Stable); err != nil {
			return nil, from, err
		}
	}
	f = Figures{"first": first.Sub(from).Seconds(), "seconds": last.Sub(from).Seconds()}
	f["server"], f["here"] = after.since(before, len(orders))
	return f, from, nil
}

// workflowID is how a side names the workflow of an order.
func workflowID(side string) func(order string) string {
	if side == product {
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

func (r *rig) signal(ctx context.Context, o ltp.Order) error {
	return r.client.SignalWorkflow(ctx, bareID(o.ID), "", bareRelease, nil)
}

// update releases a bare order and returns when it was written.
func (r *rig) update(ctx context.Context, o ltp.Order) error {
	handle, err := r.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: bareID(o.ID), UpdateName: bareRelease, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, nil)
	}
	return err
}
