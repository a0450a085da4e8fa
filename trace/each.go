package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
)

// Found is one order of a window: its trace and the events it was read from, or the
// gap where they should be.
type Found struct {
	Trace  OrderTrace
	Events []*historypb.HistoryEvent
	Gap    *Gap
}

// Each yields every order that was pending at some time in the window, also those
// accepted before it that had not ended, in the order in which they were accepted. What
// should be there and cannot be read is a Gap; an error ends it. It fetches some
// histories ahead and holds no others in memory.
func (r *Reader) Each(ctx context.Context, w Window) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		listed, gaps, err := r.pending(ctx, w)
		if err != nil {
			yield(Found{}, err)
			return
		}
		for _, g := range gaps {
			if !yield(Found{Gap: &g}, nil) {
				return
			}
		}
		r.ahead(ctx, listed, yield)
	}
}

// pending lists the orders of a window, oldest first.
func (r *Reader) pending(ctx context.Context, w Window) ([]*workflowpb.WorkflowExecutionInfo, []Gap, error) {
	listed, err := r.list(ctx, ordersQuery(w))
	if err != nil {
		return nil, nil, err
	}
	gaps, err := r.forgotten(ctx, w)
	if err != nil {
		return nil, nil, err
	}
	listed, superseded := latest(listed)
	slices.SortStableFunc(listed, func(a, b *workflowpb.WorkflowExecutionInfo) int {
		return cmp.Or(a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime()),
			cmp.Compare(a.GetExecution().GetWorkflowId(), b.GetExecution().GetWorkflowId()))
	})
	return listed, append(gaps, superseded...), nil
}

// ahead fetches histories in parallel and yields them in turn.
func (r *Reader) ahead(ctx context.Context, listed []*workflowpb.WorkflowExecutionInfo, yield func(Found, error) bool) {
	type answer struct {
		found Found
		err   error
	}
	turns := make(chan chan answer, parallel-1) // one more is waited for
	go func() {
		defer close(turns)
		for _, w := range listed {
			turn := make(chan answer, 1)
			select {
			case turns <- turn:
			case <-ctx.Done():
				return
			}
			go func() {
				found, err := r.find(ctx, w)
				turn <- answer{found, err}
			}()
		}
	}()
	done := 0
	for turn := range turns {
		a := <-turn
		if done++; r.Progress != nil && a.err == nil {
			r.Progress(done, len(listed))
		}
		if !yield(a.found, a.err) || a.err != nil {
			return
		}
	}
	if err := ctx.Err(); err != nil && done < len(listed) {
		yield(Found{}, err)
	}
}

// find reads one order. Only an error that has nothing to do with the order is one.
func (r *Reader) find(ctx context.Context, w *workflowpb.WorkflowExecutionInfo) (Found, error) {
	id := w.GetExecution().GetWorkflowId()
	events, err := r.history(ctx, id, w.GetExecution().GetRunId())
	var t OrderTrace
	if err == nil {
		t, err = OrderFrames(events)
	}
	var damage *DamageError
	switch {
	case errors.Is(err, ErrNotFound):
		return Found{Gap: &Gap{What: id, Why: "its retention passed while the trace was being read"}}, nil
	case errors.As(err, &damage):
		return Found{Gap: &Gap{What: id, Why: fmt.Sprintf("damaged at event %d: %v", damage.EventID, damage.Err)}}, nil
	case err != nil:
		return Found{}, err
	}
	return Found{Trace: t, Events: events}, nil
}
