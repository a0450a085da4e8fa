package tests

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/payload"
	"github.com/ltp-node/ltp/replay/pace"
	"github.com/ltp-node/ltp/tests/child"
)

// TestDeferredOrderSurvivesWorkerCrash: every worker is killed in the middle of an
// outage, and the outage ends with none. The next worker executes every order.
func TestDeferredOrderSurvivesWorkerCrash(t *testing.T) {
	r := newRig(t)
	seen := r.watch()
	workers := []*process{r.worker(), r.worker()}
	r.observer()
	r.untilOn(seen, ltp.Stable)
	end := r.outage()
	r.untilOn(seen, ltp.Unstable)
	var ids []string
	for i := range 20 {
		id := fmt.Sprintf("crash-%02d", i)
		assert.Equal(t, ltp.Deferred, r.decided(r.submit(order(id))).State)
		ids = append(ids, id)
	}
	for _, w := range workers {
		w.Kill()
	}
	for i := range 5 {
		id := fmt.Sprintf("crash-late-%d", i)
		r.submit(order(id))
		ids = append(ids, id)
	}
	end()

	r.worker()
	r.executedOnce("crash-", ids)
	r.untilOn(seen, ltp.Stable)
}

// TestReplaySurvivesWorkerCrash: the worker is killed while it releases the backlog;
// what it has released is not released in vain, and the next worker releases the
// rest.
func TestReplaySurvivesWorkerCrash(t *testing.T) {
	r := newRig(t)
	seen := r.watch()
	w := r.worker()
	r.observer()
	r.untilOn(seen, ltp.Stable)
	end := r.outage()
	r.untilOn(seen, ltp.Unstable)
	var ids []string
	for i := range 100 {
		id := fmt.Sprintf("replay-%03d", i)
		r.submit(order(id))
		ids = append(ids, id)
	}
	r.decided(r.submit(order(ids[len(ids)-1])))
	end()
	db := r.openDB()
	require.Eventually(t, func() bool {
		tally, err := db.Tally(r.ctx, "replay-")
		require.NoError(t, err)
		return tally.Orders > int64(pace.Default().Canary)
	}, patience, 5*time.Millisecond)
	w.Kill()
	tally, err := db.Tally(r.ctx, "replay-")
	require.NoError(t, err)
	t.Logf("killed after %d of %d orders", tally.Orders, len(ids))

	r.worker()
	r.executedOnce("replay-", ids)
	r.untilOn(seen, ltp.Stable)
}

// TestWorkerKilledWhileItsWriteHangs: nobody knows what became of the write, so it is made
// again under the same ID once the worker counts as lost.
func TestWorkerKilledWhileItsWriteHangs(t *testing.T) {
	r := newRig(t)
	seen := r.watch()
	w := r.worker()
	r.observer("--unfit-latency", "5s")
	r.untilOn(seen, ltp.Stable)
	r.submit(order("hang-1")) // the worker has its connection now
	r.ended("hang-1")

	end := r.outage()
	r.submit(order("hang-2"))
	r.awaitHanging("hang-2")
	w.Kill()
	r.worker()
	r.untilOn(seen, ltp.Unstable)
	end()
	r.executedOnce("hang-", []string{"hang-1", "hang-2"})
	story, err := r.reader().Order(r.ctx, "hang-2")
	require.NoError(t, err)
	require.Len(t, story.Lost, 1)
	assert.Equal(t, "TIMED_OUT", story.Lost[0].Cause)
	assert.True(t, story.Executions[len(story.Executions)-1].Done())
}

// TestWorkerKilledBetweenCommitAndReport: the order is in the order database, and nothing
// of that is in Temporal. A cancellation comes first, and the next worker finds the row.
func TestWorkerKilledBetweenCommitAndReport(t *testing.T) {
	r := newRig(t)
	seen := r.watch()
	dying := launch(t, child.Environment(t, dyingWorker+"="+r.server.Address(), "ORDERS="+r.orders), os.Args[0])
	r.observer()
	r.untilOn(seen, ltp.Stable)
	r.submit(order("first-1"))
	require.Equal(t, ltp.Executed, r.ended("first-1").State, "the worker has seen the state, too")
	r.submit(order("lost-1"))
	dying.Wait()
	row, err := r.openDB().Row(r.ctx, "lost-1")
	require.NoError(t, err, "it was written")
	st, err := r.start.Get(r.ctx, "lost-1")
	require.NoError(t, err)
	require.Equal(t, ltp.Accepted, st.State, "and nobody knows")
	assert.NoError(t, r.start.Cancel(r.ctx, "lost-1"))

	r.worker()
	r.executedOnce("lost-", []string{"lost-1"})
	st, err = r.start.Get(r.ctx, "lost-1")
	require.NoError(t, err)
	require.NotNil(t, st.Receipt)
	assert.True(t, st.Receipt.Repeated)
	assert.Equal(t, row.Receipt.Attempt, st.Receipt.Attempt, "the receipt is that of the row")
	assert.Equal(t, row.Receipt.BegunAt, st.Receipt.BegunAt.UTC())
	story, err := r.reader().Order(r.ctx, "lost-1")
	require.NoError(t, err)
	assert.Len(t, story.Lost, 1)
	require.Len(t, story.Withdrawals, 1)
	assert.Equal(t, ltp.FoundOrder, story.Withdrawals[0].Found)
}

// awaitHanging waits until the workflow task of an order is held up by its write.
func (r *rig) awaitHanging(id string) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		d, err := r.client.DescribeWorkflowExecution(r.ctx, ltp.OrderWorkflowID(id), "")
		require.NoError(r.t, err)
		task := d.GetPendingWorkflowTask()
		return task.GetState() == enumspb.PENDING_WORKFLOW_TASK_STATE_STARTED && time.Since(task.GetStartedTime().AsTime()) > time.Second
	}, patience, 20*time.Millisecond)
}

// dyingWorker is where the environment names the Temporal of a worker that dies
// after its first write of an order that is to be lost.
const dyingWorker = "LTP_TEST_DYING_WORKER"

// playDyingWorker is a worker process that is killed at the worst moment: the write of
// a lost order has been committed, and has not been reported.
func playDyingWorker() error {
	ctx := context.Background()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	options := client.Options{HostPort: os.Getenv(dyingWorker), Identity: "dying worker", Logger: log}
	payload.Connect(&options, nil)
	c, err := client.Dial(options)
	if err != nil {
		return err
	}
	n, err := node.Start(ctx, node.Config{
		Client: c, Namespace: client.DefaultNamespace, Components: []string{ltp.DefaultComponent},
		OrdersURL: os.Getenv("ORDERS"), WritePathEvery: node.WritePathEvery, Policy: quickPolicy().Change(), Worker: true, Pace: quickPace(), Meter: killer{}, Log: log,
	})
	if err != nil {
		return err
	}
	return <-n.Failed()
}

// killer is a Meter that dies of the first write of an order named lost-…
type killer struct{}

var _ activities.Meter = killer{}

func (killer) Routed(ltp.Routing, time.Duration) {}

func (killer) Attempted(a ltp.Attempt, _ time.Duration) {
	if a.Result == ltp.ResultExecuted && strings.HasPrefix(a.Receipt.Attempt, "lost-") {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {} // the end comes before the report
	}
}
