package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ltp-node/ltp"
)

// replays are how far the replays are that run in this process.
type replays struct{ rate, remaining, oldest *prometheus.GaugeVec }

func newReplays() replays {
	gauge := func(name, help string) *prometheus.GaugeVec {
		return prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, []string{"component"})
	}
	return replays{
		rate:      gauge("ltp_replay_rate", "Orders released in the last second, about."),
		remaining: gauge("ltp_replay_remaining", "Orders that the replay has still to release, as counted last, less those that have answered since."),
		oldest:    gauge("ltp_replay_oldest_seconds", "The age of the oldest order that is left; 0 when none is."),
	}
}

// Released counts a deferred order that was released.
func (m *Metrics) Released(component string) { m.released.WithLabelValues(component).Inc() }

// Replaying shows how far a replay is.
func (m *Metrics) Replaying(component string, now ltp.ReleaseReport) {
	m.replays.rate.WithLabelValues(component).Set(now.Rate)
	m.replays.remaining.WithLabelValues(component).Set(float64(now.Remaining))
	age := 0.0
	if !now.Oldest.IsZero() {
		age = max(time.Since(now.Oldest).Seconds(), 0)
	}
	m.replays.oldest.WithLabelValues(component).Set(age)
}

// Replayed takes back what a replay showed: it has ended, or another process goes on with
// it, and an old number would say that nothing moves.
func (m *Metrics) Replayed(component string) {
	m.replays.rate.DeleteLabelValues(component)
	m.replays.remaining.DeleteLabelValues(component)
	m.replays.oldest.DeleteLabelValues(component)
}
