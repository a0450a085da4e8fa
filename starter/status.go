package starter

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/longpoll"
	"github.com/ltp-node/ltp/internal/marks"
	"github.com/ltp-node/ltp/internal/memo"
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
	// Parked is why a parked order is parked; nil for all others. Its error is in the
	// words of the order database: it is for operators.
	Parked *ltp.Parking `json:"parked,omitempty"`
	// CancelRequested says that somebody has asked to cancel the order, which has yet to
	// end: CANCELLED, or EXECUTED if it turns out to have been written. Listings leave it
	// out.
	CancelRequested bool `json:"cancel_requested,omitempty"`
	// Detail says why an order ended as it did, for people.
	Detail     string       `json:"detail,omitempty"`
	Receipt    *ltp.Receipt `json:"receipt,omitempty"`
	AcceptedAt time.Time    `json:"accepted_at,omitzero"`
	EndedAt    time.Time    `json:"ended_at,omitzero"`
	// Backlog is the order's place among those that wait for its component. It is what
	// [Starter.Place] says, which no other method asks.
	Backlog *ltp.Place `json:"backlog,omitempty"`
}

// CustomerView is a status as users see it. Why an order was ended by force, and what a parked one
// fails with, is in operators' words.
func CustomerView(st Status) Status {
	st.Parked = nil
	if st.State == ltp.Terminated {
		st.Detail = ""
	}
	return st
}

// Get says where an order is, by what Temporal holds: it needs no worker.
func (s *Starter) Get(ctx context.Context, orderID string) (Status, error) {
	st, _, err := s.currentStatus(ctx, orderID)
	return st, err
}

// place is how far an order's history goes.
type place struct {
	run    string
	length int64
}

// currentStatus says where an order is, and how far its history goes by which it is there.
func (s *Starter) currentStatus(ctx context.Context, orderID string) (Status, place, error) {
	d, err := s.describe(ctx, orderID)
	if err != nil {
		return Status{}, place{}, err
	}
	info := d.GetWorkflowExecutionInfo()
	at := place{info.GetExecution().GetRunId(), info.GetHistoryLength()}
	st, err := statusOfListing(info)
	if err != nil {
		return Status{}, at, err
	}
	if continued(info) {
		st.AcceptedAt, err = s.accepted(ctx, info)
	}
	switch {
	case err != nil:
	case st.State.Final():
		err = s.closed(ctx, info, &st)
	case d.GetWorkflowExtendedInfo().GetCancelRequested():
		st.CancelRequested = true
	case continued(info):
		st.CancelRequested, err = s.cancelled(ctx, info)
	}
	if err != nil {
		return Status{}, at, lookup(orderID, err)
	}
	return st, at, nil
}

// continued reports whether runs of the order's workflow came before this one.
func continued(info *workflowpb.WorkflowExecutionInfo) bool {
	first := info.GetFirstRunId()
	return first != "" && first != info.GetExecution().GetRunId()
}

// accepted is when the first run began; zero where Temporal has deleted that run.
func (s *Starter) accepted(ctx context.Context, info *workflowpb.WorkflowExecutionInfo) (time.Time, error) {
	d, err := s.client.DescribeWorkflowExecution(ctx, info.GetExecution().GetWorkflowId(), info.GetFirstRunId())
	switch {
	case errors.As(err, new(*serviceerror.NotFound)):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	}
	return d.GetWorkflowExecutionInfo().GetStartTime().AsTime(), nil
}

// closed reads how an order ended.
func (s *Starter) closed(ctx context.Context, info *workflowpb.WorkflowExecutionInfo, st *Status) error {
	for e, err := range s.history(ctx, info.GetExecution(), enumspb.HISTORY_EVENT_FILTER_TYPE_CLOSE_EVENT) {
		if err != nil {
			return err
		}
		outcome, ended, err := trace.Outcome(e)
		if err != nil {
			return err
		}
		if ended {
			st.end(outcome, e.GetEventTime().AsTime())
		}
	}
	return nil
}

// cancelled reports whether an earlier run was asked to cancel the order. Temporal knows
// that of the latest run only, so a run is given it in its argument.
func (s *Starter) cancelled(ctx context.Context, info *workflowpb.WorkflowExecutionInfo) (bool, error) {
	for e, err := range s.history(ctx, info.GetExecution(), enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT) {
		if err != nil {
			return false, err
		}
		var p ltp.Progress
		if err := trace.Decode(e.GetWorkflowExecutionStartedEventAttributes().GetInput(), &p); err != nil {
			return false, err
		}
		return p.Ending != nil && p.Ending.State == ltp.Cancelled, nil
	}
	return false, nil
}

// history is what Temporal holds of a run now.
func (s *Starter) history(ctx context.Context, run *commonpb.WorkflowExecution, filter enumspb.HistoryEventFilterType) iter.Seq2[*historypb.HistoryEvent, error] {
	return func(yield func(*historypb.HistoryEvent, error) bool) {
		events := s.client.GetWorkflowHistory(ctx, run.GetWorkflowId(), run.GetRunId(), false, filter)
		for events.HasNext() {
			if e, err := events.Next(); !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Await waits until an order is deferred or has ended, and says where it is. When
// ctx ends first, it returns what is known by then, without an error. It returns at once
// for an order that the door has deferred, by what the door had read.
func (s *Starter) Await(ctx context.Context, sub Submission) (Status, error) {
	st := Status{OrderID: sub.OrderID, State: ltp.Accepted, Message: ltp.MessagePending}
	if sub.Deferred != nil {
		st.waits(*sub.Deferred)
		return st, nil
	}
	err := s.follow(ctx, sub, &st)
	if err != nil && (ctx.Err() != nil || errors.Is(err, ErrUnreachable)) {
		return st, nil
	}
	return st, err
}

// follow reads an order's history as it grows, until the order is deferred or has ended.
func (s *Starter) follow(ctx context.Context, sub Submission, st *Status) error {
	polling, stop := longpoll.Patient(ctx)
	defer stop()
	run := sub.RunID
	for goesOn := true; goesOn; goesOn = run != "" {
		events := s.client.GetWorkflowHistory(polling, ltp.OrderWorkflowID(sub.OrderID), run, true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
		run = ""
		for events.HasNext() {
			e, err := events.Next()
			if err != nil {
				return lookup(sub.OrderID, err)
			}
			if done, err := st.read(e); done || err != nil {
				return err
			}
			run = e.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
		}
	}
	return nil
}

// read takes in an event of the order's history, and reports whether the order is
// deferred or has ended.
func (st *Status) read(e *historypb.HistoryEvent) (done bool, err error) {
	if a := e.GetWorkflowExecutionStartedEventAttributes(); a != nil && st.AcceptedAt.IsZero() {
		st.AcceptedAt = e.GetEventTime().AsTime()
		st.class(a.GetPriority(), ltp.DefaultPriority)
	}
	r, routed, err := trace.Routing(e)
	if err != nil {
		return false, err
	}
	if routed {
		st.route(r)
		// What was refused for itself ends in a moment, unless it sets a timer.
		return st.settled() && r.Cause != ltp.CauseOrder, nil
	}
	if e.GetEventType() == enumspb.EVENT_TYPE_TIMER_STARTED {
		return st.settled(), nil
	}
	outcome, ended, err := trace.Outcome(e)
	if ended {
		st.end(outcome, e.GetEventTime().AsTime())
	}
	return ended, err
}

// settled reports whether the order waits for longer than a moment: one that awaits its
// turn may have it in a moment.
func (st *Status) settled() bool {
	return st.State == ltp.Deferred && st.Reason != ltp.ReasonAwaitsTurn
}

func (st *Status) route(r ltp.Routing) {
	if !r.Decision.Admissible() {
		st.waits(ltp.Wait{Component: r.Component, Epoch: r.Epoch, Reason: r.Reason})
		return
	}
	st.State, st.Decision, st.Reason, st.Component, st.Epoch = ltp.Accepted, r.Decision, r.Reason, r.Component, r.Epoch
	st.Commitment = ""
}

// waits says that the order is deferred, or parked.
func (st *Status) waits(w ltp.Wait) {
	st.State, st.Decision, st.Reason, st.Commitment = ltp.Deferred, ltp.Defer, w.Reason, w.Reason.Commitment()
	st.Component, st.Epoch = w.Component, w.Epoch
	switch w.Reason {
	case ltp.ReasonFrozen:
		st.Decision = ltp.Freeze
	case ltp.ReasonAwaitsTurn:
		st.Component, st.Epoch = "", 0 // it waits for no component
	case ltp.ReasonAwaitsProof:
		st.Commitment = "" // it will not be executed any more
	case ltp.ReasonParked:
		st.State = ltp.Parked
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
		if o.Receipt != nil {
			switch fence := o.Receipt.Fence.State; {
			case fence == ltp.Recovering:
				st.Reason = ltp.ReasonRecoveryConfirmed
			case fence != "" && !fence.Fit(): // an operator let it through
				st.Reason = ltp.ReasonPassed
			}
		}
	case ltp.Rejected:
		st.Decision, st.Reason = ltp.Reject, ""
	default:
		st.Decision, st.Reason = "", ""
	}
}

// statusOfListing is what a listing shows of an order. The outcome of an order that has
// ended stands in its closing event only.
func statusOfListing(info *workflowpb.WorkflowExecutionInfo) (Status, error) {
	id, ok := ltp.OrderID(info.GetExecution().GetWorkflowId())
	if !ok {
		return Status{}, fmt.Errorf("%s is not an order", info.GetExecution().GetWorkflowId())
	}
	state, mark, err := marks.Read(info.GetSearchAttributes())
	if err != nil {
		return Status{}, fmt.Errorf("order %s: %w", id, err)
	}
	st := Status{OrderID: id, State: ltp.Accepted, AcceptedAt: info.GetStartTime().AsTime()}
	if t := info.GetCloseTime(); t != nil {
		st.EndedAt = t.AsTime()
	}
	switch info.GetStatus() {
	case enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED,
		enumspb.WORKFLOW_EXECUTION_STATUS_CONTINUED_AS_NEW: // the run has closed, the order goes on
		st.EndedAt = time.Time{}
		if state == ltp.Deferred || state == ltp.Parked {
			st.waits(mark.Wait)
		}
		if st.State == ltp.Parked {
			st.Parked = new(ltp.Parking)
			if _, err := memo.Read(info.GetMemo(), ltp.ParkedMemo, st.Parked); err != nil {
				return Status{}, fmt.Errorf("order %s: %w", id, err)
			}
		}
	case enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED:
		st.State, st.Decision = ltp.Executed, ltp.Execute
		switch state {
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
	st.class(info.GetPriority(), mark.Priority)
	return st, nil
}

// class is the priority of the order: that of its mark, where that names another than
// ltp.DefaultPriority, and else that of its start.
func (st *Status) class(p *commonpb.Priority, marked int) {
	class := int(p.GetPriorityKey())
	if marked != ltp.DefaultPriority {
		class, st.Expedited = marked, marked == 0
	}
	if class != ltp.DefaultPriority {
		st.Priority = class
	}
}
