package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// announcing is the test of an order whose tenant has webhooks.
func announcing(t *testing.T, state ltp.State) (e *orderTest, made *[]ltp.Announcement) {
	e, made = newOrderTest(t, state), new([]ltp.Announcement)
	e.announcer(made, nil)
	return e, made
}

// announcer keeps what the order announces, and fails with an error.
func (e *orderTest) announcer(made *[]ltp.Announcement, fails error) {
	var a *activities.Announcer
	e.RegisterActivity(&activities.Announcer{})
	e.OnActivity(a.Announce, mock.Anything, mock.Anything).Return(func(_ context.Context, in ltp.Announcement) (ltp.Announcement, error) {
		*made = append(*made, in)
		return in, fails
	}).Maybe()
}

// announced is the progress of an order whose tenant has webhooks.
func (e *orderTest) announced(o ltp.Order) ltp.Progress {
	p := e.progress(o)
	p.Webhooks = true
	return p
}

func eventsOf(made []ltp.Announcement) (all []ltp.WebhookEvent) {
	for _, a := range made {
		all = append(all, a.Event)
	}
	return all
}

// TestOrderAnnouncesWhatItComesTo, each state once, in numbers without gaps.
func TestOrderAnnouncesWhatItComesTo(t *testing.T) {
	t.Run("executed at once", func(t *testing.T) {
		e, made := announcing(t, ltp.Stable)
		_, err := e.goOn(e.announced(order))
		require.NoError(t, err)
		assert.Equal(t, []ltp.Announcement{{OrderID: "A2", N: 1, Event: ltp.OrderConfirmed}}, *made)
	})
	t.Run("deferred twice and replayed", func(t *testing.T) {
		e, made := announcing(t, ltp.Unstable)
		e.recovers(time.Minute, ltp.Recovering)
		e.before = func() {
			if len(e.attempts) == 1 {
				e.set(db, ltp.Unstable)
			}
		}
		e.recovers(2*time.Minute, ltp.Recovering)
		_, err := e.goOn(e.announced(order))
		require.NoError(t, err)
		assert.Equal(t, []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderConfirmed}, eventsOf(*made))
		assert.Equal(t, ltp.Wait{Component: db, Epoch: 3, Reason: ltp.ReasonUnstable}, (*made)[0].Wait)
		assert.Equal(t, 2, (*made)[1].N)
	})
	t.Run("cancelled", func(t *testing.T) {
		e, made := announcing(t, ltp.Unstable)
		e.at(time.Minute, e.CancelWorkflow)
		_, err := e.goOn(e.announced(order))
		require.ErrorAs(t, err, new(*temporal.CanceledError))
		assert.Equal(t, []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderCancelled}, eventsOf(*made))
	})
	t.Run("expired", func(t *testing.T) {
		e, made := announcing(t, ltp.Unstable)
		late := order
		late.Deadline = e.Now().Add(time.Minute)
		_, err := e.goOn(e.announced(late))
		require.NoError(t, err)
		assert.Equal(t, []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderExpired}, eventsOf(*made))
	})
	t.Run("its turn is no deferral", func(t *testing.T) {
		e, made := announcing(t, ltp.Stable)
		e.turn(time.Second, time.Second)
		_, err := e.goOn(e.announced(keyed))
		require.NoError(t, err)
		assert.Equal(t, []ltp.WebhookEvent{ltp.OrderConfirmed}, eventsOf(*made))
	})
}

// TestOrderEndsAsItDoesWhateverBecomesOfItsWebhooks.
func TestOrderEndsAsItDoesWhateverBecomesOfItsWebhooks(t *testing.T) {
	e, made := newOrderTest(t, ltp.Unstable), new([]ltp.Announcement)
	e.announcer(made, errors.New("no more"))
	e.recovers(time.Minute, ltp.Recovering)
	outcome, err := e.goOn(e.announced(order))
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Equal(t, []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderConfirmed}, eventsOf(*made))
}

// TestContinuedOrderGoesOnAnnouncing where it was.
func TestContinuedOrderGoesOnAnnouncing(t *testing.T) {
	e, made := announcing(t, ltp.Unstable)
	e.grows(time.Second)
	e.at(2*time.Second, func() { e.SignalWorkflow(ltp.ExpediteSignal, nil) })
	p := e.continued(e.announced(order))
	assert.Equal(t, ltp.Announcing{Count: 1, State: ltp.Deferred}, p.Announcing)
	assert.Equal(t, []ltp.WebhookEvent{ltp.OrderDeferred}, eventsOf(*made))

	n := e.next()
	n.announcer(made, nil)
	n.becomes(time.Second, ltp.Stable)
	_, err := n.goOn(p)
	require.NoError(t, err)
	assert.Equal(t, []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderConfirmed}, eventsOf(*made))
	assert.Equal(t, 2, (*made)[1].N)
}

// TestOrderWithoutWebhooksAnnouncesNothing.
func TestOrderWithoutWebhooksAnnouncesNothing(t *testing.T) {
	e, made := announcing(t, ltp.Unstable)
	e.recovers(time.Minute, ltp.Recovering)
	e.executed(order)
	assert.Empty(t, *made)
}
