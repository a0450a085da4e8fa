package starter

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
)

// CountWaiting counts the orders that are meant, as the visibility store shows them.
func (s *Starter) CountWaiting(ctx context.Context, w Selector) (int, error) {
	query, err := w.query()
	if err != nil {
		return 0, err
	}
	r, err := s.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return 0, queried(err)
	}
	return int(min(r.GetCount(), math.MaxInt32)), nil
}

// Waiting lists at most n of the orders that are meant, newest first.
func (s *Starter) Waiting(ctx context.Context, w Selector, n int) ([]Status, error) {
	query, err := w.query()
	if err != nil {
		return nil, err
	}
	found, err := s.list(ctx, query, n, nil)
	if err != nil {
		return nil, err
	}
	return listedOnce(found.GetExecutions())
}

func (s *Starter) list(ctx context.Context, query string, size int, token []byte) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	found, err := s.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: query, PageSize: int32(min(size, MaxPage)), NextPageToken: token,
	})
	if err != nil {
		return nil, queried(err)
	}
	return found, nil
}

// queried is the error of a query, in Temporal's words for the person who wrote it.
func queried(err error) error {
	var invalid *serviceerror.InvalidArgument
	if errors.As(err, &invalid) {
		return &ltp.InvalidError{Field: "query", Hint: invalid.Error()}
	}
	return unreachable("list orders", err)
}

// Expedite asks for a deferred order to be released before all others. It returns when
// Temporal has the request, and ErrEnded for an order that has ended.
func (s *Starter) Expedite(ctx context.Context, orderID string) error {
	if err := ltp.ValidID(orderID); err != nil {
		return err
	}
	err := s.client.SignalWorkflow(ctx, ltp.OrderWorkflowID(orderID), "", ltp.ExpediteSignal, nil)
	return s.requestError(ctx, "expedite", orderID, err)
}

// requestError is the error of something that was asked of an order, which Temporal does not
// find when it has ended.
func (s *Starter) requestError(ctx context.Context, what, orderID string, err error) error {
	switch {
	case err == nil:
		return nil
	case !errors.As(err, new(*serviceerror.NotFound)):
		return unreachable(what+" order "+orderID, err)
	}
	if _, err := s.describe(ctx, orderID); err != nil {
		return err
	}
	return fmt.Errorf("%w: %s", ErrEnded, orderID)
}

// Tally is how far an action on many orders has come.
type Tally struct {
	// Asked are all that were found; of these it was Done for some, others had Ended
	// already, and for others it Failed.
	Asked  int `json:"asked"`
	Done   int `json:"done"`
	Ended  int `json:"ended"`
	Failed int `json:"failed"`
	// Failures are the first of those that failed, with why.
	Failures []string `json:"failures,omitempty"`
}

// ErrMore: more orders are meant than the limit says. Those within it were asked.
var ErrMore = errors.New("more orders match")

const (
	// atOnce is how many orders are asked at a time: what a server bears without
	// slowing down what else it does.
	atOnce = 32
	// sweepPage is how many orders are listed at a time, sweepPause the time between two
	// sweeps, and emptySweeps how many in a row must find nothing new: listings are late.
	sweepPage, sweepPause, emptySweeps = 500, 500 * time.Millisecond, 3
	// keptFailures is how many failures are kept.
	keptFailures = 10
)

// CancelMany asks all orders that are meant to end without acting: see Cancel and many.
func (s *Starter) CancelMany(ctx context.Context, w Selector, limit int, report func(Tally)) (Tally, error) {
	return s.many(ctx, w, limit, report, func(ctx context.Context, id string) error {
		err := s.client.CancelWorkflow(ctx, ltp.OrderWorkflowID(id), "")
		return s.requestError(ctx, "cancel", id, err)
	})
}

// ExpediteMany asks for all deferred orders that are meant to be released before all
// others: see many.
func (s *Starter) ExpediteMany(ctx context.Context, w Selector, limit int, report func(Tally)) (Tally, error) {
	w.State = ltp.Deferred
	return s.many(ctx, w, limit, report, s.Expedite)
}

// InstructMany has all parked orders that are meant do what an operator says: see Instruct
// and many. One that is not parked any more by then ignores it.
func (s *Starter) InstructMany(ctx context.Context, w Selector, limit int, i ltp.Instruction, report func(Tally)) (Tally, error) {
	if err := i.Validate(); err != nil {
		return Tally{}, &ltp.InvalidError{Field: "instruction", Hint: err.Error()}
	}
	w.State = ltp.Parked
	return s.many(ctx, w, limit, report, func(ctx context.Context, id string) error { return s.instruct(ctx, id, i) })
}

// many does something for every order that is meant, each once, some at a time. It
// sweeps until sweeps find nothing new, since the visibility store shows late what was
// accepted and deferred, and stops with ErrMore at the limit. When ctx ends it stops,
// and says how far it came. It may be run again: asking an order twice does no harm.
//
// report is called after every page, and may be nil. The tally is right also with an
// error.
func (s *Starter) many(ctx context.Context, w Selector, limit int, report func(Tally), do func(context.Context, string) error) (t Tally, err error) {
	query, err := w.query()
	if err != nil {
		return t, err
	}
	seen := map[string]struct{}{}
	for empty := 0; empty < emptySweeps; {
		before := t.Asked
		if err := s.sweep(ctx, query, limit, seen, &t, report, do); err != nil {
			return t, err
		}
		if empty++; t.Asked > before {
			empty = 0
		}
		select {
		case <-ctx.Done():
			return t, ctx.Err()
		case <-time.After(sweepPause):
		}
	}
	return t, nil
}

// sweep goes through the listing once.
func (s *Starter) sweep(ctx context.Context, query string, limit int, seen map[string]struct{}, t *Tally, report func(Tally), do func(context.Context, string) error) error {
	var token []byte
	for {
		found, err := s.list(ctx, query, sweepPage, token)
		if err != nil {
			return err
		}
		ids, more := unseen(found.GetExecutions(), seen, limit-t.Asked)
		t.each(ctx, ids, do)
		if report != nil && len(ids) > 0 {
			report(*t)
		}
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case more:
			return ErrMore
		case len(found.GetNextPageToken()) == 0:
			return nil
		}
		token = found.GetNextPageToken()
	}
}

// unseen are the orders of a page that were not seen before, at most n; more says that
// there are others.
func unseen(page []*workflowpb.WorkflowExecutionInfo, seen map[string]struct{}, n int) (ids []string, more bool) {
	for _, info := range page {
		id, ok := ltp.OrderID(info.GetExecution().GetWorkflowId())
		if _, known := seen[id]; !ok || known {
			continue
		}
		if len(ids) >= n {
			return ids, true
		}
		seen[id] = struct{}{}
		ids = append(ids, id)
	}
	return ids, false
}

// each asks orders, some at a time. Those that were not asked when ctx ended do not count.
func (t *Tally) each(ctx context.Context, ids []string, do func(context.Context, string) error) {
	var (
		mu    sync.Mutex
		wg    sync.WaitGroup
		slots = make(chan struct{}, atOnce)
	)
	for _, id := range ids {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wg.Go(func() {
			defer func() { <-slots }()
			err := do(ctx, id)
			if err != nil && ctx.Err() != nil {
				return // nobody knows whether it was asked
			}
			mu.Lock()
			defer mu.Unlock()
			t.add(err)
		})
	}
	wg.Wait()
}

func (t *Tally) add(err error) {
	t.Asked++
	switch {
	case err == nil:
		t.Done++
	case errors.Is(err, ErrEnded), errors.Is(err, ErrNotFound):
		t.Ended++
	default:
		if t.Failed++; len(t.Failures) < keptFailures {
			t.Failures = append(t.Failures, err.Error())
		}
	}
}
