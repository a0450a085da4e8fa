package demo

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// writes are what the demo knows of the workers' attempts: in the meter of the worker in
// its own process, or from afar.
type writes interface {
	reset()
	counts() (deferred, executed int, latency time.Duration)
	// attempted are the attempts to write, of the orders with these records.
	attempted([]record) []attempt
}

// elsewhere follows workers in other processes by what Temporal lists of the demo's
// orders. The latency of the observer's writes is not known there.
type elsewhere struct {
	client    client.Client
	namespace string
	run       string // the prefix of the IDs of the demo's orders

	mu       sync.Mutex
	deferred int // the most that were deferred at once
	executed int // those that have ended
}

// listEvery is the pause between two counts.
const listEvery = time.Second

// follow counts until the returned function is called. A count that fails is left out.
func (e *elsewhere) follow(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(listEvery)
		defer tick.Stop()
		for {
			waiting, err := e.count(ctx, fmt.Sprintf("%s = '%s' AND ExecutionStatus = 'Running'", ltp.StateAttribute, ltp.Deferred))
			ended, otherErr := e.count(ctx, "ExecutionStatus = 'Completed'")
			if err == nil && otherErr == nil {
				e.mu.Lock()
				e.deferred, e.executed = max(e.deferred, waiting), ended
				e.mu.Unlock()
			}
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
	return func() { cancel(); done.Wait() }
}

func (e *elsewhere) count(ctx context.Context, query string) (int, error) {
	r, err := e.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: e.namespace,
		Query:     fmt.Sprintf("WorkflowId STARTS_WITH '%s-' AND %s", ltp.OrderWorkflowID(e.run), query),
	})
	return int(r.GetCount()), err
}

// reset implements writes: no order has the prefix before the demo's first.
func (e *elsewhere) reset() {}

func (e *elsewhere) counts() (deferred, executed int, latency time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.deferred, e.executed, 0
}

// attempted are those that Temporal has recorded.
func (e *elsewhere) attempted(records []record) []attempt {
	var all []attempt
	for _, r := range records {
		for _, x := range r.trace.Executions {
			all = append(all, attempt{entered: x.TaskAt, readAt: x.Fence.ReadAt, begun: x.BegunAt, ended: x.EndedAt, failed: x.Result != ltp.ResultExecuted})
		}
	}
	return all
}
