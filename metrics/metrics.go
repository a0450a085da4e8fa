// Package metrics measures the order node for Prometheus, on a registry of its own.
//
//	metric                                     type       labels            meaning
//	ltp_orders_deferred                        gauge                        orders that wait now, as the visibility store shows them; absent while that cannot be read
//	ltp_orders_parked                          gauge                        orders that keep failing by their own fault and wait for an operator; counted alike
//	ltp_orders_accepted_total                  counter    repeated          orders that the API accepted; repeated="true" were accepted before
//	ltp_order_accept_duration_seconds          histogram                    from the API's call until the order was durable
//	ltp_order_routings_total                   counter    decision, reason  route requests, by the board and by the fence; deferrals by reason are decision="DEFER"
//	ltp_order_route_duration_seconds           histogram                    one of those
//	ltp_order_executions_total                 counter    outcome           attempts: executed, refused, withdrawn, not_begun, not_given, admitted, unavailable, unknown
//	ltp_order_execute_duration_seconds         histogram                    one of those, with its wait for a connection
//	ltp_order_writes_begun_total               counter    state             writes that began, by the state of the fence; 0 for UNSTABLE and UNKNOWN, always
//	ltp_replay_released_total                  counter    component         deferred orders that were released; rate() is the pace of the replay
//	ltp_replay_rate                            gauge      component         orders released in the last second, about; this and the next two are of the worker whose replay it is, while it lasts
//	ltp_replay_remaining                       gauge      component         orders that replay has still to release, as counted last, less those that have answered since
//	ltp_replay_oldest_seconds                  gauge      component         the age of the oldest of those; 0 when none is left
//	ltp_replay_paused                          gauge      component         1 while an operator has paused the replay, else 0
//	ltp_orientation_state                      gauge      component, state  1 for the state that this process holds true, else 0; UNKNOWN also when it cannot see
//	ltp_orientation_epoch                      gauge      component         the epoch of that state
//	ltp_workers_polling                        gauge                        pollers of workers that have asked for orders in the last 70 s; this and the next two are of processes with an order API
//	ltp_worker_ejected                         gauge                        1 while this process's worker runs no orders because its own way into the order database fails and other workers' does not, else 0
//	ltp_orders_queued                          gauge                        orders that wait for a worker to look at them, about
//	ltp_orders_queued_oldest_seconds           gauge                        how long the first of those has waited
//	ltp_probe_latency_seconds                  gauge      component         latency of the active observer's newest probe, or how long it has been hanging
//	ltp_probe_verdict                          gauge      component, verdict  1 for the verdict in force, else 0
//	ltp_probe_info                             gauge      component, database, leader, timeline  1 for who answered the newest probe that says so
//	ltp_probe_samples_total                    counter    component, result  samples: good, slow, error, hung; a write that hangs is one for as often as it is looked at
//	ltp_observations_total                     counter    component, verdict  verdicts that this observer has reported to Temporal
//	ltp_reload_failed                          gauge      source            1 while it could not be read anew, so that what was read before is in use, if anything was (api-keys, certificate, issuer-keys, webhooks), else 0
//	ltp_webhook_deliveries_total               counter    result            attempts to send a webhook: delivered, failed (tried again), given_up; and missed, of an order that could not hand a message over
//	ltp_http_request_duration_seconds          histogram  route, code       requests to the API, with the wait that the client asked for
//	go_*, process_*                                                         the process
//
// ltp_probe_* and ltp_observations_total are those of the active observer, and absent on
// the ones that stand by.
//
// An attempt that the fence or a full connection pool held back is "not_begun"; one that
// is left to the next workflow task, since the epoch is new to this one, is "not_given".
// Before an activity of the user's the attempt is the fence alone, which is "admitted".
package metrics

import (
	"context"
	"maps"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/replay"
)

// Counter counts orders: see starter.Starter.
type Counter interface {
	Count(ctx context.Context, state ltp.OrderState) (int64, error)
}

// Config is what is read at every scrape.
type Config struct {
	// Board is where the orientation metrics come from; nil leaves them out.
	Board *board.Board
	// Orders is where the numbers of deferred and of parked orders come from; nil leaves
	// them out, as all but one process of a kind may do.
	Orders Counter
	// Stale says, by the name of whatever is read anew while the process runs, why it could not
	// be; nil where it could. Nil leaves it out.
	Stale func() map[string]error
}

// Metrics measures. It is an activities.Meter, a replay.Meter and an api.Metrics, and
// safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	accepted     *prometheus.CounterVec
	acceptTime   prometheus.Histogram
	routings     *prometheus.CounterVec
	routeTime    prometheus.Histogram
	executions   *prometheus.CounterVec
	writeTime    prometheus.Histogram
	writesBegun  *prometheus.CounterVec
	released     *prometheus.CounterVec
	replays      replays
	ejected      prometheus.Gauge
	latency      *prometheus.GaugeVec
	verdict      *prometheus.GaugeVec
	info         *prometheus.GaugeVec
	samples      *prometheus.CounterVec
	observations *prometheus.CounterVec
	webhooks     *prometheus.CounterVec
	requests     *prometheus.HistogramVec

	mu          sync.Mutex
	probeLabels map[string]prometheus.Labels // of info, by component
}

var (
	_ activities.Meter = (*Metrics)(nil)
	_ replay.Meter     = (*Metrics)(nil)
)

// New makes metrics that are all there from the beginning, at 0: a counter that
// appears with its first incident hides that incident from rate().
func New(c Config) *Metrics {
	m := &Metrics{
		registry:    prometheus.NewRegistry(),
		probeLabels: map[string]prometheus.Labels{},

		accepted:    counter("ltp_orders_accepted_total", "Orders that the API accepted.", "repeated"),
		acceptTime:  histogram("ltp_order_accept_duration_seconds", "Time from the API's call until the order was durable.", .001, 2, 14),
		routings:    counter("ltp_order_routings_total", "Route requests that asked the board.", "decision", "reason"),
		routeTime:   histogram("ltp_order_route_duration_seconds", "Time that the board took to route.", .000001, 4, 10),
		executions:  counter("ltp_order_executions_total", "Executions by outcome.", "outcome"),
		writeTime:   histogram("ltp_order_execute_duration_seconds", "Time of an execution, with its wait for a connection.", .001, 2, 15),
		writesBegun: counter("ltp_order_writes_begun_total", "Writes that began, by the state that the fence saw.", "state"),
		released:    counter("ltp_replay_released_total", "Deferred orders that were released.", "component"),
		replays:     newReplays(),
		ejected: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "ltp_worker_ejected", Help: "1 while this worker runs no orders because it fails alone, else 0.",
		}),
		latency: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ltp_probe_latency_seconds", Help: "Latency of the newest probe, or how long it has been hanging.",
		}, []string{"component"}),
		verdict: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ltp_probe_verdict", Help: "1 for the observer's verdict in force, else 0.",
		}, []string{"component", "verdict"}),
		info: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "ltp_probe_info", Help: "1 for who answered the newest probe that says so.",
		}, []string{"component", "database", "leader", "timeline"}),
		samples:      counter("ltp_probe_samples_total", "Samples by result.", "component", "result"),
		observations: counter("ltp_observations_total", "Verdicts that this observer has reported to Temporal.", "component", "verdict"),
		webhooks:     counter("ltp_webhook_deliveries_total", "Attempts to send a webhook by what became of them.", "result"),
		requests: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "ltp_http_request_duration_seconds", Help: "Requests to this process, of customers and of operators, with the wait that the client asked for.",
			Buckets: prometheus.ExponentialBuckets(.001, 2, 16),
		}, []string{"route", "code"}),
	}
	m.registry.MustRegister(
		m.accepted, m.acceptTime, m.routings, m.routeTime, m.executions, m.writeTime, m.writesBegun, m.released, m.ejected,
		m.replays.rate, m.replays.remaining, m.replays.oldest,
		m.latency, m.verdict, m.info, m.samples, m.observations, m.webhooks, m.requests,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if c.Board != nil {
		m.registry.MustRegister(orientations{c.Board})
		for _, component := range c.Board.Components() {
			m.released.WithLabelValues(component)
		}
	}
	if c.Orders != nil {
		m.registry.MustRegister(
			&orderCount{desc: deferredDesc, state: ltp.Deferred, orders: c.Orders},
			&orderCount{desc: parkedDesc, state: ltp.Parked, orders: c.Orders})
	}
	if c.Stale != nil {
		m.registry.MustRegister(reloadFailures(c.Stale))
	}
	m.initSeries()
	return m
}

func counter(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// histogram has n buckets, the first up to first seconds and each next factor times
// as wide.
func histogram(name, help string, first, factor float64, n int) prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: help, Buckets: prometheus.ExponentialBuckets(first, factor, n)})
}

// states are all states of a component, verdicts all verdicts.
var (
	states   = []ltp.State{ltp.Unknown, ltp.Stable, ltp.Degraded, ltp.Unstable, ltp.Recovering}
	verdicts = []ltp.Verdict{ltp.Healthy, ltp.Slow, ltp.Unhealthy}
)

// initSeries makes the counters of the labels that are known.
func (m *Metrics) initSeries() {
	m.accepted.WithLabelValues("false")
	m.accepted.WithLabelValues("true")
	for _, r := range ltp.Results() {
		m.executions.WithLabelValues(label(r))
	}
	for _, s := range states {
		m.writesBegun.WithLabelValues(string(s))
	}
	for _, result := range []string{activities.Delivered, activities.Failed, activities.GivenUp, activities.Missed} {
		m.webhooks.WithLabelValues(result)
	}
	for reason, decision := range map[ltp.Reason]ltp.Decision{
		ltp.ReasonOK: ltp.Execute, ltp.ReasonRecoveryConfirmed: ltp.Execute, ltp.ReasonPassed: ltp.Execute,
		ltp.ReasonDegraded: ltp.Defer, ltp.ReasonUnstable: ltp.Defer, ltp.ReasonRecovering: ltp.Defer,
		ltp.ReasonUnknown: ltp.Defer, ltp.ReasonExecuteUnavailable: ltp.Defer, ltp.ReasonReplayPaused: ltp.Defer,
		ltp.ReasonAwaitsTurn: ltp.Defer, ltp.ReasonAwaitsReplay: ltp.Defer, ltp.ReasonBacklog: ltp.Defer,
		ltp.ReasonFrozen: ltp.Freeze,
	} {
		m.routings.WithLabelValues(string(decision), string(reason))
	}
}

// Handler serves the metrics in the formats that Prometheus reads.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Routed counts a routing by the board.
func (m *Metrics) Routed(r ltp.Routing, took time.Duration) {
	m.routings.WithLabelValues(string(r.Decision), string(r.Reason)).Inc()
	m.routeTime.Observe(took.Seconds())
}

// Attempted counts an attempt, and the routing that its fence made.
func (m *Metrics) Attempted(a ltp.Attempt, took time.Duration) {
	m.executions.WithLabelValues(label(a.Result)).Inc()
	m.writeTime.Observe(took.Seconds())
	if r := a.Routing; r != nil {
		m.routings.WithLabelValues(string(r.Decision), string(r.Reason)).Inc()
	}
	if !a.BegunAt.IsZero() {
		m.writesBegun.WithLabelValues(string(a.Fence.State)).Inc()
	}
}

// Ejected reports that the worker of this process stops to run orders because it fails
// alone, or begins again.
func (m *Metrics) Ejected(ejected bool) {
	m.ejected.Set(0)
	if ejected {
		m.ejected.Set(1)
	}
}

// Sent counts what became of an attempt to send a webhook.
func (m *Metrics) Sent(result string) { m.webhooks.WithLabelValues(result).Inc() }

func label(r ltp.Result) string { return strings.ToLower(string(r)) }

// Watching is watch measured for as long as this process is the active observer: the
// newest probe of the component, the verdict in force, and how many were reported. What
// Sampled counts ends with it, too.
func (m *Metrics) Watching(component string, watch activities.Watch) activities.Watch {
	return func(ctx context.Context, last ltp.Verdict, emit func(ltp.Observation), heartbeat func(ltp.Heartbeat)) error {
		defer m.forget(component)
		for _, r := range observer.Results {
			m.samples.WithLabelValues(component, string(r))
		}
		for _, v := range verdicts {
			m.observations.WithLabelValues(component, string(v))
		}
		return watch(ctx, last, func(o ltp.Observation) {
			m.observations.WithLabelValues(component, string(o.Verdict)).Inc()
			emit(o)
		}, func(b ltp.Heartbeat) {
			m.probed(component, b)
			heartbeat(b)
		})
	}
}

func (m *Metrics) probed(component string, b ltp.Heartbeat) {
	m.latency.WithLabelValues(component).Set(float64(b.LatencyMs) / 1000)
	for _, v := range verdicts {
		m.verdict.WithLabelValues(component, string(v)).Set(boolValue(v == b.Verdict))
	}
}

// Sampled counts a sample of the active observer and keeps who answered it.
func (m *Metrics) Sampled(component string, now observer.Status) {
	if now.Result != "" {
		m.samples.WithLabelValues(component, string(now.Result)).Inc()
	}
	facts := now.Sample.Facts
	if facts["database"] == "" && facts["leader"] == "" && facts["timeline"] == "" {
		return
	}
	who := prometheus.Labels{"component": component, "database": facts["database"], "leader": facts["leader"], "timeline": facts["timeline"]}
	m.mu.Lock()
	defer m.mu.Unlock()
	if before := m.probeLabels[component]; !maps.Equal(before, who) {
		m.info.Delete(before)
		m.info.With(who).Set(1)
		m.probeLabels[component] = who
	}
}

// forget takes back what was seen: somebody else looks now, or nobody.
func (m *Metrics) forget(component string) {
	of := prometheus.Labels{"component": component}
	m.latency.DeletePartialMatch(of)
	m.verdict.DeletePartialMatch(of)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.info.DeletePartialMatch(of)
	delete(m.probeLabels, component)
	m.samples.DeletePartialMatch(of)
	m.observations.DeletePartialMatch(of)
}

// Accepted counts an order that the API accepted.
func (m *Metrics) Accepted(repeated bool, took time.Duration) {
	word := "false"
	if repeated {
		word = "true"
	}
	m.accepted.WithLabelValues(word).Inc()
	m.acceptTime.Observe(took.Seconds())
}

func boolValue(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Served measures a request to the API. What matched no route is one route, so that
// clients cannot make up label values.
func (m *Metrics) Served(route string, code int, took time.Duration) {
	if route == "" {
		route = "unmatched"
	}
	m.requests.WithLabelValues(route, strconv.Itoa(code)).Observe(took.Seconds())
}
