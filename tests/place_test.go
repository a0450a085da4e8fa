package tests

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/replay"
	"github.com/ltp-node/ltp/starter"
)

// TestDeferredOrdersAreToldTheirPlaces, with every worker down: who goes before them is as a
// plan says and as the replay then releases them. When it is under way, they show when
// their turn comes, and nothing of a backlog once they have ended.
func TestDeferredOrdersAreToldTheirPlaces(t *testing.T) {
	const orders = 20
	r := newRig(t)
	c := r.config()
	c.Pace.InFlight = 1 // each release after the one before
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	door := r.config()
	door.Worker, door.Observe = false, false
	api := r.listen(&door)
	r.up(door)
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Second)
	require.NoError(t, r.Operator(ltp.HoldUpdate, ltp.Hold{By: "ann", Why: "a look at the places", Until: until}))
	fell := r.Until(n.Board, ltp.Unstable)
	var ids []string
	for i := range orders {
		ids = append(ids, fmt.Sprintf("place-%02d", i))
		sub := r.Submit(ids[i], ordertest.Priority([]int{0, 5, 1, 0, 4, 3, 2}[i%7]))
		require.Equal(t, ltp.Deferred, r.Decided(sub).State)
	}
	require.NoError(t, r.Start.Expedite(r.Ctx, ids[15]))
	expedited := func() bool {
		st, err := r.Start.Get(r.Ctx, ids[15])
		return err == nil && st.Expedited
	}
	require.Eventually(t, expedited, patience, 50*time.Millisecond)
	n.Stop() // and with it the only worker

	status := func(id string) starter.Status {
		response, body := do(t, "GET", api+"/orders/"+id, "", nil)
		require.Equal(t, 200, response.StatusCode)
		text, err := json.Marshal(body)
		require.NoError(t, err)
		var st starter.Status
		require.NoError(t, json.Unmarshal(text, &st))
		return st
	}
	places := map[string]int64{}
	require.EventuallyWithT(t, func(t *assert.CollectT) { // the visibility store lags
		clear(places)
		var all, planned []string
		for _, id := range ids {
			if st := status(id); assert.NotNil(t, st.Backlog, id) {
				assert.Equal(t, ltp.Place{Ahead: st.Backlog.Ahead, NotBefore: until}, *st.Backlog)
				places[id] = st.Backlog.Ahead
				all = append(all, id)
			}
		}
		slices.SortFunc(all, func(a, b string) int { return cmp.Compare(places[a], places[b]) })
		for i, id := range all {
			assert.Equal(t, int64(i), places[id], id)
		}
		assert.NoError(t, replay.Plan(r.Ctx, r.Client, ltp.DefaultComponent, fell.Epoch+1, func(o replay.PlannedOrder) error {
			planned = append(planned, o.OrderID)
			return nil
		}))
		assert.Equal(t, planned, all)
	}, patience, 100*time.Millisecond)
	assert.Zero(t, places[ids[15]], "the one that was expedited")
	cli := newTerminal(t)
	cli.env = r.Environment()
	assert.Contains(t, cli.run("orders", "get", ids[3], "--format", "json"), fmt.Sprintf(`"ahead": %d`, places[ids[3]]))
	assert.Contains(t, cli.run("inspect", ids[3]), fmt.Sprintf("about %s before it, held until", words.Plural(places[ids[3]], "order")))
	assert.Contains(t, cli.run("replay", "plan"), "held, until "+until.Format(time.DateTime))
	slices.SortFunc(ids, func(a, b string) int { return cmp.Compare(places[a], places[b]) })

	n = r.up(c)
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Rate: new(ltp.MinRate), By: "ann", Why: "slow enough to be looked at"}))
	r.Release()
	last := ids[orders-1]
	require.EventuallyWithT(t, func(t *assert.CollectT) {
		asked := time.Now()
		st := status(last)
		if assert.NotNil(t, st.Backlog) {
			assert.Less(t, st.Backlog.Ahead, int64(orders-c.Pace.Canary), "the canaries have gone")
			turn := time.Duration(float64(st.Backlog.Ahead-1) / ltp.MinRate * float64(time.Second)) // one may have gone since it was counted
			assert.False(t, st.Backlog.ExpectedAt.Before(asked.Add(turn)), "%s, asked at %s", st.Backlog.ExpectedAt, asked)
			assert.Zero(t, st.Backlog.NotBefore)
		}
	}, patience, 100*time.Millisecond)
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Rate: new(0.0), By: "ann", Why: "seen"}))
	var before time.Time
	for _, id := range ids {
		st := r.Ended(id)
		assert.Equal(t, ltp.Executed, st.State)
		assert.False(t, st.EndedAt.Before(before), "%s ends in its turn", id)
		before = st.EndedAt
		assert.Nil(t, status(id).Backlog)
	}
	r.Until(n.Board, ltp.Stable)
}
