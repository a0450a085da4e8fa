package api

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

func TestUnknownRoutesAreProblems(t *testing.T) {
	h := handler(newDesk())
	for _, target := range []string{"/", "/order", "/orders/", "/orders/A2/lines", "/orientation", "/metrics", "/debug/pprof/", "//", "/orders/../nothing"} {
		ask(t, h, request("GET", target, "")).wants(t, 404, notFound)
	}
	ask(t, h, request("GET", "/problems/nothing", "")).wants(t, 404, notFound)
}

func TestUnservedMethodsAreProblemsThatNameTheServedOnes(t *testing.T) {
	h := handler(newDesk())
	for _, c := range []struct{ method, target, allow string }{
		{"PUT", "/orders", "GET, HEAD, POST"},
		{"POST", "/orders/A2", "DELETE, GET, HEAD"},
		{"PATCH", "/orders/A2", "DELETE, GET, HEAD"},
		{"DELETE", "/problems", "GET, HEAD"},
		{"OPTIONS", "/readyz", "GET, HEAD"},
	} {
		got := ask(t, h, request(c.method, c.target, ""))
		got.wants(t, 405, methodNotAllowed)
		if allow := got.Header.Get("Allow"); allow != c.allow {
			t.Errorf("%s %s: Allow: %q, want %q", c.method, c.target, allow, c.allow)
		}
	}
}

// TestEveryProblemIsExplained to whom it may meet, and to nobody else.
func TestEveryProblemIsExplained(t *testing.T) {
	listed := map[audience]string{}
	handlers := map[audience]http.Handler{customers: handler(newDesk()), operators: operated(observed(ltp.Stable))}
	for to, h := range handlers {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", "/problems", nil))
		listed[to] = w.Body.String()
	}
	names := map[string]bool{}
	for _, k := range kinds {
		if names[k.name] {
			t.Errorf("%s is registered twice", k.name)
		}
		names[k.name] = true
		if k.status < 400 || http.StatusText(k.status) == "" || k.title == "" || !strings.HasSuffix(k.explanation, ".") {
			t.Errorf("%s is not wholly registered: %+v", k.name, k)
		}
		for to, h := range handlers {
			meets := k.to&to != 0
			if meets != strings.Contains(listed[to], k.path()+"\n") {
				t.Errorf("GET /problems of audience %d: %s", to, listed[to])
			}
			one := httptest.NewRecorder()
			h.ServeHTTP(one, httptest.NewRequest("GET", k.path(), nil))
			if meets != (one.Code == 200 && strings.Contains(one.Body.String(), k.explanation)) {
				t.Errorf("%s answers audience %d: %d %s", k.path(), to, one.Code, one.Body)
			}
		}
	}
}

// served is what a measured API counted.
type served struct{ counted []string }

func (s *served) Served(route string, code int, _ time.Duration) {
	s.counted = append(s.counted, fmt.Sprintf("%d %s", code, route))
}

func (s *served) Accepted(repeated bool, _ time.Duration) {
	s.counted = append(s.counted, fmt.Sprintf("accepted, repeated %t", repeated))
}

func (s *served) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ltp_up 1\n")) })
}

func TestRequestsAreMeasured(t *testing.T) {
	d, m := newDesk(), &served{}
	d.settle = starter.Status{State: ltp.Executed}
	h := New(Config{Starter: d, Board: observed(ltp.Stable), Metrics: m})
	for _, r := range []*http.Request{
		request("POST", "/orders", ordertest.JSON("A2")),
		request("POST", "/orders", ordertest.JSON("A2")),
		request("POST", "/orders", "{"),
		request("GET", "/orders/A2", ""),
		request("GET", "/made/up", ""),
		request("PUT", "/orders", ""),
	} {
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
	NewAdmin(AdminConfig{Board: observed(ltp.Stable), Metrics: m}).ServeHTTP(httptest.NewRecorder(), request("GET", "/metrics", ""))
	want := []string{
		"accepted, repeated false", "201 POST /orders",
		"accepted, repeated true", "201 POST /orders",
		"400 POST /orders", "200 GET /orders/{id}", "404 ", "405 ", "200 GET /metrics",
	}
	if !slices.Equal(m.counted, want) {
		t.Errorf("counted %q\nwant %q", m.counted, want)
	}
}

func TestLogHasTheInstanceAndTheCauseOfAProblem(t *testing.T) {
	for _, c := range []struct {
		err   error
		level string
	}{
		{errors.New("pq: out of disk"), "level=ERROR"},
		{fmt.Errorf("%w: dial tcp", starter.ErrUnreachable), "level=WARN"},
		{starter.ErrFrozen, "level=DEBUG"},
	} {
		var log bytes.Buffer
		d := newDesk()
		d.err = c.err
		h := New(Config{Starter: d, Board: observed(ltp.Stable), Log: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
		got := ask(t, h, request("POST", "/orders", ordertest.JSON("A2")))
		line, _, _ := strings.Cut(log.String(), "\n")
		if !strings.Contains(line, c.level) || !strings.Contains(line, got.Instance) {
			t.Errorf("logged %s, want %s of %s", line, c.level, got.Instance)
		}
		if got.StatusCode == 500 && !strings.Contains(line, "out of disk") {
			t.Errorf("logged without the cause: %s", line)
		}
		if !strings.Contains(log.String(), `msg=request method=POST path=/orders route="POST /orders" status=`) {
			t.Errorf("the request is not logged: %s", log.String())
		}
	}
}
