package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ltp-node/ltp"
)

// sizes are how much is run.
type sizes struct {
	clients                 int // at once
	warmUp                  int // orders before what is measured
	stable, drained, admits int // orders of a side of a round
	outageOrders            int // of each side, evenly over outage
	outage                  time.Duration
	outageRounds            int
	growth                  []growthSize
	counted                 int // orders whose requests are counted
}

// growthSize is how many orders wait, and how often that is measured.
type growthSize struct{ orders, rounds int }

var fullSizes = sizes{
	clients: 32, warmUp: 100,
	stable: 1500, drained: 1500, admits: 1500,
	outageOrders: 300, outage: 45 * time.Second, outageRounds: 3,
	growth:  []growthSize{{1500, 3}, {6000, 1}, {24000, 1}},
	counted: 3000,
}

var quickSizes = sizes{
	clients: 8, warmUp: 4,
	stable: 40, drained: 40, admits: 40,
	outageOrders: 30, outage: 6 * time.Second, outageRounds: 1,
	growth:  []growthSize{{20, 1}, {40, 1}, {80, 1}},
	counted: 40,
}

// orders makes n orders with IDs of their own.
func (r *rig) orders(kind string, n int) []ltp.Order {
	orders := make([]ltp.Order, n)
	batch := r.sequence.Add(1)
	for i := range orders {
		orders[i] = ltp.Order{
			ID:       fmt.Sprintf("%s-%d-%06d", kind, batch, i),
			Customer: fmt.Sprintf("customer-%d", i%97),
			Currency: "USD",
			Lines:    []ltp.Line{{SKU: "book", Quantity: int64(1 + i%3), UnitAmountMinor: int64(1000 + i%50*100)}},
		}
	}
	return orders
}

// each does something for every order, from so many clients at once, and returns how long
// each order took, and all of them together.
func each(ctx context.Context, orders []ltp.Order, clients int, do func(context.Context, ltp.Order) error) (took []time.Duration, all time.Duration, err error) {
	took = make([]time.Duration, len(orders))
	var next atomic.Int64
	group, ctx := errgroup.WithContext(ctx)
	begun := time.Now()
	for range clients {
		group.Go(func() error {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(orders) {
					return nil
				}
				at := time.Now()
				if err := do(ctx, orders[i]); err != nil {
					return fmt.Errorf("order %s: %w", orders[i].ID, err)
				}
				took[i] = time.Since(at)
			}
		})
	}
	err = group.Wait()
	return took, time.Since(begun), err
}

// post sends an order to the API and wants it accepted and pending.
func (r *rig) post(ctx context.Context, o ltp.Order, prefer string) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url+"/orders", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	if prefer != "" {
		request.Header.Set("Prefer", prefer)
	}
	response, err := r.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusAccepted {
		err = fmt.Errorf("%s: %s", response.Status, content)
	}
	return err
}

// submit starts an order of the product.
func (r *rig) submit(ctx context.Context, o ltp.Order) error {
	_, err := r.start.Submit(ctx, o)
	return err
}

// cost is what a side's orders cost Temporal, as a mean over a sample.
func (r *rig) cost(ctx context.Context, orders []ltp.Order, workflowID func(string) string) (Figures, error) {
	const sample = 300
	step := max(1, len(orders)/sample)
	var events, transitions, size, n float64
	for i := 0; i < len(orders); i += step {
		d, err := r.client.DescribeWorkflowExecution(ctx, workflowID(orders[i].ID), "")
		if err != nil {
			return nil, fmt.Errorf("look up order %s: %w", orders[i].ID, err)
		}
		info := d.GetWorkflowExecutionInfo()
		events += float64(info.GetHistoryLength())
		transitions += float64(info.GetStateTransitionCount())
		size += float64(info.GetHistorySizeBytes())
		n++
	}
	return Figures{"events": events / n, "transitions": transitions / n, "bytes": size / n}, nil
}
