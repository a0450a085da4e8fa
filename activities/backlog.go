package activities

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// backlog lists the orders that wait for a component and were deferred under an
// epoch before `before`, as the visibility store shows them: late, and for a
// moment after they have gone on.
type backlog struct {
	client    client.Client
	component string
	before    int64
}

// deferred is one order of a backlog.
type deferred struct {
	id      string // workflow ID
	started time.Time
}

// slicePage is how many orders are listed, sorted and released together.
const slicePage = 500

func (b backlog) query() string {
	return fmt.Sprintf("WorkflowType='%s' AND ExecutionStatus='Running' AND %s='%s' AND %s='%s' AND %s<%d",
		ltp.OrderWorkflow, ltp.StateAttribute, ltp.Deferred, ltp.ComponentAttribute, b.component, ltp.EpochAttribute, b.before)
}

func (b backlog) count(ctx context.Context, where string) (int64, error) {
	r, err := b.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: b.query() + where})
	if err != nil {
		return 0, fmt.Errorf("count the deferred orders of %s: %w", b.component, err)
	}
	return r.GetCount(), nil
}

func (r *release) count(ctx context.Context) (int64, error) {
	return backlog{client: r.Client, component: r.in.Component, before: r.in.Epoch}.count(ctx, "")
}

// oldestFirst calls each with slices of the backlog, in the order in which the
// orders were started. The store lists newest first only, so the time line is
// halved until a slice fits on a page.
func (b backlog) oldestFirst(ctx context.Context, each func([]deferred) error) error {
	now := time.Now().UTC()
	from, err := b.beginning(ctx, now)
	if err != nil {
		return err
	}
	if err := b.walk(ctx, from, now, each); err != nil {
		return err
	}
	return b.walk(ctx, now, now.Add(24*time.Hour), each) // started meanwhile, or by a clock that is ahead
}

// beginning is a time before which no order of the backlog was started. It looks
// back twice as far each time, so that a backlog of minutes costs a few counts.
func (b backlog) beginning(ctx context.Context, to time.Time) (time.Time, error) {
	for back := 2 * time.Minute; ; back *= 2 {
		from := to.Add(-back)
		if from.Year() < 2000 {
			return time.Unix(0, 0).UTC(), nil
		}
		n, err := b.count(ctx, started(time.Unix(0, 0), from))
		if err != nil || n == 0 {
			return from, err
		}
	}
}

func (b backlog) walk(ctx context.Context, from, to time.Time, each func([]deferred) error) error {
	const finest = 10 * time.Millisecond
	where := started(from, to)
	n, err := b.count(ctx, where)
	if err != nil || n == 0 {
		return err
	}
	if n > slicePage && to.Sub(from) > finest {
		half := from.Add(to.Sub(from) / 2)
		if err := b.walk(ctx, from, half, each); err != nil {
			return err
		}
		return b.walk(ctx, half, to, each)
	}
	orders, err := b.list(ctx, where)
	if err != nil {
		return err
	}
	slices.SortStableFunc(orders, func(x, y deferred) int {
		if c := x.started.Compare(y.started); c != 0 {
			return c
		}
		return strings.Compare(x.id, y.id)
	})
	return each(orders)
}

// started limits a query to orders started from one time until before another.
func started(from, to time.Time) string {
	return fmt.Sprintf(" AND StartTime>='%s' AND StartTime<'%s'", from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano))
}

func (b backlog) list(ctx context.Context, where string) ([]deferred, error) {
	var orders []deferred
	request := &workflowservice.ListWorkflowExecutionsRequest{Query: b.query() + where, PageSize: slicePage}
	for {
		page, err := b.client.ListWorkflow(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("list the deferred orders of %s: %w", b.component, err)
		}
		orders = append(orders, asDeferred(page.GetExecutions())...)
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			return orders, nil
		}
	}
}

func asDeferred(found []*workflowpb.WorkflowExecutionInfo) []deferred {
	orders := make([]deferred, len(found))
	for i, w := range found {
		orders[i] = deferred{id: w.GetExecution().GetWorkflowId(), started: w.GetStartTime().AsTime()}
	}
	return orders
}
