// Package worker registers the workflows and activities and runs them.
package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
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
	// Backstop is what deferred orders wait by; zero is the default.
	Backstop ltp.Backstop
	// Meter measures orders, Replays what is released; both may be nil.
	Meter   activities.Meter
	Replays replay.Meter
	Log     *slog.Logger
}

// Worker runs orders and their sequences on one task queue, and Orientation and Replay on
// another, so that news of a component never queues behind orders.
type Worker struct{ orders, control worker.Worker }

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
	w := &Worker{
		orders: worker.New(c, ltp.OrderQueue, OrderOptions()),
		control: worker.New(c, ltp.ControlQueue, worker.Options{
			WorkerStopTimeout:            workerStopTimeout,
			MaxHeartbeatThrottleInterval: heartbeatEvery,
		}),
	}
	RegisterOrders(w.orders, &activities.Orders{Board: d.Board, DB: d.DB, Meter: d.Meter, Backstop: d.Backstop})
	RegisterSequences(w.orders, &activities.Sequences{Client: c})
	RegisterControl(w.control, &replay.Engine{Client: c, Board: d.Board, Pace: d.Pace, Meter: d.Replays, Log: d.Log})
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

// Start begins to work and returns; an error says that nothing runs.
func (w *Worker) Start() error {
	if err := w.control.Start(); err != nil {
		return fmt.Errorf("start the control worker: %w", err)
	}
	if err := w.orders.Start(); err != nil {
		w.control.Stop()
		return fmt.Errorf("start the order worker: %w", err)
	}
	return nil
}

// Stop lets what runs finish, for some seconds at most, and returns.
func (w *Worker) Stop() {
	w.orders.Stop()
	w.control.Stop()
}

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

// EnsureOrientation starts the Orientation workflow of a component unless it runs already, so
// that orders may depend on the component. The state begins as UNKNOWN; epochs go
// on from those of an earlier workflow that was ended, as far as Temporal still
// remembers it.
func EnsureOrientation(ctx context.Context, c client.Client, component string, policy ltp.Policy) error {
	if err := ltp.ValidComponent(component); err != nil {
		return err
	}
	if err := policy.Validate(); err != nil {
		return err
	}
	id := ltp.OrientationWorkflowID(component)
	epoch, running, err := lastEpoch(ctx, c, id)
	if err != nil || running {
		return err
	}
	_, err = c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       id,
		TaskQueue:                ltp.ControlQueue,
		WorkflowIDConflictPolicy: enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		StaticSummary:            "orientation of " + component,
		// Also one that ends before its first task has its epoch remembered.
		Memo:          map[string]any{ltp.OrientationMemo: ltp.NewCondition(component, epoch, time.Now().UTC()).Orientation},
		StaticDetails: "Owns the state of " + component + ". The memo holds the orientation in force; each WorkflowPropertiesModified event is an orientation frame.",
	}, ltp.OrientationWorkflow, ltp.OrientationInput{Component: component, Policy: policy, Epoch: epoch})
	if err != nil {
		return fmt.Errorf("start the orientation of %s: %w", component, err)
	}
	return nil
}

func lastEpoch(ctx context.Context, c client.Client, id string) (epoch int64, running bool, err error) {
	d, err := c.DescribeWorkflowExecution(ctx, id, "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("look for %s: %w", id, err)
	}
	var o ltp.Orientation
	if p, ok := d.GetWorkflowExecutionInfo().GetMemo().GetFields()[ltp.OrientationMemo]; ok {
		if err := converter.GetDefaultDataConverter().FromPayload(p, &o); err != nil {
			return 0, false, fmt.Errorf("read the memo of %s: %w", id, err)
		}
	}
	return o.Epoch, d.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}
