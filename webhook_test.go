package ltp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

// TestWebhooksAreToldOfEveryState but of one that nothing is left to tell of.
func TestWebhooksAreToldOfEveryState(t *testing.T) {
	seen := map[ltp.WebhookEvent]bool{}
	for _, s := range []ltp.OrderState{ltp.Deferred, ltp.Parked, ltp.Executed, ltp.Rejected, ltp.Cancelled, ltp.Expired} {
		e := ltp.WebhookEventOf(s)
		assert.Equal(t, s.Final(), e.Final(), s)
		seen[e] = true
		assert.Contains(t, ltp.WebhookEvents(), e)
	}
	assert.Len(t, seen, len(ltp.WebhookEvents()))
	assert.Empty(t, ltp.WebhookEventOf(ltp.Accepted))
	assert.Empty(t, ltp.WebhookEventOf(ltp.Terminated), "nothing runs any more that could tell")
}

// TestNextAttemptIsLaterAndLater, within ten minutes, and never before the endpoint wants it.
func TestNextAttemptIsLaterAndLater(t *testing.T) {
	assert.Equal(t, time.Second, ltp.RetryDelivery(1, 0, 0))
	assert.Equal(t, 4*time.Second, ltp.RetryDelivery(3, 0, 0))
	assert.Equal(t, 10*time.Minute, ltp.RetryDelivery(1000, 0, 0))
	assert.Equal(t, time.Hour, ltp.RetryDelivery(1, time.Hour, 0.5))
	assert.Equal(t, ltp.MaxRetryAfter, ltp.RetryDelivery(1, 1000*time.Hour, 0.5))
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 1000).Draw(t, "attempts")
		asked := time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "asked"))
		d := ltp.RetryDelivery(n, asked, rapid.Float64Range(0, 1).Draw(t, "part"))
		full := ltp.RetryDelivery(n, 0, 0)
		assert.GreaterOrEqual(t, d, max(min(asked, ltp.MaxRetryAfter), full*3/4))
		assert.LessOrEqual(t, d, max(min(asked, ltp.MaxRetryAfter), full))
	})
}

// TestAttemptThatSentNothingIsMadeAgainSoon, but ever later, and not all at the same time.
func TestAttemptThatSentNothingIsMadeAgainSoon(t *testing.T) {
	assert.Equal(t, time.Second, ltp.RetryUnsent(1, 0))
	assert.Equal(t, 4*time.Second, ltp.RetryUnsent(4, 1))
	assert.Equal(t, 45*time.Second, ltp.RetryUnsent(1000, 0))
	rapid.Check(t, func(t *rapid.T) {
		d := ltp.RetryUnsent(rapid.IntRange(1, 1<<20).Draw(t, "attempts"), rapid.Float64Range(0, 1).Draw(t, "part"))
		assert.GreaterOrEqual(t, d, time.Second/2)
		assert.LessOrEqual(t, d, 45*time.Second)
	})
}

// TestRedeliverySelectsTheMessagesThatItNames: all that were not delivered, single ones, or all.
func TestRedeliverySelectsTheMessagesThatItNames(t *testing.T) {
	item := func(endpoint string, n int) ltp.DeliveryItem { return ltp.DeliveryItem{Endpoint: endpoint, N: n} }
	before, now := []ltp.DeliveryItem{item("shop", 1)}, []ltp.DeliveryItem{item("shop", 2)}
	for _, c := range []struct {
		r    ltp.Redelivery
		want []bool // of shop 1, shop 2, mail 1
	}{
		{ltp.Redelivery{}, []bool{false, false, false}},
		{ltp.Redelivery{All: true}, []bool{true, true, true}},
		{ltp.Redelivery{Items: before}, []bool{true, false, false}},
		{ltp.Redelivery{Undelivered: true}, []bool{true, false, true}},
		{ltp.Redelivery{Undelivered: true, Delivered: before}, []bool{false, false, true}},
	} {
		got := []bool{c.r.Asks(item("shop", 1), now), c.r.Asks(item("shop", 2), now), c.r.Asks(item("mail", 1), now)}
		assert.Equal(t, c.want, got, "%+v", c.r)
	}
}

// TestADeliverySupersedesEarlierOnesOfItsEndpoint: and those of all endpoints.
func TestADeliverySupersedesEarlierOnesOfItsEndpoint(t *testing.T) {
	shop := ltp.DeliveryItem{Endpoint: "shop", N: 2}
	for _, other := range []ltp.DeliveryItem{shop, {N: 2}, {N: 0}} {
		assert.True(t, shop.Supersedes(other), other)
	}
	for _, other := range []ltp.DeliveryItem{{Endpoint: "mail", N: 2}, {Endpoint: "shop", N: 1}, {N: 1}} {
		assert.False(t, shop.Supersedes(other), other)
	}
}

func TestAttemptsAreDistinguishedByTheirIDs(t *testing.T) {
	endpoint, event := ltp.ReadAttemptID(ltp.AttemptID("shop.eu-1", ltp.Message{N: 3, Event: ltp.OrderConfirmed}))
	assert.Equal(t, "shop.eu-1", endpoint)
	assert.Equal(t, ltp.OrderConfirmed, event)
}
