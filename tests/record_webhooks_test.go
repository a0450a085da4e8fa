package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// recordWebhooks has an order announce that it is deferred and confirmed, to an endpoint that
// is up and to one that is down at first; and one that is given up, and redelivered.
func recordWebhooks(t *testing.T) {
	r := newRig(t, anonymous)
	up, down := receiver(t), receiver(t)
	down.answers(http.StatusServiceUnavailable)
	_, n := r.upWithWebhooks(newHooks(t, up.as("up", ""), down.as("down", "")))
	end := r.outage()
	r.until(n, ltp.Unstable)
	r.decided(r.submit(order("R1")))
	up.gets("R1", ltp.OrderDeferred)
	end()
	up.gets("R1", ltp.OrderDeferred, ltp.OrderConfirmed)
	down.answers(http.StatusOK)
	r.delivered("R1")
	r.save("order-announced-to-webhooks", ltp.OrderWorkflowID("R1"), "")
	r.save("delivery-to-two-endpoints", ltp.DeliveryWorkflowID("R1"), "")

	r.until(n, ltp.Stable)
	down.answers(http.StatusGone)
	r.submit(order("R2"))
	r.ended("R2")
	require.ErrorContains(t, r.client.GetWorkflow(r.ctx, ltp.DeliveryWorkflowID("R2"), "").Get(r.ctx, nil), ltp.Undelivered)
	r.save("delivery-given-up", ltp.DeliveryWorkflowID("R2"), "")
	down.answers(http.StatusServiceUnavailable)
	require.NoError(t, activities.CallDelivery(r.ctx, r.client, "R2", ltp.RedeliverSignal, ltp.Redelivery{Items: []ltp.DeliveryItem{{Endpoint: "down", N: 1}}}))
	r.failsAt(down, "R2", 1)
	require.NoError(t, activities.CallDelivery(r.ctx, r.client, "R2", ltp.RedeliverSignal, ltp.Redelivery{}))
	r.failsAt(down, "R2", 2)
	down.answers(http.StatusOK)
	r.delivered("R2")
	r.save("delivery-hurried", ltp.DeliveryWorkflowID("R2"), "")
}

// failsAt waits until an endpoint has refused so many messages of an order with a 503.
func (r *rig) failsAt(e *endpoint, orderID string, n int) {
	r.t.Helper()
	require.Eventually(r.t, func() bool {
		all, _ := e.of(orderID)
		refused := 0
		for _, m := range all {
			if m.status == http.StatusServiceUnavailable {
				refused++
			}
		}
		return refused >= n
	}, patience, 20*time.Millisecond)
}
