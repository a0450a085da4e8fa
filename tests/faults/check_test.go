package faults

import (
	"sort"
	"strings"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/trace"
)

// What there is, held against what was promised.

// executedOnce waits until every order is executed, and checks that the order database
// has each of them once and no other, that its receipt is the order's, that none was
// written while unfit, and that the audit finds nothing broken.
func (r *rig) executedOnce(ids []string) {
	r.T.Helper()
	var stories []trace.OrderTrace
	for _, id := range ids {
		require.Equal(r.T, ltp.Executed, r.Ended(id).State, id)
		story, err := r.Reader().Order(r.Ctx, id)
		require.NoErrorf(r.T, err, "the trace of %s\n%s", id, r.history(ltp.OrderWorkflowID(id)))
		stories = append(stories, story)
	}
	rows := r.rows()
	assert.Len(r.T, rows, len(ids), "rows of the order database")
	for _, story := range stories {
		r.receipted(story, rows)
	}
	unfit := r.unfit()
	for _, breach := range append(breaches(unfit, stories), unfenced(unfit, rows)...) {
		assert.Fail(r.T, breach)
	}
	r.Until(r.seen, ltp.Stable)
	r.audited()
}

// receipted holds the receipt of an executed order against that of its row.
func (r *rig) receipted(story trace.OrderTrace, rows map[string]orderdb.Entry) {
	r.T.Helper()
	id := story.Order.ID
	row, there := rows[id]
	if !assert.True(r.T, there, "%s is executed, and not in the order database", id) {
		return
	}
	assert.Equal(r.T, 1, row.Outbox, "rows of %s in the outbox", id)
	if story.Execution.External() || !assert.NotNil(r.T, story.Outcome, id) || !assert.NotNil(r.T, story.Outcome.Receipt, id) {
		return
	}
	got, want := *story.Outcome.Receipt, row.Receipt
	assert.Equal(r.T, want.Attempt, got.Attempt, id)
	assert.Equal(r.T, want.Worker, got.Worker, id)
	assert.Truef(r.T, want.BegunAt.Equal(got.BegunAt), "%s: its row was begun at %s, and its receipt says %s", id, want.BegunAt, got.BegunAt)
	assert.Equal(r.T, want.Fence.Epoch, got.Fence.Epoch, id)
}

// rows are the orders of the order database.
func (r *rig) rows() map[string]orderdb.Entry {
	r.T.Helper()
	db, err := orderdb.OpenLedger(r.Ctx, r.Orders)
	require.NoError(r.T, err)
	defer db.Close()
	rows := map[string]orderdb.Entry{}
	for e, err := range db.Created(r.Ctx, time.Time{}, time.Time{}) {
		require.NoError(r.T, err)
		_, twice := rows[e.ID]
		assert.False(r.T, twice, "%s is in the order database twice", e.ID)
		rows[e.ID] = e
	}
	return rows
}

// stretches are the times at which the component was unfit, as published.
type stretches []struct{ from, to time.Time }

func (r *rig) unfit() (s stretches) {
	r.T.Helper()
	o, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(r.T, err)
	assert.Empty(r.T, o.Gaps)
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

// knew reports whether a write was begun while the component was unfit, behind a reading
// that could have known.
func (s stretches) knew(begun, read time.Time) (since time.Time, so bool) {
	since, was := s.at(begun)
	return since, !begun.IsZero() && was && !read.Before(since)
}

// unfenced are the rows that were begun so. A write whose task was lost stands in its row
// only.
func unfenced(unfit stretches, rows map[string]orderdb.Entry) (found []string) {
	for id, e := range rows {
		if since, so := unfit.knew(e.Receipt.BegunAt, e.Receipt.Fence.ReadAt); so {
			found = append(found, id+": its row was begun at "+e.Receipt.BegunAt.String()+", and the component is known to be unfit since "+since.String())
		}
		if !e.Receipt.Fence.State.Fit() {
			found = append(found, id+": its row was written under "+string(e.Receipt.Fence.State))
		}
	}
	return found
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
			if since, so := unfit.knew(x.BegunAt, x.Fence.ReadAt); so {
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
	r.T.Helper()
	var lines []string
	for _, e := range r.History(workflowID, "").GetEvents() {
		line, err := protojson.Marshal(e)
		require.NoError(r.T, err)
		lines = append(lines, string(line))
	}
	return strings.Join(lines, "\n")
}
