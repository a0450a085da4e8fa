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

// The names of the bare workflows and their activity.
const (
	bareQueue    = "ltp-bench-bare"
	bareOrder    = "BareOrder"
	bareWaiting  = "BareWaiting"
	bareActivity = "BareWrite"
	bareSignal   = "go"
)

// bare runs orders on Temporal without a gate: the same write into the same order
// database, by a worker with the same options.
type bare struct {
	client client.Client
	db     orderdb.DB
	worker sdkworker.Worker
	// waiting counts the workflows that have begun to wait, written the orders that were
	// written, and last is when the last of them was, in Unix nanoseconds.
	waiting, written, last atomic.Int64

	mu       sync.Mutex
	attempts []attempt
}

// attempt is one execution of an order that was tried.
type attempt struct {
	kind   string // of the retries: see retries
	begun  time.Time
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

func newBare(ctx context.Context, c client.Client, ordersURL string) (*bare, error) {
	db, err := orderdb.Open(ctx, ordersURL)
	if err != nil {
		return nil, err
	}
	b := &bare{client: c, db: db, worker: sdkworker.New(c, bareQueue, worker.OrderOptions())}
	b.worker.RegisterWorkflowWithOptions(b.order, workflow.RegisterOptions{Name: bareOrder})
	b.worker.RegisterWorkflowWithOptions(b.wait, workflow.RegisterOptions{Name: bareWaiting})
	b.worker.RegisterActivityWithOptions(b.write, activity.RegisterOptions{Name: bareActivity})
	if err := b.worker.Start(); err != nil {
		return nil, fmt.Errorf("start the bare worker: %w", err)
	}
	return b, nil
}

func (b *bare) close() {
	b.worker.Stop()
	_ = b.db.Close()
}

// order is a workflow with one activity.
func (b *bare) order(ctx workflow.Context, in bareInput) error {
	retry := &temporal.RetryPolicy{}
	if in.Retry == retryCapped {
		retry = &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second}
	}
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{StartToCloseTimeout: 20 * time.Second, RetryPolicy: retry})
	return workflow.ExecuteActivity(ctx, bareActivity, in).Get(ctx, nil)
}

// wait is one that first waits for a signal.
func (b *bare) wait(ctx workflow.Context, in bareInput) error {
	if !workflow.IsReplaying(ctx) {
		b.waiting.Add(1)
	}
	workflow.GetSignalChannel(ctx, bareSignal).Receive(ctx, nil)
	return b.order(ctx, in)
}

// write is the activity.
func (b *bare) write(ctx context.Context, in bareInput) error {
	var begun time.Time
	_, err := b.db.Put(ctx, in.Order, func() error { begun = time.Now(); return nil })
	ended := time.Now()
	if err == nil {
		b.written.Add(1)
		b.last.Store(ended.UnixNano())
	}
	if in.Retry != "" {
		b.mu.Lock()
		b.attempts = append(b.attempts, attempt{kind: in.Retry, begun: begun, ended: ended, failed: err != nil})
		b.mu.Unlock()
	}
	return err
}

// submit starts a workflow as the product does: eagerly, where a worker is at hand.
func (b *bare) submit(ctx context.Context, workflowType string, in bareInput) (client.WorkflowRun, error) {
	return b.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID: bareID(in.Order.ID), TaskQueue: bareQueue, EnableEagerStart: true,
	}, workflowType, in)
}

// bareID is the workflow ID of a bare order.
func bareID(orderID string) string { return "bare/" + orderID }
