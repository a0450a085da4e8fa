package main

import (
	"context"
	"fmt"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

var growthBenchmark = benchmark{
	name: "growth", title: "Growth",
	sides:    []string{"1500", "6000", "24000"},
	measures: growthMeasures,
	aims:     growthAims,
	setting: func(s sizes) string {
		sizes := ""
		for i, g := range s.growth {
			if i > 0 {
				sizes += "; "
			}
			sizes += fmt.Sprintf("%s, %s", words.Plural(g.orders, "order"), words.Plural(g.rounds, "round"))
		}
		return fmt.Sprintf("deferred, then drained, each time on a new server, with the default backstop of %s: %s", ltp.DefaultBackstop().First, sizes)
	},
	run: func(ctx context.Context, b *bench) (rounds []Round, err error) {
		most := 0
		for _, g := range b.growth {
			most = max(most, g.rounds)
		}
		for i := range most {
			round := Round{Sides: map[string]Figures{}}
			for _, g := range b.growth {
				if i >= g.rounds {
					continue
				}
				side := words.Plural(g.orders, "order")
				f, err := b.grow(ctx, g.orders)
				if err != nil {
					return rounds, fmt.Errorf("round %d, %s: %w", i+1, words.Plural(g.orders, "order"), err)
				}
				b.report("round %d, %s: CPU %.2f and %.2f ms/order, drained at %.0f orders/s", i+1, words.Plural(g.orders, "order"), f["server"], f["here"], f["rate"])
				round.Order = append(round.Order, side)
				round.Sides[side] = f
			}
			rounds = append(rounds, round)
		}
		return rounds, nil
	},
}

var growthMeasures = []measure{
	{key: "events", label: "history events", decimals: 2},
	{key: "transitions", label: "state transitions", decimals: 2},
	{key: "bytes", label: "history bytes", decimals: 0},
	{key: "server", label: "CPU of the server, ms/order", decimals: 2},
	{key: "server-deferred", label: "of it until all are deferred", decimals: 2},
	{key: "server-drained", label: "of it until all are executed", decimals: 2},
	{key: "here", label: "CPU of clients, worker and engine, ms/order", decimals: 2},
	{key: "here-deferred", label: "of it until all are deferred", decimals: 2},
	{key: "here-drained", label: "of it until all are executed", decimals: 2},
	{key: "rate", label: "orders/s drained", decimals: 0, more: true},
}

// grow has n orders deferred and drained on a new server.
func (b *bench) grow(ctx context.Context, n int) (Figures, error) {
	r, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.close()
	if _, _, err := each(ctx, r.orders("warmup", b.warmUp), b.clients, r.execute); err != nil {
		return nil, err
	}
	if err := r.settle(ctx); err != nil {
		return nil, err
	}
	before := r.cpu()
	orders, err := b.backlog(ctx, r, n)
	if err != nil {
		return nil, err
	}
	waiting := r.cpu()
	begun := time.Now()
	b.report("%s wait", words.Plural(n, "order"))
	f, _, err := b.drainBacklog(ctx, r, product, orders)
	if err != nil {
		return nil, fmt.Errorf("%s after the release: %w", time.Since(begun).Round(time.Second), err)
	}
	f["server-drained"], f["here-drained"] = f["server"], f["here"]
	f["server-deferred"], f["here-deferred"] = waiting.since(before, n)
	f["server"] += f["server-deferred"]
	f["here"] += f["here-deferred"]
	f["rate"] = float64(n) / f["seconds"]
	return f, nil
}

// growthAims wants the cost of an order to depend little on how many wait.
func growthAims(r Result) (aims []Aim) {
	for _, m := range growthMeasures {
		switch m.key {
		case "events", "transitions", "bytes", "server", "here":
		default:
			continue
		}
		least, most, n := 0.0, 0.0, 0
		for side := range r.sides() {
			v := r.median(side, m.key)
			if n == 0 || v < least {
				least = v
			}
			most = max(most, v)
			n++
		}
		aims = append(aims, Aim{
			Text: fmt.Sprintf("%s: %.*f to %.*f, %.0f %% apart (aim 10 %%)", m.label, m.decimals, least, m.decimals, most, 100*(most/least-1)),
			Held: most <= 1.1*least, Known: n > 1 && least > 0 && !r.Quick,
		})
	}
	return aims
}
