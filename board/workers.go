package board

import (
	"context"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/taskqueue/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

const (
	// workersEvery is how often the task queue of orders is looked at.
	workersEvery = 5 * time.Second
	// pollsWithin is how long ago a worker has polled at most: a poll lasts a minute.
	pollsWithin = 70 * time.Second
	// behindAfter is how long an order waits at most for a worker that keeps up.
	behindAfter = 10 * time.Second
)

// Workers is what Temporal says of the workers that run orders. The zero Workers says
// nothing.
type Workers struct {
	// Polling is how many pollers have asked for orders in the last 70 s. A worker has
	// several, and one that was killed is still counted for as long.
	Polling int `json:"polling"`
	// Waiting is about how many orders wait for a worker to look at them, and
	// OldestSeconds for how long the first of them has.
	Waiting       int64   `json:"waiting"`
	OldestSeconds float64 `json:"oldest_seconds"`
	// Behind says that no worker keeps up: none polls, or orders have waited for 10 s.
	// Orders are accepted all the same, and executed once a worker is back.
	Behind bool `json:"behind"`
	// ReadAt is when Temporal was asked.
	ReadAt time.Time `json:"read_at,omitzero"`
}

// Workers is what was last read of the workers that run orders; false where nothing was
// read for some time.
func (b *Board) Workers() (Workers, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.workers, !b.workers.ReadAt.IsZero() && b.now().Sub(b.workers.ReadAt) < 3*workersEvery
}

// PutWorkers sets what is held of the workers. WatchWorkers calls it; so do tests.
func (b *Board) PutWorkers(w Workers) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.workers = w
}

// WatchWorkers reads the workers of a namespace until ctx ends. What cannot be read grows
// old.
func (b *Board) WatchWorkers(ctx context.Context, namespace string) {
	tick := time.NewTicker(workersEvery)
	defer tick.Stop()
	for {
		asking, cancel := context.WithTimeout(ctx, workersEvery)
		if w, err := ReadWorkers(asking, b.client, namespace); err == nil {
			b.PutWorkers(w)
		}
		cancel()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// ReadWorkers asks Temporal who polls for orders, and what waits for them.
func ReadWorkers(ctx context.Context, c client.Client, namespace string) (Workers, error) {
	asked := time.Now()
	r, err := c.WorkflowService().DescribeTaskQueue(ctx, &workflowservice.DescribeTaskQueueRequest{
		Namespace: namespace, TaskQueue: &taskqueue.TaskQueue{Name: ltp.OrderQueue, Kind: enumspb.TASK_QUEUE_KIND_NORMAL},
		TaskQueueType: enumspb.TASK_QUEUE_TYPE_WORKFLOW, ReportStats: true,
	})
	if err != nil {
		return Workers{}, err
	}
	w := Workers{
		Waiting: r.GetStats().GetApproximateBacklogCount(), ReadAt: asked.UTC(),
		OldestSeconds: r.GetStats().GetApproximateBacklogAge().AsDuration().Seconds(),
	}
	for _, p := range r.GetPollers() {
		if asked.Sub(p.GetLastAccessTime().AsTime()) < pollsWithin {
			w.Polling++
		}
	}
	w.Behind = w.Polling == 0 || w.OldestSeconds >= behindAfter.Seconds()
	return w, nil
}
