package workflows

import (
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// Bounds of delivering.
const (
	// recordedPause is the time between two looks for an announcement that is not recorded
	// yet, and recordedLooks how often that is: longer than a workflow task can take. What is
	// not there by then was of a task that was lost, and the task after it calls again.
	recordedPause, recordedLooks = 5 * time.Second, 12
	// The history of the order cannot be read; it is tried again soon, for ltp.DeliverFor.
	firstReadRetry, lastReadRetry = time.Second, 5 * time.Minute
	// sendTimeout is for one attempt, and what a worker needs besides.
	sendTimeout = 30 * time.Second
	// unattended is for how long, after a message is to be given up, a worker may still come
	// and do so.
	unattended = time.Hour
)

// Delivery sends what an order has announced to the webhooks of its tenant. It is called by
// the order at each announcement, reads it in the order's history, and sends the messages
// that make it up to each endpoint: one after the other, the next when the one before was
// delivered or given up. Endpoints do not wait for each other. It ends when nothing is left
// to send, and is begun again by the next call.
//
// It ends as a failed workflow, with an application error of the type ltp.Undelivered, where
// a message was given up or could not be read. Where it is cancelled, the error has the
// report, too.
func Delivery(ctx workflow.Context, in ltp.DeliveryInput) (ltp.DeliveryReport, error) {
	d := &delivery{
		DeliveryInput: in,
		announced:     workflow.GetSignalChannel(ctx, ltp.AnnouncedSignal),
		redeliveries:  workflow.GetSignalChannel(ctx, ltp.RedeliverSignal),
		lanes:         map[string]*lane{},
		log:           workflow.GetLogger(ctx),
	}
	if err := d.run(ctx); err != nil {
		if err = d.interrupted(ctx, err); temporal.IsCanceledError(err) {
			d.reportUnread(max(d.first, d.read+1), d.called, cancelled)
			err = temporal.NewCanceledError(d.report)
		}
		return d.report, err
	}
	if len(d.report.GivenUp) > 0 {
		return d.report, temporal.NewNonRetryableApplicationError(
			fmt.Sprintf("%d of the order's messages were not delivered", len(d.report.GivenUp)), ltp.Undelivered, nil, d.report)
	}
	return d.report, nil
}

// delivery is one run of the Delivery workflow.
type delivery struct {
	ltp.DeliveryInput
	announced, redeliveries workflow.ReceiveChannel
	log                     log.Logger

	first, called int // the lowest and the highest number that was called; 0 is none
	read          int // the highest number that was read
	again         []ltp.Redelivery
	looks, fails  int // for what is not recorded yet; reads that failed in a row

	lanes  map[string]*lane
	busy   int // the lanes that have something to send
	report ltp.DeliveryReport
}

// lane are the messages of one endpoint.
type lane struct {
	endpoint string
	queue    []ltp.Message
	gone     bool   // the endpoint wants no more
	hurry    bool   // what waits for its next attempt is to be sent at once
	cancel   func() // the attempts that are under way
}

func (d *delivery) run(ctx workflow.Context) error {
	for {
		d.receive()
		switch {
		case len(d.again) > 0:
			again := d.again[0]
			d.again = d.again[1:]
			if err := d.redeliver(ctx, again); err != nil {
				return err
			}
		case d.called > d.read:
			if err := d.readAnnounced(ctx); err != nil {
				return err
			}
		case d.busy == 0: // nothing is unread; what comes now fails this very task
			return nil
		default:
			if err := workflow.Await(ctx, func() bool { return d.hasSignals() || d.busy == 0 }); err != nil {
				return err
			}
		}
	}
}

// interrupted lets the lanes of a workflow that was cancelled report what they leave.
func (d *delivery) interrupted(ctx workflow.Context, err error) error {
	patient, _ := workflow.NewDisconnectedContext(ctx)
	if wait := workflow.Await(patient, func() bool { return d.busy == 0 }); wait != nil {
		return wait
	}
	return err
}

func (d *delivery) hasSignals() bool { return d.announced.Len()+d.redeliveries.Len() > 0 }

// receive takes in all signals that have come.
func (d *delivery) receive() {
	for {
		var n int
		if !d.announced.ReceiveAsync(&n) {
			break
		}
		if n > d.read && n >= d.called { // a task that comes later calls the same number again
			d.called, d.looks = n, 0
		}
		if d.first == 0 || n < d.first {
			d.first = n
		}
	}
	for {
		var again ltp.Redelivery
		if !d.redeliveries.ReceiveAsync(&again) {
			return
		}
		d.again = append(d.again, again)
	}
}

// readAnnounced has the messages sent that were called and not read so far.
func (d *delivery) readAnnounced(ctx workflow.Context) error {
	from, to := max(d.first, d.read+1), d.called
	found, err := d.readAnnouncements(ctx, ltp.AnnouncementsInput{OrderID: d.OrderID, From: from, To: to})
	switch {
	case errors.Is(err, errUnread):
		d.giveUp(ctx, from, to, err.Error())
		return nil
	case err != nil:
		return err
	case found.Gone:
		d.giveUp(ctx, from, to, "Temporal has no such order, or not any more")
		return nil
	}
	for _, m := range found.Messages {
		for _, endpoint := range m.Endpoints {
			if !d.has(itemOf(endpoint, m.Message)) { // a redelivery may have come first
				d.enqueue(ctx, endpoint, m.Message)
			}
		}
	}
	d.read = max(d.read, found.Read)
	if d.called <= d.read {
		return nil
	}
	if d.looks++; d.looks >= recordedLooks {
		d.called = d.read // it was of a task that was lost
		return nil
	}
	_, err = workflow.AwaitWithTimeout(ctx, recordedPause, d.hasSignals)
	return err
}

// reportUnread has the report say that announcements were not read.
func (d *delivery) reportUnread(from, to int, why string) {
	for n := from; n <= to; n++ {
		d.report.GivenUp = append(d.report.GivenUp, ltp.DeliveryItem{N: n, Why: why})
	}
}

// giveUp gives up what was called and cannot be read: nobody knows whom it is for.
func (d *delivery) giveUp(ctx workflow.Context, from, to int, why string) {
	d.reportUnread(from, to, why)
	d.read = max(d.read, to)
	counting := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: ltp.AttemptTimeout, StartToCloseTimeout: ltp.AttemptTimeout, Summary: "given up",
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var a *activities.Deliveries
	in := ltp.GiveUpInput{OrderID: d.OrderID, From: from, To: to, Why: why}
	if err := workflow.ExecuteLocalActivity(counting, a.GiveUp, in).Get(ctx, nil); err != nil {
		d.log.Warn("webhooks that were given up are not counted", "order", d.OrderID, "error", err)
	}
}

// redeliver has messages sent again. What waits for its next attempt is sent now.
func (d *delivery) redeliver(ctx workflow.Context, again ltp.Redelivery) error {
	found, err := d.readAnnouncements(ctx, ltp.AnnouncementsInput{OrderID: d.OrderID, From: 1})
	switch {
	case errors.Is(err, errUnread):
		d.giveUp(ctx, 0, 0, err.Error())
	case err != nil:
		return err
	case found.Gone:
		d.log.Warn("Temporal has no such order, or not any more: its messages are not sent", "order", d.OrderID)
	}
	for _, m := range found.Messages {
		for _, endpoint := range m.Endpoints {
			if again.Asks(itemOf(endpoint, m.Message), d.report.Delivered) {
				d.resend(ctx, endpoint, m.Message)
			}
		}
	}
	for _, endpoint := range sortedNames(d.lanes) {
		if l := d.lanes[endpoint]; l.cancel != nil {
			l.hurry = true
			l.cancel()
		}
	}
	return nil
}

// sortedNames are the names of the lanes, the same way at every replay of the history.
func sortedNames(lanes map[string]*lane) []string {
	names := make([]string, 0, len(lanes))
	//workflowcheck:ignore
	for name := range lanes { // they are sorted
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func itemOf(endpoint string, m ltp.Message) ltp.DeliveryItem {
	return ltp.DeliveryItem{Endpoint: endpoint, N: m.N, Event: m.Event}
}

// errUnread: the order's history could not be read for as long as messages are tried to be
// delivered.
var errUnread = errors.New("what the order has announced could not be read")

// readAnnouncements reads what the order has announced. It returns errUnread where it cannot.
func (d *delivery) readAnnouncements(ctx workflow.Context, in ltp.AnnouncementsInput) (found ltp.Announcements, err error) {
	asking := workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: ltp.AttemptTimeout, StartToCloseTimeout: ltp.AttemptTimeout, Summary: "what was announced?",
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var a *activities.Deliveries
	began := workflow.Now(ctx)
	for d.fails = 0; ; d.fails++ {
		in.Waited = workflow.Now(ctx).Sub(began)
		if err := workflow.ExecuteLocalActivity(asking, a.Read, in).Get(ctx, &found); err == nil || ctx.Err() != nil {
			return found, err
		}
		if in.Waited >= ltp.DeliverFor {
			return found, errUnread
		}
		if err := workflow.Sleep(ctx, ltp.Doubled(firstReadRetry, lastReadRetry, d.fails)); err != nil {
			return found, err
		}
	}
}

// enqueue has a message sent to an endpoint, behind those that came before.
func (d *delivery) enqueue(ctx workflow.Context, endpoint string, m ltp.Message) {
	l := d.lanes[endpoint]
	if l == nil {
		l = &lane{endpoint: endpoint}
		d.lanes[endpoint] = l
	}
	if l.queue = append(l.queue, m); len(l.queue) > 1 {
		return
	}
	d.busy++
	workflow.Go(ctx, func(ctx workflow.Context) {
		for len(l.queue) > 0 {
			d.send(ctx, l, l.queue[0])
			l.queue = l.queue[1:]
		}
		d.busy--
	})
}

// has reports whether a message was dealt with, or is about to be.
func (d *delivery) has(item ltp.DeliveryItem) bool {
	if l := d.lanes[item.Endpoint]; l != nil && l.has(item.N) {
		return true
	}
	return slices.ContainsFunc(d.report.Delivered, item.Same) || slices.ContainsFunc(d.report.GivenUp, item.Same)
}

func (l *lane) has(n int) bool {
	return slices.ContainsFunc(l.queue, func(m ltp.Message) bool { return m.N == n })
}

// resend has a message sent again, unless it is about to be sent in any case.
func (d *delivery) resend(ctx workflow.Context, endpoint string, m ltp.Message) {
	if l := d.lanes[endpoint]; l != nil {
		l.gone = false
		if l.has(m.N) {
			return
		}
	}
	item := itemOf(endpoint, m)
	d.report.Delivered = slices.DeleteFunc(d.report.Delivered, item.Same)
	d.report.GivenUp = slices.DeleteFunc(d.report.GivenUp, item.Supersedes)
	d.enqueue(ctx, endpoint, m)
}

// send sends a message until it is delivered or given up.
func (d *delivery) send(ctx workflow.Context, l *lane, m ltp.Message) {
	item := itemOf(l.endpoint, m)
	if l.gone {
		item.Why = "the endpoint wanted no more messages of this order"
		d.report.GivenUp = append(d.report.GivenUp, item)
		return
	}
	for {
		l.hurry = false
		sent, err := d.attempts(ctx, l, m)
		switch {
		case err != nil && l.hurry && ctx.Err() == nil:
			continue
		case err != nil:
			item.Why = sendFailure(err)
		default:
			item.Why, l.gone = sent.GivenUp, sent.Gone
		}
		break
	}
	if item.Why == "" {
		d.report.Delivered = append(d.report.Delivered, item)
		return
	}
	d.log.Warn("a webhook was given up", "order", d.OrderID, "event", m.Event, "endpoint", l.endpoint, "why", item.Why)
	d.report.GivenUp = append(d.report.GivenUp, item)
}

// attempts has Temporal try to send a message until it is delivered, given up, or to be
// hurried.
func (d *delivery) attempts(ctx workflow.Context, l *lane, m ltp.Message) (sent ltp.Sent, err error) {
	until := workflow.Now(ctx).Add(ltp.DeliverFor)
	sending, cancel := workflow.WithCancel(workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		ActivityID:             ltp.AttemptID(l.endpoint, m),
		ScheduleToCloseTimeout: ltp.DeliverFor + unattended, StartToCloseTimeout: sendTimeout,
		// One that is under way is never left behind: it would come after the next.
		WaitForCancellation: true,
		Summary:             fmt.Sprintf("%s to %s", m.Event, l.endpoint),
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, BackoffCoefficient: 2, MaximumInterval: 10 * time.Minute},
	}))
	l.cancel = cancel
	var a *activities.Deliveries
	in := ltp.SendInput{OrderID: d.OrderID, Endpoint: l.endpoint, Message: m, Until: until}
	err = workflow.ExecuteActivity(sending, a.Deliver, in).Get(sending, &sent)
	l.cancel = nil
	return sent, err
}

// cancelled is why a Delivery that somebody cancelled has left messages.
const cancelled = "the Delivery was cancelled"

// sendFailure is why attempts that Temporal has ended failed.
func sendFailure(err error) string {
	var own *temporal.ApplicationError
	var late *temporal.TimeoutError
	switch {
	case temporal.IsCanceledError(err):
		return cancelled
	case errors.As(err, &late) && late.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START:
		return "no worker with --webhooks came"
	case errors.As(err, &own):
		return own.Message()
	}
	return err.Error()
}
