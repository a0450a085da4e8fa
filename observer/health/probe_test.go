package health_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/observer/health"
)

var _ observer.Fault = (*health.Fault)(nil)

// endpoint serves an answer and returns a probe of it.
func endpoint(t *testing.T, answer http.HandlerFunc) *health.Probe {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return open(t, server.URL+"/healthz")
}

func open(t *testing.T, url string) *health.Probe {
	t.Helper()
	p, err := health.Open(url)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, p.Close()) })
	return p
}

func TestEachHTTPStatusHasItsReason(t *testing.T) {
	for status, want := range map[int]struct {
		definite bool
		reason   string
	}{
		200: {},
		204: {},
		301: {false, "Health endpoint says 301"},
		404: {false, "Health endpoint says 404"},
		429: {false, "Health endpoint says 429"},
		500: {true, "Health endpoint says 500"},
		503: {true, "Health endpoint says 503"},
	} {
		p := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			assert.Equal(t, "/healthz", r.URL.Path)
			assert.Equal(t, http.MethodGet, r.Method)
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(status)
		})
		_, err := p.Probe(t.Context())
		if want.reason == "" {
			require.NoError(t, err, status)
			continue
		}
		var f observer.Fault
		require.ErrorAs(t, err, &f, status)
		assert.Equal(t, want.definite, f.Definite(), status)
		assert.Equal(t, want.reason, f.Reason())
	}
}

func TestARefusedConnectionIsDefiniteAndTheNextProbeConnectsAnew(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	address := l.Addr().String()
	up := func(l net.Listener) *httptest.Server {
		s := &httptest.Server{Listener: l, Config: &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}}
		s.Start()
		return s
	}
	server := up(l)
	p := open(t, "http://user:s3cret@"+address+"/healthz?token=s3cret")
	_, err = p.Probe(t.Context())
	require.NoError(t, err)

	server.Close()
	_, err = p.Probe(t.Context())
	var f observer.Fault
	require.ErrorAs(t, err, &f)
	assert.True(t, f.Definite())
	assert.Equal(t, "Health endpoint refuses connections", f.Reason())
	assert.NotContains(t, err.Error(), "s3cret")

	l, err = net.Listen("tcp", address)
	require.NoError(t, err)
	defer up(l).Close()
	_, err = p.Probe(t.Context())
	require.NoError(t, err)
}

func TestAnEndpointThatHangsIsLeftWithItsContext(t *testing.T) {
	var asked atomic.Int32
	arrived, over := make(chan struct{}), make(chan struct{})
	defer close(over)
	p := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) > 1 {
			return
		}
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush() // the body hangs, too
		close(arrived)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() { <-arrived; cancel(context.DeadlineExceeded) }()
	_, err := p.Probe(ctx)
	var f observer.Fault
	require.ErrorAs(t, err, &f)
	assert.False(t, f.Definite())
	_, err = p.Probe(t.Context())
	require.NoError(t, err, "on a new connection")
}

func TestFactsAreBounded(t *testing.T) {
	for body, want := range map[string]map[string]string{
		``:                                  {},
		`OK`:                                {},
		`["status"]`:                        {},
		`{"status":"UP","leader":"db1"}`:    {"status": "UP", "leader": "db1"},
		`{"status":{"code":1},"leader":""}`: {},
		`{"status":"a\u001b[31m\nb"}`:       {"status": "a[31mb"},
		`{"status":"` + strings.Repeat("ü", 200) + `"}`:  {"status": strings.Repeat("ü", 100)},
		`{"status":"` + strings.Repeat("x", 1<<20) + `"`: {},
	} {
		p := endpoint(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(body)) })
		facts, err := p.Probe(t.Context())
		require.NoError(t, err)
		assert.Contains(t, facts["endpoint"], "127.0.0.1:")
		delete(facts, "endpoint")
		assert.Equal(t, want, facts)
	}
}

func TestAnswersShareAConnection(t *testing.T) {
	var connections atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("fine")) }))
	server.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	p := open(t, server.URL)
	for range 5 {
		_, err := p.Probe(t.Context())
		require.NoError(t, err)
	}
	assert.EqualValues(t, 1, connections.Load())
}

func TestWhatIsNoAddressIsSaidSo(t *testing.T) {
	for _, url := range []string{"", "payments", "http://", "ftp://host", "http://us er:s3cret@host"} {
		_, err := health.Open(url)
		require.ErrorContains(t, err, "http://host:port/path", url)
		assert.NotContains(t, err.Error(), "s3cret")
		assert.False(t, errors.As(err, new(observer.Fault)))
	}
}
