package starter

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/internal/marks"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// continuing stands in for the Order workflow: it is cancelled, cannot end yet, and goes on
// in a new run, until a signal ends it.
func continuing(ctx workflow.Context, p ltp.Progress) error {
	detached, _ := workflow.NewDisconnectedContext(ctx)
	if p.Ending == nil {
		if err := workflow.Await(ctx, func() bool { return false }); err == nil {
			return nil
		}
		m := ltp.Mark{Wait: ltp.Wait{Component: ltp.DefaultComponent, Epoch: 5, Reason: ltp.ReasonAwaitsProof}, Priority: ltp.DefaultPriority}
		if err := workflow.UpsertTypedSearchAttributes(detached, marks.Attributes(m, p.Mark)...); err != nil {
			return err
		}
		p.Mark, p.Ending = m, &ltp.Ending{State: ltp.Cancelled}
		return workflow.NewContinueAsNewError(detached, ltp.OrderWorkflow, p)
	}
	workflow.GetSignalChannel(ctx, ltp.StabilitySignal).Receive(detached, nil)
	return ctx.Err()
}

// TestOrderIsOneThroughAllItsRuns, on a real server: it is marked before any worker has
// seen it, keeps its marks and its cancellation in the next run, and is listed once.
func TestOrderIsOneThroughAllItsRuns(t *testing.T) {
	quiet := log.NewStructuredLogger(slog.New(slog.DiscardHandler))
	server, err := embedded.Start(t.Context(), embedded.Options{
		SearchAttributes: SearchAttributes(), Client: client.Options{Logger: quiet},
		Progress: func(s embedded.Step) { t.Log(s) },
	})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	temporal := server.Client()
	orders := New(temporal, WithBoard(boardOf(board.Reading{Orientation: at(ltp.DefaultComponent, ltp.Unstable, 4), ReadAt: time.Now()})))

	sub, err := orders.Submit(t.Context(), ordertest.New("A2"))
	require.NoError(t, err)
	require.NotNil(t, sub.Deferred)
	first, err := orders.Get(t.Context(), "A2")
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, first.State)
	assert.Equal(t, ltp.ReasonUnstable, first.Reason)
	assert.EqualValues(t, 4, first.Epoch)
	d, err := temporal.DescribeWorkflowExecution(t.Context(), ltp.OrderWorkflowID("A2"), "")
	require.NoError(t, err)
	assert.EqualValues(t, 2, d.GetWorkflowExecutionInfo().GetHistoryLength(), "started, and a task scheduled")

	w := worker.New(temporal, ltp.OrderQueue, worker.Options{})
	w.RegisterWorkflowWithOptions(continuing, workflow.RegisterOptions{Name: ltp.OrderWorkflow})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)
	require.NoError(t, orders.Cancel(t.Context(), "A2"))

	var now Status
	require.Eventually(t, func() bool {
		now, err = orders.Get(t.Context(), "A2")
		return err == nil && now.Reason == ltp.ReasonAwaitsProof
	}, 10*time.Second, 10*time.Millisecond)
	assert.True(t, now.CancelRequested, "the run that goes on was never asked to cancel")
	assert.Equal(t, first.AcceptedAt, now.AcceptedAt)
	assert.EqualValues(t, 5, now.Epoch)

	require.Eventually(t, func() bool {
		page, err := orders.List(t.Context(), Filter{})
		require.NoError(t, err)
		require.LessOrEqual(t, len(page.Orders), 1)
		n, err := orders.Count(t.Context(), "")
		require.NoError(t, err)
		return n == 1 && len(page.Orders) == 1 && page.Orders[0].Reason == ltp.ReasonAwaitsProof
	}, 10*time.Second, 10*time.Millisecond)
	repeat, err := orders.Submit(t.Context(), ordertest.New("A2"))
	require.NoError(t, err)
	assert.True(t, repeat.Repeated)
	assert.NotEqual(t, sub.RunID, repeat.RunID)
}
