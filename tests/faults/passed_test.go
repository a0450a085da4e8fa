package faults

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// An operator lets orders through a hold, and their worker is taken away in the middle.

// The orders of a duel about passes.
const (
	kept      = "kept"      // let through
	cancelled = "cancelled" // let through, and cancelled when its worker is gone
	held      = "held"      // not let through
)

// lostPass is where the worker of orders that are let through is killed, or frozen.
type lostPass struct {
	at     point
	frozen bool
}

func (c lostPass) String() string {
	if c.frozen {
		return fmt.Sprintf("frozen %s", c.at)
	}
	return fmt.Sprintf("killed %s", c.at)
}

// TestOrderThatIsLetThroughIsExecutedOnce: its worker is killed, or is frozen and thaws when
// another one has taken over, and all that while the component is held. The pass stands in
// history, so that the heir may use it once more; the order has one row. One that is
// cancelled meanwhile ends as its key says, and not before anybody may ask the key. One that
// was not let through waits.
func TestOrderThatIsLetThroughIsExecutedOnce(t *testing.T) {
	for _, c := range []lostPass{
		{beforeReading, false}, {beforeAnswer, false},
		{before, true}, {beforeWrite, true}, {beforeAnswer, true},
	} {
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			c.run(t)
		})
	}
}

func (c lostPass) run(t *testing.T) {
	d := passesOf(t, kept, cancelled, held)
	epoch := d.letsThrough(c.at, kept, cancelled)
	d.fault(c.frozen)
	require.NoError(t, d.Start.Cancel(d.Ctx, cancelled))
	if !c.frozen {
		d.lower(c.at, true) // a statement that Postgres has goes on without its worker
	}
	d.inherited(kept, cancelled)
	d.Eventually("it awaits proof", func() bool {
		st := d.Status(cancelled)
		return st.Reason == ltp.ReasonAwaitsProof || st.State.Final()
	})
	if c.frozen {
		d.lower(c.at, false)
		if c.at == beforeWrite {
			d.row(cancelled) // before the victim thaws: it may withdraw a statement whose time is up
		}
		d.victim.Thaw()
		d.Eventually("the answers of the victim are refused", func() bool { return d.theirs.least(refused, kept, cancelled) > 0 })
	}

	assert.Equal(t, ltp.Executed, d.Ended(kept).State, "it needs no end of the hold")
	row := d.row(kept)
	assert.Equal(t, epoch, row.Receipt.Fence.Epoch)
	assert.Equal(t, ltp.Unstable, row.Receipt.Fence.State)
	assert.Equal(t, d.attempt(kept), row.Receipt.Attempt)
	assert.Equal(t, ltp.Deferred, d.Status(cancelled).State, "while the component is held, nobody can tell")
	assert.Equal(t, ltp.Deferred, d.Status(held).State)
	assert.NotContains(t, d.rows(), held)
	if reached := c.at == beforeAnswer || c.at == beforeWrite && c.frozen; reached {
		assert.Equal(t, d.attempt(cancelled), d.row(cancelled).Receipt.Attempt, "its write was on its way")
	}

	d.drained(kept, cancelled, held)
	d.over(kept, cancelled, held)
	for _, id := range []string{kept, cancelled, held} {
		story, err := d.Reader().Order(d.Ctx, id)
		require.NoErrorf(t, err, "the trace of %s\n%s", id, d.history(ltp.OrderWorkflowID(id)))
		assert.Equal(t, d.Status(id).State, story.State(), id)
	}
	assert.Equal(t, ltp.Executed, d.Status(held).State)
}

// TestPassOfAnEpochThatIsOverWritesNothing: the worker is frozen with the task that brings the
// pass, before the fence. When it thaws, another one has taken over, and the hold that the
// operator saw is over: the component is held anew, or takes orders again.
func TestPassOfAnEpochThatIsOverWritesNothing(t *testing.T) {
	for now, heldAnew := range map[string]bool{"held anew": true, "fit again": false} {
		t.Run(now, func(t *testing.T) {
			t.Parallel()
			d := passesOf(t, kept)
			epoch := d.letsThrough(before, kept)
			d.fault(true)
			d.up()
			want := ltp.ResultNotGiven
			if heldAnew {
				require.Greater(t, d.down(), epoch)
				want = ltp.ResultNotBegun
			} else { // the heir may write under an epoch of its own: it is to do something else
				require.NoError(t, d.Start.Cancel(d.Ctx, kept))
			}
			d.inherited(kept)
			d.Eventually("the heir is done with the pass", func() bool {
				st := d.Status(kept)
				return st.State.Final() || st.Epoch > epoch
			})
			assert.Empty(t, d.rows(), "the heir has the pass, too")

			d.victim.Thaw()
			read := d.read.Load()
			d.Eventually("the victim reads anew", func() bool { return d.read.Load() > read+2 })
			d.lower(before, false)
			d.Eventually("the answer of the victim is refused", func() bool { return d.theirs.least(refused, kept) > 0 })
			late := d.theirs.last(kept)
			assert.True(t, said(late, `"result":"`+string(want)+`"`), "it came to the fence with the pass")
			d.quiet()
			assert.Empty(t, d.rows())

			if heldAnew {
				assert.Equal(t, ltp.Deferred, d.Status(kept).State)
				d.drained(kept)
				assert.Equal(t, ltp.Executed, d.Status(kept).State)
			} else {
				assert.Equal(t, ltp.Cancelled, d.Ended(kept).State)
				assert.EqualValues(t, 1, d.tombstones(), "a write may have begun, so that a reading is no proof")
			}
			d.over(kept)
		})
	}
}

// passesOf is a duel about orders that wait for the end of a hold.
func passesOf(t *testing.T, ids ...string) *duel {
	t.Helper()
	pg := postgresOf(t)
	d := newRig(t, pg.Database(t)).newDuel(pg, ids...)
	d.down()
	for _, id := range ids {
		d.begin(id)
	}
	d.waits(ids...)
	return d
}

// letsThrough has an operator let orders through the hold, and brings them to a point at the
// victim. It returns the epoch of the hold. A pass is good for one attempt: where the machine
// is slow and the attempt ends before it begins, the operator gives another, as the prompt says.
func (d *duel) letsThrough(at point, ids ...string) (epoch int64) {
	d.T.Helper()
	d.raise(at)
	for _, id := range ids {
		epoch = d.letThrough(id)
	}
	reached := func() bool { return d.reached(at, ids...) }
	if at == beforeReading { // asked for before the order database is, and nothing that is asked for now is answered
		reached = func() bool { return d.theirs.least(given, ids...) > 1 && d.readings.holds("reading") > 0 }
	}
	d.Eventually(fmt.Sprintf("the victim is %s with %v", at, ids), func() bool {
		if reached() {
			return true
		}
		for _, id := range ids {
			if d.timers(id) > d.passes[id].timers {
				d.T.Logf("the pass of %s is spent, and the order waits again", id)
				epoch = d.letThrough(id)
			}
		}
		return false
	})
	return epoch
}

// passes are how often an order was let through, and how often it had begun to wait when it
// was let through last.
type passes struct{ given, timers int }

// letThrough gives an order a pass, once the component is seen fit beneath the hold.
func (d *duel) letThrough(id string) (epoch int64) {
	d.T.Helper()
	given := passes{d.passes[id].given + 1, d.timers(id)}
	d.Eventually(id+" is let through", func() bool {
		p, err := d.Start.LetThrough(d.Ctx, id, "ann", "one first")
		epoch = p.Epoch
		return err == nil
	})
	d.passes[id] = given
	return epoch
}

// attempt is the one that the latest pass of an order is good for: the first deferred the
// order, and whatever spent a pass was routed once more.
func (d *duel) attempt(id string) string {
	return fmt.Sprintf("%s/%d", id, 2*d.passes[id].given)
}

// timers are how often an order has begun to wait.
func (d *duel) timers(id string) int {
	d.T.Helper()
	return strings.Count(d.history(ltp.OrderWorkflowID(id)), `"EVENT_TYPE_TIMER_STARTED"`)
}

func given(k *tasks) map[string]int { return k.given }
