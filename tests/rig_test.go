// Package tests plays the product's promises end to end: a real Temporal server, a
// real order database, real HTTP, real processes.
package tests

import (
	"bytes"
	"database/sql"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/contract"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/replay/pace"
	"github.com/ltp-node/ltp/tests/harness"
)

// patience is a safety net: how long a test waits for what must come.
const patience = 2 * time.Minute

// rig is an order node under test, in this process or in others.
type rig struct {
	*harness.Rig
	log   *slog.Logger
	meter *demo.Meter
}

// newRig starts a Temporal server on a directory of the test. What set changes, it
// changes for every server of the rig.
func newRig(t *testing.T, set ...func(*embedded.Options)) *rig {
	t.Helper()
	return newRigOn(t, "", set...)
}

// newRigOn does so on an order database of the test's.
func newRigOn(t *testing.T, orders string, set ...func(*embedded.Options)) *rig {
	t.Helper()
	return &rig{
		Rig:   harness.New(t, harness.Patience{Step: patience, State: 5 * time.Minute}, orders, set...),
		log:   slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})),
		meter: &demo.Meter{},
	}
}

// quick are thresholds that make an incident of seconds.
func quick() observer.Settings {
	s := observer.DefaultSettings()
	s.Interval, s.UnfitLatency, s.FitLatency = 50*time.Millisecond, 1500*time.Millisecond, 1200*time.Millisecond
	s.SlowLatency, s.SlowExit = time.Second, 800*time.Millisecond
	return s
}

func quickPolicy() ltp.Policy {
	p := ltp.DefaultPolicy()
	p.Dwell = 300 * time.Millisecond
	return p
}

func quickPace() pace.Settings {
	p := pace.Default()
	p.Settle = 3 * time.Second
	return p
}

// config is a node with worker, observer and API in this process.
func (r *rig) config() node.Config {
	return node.Config{
		Client: r.Client, Namespace: r.Server.Namespace(), Components: []string{ltp.DefaultComponent},
		OrdersURL: r.Orders, WritePathEvery: 250 * time.Millisecond, Policy: quickPolicy().Change(), Worker: true, Pace: quickPace(),
		Observe: true, Settings: quick(), Meter: r.meter, Heartbeat: r.meter.Heartbeat, Log: r.log,
	}
}

// up starts a node and stops it after the test, unless the test does so before.
func (r *rig) up(c node.Config) *node.Node {
	n, err := node.Start(r.Ctx, c)
	require.NoError(r.T, err)
	r.T.Cleanup(n.Stop)
	return n
}

// listen has a node serve the order API, and returns its URL.
func (r *rig) listen(c *node.Config) (url string) { return r.listenAt(&c.Listen) }

// admin has a node serve operators, and returns the URL.
func (r *rig) admin(c *node.Config) (url string) { return r.listenAt(&c.Admin) }

func (r *rig) listenAt(at *net.Listener) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(r.T, err)
	*at = l
	return "http://" + l.Addr().String()
}

// heldTo is an HTTP client whose exchanges are held against a contract.
func heldTo(t *testing.T, to *contract.Contract) *http.Client {
	return &http.Client{Transport: to.Transport(http.DefaultTransport, func(err error) { t.Error(err) })}
}

// customer is the HTTP client of a customer.
func customer(t *testing.T) *http.Client { return heldTo(t, harness.Contract()) }

// do sends a customer's request and decodes the JSON of its answer.
func do(t *testing.T, method, url, body string, header map[string]string) (*http.Response, map[string]any) {
	t.Helper()
	return exchange(t, customer(t), method, url, body, header)
}

// look sends an operator's request and decodes the JSON of its answer.
func look(t *testing.T, url string) (*http.Response, map[string]any) {
	t.Helper()
	return exchange(t, heldTo(t, harness.AdminContract()), "GET", url, "", nil)
}

func exchange(t *testing.T, as *http.Client, method, url, body string, header map[string]string) (*http.Response, map[string]any) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewBufferString(body))
	require.NoError(t, err)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		request.Header.Set(k, v)
	}
	response, err := as.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	var decoded map[string]any
	if len(content) > 0 && json.Valid(content) {
		require.NoError(t, json.Unmarshal(content, &decoded))
	}
	return response, decoded
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // a log line after the test's end is no failure
	w.t.Log(string(bytes.TrimRight(p, "\n")))
	return len(p), nil
}

// exec runs a statement in the order database.
func (r *rig) exec(statement string) {
	db, err := sql.Open("sqlite", "file:"+r.Orders+"?_pragma=busy_timeout(10000)")
	require.NoError(r.T, err)
	defer db.Close()
	_, err = db.ExecContext(r.Ctx, statement)
	require.NoError(r.T, err)
}
