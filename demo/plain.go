package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
)

// Plain runs orders as people do without a gate: a workflow with one activity that
// writes, and that Temporal retries after 1 s, 2 s, 4 s and then every 5 s.
type Plain struct {
	client client.Client
	db     orderdb.DB
	worker worker.Worker

	mu       sync.Mutex
	attempts []attempt
	started  sync.WaitGroup
	ids      []string
}

// attempt is one execution of an order that was tried.
type attempt struct {
	entered time.Time
	readAt  time.Time // the fence's reading; a plain order has none
	begun   time.Time // zero when it had no connection to write over
	ended   time.Time
	failed  bool
	early   bool // the order came before the outage ended
}

const (
	plainQueue    = "ltp-demo-plain"
	plainWorkflow = "PlainOrder"
	plainActivity = "PlainWrite"
)

// NewPlain makes a worker for plain orders, with connections of its own to the order
// database. Close must be called.
func NewPlain(ctx context.Context, c client.Client, ordersURL string, opts ...orderdb.Option) (*Plain, error) {
	db, err := orderdb.Open(ctx, ordersURL, opts...)
	if err != nil {
		return nil, err
	}
	p := &Plain{client: c, db: db, worker: worker.New(c, plainQueue, worker.Options{MaxConcurrentWorkflowTaskPollers: 8})}
	p.worker.RegisterWorkflowWithOptions(plainOrder, workflow.RegisterOptions{Name: plainWorkflow})
	p.worker.RegisterActivityWithOptions(p.write, activity.RegisterOptions{Name: plainActivity})
	if err := p.worker.Start(); err != nil {
		return nil, fmt.Errorf("start the worker of plain orders: %w", err)
	}
	return p, nil
}

// Close ends the worker. Orders that have not ended are left to nobody.
func (p *Plain) Close() error {
	p.worker.Stop()
	return p.db.Close()
}

func plainOrder(ctx workflow.Context, in plainInput) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 20 * time.Second,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 5 * time.Second},
	})
	return workflow.ExecuteActivity(ctx, plainActivity, in).Get(ctx, nil)
}

// plainInput is an order, and what the figures need to know of it.
type plainInput struct {
	Order ltp.Order `json:"order"`
	Early bool      `json:"early"`
}

// write is the activity.
func (p *Plain) write(ctx context.Context, in plainInput) error {
	a := attempt{entered: time.Now(), early: in.Early}
	_, err := p.db.Put(ctx, in.Order, func() (ltp.Receipt, error) { a.begun = time.Now(); return ltp.Receipt{}, nil })
	a.ended, a.failed = time.Now(), err != nil
	p.mu.Lock()
	p.attempts = append(p.attempts, a)
	p.mu.Unlock()
	return err
}

// submit starts an order, and does not wait for it.
func (p *Plain) submit(ctx context.Context, o ltp.Order, early bool) {
	o.ID = "plain-" + o.ID
	p.started.Go(func() {
		_, err := p.client.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: o.ID, TaskQueue: plainQueue}, plainWorkflow, plainInput{o, early})
		p.mu.Lock()
		defer p.mu.Unlock()
		if err == nil {
			p.ids = append(p.ids, o.ID)
		}
	})
}

// settle waits until every order has ended, or for as long as the demo has patience.
func (p *Plain) settle(ctx context.Context) error {
	p.started.Wait()
	ending, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, id := range p.ids {
		if err := p.client.GetWorkflow(ending, id, "").Get(ending, nil); ending.Err() != nil {
			return ctx.Err() // what has not ended is missing from the figures
		} else if err != nil {
			return fmt.Errorf("plain order %s: %w", id, err)
		}
	}
	return nil
}

// Approach is how one way of executing orders fared in the outage.
type Approach struct {
	Executed int `json:"executed"`
	// Failed are the executions that were tried while the order database took no writes,
	// and failed; FailedWrites those among them that had a connection and began to write.
	Failed       int `json:"failed"`
	FailedWrites int `json:"failed_writes"`
	// FailedKnowingly and FailedWritesKnowingly are those among them that were tried, or
	// begun, when UNSTABLE was published. Where the fence ends an execution that was
	// admitted a moment before, it failed knowingly, and began no write.
	FailedKnowingly       int `json:"failed_knowingly"`
	FailedWritesKnowingly int `json:"failed_writes_knowingly"`
	// LastCommitMs runs from the end of the outage to the last commit of an order that
	// came before that end.
	LastCommitMs int64 `json:"last_commit_ms"`
}

// Comparison is the same outage for as many orders in the same run: with the gate, and
// with retries alone.
type Comparison struct {
	Gate  Approach `json:"gate"`
	Plain Approach `json:"plain"`
}

// fared sums attempts up.
func fared(attempts []attempt, o Outage) Approach {
	var a Approach
	detected := o.BeganAt.Add(time.Duration(o.DetectedAfterMs) * time.Millisecond)
	known := func(t time.Time) bool { return o.DetectedAfterMs > 0 && t.After(detected) }
	for _, t := range attempts {
		if !t.failed {
			a.Executed++
			if after := t.ended.Sub(o.EndedAt.Time).Milliseconds(); t.early {
				a.LastCommitMs = max(a.LastCommitMs, after)
			}
			continue
		}
		if t.entered.Before(o.BeganAt.Time) || t.entered.After(o.EndedAt.Time) {
			continue
		}
		a.Failed++
		if known(t.entered) {
			a.FailedKnowingly++
		}
		if t.begun.IsZero() {
			continue
		}
		a.FailedWrites++
		if known(t.begun) {
			a.FailedWritesKnowingly++
		}
	}
	return a
}
