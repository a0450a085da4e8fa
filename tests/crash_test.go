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
	seen := r.Watch()
	workers := []*process{r.worker(), r.worker()}
	r.observer()
	r.Until(seen, ltp.Stable)
	end := r.Outage()
	r.Until(seen, ltp.Unstable)
	var ids []string
	for i := range 20 {
		id := fmt.Sprintf("crash-%02d", i)
		assert.Equal(t, ltp.Deferred, r.Decided(r.Submit(id)).State)
		ids = append(ids, id)
	}
	for _, w := range workers {
		w.Kill()
	}
	for i := range 5 {
		id := fmt.Sprintf("crash-late-%d", i)
		r.Submit(id)
		ids = append(ids, id)
	}
	end()

	r.worker()
	r.executedOnce("crash-", ids)
	r.Until(seen, ltp.Stable)
}

// TestReplaySurvivesWorkerCrash: the worker is killed while it releases the backlog;
// what it has released is not released in vain, and the next worker releases the
// rest.
func TestReplaySurvivesWorkerCrash(t *testing.T) {
	r := newRig(t)
	seen := r.Watch()
	w := r.worker()
	r.observer()
	r.Until(seen, ltp.Stable)
	end := r.Outage()
	r.Until(seen, ltp.Unstable)
	var ids []string
	for i := range 100 {
		id := fmt.Sprintf("replay-%03d", i)
		r.Submit(id)
		ids = append(ids, id)
	}
	r.Decided(r.Submit(ids[len(ids)-1]))
	end()
	db := r.OpenDB()
	require.Eventually(t, func() bool {
		tally, err := db.Tally(r.Ctx, "replay-")
		require.NoError(t, err)
		return tally.Orders > int64(pace.Default().Canary)
	}, patience, 5*time.Millisecond)
	w.Kill()
	tally, err := db.Tally(r.Ctx, "replay-")
	require.NoError(t, err)
	t.Logf("killed after %d of %d orders", tally.Orders, len(ids))

	r.worker()
	r.executedOnce("replay-", ids)
	r.Until(seen, ltp.Stable)
}

// TestWriteOfAWorkerKilledWhileItHangsIsMadeOnce: nobody knows what became of the write, so it is made
// again under the same ID once the worker counts as lost.
func TestWriteOfAWorkerKilledWhileItHangsIsMadeOnce(t *testing.T) {
	r := newRig(t)
	seen := r.Watch()
	w := r.worker()
	r.observer("--unfit-latency", "5s")
	r.Until(seen, ltp.Stable)
	r.Submit("hang-1") // the worker has its connection now
	r.Ended("hang-1")

	end := r.Outage()
	r.Submit("hang-2")
	r.awaitHanging("hang-2")
	w.Kill()
	r.worker()
	r.Until(seen, ltp.Unstable)
	end()
	r.executedOnce("hang-", []string{"hang-1", "hang-2"})
	story, err := r.Reader().Order(r.Ctx, "hang-2")
	require.NoError(t, err)
	require.Len(t, story.Lost, 1)
	assert.Equal(t, "TIMED_OUT", story.Lost[0].Cause)
	assert.True(t, story.Executions[len(story.Executions)-1].Done())
}

// TestWriteOfAWorkerKilledBeforeItsReportIsFound: the order is in the order database, and nothing
// of that is in Temporal. A cancellation comes first, and the next worker finds the row.
func TestWriteOfAWorkerKilledBeforeItsReportIsFound(t *testing.T) {
	r := newRig(t)
	seen := r.Watch()
	dying := launch(t, child.Environment(t, dyingWorker+"="+r.Server.Address(), "ORDERS="+r.Orders), os.Args[0])
	r.observer()
	r.Until(seen, ltp.Stable)
	r.Submit("first-1")
	require.Equal(t, ltp.Executed, r.Ended("first-1").State, "the worker has seen the state, too")
	r.Submit("lost-1")
	dying.Wait()
	row, err := r.OpenDB().Row(r.Ctx, "lost-1")
	require.NoError(t, err, "it was written")
	st, err := r.Start.Get(r.Ctx, "lost-1")
	require.NoError(t, err)
	require.Equal(t, ltp.Accepted, st.State, "and nobody knows")
	assert.NoError(t, r.Start.Cancel(r.Ctx, "lost-1"))

	r.worker()
	r.executedOnce("lost-", []string{"lost-1"})
	st, err = r.Start.Get(r.Ctx, "lost-1")
	require.NoError(t, err)
	require.NotNil(t, st.Receipt)
	assert.True(t, st.Receipt.Repeated)
	assert.Equal(t, row.Receipt.Attempt, st.Receipt.Attempt, "the receipt is that of the row")
	assert.Equal(t, row.Receipt.BegunAt, st.Receipt.BegunAt.UTC())
	story, err := r.Reader().Order(r.Ctx, "lost-1")
	require.NoError(t, err)
	assert.Len(t, story.Lost, 1)
	require.Len(t, story.Withdrawals, 1)
	assert.Equal(t, ltp.FoundOrder, story.Withdrawals[0].Found)
}

// awaitHanging waits until the workflow task of an order is held up by its write.
func (r *rig) awaitHanging(id string) {
	r.T.Helper()
	require.Eventually(r.T, func() bool {
		d, err := r.Client.DescribeWorkflowExecution(r.Ctx, ltp.OrderWorkflowID(id), "")
		require.NoError(r.T, err)
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
