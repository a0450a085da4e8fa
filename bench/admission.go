package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ltp-node/ltp"
)

// The sides of the admission benchmark.
const (
	respondAsync = "product, respond-async"
	defaultWait  = "product, default wait"
)

var admissionBenchmark = benchmark{
	name: "admission", title: "Admission while UNSTABLE",
	sides: []string{respondAsync, "bare", defaultWait}, ratio: true,
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
		return []Aim{r.atLeast(m, respondAsync, "bare", 0.9)}
	},
	setting: func(s sizes) string {
		return fmt.Sprintf("%s a side and round from %d clients; product: POST /orders, durable when it answers, with Prefer: respond-async, and with the default wait until the order is seen deferred; bare: ExecuteWorkflow of a workflow that waits for a signal; the workers run", orderCount(s.admits), s.clients)
	},
	run: func(ctx context.Context, b *bench) ([]Round, error) {
		return b.inTurn([]string{respondAsync, "bare", defaultWait}, func(side string, r *rig) (Figures, error) {
			f, err := b.admit(ctx, r, side)
			if err == nil {
				b.say("round %d of %d, %s: %.0f accepted/s, p50 %.1f ms, p99 %.1f ms", r.round, b.rounds, side, f["rate"], f["p50"], f["p99"])
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
	deal, waiting := r.accept(side), &r.meter.deferred
	if side == "bare" {
		waiting = &r.bare.waiting
	}
	admit := func(orders []ltp.Order) (f Figures, err error) {
		until := waiting.Load() + int64(len(orders))
		begun := time.Now()
		took, all, err := each(ctx, orders, b.clients, deal)
		if err == nil {
			err = await(ctx, "orders to wait", func() bool { return waiting.Load() >= until })
		}
		return Figures{
			"rate": perSecond(len(orders), all), "drained": perSecond(len(orders), time.Since(begun)),
			"p50": percentileMs(took, 0.5), "p99": percentileMs(took, 0.99),
		}, err
	}
	if _, err := admit(r.orders("warm", b.warm)); err != nil {
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
	case "bare":
		return func(ctx context.Context, o ltp.Order) error {
			_, err := r.bare.submit(ctx, bareWaiting, bareInput{Order: o})
			return err
		}
	case respondAsync:
		return func(ctx context.Context, o ltp.Order) error { return r.post(ctx, o, "respond-async") }
	}
	return func(ctx context.Context, o ltp.Order) error { return r.post(ctx, o, "") }
}
