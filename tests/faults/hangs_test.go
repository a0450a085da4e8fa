package faults

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/starter"
)

// TestTemporalKilledDuringAnAttemptWritesTheOrderOnce: the server has gone with the task, and with
// every Update that was on its way, without a trace. It comes back on its own data, and
// each order is executed once, or cancelled and not there.
func TestTemporalKilledDuringAnAttemptWritesTheOrderOnce(t *testing.T) {
	for _, at := range []point{beforeReading, inWrite, beforeAnswer} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			pg := postgresOf(t)
			r := newRig(t, pg.Database(t))
			all := []string{"first", "cancelled", "update", "taken-back"}
			d := r.newDuel(pg, all...)
			d.down()
			for _, id := range all[2:] {
				d.begin(id)
			}
			d.waits(all[2:]...)
			d.vx.orders.shut()
			epoch := d.up()
			for _, id := range all[:2] {
				d.begin(id)
			}
			d.raise(at)
			d.vx.orders.open()
			for _, id := range all[2:] {
				d.update(id, epoch)
			}
			d.await(at, all...)
			d.KillServer()
			d.lower(at, false)
			d.Serve()
			for _, id := range []string{"cancelled", "taken-back"} {
				d.Eventually(id+" is to be cancelled", func() bool {
					err := d.Start.Cancel(d.Ctx, id)
					return err == nil || errors.Is(err, starter.ErrEnded)
				})
			}
			d.hx.orders.open()
			d.Until(d.seen, ltp.Stable)
			d.drained(all...)
			d.over(all...)
			for _, id := range []string{"first", "update"} {
				assert.Equal(t, ltp.Executed, d.Status(id).State)
			}
		})
	}
}

// TestCancellationDuringAnExecutionEndsAsTheDatabaseSays: the answer that the order was executed
// is refused, because the cancellation came first. The next task finds out by the order
// database: EXECUTED or CANCELLED, and the row agrees.
func TestCancellationDuringAnExecutionEndsAsTheDatabaseSays(t *testing.T) {
	for _, at := range []point{beforeReading, inWrite, beforeAnswer} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			d := duelOf(t)
			d.raise(at)
			d.begin("x")
			d.await(at, "x")
			require.NoError(t, d.Start.Cancel(d.Ctx, "x"))
			d.lower(at, false)
			st := d.Ended("x")
			require.Equal(t, ltp.Executed, st.State)
			// x/2 where the victim's board still said RECOVERING when the order came; over
			// holds the receipt against the row.
			assert.Regexp(t, "^x/[12]$", st.Receipt.Attempt)
			assert.True(t, st.Receipt.Repeated, "the withdrawal found it")
			d.AwaitEventType(ltp.OrderWorkflowID("x"), enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED)
			assert.Zero(t, d.tombstones())
			d.over("x")
		})
	}
}

// TestWriteThatOutlastsItsTaskIsMadeOnce: the component counts as fit all the while. The
// attempt ends with its time, its worker lives, and the order is executed once.
func TestWriteThatOutlastsItsTaskIsMadeOnce(t *testing.T) {
	t.Parallel()
	d := duelOf(t)
	d.raise(inWrite)
	d.begin("x")
	d.await(inWrite, "x")
	passed(d, time.Now().Add(15*time.Second))
	d.lower(inWrite, false)
	d.hx.orders.open() // its own pauses and backstop bring it here or there
	assert.Equal(t, ltp.Executed, d.Ended("x").State)
	story, err := d.Reader().Order(d.Ctx, "x")
	require.NoError(t, err)
	assert.Greater(t, len(story.Executions), 1)
	assert.Equal(t, ltp.ResultUnknown, story.Executions[0].Result, "nobody knew what became of the first attempt")
	d.over("x")
}

// TestStatementThatCommitsAfterItsWorkerDiedIsTheOnlyWrite: the retries meet a key that is being
// written, and wait for it. When it commits, the receipt is that of the first attempt.
func TestStatementThatCommitsAfterItsWorkerDiedIsTheOnlyWrite(t *testing.T) {
	t.Parallel()
	d := duelOf(t)
	d.raise(inWrite)
	d.begin("x")
	d.await(inWrite, "x")
	d.fault(false)
	d.hx.orders.open()
	d.waits("x") // the first retry had to give up
	passed(d, time.Now().Add(5*time.Second))
	require.False(t, d.Status("x").State.Final())
	d.lower(inWrite, false)
	st := d.Ended("x")
	require.Equal(t, ltp.Executed, st.State)
	assert.Equal(t, "x/1", st.Receipt.Attempt)
	assert.True(t, st.Receipt.Repeated)
	by(t, d.victim, st.Receipt)
	d.agree("x")
}

// TestLateAnswerOfAFrozenWorkerIsRefused: the worker freezes with the answer to a release, and
// another serves it. What the first one says in the end is refused.
func TestLateAnswerOfAFrozenWorkerIsRefused(t *testing.T) {
	t.Parallel()
	d := duelOf(t)
	d.down()
	d.begin("x")
	d.waits("x")
	epoch := d.up()
	d.raise(beforeAnswer)
	answer := d.update("x", epoch)
	d.await(beforeAnswer, "x")
	d.fault(true)
	d.inherited("x")
	st := d.Ended("x")
	require.Equal(t, ltp.Executed, st.State)
	got := <-answer
	require.NoError(t, got.err)
	assert.Equal(t, ltp.Executed, got.answer.State)
	by(t, d.victim, st.Receipt)
	d.lower(beforeAnswer, false)
	d.victim.Thaw()
	d.Eventually("the late answer is refused", func() bool { return d.theirs.least(refused, "x") > 0 })
	d.over("x")
}

// TestReleaseThatIsSentTwiceTakesEffectOnce: under one Update ID it is one release, and both get its
// answer; under another it is refused while the first is being served.
func TestReleaseThatIsSentTwiceTakesEffectOnce(t *testing.T) {
	t.Parallel()
	d := duelOf(t)
	d.down()
	d.begin("x")
	d.waits("x")
	epoch := d.up()
	d.raise(beforeReading)
	send := func(id string) <-chan released {
		out := make(chan released, 1)
		go func() {
			var got released
			handle, err := d.Client.UpdateWorkflow(d.Ctx, client.UpdateWorkflowOptions{
				UpdateID: id, WorkflowID: ltp.OrderWorkflowID("x"), UpdateName: ltp.StabilityUpdate, WaitForStage: client.WorkflowUpdateStageCompleted,
				Args: []any{ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: epoch}},
			})
			if got.err = err; err == nil {
				got.err = handle.Get(d.Ctx, &got.answer)
			}
			out <- got
		}()
		return out
	}
	one, same := send("one"), send("one")
	d.await(beforeReading, "x")
	other := send("other")
	d.lower(beforeReading, false)
	for _, sent := range []<-chan released{one, same} {
		got := <-sent
		require.NoError(t, got.err)
		assert.Equal(t, ltp.Executed, got.answer.State)
	}
	got := <-other
	assert.Error(t, got.err, "it came to an order that did not wait, or that had ended: %+v", got.answer)
	story, err := d.Reader().Order(d.Ctx, "x")
	require.NoError(t, err)
	assert.Len(t, story.Executions, 1)
	d.over("x")
}

// TestReleaseReachesAnOrderThatHasContinuedAsNew: the run that the release names has ended, so
// nothing comes of it. The order is released under its ID, and has kept all that it knew.
func TestReleaseReachesAnOrderThatHasContinuedAsNew(t *testing.T) {
	t.Parallel()
	r := newRig(t, "", func(o *embedded.Options) {
		o.ExtraArgs = append(o.ExtraArgs, "--dynamic-config-value", "limit.historyCount.suggestContinueAsNew=40")
	})
	r.observer(r.Orders)
	x, store := newExchange(t, r.Address), &visibility{}
	store.set("empty", always)
	x.on(store.handle)
	r.worker(x.address)
	r.Until(r.seen, ltp.Stable)
	r.Hold("to have an order wait")
	epoch := r.Until(r.seen, ltp.Unstable).Epoch
	r.Submit("x")
	id := ltp.OrderWorkflowID("x")
	r.AwaitEventType(id, enumspb.EVENT_TYPE_TIMER_STARTED)
	run := func() string {
		d, err := r.Client.DescribeWorkflowExecution(r.Ctx, id, "")
		require.NoError(t, err)
		return d.GetWorkflowExecutionInfo().GetExecution().GetRunId()
	}
	old := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: epoch - 1}
	first := run()
	for run() == first {
		require.NoError(t, r.Client.SignalWorkflow(r.Ctx, id, "", ltp.StabilitySignal, old))
	}
	r.Release()
	s := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: r.Until(r.seen, ltp.Stable).Epoch}
	send := func(run string) (a ltp.Answer, err error) {
		handle, err := r.Client.UpdateWorkflow(r.Ctx, client.UpdateWorkflowOptions{
			WorkflowID: id, RunID: run, UpdateName: ltp.StabilityUpdate, Args: []any{s}, WaitForStage: client.WorkflowUpdateStageCompleted,
		})
		if err == nil {
			err = handle.Get(r.Ctx, &a)
		}
		return a, err
	}
	_, err := send(first)
	require.Error(t, err)
	assert.Empty(t, r.rows())
	assert.Equal(t, ltp.Deferred, r.Status("x").State)
	a, err := send("")
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, a.State)
	story, err := r.Reader().Order(r.Ctx, "x")
	require.NoError(t, err)
	assert.Greater(t, len(story.Runs), 1)
	assert.Equal(t, "x/2", story.Outcome.Receipt.Attempt)
	r.executedOnce([]string{"x"})
}

// onWay is how many releases are on their way when their engine dies: as many as one has.
const onWay = 64

// TestReleasesOfAKilledEngineTakeEffectOnce: Temporal has the Updates, and the orders
// are executed; the engine never reads the answers. Another goes on, and no order acts
// twice.
func TestReleasesOfAKilledEngineTakeEffectOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.Orders)
	var sent, answered atomic.Int64
	var over atomic.Bool
	engine := func() *process {
		x := newExchange(t, r.Address)
		x.on(func(ctx context.Context, call any, pass func() (any, error)) (any, error) {
			c, ok := call.(*workflowservice.UpdateWorkflowExecutionRequest)
			if !ok || c.GetRequest().GetInput().GetName() != ltp.StabilityUpdate || over.Load() || sent.Add(1) <= part {
				return pass()
			}
			answer, err := pass()
			if over.Load() {
				return answer, err
			}
			answered.Add(1)
			<-ctx.Done()
			return nil, ctx.Err()
		})
		return r.worker(x.address)
	}
	active := engine()
	r.Until(r.seen, ltp.Stable)
	r.Hold("to have many wait")
	r.Until(r.seen, ltp.Unstable)
	ids := r.defers("way", 2*onWay)
	r.Release()
	r.Eventually(fmt.Sprintf("%d releases are on their way", onWay), func() bool { return answered.Load() >= onWay })
	over.Store(true)
	active.Kill()
	engine()
	r.executedOnce(ids)
}
