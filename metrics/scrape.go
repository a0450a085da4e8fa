package metrics

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

var (
	stateDesc = prometheus.NewDesc("ltp_orientation_state",
		"1 for the state of the component that this process holds true, else 0.", []string{"component", "state"}, nil)
	epochDesc = prometheus.NewDesc("ltp_orientation_epoch",
		"The epoch of the component's state.", []string{"component"}, nil)
	pausedDesc = prometheus.NewDesc("ltp_replay_paused",
		"1 while an operator has paused the replay, else 0.", []string{"component"}, nil)
	deferredDesc = prometheus.NewDesc("ltp_orders_deferred",
		"Orders that wait now, as the visibility store shows them.", nil, nil)
	parkedDesc = prometheus.NewDesc("ltp_orders_parked",
		"Orders that keep failing by their own fault and wait for an operator, as the visibility store shows them.", nil, nil)
	pollersDesc = prometheus.NewDesc("ltp_workers_polling",
		"Pollers of workers that have asked for orders in the last 70 s.", nil, nil)
	queuedDesc = prometheus.NewDesc("ltp_orders_queued",
		"Orders that wait for a worker to look at them, about.", nil, nil)
	staleDesc = prometheus.NewDesc("ltp_reload_failed",
		"1 while it could not be read anew, so that what was read before is in use, if anything was, else 0.", []string{"source"}, nil)
	queuedForDesc = prometheus.NewDesc("ltp_orders_queued_oldest_seconds",
		"How long the first of those has waited.", nil, nil)
)

// orientations reads the board at every scrape.
type orientations struct{ board *board.Board }

func (c orientations) Describe(to chan<- *prometheus.Desc) {
	to <- stateDesc
	to <- epochDesc
	to <- pausedDesc
	to <- pollersDesc
	to <- queuedDesc
	to <- queuedForDesc
}

func (c orientations) Collect(to chan<- prometheus.Metric) {
	for _, component := range c.board.Components() {
		now := c.board.Orientation(component)
		for _, s := range states {
			to <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, boolValue(s == now.State), component, string(s))
		}
		to <- prometheus.MustNewConstMetric(epochDesc, prometheus.GaugeValue, float64(now.Epoch), component)
		to <- prometheus.MustNewConstMetric(pausedDesc, prometheus.GaugeValue, boolValue(now.ReplayControl.Paused), component)
	}
	c.collectWorkers(to)
}

// collectWorkers reports what the board knows of the workers, if it knows anything.
func (c orientations) collectWorkers(to chan<- prometheus.Metric) {
	w, known := c.board.Workers()
	if !known {
		return
	}
	to <- prometheus.MustNewConstMetric(pollersDesc, prometheus.GaugeValue, float64(w.Polling))
	to <- prometheus.MustNewConstMetric(queuedDesc, prometheus.GaugeValue, float64(w.Waiting))
	to <- prometheus.MustNewConstMetric(queuedForDesc, prometheus.GaugeValue, w.OldestSeconds)
}

// reloadFailures reports at every scrape what could not be read anew.
type reloadFailures func() map[string]error

func (s reloadFailures) Describe(to chan<- *prometheus.Desc) { to <- staleDesc }

func (s reloadFailures) Collect(to chan<- prometheus.Metric) {
	for source, err := range s() {
		to <- prometheus.MustNewConstMetric(staleDesc, prometheus.GaugeValue, boolValue(err != nil), source)
	}
}

// Bounds of counting the orders of a state: the visibility store is asked at most once
// in countFresh, however many scrape, and never for longer than countTimeout.
const (
	countFresh   = 5 * time.Second
	countTimeout = 2 * time.Second
)

// orderCount counts the orders of a state at a scrape. While they cannot be counted the
// metric is absent: an old number would say that nothing moves.
type orderCount struct {
	desc   *prometheus.Desc
	state  ltp.OrderState
	orders Counter

	mu    sync.Mutex
	at    time.Time
	count int64
	err   error
}

func (c *orderCount) Describe(to chan<- *prometheus.Desc) { to <- c.desc }

func (c *orderCount) Collect(to chan<- prometheus.Metric) {
	if n, err := c.now(); err == nil {
		to <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n))
	}
}

func (c *orderCount) now() (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.at.IsZero() || time.Since(c.at) >= countFresh {
		ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
		defer cancel()
		c.count, c.err = c.orders.Count(ctx, c.state)
		c.at = time.Now()
	}
	return c.count, c.err
}
