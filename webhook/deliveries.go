package webhook

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/internal/longpoll"
)

// Trouble is a message that an endpoint has not received. Endpoint and Event are empty where
// what the order announced could not be read.
type Trouble struct {
	OrderID  string           `json:"order"`
	Endpoint string           `json:"endpoint,omitempty"`
	Event    ltp.WebhookEvent `json:"event,omitempty"`
	// GivenUp says that it is not tried any more. Attempts and Next are of one that is.
	GivenUp  bool      `json:"given_up"`
	Attempts int       `json:"attempts,omitempty"`
	Next     time.Time `json:"next,omitzero"`
	Why      string    `json:"why,omitempty"`
}

// mostLooked is how many Deliveries Troubles looks at: many may be under way, and well.
const mostLooked = 1000

// Troubles are the messages that were given up and those that fail, of one tenant's orders or
// of all, the latest first. looked is of how many orders, and more says that there are
// others. It reads the visibility store, which may be some seconds late.
func Troubles(ctx context.Context, c client.Client, tenant *string, most int) (all []Trouble, looked int, more bool, err error) {
	seen := map[string]bool{}
	for _, statuses := range []string{ended, "'Running'"} {
		for id, err := range ordersOf(ctx, c, tenant, statuses) {
			if err != nil {
				return all, len(seen), false, err
			}
			if seen[id] {
				continue
			}
			if len(all) >= most || len(seen) == mostLooked {
				return all, len(seen), true, nil
			}
			seen[id] = true
			of, err := troublesOf(ctx, c, id)
			if err != nil {
				return all, len(seen), false, err
			}
			all = append(all, of...)
		}
	}
	return all, len(seen), false, nil
}

// listed are the executions that a visibility query finds.
func listed(ctx context.Context, c client.Client, query string) iter.Seq2[*workflowpb.WorkflowExecutionInfo, error] {
	return func(yield func(*workflowpb.WorkflowExecutionInfo, error) bool) {
		var token []byte
		for {
			page, err := c.ListWorkflow(ctx, &workflowservice.ListWorkflowExecutionsRequest{Query: query, PageSize: 100, NextPageToken: token})
			if err != nil {
				yield(nil, fmt.Errorf("list deliveries: %w", err))
				return
			}
			for _, e := range page.GetExecutions() {
				if !yield(e, nil) {
					return
				}
			}
			if token = page.GetNextPageToken(); len(token) == 0 {
				return
			}
		}
	}
}

// troublesOf are the messages of one order that fail or were given up.
func troublesOf(ctx context.Context, c client.Client, orderID string) (all []Trouble, err error) {
	past, running, err := history(ctx, c, orderID)
	if err != nil {
		return nil, err
	}
	for _, p := range running.GetPendingActivities() {
		if p.GetLastFailure() == nil {
			continue
		}
		endpoint, event := ltp.ReadAttemptID(p.GetActivityId())
		t := Trouble{OrderID: orderID, Endpoint: endpoint, Event: event, Attempts: int(p.GetAttempt()) - 1, Why: p.GetLastFailure().GetMessage()}
		if next := p.GetScheduledTime(); next != nil {
			t.Next = next.AsTime()
		}
		all = append(all, t)
	}
	for _, item := range past.GivenUp {
		all = append(all, Trouble{OrderID: orderID, Endpoint: item.Endpoint, Event: item.Event, GivenUp: true, Why: item.Why})
	}
	return all, nil
}

// history is what the Deliveries of an order that have ended have left, and the one that
// runs; nil where none does. What a later one has delivered is not left.
func history(ctx context.Context, c client.Client, orderID string) (left ltp.DeliveryReport, running *workflowservice.DescribeWorkflowExecutionResponse, err error) {
	if err := ltp.ValidID(orderID); err != nil {
		return left, nil, err
	}
	id := ltp.DeliveryWorkflowID(orderID)
	latest, err := c.DescribeWorkflowExecution(ctx, id, "")
	if errors.As(err, new(*serviceerror.NotFound)) {
		return left, nil, nil
	}
	if err != nil {
		return left, nil, fmt.Errorf("look for the deliveries of %s: %w", orderID, err)
	}
	runs := []*workflowpb.WorkflowExecutionInfo{latest.GetWorkflowExecutionInfo()} // which visibility may not show yet
	for e, err := range listed(ctx, c, fmt.Sprintf("WorkflowId='%s'", id)) {
		if err != nil {
			return left, nil, err
		}
		if e.GetExecution().GetRunId() != runs[0].GetExecution().GetRunId() {
			runs = append(runs, e)
		}
	}
	slices.SortFunc(runs, func(a, b *workflowpb.WorkflowExecutionInfo) int {
		return a.GetStartTime().AsTime().Compare(b.GetStartTime().AsTime())
	})
	for _, run := range runs {
		if run.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			continue
		}
		report, err := reportOf(ctx, c, run)
		if err != nil {
			return left, nil, err
		}
		for _, item := range slices.Concat(report.Delivered, report.GivenUp) {
			left.Delivered = slices.DeleteFunc(left.Delivered, item.Same)
			left.GivenUp = slices.DeleteFunc(left.GivenUp, item.Supersedes)
		}
		left.Delivered, left.GivenUp = append(left.Delivered, report.Delivered...), append(left.GivenUp, report.GivenUp...)
	}
	if latest.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		running = latest
	}
	return left, running, nil
}

// reportOf is what a Delivery that has ended has done. One that was ended by force says
// nothing.
func reportOf(ctx context.Context, c client.Client, run *workflowpb.WorkflowExecutionInfo) (r ltp.DeliveryReport, err error) {
	patient, stop := longpoll.Patient(ctx)
	defer stop()
	err = c.GetWorkflow(patient, run.GetExecution().GetWorkflowId(), run.GetExecution().GetRunId()).Get(patient, &r)
	var own *temporal.ApplicationError
	var cancelled *temporal.CanceledError
	switch {
	case errors.As(err, &own) && own.Type() == ltp.Undelivered:
		err = own.Details(&r)
		return r, err
	case errors.As(err, &cancelled) && cancelled.HasDetails():
		err = cancelled.Details(&r)
		return r, err
	case errors.As(err, new(*temporal.WorkflowExecutionError)), errors.As(err, new(*serviceerror.NotFound)):
		return ltp.DeliveryReport{}, nil
	}
	return r, err
}

// Redeliver has an order's messages sent again that were not delivered, as far as Temporal
// knows, also those that no Delivery was called for; or with all every one of them. A message
// that waits for its next attempt is sent at once. It returns when Temporal has the request.
// An order that no Delivery is known of any more has all sent.
func Redeliver(ctx context.Context, c client.Client, orderID string, all bool) error {
	again := ltp.Redelivery{All: all}
	if !all {
		left, _, err := history(ctx, c, orderID)
		if err != nil {
			return err
		}
		again = ltp.Redelivery{Undelivered: true, Delivered: left.Delivered}
	} else if err := ltp.ValidID(orderID); err != nil {
		return err
	}
	if err := activities.CallDelivery(ctx, c, orderID, ltp.RedeliverSignal, again); err != nil {
		return fmt.Errorf("redeliver the webhooks of %s: %w", orderID, err)
	}
	return nil
}

// GivenUpOrders are the orders, of one tenant or of all, of which a message was given up or
// whose Delivery was ended by hand, and not redelivered since. It reads the visibility store,
// which may be some seconds late.
func GivenUpOrders(ctx context.Context, c client.Client, tenant *string) (ids []string, err error) {
	seen := map[string]bool{}
	for id, err := range ordersOf(ctx, c, tenant, ended) {
		if err != nil {
			return nil, err
		}
		if seen[id] {
			continue
		}
		seen[id] = true
		left, running, err := history(ctx, c, id)
		if err != nil {
			return nil, err
		}
		if len(left.GivenUp) > 0 || running != nil || len(left.Delivered) == 0 {
			ids = append(ids, id)
		}
	}
	return ids, nil
}

// ended are the states of Deliveries that did not deliver all.
const ended = "'Failed','Canceled','Terminated'"

// ordersOf are the orders, of one tenant or of all, whose Deliveries are in a state; an order
// may come more than once. Nothing in the IDs of the default tenant's distinguishes them from others.
func ordersOf(ctx context.Context, c client.Client, tenant *string, statuses string) iter.Seq2[string, error] {
	query := fmt.Sprintf("WorkflowType='%s' AND ExecutionStatus IN (%s)", ltp.DeliveryWorkflow, statuses)
	if tenant != nil && *tenant != "" {
		query += fmt.Sprintf(" AND WorkflowId STARTS_WITH '%s'", ltp.DeliveryWorkflowID(ltp.FullID(*tenant, "")))
	}
	return func(yield func(string, error) bool) {
		for e, err := range listed(ctx, c, query) {
			id, ok := ltp.DeliveryOrderID(e.GetExecution().GetWorkflowId())
			if of, _ := ltp.SplitID(id); err == nil && (!ok || tenant != nil && of != *tenant) {
				continue
			}
			if !yield(id, err) || err != nil {
				return
			}
		}
	}
}
