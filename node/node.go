// Package node puts the parts of the order node together in one process: board,
// worker, order API and observers.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/metrics"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/replay/pace"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/worker"
)

// Config says which parts run, and on what.
type Config struct {
	Client    client.Client
	Namespace string
	// Components are known to this process: their orientation is started and read.
	Components []string
	Policy     ltp.Policy
	// OrdersURL is the order database, for the worker and its observer.
	OrdersURL string

	// Execution executes the orders that the order API accepts; zero is the order
	// database.
	Execution ltp.Execution

	Worker bool
	Pace   pace.Settings
	// Backstop is what orders wait by that this worker routes; zero is the default.
	Backstop ltp.Backstop
	// Observe makes this process stand ready to observe the component Observed by
	// Probe; without them, ltp.DefaultComponent by a probe of the order database. The
	// caller closes Probe after Stop.
	Observe  bool
	Observed string
	Probe    observer.Probe
	Settings observer.Settings
	Listener Listener
	// Listen is where the order API listens; nil for none. The node closes it.
	Listen net.Listener
	// MetricsListen is where a process without an order API serves /metrics; nil for
	// nowhere. The node closes it.
	MetricsListen net.Listener

	// Meter and Heartbeat are called besides the metrics; both may be nil.
	Meter     activities.Meter
	Heartbeat func(ltp.Heartbeat)
	Log       *slog.Logger
}

// Listener follows what the observer of this process does. Each may be nil, must
// return soon, and must bear several calls at once: a watch that Temporal has given up
// may still end while the next has begun.
type Listener struct {
	// Active is called when the observer becomes the active one, and when it stands by
	// again.
	Active func(bool)
	// Saw is called with every sample, Said with every verdict.
	Saw  func(observer.Status)
	Said func(ltp.Observation)
}

// migrateTimeout is how long a worker waits for an order database that hangs before
// it goes to work all the same.
const migrateTimeout = 10 * time.Second

// Node is a running node.
type Node struct {
	Board   *board.Board
	DB      orderdb.DB // nil without a worker
	Metrics *metrics.Metrics

	cancel context.CancelFunc
	done   sync.WaitGroup
	stops  []func() // in order of starting
	failed chan error
}

// Start starts the parts and returns when they run. Stop must be called, also after
// ctx has ended.
func Start(ctx context.Context, c Config) (n *Node, err error) {
	if c.Observe {
		if err := c.Settings.Validate(); err != nil {
			return nil, err
		}
	}
	if c.Worker {
		if err := c.Pace.Validate(); err != nil {
			return nil, fmt.Errorf("the pace of replays: %w", err)
		}
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	n = &Node{
		Board: board.New(c.Client, c.Components, c.Log), cancel: cancel, failed: make(chan error, 2),
	}
	defer func() {
		if err != nil {
			n.Stop()
		}
	}()
	if err := errors.Join(c.Execution.Validate(), c.Backstop.Validate()); err != nil {
		return n, err
	}
	orders := starter.New(c.Client, starter.WithExecution(c.Execution), starter.WithBoard(n.Board))
	n.Metrics = metrics.New(metrics.Config{Board: n.Board, Orders: orders})
	if missing, err := starter.Missing(ctx, c.Client, c.Namespace); err != nil {
		return n, err
	} else if len(missing) > 0 {
		return n, fmt.Errorf("namespace %s lacks the search attributes of orders: run ltp setup", c.Namespace)
	}
	if c.Worker || c.Observe {
		for _, component := range c.Components {
			if err := worker.EnsureOrientation(ctx, c.Client, component, c.Policy); err != nil {
				return n, err
			}
		}
	}
	n.done.Go(func() { n.Board.Run(running) })
	if c.Worker {
		if err := n.startWorker(ctx, c); err != nil {
			return n, err
		}
	}
	if c.Observe {
		if err := n.startObserver(c); err != nil {
			return n, err
		}
	}
	if c.Listen != nil {
		n.serve(running, c.Listen, api.New(api.Config{Starter: orders, Board: n.Board, Metrics: n.Metrics, Log: c.Log}), c.Log)
	}
	if c.MetricsListen != nil {
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", n.Metrics.Handler())
		mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
		n.serve(running, c.MetricsListen, mux, c.Log)
	}
	return n, nil
}

func (n *Node) startWorker(ctx context.Context, c Config) error {
	db, err := orderdb.Open(ctx, c.OrdersURL)
	if err != nil {
		return err
	}
	n.DB = db
	n.onStop(func() { _ = db.Close() })
	migrating, cancel := context.WithTimeout(ctx, migrateTimeout)
	defer cancel()
	if err := db.Migrate(migrating); err != nil {
		// A worker that starts during an outage must not fail because of it: the
		// orders wait, and Execute says what is missing.
		c.Log.Warn("the schema of the order database could not be checked", "error", err)
	}
	w := worker.New(c.Client, worker.Deps{
		Board: n.Board, DB: db, Pace: c.Pace, Backstop: c.Backstop, Log: c.Log,
		Meter: meters{n.Metrics, c.Meter}, Replays: n.Metrics,
	})
	if err := w.Start(); err != nil {
		return err
	}
	n.onStop(w.Stop)
	return nil
}

func (n *Node) startObserver(c Config) error {
	if c.Observed == "" {
		c.Observed = ltp.DefaultComponent
	}
	if c.Probe == nil {
		probe, err := orderdb.OpenProbe(c.OrdersURL, c.Observed)
		if err != nil {
			return err
		}
		n.onStop(func() { _ = probe.Close() })
		c.Probe = probe
	}
	watch := worker.WatchProbe(c.Probe, c.Settings, func(now observer.Status) {
		n.Metrics.Sampled(c.Observed, now)
		if c.Listener.Saw != nil {
			c.Listener.Saw(now)
		}
	})
	o := worker.NewObserver(c.Client, c.Observed, activities.ProcessName(), listening(c, n.Metrics.Watching(c.Observed, watch)), c.Log)
	if err := o.Start(); err != nil {
		return err
	}
	n.onStop(o.Stop)
	return nil
}

// listening is watch with its listeners.
func listening(c Config, watch activities.Watch) activities.Watch {
	return func(ctx context.Context, emit func(ltp.Observation), heartbeat func(ltp.Heartbeat)) error {
		if c.Listener.Active != nil {
			c.Listener.Active(true)
			defer c.Listener.Active(false)
		}
		return watch(ctx, func(o ltp.Observation) {
			emit(o)
			if c.Listener.Said != nil {
				c.Listener.Said(o)
			}
		}, func(b ltp.Heartbeat) {
			heartbeat(b)
			if c.Heartbeat != nil {
				c.Heartbeat(b)
			}
		})
	}
}

func (n *Node) serve(running context.Context, l net.Listener, handler http.Handler, log *slog.Logger) {
	serving, stop := context.WithCancel(running)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := api.Serve(serving, l, handler, log); err != nil && serving.Err() == nil {
			n.failed <- fmt.Errorf("serving stopped: %w", err)
		}
	}()
	n.onStop(func() { stop(); <-ended })
}

// Failed receives the error of a part that stopped by itself.
func (n *Node) Failed() <-chan error { return n.failed }

func (n *Node) onStop(f func()) { n.stops = append(n.stops, f) }

// Stop ends the parts, the last started first: the API answers what it has
// accepted, the observer hands over, the worker finishes its activities.
func (n *Node) Stop() {
	for i := len(n.stops) - 1; i >= 0; i-- {
		n.stops[i]()
	}
	n.stops = nil
	n.cancel()
	n.done.Wait()
}
