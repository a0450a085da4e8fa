package starter

import (
	"context"
	"fmt"

	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
)

// Filter chooses orders of a listing.
type Filter struct {
	// State is one state, or empty for all. The lists show what the visibility store
	// shows: some milliseconds late when idle, seconds late in a burst.
	State ltp.OrderState
	// Size is the most orders on a page, 100 when 0; PageToken is of the page before.
	Size      int
	PageToken []byte
}

// Page is one page of a listing, newest orders first. The listing has ended when
// NextPageToken is empty.
type Page struct {
	Orders        []Status
	NextPageToken []byte
}

// MaxPage is the most orders on one page.
const MaxPage = 1000

// List lists orders. It needs no worker.
func (s *Starter) List(ctx context.Context, f Filter) (Page, error) {
	query, err := f.query()
	if err != nil {
		return Page{}, err
	}
	if f.Size <= 0 {
		f.Size = 100
	}
	found, err := s.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: query, PageSize: int32(min(f.Size, MaxPage)), NextPageToken: f.PageToken,
	})
	if err != nil {
		return Page{}, unreachable("list orders", err)
	}
	page := Page{NextPageToken: found.GetNextPageToken()}
	page.Orders, err = listedOnce(found.GetExecutions())
	return page, err
}

// listedOnce are the orders of a page, each by its latest run: the visibility store may
// show the run before as running still when an order has continued as new.
func listedOnce(page []*workflowpb.WorkflowExecutionInfo) ([]Status, error) {
	all := make([]Status, 0, len(page))
	seen := make(map[string]bool, len(page))
	for _, info := range page { // the latest run comes first
		st, err := listed(info)
		if err != nil {
			return nil, err
		}
		if continuing := info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW; continuing || seen[st.OrderID] {
			continue
		}
		seen[st.OrderID] = true
		all = append(all, st)
	}
	return all, nil
}

// Count counts the orders of a state as the visibility store shows them.
func (s *Starter) Count(ctx context.Context, state ltp.OrderState) (int64, error) {
	query, err := Filter{State: state}.query()
	if err != nil {
		return 0, err
	}
	r, err := s.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return 0, unreachable("count orders", err)
	}
	return r.GetCount(), nil
}

func (f Filter) query() (string, error) {
	q := fmt.Sprintf("WorkflowType='%s'", ltp.OrderWorkflow)
	running, completed := " AND ExecutionStatus='Running'", " AND ExecutionStatus='Completed'"
	marked := fmt.Sprintf(" AND %s='%s'", ltp.StateAttribute, f.State)
	switch f.State {
	case "":
		return q + " AND ExecutionStatus!='ContinuedAsNew'", nil
	case ltp.Accepted:
		return q + running + fmt.Sprintf(" AND %s IS NULL", ltp.StateAttribute), nil
	case ltp.Deferred:
		return q + running + marked, nil
	case ltp.Executed:
		return q + completed + fmt.Sprintf(" AND (%s IS NULL OR %s='%s')", ltp.StateAttribute, ltp.StateAttribute, ltp.Deferred), nil
	case ltp.Rejected, ltp.Expired:
		return q + completed + marked, nil
	case ltp.Cancelled:
		return q + " AND ExecutionStatus='Canceled'", nil
	case ltp.Terminated:
		return q + " AND ExecutionStatus IN ('Terminated','Failed','TimedOut')", nil
	}
	return "", &ltp.InvalidError{Field: "state", Hint: "use ACCEPTED, DEFERRED, EXECUTED, REJECTED, CANCELLED, EXPIRED or TERMINATED"}
}
