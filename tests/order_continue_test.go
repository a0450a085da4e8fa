package tests

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/trace"
)

// longest is how many events a run of an order may have where Temporal suggests a new one
// after 40, as shortHistories has it: what is under way is finished, and what arrives at
// that very moment is taken in first.
const longest = 200

// impatient lets the backstop of an order fire as often as it may.
var impatient = ltp.Backstop{First: ltp.MinBackstop, Most: ltp.MinBackstop}

// TestOrderThatWaitsOutlivesItsHistory: its backstop fires every second, and its runs stay
// short however long it waits. Its frames keep their numbers, its trace, its proof and its
// audit read on from run to run, and it is executed once.
func TestOrderThatWaitsOutlivesItsHistory(t *testing.T) {
	r := newRig(t, shortHistories)
	c := r.config()
	c.Backstop = impatient
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	ids := []string{"long-1", "long-2", "long-3"}
	for _, id := range ids {
		require.Equal(t, ltp.Deferred, r.Decided(r.Submit(id)).State)
	}
	accepted := map[string]time.Time{}
	for _, id := range ids {
		st, err := r.Start.Get(r.Ctx, id)
		require.NoError(t, err)
		accepted[id] = st.AcceptedAt
		r.awaitRuns(id, 3)
	}
	end()
	r.executedOnce("long-", ids)
	r.Until(n.Board, ltp.Stable)
	n.Stop()
	for _, id := range ids {
		story := r.continued(id)
		assert.GreaterOrEqual(t, len(story.Runs), 3)
		st, err := r.Start.Get(r.Ctx, id)
		require.NoError(t, err)
		assert.Equal(t, accepted[id], st.AcceptedAt, "it was accepted once")
	}
	page, err := r.Start.List(r.Ctx, starter.Filter{})
	require.NoError(t, err)
	assert.Len(t, page.Orders, len(ids), "an order is listed once, whatever its runs")
	assert.Contains(t, r.shows("long-1"), "EXECUTED")
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
	r.verified()
}

// TestNothingIsLostWhileAnOrderContinuesAsNew: signals that are no news, Updates that
// release in vain, a request of an operator and cancellations arrive without a pause, while
// orders continue as new again and again. Each order ends as was asked, and once.
func TestNothingIsLostWhileAnOrderContinuesAsNew(t *testing.T) {
	const orders, runs = 6, 4
	r := newRig(t, shortHistories)
	c := r.config()
	c.Backstop = impatient
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Hold("migration")
	epoch := r.Until(n.Board, ltp.Unstable).Epoch

	ctx, stop := context.WithCancel(r.Ctx)
	defer stop()
	var group sync.WaitGroup
	var ids []string
	answered := make([][]string, orders)
	for i := range orders {
		id := fmt.Sprintf("busy-%d", i)
		ids = append(ids, id)
		require.Equal(t, ltp.Deferred, r.Decided(r.Submit(id)).State)
		group.Go(func() { r.signalInVain(ctx, id, epoch) })
		group.Go(func() { answered[i] = r.releaseInVain(ctx, id, epoch) })
	}
	for i, id := range ids {
		r.awaitRuns(id, runs)
		switch i % 2 {
		case 0:
			require.NoError(t, r.Start.Cancel(r.Ctx, id))
		default:
			require.NoError(t, r.Start.Expedite(r.Ctx, id))
			require.Eventually(t, func() bool {
				st, err := r.Start.Get(r.Ctx, id)
				return assert.NoError(t, err) && st.Expedited
			}, patience, 10*time.Millisecond)
		}
	}
	var executed []string
	for i, id := range ids {
		if i%2 == 0 {
			assert.Equal(t, ltp.Cancelled, r.Ended(id).State, id)
		} else {
			executed = append(executed, id)
		}
	}
	r.Release()
	r.executedOnce("busy-", executed) // while everything still arrives
	stop()
	group.Wait()
	r.Until(n.Board, ltp.Stable)
	n.Stop()
	for i, id := range ids {
		story := r.continued(id)
		served := r.updatesServed(id, story.Runs)
		assert.Subset(t, served, answered[i], "what was answered stands in history")
		t.Logf("%s: %d runs, %d routings, %d releases answered", id, len(story.Runs), len(story.Frames)/2, len(answered[i]))
	}
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
	r.verified()
}

// TestCancellationThatWaitsOutlivesItsRun: the order waits for proof, and the run that goes
// on was never asked to cancel. It still says that it was, and ends so.
func TestCancellationThatWaitsOutlivesItsRun(t *testing.T) {
	r := newRig(t, shortHistories)
	c := r.config()
	c.Settings.UnfitLatency = c.Settings.Timeout
	c.Backstop = impatient
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.hangs(n, "asked-1")
	r.awaitRouting("asked-1", ltp.ReasonUnstable, 0)
	end()
	require.NoError(t, r.Start.Cancel(r.Ctx, "asked-1"))
	r.awaitWithdrawal("asked-1", ltp.FoundNothing)
	r.awaitRuns("asked-1", 2)

	response, said := do(t, "GET", api+"/orders/asked-1", "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, true, said["cancel_requested"])
	assert.Equal(t, "DEFERRED", said["state"])
	r.Release()
	assert.Equal(t, ltp.Cancelled, r.Ended("asked-1").State)
	r.unwritten("asked-1")
	r.continued("asked-1")
	r.Until(n.Board, ltp.Stable)
	n.Stop()
	assert.Equal(t, audit.Held, r.audited(0, "--orders-db", r.Orders).Verdict)
	r.verified()
}

// TestCancellationOfWhatCanOnlyBeFinishedOutlivesItsRun: an activity of the user's failed
// without saying whether it took effect, so that its order can only be finished. While the
// order waits for that, it says that its cancellation was asked for, in every run.
func TestCancellationOfWhatCanOnlyBeFinishedOutlivesItsRun(t *testing.T) {
	r := newRig(t, shortHistories)
	r.Start = starter.New(r.Client, starter.WithExecution(fulfil))
	c := r.config()
	c.Backstop = impatient
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	begun, fail := make(chan bool), make(chan bool)
	tried := 0
	w := worker.New(r.Client, fulfil.TaskQueue, worker.Options{DisableWorkflowWorker: true})
	w.RegisterActivityWithOptions(func(context.Context, ltp.Job) error {
		if tried++; tried > 1 {
			return nil
		}
		begun <- true
		<-fail
		return errors.New("the line is dead")
	}, activity.RegisterOptions{Name: fulfil.Activity})
	require.NoError(t, w.Start())
	defer w.Stop()

	r.Submit("own-1")
	<-begun
	r.Hold("migration")
	r.Until(n.Board, ltp.Unstable)
	close(fail)
	r.awaitRouting("own-1", ltp.ReasonUnstable, 0)
	require.NoError(t, r.Start.Cancel(r.Ctx, "own-1"))
	r.awaitRuns("own-1", 2)
	st, err := r.Start.Get(r.Ctx, "own-1")
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, st.State)
	assert.True(t, st.CancelRequested)

	r.Release()
	assert.Equal(t, ltp.Executed, r.Ended("own-1").State)
	assert.Equal(t, 2, tried)
	r.continued("own-1")
}

// awaitRuns waits until an order is in its nth run.
func (r *rig) awaitRuns(id string, n int) {
	r.T.Helper()
	runs := map[string]bool{}
	require.Eventually(r.T, func() bool {
		runs[r.runOf(ltp.OrderWorkflowID(id))] = true
		return len(runs) >= n
	}, patience, 10*time.Millisecond)
}

// continued checks that an order which continued as new has one trace over all its runs,
// with its routings numbered from 1, and that none of the runs grew long.
func (r *rig) continued(id string) trace.OrderTrace {
	r.T.Helper()
	story, err := r.Reader().Order(r.Ctx, id)
	require.NoError(r.T, err)
	assert.Greater(r.T, len(story.Runs), 1, id)
	for i, f := range story.Frames {
		want := ltp.RequestFrameID(id, i/2+1)
		if i%2 == 1 {
			want = ltp.ResponseFrameID(id, i/2+1)
		}
		assert.Equal(r.T, want, f.ID)
	}
	for _, run := range story.Runs {
		assert.LessOrEqual(r.T, len(r.History(ltp.OrderWorkflowID(id), run).Events), longest, "%s: events of run %s", id, run)
	}
	return story
}

// signalInVain sends an order what it knows already, until it has ended.
func (r *rig) signalInVain(ctx context.Context, id string, epoch int64) {
	old := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: epoch}
	for ctx.Err() == nil {
		err := r.Client.SignalWorkflow(ctx, ltp.OrderWorkflowID(id), "", ltp.StabilitySignal, old)
		if err != nil {
			assert.True(r.T, gone(err) || ctx.Err() != nil, "%s: %v", id, err)
			return
		}
	}
}

// releaseInVain releases an order as the replay does, under an epoch that has not come,
// until the order has ended. It returns the Updates that were answered.
func (r *rig) releaseInVain(ctx context.Context, id string, epoch int64) (answered []string) {
	news := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: epoch + 1}
	for n := 0; ctx.Err() == nil; n++ {
		update := fmt.Sprintf("%s-%d", id, n)
		asking, cancel := context.WithTimeout(ctx, 10*time.Second)
		handle, err := r.Client.UpdateWorkflow(asking, client.UpdateWorkflowOptions{
			UpdateID: update, WorkflowID: ltp.OrderWorkflowID(id), UpdateName: ltp.StabilityUpdate,
			WaitForStage: client.WorkflowUpdateStageCompleted, Args: []any{news},
		})
		if err == nil {
			var answer ltp.Answer
			if err = handle.Get(asking, &answer); err == nil {
				answered = append(answered, update)
			}
		}
		cancel()
		if gone(err) {
			if st, err := r.Start.Get(r.Ctx, id); err == nil && st.State.Final() {
				return answered
			}
		}
	}
	return answered
}

func gone(err error) bool { return errors.As(err, new(*serviceerror.NotFound)) }

// updatesServed are the Updates that stand completed in the history of an order.
func (r *rig) updatesServed(id string, runs []string) (served []string) {
	r.T.Helper()
	for _, run := range runs {
		for _, e := range r.History(ltp.OrderWorkflowID(id), run).Events {
			if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED {
				served = append(served, e.GetWorkflowExecutionUpdateCompletedEventAttributes().GetMeta().GetUpdateId())
			}
		}
	}
	return served
}
