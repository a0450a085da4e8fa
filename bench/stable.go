package main

import (
	"context"
	"fmt"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

var stableBenchmark = benchmark{
	name: "stable", title: "STABLE path",
	sides: []string{product, bareSide, bareLocal}, rivals: []string{bareSide, bareLocal},
	measures: []measure{
		{key: "rate", label: "orders/s", decimals: 0, more: true},
		{key: "p50", label: "start to end, p50 ms", decimals: 1},
		{key: "p99", label: "start to end, p99 ms", decimals: 1},
		{key: "server", label: "CPU of the server, ms/order", decimals: 2},
		{key: "here", label: "CPU of worker and clients, ms/order", decimals: 2},
		{key: "events", label: "history events", decimals: 1, count: true},
		{key: "transitions", label: "state transitions", decimals: 1, count: true},
		{key: "bytes", label: "history bytes", decimals: 0, count: true},
	},
	aims: func(r Result) []Aim {
		m := measure{key: "rate", label: "orders/s", more: true}
		return []Aim{r.atLeast(m, product, bareSide, 1.8), r.atLeast(m, product, bareLocal, 0.9)}
	},
	setting: func(s sizes) string {
		return fmt.Sprintf("%s a side and round from %d clients, each of which waits for its order to end; bare is a workflow with one activity that does the same write, and bare-local one with a local activity: the limit", words.Plural(s.stable, "order"), s.clients)
	},
	run: func(ctx context.Context, b *bench) ([]Round, error) {
		return b.inTurn([]string{product, bareSide, bareLocal}, func(side string, r *rig) (Figures, error) {
			f, err := b.stablePath(ctx, r, side)
			if err == nil {
				b.report("round %d of %d, %s: %.0f orders/s, p50 %.1f ms, p99 %.1f ms, CPU %.2f and %.2f ms/order", r.round, b.rounds, side, f["rate"], f["p50"], f["p99"], f["server"], f["here"])
			}
			return f, err
		}, func() (*rig, error) { return b.open(ctx) })
	},
}

// stablePath has orders executed at once.
func (b *bench) stablePath(ctx context.Context, r *rig, side string) (Figures, error) {
	execute := r.executeOn(side)
	if _, _, err := each(ctx, r.orders("warmup-"+side, b.warmUp), b.clients, execute); err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	orders, before := r.orders("stable-"+side, b.stable), r.cpu()
	took, all, err := each(ctx, orders, b.clients, execute)
	if err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	after := r.cpu()
	f, err := r.cost(ctx, orders, workflowID(side))
	if err != nil {
		return nil, err
	}
	f["rate"], f["p50"], f["p99"] = perSecond(len(orders), all), percentileMs(took, 0.5), percentileMs(took, 0.99)
	f["server"], f["here"] = after.since(before, len(orders))
	return f, r.allWritten(ctx, orders)
}

// executeOn submits an order to a side and waits for its end.
func (r *rig) executeOn(side string) func(context.Context, ltp.Order) error {
	switch side {
	case bareSide:
		return func(ctx context.Context, o ltp.Order) error { return r.executeBare(ctx, bareOrder, o) }
	case bareLocal:
		return func(ctx context.Context, o ltp.Order) error { return r.executeBare(ctx, bareLocalOrder, o) }
	}
	return r.execute
}

func (r *rig) execute(ctx context.Context, o ltp.Order) error {
	sub, err := r.start.Submit(ctx, o)
	if err != nil {
		return err
	}
	var outcome ltp.Outcome
	if err := r.client.GetWorkflow(ctx, ltp.OrderWorkflowID(o.ID), sub.RunID).Get(ctx, &outcome); err != nil {
		return err
	}
	if outcome.State != ltp.Executed {
		return fmt.Errorf("it ended %s", outcome.State)
	}
	return nil
}

func (r *rig) executeBare(ctx context.Context, workflowType string, o ltp.Order) error {
	run, err := r.bare.submit(ctx, workflowType, bareInput{Order: o})
	if err != nil {
		return err
	}
	return run.Get(ctx, nil)
}

// allWritten wants every order in the order database: a benchmark that loses some would
// be fast.
func (r *rig) allWritten(ctx context.Context, orders []ltp.Order) error {
	ids := make([]string, len(orders))
	for i, o := range orders {
		ids[i] = o.ID
	}
	missing, err := r.node.DB.Missing(ctx, ids)
	if err == nil && len(missing) > 0 {
		err = fmt.Errorf("%d of %d orders are not in the order database, %s among them", len(missing), len(ids), missing[0])
	}
	return err
}
