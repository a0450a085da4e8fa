package tests

import (
	"context"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// What tests hold against what the product says of itself: the order database and
// Temporal history.

func (r *rig) reader() *trace.Reader { return trace.NewReader(r.client, r.server.Namespace()) }

// executedOnce waits until every order is executed, and checks that each is in the
// order database, once, and that its trace can be read.
func (r *rig) executedOnce(prefix string, ids []string) {
	r.t.Helper()
	for _, id := range ids {
		require.Equal(r.t, ltp.Executed, r.ended(id).State, id)
		_, err := r.reader().Order(r.ctx, id)
		assert.NoError(r.t, err, "the trace of %s", id)
	}
	db := r.openDB()
	missing, err := db.Missing(r.ctx, ids)
	require.NoError(r.t, err)
	assert.Empty(r.t, missing)
	tally, err := db.Tally(r.ctx, prefix)
	require.NoError(r.t, err)
	assert.EqualValues(r.t, len(ids), tally.Orders, "rows of orders")
	assert.EqualValues(r.t, len(ids), tally.Outbox, "rows of the outbox")
	assert.Zero(r.t, tally.Duplicates)
}

// history is what a workflow's latest run has done so far.
func (r *rig) history(workflowID string) *historypb.History {
	r.t.Helper()
	return r.run(workflowID, "")
}

func (r *rig) run(workflowID, runID string) *historypb.History {
	r.t.Helper()
	h := &historypb.History{}
	events := r.client.GetWorkflowHistory(r.ctx, workflowID, runID, false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(r.t, err)
		h.Events = append(h.Events, e)
	}
	return h
}

// awaitRouting waits until an order was routed for a reason, under an epoch where one is
// given.
func (r *rig) awaitRouting(id string, why ltp.Reason, epoch int64) {
	r.t.Helper()
	r.awaitEvent(ltp.OrderWorkflowID(id), func(e *historypb.HistoryEvent) bool {
		asked, ok, err := trace.Routing(e)
		require.NoError(r.t, err)
		return ok && asked.Reason == why && (epoch == 0 || asked.Epoch == epoch)
	})
}

// awaitAttempt waits until an attempt to execute an order ended so.
func (r *rig) awaitAttempt(id string, want ltp.Result) *historypb.HistoryEvent {
	r.t.Helper()
	return r.awaitEvent(ltp.OrderWorkflowID(id), func(e *historypb.HistoryEvent) bool {
		attempt, ok, err := attempted(e)
		require.NoError(r.t, err)
		return ok && attempt.Result == want
	})
}

// attempted is the attempt that an event holds, and withdrawn the withdrawal; false where
// it holds none.
func attempted(e *historypb.HistoryEvent) (a ltp.Attempt, ok bool, err error) {
	ok, err = marked(e, "Execute", &a)
	return a, ok, err
}

func withdrawn(e *historypb.HistoryEvent) (w ltp.Withdrawal, ok bool, err error) {
	ok, err = marked(e, "Withdraw", &w)
	return w, ok, err
}

// marked reads the result of a local activity from its marker.
func marked(e *historypb.HistoryEvent, activity string, result any) (ok bool, err error) {
	details := e.GetMarkerRecordedEventAttributes().GetDetails()
	if details["data"] == nil || details["result"] == nil {
		return false, nil
	}
	var about struct{ ActivityType string }
	if err := trace.Decode(details["data"], &about); err != nil || about.ActivityType != activity {
		return false, err
	}
	err = trace.Decode(details["result"], result)
	return err == nil, err
}

// awaitEvent waits until a workflow's history holds an event that fits.
func (r *rig) awaitEvent(workflowID string, fits func(*historypb.HistoryEvent) bool) *historypb.HistoryEvent {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.ctx, patience)
	defer cancel()
	events := r.client.GetWorkflowHistory(ctx, workflowID, "", true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(r.t, err)
		if fits(e) {
			return e
		}
	}
	require.FailNow(r.t, "it ended without the event", workflowID)
	return nil
}

// awaitActivity waits until an activity of a workflow is under way, and fits.
func (r *rig) awaitActivity(workflowID string, fits func(*workflowpb.PendingActivityInfo) bool) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		d, err := r.client.DescribeWorkflowExecution(r.ctx, workflowID, "")
		require.NoError(r.t, err)
		for _, a := range d.GetPendingActivities() {
			if a.GetState() == enumspb.PENDING_ACTIVITY_STATE_STARTED && fits(a) {
				return true
			}
		}
		return false
	}, patience, 20*time.Millisecond)
}

// states are the states that the default component has been in, in turn.
func (r *rig) states() []ltp.State {
	r.t.Helper()
	story, err := r.reader().Orientation(r.ctx, ltp.DefaultComponent)
	require.NoError(r.t, err)
	assert.Empty(r.t, story.Gaps)
	var states []ltp.State
	for _, f := range story.Frames {
		if n := len(states); n == 0 || states[n-1] != f.Orientation.State {
			states = append(states, f.Orientation.State)
		}
	}
	return states
}
