package faults

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderdb"
)

// The shortest counterexamples of internal/ordermodel, step by step: how an order ended
// wrongly before the rules were what they are.

// duelOf is a duel about one order, x.
func duelOf(t *testing.T) *duel {
	t.Helper()
	pg := postgresOf(t)
	return newRig(t, pg.Database(t)).newDuel(pg, "x")
}

// tombstones are how many there are.
func (d *duel) tombstones() int64 {
	d.T.Helper()
	db, err := orderdb.Open(d.Ctx, d.Orders)
	require.NoError(d.T, err)
	defer db.Close()
	tally, err := db.Tally(d.Ctx, "")
	require.NoError(d.T, err)
	return tally.Withdrawn
}

// row is that of an order, once it is there.
func (d *duel) row(id string) (row orderdb.Row) {
	d.T.Helper()
	db, err := orderdb.Open(d.Ctx, d.Orders)
	require.NoError(d.T, err)
	defer db.Close()
	d.Eventually("the row of "+id, func() bool {
		row, err = db.Row(d.Ctx, id)
		return err == nil
	})
	return row
}

// awaitsProof waits until an order is to end, and nobody can tell how.
func (d *duel) awaitsProof(id string) {
	d.T.Helper()
	d.Eventually(id+" awaits proof", func() bool { return d.Status(id).Reason == ltp.ReasonAwaitsProof })
}

// over ends the victim in good order, so that nothing of it is under way, and holds what
// the orders ended as against their rows once more.
func (d *duel) over(ids ...string) {
	d.T.Helper()
	d.agree(ids...)
	d.victim.Interrupt()
	d.quiet()
	d.agree(ids...)
}

// by reports whether a receipt is of a process.
func by(t *testing.T, p *process, r *ltp.Receipt) {
	t.Helper()
	if assert.NotNil(t, r) {
		assert.Regexp(t, fmt.Sprintf("/%d$", p.Cmd.Process.Pid), r.Worker)
	}
}

// TestCancellationDoesNotOvertakeAWriteThatIsOnItsWay: the order was accepted while the
// component was fit, its INSERT waits in Postgres when the worker dies, the retry finds the
// component unfit, and its customer cancels it. The INSERT commits then: the order was
// executed, and that is how it ends.
func TestCancellationDoesNotOvertakeAWriteThatIsOnItsWay(t *testing.T) {
	t.Parallel()
	d := duelOf(t)
	_, url := d.api(d.Address, "127.0.0.1:0")
	d.raise(inWrite)
	d.begin("x")
	d.await(inWrite, "x")
	d.fault(false)
	d.down()
	d.hx.orders.open()
	d.waits("x")
	assert.Equal(t, ltp.ReasonUnstable, d.Status("x").Reason)

	a, err := ask(t.Context(), http.MethodDelete, url+"/orders/x", "", nil)
	require.NoError(t, err)
	assert.Equal(t, http.StatusAccepted, a.status)
	assert.True(t, a.CancelRequested)
	d.awaitsProof("x")
	d.lower(inWrite, false)
	row := d.row("x")
	assert.Equal(t, "x/1", row.Receipt.Attempt)
	assert.Equal(t, ltp.Deferred, d.Status("x").State, "while the component is unfit, nobody can tell")

	d.up()
	st := d.Ended("x")
	require.Equal(t, ltp.Executed, st.State)
	assert.Equal(t, "x/1", st.Receipt.Attempt)
	assert.True(t, st.Receipt.Repeated)
	by(t, d.victim, st.Receipt)
	d.agree("x")
}

// TestTaskThatIsThawedEpochsLaterWritesNothing: an order is accepted while the component
// is unfit, and the worker freezes with its task, before it reads anything. The order is
// cancelled: nobody can have written it, so it ends without a tombstone. When the worker
// thaws, the component is fit, in an epoch that the task cannot have been given.
func TestTaskThatIsThawedEpochsLaterWritesNothing(t *testing.T) {
	for path, announced := range map[string]int64{
		"on the first path": 0, "released under an epoch that is over": 1, "released under an epoch that was yet to come": 2,
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			d := duelOf(t)
			unfit := d.down()
			if announced == 0 {
				d.raise(before)
				d.begin("x")
			} else { // by somebody else than an engine, which names the epoch that it has read
				d.begin("x")
				d.waits("x")
				d.raise(before)
				d.update("x", unfit+announced)
			}
			d.await(before, "x")
			d.fault(true)
			require.NoError(t, d.Start.Cancel(d.Ctx, "x"))
			d.inherited("x")
			assert.Equal(t, ltp.Cancelled, d.Ended("x").State)
			assert.Zero(t, d.tombstones())
			assert.Equal(t, unfit+2, d.up())

			d.victim.Thaw()
			read := d.read.Load()
			d.Eventually("the victim reads anew", func() bool { return d.read.Load() > read+2 })
			d.lower(before, false)
			d.Eventually("the answer of the victim is refused", func() bool { return d.theirs.least(refused, "x") > 0 })
			late := d.theirs.last("x")
			if announced == 0 {
				assert.True(t, said(late, `"decision":"EXECUTE"`), "it was admitted")
				assert.False(t, said(late, `"result"`), "and left the write to the next task")
			} else {
				assert.True(t, said(late, string(ltp.ResultNotGiven)), "it came to the fence")
			}
			d.over("x")
		})
	}
}

// said reports whether an answer to a workflow task holds a text.
func said(c *workflowservice.RespondWorkflowTaskCompletedRequest, text string) bool {
	for _, command := range c.GetCommands() {
		for _, payloads := range command.GetRecordMarkerCommandAttributes().GetDetails() {
			for _, p := range payloads.GetPayloads() {
				if data := string(p.GetData()); strings.Contains(data, text) {
					return true
				}
			}
		}
	}
	return false
}

// waitsUnderFit has x wait, accepted under a fit epoch: only a tombstone can end it.
func (d *duel) waitsUnderFit() {
	d.T.Helper()
	d.vx.orders.shut()
	d.begin("x")
	d.down()
	d.vx.orders.open()
	d.waits("x")
	d.up()
}

// TestTombstoneWhoseAnswerIsLostIsFound: the tombstone commits, and the worker dies before
// Temporal knows. The retry finds it, and nothing is written under the key any more.
func TestTombstoneWhoseAnswerIsLostIsFound(t *testing.T) {
	t.Parallel()
	d := duelOf(t)
	d.waitsUnderFit()
	d.raise(beforeAnswer)
	require.NoError(t, d.Start.Cancel(d.Ctx, "x"))
	d.await(beforeAnswer, "x")
	assert.EqualValues(t, 1, d.tombstones())
	d.fault(false)
	d.lower(beforeAnswer, true)
	assert.Equal(t, ltp.Deferred, d.Status("x").State, "nobody knows")
	d.inherited("x")
	assert.Equal(t, ltp.Cancelled, d.Ended("x").State)

	db, err := orderdb.Open(d.Ctx, d.Orders)
	require.NoError(t, err)
	defer db.Close()
	stored, err := db.Put(d.Ctx, ordertest.New("x"), nil)
	require.NoError(t, err)
	assert.Equal(t, &ltp.Ending{State: ltp.Cancelled}, stored.Tombstone)
	assert.EqualValues(t, 1, d.tombstones())
	d.agree("x")
}

// TestTombstoneWhoseAnswerIsLostPreventsALaterExecution: the tombstone waits in Postgres when the
// worker dies and the component becomes unfit. It commits, or it never does; the component
// is fit again, and the order is released: it is not executed any more, and the release is
// answered.
func TestTombstoneWhoseAnswerIsLostPreventsALaterExecution(t *testing.T) {
	for name, commits := range map[string]bool{"it commits": true, "it never commits": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := duelOf(t)
			d.waitsUnderFit()
			d.raise(inWrite)
			require.NoError(t, d.Start.Cancel(d.Ctx, "x"))
			d.await(inWrite, "x")
			d.fault(false)
			d.down()
			d.inherited("x")
			d.awaitsProof("x")
			d.hx.orders.shut()
			if !commits {
				_, err := d.pg.Exec(d.Ctx, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'victim' AND datname = current_database()")
				require.NoError(t, err)
				d.Eventually("nothing waits", func() bool { return d.hanging() == 0 })
			}
			d.lower(inWrite, false)
			if commits {
				d.Eventually("the tombstone is there", func() bool { return d.tombstones() == 1 })
			}
			answer := d.update("x", d.up())
			d.hx.orders.open()
			assert.Equal(t, ltp.Cancelled, d.Ended("x").State)
			if got := <-answer; got.err == nil { // or it came when the order had ended
				assert.Equal(t, ltp.Cancelled, got.answer.State)
			}
			assert.EqualValues(t, 1, d.tombstones())
			d.agree("x")
		})
	}
}
