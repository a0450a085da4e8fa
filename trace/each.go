package trace

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp/internal/visibility"
)

// Found is one order of a window: its trace and the events of all its runs that it was
// read from, or the gap where they should be.
type Found struct {
	Trace  OrderTrace
	Events []*historypb.HistoryEvent
	Gap    *Gap
}

// Each yields every order that was pending at some time in the window, also those
// accepted before it that had not ended, in the order in which the first of their runs
// was started that ended in the window or after it. What
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
		p := progress{report: r.Progress}
		if p.report != nil {
			if p.total, err = r.count(ctx, ordersQuery(w)); err != nil {
				yield(Found{}, err)
				return
			}
		}
		yielded := map[string][]string{} // the runs of an order that has several
		for turn := range r.ahead(ctx, w) {
			a := <-turn
			if a.err != nil {
				yield(Found{}, a.err)
				return
			}
			p.one()
			for _, f := range a.run.founds(yielded) {
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
	report      func(done, total int)
}

func (p *progress) one() {
	if p.done++; p.report != nil {
		p.total = max(p.total, p.done) // more may have come
		p.report(p.done, p.total)
	}
}

func (p *progress) end() {
	if p.report != nil && p.done < p.total {
		p.report(p.done, p.done)
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
	replaced           bool // by a later run, which a reset made
}

// founds are what a listed run stands for: its order, once, with all its runs. Where an
// order was reset, a later run holds a copy of what counts, and takes its place.
func (f found) founds(yielded map[string][]string) (all []Found) {
	before, again := yielded[f.workflowID]
	runs := f.Trace.Runs
	switch {
	case slices.Contains(before, f.listed):
		return nil
	case f.replaced:
		all = append(all, Found{Gap: &Gap{
			What: fmt.Sprintf("run %s of %s", f.listed, f.workflowID), Why: "a later run of the order took its place",
		}})
		runs = append(slices.Clone(runs), f.listed)
	case len(runs) < 2:
		runs = nil
	}
	if len(runs) > 0 {
		yielded[f.workflowID] = append(before, runs...)
	}
	if !again {
		all = append(all, f.Found)
	}
	return all
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
		err := r.listing(ordersQuery(w)).Walk(ctx, time.Time{}, func(s visibility.Slice) error {
			for _, listed := range s.Found {
				turn, ok := next()
				if !ok {
					return ctx.Err()
				}
				go func() {
					one, err := r.find(ctx, w, listed)
					turn <- answer{one, err}
				}()
			}
			return nil
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
func (r *Reader) find(ctx context.Context, w Window, listed visibility.Execution) (found, error) {
	id, runID := listed.GetExecution().GetWorkflowId(), listed.GetExecution().GetRunId()
	f := found{workflowID: id, listed: runID}
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
		_, reset := resetAt(events)
		f.replaced = reset && !slices.Contains(f.Trace.Runs, runID)
	}
	return f, nil
}

// latest fetches the history of an order up to the run that was the latest at the end of
// the window, where somebody reset it after that.
func (r *Reader) latest(ctx context.Context, w Window, id, listed string) ([]*historypb.HistoryEvent, error) {
	events, err := r.orderHistory(ctx, id, "")
	if err != nil && !errors.Is(err, ErrNotFound) {
		return nil, err
	}
	if len(events) > 0 {
		if began, reset := resetAt(events); !reset || w.To.IsZero() || !began.After(w.To) {
			return events, nil
		}
	}
	return r.orderHistory(ctx, id, listed)
}
