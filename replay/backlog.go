package replay

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
)

const (
	// slicePage is how many orders are listed, sorted and released together.
	slicePage = 500
	// askTimeout is how long the visibility store may take to answer: one that hangs has
	// failed.
	askTimeout = 10 * time.Second
)

// backlog lists the orders that wait for a component and were deferred under an
// epoch before `before`, as the visibility store shows them: late, and for a
// moment after they have gone on.
type backlog struct {
	client    client.Client
	component string
	before    int64
}

// waiting is one order of a backlog.
type waiting struct {
	id       string // workflow ID
	started  time.Time
	priority int
	late     bool // a release of it gave no answer in time
}

// class is a part of a backlog that is released before the next: its query, and that
// of all that goes before it. Every order is in a class: one without a priority in the
// default one, and one with a priority out of range in the first or the last.
type class struct {
	where, before string
}

// usual reports whether c holds the orders that no class was chosen for.
func (c class) usual() bool { return c == classes[3] || c == everything }

var (
	classes = []class{
		{where: " AND " + ltp.PriorityAttribute + "<1"},
		among(1), among(2),
		{
			where:  fmt.Sprintf(" AND (%[1]s IS NULL OR %[1]s=%[2]d)", ltp.PriorityAttribute, ltp.DefaultPriority),
			before: fmt.Sprintf(" AND %s<%d", ltp.PriorityAttribute, ltp.DefaultPriority),
		},
		{
			where:  " AND " + ltp.PriorityAttribute + "=4",
			before: fmt.Sprintf(" AND (%[1]s IS NULL OR %[1]s<4)", ltp.PriorityAttribute),
		},
		{
			where:  fmt.Sprintf(" AND %s>=%d", ltp.PriorityAttribute, ltp.LastPriority),
			before: fmt.Sprintf(" AND (%[1]s IS NULL OR %[1]s<%[2]d)", ltp.PriorityAttribute, ltp.LastPriority),
		},
	}
	// everything is the one class of a backlog in which no order has any.
	everything = class{before: classes[3].before}
)

func among(priority int) class {
	return class{
		where:  fmt.Sprintf(" AND %s=%d", ltp.PriorityAttribute, priority),
		before: fmt.Sprintf(" AND %s<%d", ltp.PriorityAttribute, priority),
	}
}

// classes are the classes to list, in their order. Those of a backlog without any are
// paid with one question.
func (b backlog) classes(ctx context.Context) ([]class, error) {
	some, err := b.some(ctx, " AND "+ltp.PriorityAttribute+" IS NOT NULL")
	if err != nil {
		return nil, err
	}
	if !some {
		return []class{everything}, nil
	}
	return classes, nil
}

func (b backlog) query() string {
	return fmt.Sprintf("WorkflowType='%s' AND ExecutionStatus='Running' AND %s='%s' AND %s='%s' AND %s<%d",
		ltp.OrderWorkflow, ltp.StateAttribute, ltp.Deferred, ltp.ComponentAttribute, b.component, ltp.EpochAttribute, b.before)
}

// count is how many orders are left. It costs more than a page of a long backlog.
func (b backlog) count(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := b.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: b.query()})
	if err != nil {
		return 0, fmt.Errorf("count the deferred orders of %s: %w", b.component, err)
	}
	return r.GetCount(), nil
}

// some reports whether there is an order at all.
func (b backlog) some(ctx context.Context, where string) (bool, error) {
	orders, _, err := b.list(ctx, where, 1, nil)
	return len(orders) > 0, err
}

// list is a page of what is there, newest first, and the token of the next.
func (b backlog) list(ctx context.Context, where string, size int, token []byte) ([]waiting, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	r, err := b.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: b.query() + where, PageSize: int32(size), NextPageToken: token,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list the deferred orders of %s: %w", b.component, err)
	}
	orders := make([]waiting, len(r.GetExecutions()))
	for i, w := range r.GetExecutions() {
		orders[i] = asWaiting(w)
	}
	return orders, r.GetNextPageToken(), nil
}

func asWaiting(w *workflowpb.WorkflowExecutionInfo) waiting {
	o := waiting{id: w.GetExecution().GetWorkflowId(), started: w.GetStartTime().AsTime(), priority: ltp.DefaultPriority}
	if p, ok := w.GetSearchAttributes().GetIndexedFields()[ltp.PriorityAttribute]; ok {
		var priority int
		if converter.GetDefaultDataConverter().FromPayload(p, &priority) == nil {
			o.priority = priority
		}
	}
	return o
}

// inTurn sorts orders oldest first.
func inTurn(orders []waiting) {
	slices.SortFunc(orders, func(x, y waiting) int {
		return cmp.Or(x.started.Compare(y.started), cmp.Compare(x.id, y.id))
	})
}

// slice limits a query to orders started from one time until before another.
func slice(from, to time.Time) string {
	return fmt.Sprintf(" AND StartTime>='%s' AND StartTime<'%s'", from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano))
}
