package activities_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// endpoints answer what err says.
type endpoints struct {
	err     error
	unknown bool // the tenant has none
}

func (e endpoints) Has(string) bool { return !e.unknown }

func (e endpoints) For(_ string, event ltp.WebhookEvent) []string {
	if e.unknown || event == ltp.OrderDeferred {
		return nil
	}
	return []string{"shop"}
}

func (e endpoints) Send(context.Context, string, string, ltp.Message) (int, error) {
	return 200, e.err
}

type tally map[string]int

func (t tally) Sent(result string) { t[result]++ }

// delivering runs Deliver once.
func delivering(t *testing.T, err error, until time.Time) (ltp.Sent, tally, error) {
	t.Helper()
	sent, counted, _, err := deliveringAfter(t, nil, err, until)
	return sent, counted, err
}

// unsent is what an attempt leaves to the next one.
type unsent struct {
	Attempts     int       `json:"attempts"`
	UnknownSince time.Time `json:"unknown_since,omitzero"`
}

// deliveringAfter runs Deliver once, after an attempt that has left something.
func deliveringAfter(t *testing.T, before *unsent, err error, until time.Time) (_ ltp.Sent, _ tally, left *unsent, _ error) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	counted := tally{}
	d := &activities.Deliveries{Endpoints: endpoints{err: err}, Meter: counted, Log: slog.New(slog.DiscardHandler)}
	env.RegisterActivity(d)
	if before != nil {
		env.SetHeartbeatDetails(before)
	}
	env.SetOnActivityHeartbeatListener(func(_ *activity.Info, details converter.EncodedValues) {
		left = new(unsent)
		assert.NoError(t, details.Get(left))
	})
	out, err := env.ExecuteActivity(d.Deliver, ltp.SendInput{OrderID: "acme/A2", Endpoint: "shop", Message: ltp.Message{N: 1, Event: ltp.OrderConfirmed}, Until: until})
	var sent ltp.Sent
	if err == nil {
		require.NoError(t, out.Get(&sent))
	}
	return sent, counted, left, err
}

// waits is the wait before the next attempt.
func waits(t *testing.T, err error) time.Duration {
	t.Helper()
	var own *temporal.ApplicationError
	require.ErrorAs(t, err, &own)
	assert.False(t, own.NonRetryable())
	return own.NextRetryDelay()
}

func TestDeliveryIsRetriedUntilItIsSentOrTooLate(t *testing.T) {
	later := time.Now().Add(time.Hour)
	sent, counted, err := delivering(t, nil, later)
	require.NoError(t, err)
	assert.Equal(t, ltp.Sent{Status: 200}, sent)
	assert.Equal(t, tally{activities.Delivered: 1}, counted)

	_, counted, err = delivering(t, errors.New("connection refused"), later)
	assert.InDelta(t, time.Second, waits(t, err), float64(time.Second)/4)
	assert.Equal(t, tally{activities.Failed: 1}, counted)
	_, _, err = delivering(t, &activities.SendError{Status: 503, Why: "x", RetryAfter: 20 * time.Minute}, later)
	assert.Equal(t, 20*time.Minute, waits(t, err), "the endpoint has asked for it")
	_, _, err = delivering(t, &activities.SendError{Status: 503, Why: "x", RetryAfter: 20 * time.Hour}, later)
	assert.InDelta(t, time.Hour, waits(t, err), float64(time.Minute), "there is one more attempt before it is given up")

	sent, counted, err = delivering(t, &activities.SendError{Status: 410, Why: "no more", Gone: true}, later)
	require.NoError(t, err)
	assert.Equal(t, ltp.Sent{Status: 410, GivenUp: "no more", Gone: true}, sent)
	assert.Equal(t, tally{activities.GivenUp: 1}, counted)
	sent, counted, err = delivering(t, &activities.SendError{Status: 500, Why: "sick"}, time.Now())
	require.NoError(t, err)
	assert.Equal(t, ltp.Sent{Status: 500, GivenUp: "sick"}, sent, "the next attempt would be too late")
	assert.Equal(t, tally{activities.GivenUp: 1}, counted)
}

// TestAttemptThatSendsNothingIsNoFailure: the next is made soon, but ever later, and a failure
// after that waits no longer for it.
func TestAttemptThatSendsNothingIsNoFailure(t *testing.T) {
	later := time.Now().Add(time.Hour)
	busy := &activities.SendError{Why: "x", Busy: true}
	_, counted, left, err := deliveringAfter(t, nil, busy, later)
	assert.LessOrEqual(t, waits(t, err), time.Second)
	assert.Empty(t, counted)
	assert.Equal(t, &unsent{Attempts: 1}, left)
	_, counted, left, err = deliveringAfter(t, &unsent{Attempts: 20}, busy, later)
	assert.GreaterOrEqual(t, waits(t, err), 20*time.Second)
	assert.LessOrEqual(t, waits(t, err), time.Minute)
	assert.Empty(t, counted)
	assert.Equal(t, &unsent{Attempts: 21}, left)
	_, counted, left, err = deliveringAfter(t, &unsent{Attempts: 20}, errors.New("connection refused"), later)
	assert.LessOrEqual(t, waits(t, err), time.Second)
	assert.Equal(t, tally{activities.Failed: 1}, counted)
	assert.Nil(t, left, "what it had stays")
}

// crowded is an endpoint that is busy for some attempts, and fails from then on.
type crowded struct {
	endpoints
	env *testsuite.TestWorkflowEnvironment
	at  []time.Time // the attempts
}

func (c *crowded) Send(context.Context, string, string, ltp.Message) (int, error) {
	c.at = append(c.at, c.env.Now())
	return 0, &activities.SendError{Why: "x", Busy: len(c.at) <= 8}
}

// TestRetriesAfterABusyEndpointBeginWithTheShortestDelay: an attempt that finds the endpoint
// busy counts as no failure.
func TestRetriesAfterABusyEndpointBeginWithTheShortestDelay(t *testing.T) {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(slog.New(slog.DiscardHandler)))
	env := suite.NewTestWorkflowEnvironment()
	c := &crowded{env: env}
	d := &activities.Deliveries{Endpoints: c, Log: slog.New(slog.DiscardHandler)}
	env.RegisterActivity(d)
	in := ltp.SendInput{OrderID: "A2", Endpoint: "shop", Until: time.Now().Add(100 * time.Hour)}
	env.ExecuteWorkflow(func(ctx workflow.Context) error {
		return workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
			StartToCloseTimeout: time.Minute, RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 10},
		}), d.Deliver, in).Get(ctx, nil)
	})
	require.Error(t, env.GetWorkflowError())
	require.Len(t, c.at, 10)
	assert.Greater(t, c.at[8].Sub(c.at[7]), 20*time.Second, "it was busy eight times")
	assert.Less(t, c.at[9].Sub(c.at[8]), 2*time.Second, "it failed once")
}

// TestUnknownEndpointIsAwaited for ten minutes: the file of this process may be late.
func TestUnknownEndpointIsAwaited(t *testing.T) {
	later := time.Now().Add(time.Hour)
	unknown := &activities.SendError{Why: "no such endpoint", Unknown: true}
	_, counted, left, err := deliveringAfter(t, nil, unknown, later)
	assert.LessOrEqual(t, waits(t, err), time.Second)
	assert.Empty(t, counted)
	require.NotNil(t, left)
	assert.WithinDuration(t, time.Now(), left.UnknownSince, time.Minute)
	known := *left
	known.UnknownSince = known.UnknownSince.Add(-5 * time.Minute)
	_, _, left, err = deliveringAfter(t, &known, unknown, later)
	assert.Positive(t, waits(t, err))
	assert.True(t, known.UnknownSince.Equal(left.UnknownSince), "it is the same since")
	known.UnknownSince = known.UnknownSince.Add(-5 * time.Minute)
	sent, counted, _, err := deliveringAfter(t, &known, unknown, later)
	require.NoError(t, err)
	assert.Equal(t, ltp.Sent{GivenUp: "no such endpoint", Gone: true}, sent)
	assert.Equal(t, tally{activities.GivenUp: 1}, counted)
	_, _, left, err = deliveringAfter(t, &known, errors.New("connection refused"), later)
	require.Error(t, err)
	assert.True(t, left.UnknownSince.IsZero(), "it is known")
}

// recorded are the messages of an order, one more each time that they are read.
type recorded struct {
	messages []ltp.Message
	read     int
	err      error
}

var errGone = errors.New("no such order")

func (r *recorded) Messages(context.Context, string, int, int) ([]ltp.Message, int, error) {
	r.read = min(r.read+1, len(r.messages))
	return r.messages[:r.read], r.read, r.err
}

func (*recorded) Gone(err error) bool { return errors.Is(err, errGone) }

// TestReadWaitsForTheEventThatIsAnnounced: it leaves out what no endpoint wants.
func TestReadWaitsForTheEventThatIsAnnounced(t *testing.T) {
	r := &recorded{messages: []ltp.Message{{N: 1, Event: ltp.OrderDeferred}, {N: 2, Event: ltp.OrderConfirmed}}}
	d := &activities.Deliveries{Recorded: r, Endpoints: endpoints{}}
	found, err := d.Read(t.Context(), ltp.AnnouncementsInput{OrderID: "A2", From: 1, To: 2})
	require.NoError(t, err)
	assert.Equal(t, ltp.Announcements{Read: 2, Messages: []ltp.Addressed{{Message: r.messages[1], Endpoints: []string{"shop"}}}}, found)
	r.err = errGone
	found, err = d.Read(t.Context(), ltp.AnnouncementsInput{OrderID: "A2", From: 1, To: 2})
	require.NoError(t, err)
	assert.True(t, found.Gone)
	r.err = errors.New("temporal does not answer")
	_, err = d.Read(t.Context(), ltp.AnnouncementsInput{OrderID: "A2", From: 1, To: 2})
	assert.Error(t, err)
}

// TestReadAwaitsAnEndpointOfTheTenant for ten minutes: the file of this process may be late.
func TestReadAwaitsAnEndpointOfTheTenant(t *testing.T) {
	r := &recorded{messages: []ltp.Message{{N: 1, Event: ltp.OrderConfirmed}}}
	d := &activities.Deliveries{Recorded: r, Endpoints: endpoints{unknown: true}, Log: slog.New(slog.DiscardHandler)}
	in := ltp.AnnouncementsInput{OrderID: "A2", From: 1, To: 1}
	_, err := d.Read(t.Context(), in)
	require.Error(t, err)
	in.Waited = 10 * time.Minute
	found, err := d.Read(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, ltp.Announcements{Read: 1}, found)
}

// caller is Temporal, as an Announcer sees it.
type caller struct {
	err error
	ids []string
}

func (c *caller) SignalWithStartWorkflow(_ context.Context, id, _ string, _ any, _ client.StartWorkflowOptions, _ any, _ ...any) (client.WorkflowRun, error) {
	c.ids = append(c.ids, id)
	return nil, c.err
}

// TestAnnouncementThatCannotBeHandedOverIsRecordedAsMissed: the order goes on.
func TestAnnouncementThatCannotBeHandedOverIsRecordedAsMissed(t *testing.T) {
	missed := 0
	c := &caller{}
	w := &activities.Announcer{Client: c, Missed: func() { missed++ }, Log: slog.New(slog.DiscardHandler)}
	in := ltp.Announcement{OrderID: "acme/A2", N: 1, Event: ltp.OrderConfirmed}
	made, err := w.Announce(t.Context(), in)
	require.NoError(t, err)
	assert.Equal(t, in, made)
	assert.Equal(t, []string{"delivery/acme/A2"}, c.ids)
	c.err = errors.New("temporal does not answer")
	made, err = w.Announce(t.Context(), in)
	require.NoError(t, err)
	assert.True(t, made.Missed)
	assert.Equal(t, 1, missed)
}
