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
)

// orientations reads the board at every scrape.
type orientations struct{ board *board.Board }

func (c orientations) Describe(to chan<- *prometheus.Desc) {
	to <- stateDesc
	to <- epochDesc
	to <- pausedDesc
}

func (c orientations) Collect(to chan<- prometheus.Metric) {
	for _, component := range c.board.Components() {
		now := c.board.Orientation(component)
		for _, s := range states {
			to <- prometheus.MustNewConstMetric(stateDesc, prometheus.GaugeValue, one(s == now.State), component, string(s))
		}
		to <- prometheus.MustNewConstMetric(epochDesc, prometheus.GaugeValue, float64(now.Epoch), component)
		to <- prometheus.MustNewConstMetric(pausedDesc, prometheus.GaugeValue, one(now.Steering.Paused), component)
	}
}

// Bounds of counting the deferred orders: the visibility store is asked at most once
// in countFresh, however many scrape, and never for longer than countTimeout.
const (
	countFresh   = 5 * time.Second
	countTimeout = 2 * time.Second
)

// backlog counts the deferred orders at a scrape. While they cannot be counted the
// metric is absent: an old number would say that nothing moves.
type backlog struct {
	orders Counter

	mu    sync.Mutex
	at    time.Time
	count int64
	err   error
}

func (b *backlog) Describe(to chan<- *prometheus.Desc) { to <- deferredDesc }

func (b *backlog) Collect(to chan<- prometheus.Metric) {
	if n, err := b.deferred(); err == nil {
		to <- prometheus.MustNewConstMetric(deferredDesc, prometheus.GaugeValue, float64(n))
	}
}

func (b *backlog) deferred() (int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.at.IsZero() || time.Since(b.at) >= countFresh {
		ctx, cancel := context.WithTimeout(context.Background(), countTimeout)
		defer cancel()
		b.count, b.err = b.orders.Count(ctx, ltp.Deferred)
		b.at = time.Now()
	}
	return b.count, b.err
}
