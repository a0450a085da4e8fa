package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

// The sides of the admission benchmark, besides bareSide: a workflow with the same order
// as its argument, started eagerly as the product's are, so that its first task needs no
// poll. bareLazy is ExecuteWorkflow without that option: it answers before the order
// waits, so hold "accepted and waiting" against it. Like is compared with like by
// starterSubmit, a call in Go as ExecuteWorkflow is; what HTTP adds is in respondAsync.
const (
	starterSubmit = "product, starter"
	respondAsync  = "product, respond-async"
	defaultWait   = "product, default wait"
	bareLazy      = "bare, not eager"
)

var admissionSides = []string{starterSubmit, respondAsync, bareSide, bareLazy, defaultWait}

var admissionBenchmark = benchmark{
	name: "admission", title: "Admission while UNSTABLE",
	sides: admissionSides, rivals: []string{bareSide, bareLazy},
	measures: []measure{
		{key: "rate", label: "accepted/s", decimals: 0, more: true},
		{key: "p50", label: "answer, p50 ms", decimals: 1},
		{key: "p99", label: "answer, p99 ms", decimals: 1},
		{key: "drained", label: "accepted and waiting/s", decimals: 0, more: true},
		{key: "server", label: "CPU of the server, ms/order", decimals: 2},
		{key: "here", label: "CPU of API, worker and clients, ms/order", decimals: 2},
	},
	aims: func(r Result) []Aim {
		m := measure{key: "rate", label: "accepted/s", more: true}
		waiting := measure{key: "drained", label: "accepted and waiting/s", more: true}
		return []Aim{
			r.atLeast(m, starterSubmit, bareSide, 1),
			r.atLeast(waiting, starterSubmit, bareLazy, 1),
			r.atLeast(m, respondAsync, bareSide, 1),
		}
	},
	setting: func(s sizes) string {
		return fmt.Sprintf("%s a side and round from %d clients; product: Submit of package starter; POST /orders, durable when it answers, with Prefer: respond-async, and with the default wait until the order is seen deferred; bare: ExecuteWorkflow of a workflow with the same order, which waits for a signal, started eagerly as the product's are, and not eagerly; the workers run", words.Plural(s.admits, "order"), s.clients)
	},
	run: func(ctx context.Context, b *bench) ([]Round, error) {
		return b.inTurn(admissionSides, func(side string, r *rig) (Figures, error) {
			f, err := b.admit(ctx, r, side)
			if err == nil {
				b.report("round %d of %d, %s: %.0f accepted/s, p50 %.1f ms, p99 %.1f ms, CPU %.2f and %.2f ms/order", r.round, b.rounds, side, f["rate"], f["p50"], f["p99"], f["server"], f["here"])
			}
			return f, err
		}, func() (*rig, error) {
			r, err := b.open(ctx)
			if err != nil {
				return nil, err
			}
			if err := r.hold(ctx); err != nil {
				r.close()
				return nil, err
			}
			return r, nil
		})
	},
}

// admit has orders accepted that will wait, and measures until each was answered, and
// until all wait.
func (b *bench) admit(ctx context.Context, r *rig, side string) (Figures, error) {
	accept, waiting := r.accept(side), &r.meter.deferred
	if side == bareSide || side == bareLazy {
		waiting = &r.bare.waiting
	}
	admit := func(orders []ltp.Order) (f Figures, err error) {
		until := waiting.Load() + int64(len(orders))
		begun := time.Now()
		took, all, err := each(ctx, orders, b.clients, accept)
		if err == nil {
			err = awaitDone(ctx, "orders to wait", func() bool { return waiting.Load() >= until })
		}
		return Figures{
			"rate": perSecond(len(orders), all), "drained": perSecond(len(orders), time.Since(begun)),
			"p50": percentileMs(took, 0.5), "p99": percentileMs(took, 0.99),
		}, err
	}
	if _, err := admit(r.orders("warmup", b.warmUp)); err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	before := r.cpu()
	f, err := admit(r.orders("admit", b.admits))
	if err == nil {
		err = r.settle(ctx)
	}
	if err != nil {
		return nil, err
	}
	f["server"], f["here"] = r.cpu().since(before, b.admits)
	return f, nil
}

// accept is how a side has an order accepted.
func (r *rig) accept(side string) func(context.Context, ltp.Order) error {
	switch side {
	case bareSide, bareLazy:
		return func(ctx context.Context, o ltp.Order) error {
			_, err := r.bare.start(ctx, bareSignalledWait, bareInput{Order: o}, side == bareSide)
			return err
		}
	case starterSubmit:
		return r.submit
	case respondAsync:
		return func(ctx context.Context, o ltp.Order) error { return r.post(ctx, o, "respond-async") }
	}
	return func(ctx context.Context, o ltp.Order) error { return r.post(ctx, o, "") }
}
