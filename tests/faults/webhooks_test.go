package faults

import (
	"context"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/tests/harness"
	"github.com/ltp-node/ltp/webhook"
)

// took reports whether an endpoint has taken messages of all orders, each with these events at
// least once, and the first time in this order.
func took(e *harness.Endpoint, orders []string, events ...ltp.WebhookEvent) bool {
	for _, id := range orders {
		var got []ltp.WebhookEvent
		_, taken := e.Of(id)
		for _, m := range taken {
			if !slices.Contains(got, m.Type) {
				got = append(got, m.Type)
			}
		}
		if !slices.Equal(got, events) {
			return false
		}
	}
	return true
}

// gotInTurn checks what an endpoint was sent of orders in all: each message under one id of its
// own, however often it was sent, and none before the one before it was taken.
func gotInTurn(t *testing.T, e *harness.Endpoint, orders []string, events ...ltp.WebhookEvent) {
	t.Helper()
	ids := map[string]harness.Message{}
	for _, order := range orders {
		next := 0
		all, _ := e.Of(order)
		for _, m := range all {
			if first, ok := ids[m.ID()]; ok {
				assert.Equal(t, [2]any{first.Order["id"], first.Type}, [2]any{m.Order["id"], m.Type}, "an id of two messages")
			}
			ids[m.ID()] = m
			n := slices.Index(events, m.Type)
			assert.LessOrEqual(t, n, next, "%s: %s overtook what was before it", order, m.Type)
			if m.Taken() && n == next {
				next++
			}
		}
		assert.Len(t, events[next:], 0, order)
	}
	assert.Len(t, ids, len(orders)*len(events), "one id each")
}

// hooked has orders of the rig marked for webhooks, and returns the flags of a worker that sends
// them.
func (r *rig) hooked(all ...webhook.Endpoint) []string {
	r.T.Helper()
	r.Start = starter.New(r.Client, starter.WithWebhooks(func(tenant string) bool {
		return slices.ContainsFunc(all, func(e webhook.Endpoint) bool { return e.Tenant == tenant })
	}))
	return []string{"--webhooks", harness.NewEndpointFile(r.T, all...).Path, "--webhooks-allow-private"}
}

// TestAnnouncementsOutliveWorkersEndpointsAndTemporal: an endpoint answers 500, hangs and is
// away, the worker that sends to it is killed in the middle, and one more after the endpoint has
// taken a message and before Temporal learns of it, and nothing reaches Temporal for a moment.
// Each announcement arrives, under the same id every time, after those before it; and the
// endpoint of another tenant waits for none of that.
func TestAnnouncementsOutliveWorkersEndpointsAndTemporal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	bad, good := harness.NewEndpoint(t), harness.NewEndpoint(t)
	hooks := r.hooked(bad.As("shop", "acme"), good.As("shop", "globex"))
	x := newExchange(t, r.Address)
	r.observer(r.Orders)
	w := r.worker(x.address, hooks...)
	r.Until(r.seen, ltp.Stable)

	own := []string{"W1", "W2", "W3"} // of either tenant
	submit := func(tenant string, ids ...string) {
		t.Helper()
		for _, id := range ids {
			r.Submit(ltp.FullID(tenant, id))
		}
	}
	tried := func(n int) func() bool {
		return func() bool {
			return !slices.ContainsFunc(own, func(id string) bool { all, _ := bad.Of(id); return len(all) < n })
		}
	}

	// It answers 500.
	bad.Status(http.StatusInternalServerError)
	r.Hold("orders are to be deferred")
	r.Until(r.seen, ltp.Unstable)
	submit("acme", own...)
	r.Eventually("each message was tried twice", tried(2))
	submit("globex", own...)
	r.Eventually("the other tenant's are taken", func() bool { return took(good, own, ltp.OrderDeferred) })

	// It hangs, and the worker is killed in the middle.
	bad.Hang()
	r.Eventually("a message is under way", func() bool { return bad.Hanging() > 0 })
	w.Kill()
	r.Eventually("nothing is under way any more", func() bool { return bad.Hanging() == 0 })
	w = r.worker(x.address, hooks...)
	r.Eventually("another worker sends", func() bool { return bad.Hanging() > 0 })
	submit("globex", "W4")
	r.Eventually("the other tenant's are taken", func() bool { return took(good, []string{"W4"}, ltp.OrderDeferred) })

	// It is away, and Temporal is out of reach for a moment.
	bad.Leave()
	var refused atomic.Int64
	reach := x.on(func(context.Context, any, func() (any, error)) (any, error) {
		refused.Add(1)
		return nil, serviceerror.NewUnavailable("the frontend is away")
	})
	r.Eventually("the worker misses Temporal", func() bool { return refused.Load() > 20 })
	reach()
	submit("globex", "W5")
	r.Eventually("the other tenant's are taken", func() bool { return took(good, []string{"W5"}, ltp.OrderDeferred) })

	// It is back and takes one, of which Temporal is not to learn.
	m := newMoment()
	var repeated atomic.Value
	unheard := x.on(func(ctx context.Context, call any, pass func() (any, error)) (any, error) {
		if _, reports := call.(*workflowservice.RespondActivityTaskCompletedRequest); reports && repeated.Load() != nil {
			return m.stay(ctx)
		}
		return pass()
	})
	bad.Answers(func(_ context.Context, got harness.Message) int {
		repeated.CompareAndSwap(nil, got)
		return http.StatusNoContent
	})
	bad.Return()
	m.await(t)
	w.Kill()
	unheard()
	r.worker(x.address, hooks...)
	r.Until(r.seen, ltp.Unstable)
	once := repeated.Load().(harness.Message)
	r.Eventually("it is taken once more", func() bool {
		_, taken := bad.Of(once.Order["id"].(string))
		return len(slices.DeleteFunc(taken, func(m harness.Message) bool { return m.Type != once.Type })) > 1
	})

	r.Release()
	for _, id := range own {
		assert.Equal(t, ltp.Executed, r.Ended(ltp.FullID("acme", id)).State)
	}
	r.Eventually("all was announced", func() bool { return took(bad, own, ltp.OrderDeferred, ltp.OrderConfirmed) })
	others := append(slices.Clone(own), "W4", "W5")
	r.Eventually("all was announced", func() bool { return took(good, others, ltp.OrderDeferred, ltp.OrderConfirmed) })
	gotInTurn(t, bad, own, ltp.OrderDeferred, ltp.OrderConfirmed)
	gotInTurn(t, good, others, ltp.OrderDeferred, ltp.OrderConfirmed)
}
