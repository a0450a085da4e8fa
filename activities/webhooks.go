package activities

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
)

// Caller is what an Announcer needs of a client.Client.
type Caller interface {
	SignalWithStartWorkflow(ctx context.Context, workflowID, signalName string, signalArg any,
		options client.StartWorkflowOptions, workflow any, args ...any) (client.WorkflowRun, error)
}

// Announcer hands what orders announce to their Deliveries.
type Announcer struct {
	Client Caller
	Missed func() // called for an announcement that no Delivery has; may be nil
	Log    *slog.Logger
}

// announceWithin bounds how long an order waits for the Delivery of its webhooks to be
// called: less than an activity of an order may take.
const announceWithin = ltp.AttemptTimeout / 2

// Announce calls the Delivery of the order's webhooks, and returns what is recorded in the
// order's history. It runs as a local activity and may be repeated: a Delivery that is called
// reads what is recorded, so that what a lost task wanted to announce is not sent. It never
// fails: where Temporal does not take the call, the announcement is recorded as missed.
func (w *Announcer) Announce(ctx context.Context, a ltp.Announcement) (ltp.Announcement, error) {
	within, cancel := context.WithTimeout(ctx, announceWithin)
	defer cancel()
	if err := CallDelivery(within, w.Client, a.OrderID, ltp.AnnouncedSignal, a.N); err != nil {
		a.Missed = true
		w.Log.Warn("the webhooks of an order were not called: ltp webhooks redeliver does that", "order", a.OrderID, "event", a.Event, "error", err)
		if w.Missed != nil {
			w.Missed()
		}
	}
	return a, nil
}

// CallDelivery sends a signal to the Delivery of an order, which is started where it does not
// run.
func CallDelivery(ctx context.Context, c Caller, orderID, signal string, arg any) error {
	options := client.StartWorkflowOptions{
		ID: ltp.DeliveryWorkflowID(orderID), TaskQueue: ltp.WebhookQueue,
		StaticSummary: "webhooks of order " + orderID,
	}
	_, err := c.SignalWithStartWorkflow(ctx, options.ID, signal, arg, options, ltp.DeliveryWorkflow, ltp.DeliveryInput{OrderID: orderID})
	return err
}

// Endpoints are the endpoints of tenants as they are now: see webhook.Webhooks.
type Endpoints interface {
	// Has reports whether any endpoint of a tenant is known.
	Has(tenant string) bool
	// For are the names of a tenant's endpoints that want an event, in the order of the file.
	For(tenant string, e ltp.WebhookEvent) []string
	// Send makes one attempt to send a message. Where it was not delivered, the error is a
	// *SendError or of the network.
	Send(ctx context.Context, tenant, endpoint string, m ltp.Message) (status int, err error)
}

// SendError is an attempt that did not deliver a message.
type SendError struct {
	Status int // of the answer; 0 where there was none
	Why    string
	// RetryAfter is for how long the endpoint asks to be left alone.
	RetryAfter time.Duration
	// Gone says that the endpoint wants no more messages of this order.
	Gone bool
	// Unknown says that the tenant has no such endpoint, as far as this process knows.
	Unknown bool
	// Busy says that nothing was sent, since enough is under way to that endpoint.
	Busy bool
}

func (e *SendError) Error() string { return e.Why }

// Recorded reads what orders have announced.
type Recorded interface {
	// Messages are the messages of an order's announcements, as they stand in its history:
	// those of the numbers from to to, and those directly before them that were missed. They
	// have come in the order of their numbers. read is the number of the last that is
	// recorded. It returns an error that Gone recognises where there is no such order.
	Messages(ctx context.Context, orderID string, from, to int) (all []ltp.Message, read int, err error)
	Gone(error) bool
}

// WebhookMeter counts attempts to deliver.
type WebhookMeter interface {
	// Sent is called with how an attempt ended: delivered, failed or given_up.
	Sent(result string)
}

// The results of an attempt to deliver.
const (
	Delivered = "delivered"
	Failed    = "failed" // it is tried again
	GivenUp   = "given_up"
	Missed    = "missed" // no Delivery was called
)

// Deliveries are the activities of Delivery workflows.
type Deliveries struct {
	Recorded  Recorded
	Endpoints Endpoints
	Meter     WebhookMeter
	Log       *slog.Logger
}

// recordWithin is for how long Read waits for an announcement to be recorded: the Delivery is
// called in the very workflow task that records it.
const recordWithin = 4 * time.Second

// Read reads what an order has announced, as soon as the last that is asked for is recorded,
// or as far as it is after some seconds. It runs as a local activity. It returns an error
// where no endpoint of the tenant is known, until that was so for UnknownFor: the file of
// this process may be late.
func (d *Deliveries) Read(ctx context.Context, in ltp.AnnouncementsInput) (ltp.Announcements, error) {
	const first, most = 10 * time.Millisecond, 500 * time.Millisecond
	patience := time.NewTimer(recordWithin)
	defer patience.Stop()
	for pause := first; ; pause = min(2*pause, most) {
		all, read, err := d.Recorded.Messages(ctx, in.OrderID, in.From, in.To)
		switch {
		case err != nil && d.Recorded.Gone(err):
			return ltp.Announcements{Gone: true}, nil
		case err != nil:
			return ltp.Announcements{}, err
		case read >= in.To:
			return d.addressed(in, all, read)
		}
		select {
		case <-ctx.Done():
			return ltp.Announcements{}, ctx.Err()
		case <-patience.C:
			return d.addressed(in, all, read)
		case <-time.After(pause):
		}
	}
}

func (d *Deliveries) addressed(in ltp.AnnouncementsInput, all []ltp.Message, read int) (ltp.Announcements, error) {
	tenant, _ := ltp.SplitID(in.OrderID)
	out := ltp.Announcements{Read: read}
	if len(all) > 0 && !d.Endpoints.Has(tenant) {
		if in.Waited < ltp.UnknownFor {
			return out, errors.New("no endpoint of the tenant is known")
		}
		d.Log.Warn("no endpoint of the tenant is known: what the order has announced is sent to nobody", "order", in.OrderID)
	}
	for _, m := range all {
		if to := d.Endpoints.For(tenant, m.Event); len(to) > 0 {
			out.Messages = append(out.Messages, ltp.Addressed{Message: m, Endpoints: to})
		}
	}
	return out, nil
}

// GiveUp counts announcements that no Delivery can send, since they cannot be read. It runs as
// a local activity.
func (d *Deliveries) GiveUp(_ context.Context, in ltp.GiveUpInput) error {
	d.Log.Warn("the webhooks of an order were given up", "order", in.OrderID, "from", in.From, "to", in.To, "why", in.Why)
	for range in.To - in.From + 1 {
		d.count(GivenUp)
	}
	return nil
}

// unsent are the attempts to deliver a message that did not come to send it. Each hands them
// to the next as details of its heartbeat.
type unsent struct {
	Attempts int `json:"attempts"`
	// UnknownSince is since when the endpoint has been unknown; zero is that it is not.
	UnknownSince time.Time `json:"unknown_since,omitzero"`
}

// unsentBefore are those before this attempt; none where that cannot be read.
func unsentBefore(ctx context.Context) (u unsent) {
	if activity.HasHeartbeatDetails(ctx) {
		if err := activity.GetHeartbeatDetails(ctx, &u); err != nil {
			return unsent{}
		}
	}
	return u
}

// afterFailure are those after an attempt that failed at a time.
func (u unsent) afterFailure(failed *SendError, now time.Time) unsent {
	if failed.Busy || failed.Unknown {
		u.Attempts++
	}
	switch {
	case !failed.Unknown:
		u.UnknownSince = time.Time{}
	case u.UnknownSince.IsZero():
		u.UnknownSince = now
	}
	return u
}

// unknownTooLong reports whether the endpoint has been unknown for so long that it is not there.
func (u unsent) unknownTooLong(now time.Time) bool {
	return !u.UnknownSince.IsZero() && now.Sub(u.UnknownSince) >= ltp.UnknownFor
}

// Deliver makes one attempt to send a message. An error has Temporal make another one, after
// the wait that it names.
func (d *Deliveries) Deliver(ctx context.Context, in ltp.SendInput) (ltp.Sent, error) {
	tenant, _ := ltp.SplitID(in.OrderID)
	status, err := d.Endpoints.Send(ctx, tenant, in.Endpoint, in.Message)
	if err == nil {
		d.count(Delivered)
		return ltp.Sent{Status: status}, nil
	}
	failed := &SendError{Why: err.Error()}
	errors.As(err, &failed)
	now := time.Now()
	before := unsentBefore(ctx)
	none := before.afterFailure(failed, now)
	attempts := max(1, int(activity.GetInfo(ctx).Attempt)-none.Attempts) // of those that sent it
	gone := failed.Gone || none.unknownTooLong(now)
	wait, ok := nextAttempt(failed, attempts, none.Attempts, in.Until.Sub(now))
	if gone || !ok {
		d.count(GivenUp)
		d.Log.Warn("a webhook was given up", "order", in.OrderID, "event", in.Message.Event, "endpoint", in.Endpoint, "attempts", attempts, "error", err)
		return ltp.Sent{Status: failed.Status, GivenUp: failed.Why, Gone: gone}, nil
	}
	if none != before {
		activity.RecordHeartbeat(ctx, none)
	}
	if none.Attempts == before.Attempts {
		d.count(Failed)
	}
	return ltp.Sent{}, temporal.NewApplicationErrorWithOptions(fmt.Sprintf("%s was not delivered: %s", in.Message.Event, failed.Why), "NotDelivered",
		temporal.ApplicationErrorOptions{NextRetryDelay: wait})
}

// nextAttempt is the wait before the next attempt, after so many that failed and so many that
// did not come to send. ok is false where that is later than what is left. What an endpoint
// asks for ends with what is left, so that there is one more attempt at its end.
func nextAttempt(failed *SendError, attempts, unsent int, left time.Duration) (wait time.Duration, ok bool) {
	if failed.Busy || failed.Unknown {
		wait = ltp.RetryUnsent(unsent, rand.Float64())
	} else {
		wait = ltp.RetryDelivery(attempts, min(failed.RetryAfter, left), rand.Float64())
	}
	return wait, wait <= left
}

func (d *Deliveries) count(result string) {
	if d.Meter != nil {
		d.Meter.Sent(result)
	}
}
