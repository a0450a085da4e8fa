package replay

import (
	"context"
	"fmt"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/marks"
	"github.com/ltp-node/ltp/internal/visibility"
	"github.com/ltp-node/ltp/payload"
)

// slicePage is how many orders are listed, sorted and released together.
const slicePage = 500

// backlog lists the orders that wait for a component and were deferred under an
// epoch before `before`, as the visibility store shows them: late, and for a
// moment after they have gone on.
type backlog struct {
	client    client.Client
	component string
	before    int64
	whose     string // the part of the query that names a tenant; empty is all of them
}

// of is the part of the backlog that is a tenant's.
func (b backlog) of(tenant string) backlog {
	b.whose = marks.OfTenant(tenant)
	return b
}

// waiting is one order of a backlog.
type waiting struct {
	id       string // workflow ID
	started  time.Time
	priority int
	late     bool // a release of it gave no answer in time
}

// tenant is whose order it is.
func (w waiting) tenant() string {
	id, _ := ltp.OrderID(w.id)
	tenant, _ := ltp.SplitID(id)
	return tenant
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
		newClass(1), newClass(2),
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

func newClass(priority int) class {
	return class{
		where:  fmt.Sprintf(" AND %s=%d", ltp.PriorityAttribute, priority),
		before: fmt.Sprintf(" AND %s<%d", ltp.PriorityAttribute, priority),
	}
}

// classes are the classes to list, in their order. Those of a backlog without any are
// paid with one question.
func (b backlog) classes(ctx context.Context) ([]class, error) {
	some, err := b.listing(" AND " + ltp.PriorityAttribute + " IS NOT NULL").Any(ctx)
	if err != nil {
		return nil, err
	}
	if !some {
		return []class{everything}, nil
	}
	return classes, nil
}

func (b backlog) query() string {
	return fmt.Sprintf("WorkflowType='%s' AND ExecutionStatus='Running' AND %s='%s' AND %s='%s' AND %s<%d%s",
		ltp.OrderWorkflow, ltp.StateAttribute, ltp.Deferred, ltp.ComponentAttribute, b.component, ltp.EpochAttribute, b.before, b.whose)
}

// count is how many orders are left. It costs more than a page of a long backlog.
func (b backlog) count(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithTimeout(ctx, visibility.Timeout)
	defer cancel()
	r, err := b.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: b.query()})
	if err != nil {
		return 0, fmt.Errorf("count the deferred orders of %s: %w", b.component, err)
	}
	return r.GetCount(), nil
}

// listing lists the orders of a part of the backlog.
func (b backlog) listing(where string) visibility.Listing {
	return visibility.Listing{Store: b.client, Query: b.query() + where, PageSize: slicePage}
}

// walk calls each with the orders of a class, a page at a time, in the order in which
// they were started. A zero from begins with the oldest.
func (b backlog) walk(ctx context.Context, c class, from time.Time, each func(page) error) error {
	return b.listing(c.where).Walk(ctx, from, func(s visibility.Slice) error {
		return each(page{asWaiting(s.Found), s.UpTo})
	})
}

// page is a slice of a backlog: its orders oldest first, and the time before which
// all were started that this page or an earlier one shows.
type page struct {
	orders []waiting
	upTo   time.Time
}

func asWaiting(found []visibility.Execution) []waiting {
	orders := make([]waiting, len(found))
	for i, w := range found {
		o := waiting{id: w.GetExecution().GetWorkflowId(), started: visibility.Started(w), priority: ltp.DefaultPriority}
		if p, ok := w.GetSearchAttributes().GetIndexedFields()[ltp.PriorityAttribute]; ok {
			var priority int
			if payload.Converter().FromPayload(p, &priority) == nil {
				o.priority = priority
			}
		}
		orders[i] = o
	}
	return orders
}
