package replay

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/embedded"
	"github.com/ltp-node/ltp/replay/pace"
)

// anOrder is a workflow that waits for a release, as an order does. how is what it does
// then.
func anOrder(ctx workflow.Context, how string) error {
	released := false
	err := workflow.SetUpdateHandlerWithOptions(ctx, ltp.StabilityUpdate, func(ctx workflow.Context, s ltp.Stability) (ltp.Answer, error) {
		switch how {
		case "answers late":
			if err := workflow.Sleep(ctx, 4*time.Second); err != nil {
				return ltp.Answer{}, err
			}
		case "ends before it answers":
			released = true
			return ltp.Answer{}, workflow.Sleep(ctx, time.Hour)
		}
		released = true
		return ltp.Answer{State: ltp.Executed, Result: ltp.ResultExecuted}, nil
	}, workflow.UpdateHandlerOptions{Validator: func(ltp.Stability) error {
		if how == "refuses" {
			return errors.New("the order does not wait")
		}
		return nil
	}})
	if err != nil {
		return err
	}
	return workflow.Await(ctx, func() bool { return released })
}

// TestWhatBecomesOfReleasesOnTheRealServer: each kind of answer, and of none, is what the
// release takes it for.
func TestWhatBecomesOfReleasesOnTheRealServer(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a server")
	}
	silent := slog.New(slog.DiscardHandler)
	server, err := embedded.Start(t.Context(), embedded.Options{Client: client.Options{Logger: log.NewStructuredLogger(silent)}})
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	c := server.Client()
	w := worker.New(c, "orders", worker.Options{})
	w.RegisterWorkflowWithOptions(anOrder, workflow.RegisterOptions{Name: "order"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)

	p := pace.Default()
	p.Timeout = 3 * time.Second
	for how, want := range map[string]outcome{
		"executes": committed, "refuses": neutral, "ends before it answers": neutral, "answers late": setback,
		"is gone": neutral, "has ended": neutral, "has no worker": setback, "cannot be reached": unsent,
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			o := waiting{id: ltp.OrderWorkflowID(how)}
			options := client.StartWorkflowOptions{ID: o.id, TaskQueue: "orders"}
			if how == "has no worker" {
				options.TaskQueue = "nobody"
			}
			e := &Engine{Client: c, Pace: p, Log: silent}
			if how != "is gone" {
				_, err := c.ExecuteWorkflow(t.Context(), options, "order", how)
				require.NoError(t, err)
			}
			switch how {
			case "has ended":
				require.NoError(t, c.TerminateWorkflow(t.Context(), o.id, "", "ended"))
			case "cannot be reached":
				nobody, err := client.NewLazyClient(client.Options{HostPort: "127.0.0.1:1", Logger: log.NewStructuredLogger(silent)})
				require.NoError(t, err)
				t.Cleanup(nobody.Close)
				e.Client = nobody
			}
			r := newRelease(e, ltp.ReleaseInput{Component: ltp.DefaultComponent, Epoch: 5}, activity.Info{})
			begun := time.Now()
			answer, err := r.awaitOutcome(t.Context(), o, ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: 5})
			if how != "cannot be reached" {
				r.lease.since = time.Now() // Temporal takes heartbeats
			}
			assert.Equal(t, want, r.recordOutcome(o, begun, answer, err), "%+v %T %v", answer, err, err)
			assert.Less(t, time.Since(begun), p.Timeout+time.Second)
		})
	}
}
