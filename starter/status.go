package starter

import (
	"context"
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/longpoll"
	"github.com/ltp-node/ltp/trace"
)

// Status is where an order is.
type Status struct {
	OrderID string         `json:"id"`
	State   ltp.OrderState `json:"state"`
	// Message is what the customer reads.
	Message string `json:"message"`
	// Decision, Reason and Commitment are of the latest routing that is known;
	// empty for an order that has not been routed.
	Decision   ltp.Decision `json:"decision,omitempty"`
	Reason     ltp.Reason   `json:"reason,omitempty"`
	Commitment string       `json:"commitment,omitempty"`
	// Component and Epoch are what a deferred order waits for.
	Component string `json:"component,omitempty"`
	Epoch     int64  `json:"epoch,omitempty"`
	// Priority is the order's class where it is not ltp.DefaultPriority, and Expedited
	// says that it is released before all others.
	Priority  int  `json:"priority,omitempty"`
	Expedited bool `json:"expedited,omitempty"`
	// CancelRequested says that somebody has asked to cancel the order, which has yet to
	// end. Listings do not tell.
	CancelRequested bool `json:"cancel_requested,omitempty"`
	// Detail says why an order ended as it did, for people.
	Detail     string       `json:"detail,omitempty"`
	Receipt    *ltp.Receipt `json:"receipt,omitempty"`
	AcceptedAt time.Time    `json:"accepted_at,omitzero"`
	EndedAt    time.Time    `json:"ended_at,omitzero"`
}

// Get says where an order is, by what Temporal holds: it needs no worker.
func (s *Starter) Get(ctx context.Context, orderID string) (Status, error) {
	d, err := s.describe(ctx, orderID)
	if err != nil {
		return Status{}, err
	}
	info := d.GetWorkflowExecutionInfo()
	st, err := listed(info)
	if err != nil || !st.State.Final() {
		st.CancelRequested = d.GetWorkflowExtendedInfo().GetCancelRequested()
		return st, err
	}
	events := s.client.GetWorkflowHistory(ctx, info.GetExecution().GetWorkflowId(), info.GetExecution().GetRunId(), false,
		enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return Status{}, lookup(orderID, err)
		}
		outcome, ended, err := trace.Outcome(e)
		if err != nil {
			return Status{}, fmt.Errorf("order %s: %w", orderID, err)
		}
		if ended {
			st.end(outcome, e.GetEventTime().AsTime())
		}
	}
	return st, nil
}

// Await waits until an order is deferred or has ended, and says where it is. When
// ctx ends first, it returns what is known by then, without an error.
func (s *Starter) Await(ctx context.Context, sub Submission) (Status, error) {
	st := Status{OrderID: sub.OrderID, State: ltp.Accepted, Message: ltp.MessagePending}
	err := s.follow(ctx, sub, &st)
	if err != nil && (ctx.Err() != nil || errors.Is(err, ErrUnreachable)) {
		return st, nil
	}
	return st, err
}

// usually is how long it takes at most, as a rule, to execute an order.
const usually = time.Second

// follow reads an order's history as it grows until the order is deferred or has
// ended. An order that is being executed is followed by its end alone for a while:
// that is a call or two less of Temporal for every order.
func (s *Starter) follow(ctx context.Context, sub Submission, st *Status) error {
	const all, end = enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT, enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT
	done, err := s.read(ctx, sub, all, st, func() bool { return st.Decision.Admissible() })
	if done || err != nil {
		return err
	}
	executing, cancel := context.WithTimeout(ctx, usually)
	defer cancel()
	done, err = s.read(executing, sub, end, st, nil)
	if done || (err != nil && executing.Err() == nil) {
		return err
	}
	_, err = s.read(ctx, sub, all, st, nil)
	return err
}

// read reads a history as it grows, until the order is deferred or has ended, which
// it reports, or until enough says so.
func (s *Starter) read(ctx context.Context, sub Submission, filter enumspb.HistoryEventFilterType, st *Status, enough func() bool) (done bool, err error) {
	polling, stop := longpoll.Patient(ctx)
	defer stop()
	events := s.client.GetWorkflowHistory(polling, ltp.OrderWorkflowID(sub.OrderID), sub.RunID, true, filter)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			return false, lookup(sub.OrderID, err)
		}
		if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED {
			st.AcceptedAt = e.GetEventTime().AsTime()
			st.class(e.GetWorkflowExecutionStartedEventAttributes().GetPriority(), marks{})
		}
		r, routed, err := trace.Routing(e)
		if err != nil {
			return false, err
		}
		if routed {
			// An order that awaits its turn may have it in a moment.
			if st.route(r); st.State == ltp.Deferred && st.Reason != ltp.ReasonAwaitsTurn {
				return true, nil
			}
		}
		outcome, ended, err := trace.Outcome(e)
		if err != nil {
			return false, err
		}
		if ended {
			st.end(outcome, e.GetEventTime().AsTime())
			return true, nil
		}
		if enough != nil && enough() {
			return false, nil
		}
	}
	return false, nil
}

func (st *Status) route(r ltp.Routing) {
	st.Decision, st.Reason, st.Component, st.Epoch = r.Decision, r.Reason, r.Component, r.Epoch
	st.State, st.Commitment = ltp.Accepted, ""
	if !r.Decision.Admissible() {
		st.State, st.Commitment = ltp.Deferred, r.Reason.Commitment()
	}
	if r.Reason == ltp.ReasonAwaitsTurn {
		st.Component, st.Epoch = "", 0 // it waits for no component
	}
}

func (st *Status) end(o ltp.Outcome, at time.Time) {
	st.State, st.Message, st.Detail, st.Receipt, st.EndedAt = o.State, o.State.Message(), o.Reason, o.Receipt, at
	st.Commitment, st.Component, st.Epoch = "", "", 0
	switch o.State {
	case ltp.Executed:
		st.Decision = ltp.Execute
		if st.Reason == "" || st.Reason != ltp.ReasonRecoveryConfirmed {
			st.Reason = ltp.ReasonOK
		}
		if o.Receipt != nil && o.Receipt.Fence.State == ltp.Recovering {
			st.Reason = ltp.ReasonRecoveryConfirmed
		}
	case ltp.Rejected:
		st.Decision, st.Reason = ltp.Reject, ""
	default:
		st.Decision, st.Reason = "", ""
	}
}

// listed is what a listing tells of an order. The outcome of an order that has
// ended stands in its closing event only.
func listed(info *workflowpb.WorkflowExecutionInfo) (Status, error) {
	id, ok := ltp.OrderID(info.GetExecution().GetWorkflowId())
	if !ok {
		return Status{}, fmt.Errorf("%s is not an order", info.GetExecution().GetWorkflowId())
	}
	marks, err := readMarks(info.GetSearchAttributes())
	if err != nil {
		return Status{}, fmt.Errorf("order %s: %w", id, err)
	}
	st := Status{OrderID: id, State: ltp.Accepted, AcceptedAt: info.GetStartTime().AsTime()}
	if t := info.GetCloseTime(); t != nil {
		st.EndedAt = t.AsTime()
	}
	switch info.GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING:
		if marks.state == ltp.Deferred {
			st.State, st.Commitment = ltp.Deferred, marks.reason.Commitment()
			st.Decision, st.Reason, st.Component, st.Epoch = ltp.Defer, marks.reason, marks.component, marks.epoch
			if marks.reason == ltp.ReasonFrozen {
				st.Decision = ltp.Freeze
			}
		}
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		st.State, st.Decision = ltp.Executed, ltp.Execute
		switch marks.state {
		case ltp.Rejected:
			st.State, st.Decision = ltp.Rejected, ltp.Reject
		case ltp.Expired:
			st.State, st.Decision = ltp.Expired, ""
		}
	case enumspb.WORKFLOW_EXECUTION_STATUS_CANCELED:
		st.State = ltp.Cancelled
	default:
		st.State = ltp.Terminated
	}
	st.Message = st.State.Message()
	st.class(info.GetPriority(), marks)
	return st, nil
}

// class tells the priority, by the marks of an order that was deferred and else by what
// Temporal was told at its start.
func (st *Status) class(p *commonpb.Priority, m marks) {
	class := int64(p.GetPriorityKey())
	if m.priority != nil {
		class = *m.priority
		st.Expedited = class == 0
	}
	if class != ltp.DefaultPriority {
		st.Priority = int(class)
	}
}

// marks are an order's search attributes.
type marks struct {
	state     ltp.OrderState
	component string
	epoch     int64
	reason    ltp.Reason
	priority  *int64 // nil where it is not marked
}

func readMarks(sa *commonpb.SearchAttributes) (m marks, err error) {
	for name, into := range map[string]any{
		ltp.StateAttribute: &m.state, ltp.ComponentAttribute: &m.component,
		ltp.EpochAttribute: &m.epoch, ltp.ReasonAttribute: &m.reason, ltp.PriorityAttribute: &m.priority,
	} {
		if p, ok := sa.GetIndexedFields()[name]; ok {
			if err := converter.GetDefaultDataConverter().FromPayload(p, into); err != nil {
				return m, fmt.Errorf("search attribute %s: %w", name, err)
			}
		}
	}
	return m, nil
}

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
	page := Page{NextPageToken: found.GetNextPageToken(), Orders: make([]Status, 0, len(found.GetExecutions()))}
	for _, info := range found.GetExecutions() {
		st, err := listed(info)
		if err != nil {
			return Page{}, err
		}
		page.Orders = append(page.Orders, st)
	}
	return page, nil
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
		return q, nil
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
