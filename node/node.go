// Package node is the composition root: it puts the parts of the order node together in one process: board,
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
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/replay/pace"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/webhook"
	"github.com/ltp-node/ltp/worker"
)

// Config says which parts run, and on what.
type Config struct {
	Client    client.Client
	Namespace string
	// Keys are those that the payloads of Client are encrypted with; nil where they are not.
	Keys *payload.Keys
	// Components are known to this process: their orientation is started and read.
	Components []string
	// Policy is what is asked for of them explicitly, and differs from the policy in force
	// or, where there is none, from the default. Empty asks for nothing.
	Policy ltp.PolicyChange
	// OrdersURL is the order database, for the worker and the observer of it.
	OrdersURL string
	// OrdersSchema is the schema of its tables in Postgres; empty is orderdb.DefaultSchema.
	OrdersSchema string
	// SetUpOrders has Start make the tables or bring them up to date. It is for an order
	// database that belongs to the node; any other is the matter of ltp setup.
	SetUpOrders bool
	// AwaitOrders is called with what is wrong with the tables, each time that it is something
	// else, while Start waits for somebody to mend it. Nil has Start fail at once.
	AwaitOrders func(error)
	// RejectOn names errors of the order database that refuse an order for good.
	RejectOn orderdb.Rules
	// OrdersSQL are statements of the shop's that are run for every order, in the
	// transaction that writes it: see orderdb.WithSQL. Empty is none.
	OrdersSQL string
	// WritePathEvery is how often the observer writes the probe's own order by the orders' own
	// way, of which nothing stays; 0 is never. The worker does so after an order has failed.
	WritePathEvery time.Duration

	// Execution executes the orders that the order API accepts; zero is the order
	// database.
	Execution ltp.Execution

	Worker bool
	// LateAfter is how long an order waited for a worker that is late; zero is
	// ltp.LateAfter.
	LateAfter time.Duration
	Pace      pace.Settings
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
	// Away reports that Temporal is known not to answer; nil knows nothing.
	Away func() bool
	// CheckOrder is asked of every order that the order API reads: see api.Config.Check.
	CheckOrder func(order []byte) error
	// Listen is where the order API listens for customers; nil for none. The node closes it.
	Listen net.Listener
	// Admin is where the process listens for operators; nil for nowhere. The node closes it.
	Admin net.Listener
	// Pprof serves profiles at Admin.
	Pprof bool
	// Auth is asked who makes a request at Listen and Admin; nil asks nobody: see
	// api.Config.Auth and api.AdminConfig.Auth.
	Auth api.Authenticator
	// Proxy is believed at both: see api.Config.Proxy.
	Proxy *api.Proxy

	// Stale says what could not be read anew: see api.AdminConfig.Stale. The metrics have it,
	// too.
	Stale func() map[string]error

	// Webhooks are the webhooks of tenants: the order API marks their orders, the worker sends.
	// Nil is none.
	Webhooks *webhook.Webhooks

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

// WritePathEvery is the usual pace of the writes by the orders' own way.
const WritePathEvery = 5 * time.Second

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
// ctx has ended. Where the order database is not set up for this build, Start fails before
// anything runs, with an error that [orderdb.Wrong] recognises. One that cannot be reached
// does not keep it from starting: orders wait for that.
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
	if c.OrdersURL != "" {
		if err := c.readyOrders(ctx); err != nil {
			return nil, err
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
	pageKey, err := starter.PageKey(ctx, c.Client, c.Namespace)
	if err != nil {
		return n, err
	}
	options := []starter.Option{starter.WithExecution(c.Execution), starter.WithBoard(n.Board), starter.WithPageKey(pageKey), starter.WithKeys(c.Keys)}
	if c.Webhooks != nil {
		options = append(options, starter.WithWebhooks(c.Webhooks.Has))
	}
	orders := starter.New(c.Client, options...)
	n.Metrics = metrics.New(metrics.Config{Board: n.Board, Orders: orders, Stale: c.Stale})
	if missing, err := starter.Missing(ctx, c.Client, c.Namespace); err != nil {
		return n, err
	} else if len(missing) > 0 {
		return n, fmt.Errorf("namespace %s lacks the search attributes of orders: run ltp setup", c.Namespace)
	}
	if c.Worker || c.Observe {
		if c.Policy.By == "" {
			c.Policy.By, c.Policy.Why = activities.ProcessName(), "asked for at its start"
		}
		keeper := &worker.Keeper{Client: c.Client, Components: c.Components, Policy: c.Policy, Log: c.Log}
		if err := keeper.Ensure(ctx); err != nil {
			return n, err
		}
		n.done.Go(func() { keeper.Run(running) })
	}
	n.done.Go(func() { n.Board.Run(running) })
	if c.Admin != nil { // before what operators may want to know of, and until that has stopped
		n.serve(running, c.Admin, api.NewAdmin(api.AdminConfig{Board: n.Board, Metrics: n.Metrics, Auth: c.Auth, Proxy: c.Proxy, Stale: c.Stale, Pprof: c.Pprof, Log: c.Log}), c.Log)
	}
	if c.Listen != nil {
		n.done.Go(func() { n.Board.WatchWorkers(running, c.Namespace) })
	}
	if c.Worker {
		if err := n.startWorker(ctx, c); err != nil {
			return n, err
		}
		if c.Webhooks != nil {
			if err := n.startDeliverer(c, orders); err != nil {
				return n, err
			}
		}
	}
	if c.Observe {
		if err := n.startObserver(c); err != nil {
			return n, err
		}
	}
	if c.Listen != nil {
		n.serve(running, c.Listen, api.New(api.Config{Away: c.Away, Auth: c.Auth, Proxy: c.Proxy, Check: c.CheckOrder, Starter: orders, Board: n.Board, Metrics: n.Metrics, Log: c.Log}), c.Log)
	}
	return n, nil
}

func (n *Node) startWorker(ctx context.Context, c Config) error {
	db, err := orderdb.Open(ctx, c.OrdersURL, c.ordersOptions()...)
	if err != nil {
		return err
	}
	n.DB = db
	n.onStop(func() { _ = db.Close() })
	w := worker.New(c.Client, worker.Deps{
		Board: n.Board, DB: db, WritePath: db, Namespace: c.Namespace, Pace: c.Pace, Backstop: c.Backstop, LateAfter: c.LateAfter, Log: c.Log,
		Meter: meters{n.Metrics, c.Meter}, Replays: n.Metrics, Ejected: n.Metrics.Ejected, Webhooks: n.Metrics,
	})
	if err := w.Start(); err != nil {
		return err
	}
	n.onStop(w.Stop)
	return nil
}

func (n *Node) startDeliverer(c Config, orders *starter.Starter) error {
	d := worker.NewDeliverer(c.Client, &activities.Deliveries{
		Recorded: webhook.Recorded{Orders: orders}, Endpoints: c.Webhooks, Meter: n.Metrics, Log: c.Log,
	})
	if err := d.Start(); err != nil {
		return err
	}
	n.onStop(d.Stop)
	return nil
}

func (n *Node) startObserver(c Config) error {
	if c.Observed == "" {
		c.Observed = ltp.DefaultComponent
	}
	if c.Probe == nil {
		probe, err := orderdb.OpenProbe(c.OrdersURL, c.Observed, c.ordersOptions()...)
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
	return func(ctx context.Context, last ltp.Verdict, emit func(ltp.Observation), heartbeat func(ltp.Heartbeat)) error {
		if c.Listener.Active != nil {
			c.Listener.Active(true)
			defer c.Listener.Active(false)
		}
		return watch(ctx, last, func(o ltp.Observation) {
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
