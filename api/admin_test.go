package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

// TestEachListenerServesItsOwnRoutesAlone: what is not for somebody is not there.
func TestEachListenerServesItsOwnRoutesAlone(t *testing.T) {
	d, b := newDesk(), observed(ltp.Stable)
	d.put("A1", starter.Status{State: ltp.Executed})
	surfaces := map[string]http.Handler{
		"customers": New(Config{Starter: d, Board: b, Metrics: &served{}}),
		"operators": NewAdmin(AdminConfig{Board: b, Metrics: &served{}}),
		"profiled":  NewAdmin(AdminConfig{Board: b, Metrics: &served{}, Pprof: true}),
	}
	const all, both = "customers operators profiled", "operators profiled"
	for _, c := range []struct{ path, on string }{
		{"/orders", "customers"}, {"/orders/A1", "customers"},
		{"/orientation", both}, {"/orientation/orders-db", both}, {"/metrics", both},
		{"/healthz", all}, {"/readyz", all}, {"/openapi.json", all}, {"/problems", all}, {"/problems/not-found", all},
		{"/problems/invalid-order", "customers"}, {"/problems/component-not-found", both},
		{"/debug/pprof/", "profiled"}, {"/debug/pprof/heap", "profiled"}, {"/debug/pprof/cmdline", "profiled"}, {"/debug/pprof/symbol", "profiled"},
		{"/debug/vars", ""}, {"/", ""},
	} {
		for name, h := range surfaces {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, request("GET", c.path, ""))
			want := http.StatusNotFound
			for _, on := range splitUnquoted(c.on, ' ') {
				if on == name {
					want = http.StatusOK
				}
			}
			assert.Equal(t, want, w.Code, "GET %s of %s", c.path, name)
		}
	}
	for name, h := range surfaces {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, request("POST", "/orders", ordertest.JSON("A2"), "Prefer", "respond-async"))
		assert.Equal(t, name == "customers", w.Code == http.StatusAccepted, "POST /orders of %s: %d", name, w.Code)
	}
	ask(t, operated(b), request("GET", "/metrics", "")).wants(t, 404, notFound) // nothing is measured
}

// TestOperatorsAreAnsweredWhileCustomersAreShed: nothing that customers can fill is before
// an operator.
func TestOperatorsAreAnsweredWhileCustomersAreShed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, b := newHeld(), observed(ltp.Unstable)
		h, ops := New(Config{Starter: d, Board: b}), NewAdmin(AdminConfig{Board: b, Metrics: &served{}})
		var done sync.WaitGroup
		for i := range intakeAtOnce + intakeQueue {
			done.Go(func() {
				ask(t, h, request("POST", "/orders", ordertest.JSON(fmt.Sprint("A", i)), "Prefer", "respond-async"))
			})
		}
		synctest.Wait()
		ask(t, h, request("POST", "/orders", ordertest.JSON("B1"))).wants(t, http.StatusTooManyRequests, tooManyRequests)
		for _, path := range []string{"/orientation", "/orientation/orders-db", "/metrics", "/healthz", "/readyz"} {
			for range 2 * (intakeAtOnce + intakeQueue) {
				got := ask(t, ops, request("GET", path, ""))
				got.wants(t, 200, nil)
			}
		}
		ask(t, h, request("GET", "/readyz", "")).wants(t, 200, nil) // shedding is no reason to be taken out of service
		close(d.letGo)
		done.Wait()
	})
}

// TestProfileEndsWithTheServer, and holds up no stop.
func TestProfileEndsWithTheServer(t *testing.T) {
	begun := make(chan struct{})
	profile := untilStopped(func(_ http.ResponseWriter, r *http.Request) {
		close(begun)
		<-r.Context().Done()
	})
	ln, err := Listen("127.0.0.1:0", Access{}, quiet)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, profile, quiet) }()
	asked := make(chan error, 1)
	go func() {
		response, err := http.Get(ln.URL())
		if err == nil {
			_ = response.Body.Close()
		}
		asked <- err
	}()
	<-begun
	stop()
	assert.NoError(t, <-ended, "cut off")
	assert.NoError(t, <-asked)
}

// TestOperatorsSeeWhatCouldNotBeReadAnew at /readyz, by name alone, since it asks for no key;
// and the process is ready all the same.
func TestOperatorsSeeWhatCouldNotBeReadAnew(t *testing.T) {
	stale := map[string]error{"certificate": nil, "api-keys": nil}
	h := NewAdmin(AdminConfig{Board: observed(ltp.Stable), Stale: func() map[string]error { return stale }})
	got := ask(t, h, request("GET", "/readyz", ""))
	got.wants(t, 200, nil)
	assert.Equal(t, "ready\n", got.text)
	stale["api-keys"] = errors.New("key 1: its id is none of ltp keys create")
	got = ask(t, h, request("GET", "/readyz", ""))
	got.wants(t, 200, nil)
	assert.Equal(t, "ready\napi-keys could not be read anew; the log says why\n", got.text)
}
