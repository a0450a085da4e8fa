package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/pglocal"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/trace"
)

// rig is an order node and bare workflows beside it, on one Temporal server that is
// new, with one order database and in this one process.
type rig struct {
	round     int
	dir       string
	ordersURL string
	postgres  *pglocal.Server // nil with SQLite
	server    *embedded.Server
	client    client.Client
	node      *node.Node
	more      []*node.Node // workers
	meter     *meter
	bare      *bare
	start     *starter.Starter
	reader    *trace.Reader
	http      *http.Client
	url       string // of the order API
	sequence  atomic.Int64
}

// meter is an activities.Meter that counts, and keeps what demo.Meter does not.
type meter struct {
	*demo.Meter
	deferred atomic.Int64 // orders that were deferred at once
	executed commits

	mu       sync.Mutex
	attempts []attempt // kept while keepAttempts is set

	keepAttempts atomic.Bool
}

// Routed implements activities.Meter.
func (m *meter) Routed(r ltp.Routing, took time.Duration) {
	if !r.Decision.Admissible() && r.Attempt == 1 { // not by its backstop, again
		m.deferred.Add(1)
	}
	m.Meter.Routed(r, took)
}

// Attempted implements activities.Meter.
func (m *meter) Attempted(a ltp.Attempt, took time.Duration) {
	now := time.Now()
	done := a.Result == ltp.ResultExecuted
	if done {
		m.executed.add(now)
	}
	if m.keepAttempts.Load() {
		m.mu.Lock()
		m.attempts = append(m.attempts, attempt{begun: a.BegunAt, asked: a.Fence.ReadAt, ended: now, failed: !done})
		m.mu.Unlock()
	}
	m.Meter.Attempted(a, took)
}

// commits counts orders that were written, and keeps when the first and the last of them
// since begin were.
type commits struct {
	count       atomic.Int64
	first, last atomic.Int64 // in Unix nanoseconds
}

func (c *commits) add(at time.Time) {
	c.count.Add(1)
	c.first.CompareAndSwap(0, at.UnixNano())
	c.last.Store(at.UnixNano())
}

// begin begins to wait for n commits more. The function that it returns waits for them.
func (c *commits) begin(n int) (await func(context.Context) (first, last time.Time, err error)) {
	c.first.Store(0)
	until := c.count.Load() + int64(n)
	return func(ctx context.Context) (first, last time.Time, err error) {
		err = awaitDone(ctx, "the backlog to be drained", func() bool { return c.count.Load() >= until })
		return time.Unix(0, c.first.Load()), time.Unix(0, c.last.Load()), err
	}
}

// open starts a rig whose dwell is short, since it comes before what is measured.
func (b *bench) open(ctx context.Context, args ...string) (*rig, error) {
	policy := ltp.DefaultPolicy()
	policy.Dwell = 500 * time.Millisecond
	return b.openOn(ctx, "", policy, args...)
}

// openOn starts a rig and returns when the state is STABLE. An empty ordersURL is an
// SQLite file of its own.
func (b *bench) openOn(ctx context.Context, ordersURL string, policy ltp.Policy, args ...string) (_ *rig, err error) {
	r := &rig{meter: &meter{Meter: &demo.Meter{}}, http: &http.Client{
		Transport: &http.Transport{MaxIdleConnsPerHost: 512, MaxIdleConns: 512}, Timeout: time.Minute,
	}}
	defer func() {
		if err != nil {
			r.close()
		}
	}()
	if r.dir, err = os.MkdirTemp("", "ltp-bench-"); err != nil {
		return nil, err
	}
	stateDir := r.dir
	if b.temporal == "postgres" {
		stateDir = ""
		if r.postgres, err = pglocal.Start(ctx, pglocal.Options{Settings: []string{"max_connections=400", "shared_buffers=256MB"}}); err != nil {
			return nil, err
		}
		if err = r.postgres.Exec(ctx, "CREATE DATABASE orders"); err != nil {
			return nil, err
		}
		args = append(args, "--postgres", r.postgres.URL("temporal"))
		ordersURL = cmp.Or(ordersURL, r.postgres.URL("orders"))
	} else if !b.durable {
		args = append(args, "--sqlite-pragma", "synchronous=normal")
	}
	ordersURL = cmp.Or(ordersURL, filepath.Join(r.dir, "orders.db"))
	r.ordersURL = ordersURL
	silent := slog.New(slog.DiscardHandler)
	options := embedded.Options{
		StateDir: stateDir, SearchAttributes: starter.SearchAttributes(), ExtraArgs: append(args, b.serve...),
		Progress: embedded.PrintProgress(b.progress),
		Client:   client.Options{Logger: log.NewStructuredLogger(silent)},
	}
	payload.Connect(&options.Client, nil)
	r.server, err = embedded.Start(ctx, options)
	if err != nil {
		return nil, err
	}
	r.client = r.server.Client()
	r.reader = trace.NewReader(r.client, r.server.Namespace())
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r.url = "http://" + listen.Addr().String()
	r.node, err = node.Start(ctx, node.Config{
		Client: r.client, Namespace: r.server.Namespace(), Components: []string{ltp.DefaultComponent},
		OrdersURL: ordersURL, SetUpOrders: true, WritePathEvery: node.WritePathEvery, Policy: policy.Change(),
		Worker: true, Pace: b.pace, Meter: r.meter,
		Observe: true, Settings: observer.DefaultSettings(),
		Listen: listen, Log: silent,
	})
	if err != nil {
		return nil, err
	}
	r.start = starter.New(r.client, starter.WithBoard(r.node.Board))
	for range b.workers - 1 {
		more, err := node.Start(ctx, node.Config{
			Client: r.client, Namespace: r.server.Namespace(), Components: []string{ltp.DefaultComponent},
			OrdersURL: ordersURL, Worker: true, Pace: b.pace, Meter: r.meter, Log: silent,
		})
		if err != nil {
			return nil, err
		}
		r.more = append(r.more, more)
	}
	if r.bare, err = newBare(ctx, r.client, ordersURL, b.workers); err != nil {
		return nil, err
	}
	return r, r.until(ctx, ltp.Stable)
}

// close ends everything and removes the data.
func (r *rig) close() {
	if r.bare != nil {
		r.bare.close()
	}
	for _, n := range r.more {
		n.Stop()
	}
	if r.node != nil {
		r.node.Stop()
	}
	if r.server != nil {
		_ = r.server.Stop()
	}
	if r.postgres != nil {
		r.postgres.Remove()
	}
	if r.dir != "" {
		_ = os.RemoveAll(r.dir)
	}
}

// patience is for how long a step may take: minutes, where nothing else runs.
const patience = 30 * time.Minute

// errPatience: a step has not come to its end.
var errPatience = errors.New("it has not come to its end: is the machine busy?")

// awaitDone polls until done is true.
func awaitDone(ctx context.Context, what string, done func() bool) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", what, context.Cause(ctx))
		case <-tick.C:
		}
	}
	return nil
}

// until waits for a state that was published.
func (r *rig) until(ctx context.Context, s ltp.State) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errPatience)
	defer cancel()
	_, err := r.node.Board.Wait(ctx, ltp.DefaultComponent, func(now board.Reading) bool { return now.State == s && !now.Unreadable })
	if err != nil {
		return fmt.Errorf("waiting for %s: %w", s, context.Cause(ctx))
	}
	return nil
}

// hold makes the component UNSTABLE, as an operator does.
func (r *rig) hold(ctx context.Context) error {
	if err := r.operator(ctx, ltp.HoldUpdate, ltp.Hold{By: "bench", Why: "to let orders wait"}); err != nil {
		return err
	}
	return r.until(ctx, ltp.Unstable)
}

// unhold ends the hold. RECOVERING follows after the dwell.
func (r *rig) unhold(ctx context.Context) error {
	return r.operator(ctx, ltp.ReleaseUpdate, ltp.Release{By: "bench", Why: "to have them released"})
}

func (r *rig) operator(ctx context.Context, update string, arg any) error {
	if err := board.SendUpdate(ctx, r.client, ltp.DefaultComponent, update, arg, nil); err != nil {
		return fmt.Errorf("%s: %w", update, err)
	}
	return nil
}

// published is when the state was published for the first time since a moment, by
// history.
func (r *rig) published(ctx context.Context, s ltp.State, since time.Time) (time.Time, error) {
	timeline, err := demo.Timeline(ctx, r.reader, since)
	if err != nil {
		return time.Time{}, err
	}
	for _, t := range timeline {
		if t.State == s && !t.At.Before(since) {
			return t.At.Time, nil
		}
	}
	return time.Time{}, fmt.Errorf("no %s was published", s)
}
