package api

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

func TestOrientationIsShownWithHowFarItMayBeTrusted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := observed(ltp.Unstable)
		h := New(Config{Starter: newDesk(), Board: b})
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

func TestOrientationTellsUsersNoInternals(t *testing.T) {
	b := observed(ltp.Stable)
	b.Put(board.Reading{ReadAt: time.Now(), Orientation: ltp.Orientation{
		Component: "orders-db", State: ltp.Unstable, Epoch: 4, Reason: "DB Connection Timeout",
		Evidence: ltp.Evidence{LatencyMs: 5200, ThresholdMs: 5000, Error: "dial tcp 10.0.0.7:5432", Facts: map[string]string{"leader": "pg-2"}},
	}})
	got := ask(t, New(Config{Starter: newDesk(), Board: b}), request("GET", "/orientation", ""))
	if strings.Contains(got.text, "10.0.0.7") || strings.Contains(got.text, "pg-2") || !strings.Contains(got.text, `"latency_ms":5200`) {
		t.Errorf("answered %s", got.text)
	}
	if r := b.Orientation("orders-db"); r.Evidence.Error == "" || len(r.Evidence.Facts) != 1 {
		t.Errorf("the board forgot: %+v", r.Evidence)
	}
}

func TestComponentThatIsNotOnTheBoardIsNotFound(t *testing.T) {
	ask(t, handler(newDesk()), request("GET", "/orientation/fax", "")).wants(t, 404, componentNotFound)
}

func TestReadyWhateverTheStateAsLongAsItIsKnown(t *testing.T) {
	for _, state := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Unstable, ltp.Recovering, ltp.Unknown} {
		h := New(Config{Starter: newDesk(), Board: observed(state)})
		ask(t, h, request("GET", "/readyz", "")).wants(t, 200, nil)
	}
}

func TestReadyWhenNobodyObservesAComponent(t *testing.T) {
	b := observed(ltp.Stable)
	b.Put(board.Reading{
		Orientation: ltp.Orientation{Component: "orders-db", State: ltp.Unknown, Epoch: 3, Reason: "its observer was last heard at 14:30"},
		ReadAt:      time.Now().Add(-time.Millisecond), Blind: true,
	})
	ask(t, New(Config{Starter: newDesk(), Board: b}), request("GET", "/readyz", "")).wants(t, 200, nil)
}

func TestNotReadyUntilEveryComponentIsReadAndWhileOneIsStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := board.New(nil, []string{"orders-db", "stock"}, slog.New(slog.DiscardHandler))
		h := New(Config{Starter: newDesk(), Board: b})
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
	got := ask(t, New(Config{Starter: newDesk(), Board: b}), request("GET", "/orientation/orders-db", ""))
	var fields map[string]any
	if err := json.Unmarshal([]byte(got.text), &fields); err != nil {
		t.Fatal(err)
	}
	if fields["since"] != nil || fields["read_at"] != nil || fields["fresh"] != false || fields["state"] != "UNKNOWN" {
		t.Errorf("answered %s", got.text)
	}
}

func TestSteeringIsShownBesideTheOrientation(t *testing.T) {
	b := observed(ltp.Recovering)
	h := New(Config{Starter: newDesk(), Board: b})
	if got := ask(t, h, request("GET", "/orientation/orders-db", "")); strings.Contains(got.text, "steering") {
		t.Errorf("nobody said anything: %s", got.text)
	}
	r := b.Orientation("orders-db")
	r.ReadAt = time.Now()
	r.Steering = ltp.Steering{Paused: true, By: "ann", Why: "cold cache"}
	b.Put(r)
	got := ask(t, h, request("GET", "/orientation/orders-db", ""))
	if !strings.Contains(got.text, `"steering":{"paused":true,"by":"ann","why":"cold cache"}`) || !strings.Contains(got.text, `"state":"RECOVERING"`) {
		t.Errorf("answered %s", got.text)
	}
}
