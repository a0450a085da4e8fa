package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/replay/pace"
)

// defaultInFlight is how many releases the product has in flight by default.
var defaultInFlight = pace.Default().InFlight

// compareInFlight drains a backlog of the product at each of several bounds of what is in
// flight, each time on a new server, and prints what came out. It writes no page: it is
// how the default was chosen.
func (b *bench) compareInFlight(ctx context.Context) error {
	b.doing = "in flight"
	usual := b.pace
	defer func() { b.pace = usual }()
	all := map[int][]Figures{}
	for i := range b.rounds {
		bounds := slices.Clone(b.inFlight)
		if i%2 == 1 {
			slices.Reverse(bounds)
		}
		for _, bound := range bounds {
			b.pace.InFlight = bound
			f, err := b.drainAnew(ctx)
			if err != nil {
				return fmt.Errorf("round %d, %d in flight: %w", i+1, bound, err)
			}
			b.report("round %d of %d, %d in flight: %.2f s, the first after %.2f s, CPU %.2f and %.2f ms/order", i+1, b.rounds, bound, f["seconds"], f["first"], f["server"], f["here"])
			all[bound] = append(all[bound], f)
		}
	}
	fmt.Fprintf(b.progress, "\n| in flight | drain of %s, s: median | rounds | CPU of the server, ms/order | CPU here, ms/order |\n| ---: | ---: | --- | ---: | ---: |\n", words.Plural(b.drained, "order"))
	for _, bound := range b.inFlight {
		var seconds, server, here []float64
		var each []string
		for _, f := range all[bound] {
			seconds, server, here = append(seconds, f["seconds"]), append(server, f["server"]), append(here, f["here"])
			each = append(each, number(f["seconds"], 2))
		}
		fmt.Fprintf(b.progress, "| %d | %.2f | %s | %.2f | %.2f |\n", bound, median(seconds), strings.Join(each, ", "), median(server), median(here))
	}
	return nil
}

// drainAnew drains a backlog of the product on a new server.
func (b *bench) drainAnew(ctx context.Context) (Figures, error) {
	r, err := b.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.close()
	return b.drain(ctx, r, product, b.drained)
}
