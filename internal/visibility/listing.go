// Package visibility is keyset pagination by time: it lists the executions that a query finds, oldest first and in bounded
// memory. The visibility store lists newest first only, late, and may answer with what it
// was not asked for.
package visibility

import (
	"context"
	"fmt"
	"time"

	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
)

// Timeout is how long the store may take to answer: one that hangs has failed.
const Timeout = 10 * time.Second

// Execution is one that is listed.
type Execution = *workflowpb.WorkflowExecutionInfo

// Store is the part of a client.Client that lists.
type Store interface {
	ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error)
}

// Listing is what a query finds.
type Listing struct {
	Store Store
	Query string
	// PageSize is how many executions are listed at once; Temporal lists 1000 at most.
	PageSize int
}

// Page is a page of what is there, newest first, and the token of the next.
func (l Listing) Page(ctx context.Context, token []byte) ([]Execution, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	r, err := l.Store.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: l.Query, PageSize: int32(l.PageSize), NextPageToken: token,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("list %s: %w", l.Query, err)
	}
	return r.GetExecutions(), r.GetNextPageToken(), nil
}

// Any reports whether there is an execution at all.
func (l Listing) Any(ctx context.Context) (bool, error) {
	l.PageSize = 1
	found, _, err := l.Page(ctx, nil)
	return len(found) > 0, err
}

// All is all that is there, newest first.
func (l Listing) All(ctx context.Context) ([]Execution, error) {
	found, token, err := l.Page(ctx, nil)
	if err != nil {
		return nil, err
	}
	found, _, err = l.rest(ctx, found, token)
	return found, err
}

// rest reads the pages that follow the first, until one shows nothing new: a store may
// answer with the same page for ever. It reports whether this one does; narrower slices
// are of no use then.
func (l Listing) rest(ctx context.Context, found []Execution, token []byte) (all []Execution, repeats bool, err error) {
	type key struct{ id, run string }
	keyOf := func(w Execution) key { return key{w.GetExecution().GetWorkflowId(), w.GetExecution().GetRunId()} }
	seen := make(map[key]struct{}, 2*len(found))
	for _, w := range found {
		seen[keyOf(w)] = struct{}{}
	}
	for len(token) > 0 {
		more, next, err := l.Page(ctx, token)
		if err != nil {
			return nil, false, err
		}
		before := len(found)
		for _, w := range more {
			if _, known := seen[keyOf(w)]; !known {
				seen[keyOf(w)] = struct{}{}
				found = append(found, w)
			}
		}
		if len(found) == before {
			return found, len(next) > 0, nil
		}
		token = next
	}
	return found, false, nil
}

// Between limits l to what was started from one time until before another. It asks for
// ExecutionTime, which is StartTime unless a start was delayed: there is an index of
// ExecutionTime alone, so that a slice costs what it holds. A slice of StartTime costs as
// much as the whole listing.
func (l Listing) Between(from, to time.Time) Listing {
	l.Query += fmt.Sprintf(" AND ExecutionTime>='%s' AND ExecutionTime<'%s'", from.UTC().Format(time.RFC3339Nano), to.UTC().Format(time.RFC3339Nano))
	return l
}
