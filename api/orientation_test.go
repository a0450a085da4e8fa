package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

func TestOrientationIsShownWithHowFarItMayBeTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := observed(ltp.Unstable)
		h := operated(b)
		show := func(target string) string {
			t.Helper()
			got := ask(t, h, request("GET", target, ""))
			got.wants(t, 200, nil)
			return got.text
		}
		for _, s := range []string{`{"components":[{"component":"orders-db","state":"UNSTABLE","epoch":3,"last_fit":2,"reason":"DB Write Latency > 5000ms"`, `"since":"2024-05-20T14:30:10Z"`, `"fresh":true,"blind":false`} {
			if got := show("/orientation"); !strings.Contains(got, s) {
				t.Errorf("%s does not say %s", got, s)
			}
		}
		if got := show("/orientation/orders-db"); !strings.HasPrefix(got, `{"component":"orders-db","state":"UNSTABLE"`) {
			t.Errorf("answered %s", got)
		}
		time.Sleep(board.Lease + time.Second)
		for _, s := range []string{`"state":"UNKNOWN"`, `"fresh":false,"blind":true`, `"epoch":3`} {
			if got := show("/orientation/orders-db"); !strings.Contains(got, s) {
				t.Errorf("%s does not say %s", got, s)
			}
		}
	})
}

// TestOperatorsAreToldWhatTheProbeSaw, and customers whether orders are accepted.
func TestOperatorsAreToldWhatTheProbeSaw(t *testing.T) {
	b := observed(ltp.Stable)
	b.Put(board.Reading{ReadAt: time.Now().Add(-time.Millisecond), Orientation: ltp.Orientation{
		Component: "orders-db", State: ltp.Unstable, Epoch: 4, Reason: "DB Connection Timeout",
		Evidence: ltp.Evidence{LatencyMs: 5200, ThresholdMs: 5000, Error: "dial tcp 10.0.0.7:5432", Facts: map[string]string{"leader": "pg-2"}},
	}})
	got := ask(t, operated(b), request("GET", "/orientation", ""))
	for _, s := range []string{"10.0.0.7", "pg-2", `"latency_ms":5200`} {
		assert.Contains(t, got.text, s)
	}
}

func TestComponentThatIsNotOnTheBoardIsNotFound(t *testing.T) {
	ask(t, operated(observed(ltp.Stable)), request("GET", "/orientation/fax", "")).wants(t, 404, componentNotFound)
}

func TestReadyWhateverTheStateAsLongAsItIsKnown(t *testing.T) {
	for _, state := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Unstable, ltp.Recovering, ltp.Unknown} {
		h := operated(observed(state))
		ask(t, h, request("GET", "/readyz", "")).wants(t, 200, nil)
	}
}

// TestAPIThatNoWorkerKeepsUpWithSaysSo, and goes on taking orders.
func TestAPIThatNoWorkerKeepsUpWithSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := observed(ltp.Stable)
		h := operated(b)
		says := func(path string) string { return ask(t, h, request("GET", path, "")).text }
		assert.NotContains(t, says("/orientation"), "workers", "nothing is known")
		b.PutWorkers(board.Workers{Polling: 16, ReadAt: time.Now()})
		assert.Contains(t, says("/orientation"), `"workers":{"polling":16,"waiting":0,"oldest_seconds":0,"behind":false`)
		assert.Equal(t, "ready\n", says("/readyz"))
		b.PutWorkers(board.Workers{Waiting: 500, OldestSeconds: 1800, Behind: true, ReadAt: time.Now()})
		assert.Contains(t, says("/orientation"), `"behind":true`)
		assert.Equal(t, "ready\nno worker keeps up with the orders: 500 wait for one, the first for 1800 s; start ltp worker\n", says("/readyz"))
		time.Sleep(time.Minute)
		assert.NotContains(t, says("/orientation"), "workers", "what is old is not shown")
	})
}

func TestReadyWhenNobodyObservesAComponent(t *testing.T) {
	b := observed(ltp.Stable)
	b.Put(board.Reading{
		Orientation: ltp.Orientation{Component: "orders-db", State: ltp.Unknown, Epoch: 3, Reason: "its observer was last heard at 14:30"},
		ReadAt:      time.Now().Add(-time.Millisecond), Unreadable: true,
	})
	ask(t, operated(b), request("GET", "/readyz", "")).wants(t, 200, nil)
}

func TestNotReadyUntilEveryComponentIsReadAndWhileOneIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := board.New(nil, []string{"orders-db", "stock"}, slog.New(slog.DiscardHandler))
		h := operated(b)
		missing := func() []string {
			t.Helper()
			got := ask(t, h, request("GET", "/readyz", ""))
			got.wants(t, http.StatusServiceUnavailable, notReady)
			return got.Missing
		}
		put := func(component string) {
			b.Put(board.Reading{Orientation: ltp.Orientation{Component: component, State: ltp.Stable, Epoch: 1}, ReadAt: time.Now()})
			time.Sleep(time.Millisecond)
		}
		if m := missing(); len(m) != 2 {
			t.Errorf("missing %q", m)
		}
		put("orders-db")
		if m := missing(); len(m) != 1 || !strings.Contains(m[0], "stock") {
			t.Errorf("missing %q", m)
		}
		put("stock")
		ask(t, h, request("GET", "/readyz", "")).wants(t, 200, nil)
		time.Sleep(board.Lease)
		put("stock")
		if m := missing(); len(m) != 1 || !strings.Contains(m[0], "orders-db: the last reading is older than the lease") {
			t.Errorf("missing %q", m)
		}
		ask(t, h, request("GET", "/healthz", "")).wants(t, 200, nil)
	})
}

func TestComponentThatWasNeverReadHasNoTimes(t *testing.T) {
	b := board.New(nil, []string{"orders-db"}, slog.New(slog.DiscardHandler))
	got := ask(t, operated(b), request("GET", "/orientation/orders-db", ""))
	var fields map[string]any
	if err := json.Unmarshal([]byte(got.text), &fields); err != nil {
		t.Fatal(err)
	}
	if fields["since"] != nil || fields["read_at"] != nil || fields["fresh"] != false || fields["state"] != "UNKNOWN" {
		t.Errorf("answered %s", got.text)
	}
}

func TestTheReplayControlIsShownBesideTheOrientation(t *testing.T) {
	b := observed(ltp.Recovering)
	h := operated(b)
	if got := ask(t, h, request("GET", "/orientation/orders-db", "")); strings.Contains(got.text, "steering") {
		t.Errorf("nobody said anything: %s", got.text)
	}
	r := b.Orientation("orders-db")
	r.ReadAt = time.Now()
	r.ReplayControl = ltp.ReplayControl{Paused: true, Pause: ltp.Attribution{By: "ann", Why: "cold cache"}}
	b.Put(r)
	got := ask(t, h, request("GET", "/orientation/orders-db", ""))
	if !strings.Contains(got.text, `"steering":{"paused":true,"pause":{"by":"ann","why":"cold cache"}}`) || !strings.Contains(got.text, `"state":"RECOVERING"`) {
		t.Errorf("answered %s", got.text)
	}
}

// TestCustomersAreToldWhetherAndNotWhy: what a load balancer asks names no component, no
// reason and no worker.
func TestCustomersAreToldWhetherAndNotWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := observed(ltp.Stable)
		b.PutWorkers(board.Workers{Waiting: 500, OldestSeconds: 1800, Behind: true, ReadAt: time.Now()})
		h := New(Config{Starter: newDesk(), Board: b})
		assert.Equal(t, "ok\n", ask(t, h, request("GET", "/healthz", "")).text)
		assert.Equal(t, "ready\n", ask(t, h, request("GET", "/readyz", "")).text)
		time.Sleep(board.Lease + time.Second)
		got := ask(t, h, request("GET", "/readyz", ""))
		got.wants(t, http.StatusServiceUnavailable, notReady)
		assert.NotEmpty(t, got.Header.Get("Retry-After"))
		for _, s := range []string{"orders-db", "Temporal", "lease", "worker", "missing"} {
			assert.NotContains(t, got.text, s)
		}
	})
}
