// Package tests plays the product's promises end to end: a real Temporal server, a
// real order database, real HTTP, real processes.
package tests

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	_ "modernc.org/sqlite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/contract"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/replay/pace"
	"github.com/ltp-node/ltp/starter"
)

// rig is an order node under test, on a Temporal server of its own.
type rig struct {
	t      *testing.T
	ctx    context.Context
	dir    string
	orders string // the order database, a path unless the test says otherwise
	// options are what the Temporal server is started with.
	options embedded.Options
	server  *embedded.Server
	client  client.Client
	start   *starter.Starter
	log     *slog.Logger
	meter   *demo.Meter
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
	r := &rig{t: t, ctx: t.Context(), dir: t.TempDir(), log: slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn})), meter: &demo.Meter{}}
	if r.orders = orders; orders == "" {
		r.orders = filepath.Join(r.dir, "orders.db")
	}
	r.options = embedded.Options{
		StateDir: r.dir, SearchAttributes: starter.SearchAttributes(),
		Progress: func(s embedded.Step) { r.t.Log(s) },
		Client:   client.Options{Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))},
	}
	payload.Connect(&r.options.Client, nil)
	for _, f := range set {
		f(&r.options)
	}
	r.serve()
	t.Cleanup(func() { _ = r.server.Stop() })
	db := r.openDB()
	require.NoError(t, db.Migrate(r.ctx))
	return r
}

// serve starts the Temporal server on the rig's data.
func (r *rig) serve() {
	server, err := embedded.Start(r.ctx, r.options)
	require.NoError(r.t, err)
	r.server, r.client, r.start = server, server.Client(), starter.New(server.Client())
}

func (r *rig) openDB() orderdb.DB {
	db, err := orderdb.Open(r.ctx, r.orders)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { _ = db.Close() })
	return db
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
		Client: r.client, Namespace: r.server.Namespace(), Components: []string{ltp.DefaultComponent},
		OrdersURL: r.orders, WritePathEvery: 250 * time.Millisecond, Policy: quickPolicy().Change(), Worker: true, Pace: quickPace(),
		Observe: true, Settings: quick(), Meter: r.meter, Heartbeat: r.meter.Heartbeat, Log: r.log,
	}
}

// up starts a node and stops it after the test, unless the test does so before.
func (r *rig) up(c node.Config) *node.Node {
	n, err := node.Start(r.ctx, c)
	require.NoError(r.t, err)
	r.t.Cleanup(n.Stop)
	return n
}

// listen has a node serve the order API, and returns its URL.
func (r *rig) listen(c *node.Config) (url string) { return r.listenAt(&c.Listen) }

// admin has a node serve operators, and returns the URL.
func (r *rig) admin(c *node.Config) (url string) { return r.listenAt(&c.Admin) }

func (r *rig) listenAt(at *net.Listener) (url string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(r.t, err)
	*at = l
	return "http://" + l.Addr().String()
}

// until waits for a state of the default component.
func (r *rig) until(n *node.Node, s ltp.State) board.Reading {
	r.t.Helper()
	return r.untilOn(n.Board, s)
}

// untilOn waits for a state of the default component that was published, and not
// merely concluded from not seeing anything.
func (r *rig) untilOn(b *board.Board, s ltp.State) board.Reading {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 5*time.Minute)
	defer cancel()
	now, err := b.Wait(ctx, ltp.DefaultComponent, func(now board.Reading) bool { return now.State == s && !now.Blind })
	require.NoErrorf(r.t, err, "waiting for %s: it is %+v", s, b.Orientation(ltp.DefaultComponent))
	return now
}

// watch is a board of the test's own, so that it sees what Temporal holds when the
// nodes are other processes, or down.
func (r *rig) watch() *board.Board {
	b := board.New(r.client, []string{ltp.DefaultComponent}, slog.New(slog.DiscardHandler))
	ctx, stop := context.WithCancel(context.Background())
	var done sync.WaitGroup
	done.Go(func() { b.Run(ctx) })
	r.t.Cleanup(func() { stop(); done.Wait() })
	return b
}

// outage stops the order database's writes until the returned function is called.
func (r *rig) outage() (end func()) {
	db, err := sql.Open("sqlite", "file:"+r.orders+"?_pragma=busy_timeout(10000)")
	require.NoError(r.t, err)
	conn, err := db.Conn(r.ctx)
	require.NoError(r.t, err)
	_, err = conn.ExecContext(r.ctx, "BEGIN EXCLUSIVE")
	require.NoError(r.t, err)
	ended := false
	end = func() {
		if ended {
			return
		}
		ended = true
		_, err := conn.ExecContext(context.Background(), "ROLLBACK")
		if err != nil {
			r.t.Errorf("end the outage: %v", err)
		}
		conn.Close()
		db.Close()
	}
	r.t.Cleanup(end)
	return end
}

func order(id string) ltp.Order {
	return ltp.Order{ID: id, Customer: "c-17", Currency: "USD", Lines: []ltp.Line{{SKU: "book", Quantity: 2, UnitAmountMinor: 6000}}}
}

// submit accepts an order or fails the test.
func (r *rig) submit(o ltp.Order) starter.Submission {
	r.t.Helper()
	sub, err := r.start.Submit(r.ctx, o)
	require.NoError(r.t, err)
	return sub
}

// decided waits until an order is deferred or has ended.
func (r *rig) decided(sub starter.Submission) starter.Status {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Minute)
	defer cancel()
	st, err := r.start.Await(ctx, sub)
	require.NoError(r.t, err)
	return st
}

// ended waits until an order has ended.
func (r *rig) ended(id string) starter.Status {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, 2*time.Minute)
	defer cancel()
	_ = r.client.GetWorkflow(ctx, ltp.OrderWorkflowID(id), "").Get(ctx, nil)
	st, err := r.start.Get(r.ctx, id)
	require.NoError(r.t, err)
	require.Truef(r.t, st.State.Final(), "%+v", st)
	return st
}

// agreed is the contract of the order API, agreedAdmin that of operators.
var agreed, agreedAdmin = signed(api.OpenAPI()), signed(api.AdminOpenAPI())

func signed(document []byte) func() *contract.Contract {
	return sync.OnceValue(func() *contract.Contract {
		c, err := contract.New(document)
		if err != nil {
			panic(err)
		}
		return c
	})
}

// heldTo is an HTTP client whose exchanges are held against a contract.
func heldTo(t *testing.T, to *contract.Contract) *http.Client {
	return &http.Client{Transport: to.Transport(http.DefaultTransport, func(err error) { t.Error(err) })}
}

// customer is the HTTP client of a customer.
func customer(t *testing.T) *http.Client { return heldTo(t, agreed()) }

// do sends a customer's request and decodes the JSON of its answer.
func do(t *testing.T, method, url, body string, header map[string]string) (*http.Response, map[string]any) {
	t.Helper()
	return exchange(t, customer(t), method, url, body, header)
}

// look sends an operator's request and decodes the JSON of its answer.
func look(t *testing.T, url string) (*http.Response, map[string]any) {
	t.Helper()
	return exchange(t, heldTo(t, agreedAdmin()), "GET", url, "", nil)
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

func orderJSON(id string) string {
	return fmt.Sprintf(`{"id":%q,"customer":"c-17","currency":"USD","lines":[{"sku":"book","quantity":2,"unit_amount_minor":6000}]}`, id)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	defer func() { _ = recover() }() // a log line after the test's end is no failure
	w.t.Log(string(bytes.TrimRight(p, "\n")))
	return len(p), nil
}

// operator sends an Update of an operator to the default component.
func operator(r *rig, update string, request any) error {
	ctx, cancel := context.WithTimeout(r.ctx, time.Minute)
	defer cancel()
	return board.SendUpdate(ctx, r.client, ltp.DefaultComponent, update, request, nil)
}

// exec runs a statement in the order database.
func (r *rig) exec(statement string) {
	db, err := sql.Open("sqlite", "file:"+r.orders+"?_pragma=busy_timeout(10000)")
	require.NoError(r.t, err)
	defer db.Close()
	_, err = db.ExecContext(r.ctx, statement)
	require.NoError(r.t, err)
}
