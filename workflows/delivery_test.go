package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/workflows"
)

// deliveryTest runs the Delivery of one order against announcements and endpoints that exist
// in this test only.
type deliveryTest struct {
	*testsuite.TestWorkflowEnvironment
	t *testing.T

	mu       sync.Mutex         // activities run beside each other
	recorded []ltp.WebhookEvent // what the order has announced, in turn
	names    []string           // the endpoints of its tenant
	gone     bool               // Temporal has no such order
	unread   int                // how often reading fails
	reads    int
	// answer says what becomes of the nth attempt to send a message to an endpoint.
	answer   func(in ltp.SendInput, n int) (ltp.Sent, error)
	attempts map[string]int
	sent     []string // what was delivered, as "endpoint number"
	at       map[string]time.Time
	givenUp  []ltp.GiveUpInput // what could not be read
}

func newDeliveryTest(t *testing.T, names ...string) *deliveryTest {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	d := &deliveryTest{
		TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t, names: names,
		attempts: map[string]int{}, at: map[string]time.Time{},
		answer: func(ltp.SendInput, int) (ltp.Sent, error) { return ltp.Sent{Status: 200}, nil },
	}
	d.SetWorkflowRunTimeout(10000 * time.Hour)
	d.SetTestTimeout(time.Minute)
	d.RegisterActivity(&activities.Deliveries{})
	var a *activities.Deliveries
	d.OnActivity(a.Read, mock.Anything, mock.Anything).Return(d.read).Maybe()
	d.OnActivity(a.Deliver, mock.Anything, mock.Anything).Return(d.deliver).Maybe()
	d.OnActivity(a.GiveUp, mock.Anything, mock.Anything).Return(func(_ context.Context, in ltp.GiveUpInput) error {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.givenUp = append(d.givenUp, in)
		return nil
	}).Maybe()
	return d
}

func (d *deliveryTest) read(_ context.Context, in ltp.AnnouncementsInput) (found ltp.Announcements, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reads++
	if d.gone {
		return ltp.Announcements{Gone: true}, nil
	}
	if d.unread > 0 {
		d.unread--
		return found, errors.New("temporal does not answer")
	}
	for i, e := range d.recorded {
		if n := i + 1; n >= in.From {
			found.Messages = append(found.Messages, ltp.Addressed{Message: ltp.Message{N: n, ID: fmt.Sprint("msg_", n), Event: e}, Endpoints: d.names})
		}
	}
	found.Read = len(d.recorded)
	return found, nil
}

func (d *deliveryTest) deliver(_ context.Context, in ltp.SendInput) (ltp.Sent, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	key := fmt.Sprintf("%s %d", in.Endpoint, in.Message.N)
	d.attempts[key]++
	s, err := d.answer(in, d.attempts[key])
	if err == nil && s.GivenUp == "" {
		d.sent = append(d.sent, key)
		d.at[key] = d.Now()
	}
	return s, err
}

// announces has the order record an event, and call the Delivery, after a while.
func (d *deliveryTest) announces(after time.Duration, e ltp.WebhookEvent) {
	d.RegisterDelayedCallback(func() { d.SignalWorkflow(ltp.AnnouncedSignal, d.record(e)) }, after)
}

// record has an event stand in the order's history, and returns its number.
func (d *deliveryTest) record(e ltp.WebhookEvent) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recorded = append(d.recorded, e)
	return len(d.recorded)
}

func (d *deliveryTest) run() (ltp.DeliveryReport, error) {
	d.t.Helper()
	d.ExecuteWorkflow(workflows.Delivery, ltp.DeliveryInput{OrderID: "acme/A2"})
	require.True(d.t, d.IsWorkflowCompleted())
	var r ltp.DeliveryReport
	err := d.GetWorkflowError()
	if err == nil {
		require.NoError(d.t, d.GetWorkflowResult(&r))
	}
	var own *temporal.ApplicationError
	if errors.As(err, &own) && own.Type() == ltp.Undelivered {
		require.NoError(d.t, own.Details(&r))
	}
	var cancelled *temporal.CanceledError
	if errors.As(err, &cancelled) {
		require.NoError(d.t, cancelled.Details(&r))
	}
	return r, err
}

// retried is a failure that is tried again after a while.
func retried(after time.Duration) error {
	return temporal.NewApplicationErrorWithOptions("the endpoint answered 500", "NotDelivered", temporal.ApplicationErrorOptions{NextRetryDelay: after})
}

func TestDeliveryHoldsToTheOrderOfEvents(t *testing.T) {
	d := newDeliveryTest(t, "slow", "fast")
	d.answer = func(in ltp.SendInput, n int) (ltp.Sent, error) {
		if in.Endpoint == "slow" && in.Message.N == 1 && n < 10 {
			return ltp.Sent{}, retried(10 * time.Minute)
		}
		return ltp.Sent{Status: 200}, nil
	}
	d.announces(0, ltp.OrderDeferred)
	d.announces(time.Minute, ltp.OrderParked)
	d.announces(2*time.Minute, ltp.OrderConfirmed)
	began := d.Now()
	report, err := d.run()
	require.NoError(t, err)
	assert.Equal(t, []string{"fast 1", "fast 2", "fast 3", "slow 1", "slow 2", "slow 3"}, d.sent)
	assert.WithinDuration(t, began.Add(2*time.Minute), d.at["fast 3"], time.Second, "it waits for no other endpoint")
	assert.Len(t, report.Delivered, 6)
	assert.Empty(t, report.GivenUp)
}

// TestDeliveryTakesEachCallOnce, those too that come while it reads.
func TestDeliveryTakesEachCallOnce(t *testing.T) {
	d := newDeliveryTest(t, "shop")
	d.recorded = []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderConfirmed}
	d.answer = func(ltp.SendInput, int) (ltp.Sent, error) { return ltp.Sent{}, nil }
	d.RegisterDelayedCallback(func() {
		for _, n := range []int{1, 2, 1, 2} { // a task that was lost calls again
			d.SignalWorkflow(ltp.AnnouncedSignal, n)
		}
	}, 0)
	_, err := d.run()
	require.NoError(t, err)
	assert.Equal(t, []string{"shop 1", "shop 2"}, d.sent)
}

// TestDeliveryBegunAnewSendsNothingOfBefore: it begins where it is called.
func TestDeliveryBegunAnewSendsNothingOfBefore(t *testing.T) {
	d := newDeliveryTest(t, "shop")
	d.recorded = []ltp.WebhookEvent{ltp.OrderDeferred}
	d.announces(0, ltp.OrderConfirmed)
	_, err := d.run()
	require.NoError(t, err)
	assert.Equal(t, []string{"shop 2"}, d.sent)
}

func TestDeliverySendsOnlyWhatIsRecorded(t *testing.T) {
	t.Run("it comes late", func(t *testing.T) {
		d := newDeliveryTest(t, "shop")
		d.RegisterDelayedCallback(func() { d.SignalWorkflow(ltp.AnnouncedSignal, 1) }, 0)
		d.RegisterDelayedCallback(func() { d.record(ltp.OrderConfirmed) }, 20*time.Second)
		_, err := d.run()
		require.NoError(t, err)
		assert.Equal(t, []string{"shop 1"}, d.sent)
	})
	t.Run("never", func(t *testing.T) {
		d := newDeliveryTest(t, "shop")
		d.RegisterDelayedCallback(func() { d.SignalWorkflow(ltp.AnnouncedSignal, 1) }, 0)
		began := d.Now()
		_, err := d.run()
		require.NoError(t, err)
		assert.Empty(t, d.sent)
		assert.Greater(t, d.Now().Sub(began), 30*time.Second, "a workflow task may take as long")
	})
	t.Run("the order is gone", func(t *testing.T) {
		d := newDeliveryTest(t, "shop")
		d.gone = true
		d.announces(0, ltp.OrderConfirmed)
		report, err := d.run()
		require.ErrorContains(t, err, ltp.Undelivered)
		assert.Equal(t, 1, d.reads)
		const why = "Temporal has no such order, or not any more"
		assert.Equal(t, []ltp.DeliveryItem{{N: 1, Why: why}}, report.GivenUp)
		assert.Equal(t, []ltp.GiveUpInput{{OrderID: "acme/A2", From: 1, To: 1, Why: why}}, d.givenUp)
	})
	t.Run("a task that is late calls again", func(t *testing.T) {
		d := newDeliveryTest(t, "shop")
		call := func() { d.SignalWorkflow(ltp.AnnouncedSignal, 1) }
		d.RegisterDelayedCallback(call, 0)
		d.RegisterDelayedCallback(call, 50*time.Second)
		d.RegisterDelayedCallback(func() { d.record(ltp.OrderConfirmed) }, 90*time.Second)
		_, err := d.run()
		require.NoError(t, err)
		assert.Equal(t, []string{"shop 1"}, d.sent)
	})
	t.Run("it cannot be read for days", func(t *testing.T) {
		d := newDeliveryTest(t, "shop")
		d.unread = 1 << 30
		d.announces(0, ltp.OrderDeferred)
		d.announces(0, ltp.OrderConfirmed)
		began := d.Now()
		report, err := d.run()
		require.ErrorContains(t, err, ltp.Undelivered)
		assert.WithinDuration(t, began.Add(ltp.DeliverFor), d.Now(), time.Hour)
		require.NotEmpty(t, report.GivenUp)
		require.NotEmpty(t, d.givenUp)
		assert.Equal(t, 2, report.GivenUp[len(report.GivenUp)-1].N)
		assert.Equal(t, 2, d.givenUp[len(d.givenUp)-1].To)
	})
	t.Run("it cannot be read for hours", func(t *testing.T) {
		d := newDeliveryTest(t, "shop")
		d.unread = 200
		d.announces(0, ltp.OrderConfirmed)
		_, err := d.run()
		require.NoError(t, err)
		assert.Equal(t, []string{"shop 1"}, d.sent)
	})
}

// TestMessageThatIsGivenUpMakesRoomForTheNext, and the Delivery says so at its end.
func TestMessageThatIsGivenUpMakesRoomForTheNext(t *testing.T) {
	d := newDeliveryTest(t, "shop", "gone")
	d.answer = func(in ltp.SendInput, _ int) (ltp.Sent, error) {
		switch {
		case in.Endpoint == "gone":
			return ltp.Sent{Status: 410, GivenUp: "it wants no more", Gone: true}, nil
		case in.Message.N == 1:
			return ltp.Sent{Status: 500, GivenUp: "it answered 500"}, nil
		}
		return ltp.Sent{Status: 200}, nil
	}
	d.recorded = []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderConfirmed}
	d.RegisterDelayedCallback(func() { d.SignalWorkflow(ltp.AnnouncedSignal, 1) }, 0)
	report, err := d.run()
	require.Error(t, err)
	assert.Equal(t, []string{"shop 2"}, d.sent)
	assert.Equal(t, []ltp.DeliveryItem{{Endpoint: "shop", N: 2, Event: ltp.OrderConfirmed}}, report.Delivered)
	assert.ElementsMatch(t, []ltp.DeliveryItem{
		{Endpoint: "shop", N: 1, Event: ltp.OrderDeferred, Why: "it answered 500"},
		{Endpoint: "gone", N: 1, Event: ltp.OrderDeferred, Why: "it wants no more"},
		{Endpoint: "gone", N: 2, Event: ltp.OrderConfirmed, Why: "the endpoint wanted no more messages of this order"},
	}, report.GivenUp)
	assert.Zero(t, d.attempts["gone 2"])
}

// TestMessageThatNoWorkerSendsIsGivenUp: what no worker attends to is given up, too, some time later.
func TestMessageThatNoWorkerSendsIsGivenUp(t *testing.T) {
	d := newDeliveryTest(t, "shop")
	d.answer = func(in ltp.SendInput, _ int) (ltp.Sent, error) { // it does not see how late it is
		return ltp.Sent{}, retried(8 * time.Hour) // the SDK's test tries ten times at most
	}
	d.announces(0, ltp.OrderConfirmed)
	began := d.Now()
	report, err := d.run()
	require.Error(t, err)
	require.Len(t, report.GivenUp, 1)
	assert.Contains(t, report.GivenUp[0].Why, "the endpoint answered 500")
	assert.WithinDuration(t, began.Add(ltp.DeliverFor), d.Now(), 9*time.Hour)
}

func TestRedeliverySendsWhatIsAskedForAgain(t *testing.T) {
	t.Run("of what was given up", func(t *testing.T) {
		d := newDeliveryTest(t, "shop", "mail")
		d.recorded = []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderConfirmed}
		d.RegisterDelayedCallback(func() {
			d.SignalWorkflow(ltp.RedeliverSignal, ltp.Redelivery{Items: []ltp.DeliveryItem{{Endpoint: "mail", N: 1}}})
		}, 0)
		_, err := d.run()
		require.NoError(t, err)
		assert.Equal(t, []string{"mail 1"}, d.sent)
	})
	t.Run("of everything", func(t *testing.T) {
		d := newDeliveryTest(t, "shop")
		d.recorded = []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderConfirmed}
		d.RegisterDelayedCallback(func() { d.SignalWorkflow(ltp.RedeliverSignal, ltp.Redelivery{All: true}) }, 0)
		_, err := d.run()
		require.NoError(t, err)
		assert.Equal(t, []string{"shop 1", "shop 2"}, d.sent)
	})
	t.Run("sends at once what waits for its next attempt", func(t *testing.T) {
		d := newDeliveryTest(t, "shop")
		var mended atomic.Bool
		d.answer = func(ltp.SendInput, int) (ltp.Sent, error) {
			if mended.Load() {
				return ltp.Sent{Status: 200}, nil
			}
			return ltp.Sent{}, retried(10 * time.Hour)
		}
		d.announces(0, ltp.OrderDeferred)
		d.announces(time.Minute, ltp.OrderConfirmed)
		d.RegisterDelayedCallback(func() { mended.Store(true); d.SignalWorkflow(ltp.RedeliverSignal, ltp.Redelivery{}) }, time.Hour)
		began := d.Now()
		_, err := d.run()
		require.NoError(t, err)
		assert.Equal(t, []string{"shop 1", "shop 2"}, d.sent)
		assert.WithinDuration(t, began.Add(time.Hour), d.at["shop 2"], time.Minute)
	})
	t.Run("of all that was not delivered, also what was not called", func(t *testing.T) {
		d := newDeliveryTest(t, "shop", "mail")
		d.recorded = []ltp.WebhookEvent{ltp.OrderDeferred, ltp.OrderConfirmed}
		d.RegisterDelayedCallback(func() {
			d.SignalWorkflow(ltp.RedeliverSignal, ltp.Redelivery{Undelivered: true, Delivered: []ltp.DeliveryItem{{Endpoint: "shop", N: 1}}})
		}, 0)
		_, err := d.run()
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{"mail 1", "mail 2", "shop 2"}, d.sent)
	})
	t.Run("of what the Delivery that runs has given up", func(t *testing.T) {
		d := newDeliveryTest(t, "shop", "slow")
		d.answer = func(in ltp.SendInput, n int) (ltp.Sent, error) {
			switch {
			case in.Endpoint == "slow" && n == 1:
				return ltp.Sent{}, retried(2 * time.Hour)
			case in.Endpoint == "shop" && n == 1:
				return ltp.Sent{Status: 410, GivenUp: "it wants no more", Gone: true}, nil
			}
			return ltp.Sent{Status: 200}, nil
		}
		d.announces(0, ltp.OrderConfirmed)
		d.RegisterDelayedCallback(func() { d.SignalWorkflow(ltp.RedeliverSignal, ltp.Redelivery{Undelivered: true}) }, time.Hour)
		report, err := d.run()
		require.NoError(t, err)
		assert.ElementsMatch(t, []string{"shop 1", "slow 1"}, d.sent)
		assert.Empty(t, report.GivenUp)
	})
	t.Run("before the call that it overtook", func(t *testing.T) {
		d := newDeliveryTest(t, "shop")
		d.recorded = []ltp.WebhookEvent{ltp.OrderConfirmed}
		d.RegisterDelayedCallback(func() {
			d.SignalWorkflow(ltp.RedeliverSignal, ltp.Redelivery{All: true})
			d.SignalWorkflow(ltp.AnnouncedSignal, 1)
		}, 0)
		_, err := d.run()
		require.NoError(t, err)
		assert.Equal(t, []string{"shop 1"}, d.sent)
	})
}

// TestCancelledDeliveryStops, and says what it left.
func TestCancelledDeliveryStops(t *testing.T) {
	d := newDeliveryTest(t, "shop", "up")
	d.answer = func(in ltp.SendInput, _ int) (ltp.Sent, error) {
		if in.Endpoint == "up" {
			return ltp.Sent{Status: 200}, nil
		}
		return ltp.Sent{}, retried(time.Hour)
	}
	d.announces(0, ltp.OrderConfirmed)
	d.RegisterDelayedCallback(d.CancelWorkflow, time.Minute)
	report, err := d.run()
	assert.True(t, temporal.IsCanceledError(err), "%v", err)
	assert.Equal(t, []ltp.DeliveryItem{{Endpoint: "up", N: 1, Event: ltp.OrderConfirmed}}, report.Delivered)
	assert.Equal(t, []ltp.DeliveryItem{{Endpoint: "shop", N: 1, Event: ltp.OrderConfirmed, Why: "the Delivery was cancelled"}}, report.GivenUp)

	d = newDeliveryTest(t, "shop")
	d.unread = 1 << 30
	d.announces(0, ltp.OrderConfirmed)
	d.RegisterDelayedCallback(d.CancelWorkflow, time.Minute)
	report, err = d.run()
	assert.True(t, temporal.IsCanceledError(err), "%v", err)
	assert.Equal(t, []ltp.DeliveryItem{{N: 1, Why: "the Delivery was cancelled"}}, report.GivenUp)
}
