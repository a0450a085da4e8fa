package main

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	sdkworker "go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/worker"
)

// The names of the bare workflows, of their activity, and of what releases them.
const (
	bareQueue         = "ltp-bench-bare"
	bareOrder         = "BareOrder"
	bareLocalOrder    = "BareLocalOrder"
	bareSignalledWait = "BareSignalledWait"
	bareUpdatedWait   = "BareUpdatedWait"
	bareActivity      = "BareWrite"
	bareRelease       = "go"
)

// The sides that more than one benchmark has.
const (
	product = "product"
	// bareSide executes by a regular activity, and is released by a signal: what people
	// write first.
	bareSide = "bare"
	// bareLocal executes by a local activity: the limit of the STABLE path.
	bareLocal = "bare-local"
	// bareUpdate executes by a local activity too, and is released by an Update that
	// awaits the end of the write: the limit of a drain.
	bareUpdate = "bare-update"
)

// bare runs orders on Temporal without a gate: the same write into the same order
// database, by a worker with the same options.
type bare struct {
	client  client.Client
	db      orderdb.DB
	workers []sdkworker.Worker
	waiting atomic.Int64 // workflows that have begun to wait
	written commits

	mu       sync.Mutex
	attempts []attempt
}

// attempt is one execution of an order that was tried.
type attempt struct {
	kind   string // of the retries: see retries
	begun  time.Time
	asked  time.Time // when the fence asked for the state; without one, as begun
	ended  time.Time
	failed bool
}

// bareInput is an order, and how its write is retried.
type bareInput struct {
	Order ltp.Order `json:"order"`
	Retry string    `json:"retry,omitempty"`
}

// The ways to retry: Temporal's default is 1 s, doubled up to 100 s.
const (
	retryDefault = "defaults"
	retryCapped  = "capped" // at 5 s
)

// bareTimeout bounds one write.
const bareTimeout = 20 * time.Second

func newBare(ctx context.Context, c client.Client, ordersURL string, workers int) (*bare, error) {
	db, err := orderdb.Open(ctx, ordersURL)
	if err != nil {
		return nil, err
	}
	b := &bare{client: c, db: db}
	for range workers {
		w := sdkworker.New(c, bareQueue, worker.OrderOptions())
		for name, of := range map[string]any{
			bareOrder: b.order, bareLocalOrder: b.localOrder, bareSignalledWait: b.awaitSignal, bareUpdatedWait: b.awaitUpdate,
		} {
			w.RegisterWorkflowWithOptions(of, workflow.RegisterOptions{Name: name})
		}
		w.RegisterActivityWithOptions(b.write, activity.RegisterOptions{Name: bareActivity})
		if err := w.Start(); err != nil {
			return nil, fmt.Errorf("start a bare worker: %w", err)
		}
		b.workers = append(b.workers, w)
	}
	return b, nil
}

func (b *bare) close() {
	for _, w := range b.workers {
		w.Stop()
	}
	_ = b.db.Close()
}

// order is a workflow with one regular activity.
func (b *bare) order(ctx workflow.Context, in bareInput) error {
	retry := &temporal.RetryPolicy{}
	if in.Retry == retryCapped {
		retry = &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second}
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: bareTimeout, RetryPolicy: retry})
	return workflow.ExecuteActivity(ctx, bareActivity, in).Get(ctx, nil)
}

// localOrder is a workflow with one local activity.
func (b *bare) localOrder(ctx workflow.Context, in bareInput) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{StartToCloseTimeout: bareTimeout})
	return workflow.ExecuteLocalActivity(ctx, bareActivity, in).Get(ctx, nil)
}

// awaitSignal is an order that first waits for a signal.
func (b *bare) awaitSignal(ctx workflow.Context, in bareInput) error {
	b.waits(ctx)
	workflow.GetSignalChannel(ctx, bareRelease).Receive(ctx, nil)
	return b.order(ctx, in)
}

// awaitUpdate is a localOrder that first waits for an Update, which is answered when the
// order was written.
func (b *bare) awaitUpdate(ctx workflow.Context, in bareInput) error {
	b.waits(ctx)
	released, written := false, false
	if err := workflow.SetUpdateHandler(ctx, bareRelease, func(ctx workflow.Context) error {
		released = true
		return workflow.Await(ctx, func() bool { return written })
	}); err != nil {
		return err
	}
	if err := workflow.Await(ctx, func() bool { return released }); err != nil {
		return err
	}
	if err := b.localOrder(ctx, in); err != nil {
		return err
	}
	written = true
	return workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) })
}

// waits counts a workflow that begins to wait.
func (b *bare) waits(ctx workflow.Context) {
	if !workflow.IsReplaying(ctx) {
		b.waiting.Add(1)
	}
}

// write is the activity.
func (b *bare) write(ctx context.Context, in bareInput) error {
	var begun time.Time
	_, err := b.db.Put(ctx, in.Order, func() (ltp.Receipt, error) { begun = time.Now(); return ltp.Receipt{}, nil })
	ended := time.Now()
	if err == nil {
		b.written.add(ended)
	}
	if in.Retry != "" {
		b.mu.Lock()
		b.attempts = append(b.attempts, attempt{kind: in.Retry, begun: begun, asked: begun, ended: ended, failed: err != nil})
		b.mu.Unlock()
	}
	return err
}

// submit starts a workflow as the product does: eagerly, where a worker is in the process.
func (b *bare) submit(ctx context.Context, workflowType string, in bareInput) (client.WorkflowRun, error) {
	return b.start(ctx, workflowType, in, true)
}

func (b *bare) start(ctx context.Context, workflowType string, in bareInput, eager bool) (client.WorkflowRun, error) {
	return b.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: bareID(in.Order.ID), TaskQueue: bareQueue, EnableEagerStart: eager,
	}, workflowType, in)
}

// bareID is the workflow ID of a bare order.
func bareID(orderID string) string { return "bare/" + orderID }
