package trace

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
)

const (
	// sliceMost is how many listed orders are held at most, unless more were started in
	// the same sliceFinest.
	sliceMost   = 2000
	sliceFinest = 10 * time.Millisecond
)

// walk lists what a query finds slice by slice of StartTime, and calls each with one
// execution after the other, oldest first, until it returns false. The store lists
// newest first only, and only one slice is held.
func (r *Reader) walk(ctx context.Context, query string, each func(*workflowpb.WorkflowExecutionInfo) bool) error {
	now := time.Now().UTC()
	from, err := r.beginning(ctx, query, now)
	if err != nil {
		return err
	}
	last := now.Add(24 * time.Hour) // started meanwhile, or by a clock that is ahead
	for width := time.Minute; from.Before(last); {
		to := from.Add(width)
		if to.After(last) {
			to = last
		}
		if from.Before(now) && to.After(now) {
			to = now
		}
		slice, whole, err := r.slice(ctx, query+startedIn(from, to), width > sliceFinest)
		if err != nil {
			return err
		}
		if !whole {
			width /= 2
			continue
		}
		for _, w := range slice {
			if !each(w) {
				return nil
			}
		}
		if from = to; len(slice) < sliceMost/4 {
			width *= 2
		}
	}
	return nil
}

// beginning is a time before which nothing that the query finds was started. It looks
// back twice as far each time.
func (r *Reader) beginning(ctx context.Context, query string, to time.Time) (time.Time, error) {
	for back := 2 * time.Minute; ; back *= 2 {
		from := to.Add(-back)
		if from.Year() < 2000 {
			return time.Unix(0, 0).UTC(), nil
		}
		page, err := r.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
			Query: query + startedIn(time.Unix(0, 0), from), PageSize: 1,
		})
		if err != nil {
			return time.Time{}, fmt.Errorf("list %s: %w", query, err)
		}
		if len(page.GetExecutions()) == 0 {
			return from, nil
		}
	}
}

// startedIn limits a query to what was started from one time until before another.
func startedIn(from, to time.Time) string {
	return fmt.Sprintf(" AND StartTime>='%s' AND StartTime<'%s'", from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano))
}

// slice lists what a query finds, oldest first. It gives up, and says that it is not
// the whole, when that is more than sliceMost and may be bounded.
func (r *Reader) slice(ctx context.Context, query string, bounded bool) (found []*workflowpb.WorkflowExecutionInfo, whole bool, err error) {
	request := &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: 1000}
	for {
		page, err := r.client.ListWorkflow(ctx, request)
		if err != nil {
			return nil, false, fmt.Errorf("list %s: %w", query, err)
		}
		found = append(found, page.GetExecutions()...)
		if bounded && len(found) > sliceMost {
			return nil, false, nil
		}
		if request.NextPageToken = page.GetNextPageToken(); len(request.NextPageToken) == 0 {
			break
		}
	}
	slices.SortStableFunc(found, func(a, b *workflowpb.WorkflowExecutionInfo) int {
		return cmp.Or(a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime()),
			cmp.Compare(a.GetExecution().GetWorkflowId(), b.GetExecution().GetWorkflowId()))
	})
	return found, true, nil
}

// count is how many executions a query finds, as the visibility store shows them.
func (r *Reader) count(ctx context.Context, query string) (int, error) {
	answer, err := r.client.WorkflowService().CountWorkflowExecutions(ctx, &workflowservice.CountWorkflowExecutionsRequest{
		Namespace: r.namespace, Query: query,
	})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", query, err)
	}
	return int(answer.GetCount()), nil
}
