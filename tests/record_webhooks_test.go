package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/tests/harness"
)

// recordWebhooks has an order announce that it is deferred and confirmed, to an endpoint that
// is up and to one that is down at first; and one that is given up, and redelivered.
func recordWebhooks(t *testing.T) {
	r := newRig(t, anonymous)
	up, down := receiver(t), receiver(t)
	down.Status(http.StatusServiceUnavailable)
	_, n := r.upWithWebhooks(harness.NewEndpointFile(t, up.As("up", ""), down.As("down", "")))
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("R1"))
	up.gets("R1", ltp.OrderDeferred)
	end()
	up.gets("R1", ltp.OrderDeferred, ltp.OrderConfirmed)
	down.Status(http.StatusOK)
	r.delivered("R1")
	r.save("order-announced-to-webhooks", ltp.OrderWorkflowID("R1"), "")
	r.save("delivery-to-two-endpoints", ltp.DeliveryWorkflowID("R1"), "")

	r.Until(n.Board, ltp.Stable)
	down.Status(http.StatusGone)
	r.Submit("R2")
	r.Ended("R2")
	require.ErrorContains(t, r.Client.GetWorkflow(r.Ctx, ltp.DeliveryWorkflowID("R2"), "").Get(r.Ctx, nil), ltp.Undelivered)
	r.save("delivery-given-up", ltp.DeliveryWorkflowID("R2"), "")
	down.Status(http.StatusServiceUnavailable)
	require.NoError(t, activities.CallDelivery(r.Ctx, r.Client, "R2", ltp.RedeliverSignal, ltp.Redelivery{Items: []ltp.DeliveryItem{{Endpoint: "down", N: 1}}}))
	r.failsAt(down, "R2", 1)
	require.NoError(t, activities.CallDelivery(r.Ctx, r.Client, "R2", ltp.RedeliverSignal, ltp.Redelivery{}))
	r.failsAt(down, "R2", 2)
	down.Status(http.StatusOK)
	r.delivered("R2")
	r.save("delivery-hurried", ltp.DeliveryWorkflowID("R2"), "")
}

// failsAt waits until an endpoint has refused so many messages of an order with a 503.
func (r *rig) failsAt(e endpoint, orderID string, n int) {
	r.T.Helper()
	require.Eventually(r.T, func() bool {
		all, _ := e.Of(orderID)
		refused := 0
		for _, m := range all {
			if m.Status == http.StatusServiceUnavailable {
				refused++
			}
		}
		return refused >= n
	}, patience, 20*time.Millisecond)
}
