package tests

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

// recordOwnActivity has an activity of the user's execute orders, as one in another
// language would: it knows nothing of receipts.
func recordOwnActivity(t *testing.T) {
	r := newRig(t, anonymous)
	r.Start = starter.New(r.Client, starter.WithExecution(fulfil))
	n := r.up(r.config())
	shop := func() worker.Worker {
		w := worker.New(r.Client, fulfil.TaskQueue, worker.Options{DisableWorkflowWorker: true})
		tried := 0
		w.RegisterActivityWithOptions(func(_ context.Context, job ltp.Job) (map[string]string, error) {
			if tried++; job.Order.ID == "R3" && tried%2 == 1 {
				return nil, temporal.NewApplicationError("the till is closed", ltp.UnavailableError)
			}
			return map[string]string{"invoice": "I-" + job.Order.ID}, nil
		}, activity.RegisterOptions{Name: fulfil.Activity})
		require.NoError(t, w.Start())
		return w
	}
	open := shop()
	r.Until(n.Board, ltp.Stable)
	r.Submit("R1")
	r.Ended("R1")
	r.save("order-own-activity", ltp.OrderWorkflowID("R1"), "")
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("R2"))
	end()
	r.Ended("R2")
	r.save("order-own-activity-replayed", ltp.OrderWorkflowID("R2"), "")
	r.Until(n.Board, ltp.Stable)
	open.Stop()
	r.Submit("R3")
	require.Eventually(t, func() bool {
		st, err := r.Start.Get(r.Ctx, "R3")
		require.NoError(t, err)
		return st.Reason == ltp.ReasonExecuteUnavailable
	}, patience, 50*time.Millisecond)
	open = shop()
	defer open.Stop()
	r.Ended("R3")
	r.save("order-own-activity-not-taken", ltp.OrderWorkflowID("R3"), "")
}

// recordParked lets an order fail by itself until it is parked. An operator brings it back,
// to be parked again, and then ends it.
func recordParked(t *testing.T) {
	r := newRig(t, anonymous)
	r.exec(`CREATE TRIGGER poison BEFORE INSERT ON orders WHEN NEW.id = 'R1' BEGIN SELECT json_extract('{', '$.a'); END`)
	c := r.config()
	c.Backstop = ltp.Backstop{First: 20 * time.Second, Most: time.Minute}
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	r.Submit("R1")
	r.becomes("R1", ltp.Parked)
	require.NoError(t, r.Start.Instruct(r.Ctx, "R1", ltp.Instruction{Do: ltp.DoRetry, By: "ann"}))
	r.becomes("R1", ltp.Deferred)
	r.becomes("R1", ltp.Parked)
	require.NoError(t, r.Start.Instruct(r.Ctx, "R1", ltp.Instruction{Do: ltp.DoReject, By: "ann", Why: "no such article"}))
	r.becomes("R1", ltp.Rejected)
	r.save("order-parked", ltp.OrderWorkflowID("R1"), "")
}
