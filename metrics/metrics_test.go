package metrics

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/observer"
)

// store is a starter that counts.
type store struct {
	n, parked int64
	err       error
	mu        sync.Mutex
	asked     int
}

func (c *store) Count(ctx context.Context, state ltp.OrderState) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	switch _, bounded := ctx.Deadline(); {
	case !bounded || state != ltp.Deferred && state != ltp.Parked:
		return 0, fmt.Errorf("counts %s, bounded: %t", state, bounded)
	case state == ltp.Parked:
		return c.parked, c.err
	}
	return c.n, c.err
}

func observed() *board.Board {
	b := board.New(nil, []string{"orders-db", "stock"}, slog.New(slog.DiscardHandler))
	b.Put(board.Reading{Orientation: ltp.Orientation{Component: "orders-db", State: ltp.Unstable, Epoch: 4}, ReadAt: time.Now()})
	b.PutWorkers(board.Workers{Polling: 16, ReadAt: time.Now()})
	return b
}

// scrape is what Prometheus reads.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 {
		t.Fatalf("answered %d: %s", w.Code, w.Body)
	}
	return w.Body.String()
}

// says fails the test unless the scrape has the lines.
func says(t *testing.T, scraped string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if !strings.Contains("\n"+scraped, "\n"+l+"\n") {
			t.Errorf("the scrape does not say %s", l)
		}
	}
}

func TestCountersAreThereBeforeTheFirstIncident(t *testing.T) {
	says(t, scrape(t, New(Config{Board: observed()})),
		`ltp_orders_accepted_total{repeated="false"} 0`,
		`ltp_order_routings_total{decision="DEFER",reason="SYSTEM_UNSTABLE"} 0`,
		`ltp_order_routings_total{decision="DEFER",reason="EXECUTE_UNAVAILABLE"} 0`,
		`ltp_order_executions_total{outcome="unknown"} 0`,
		`ltp_order_writes_begun_total{state="UNSTABLE"} 0`,
		`ltp_replay_released_total{component="orders-db"} 0`)
}

// TestEveryAnswerOfTheDecisionTableHasASeries: a rate over a reason that is new would show
// its first increase as nothing.
func TestEveryAnswerOfTheDecisionTableHasASeries(t *testing.T) {
	text := scrape(t, New(Config{Board: observed()}))
	here := []string{"orders-db"}
	for _, state := range []ltp.State{ltp.Unknown, ltp.Stable, ltp.Degraded, ltp.Unstable, ltp.Recovering, ""} {
		for _, hold := range []*ltp.Hold{nil, {Freeze: true}} {
			for _, r := range []ltp.Request{
				{}, {HighRisk: true}, {Replay: true}, {InLine: true}, {Backlog: true}, {Replay: true, Listed: true},
				{Replay: true, Paused: here}, {Replay: true, Failed: true, FailedUnder: here[0], FailedEpoch: 4},
			} {
				decision, reason := ltp.Decide(ltp.Orientation{Component: here[0], State: state, Epoch: 4, Hold: hold}, r)
				says(t, text, fmt.Sprintf("ltp_order_routings_total{decision=%q,reason=%q} 0", decision, reason))
			}
		}
	}
}

func TestOrdersAreCountedByOutcome(t *testing.T) {
	m := New(Config{})
	begun := time.Now()
	stable, recovering, unstable := ltp.Fence{State: ltp.Stable}, ltp.Fence{State: ltp.Recovering}, ltp.Fence{State: ltp.Unstable}
	confirmed := &ltp.Routing{Decision: ltp.Execute, Reason: ltp.ReasonRecoveryConfirmed}
	deferred := &ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonUnstable}
	m.Accepted(false, 2*time.Millisecond)
	m.Accepted(true, time.Millisecond)
	m.Routed(*deferred, time.Microsecond)
	m.Routed(ltp.Routing{Decision: ltp.Execute, Reason: ltp.ReasonOK}, time.Microsecond)
	for _, a := range []ltp.Attempt{
		{Result: ltp.ResultExecuted, Fence: stable, BegunAt: begun},
		{Result: ltp.ResultExecuted, Fence: recovering, BegunAt: begun, Routing: confirmed},
		{Result: ltp.ResultRefused, Fence: recovering, BegunAt: begun},
		{Result: ltp.ResultUnavailable, Fence: stable, BegunAt: begun},
		{Result: ltp.ResultUnknown, Fence: stable, BegunAt: begun},
		{Result: ltp.ResultWithdrawn, Fence: stable, BegunAt: begun},
		{Result: ltp.ResultNotGiven, Fence: stable, Routing: confirmed},
		{Result: ltp.ResultNotBegun, Fence: unstable, Routing: deferred},
		{Result: ltp.ResultNotBegun},
		{Result: ltp.ResultAdmitted, Fence: stable},
	} {
		m.Attempted(a, 3*time.Millisecond)
	}
	m.Released("orders-db")
	says(t, scrape(t, m),
		`ltp_orders_accepted_total{repeated="false"} 1`,
		`ltp_orders_accepted_total{repeated="true"} 1`,
		`ltp_order_accept_duration_seconds_count 2`,
		`ltp_order_routings_total{decision="DEFER",reason="SYSTEM_UNSTABLE"} 2`,
		`ltp_order_routings_total{decision="EXECUTE",reason="OK"} 1`,
		`ltp_order_routings_total{decision="EXECUTE",reason="RECOVERY_CONFIRMED"} 2`,
		`ltp_order_route_duration_seconds_count 2`,
		`ltp_order_executions_total{outcome="executed"} 2`,
		`ltp_order_executions_total{outcome="refused"} 1`,
		`ltp_order_executions_total{outcome="unavailable"} 1`,
		`ltp_order_executions_total{outcome="unknown"} 1`,
		`ltp_order_executions_total{outcome="withdrawn"} 1`,
		`ltp_order_executions_total{outcome="not_given"} 1`,
		`ltp_order_executions_total{outcome="not_begun"} 2`,
		`ltp_order_executions_total{outcome="admitted"} 1`,
		`ltp_order_execute_duration_seconds_count 10`,
		`ltp_order_writes_begun_total{state="STABLE"} 4`,
		`ltp_order_writes_begun_total{state="RECOVERING"} 2`,
		`ltp_order_writes_begun_total{state="UNSTABLE"} 0`,
		`ltp_replay_released_total{component="orders-db"} 1`)
}

// TestAReplayIsMeasuredWhileItLasts, and no longer: an old number would say that nothing
// moves.
func TestAReplayIsMeasuredWhileItLasts(t *testing.T) {
	b := observed()
	m := New(Config{Board: b})
	m.Replaying("orders-db", ltp.ReleaseReport{Rate: 412.5, Remaining: 730, Oldest: time.Now().Add(-time.Hour)})
	got := scrape(t, m)
	says(t, got,
		`ltp_replay_rate{component="orders-db"} 412.5`,
		`ltp_replay_remaining{component="orders-db"} 730`,
		`ltp_replay_paused{component="orders-db"} 0`)
	if !strings.Contains(got, `ltp_replay_oldest_seconds{component="orders-db"} 3600.`) {
		t.Error("the age of the oldest order is missing")
	}
	m.Replaying("orders-db", ltp.ReleaseReport{})
	says(t, scrape(t, m), `ltp_replay_oldest_seconds{component="orders-db"} 0`)
	m.Replayed("orders-db")
	b.Put(board.Reading{
		Orientation:   ltp.Orientation{Component: "orders-db", State: ltp.Recovering, Epoch: 5},
		ReplayControl: ltp.ReplayControl{Paused: true}, ReadAt: time.Now(),
	})
	got = scrape(t, m)
	says(t, got, `ltp_replay_paused{component="orders-db"} 1`)
	for _, gone := range []string{"ltp_replay_rate{", "ltp_replay_remaining{", "ltp_replay_oldest_seconds{"} {
		if strings.Contains(got, gone) {
			t.Errorf("%s is still there of a replay that has ended", gone)
		}
	}
}

func TestOrientationIsReadAtTheScrape(t *testing.T) {
	b := observed()
	m := New(Config{Board: b})
	says(t, scrape(t, m),
		`ltp_orientation_state{component="orders-db",state="UNSTABLE"} 1`,
		`ltp_orientation_state{component="orders-db",state="STABLE"} 0`,
		`ltp_orientation_epoch{component="orders-db"} 4`,
		`ltp_orientation_state{component="stock",state="UNKNOWN"} 1`,
		`ltp_orientation_epoch{component="stock"} 0`)
	b.Put(board.Reading{Orientation: ltp.Orientation{Component: "orders-db", State: ltp.Recovering, Epoch: 5}, ReadAt: time.Now()})
	says(t, scrape(t, m),
		`ltp_orientation_state{component="orders-db",state="UNSTABLE"} 0`,
		`ltp_orientation_state{component="orders-db",state="RECOVERING"} 1`,
		`ltp_orientation_epoch{component="orders-db"} 5`)
}

func TestWaitingOrdersAreCountedNowAndThenHoweverManyScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &store{n: 1500, parked: 2}
		m := New(Config{Orders: c})
		for range 3 {
			says(t, scrape(t, m), `ltp_orders_deferred 1500`, `ltp_orders_parked 2`)
		}
		c.n, c.parked = 7, 0
		if c.asked != 2 {
			t.Errorf("asked %d times", c.asked)
		}
		time.Sleep(countFresh)
		says(t, scrape(t, m), `ltp_orders_deferred 7`, `ltp_orders_parked 0`)
	})
}

func TestOrdersThatCannotBeCountedAreNotGuessed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &store{n: 1500}
		m := New(Config{Orders: c})
		says(t, scrape(t, m), `ltp_orders_deferred 1500`, `ltp_orders_parked 0`)
		time.Sleep(countFresh)
		c.err = errors.New("temporal is away")
		if got := scrape(t, m); strings.Contains(got, "\nltp_orders_deferred ") || strings.Contains(got, "\nltp_orders_parked ") {
			t.Error("an old number stands as if of now")
		}
	})
}

func TestProbeIsShownForAsLongAsThisProcessObserves(t *testing.T) {
	m := New(Config{})
	calls := 0
	watch := m.Watching("orders-db", func(_ context.Context, last ltp.Verdict, emit func(ltp.Observation), heartbeat func(ltp.Heartbeat)) error {
		if last != ltp.Unhealthy {
			t.Errorf("goes on from %q", last)
		}
		emit(ltp.Observation{Verdict: ltp.Slow})
		says(t, scrape(t, m),
			`ltp_observations_total{component="orders-db",verdict="SLOW"} 1`,
			`ltp_observations_total{component="orders-db",verdict="UNHEALTHY"} 0`,
			`ltp_probe_samples_total{component="orders-db",result="hung"} 0`)
		m.Sampled("orders-db", observer.Status{Result: observer.ResultGood})
		heartbeat(ltp.Heartbeat{LatencyMs: 3})
		says(t, scrape(t, m), `ltp_probe_verdict{component="orders-db",verdict="HEALTHY"} 0`)
		heartbeat(ltp.Heartbeat{Verdict: ltp.Slow, LatencyMs: 5200})
		says(t, scrape(t, m),
			`ltp_probe_latency_seconds{component="orders-db"} 5.2`,
			`ltp_probe_verdict{component="orders-db",verdict="SLOW"} 1`,
			`ltp_probe_verdict{component="orders-db",verdict="HEALTHY"} 0`)
		return errors.New("handed over")
	})
	err := watch(t.Context(), ltp.Unhealthy, func(ltp.Observation) { calls++ }, func(ltp.Heartbeat) { calls++ })
	if err == nil || calls != 3 {
		t.Errorf("the watch was not passed on: %v, %d", err, calls)
	}
	if got := scrape(t, m); strings.Contains(got, "ltp_probe_") || strings.Contains(got, "ltp_observations") {
		t.Error("still shows what somebody else observes now")
	}
}

func TestSamplesAreCountedAndTheLeaderIsNamed(t *testing.T) {
	m := New(Config{})
	saw := func(r observer.Result, facts map[string]string) {
		m.Sampled("orders-db", observer.Status{Result: r, Sample: observer.Sample{Facts: facts}})
	}
	by := func(leader, timeline string) map[string]string {
		return map[string]string{"database": "postgres", "leader": leader, "timeline": timeline, "patroni_members": "many"}
	}
	const first, second = `ltp_probe_info{component="orders-db",database="postgres",leader="db1",timeline="1"} 1`, `ltp_probe_info{component="orders-db",database="postgres",leader="db2",timeline="2"} 1`
	saw(observer.ResultGood, by("db1", "1"))
	saw(observer.ResultHung, nil)
	saw("", nil) // a write that may still return in time
	says(t, scrape(t, m), first,
		`ltp_probe_samples_total{component="orders-db",result="good"} 1`,
		`ltp_probe_samples_total{component="orders-db",result="hung"} 1`)
	saw(observer.ResultGood, by("db2", "2"))
	got := scrape(t, m)
	says(t, got, second)
	if strings.Contains(got, first) {
		t.Error("the old leader is still there")
	}
}

func TestRequestsAreMeasuredByRoute(t *testing.T) {
	m := New(Config{})
	m.Served("POST /orders", 202, time.Second)
	m.Served("", 404, time.Millisecond)
	says(t, scrape(t, m),
		`ltp_http_request_duration_seconds_count{code="202",route="POST /orders"} 1`,
		`ltp_http_request_duration_seconds_count{code="404",route="unmatched"} 1`)
}

func TestNamesFollowTheConventions(t *testing.T) {
	m := New(Config{Board: observed(), Orders: &store{}})
	m.Sampled("orders-db", observer.Status{Result: observer.ResultGood, Sample: observer.Sample{Facts: map[string]string{"leader": "db1"}}})
	m.observations.WithLabelValues("orders-db", "SLOW")
	m.Replaying("orders-db", ltp.ReleaseReport{})
	gathered, err := m.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	problems, err := promlint.NewWithMetricFamilies(gathered).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestScrapesWhileMeasuringLoseNothing: every measurement is counted, and a scrape shows one
// leader of a component at most.
func TestScrapesWhileMeasuringLoseNothing(t *testing.T) {
	m := New(Config{Board: observed(), Orders: &store{}})
	sampled := func(component, leader string) {
		m.Sampled(component, observer.Status{Result: observer.ResultGood, Sample: observer.Sample{Facts: map[string]string{"leader": leader}}})
	}
	const measuring, times = 4, 100
	var measured sync.WaitGroup
	for i := range measuring {
		measured.Go(func() {
			for n := range times {
				m.Routed(ltp.Routing{Decision: ltp.Execute, Reason: ltp.ReasonOK}, 0)
				m.Attempted(ltp.Attempt{Result: ltp.ResultExecuted, Fence: ltp.Fence{State: ltp.Stable}, BegunAt: time.Now()}, 0)
				m.probed("orders-db", ltp.Heartbeat{LatencyMs: int64(n)})
				sampled("orders-db", fmt.Sprint("db", i, "-", n))
				m.Replaying("orders-db", ltp.ReleaseReport{Rate: float64(n)})
				m.Replayed("orders-db")
			}
		})
	}
	measured.Go(func() { // observed for a moment, again and again
		for range times {
			sampled("stock", "db1")
			m.forget("stock")
		}
	})
	leaders := func(scraped string) int { return strings.Count(scraped, `ltp_probe_info{component="orders-db"`) }
	for range 10 {
		if n := leaders(scrape(t, m)); n > 1 {
			t.Errorf("%d leaders", n)
		}
	}
	measured.Wait()
	got := scrape(t, m)
	says(t, got,
		fmt.Sprintf(`ltp_order_routings_total{decision="EXECUTE",reason="OK"} %d`, measuring*times),
		fmt.Sprintf(`ltp_order_executions_total{outcome="executed"} %d`, measuring*times),
		fmt.Sprintf(`ltp_order_writes_begun_total{state="STABLE"} %d`, measuring*times),
		fmt.Sprintf(`ltp_probe_samples_total{component="orders-db",result="good"} %d`, measuring*times))
	if n := leaders(got); n != 1 {
		t.Errorf("%d leaders in the end", n)
	}
	for _, gone := range []string{`ltp_probe_samples_total{component="stock"`, `ltp_probe_info{component="stock"`, `ltp_replay_rate{`} {
		if strings.Contains(got, gone) {
			t.Errorf("%s is still there", gone)
		}
	}
}

// TestWhatCouldNotBeReadAnewIsMeasured from the beginning, at 0.
func TestWhatCouldNotBeReadAnewIsMeasured(t *testing.T) {
	stale := map[string]error{"api-keys": nil, "certificate": nil}
	m := New(Config{Stale: func() map[string]error { return stale }})
	for want, err := range []error{nil, errors.New("damaged")} {
		stale["api-keys"] = err
		all := scrape(t, m)
		for _, line := range []string{fmt.Sprintf("\nltp_reload_failed{source=\"api-keys\"} %d\n", want), "\nltp_reload_failed{source=\"certificate\"} 0\n"} {
			if !strings.Contains(all, line) {
				t.Errorf("%q is not in\n%s", line, all)
			}
		}
	}
}
