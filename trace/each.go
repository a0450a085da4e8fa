package trace

import (
	"context"
	"errors"
	"fmt"
	"iter"

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
// should be there and cannot be read is a Gap; an error ends it. It lists the window
// slice by slice and fetches some histories ahead; however long the window, it holds no
// others in memory.
func (r *Reader) Each(ctx context.Context, w Window) iter.Seq2[Found, error] {
	return func(yield func(Found, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		gaps, err := r.forgotten(ctx, w)
		if err != nil {
			yield(Found{}, err)
			return
		}
		for _, g := range gaps {
			if !yield(Found{Gap: &g}, nil) {
				return
			}
		}
		p := progress{tell: r.Progress}
		if p.tell != nil {
			if p.total, err = r.count(ctx, ordersQuery(w)); err != nil {
				yield(Found{}, err)
				return
			}
		}
		replaced := map[string]string{} // the later run of an order, where there is one
		for turn := range r.ahead(ctx, w) {
			a := <-turn
			if a.err != nil {
				yield(Found{}, a.err)
				return
			}
			p.one()
			for _, f := range a.run.founds(replaced) {
				if !yield(f, nil) {
					return
				}
			}
		}
		if err := ctx.Err(); err != nil {
			yield(Found{}, err)
			return
		}
		p.end()
	}
}

// progress counts what has been read.
type progress struct {
	done, total int
	tell        func(done, total int)
}

func (p *progress) one() {
	if p.done++; p.tell != nil {
		p.total = max(p.total, p.done) // more may have come
		p.tell(p.done, p.total)
	}
}

func (p *progress) end() {
	if p.tell != nil && p.done < p.total {
		p.tell(p.done, p.done)
	}
}

// answer is what became of fetching an order.
type answer struct {
	run found
	err error
}

// found is a run of an order that was listed.
type found struct {
	Found
	workflowID, listed string
	read               string // the run that was read: the listed one, or a later one
}

// founds are what a listed run tells: itself, or, where an order was reset, the later
// run in its place, which holds a copy of what counts. Each run is told once.
func (f found) founds(replaced map[string]string) []Found {
	if later, ok := replaced[f.workflowID]; ok && later == f.listed {
		return nil
	}
	if f.read == f.listed {
		return []Found{f.Found}
	}
	superseded := Found{Gap: &Gap{
		What: fmt.Sprintf("run %s of %s", f.listed, f.workflowID), Why: "a later run of the order took its place",
	}}
	if _, told := replaced[f.workflowID]; told {
		return []Found{superseded}
	}
	replaced[f.workflowID] = f.read
	return []Found{superseded, f.Found}
}

// ahead lists the orders of a window and fetches their histories in parallel, in turn.
func (r *Reader) ahead(ctx context.Context, w Window) <-chan chan answer {
	turns := make(chan chan answer, parallel-1) // one more is waited for
	next := func() (chan answer, bool) {
		turn := make(chan answer, 1)
		select {
		case turns <- turn:
			return turn, true
		case <-ctx.Done():
			return nil, false
		}
	}
	go func() {
		defer close(turns)
		err := r.walk(ctx, ordersQuery(w), func(listed *workflowpb.WorkflowExecutionInfo) bool {
			turn, ok := next()
			if ok {
				go func() {
					one, err := r.find(ctx, w, listed)
					turn <- answer{one, err}
				}()
			}
			return ok
		})
		if err != nil {
			if turn, ok := next(); ok {
				turn <- answer{err: err}
			}
		}
	}()
	return turns
}

// find reads one order. Only an error that has nothing to do with the order is one.
func (r *Reader) find(ctx context.Context, w Window, listed *workflowpb.WorkflowExecutionInfo) (found, error) {
	id, runID := listed.GetExecution().GetWorkflowId(), listed.GetExecution().GetRunId()
	f := found{workflowID: id, listed: runID, read: runID}
	events, err := r.latest(ctx, w, id, runID)
	if err == nil {
		f.Trace, err = OrderFrames(events)
	}
	var damage *DamageError
	switch {
	case errors.Is(err, ErrNotFound):
		f.Gap = &Gap{What: id, Why: "its retention passed while the trace was being read"}
	case errors.As(err, &damage):
		f.Gap = &Gap{What: id, Why: fmt.Sprintf("damaged at event %d: %v", damage.EventID, damage.Err)}
	case err != nil:
		return found{}, err
	default:
		f.Events = events
		if _, reset := resetAt(events); reset {
			f.read = f.Trace.RunID
		}
	}
	return f, nil
}

// latest fetches the history of the run of an order that was the latest at the end of
// the window. An order has more than one run only where somebody reset it.
func (r *Reader) latest(ctx context.Context, w Window, id, listed string) ([]*historypb.HistoryEvent, error) {
	events, err := r.history(ctx, id, "")
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if len(events) > 0 {
		if began, reset := resetAt(events); !reset || w.To.IsZero() || !began.After(w.To) {
			return events, nil
		}
	}
	return r.history(ctx, id, listed)
}
