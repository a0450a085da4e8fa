package harness

import (
	"context"

	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/trace"
)

// Until waits for a state of the default component that was published, and not merely
// concluded from not seeing anything.
func (r *Rig) Until(b *board.Board, s ltp.State) board.Reading {
	r.T.Helper()
	return r.UntilFits(b, string(s), func(now board.Reading) bool { return now.State == s && !now.Unreadable })
}

// UntilFits waits for a reading of the default component that fits.
func (r *Rig) UntilFits(b *board.Board, what string, fits func(board.Reading) bool) board.Reading {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, r.patience.State)
	defer cancel()
	now, err := b.Wait(ctx, ltp.DefaultComponent, fits)
	require.NoErrorf(r.T, err, "waiting for %s: it is %+v", what, b.Orientation(ltp.DefaultComponent))
	return now
}

// Decided waits until an order is deferred or has ended.
func (r *Rig) Decided(sub starter.Submission) starter.Status {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, r.patience.Step)
	defer cancel()
	st, err := r.Start.Await(ctx, sub)
	require.NoError(r.T, err)
	return st
}

// Ended waits until an order has ended.
func (r *Rig) Ended(id string) starter.Status {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, r.patience.Step)
	defer cancel()
	_ = r.Client.GetWorkflow(ctx, ltp.OrderWorkflowID(id), "").Get(ctx, nil)
	st := r.Status(id)
	require.Truef(r.T, st.State.Final(), "%+v", st)
	return st
}

// Status is where an order is.
func (r *Rig) Status(id string) starter.Status {
	r.T.Helper()
	st, err := r.Start.Get(r.Ctx, id)
	require.NoError(r.T, err)
	return st
}

// Eventually looks until it is so: for what nobody announces.
func (r *Rig) Eventually(what string, so func() bool) {
	r.T.Helper()
	require.Eventually(r.T, so, r.patience.Step, look, what)
}

// Reader reads the histories of the rig.
func (r *Rig) Reader() *trace.Reader { return trace.NewReader(r.Client, r.Server.Namespace()) }

// History is what a run of a workflow has done so far; an empty run is the latest.
func (r *Rig) History(workflowID, runID string) *historypb.History {
	r.T.Helper()
	h := &historypb.History{}
	events := r.Client.GetWorkflowHistory(r.Ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(r.T, err)
		h.Events = append(h.Events, e)
	}
	return h
}

// AwaitEvent waits until a workflow's history holds an event that fits.
func (r *Rig) AwaitEvent(workflowID string, fits func(*historypb.HistoryEvent) bool) *historypb.HistoryEvent {
	r.T.Helper()
	ctx, cancel := context.WithTimeout(r.Ctx, r.patience.Step)
	defer cancel()
	events := r.Client.GetWorkflowHistory(ctx, workflowID, "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(r.T, err)
		if fits(e) {
			return e
		}
	}
	require.FailNow(r.T, "it ended without the event", workflowID)
	return nil
}

// AwaitEventType waits until a workflow's history holds an event of a type.
func (r *Rig) AwaitEventType(workflowID string, kind enumspb.EventType) {
	r.T.Helper()
	r.AwaitEvent(workflowID, func(e *historypb.HistoryEvent) bool { return e.GetEventType() == kind })
}

// AwaitActivity waits until an activity of a workflow is under way, and fits.
func (r *Rig) AwaitActivity(workflowID string, fits func(*workflowpb.PendingActivityInfo) bool) {
	r.T.Helper()
	r.Eventually("an activity of "+workflowID+" is under way", func() bool {
		d, err := r.Client.DescribeWorkflowExecution(r.Ctx, workflowID, "")
		if err != nil {
			return false
		}
		for _, a := range d.GetPendingActivities() {
			if a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED && fits(a) {
				return true
			}
		}
		return false
	})
}
