package trace

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/visibility"
	"github.com/ltp-node/ltp/internal/words"
)

// ErrNotFound: Temporal has no history of it. It never was, or Temporal's retention
// has passed it.
var ErrNotFound = errors.New("temporal has no history of it")

// Temporal is what a Reader needs of a client.Client.
type Temporal interface {
	visibility.Store
	GetWorkflowHistory(ctx context.Context, workflowID, runID string, longPoll bool, filter enumspb.HistoryEventFilterType) client.HistoryEventIterator
	WorkflowService() workflowservice.WorkflowServiceClient
}

// Reader fetches histories and reads them. It needs no worker, and changes nothing.
type Reader struct {
	client    Temporal
	namespace string
	// Progress, if set, is called while many histories are read, from one goroutine
	// at a time.
	Progress func(done, total int)
}

// NewReader makes a reader of the namespace that c is connected to. The namespace is
// asked how long it keeps what has ended.
func NewReader(c Temporal, namespace string) *Reader { return &Reader{client: c, namespace: namespace} }

// parallel is how many histories are fetched at once.
const parallel = 16

// Gap is something that a trace should hold and does not.
type Gap struct {
	What string `json:"what"`
	Why  string `json:"why"`
}

// Order reads the trace of one order, or returns ErrNotFound.
func (r *Reader) Order(ctx context.Context, orderID string) (OrderTrace, error) {
	if err := ltp.ValidID(orderID); err != nil {
		return OrderTrace{}, err
	}
	events, err := r.orderHistory(ctx, ltp.OrderWorkflowID(orderID), "")
	if err != nil {
		return OrderTrace{}, err
	}
	return OrderFrames(events)
}

// orderHistory fetches the events of an order up to a run, of the latest if runID is
// empty: that run and those which it continues, oldest first. Where Temporal has none of
// the earlier ones any more, OrderFrames says so.
func (r *Reader) orderHistory(ctx context.Context, workflowID, runID string) ([]*historypb.HistoryEvent, error) {
	events, err := r.Events(ctx, workflowID, runID)
	for err == nil && len(events) > 0 {
		before := events[0].GetWorkflowExecutionStartedEventAttributes().GetContinuedExecutionRunId()
		if before == "" {
			break
		}
		earlier, err := r.Events(ctx, workflowID, before)
		if errors.Is(err, ErrNotFound) || err == nil && len(earlier) == 0 {
			break
		}
		if err != nil {
			return nil, err
		}
		events = append(earlier, events...)
	}
	return events, err
}

// Events fetches the events of one run of a workflow, of the latest if runID is empty, or
// returns ErrNotFound.
func (r *Reader) Events(ctx context.Context, workflowID, runID string) ([]*historypb.HistoryEvent, error) {
	var events []*historypb.HistoryEvent
	found := r.client.GetWorkflowHistory(ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for found.HasNext() {
		e, err := found.Next()
		if errors.As(err, new(*serviceerror.NotFound)) {
			return nil, fmt.Errorf("%s: %w", workflowID, ErrNotFound)
		}
		if err != nil {
			return nil, fmt.Errorf("read the history of %s: %w", workflowID, err)
		}
		events = append(events, e)
	}
	return events, nil
}

// Components are the components that Temporal knows of, by name, as the visibility
// store shows them.
func (r *Reader) Components(ctx context.Context) ([]string, error) {
	found, err := r.listing(fmt.Sprintf("WorkflowType='%s' AND ExecutionStatus='Running'", ltp.OrientationWorkflow)).All(ctx)
	if err != nil {
		return nil, err
	}
	var names []string
	for _, w := range found {
		if name, ok := strings.CutPrefix(w.GetExecution().GetWorkflowId(), ltp.OrientationWorkflowID("")); ok && name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

// Orientation reads the trace of a component's orientation over all runs that
// Temporal still has, or returns ErrNotFound.
func (r *Reader) Orientation(ctx context.Context, component string) (OrientationTrace, error) {
	events, err := r.OrientationHistory(ctx, component)
	if err != nil {
		return OrientationTrace{}, err
	}
	return OrientationFrames(events)
}

// OrientationHistory fetches the events of all runs of a component's Orientation
// workflow, oldest run first. The visibility store shows new runs late and may have
// forgotten old ones, so runs are also followed from one to the next.
func (r *Reader) OrientationHistory(ctx context.Context, component string) ([]*historypb.HistoryEvent, error) {
	if err := ltp.ValidComponent(component); err != nil {
		return nil, err
	}
	id := ltp.OrientationWorkflowID(component)
	listed, err := r.listing(fmt.Sprintf("WorkflowId='%s'", id)).All(ctx)
	if err != nil {
		return nil, err
	}
	ask := []string{""} // the latest run, as Temporal names it
	for _, w := range listed {
		ask = append(ask, w.GetExecution().GetRunId())
	}
	found := map[string]run{}
	asked := map[string]bool{}
	for len(ask) > 0 {
		runID := ask[0]
		ask = ask[1:]
		if asked[runID] {
			continue
		}
		asked[runID] = true
		events, err := r.Events(ctx, id, runID)
		if errors.Is(err, ErrNotFound) {
			continue // its retention has passed; OrientationFrames says whether it is missed
		}
		if err != nil {
			return nil, err
		}
		one, err := openRun(ltp.OrientationWorkflow, events)
		if err != nil {
			return nil, err
		}
		asked[one.runID], found[one.runID] = true, one
		for _, next := range []string{
			one.started.GetContinuedExecutionRunId(),
			one.last().GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId(),
		} {
			if next != "" {
				ask = append(ask, next)
			}
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%s: %w", id, ErrNotFound)
	}
	return inTurn(found), nil
}

// inTurn joins the runs, oldest first.
func inTurn(found map[string]run) (events []*historypb.HistoryEvent) {
	var runs []run
	for _, one := range found {
		runs = append(runs, one)
	}
	slices.SortFunc(runs, func(a, b run) int {
		return cmp.Or(a.begun().Compare(b.begun()), cmp.Compare(a.runID, b.runID))
	})
	for _, one := range runs {
		events = append(events, one.events...)
	}
	return events
}

// begun is when a run came to be: one that was reset begins with an older run's start.
func (r run) begun() time.Time { return at(r.events[max(r.resetAt, 1)-1]) }

// Window is a stretch of time. A zero To is open: up to now.
type Window struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`
}

// Contains reports whether t lies in the window, its ends included.
func (w Window) Contains(t time.Time) bool {
	return !t.Before(w.From) && (w.To.IsZero() || !t.After(w.To))
}

// Orders are the orders that were pending at some time in a window.
type Orders struct {
	// Traces are in the order in which the orders were accepted.
	Traces []OrderTrace `json:"orders"`
	// Gaps are the histories that are gone or cannot be read.
	Gaps []Gap `json:"gaps,omitempty"`
}

// Orders reads every order that was pending at some time in the window: also those
// accepted before it that had not ended. What cannot be read is a Gap. It holds all
// traces in memory, some kilobytes an order.
func (r *Reader) Orders(ctx context.Context, w Window) (Orders, error) {
	all := Orders{Traces: []OrderTrace{}}
	for found, err := range r.Each(ctx, w) {
		switch {
		case err != nil:
			return Orders{}, err
		case found.Gap != nil:
			all.Gaps = append(all.Gaps, *found.Gap)
		default:
			all.Traces = append(all.Traces, found.Trace)
		}
	}
	slices.SortStableFunc(all.Traces, func(a, b OrderTrace) int {
		return cmp.Or(a.AcceptedAt.Compare(b.AcceptedAt), cmp.Compare(a.Order.ID, b.Order.ID))
	})
	return all, nil
}

// ordersQuery asks the visibility store for the orders of a window.
func ordersQuery(w Window) string {
	query := fmt.Sprintf("WorkflowType='%s' AND (ExecutionStatus='Running' OR CloseTime>='%s')",
		ltp.OrderWorkflow, w.From.UTC().Format(time.RFC3339Nano))
	if !w.To.IsZero() {
		query += fmt.Sprintf(" AND StartTime<='%s'", w.To.UTC().Format(time.RFC3339Nano))
	}
	return query
}

// forgotten is the part of the window of which Temporal keeps nothing that has ended.
func (r *Reader) forgotten(ctx context.Context, w Window) ([]Gap, error) {
	d, err := r.client.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: r.namespace})
	if err != nil {
		return nil, fmt.Errorf("ask how long namespace %s keeps what has ended: %w", r.namespace, err)
	}
	keeps := d.GetConfig().GetWorkflowExecutionRetentionTtl().AsDuration()
	if since := time.Now().Add(-keeps); keeps > 0 && w.From.Before(since) {
		return []Gap{{
			What: "orders that ended before " + since.UTC().Format(time.DateTime) + " UTC",
			Why:  fmt.Sprintf("Temporal keeps what has ended for %s", words.Lasted(keeps)),
		}}, nil
	}
	return nil, nil
}

// listing is what a query finds, up to 1000 at a time.
func (r *Reader) listing(query string) visibility.Listing {
	return visibility.Listing{Store: r.client, Query: query, PageSize: 1000}
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
