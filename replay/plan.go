package replay

import (
	"context"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// PlannedOrder is an order that a release would release.
type PlannedOrder struct {
	OrderID    string
	WorkflowID string
	StartedAt  time.Time
	// Priority is the order's class: 0 is expedited, ltp.DefaultPriority where it has
	// none.
	Priority int
}

// Plan calls each with the orders that a release of what the component deferred
// before an epoch would release, in that order, and releases nothing. It reads as a
// release does, a page at a time: what is deferred, or goes on, while it reads may be
// missing or not. An error of each ends it.
func Plan(ctx context.Context, c client.Client, component string, before int64, each func(PlannedOrder) error) error {
	b := backlog{client: c, component: component, before: before}
	classes, err := b.classes(ctx)
	if err != nil {
		return err
	}
	for _, class := range classes {
		err := b.walk(ctx, class, time.Time{}, func(p page) error {
			for _, o := range p.orders {
				id, _ := ltp.OrderID(o.id)
				if err := each(PlannedOrder{OrderID: id, WorkflowID: o.id, StartedAt: o.started, Priority: o.priority}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}
