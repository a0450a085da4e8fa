package board

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/memo"
)

// What a reading is trusted with.
const (
	// Silence is for how long an observer may not be heard before a fit state is
	// no longer believed, even if nobody has said so yet: it exceeds the observer's
	// heartbeat timeout and the longest grace together.
	Silence = 25 * time.Second
	// Unread is for how long news may wait for the Orientation workflow before its
	// state is no longer believed: its workers are down or drowning.
	Unread = 10 * time.Second
)

// ErrNoComponent means that no Orientation workflow exists for a component, so
// that no worker or observer was ever configured for it.
var ErrNoComponent = errors.New("no such component")

// Reading is an orientation and how far it may be trusted.
type Reading struct {
	ltp.Orientation
	// ReplayControl is what an operator says of the component's replays.
	ReplayControl ltp.ReplayControl
	// Policy is the one in force.
	Policy ltp.Policy
	// ReadAt is from when it is, by the reader's clock.
	ReadAt time.Time
	// Unreadable says that State is UNKNOWN because the reader could not see, not
	// because somebody said so.
	Unreadable bool
}

// Fence is the reading as an order's history keeps it.
func (r Reading) Fence() ltp.Fence {
	return ltp.Fence{Component: r.Component, State: r.State, Epoch: r.Epoch, LastFit: r.LastFit, ReadAt: ltp.Stamped(r.ReadAt)}
}

// unreadable keeps what is known of the component, without the state.
func unreadable(o ltp.Orientation, at time.Time, why string) Reading {
	o.State, o.Reason = ltp.Unknown, why
	return Reading{Orientation: o, ReadAt: at, Unreadable: true}
}

// Read asks Temporal for a component's orientation: one strongly consistent call
// that needs no worker. It returns ErrNoComponent when there is none.
func Read(ctx context.Context, c client.Client, component string) (Reading, error) {
	at := time.Now()
	d, err := c.DescribeWorkflowExecution(ctx, ltp.OrientationWorkflowID(component), "")
	if err != nil {
		if errors.As(err, new(*serviceerror.NotFound)) {
			return Reading{}, fmt.Errorf("%w: %s", ErrNoComponent, component)
		}
		return Reading{}, fmt.Errorf("read the orientation of %s: %w", component, err)
	}
	r := Reading{Orientation: ltp.Orientation{Component: component}, ReadAt: at}
	fields := d.GetWorkflowExecutionInfo().GetMemo()
	published, err := memo.Read(fields, ltp.OrientationMemo, &r.Orientation)
	_, controlled := memo.Read(fields, ltp.ReplayControlMemo, &r.ReplayControl)
	_, set := memo.Read(fields, ltp.PolicyMemo, &r.Policy)
	if err := errors.Join(err, controlled, set); err != nil {
		return Reading{}, fmt.Errorf("read the orientation of %s: %w", component, err)
	}
	if r.Passable() && silenceReason(d, at) != "" {
		r.Observed = "" // what observers see under a hold is as old as they are silent
	}
	why := distrustReason(d, r.Orientation, at)
	if !published { // started, and not yet run by a worker
		why = "never observed"
	}
	if why != "" {
		r.State, r.Reason, r.Unreadable = ltp.Unknown, why, true
	}
	return r, nil
}

// distrustReason says why a state that looks fit is not to be believed.
func distrustReason(d *workflowservice.DescribeWorkflowExecutionResponse, o ltp.Orientation, now time.Time) string {
	if status := d.GetWorkflowExecutionInfo().GetStatus(); status != enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING {
		return "its Orientation workflow has ended"
	}
	if !o.State.Fit() {
		return ""
	}
	return silenceReason(d, now)
}

// silenceReason says why what observers saw last is not to be believed.
func silenceReason(d *workflowservice.DescribeWorkflowExecutionResponse, now time.Time) string {
	if task := d.GetPendingWorkflowTask(); task != nil {
		if t := task.GetOriginalScheduledTime().AsTime(); task.GetOriginalScheduledTime() != nil && now.Sub(t) > Unread {
			return fmt.Sprintf("news is waiting unread since %s", t.UTC().Format(time.RFC3339))
		}
	}
	var lastSeen time.Time
	for _, a := range d.GetPendingActivities() {
		last := max(a.GetLastHeartbeatTime().AsTime().UnixNano(), a.GetLastStartedTime().AsTime().UnixNano())
		if last <= 0 || a.GetAttempt() <= 1 {
			// A later attempt is scheduled by Temporal alone, as when its server starts again.
			last = max(last, a.GetScheduledTime().AsTime().UnixNano())
		}
		if t := time.Unix(0, last); t.After(lastSeen) {
			lastSeen = t
		}
	}
	if lastSeen.Unix() > 0 && now.Sub(lastSeen) > Silence {
		return fmt.Sprintf("its observer was last heard at %s", lastSeen.UTC().Format(time.RFC3339))
	}
	return ""
}
