// Package worker registers the workflows and activities and runs them. One that fails alone
// takes itself out of service: outlier detection.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay"
	"github.com/ltp-node/ltp/replay/pace"
	"github.com/ltp-node/ltp/workflows"
)

// Deps is what a worker works with.
type Deps struct {
	Board *board.Board
	DB    activities.OrderWriter
	Pace  pace.Settings
	// WritePath tries the way that orders take into the database after one of them has failed.
	WritePath activities.WritePath
	// Namespace is Temporal's, of the client.
	Namespace string
	// Backstop is what deferred orders wait by; zero is the default.
	Backstop ltp.Backstop
	// LateAfter is how long an order waited that is late; zero is ltp.LateAfter.
	LateAfter time.Duration
	// Meter measures orders, Replays what is released, and Ejected is called as the worker
	// stops to run orders because it fails alone, and as it begins again; each may be nil.
	Meter   activities.Meter
	Replays replay.Meter
	Ejected func(bool)
	// Webhooks counts what becomes of webhooks; it may be nil.
	Webhooks activities.WebhookMeter
	Log      *slog.Logger
}

// Worker runs orders and their sequences on one task queue, and Orientation and Replay on
// another, so that news of a component never queues behind orders. While its own way into
// the order database fails and other workers' does not, it runs no orders.
type Worker struct {
	orders  *outlier
	control worker.Worker
	client  client.Client
	board   *board.Board
	log     *slog.Logger
}

// OrderOptions are those of the worker that runs orders, for who wants to compare.
func OrderOptions() worker.Options {
	return worker.Options{
		// A task that finds no poll waiting is written down first, and read again.
		MaxConcurrentWorkflowTaskPollers: 16,
		MaxConcurrentActivityTaskPollers: 4,
		WorkerStopTimeout:                workerStopTimeout,
	}
}

// New makes a worker. It polls nothing before Start.
func New(c client.Client, d Deps) *Worker {
	name := activities.ProcessName()
	w := &Worker{
		client: c, board: d.Board, log: d.Log,
		control: worker.New(c, ltp.ControlQueue, worker.Options{
			WorkerStopTimeout:            workerStopTimeout,
			MaxHeartbeatThrottleInterval: heartbeatEvery,
		}),
	}
	witness := Witness(c)
	w.orders = &outlier{
		fit:      func(component string) bool { return d.Board.Orientation(component).State.Fit() },
		executed: func(ctx context.Context, since time.Time) (time.Time, error) { return witness(ctx, "", since) },
		unstick: func(ctx context.Context, orderID string) error {
			_, err := c.WorkflowService().ResetStickyTaskQueue(ctx, &workflowservice.ResetStickyTaskQueueRequest{
				Namespace: d.Namespace, Execution: &commonpb.WorkflowExecution{WorkflowId: ltp.OrderWorkflowID(orderID)},
			})
			return err
		},
		ejected: d.Ejected, log: d.Log,
	}
	if d.WritePath != nil {
		w.orders.try = d.WritePath.TryWritePath
	}
	orders := &activities.Orders{
		Board: d.Board, DB: d.DB, Meter: d.Meter, Backstop: d.Backstop, LateAfter: d.LateAfter, Worker: name, WritePath: d.WritePath, Witness: witness,
		Evidence: &activities.Evidence{Client: c, Worker: name, Log: d.Log}, Suspect: w.orders.suspect, Commit: w.orders.commit,
	}
	announcer := &activities.Announcer{Client: c, Log: d.Log}
	if d.Webhooks != nil {
		announcer.Missed = func() { d.Webhooks.Sent(activities.Missed) }
	}
	w.orders.make = func() worker.Worker {
		made := worker.New(c, ltp.OrderQueue, OrderOptions())
		RegisterOrders(made, orders)
		made.RegisterActivity(announcer)
		RegisterSequences(made, &activities.Sequences{Client: c})
		return made
	}
	RegisterControl(w.control, &replay.Engine{Client: c, Worker: name, Board: d.Board, Pace: d.Pace, Meter: d.Replays, Log: d.Log})
	return w
}

// RegisterOrders registers what runs on the order queue.
func RegisterOrders(r worker.Registry, a *activities.Orders) {
	r.RegisterWorkflowWithOptions(workflows.Order, workflow.RegisterOptions{Name: ltp.OrderWorkflow})
	r.RegisterActivity(a)
}

// RegisterSequences registers the sequences of ordering keys, which run on the order queue:
// on that of the control, news of a component would queue behind the orders that join.
func RegisterSequences(r worker.Registry, s *activities.Sequences) {
	r.RegisterWorkflowWithOptions(workflows.Sequence, workflow.RegisterOptions{Name: ltp.SequenceWorkflow})
	r.RegisterActivity(s)
}

// RegisterControl registers what runs on the control queue.
func RegisterControl(r worker.Registry, e *replay.Engine) {
	r.RegisterWorkflowWithOptions(workflows.Orientation, workflow.RegisterOptions{Name: ltp.OrientationWorkflow})
	r.RegisterWorkflowWithOptions(workflows.Replay, workflow.RegisterOptions{Name: ltp.ReplayWorkflow})
	r.RegisterActivity(e)
}

// Start begins to work and returns; an error says that nothing runs. It takes no order
// before the Orientations have taken in what was said while no worker ran.
func (w *Worker) Start() error {
	if err := w.control.Start(); err != nil {
		return fmt.Errorf("start the control worker: %w", err)
	}
	w.catchUp()
	if err := w.orders.start(); err != nil {
		w.control.Stop()
		return fmt.Errorf("start the order worker: %w", err)
	}
	return nil
}

// catchUpWithin bounds how long orders wait for the Orientations at the start of a worker.
const catchUpWithin = 10 * time.Second

// catchUp returns when each Orientation has taken in all that was sent to it before (a query
// is answered after that), and the board has read what became of it. Orders would be written
// into a component that observers have found unfit meanwhile.
func (w *Worker) catchUp() {
	ctx, cancel := context.WithTimeout(context.Background(), catchUpWithin)
	defer cancel()
	var all sync.WaitGroup
	for _, component := range w.board.Components() {
		all.Go(func() {
			_, err := w.client.QueryWorkflow(ctx, ltp.OrientationWorkflowID(component), "", client.QueryTypeStackTrace)
			switch {
			case errors.As(err, new(*serviceerror.NotFound)):
				return
			case err != nil:
				w.log.Warn("the Orientation may not have taken in what was said while no worker ran", "component", component, "error", err)
				return
			}
			_, _ = w.board.Fresh(ctx, component) // what it cannot read, it does not hold true for long
		})
	}
	all.Wait()
}

// Stop lets what runs finish, for some seconds at most, and returns.
func (w *Worker) Stop() {
	w.orders.stop()
	w.control.Stop()
}

// deliveriesAtOnce is how many webhooks a process sends at the same time.
const deliveriesAtOnce = 200

// Deliverer sends the webhooks of orders. It has a task queue of its own, so that endpoints
// that are slow take nothing from orders.
type Deliverer struct{ worker worker.Worker }

// NewDeliverer makes a Deliverer.
func NewDeliverer(c client.Client, d *activities.Deliveries) *Deliverer {
	w := worker.New(c, ltp.WebhookQueue, worker.Options{
		MaxConcurrentActivityExecutionSize: deliveriesAtOnce,
		MaxConcurrentActivityTaskPollers:   4,
		WorkerStopTimeout:                  workerStopTimeout,
	})
	w.RegisterWorkflowWithOptions(workflows.Delivery, workflow.RegisterOptions{Name: ltp.DeliveryWorkflow})
	w.RegisterActivity(d)
	return &Deliverer{w}
}

// Start begins to send.
func (d *Deliverer) Start() error {
	if err := d.worker.Start(); err != nil {
		return fmt.Errorf("start to deliver webhooks: %w", err)
	}
	return nil
}

// Stop lets what is being sent finish, for some seconds at most. What is cut off is sent again.
func (d *Deliverer) Stop() { d.worker.Stop() }

// Observer is a process's observer of one component.
type Observer struct{ worker worker.Worker }

// NewObserver makes an observer that stands ready to be the active one.
func NewObserver(c client.Client, component, name string, watch activities.Watch, log *slog.Logger) *Observer {
	w := worker.New(c, ltp.ObserveQueue(component), worker.Options{
		DisableWorkflowWorker: true,
		// Who observes does not ask for more: a frozen observer would be appointed to
		// succeed itself for as long as Temporal takes it to be listening.
		MaxConcurrentActivityExecutionSize: 1,
		WorkerStopTimeout:                  workerStopTimeout,
		MaxHeartbeatThrottleInterval:       heartbeatEvery,
	})
	w.RegisterActivity(&activities.Observer{Client: c, Name: name, Watch: watch, Log: log})
	return &Observer{w}
}

// Start begins to stand ready.
func (o *Observer) Start() error {
	if err := o.worker.Start(); err != nil {
		return fmt.Errorf("start the observer: %w", err)
	}
	return nil
}

// Stop hands over and returns.
func (o *Observer) Stop() { o.worker.Stop() }
