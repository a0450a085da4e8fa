// Package workflows holds the deterministic code: Order, Orientation, Replay, Sequence and
// Delivery, durable state machines whose steps are decided by the pure functions of package ltp.
//
// Orders wait for days across deployments: every recorded history under testdata must
// replay.
package workflows

import (
	"errors"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/internal/marks"
)

// Order takes one order from its acceptance to its end. [ltp.Progress.Next] decides; this
// workflow awaits what happens, asks it, and does what it says.
//
// While the order waits it takes the Update "stability", which releases it and is answered
// by what became of it, and the signal of that name, which does the same without an answer.
//
// It returns an Outcome that is EXECUTED, REJECTED or EXPIRED; a cancelled order ends as a
// cancelled workflow.
func Order(ctx workflow.Context, p ltp.Progress) (ltp.Outcome, error) {
	o := &order{
		Progress:  p,
		cancelled: ctx,
		stability: workflow.GetSignalChannel(ctx, ltp.StabilitySignal),
		turns:     workflow.GetSignalChannel(ctx, ltp.TurnSignal),
		expedites: workflow.GetSignalChannel(ctx, ltp.ExpediteSignal),
		instructs: workflow.GetSignalChannel(ctx, ltp.InstructionSignal),
		passes:    workflow.GetSignalChannel(ctx, ltp.PassSignal),
		log:       workflow.GetLogger(ctx),
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx) // what is under way is finished, and the timer fires, also once it is cancelled
	err := workflow.SetUpdateHandlerWithOptions(ctx, ltp.StabilityUpdate, o.release, workflow.UpdateHandlerOptions{
		Validator:   func(_ workflow.Context, s ltp.Stability) error { return o.mayRelease(s) },
		Description: "releases the order, and is answered by what became of it",
	})
	if err != nil {
		return ltp.Outcome{}, err
	}
	return o.run(ctx)
}

// order is one run of the Order workflow.
type order struct {
	ltp.Progress
	cancelled                              workflow.Context // the workflow's own, for whether it was cancelled
	stability, turns, expedites, instructs workflow.ReceiveChannel
	passes                                 workflow.ReceiveChannel
	log                                    log.Logger

	cancelSeen bool
	released   *ltp.Stability // an Update that was accepted and not looked at
	answer     *ltp.Answer    // to the Update that is being served
	alarm      alarm
}

// alarm is the timer that is under way.
type alarm struct {
	fires  workflow.Future
	at     time.Time
	cancel func()
}

func (o *order) run(ctx workflow.Context) (ltp.Outcome, error) {
	var event ltp.Event
	var err error
	if o.Phase != ltp.PhaseNew { // continued
		event, err = o.wait(ctx, o.WakeAt)
	} else {
		event.Inbox = o.takeInbox()
	}
	for err == nil {
		before := o.Mark
		var commands []ltp.Command
		o.Progress, commands = o.Next(event, o.moment(ctx))
		for _, c := range commands {
			if c.End != nil {
				return o.end(ctx, *c.End)
			}
			if event, err = o.carryOut(ctx, c, before); err != nil {
				break
			}
		}
	}
	return ltp.Outcome{}, err
}

func (o *order) moment(ctx workflow.Context) ltp.Moment {
	info := workflow.GetInfo(ctx)
	return ltp.Moment{At: workflow.Now(ctx), Task: int64(info.GetCurrentHistoryLength()), Begun: info.WorkflowStartTime}
}

// carryOut does what the machine says. What it asks for is answered by the event.
func (o *order) carryOut(ctx workflow.Context, c ltp.Command, before ltp.Mark) (event ltp.Event, err error) {
	var a *activities.Orders
	switch {
	case c.Mark != nil:
		return event, workflow.UpsertTypedSearchAttributes(ctx, marks.Attributes(*c.Mark, before)...)
	case c.Park != nil:
		return event, workflow.UpsertMemo(ctx, map[string]any{ltp.ParkedMemo: *c.Park})
	case c.Answer != nil:
		o.answer = c.Answer
	case c.Announce != nil:
		o.announce(ctx, *c.Announce)
	case c.Wait != nil:
		return o.wait(ctx, c.Wait.At)
	case c.Route != nil:
		var r ltp.Routing
		if err := o.ask(ctx, routeSummary(*c.Route), a.CheckOrientation, *c.Route, &r); err != nil {
			r = c.Route.NotRouted()
		}
		event.Routed = &r
	case c.Execute != nil:
		var x ltp.Attempt
		if err := o.ask(ctx, executeSummary(*c.Execute), a.Execute, *c.Execute, &x); err != nil {
			x = ltp.NoAnswer()
		}
		event.Executed = &x
	case c.ExecuteExternal != nil:
		x := o.executeExternal(ctx, *c.ExecuteExternal)
		event.Executed = &x
	case c.Withdraw != nil:
		var w ltp.Withdrawal
		if err := o.ask(ctx, withdrawSummary(*c.Withdraw), a.Withdraw, *c.Withdraw, &w); err != nil {
			w = ltp.NotWithdrawn()
		}
		event.Withdrawn = &w
	case c.Join != nil:
		var q *activities.Sequences
		sequence := c.Join.Sequence
		if err := o.ask(ctx, "stands in line?", q.Join, *c.Join, &sequence); err != nil {
			o.log.Warn("order may not stand in line, its backstop looks again", "order", o.Order.ID, "key", o.Order.OrderingKey, "error", err)
		}
		event.Joined = &sequence
	}
	return event, nil
}

// ask runs a local activity: one event, in the workflow task that is under way.
func (o *order) ask(ctx workflow.Context, summary string, what any, in, answer any) error {
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: ltp.AttemptTimeout, StartToCloseTimeout: ltp.AttemptTimeout, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	err := workflow.ExecuteLocalActivity(ctx, what, in).Get(ctx, answer)
	if err != nil {
		o.log.Warn("a local activity gave no answer", "order", o.Order.ID, "what", summary, "error", err)
	}
	return err
}

// wait sets the timer and returns when something has come. A run that has become long
// continues as new before it waits; what arrives at that moment fails the workflow task,
// and the next one begins here with it.
func (o *order) wait(ctx workflow.Context, at time.Time) (ltp.Event, error) {
	o.setAlarm(ctx, at)
	for {
		if in := o.takeInbox(); !in.Empty() {
			return ltp.Event{Inbox: in}, nil
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() && o.Continues() {
			if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
				return ltp.Event{}, err
			}
			if in := o.takeInbox(); !in.Empty() {
				return ltp.Event{Inbox: in}, nil
			}
			return ltp.Event{}, workflow.NewContinueAsNewError(o.cancelled, Order, o.Continued())
		}
		if err := workflow.Await(ctx, o.hasInput); err != nil {
			return ltp.Event{}, err
		}
	}
}

func (o *order) hasInput() bool {
	return o.cancelled.Err() != nil && !o.cancelSeen || o.released != nil || o.alarm.fires != nil && o.alarm.fires.IsReady() ||
		o.turns.Len()+o.expedites.Len()+o.stability.Len()+o.instructs.Len()+o.passes.Len() > 0
}

// takeInbox is all that has come since the order last looked.
func (o *order) takeInbox() (in ltp.Inbox) {
	if o.cancelled.Err() != nil && !o.cancelSeen {
		in.Cancelled, o.cancelSeen = true, true
	}
	for {
		var t ltp.Turn
		if !o.turns.ReceiveAsync(&t) {
			break
		}
		in.Turn = &t
	}
	for o.expedites.ReceiveAsync(nil) {
		in.Expedited = true
	}
	for {
		var s ltp.Stability
		if !o.stability.ReceiveAsync(&s) {
			break
		}
		in.Signals = append(in.Signals, s)
	}
	for {
		var i ltp.Instruction
		if !o.instructs.ReceiveAsync(&i) {
			break
		}
		in.Instruction = &i
	}
	for {
		var p ltp.Pass
		if !o.passes.ReceiveAsync(&p) {
			break
		}
		in.Pass = &p
	}
	in.Release, o.released = o.released, nil
	if o.alarm.fires != nil && o.alarm.fires.IsReady() {
		in.Alarm, o.alarm = true, alarm{}
	}
	return in
}

// setAlarm makes sure that the timer fires at a time; at zero there is to be none. None is
// ever cancelled for an order that ends: it would be an event.
func (o *order) setAlarm(ctx workflow.Context, at time.Time) {
	if o.alarm.fires != nil {
		if o.alarm.at.Equal(at) {
			return
		}
		o.alarm.cancel()
		o.alarm = alarm{}
	}
	if at.IsZero() {
		return
	}
	timing, cancel := workflow.WithCancel(ctx)
	d := max(at.Sub(workflow.Now(ctx)), time.Millisecond)
	o.alarm = alarm{
		fires: workflow.NewTimerWithOptions(timing, d, workflow.TimerOptions{Summary: timerSummary(o.Progress, at)}),
		at:    at, cancel: cancel,
	}
}

// mayRelease refuses an Update that the order has no use for: nothing of it is recorded.
func (o *order) mayRelease(s ltp.Stability) error {
	if o.released != nil {
		return errors.New("the order is being released")
	}
	return o.Takes(s)
}

// release serves the Update "stability".
func (o *order) release(ctx workflow.Context, s ltp.Stability) (ltp.Answer, error) {
	o.released, o.answer = &s, nil
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	if err := workflow.Await(ctx, func() bool { return o.answer != nil }); err != nil {
		return ltp.Answer{}, err
	}
	return *o.answer, nil
}

// announce records what the order's webhooks are to receive, and hands it to the Delivery.
// Whatever comes of that, the order goes on.
func (o *order) announce(ctx workflow.Context, a ltp.Announcement) {
	var w *activities.Announcer
	_ = o.ask(ctx, "send to webhooks: "+string(a.Event), w.Announce, a, nil)
}

// end closes the order. Only ends that Temporal does not tell apart by itself are marked.
func (o *order) end(ctx workflow.Context, e ltp.End) (ltp.Outcome, error) {
	if e.ReleaseTurn {
		var q *activities.Sequences
		in := ltp.JoinInput{Key: o.Order.OrderingKey, OrderID: o.Order.ID, Sequence: o.Sequence}
		_ = o.ask(ctx, "gives its turn back", q.ReleaseTurn, in, nil) // a hint: the sequence finds out by itself
	}
	if e.Announce != nil {
		o.announce(ctx, *e.Announce)
	}
	switch e.Outcome.State {
	case ltp.Rejected, ltp.Expired:
		if err := workflow.UpsertTypedSearchAttributes(ctx, marks.Ended(e.Outcome.State)); err != nil {
			return ltp.Outcome{}, err
		}
	}
	if err := workflow.Await(ctx, func() bool { return workflow.AllHandlersFinished(ctx) }); err != nil {
		return ltp.Outcome{}, err
	}
	if e.Outcome.State == ltp.Cancelled {
		return ltp.Outcome{}, temporal.NewCanceledError()
	}
	return e.Outcome, nil
}
