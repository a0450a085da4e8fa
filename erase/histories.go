package erase

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/visibility"
)

// Deleted counts the runs of workflows that were deleted from Temporal.
type Deleted struct {
	Orders, Deliveries, Sequences int
	// InLine says that orders stand in line under the order's key: that run of its Sequence,
	// whose ID bears the key, was left.
	InLine bool
}

// Histories deletes from Temporal every run of the order, of the deliveries of its messages,
// and of the sequence of its ordering key where nobody stands in line. It returns when
// Temporal finds none of them any more, neither by its ID nor in a listing.
//
// What is deleted last is the latest run of the order, by which all else is found.
func Histories(ctx context.Context, c client.Client, namespace string, o Order) (d Deleted, err error) {
	x := deletion{c, namespace}
	if d.Deliveries, _, err = x.delete(ctx, ltp.DeliveryWorkflowID(o.ID), false); err != nil {
		return d, err
	}
	if o.OrderingKey != "" {
		if d.Sequences, d.InLine, err = x.delete(ctx, ltp.SequenceWorkflowID(o.OrderingKey), true); err != nil {
			return d, err
		}
	}
	d.Orders, _, err = x.delete(ctx, ltp.OrderWorkflowID(o.ID), true)
	return d, err
}

type deletion struct {
	client    client.Client
	namespace string
}

// pause is how long Temporal is left to delete before it is looked at again.
const pause = 100 * time.Millisecond

// delete deletes the runs of a workflow, the latest last, and waits until they are gone. One
// that is running is left where spare is set.
func (x deletion) delete(ctx context.Context, workflowID string, spare bool) (n int, spared bool, err error) {
	runs, running, err := x.runs(ctx, workflowID)
	if err != nil {
		return 0, false, fmt.Errorf("look for the runs of %s: %w", workflowID, err)
	}
	if spare && running != "" {
		runs, spared = slices.DeleteFunc(runs, func(run string) bool { return run == running }), true
	}
	for _, run := range runs {
		if err := x.deleteRun(ctx, workflowID, run); err != nil {
			return n, spared, err
		}
		n++
	}
	return n, spared, x.listed(ctx, workflowID, runs)
}

// runs are the runs of a workflow, the latest last: those that are listed, which may be late,
// and the latest with all that it continues. running is the one that has not closed.
func (x deletion) runs(ctx context.Context, workflowID string) (runs []string, running string, err error) {
	for run := ""; ; {
		d, err := x.client.DescribeWorkflowExecution(ctx, workflowID, run)
		if errors.As(err, new(*serviceerror.NotFound)) {
			break
		}
		if err != nil {
			return nil, "", err
		}
		info := d.GetWorkflowExecutionInfo()
		run = info.GetExecution().GetRunId()
		if runs = append(runs, run); info.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			running = run
		}
		first, err := firstEvent(ctx, x.client, workflowID, run)
		if err != nil && !errors.As(err, new(*serviceerror.NotFound)) {
			return nil, "", err
		}
		if run = first.GetContinuedExecutionRunId(); run == "" {
			break
		}
	}
	listed, err := x.listing(workflowID).All(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, e := range listed {
		if run := e.GetExecution().GetRunId(); !slices.Contains(runs, run) {
			runs = append(runs, run)
		}
	}
	slices.Reverse(runs)
	return runs, running, nil
}

func (x deletion) listing(workflowID string) visibility.Listing {
	return visibility.Listing{Store: x.client, Query: fmt.Sprintf("WorkflowId='%s'", workflowID), PageSize: 1000}
}

// deleteRun returns when the run is gone.
func (x deletion) deleteRun(ctx context.Context, workflowID, run string) error {
	_, err := x.client.WorkflowService().DeleteWorkflowExecution(ctx, &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: x.namespace, WorkflowExecution: &commonpb.WorkflowExecution{WorkflowId: workflowID, RunId: run},
	})
	for err == nil {
		if _, err = x.client.DescribeWorkflowExecution(ctx, workflowID, run); err == nil {
			err = rest(ctx)
		}
	}
	if errors.As(err, new(*serviceerror.NotFound)) {
		return nil
	}
	return fmt.Errorf("delete run %s of %s: %w", run, workflowID, err)
}

// listed returns when none of the runs is listed any more.
func (x deletion) listed(ctx context.Context, workflowID string, runs []string) error {
	for {
		found, err := x.listing(workflowID).All(ctx)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(found, func(e visibility.Execution) bool { return slices.Contains(runs, e.GetExecution().GetRunId()) }) {
			return nil
		}
		if err := rest(ctx); err != nil {
			return fmt.Errorf("temporal still lists %s: %w", workflowID, err)
		}
	}
}

func rest(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(pause):
		return nil
	}
}

// firstEvent is what a run was started with.
func firstEvent(ctx context.Context, c client.Client, workflowID, run string) (*historypb.WorkflowExecutionStartedEventAttributes, error) {
	events := c.GetWorkflowHistory(ctx, workflowID, run, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	if !events.HasNext() {
		return nil, errors.New("it has no events")
	}
	e, err := events.Next()
	return e.GetWorkflowExecutionStartedEventAttributes(), err
}
