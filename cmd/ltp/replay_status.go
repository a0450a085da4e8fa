package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay"
)

// replayStatus is how far the release of what waits for a component is, by what Temporal
// holds: it needs no worker.
type replayStatus struct {
	At        time.Time `json:"at"`
	Component string    `json:"component"`
	State     ltp.State `json:"state"`
	Epoch     int64     `json:"epoch"`
	Reason    string    `json:"reason"`
	Since     time.Time `json:"since"`
	// Blind says that State is UNKNOWN because it cannot be seen.
	Blind    bool         `json:"blind,omitempty"`
	Steering ltp.Steering `json:"steering,omitzero"`
	// Waiting are the deferred orders of the component, and Reasons why they wait, as the
	// visibility store shows them: late.
	Waiting int64                `json:"waiting"`
	Reasons map[ltp.Reason]int64 `json:"reasons,omitempty"`
	// Next is the order that is the first in turn.
	Next *plannedOrder `json:"next,omitempty"`
	// Replay is the release under way; nil when nothing is replayed.
	Replay *replayRun `json:"replay,omitempty"`
}

// replayRun is a release under way.
type replayRun struct {
	WorkflowID string `json:"workflow_id"`
	Settling   bool   `json:"settling,omitempty"` // the backlog is drained, and what showed up late is looked for
	// Attempt counts from 1; LastError is why the one before ended.
	Attempt   int32  `json:"attempt"`
	LastError string `json:"last_error,omitempty"`
	// Report is its latest heartbeat; nil before the first.
	Report *ltp.ReleaseReport `json:"report,omitempty"`
	// LeftSeconds is about how long the rest takes at the present rate; 0 is not known.
	LeftSeconds float64 `json:"left_seconds,omitempty"`
}

func (a *app) replayStatus() *cobra.Command {
	component := ltp.DefaultComponent
	var asJSON, watch bool
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Tell how far a replay is, or what waits and why; needs no worker",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := ltp.ValidComponent(component); err != nil {
				return err
			}
			t, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer t.stop()
			view := &replayView{w: cmd.OutOrStdout(), terminal: isTerminal(cmd.OutOrStdout()), json: asJSON}
			for {
				now, err := readReplay(cmd.Context(), t, component)
				if cmd.Context().Err() != nil && watch {
					return nil
				}
				if err != nil {
					return err
				}
				if err := view.show(now, watch); err != nil || !watch {
					return err
				}
				select {
				case <-cmd.Context().Done():
					return nil
				case <-time.After(time.Second):
				}
			}
		},
	}
	cmd.Flags().StringVar(&component, "component", component, "the component")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON; with --watch one object a line")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "tell again every second, until interrupted")
	return cmd
}

// readReplay asks Temporal for the status.
func readReplay(ctx context.Context, c client.Client, component string) (replayStatus, error) {
	r, err := board.Read(ctx, c, component)
	if err != nil {
		return replayStatus{}, err
	}
	s := replayStatus{
		At: time.Now().UTC(), Component: component, State: r.State, Epoch: r.Epoch, Reason: r.Reason, Since: r.Since,
		Blind: r.Blind, Steering: r.Steering, Reasons: map[ltp.Reason]int64{},
	}
	if s.Replay, err = releaseOf(ctx, c, component, r.Epoch); err != nil {
		return s, err
	}
	query := fmt.Sprintf("WorkflowType='%s' AND ExecutionStatus='Running' AND %s='%s' AND %s='%s'",
		ltp.OrderWorkflow, ltp.StateAttribute, ltp.Deferred, ltp.ComponentAttribute, component)
	if s.Waiting, err = countOrders(ctx, c, query); err != nil || s.Waiting == 0 || s.Replay != nil {
		return s, err
	}
	for _, why := range waits {
		n, err := countOrders(ctx, c, fmt.Sprintf("%s AND %s='%s'", query, ltp.ReasonAttribute, why))
		if err != nil {
			return s, err
		}
		if n > 0 {
			s.Reasons[why] = n
		}
	}
	err = replay.Plan(ctx, c, component, r.Epoch+1, func(o replay.PlannedOrder) error {
		s.Next = &plannedOrder{OrderID: o.OrderID, Class: o.Priority, AcceptedAt: o.StartedAt}
		return errEnough
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return s, err
}

// errEnough ends a plan of which enough was heard.
var errEnough = errors.New("enough")

// waits are the reasons for which orders wait.
var waits = []ltp.Reason{
	ltp.ReasonUnstable, ltp.ReasonRecovering, ltp.ReasonReplayPaused, ltp.ReasonDegraded, ltp.ReasonUnknown,
	ltp.ReasonExecuteUnavailable, ltp.ReasonFrozen, ltp.ReasonAwaitsReplay,
}

func countOrders(ctx context.Context, c client.Client, query string) (int64, error) {
	r, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", query, err)
	}
	return r.GetCount(), nil
}

// releaseOf is the release of a component under an epoch: that of a replay which began
// with the epoch, or of one which drained the epoch before and sweeps on.
func releaseOf(ctx context.Context, c client.Client, component string, epoch int64) (*replayRun, error) {
	for _, e := range []int64{epoch, epoch - 1} {
		id := ltp.ReplayWorkflowID(component, e)
		d, err := c.DescribeWorkflowExecution(ctx, id, "")
		if errors.As(err, new(*serviceerror.NotFound)) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for %s: %w", id, err)
		}
		if d.GetWorkflowExecutionInfo().GetStatus() != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
			continue
		}
		run := &replayRun{WorkflowID: id, Settling: e < epoch}
		for _, p := range d.GetPendingActivities() {
			if err := run.read(p); err != nil {
				return nil, fmt.Errorf("the heartbeat of %s: %w", id, err)
			}
		}
		return run, nil
	}
	return nil, nil
}

func (r *replayRun) read(p *workflowpb.PendingActivityInfo) error {
	r.Attempt, r.LastError = p.GetAttempt(), p.GetLastFailure().GetMessage()
	if p.GetHeartbeatDetails() == nil {
		return nil
	}
	report := new(ltp.ReleaseReport)
	if err := converter.GetDefaultDataConverter().FromPayloads(p.GetHeartbeatDetails(), report); err != nil {
		return err
	}
	r.Report = report
	if report.Rate >= 1 && report.Phase == replay.PhaseRamp {
		r.LeftSeconds = float64(report.Remaining) / report.Rate
	}
	return nil
}
