package starter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/marks"
)

// Filter chooses orders of a listing; what is zero chooses all, but for Tenant. The lists
// show what the visibility store shows: some milliseconds late when idle, seconds late in a
// burst.
type Filter struct {
	// Tenant is whose orders are meant; empty is the default tenant. AllTenants means those
	// of all.
	Tenant     string
	AllTenants bool

	State ltp.OrderState
	// Customer is the customer of the orders, in full.
	Customer string
	// Reason is what orders wait for: none but those that are DEFERRED or PARKED have one.
	Reason ltp.Reason
	// Since and Until say when the orders were accepted: from the one until before the
	// other. An order with so long a history that it was continued in a new run counts by
	// the beginning of that.
	Since, Until time.Time

	// Size is the most orders on a page, 100 when 0; PageToken is NextPageToken of the page
	// before, which had the same filters.
	Size      int
	PageToken string
}

// Page is one page of a listing, newest orders first. The listing has ended when
// NextPageToken is empty.
type Page struct {
	Orders        []Status
	NextPageToken string
}

// MaxPage is the most orders on one page.
const MaxPage = 1000

// List lists orders. It needs no worker.
func (s *Starter) List(ctx context.Context, f Filter) (Page, error) {
	query, err := f.query(s.customer)
	if err != nil {
		return Page{}, err
	}
	if f.Size <= 0 {
		f.Size = 100
	}
	token, err := s.pages.unsealed(query, f.PageToken)
	if err != nil {
		return Page{}, err
	}
	found, err := s.client.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{
		Query: query, PageSize: int32(min(f.Size, MaxPage)), NextPageToken: token,
	})
	switch {
	case errors.As(err, new(*serviceerror.InvalidArgument)) && len(token) > 0:
		return Page{}, errPageToken // of an earlier build of Temporal, or of another store
	case err != nil:
		return Page{}, unreachable("list orders", err)
	}
	page := Page{NextPageToken: s.pages.sealed(query, found.GetNextPageToken())}
	page.Orders, err = listedOnce(found.GetExecutions())
	return page, err
}

// listedOnce are the orders of a page, each by its latest run: the visibility store may
// show the run before as running still when an order has continued as new.
func listedOnce(page []*workflowpb.WorkflowExecutionInfo) ([]Status, error) {
	all := make([]Status, 0, len(page))
	seen := make(map[string]bool, len(page))
	for _, info := range page { // the latest run comes first
		st, err := statusOfListing(info)
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

// Count counts the orders of a state, of all tenants, as the visibility store shows them.
func (s *Starter) Count(ctx context.Context, state ltp.OrderState) (int64, error) {
	query, err := Filter{AllTenants: true, State: state}.query(s.customer)
	if err != nil {
		return 0, err
	}
	r, err := s.client.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return 0, unreachable("count orders", err)
	}
	return r.GetCount(), nil
}

// customer is what the orders of a customer are found by: what is written now, and what was
// written under other keys, or before there were any.
func (s *Starter) customer(name string) []string {
	plain := ltp.CustomerKey(name)
	if s.keys == nil {
		return []string{plain}
	}
	return append(s.keys.Index(plain), plain)
}

func (f Filter) query(customer func(string) []string) (string, error) {
	q, err := f.stateQuery()
	if err != nil {
		return "", err
	}
	switch {
	case f.AllTenants:
	default:
		if err := ltp.ValidTenant(f.Tenant); err != nil {
			return "", err
		}
		q += marks.OfTenant(f.Tenant)
	}
	if f.Customer != "" {
		if err := ltp.ValidCustomer(f.Customer); err != nil {
			return "", err
		}
		q += fmt.Sprintf(" AND %s IN ('%s')", ltp.CustomerAttribute, strings.Join(customer(f.Customer), "','"))
	}
	if f.Reason != "" {
		switch {
		case !slices.Contains(ltp.WaitingReasons(), f.Reason):
			return "", &ltp.InvalidError{Field: "reason", Hint: fmt.Sprintf("use one of %s", ltp.WaitingReasons())}
		case f.State != "" && f.State != ltp.Deferred && f.State != ltp.Parked:
			return "", &ltp.InvalidError{Field: "reason", Hint: "only orders that are DEFERRED or PARKED wait for something"}
		}
		q += fmt.Sprintf(" AND ExecutionStatus='Running' AND %s='%s'", ltp.ReasonAttribute, f.Reason)
	}
	if !f.Since.IsZero() && !f.Until.IsZero() && !f.Since.Before(f.Until) {
		return "", &ltp.InvalidError{Field: "until", Hint: "give a time after since"}
	}
	if !f.Since.IsZero() {
		q += fmt.Sprintf(" AND StartTime>='%s'", f.Since.UTC().Format(time.RFC3339Nano))
	}
	if !f.Until.IsZero() {
		q += fmt.Sprintf(" AND StartTime<'%s'", f.Until.UTC().Format(time.RFC3339Nano))
	}
	return q, nil
}

func (f Filter) stateQuery() (string, error) {
	q := fmt.Sprintf("WorkflowType='%s'", ltp.OrderWorkflow)
	running, completed := " AND ExecutionStatus='Running'", " AND ExecutionStatus='Completed'"
	marked := fmt.Sprintf(" AND %s='%s'", ltp.StateAttribute, f.State)
	switch f.State {
	case "":
		return q + " AND ExecutionStatus!='ContinuedAsNew'", nil
	case ltp.Accepted:
		return q + running + fmt.Sprintf(" AND %s IS NULL", ltp.StateAttribute), nil
	case ltp.Deferred, ltp.Parked:
		return q + running + marked, nil
	case ltp.Executed: // what an order was before it was executed stays
		return q + completed + fmt.Sprintf(" AND (%s IS NULL OR %s IN ('%s','%s'))", ltp.StateAttribute, ltp.StateAttribute, ltp.Deferred, ltp.Parked), nil
	case ltp.Rejected, ltp.Expired:
		return q + completed + marked, nil
	case ltp.Cancelled:
		return q + " AND ExecutionStatus='Canceled'", nil
	case ltp.Terminated:
		return q + " AND ExecutionStatus IN ('Terminated','Failed','TimedOut')", nil
	}
	return "", &ltp.InvalidError{Field: "state", Hint: "use ACCEPTED, DEFERRED, PARKED, EXECUTED, REJECTED, CANCELLED, EXPIRED or TERMINATED"}
}
