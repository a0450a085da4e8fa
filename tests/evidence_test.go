package tests

import (
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// What tests hold against what the product says of itself: the order database and
// Temporal history.

// executedOnce waits until every order is executed, and checks that each is in the
// order database, once, and that its trace can be read.
func (r *rig) executedOnce(prefix string, ids []string) {
	r.T.Helper()
	for _, id := range ids {
		require.Equal(r.T, ltp.Executed, r.Ended(id).State, id)
		_, err := r.Reader().Order(r.Ctx, id)
		assert.NoError(r.T, err, "the trace of %s", id)
	}
	db := r.OpenDB()
	missing, err := db.Missing(r.Ctx, ids)
	require.NoError(r.T, err)
	assert.Empty(r.T, missing)
	tally, err := db.Tally(r.Ctx, prefix)
	require.NoError(r.T, err)
	assert.EqualValues(r.T, len(ids), tally.Orders, "rows of orders")
	assert.EqualValues(r.T, len(ids), tally.Outbox, "rows of the outbox")
	assert.Zero(r.T, tally.Duplicates)
}

// awaitRouting waits until an order was routed for a reason, under an epoch where one is
// given.
func (r *rig) awaitRouting(id string, why ltp.Reason, epoch int64) {
	r.T.Helper()
	r.AwaitEvent(ltp.OrderWorkflowID(id), func(e *historypb.HistoryEvent) bool {
		asked, ok, err := trace.Routing(e)
		require.NoError(r.T, err)
		return ok && asked.Reason == why && (epoch == 0 || asked.Epoch == epoch)
	})
}

// awaitAttempt waits until an attempt to execute an order ended so.
func (r *rig) awaitAttempt(id string, want ltp.Result) *historypb.HistoryEvent {
	r.T.Helper()
	return r.AwaitEvent(ltp.OrderWorkflowID(id), func(e *historypb.HistoryEvent) bool {
		attempt, ok, err := attempted(e)
		require.NoError(r.T, err)
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

// states are the states that the default component has been in, in turn.
func (r *rig) states() []ltp.State {
	r.T.Helper()
	story, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(r.T, err)
	assert.Empty(r.T, story.Gaps)
	var states []ltp.State
	for _, f := range story.Frames {
		if n := len(states); n == 0 || states[n-1] != f.Orientation.State {
			states = append(states, f.Orientation.State)
		}
	}
	return states
}
