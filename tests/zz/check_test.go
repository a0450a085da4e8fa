package faults

import (
	"sort"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/trace"
)

// What there is, held against what was promised.

// executedOnce waits until every order is executed, and checks that the order database
// has each of them once and no other, that none was written while unfit, and that the
// audit finds nothing broken.
func (r *rig) executedOnce(ids []string) {
	r.t.Helper()
	var stories []trace.OrderTrace
	for _, id := range ids {
		require.Equal(r.t, ltp.Executed, r.ended(id).State, id)
		story, err := r.reader().Order(r.ctx, id)
		require.NoError(r.t, err)
		stories = append(stories, story)
	}
	rows := r.rows()
	assert.Len(r.t, rows, len(ids), "rows of the order database")
	for _, id := range ids {
		assert.Equal(r.t, 1, rows[id], "rows of %s in the outbox", id)
	}
	for _, breach := range breaches(r.unfit(), stories) {
		assert.Fail(r.t, breach)
	}
	r.until(ltp.Stable)
	r.audited()
}

// rows are the orders of the order database, each with how often the outbox has it.
func (r *rig) rows() map[string]int {
	r.t.Helper()
	db, err := orderdb.OpenLedger(r.ctx, r.orders)
	require.NoError(r.t, err)
	defer db.Close()
	rows := map[string]int{}
	for e, err := range db.Created(r.ctx, time.Time{}, time.Time{}) {
		require.NoError(r.t, err)
		_, twice := rows[e.ID]
		assert.False(r.t, twice, "%s is in the order database twice", e.ID)
		rows[e.ID] = int(e.Outbox)
	}
	return rows
}

// stretches are the times at which the component was unfit, as published.
type stretches []struct{ from, to time.Time }

func (r *rig) unfit() (s stretches) {
	r.t.Helper()
	o, err := r.reader().Orientation(r.ctx, ltp.DefaultComponent)
	require.NoError(r.t, err)
	assert.Empty(r.t, o.Gaps)
	for _, f := range o.Frames {
		open := len(s) > 0 && s[len(s)-1].to.IsZero()
		switch fit := f.Orientation.State.Fit(); {
		case !fit && !open:
			s = append(s, struct{ from, to time.Time }{from: f.At})
		case fit && open:
			s[len(s)-1].to = f.At
		}
	}
	return s
}

// at is when the component had become unfit, if it was at t.
func (s stretches) at(t time.Time) (since time.Time, unfit bool) {
	i := sort.Search(len(s), func(i int) bool { return s[i].from.After(t) }) - 1
	if i < 0 || !s[i].to.IsZero() && !t.Before(s[i].to) {
		return time.Time{}, false
	}
	return s[i].from, true
}

// breaches are what no order may do: be executed twice, write while the component is
// known to be unfit, or act again after its end. The audit looks for the same by other
// means.
func breaches(unfit stretches, stories []trace.OrderTrace) (found []string) {
	for _, story := range stories {
		done, effects := 0, 0
		for _, x := range story.Executions {
			if x.Done() {
				done++
			}
			if x.Done() && !x.Repeated() {
				effects++
			}
			since, was := unfit.at(x.BegunAt)
			if !x.BegunAt.IsZero() && was && !x.Fence.ReadAt.Before(since) {
				found = append(found, story.Order.ID+": a write was begun at "+x.BegunAt.String()+", and the component is known to be unfit since "+since.String())
			}
		}
		if effects > 1 || done > 1 {
			found = append(found, story.Order.ID+" was executed more than once")
		}
		if state := story.State(); done > 0 && state.Final() && state != ltp.Executed {
			found = append(found, story.Order.ID+" was executed, and ended "+string(state))
		}
	}
	return found
}

// history is what Temporal holds of a workflow, for whoever looks into a failure.
func (r *rig) history(workflowID string) string {
	r.t.Helper()
	var lines []string
	events := r.client.GetWorkflowHistory(r.ctx, workflowID, "", false, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		require.NoError(r.t, err)
		line, err := protojson.Marshal(e)
		require.NoError(r.t, err)
		lines = append(lines, string(line))
	}
	return strings.Join(lines, "\n")
}
