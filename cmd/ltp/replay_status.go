package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/terminal"
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
	// Unreadable says that State is UNKNOWN because it cannot be seen.
	Unreadable    bool              `json:"blind,omitempty"`
	ReplayControl ltp.ReplayControl `json:"steering,omitzero"`
	// Waiting are the deferred orders of the component, and Reasons why they wait, as the
	// visibility store shows them: late.
	Waiting int64                `json:"waiting"`
	Reasons map[ltp.Reason]int64 `json:"reasons,omitempty"`
	// Next is the order that is the first in turn.
	Next *plannedOrder `json:"next,omitempty"`
	// Replay is the release under way; nil when nothing is replayed.
	Replay *replay.Run `json:"replay,omitempty"`
}

func (a *app) replayStatus() *cobra.Command {
	var component string
	var watch bool
	var as format
	cmd := &cobra.Command{
		Use:   "status",
		Short: "Show how far replays are, or what waits and why; needs no worker",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := ltp.ValidComponent(component); component != "" && err != nil {
				return err
			}
			t, err := a.connect(cmd.Context())
			if err != nil {
				return err
			}
			defer t.stop()
			view := &replayView{w: cmd.OutOrStdout(), terminal: terminal.Is(cmd.OutOrStdout()), json: as.JSON()}
			for {
				now, err := readReplays(cmd.Context(), t, component)
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
	cmd.Flags().StringVar(&component, "component", "", "one component (default: all that have an orientation)")
	as.flag(cmd, "one object a line, for each component")
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every second, until interrupted")
	return cmd
}

// readReplays asks Temporal for the status of one component, or of all where none is named,
// the order database first.
func readReplays(ctx context.Context, t *temporal, component string) ([]replayStatus, error) {
	components := []string{component}
	if component == "" {
		var err error
		if components, err = t.components(ctx); err != nil {
			return nil, err
		}
	}
	var all []replayStatus
	for _, c := range components {
		one, err := readReplay(ctx, t, c)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// readReplay asks Temporal for the status of a component.
func readReplay(ctx context.Context, c *temporal, component string) (replayStatus, error) {
	r, err := c.orientation(ctx, component)
	if err != nil {
		return replayStatus{}, err
	}
	s := replayStatus{
		At: time.Now().UTC(), Component: component, State: r.State, Epoch: r.Epoch, Reason: r.Reason, Since: r.Since,
		Unreadable: r.Unreadable, ReplayControl: r.ReplayControl, Reasons: map[ltp.Reason]int64{},
	}
	if s.Replay, err = replay.UnderWay(ctx, c, component, r.Epoch); err != nil {
		return s, err
	}
	query := fmt.Sprintf("WorkflowType='%s' AND ExecutionStatus='Running' AND %s='%s' AND %s='%s'",
		ltp.OrderWorkflow, ltp.StateAttribute, ltp.Deferred, ltp.ComponentAttribute, component)
	if s.Waiting, err = countOrders(ctx, c, query); err != nil || s.Waiting == 0 || s.Replay != nil {
		return s, err
	}
	for _, why := range ltp.WaitingReasons() {
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

func countOrders(ctx context.Context, c client.Client, query string) (int64, error) {
	r, err := c.CountWorkflow(ctx, &workflowservice.CountWorkflowExecutionsRequest{Query: query})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", query, err)
	}
	return r.GetCount(), nil
}
