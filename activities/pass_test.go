package activities_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
)

// held is a reading of a component that an operator holds, and what observers see of it.
func held(epoch int64, by ltp.Verdict) board.Reading {
	r := seen(ltp.Unstable, epoch)
	r.Hold, r.Observed = &ltp.Hold{By: "ann", Why: "migration"}, by
	return r
}

// letThrough is an attempt at an order that an operator lets through the hold of epoch 7.
func letThrough() ltp.ExecuteInput {
	in := release(7)
	in.Route.Woken = ltp.WokenByPass
	in.Route.Request.Pass = &ltp.Pass{Component: db, Epoch: 7, By: "ann", Why: "one first"}
	return in
}

// executes makes an attempt on a board that holds one reading, while Temporal has another.
func executes(t *testing.T, onBoard, inTemporal board.Reading, w put, in ltp.ExecuteInput) ltp.Attempt {
	t.Helper()
	b := board.Of(newSource(inTemporal), []string{db}, silent)
	b.Put(onBoard)
	a := &activities.Orders{Board: b, DB: orders{put: w}, Worker: "host/7"}
	return local[ltp.Attempt](t, t.Context(), a, a.Execute, in)
}

// newSource answers every reading alike.
func newSource(r board.Reading) board.Source {
	return func(_ context.Context, _ string) (board.Reading, error) {
		r.ReadAt = time.Now()
		return r, nil
	}
}

// TestAnOrderThatIsLetThroughWritesUnderTheHold: under its epoch, with the pass in the
// routing; also where the board has not read yet what the operator has.
func TestAnOrderThatIsLetThroughWritesUnderTheHold(t *testing.T) {
	for name, onBoard := range map[string]board.Reading{
		"as in Temporal":          held(7, ltp.Healthy),
		"seen unfit a moment ago": held(7, ltp.Unhealthy),
		"not held a moment ago":   seen(ltp.Stable, 6),
	} {
		got := executes(t, onBoard, held(7, ltp.Healthy), writes(nil), letThrough())
		require.Equal(t, ltp.ResultExecuted, got.Result, "%s: %+v", name, got)
		assert.Equal(t, ltp.Unstable, got.Receipt.Fence.State, name)
		assert.EqualValues(t, 7, got.Receipt.Fence.Epoch, name)
		require.NotNil(t, got.Routing, name)
		assert.Equal(t, ltp.ReasonPassed, got.Routing.Reason, name)
		assert.Equal(t, "ann", got.Routing.Request.Pass.By, name)
	}
}

// TestAnOrderThatIsLetThroughDoesNotWriteIntoAFault, whatever the board held before.
func TestAnOrderThatIsLetThroughDoesNotWriteIntoAFault(t *testing.T) {
	fault := held(7, ltp.Healthy)
	fault.Hold = nil
	for name, now := range map[string]board.Reading{
		"seen unfit":          held(7, ltp.Unhealthy),
		"nobody observes":     held(7, ""),
		"no hold any more":    fault,
		"held in a later one": held(9, ltp.Healthy),
	} {
		got := executes(t, held(7, ltp.Healthy), now, never(t), letThrough())
		assert.Equal(t, ltp.ResultNotBegun, got.Result, "%s: %+v", name, got)
		assert.False(t, got.Routing.Decision.Admissible(), name)
	}
	in := letThrough()
	in.Route.Request.Pass = nil
	assert.Equal(t, ltp.ResultNotBegun, executes(t, held(7, ltp.Healthy), held(7, ltp.Healthy), never(t), in).Result, "all others wait")
}

// TestAnOrderThatWasLetThroughIsNeverUnwritten by a reading alone.
func TestAnOrderThatWasLetThroughIsNeverUnwritten(t *testing.T) {
	b := newBoard(db)
	r := held(7, ltp.Healthy)
	r.LastFit = 6
	b.Put(r)
	in := stamped(7)
	assert.Equal(t, ltp.FoundUnwritten, end(t, b, nil, in).Found)
	in.Passed = true
	assert.Equal(t, ltp.FoundNothing, end(t, b, nil, in).Found)
}

// TestAnActivityOfTheUsersKeepsThePass: the guard in front of its write asks with it.
func TestAnActivityOfTheUsersKeepsThePass(t *testing.T) {
	for _, row := range []struct {
		now   board.Reading
		pass  *ltp.Pass
		wrote bool
	}{
		{held(7, ltp.Healthy), letThrough().Route.Request.Pass, true},
		{held(7, ltp.Healthy), nil, false},
		{held(7, ltp.Unhealthy), letThrough().Route.Request.Pass, false},
	} {
		b := board.Of(newSource(row.now), []string{db}, silent)
		b.Put(row.now)
		wrote := false
		_, err := activities.Guard(t.Context(), b, ltp.Job{Order: order, Replay: true, Pass: row.pass}, func(context.Context) (bool, error) {
			wrote = true
			return false, nil
		})
		assert.Equal(t, row.wrote, wrote)
		assert.Equal(t, row.wrote, err == nil, "%v", err)
	}
}
