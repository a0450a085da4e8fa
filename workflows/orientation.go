package workflows

import (
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// Bounds of observing. A board trusts an observer for longer than the heartbeat
// timeout and the policy's grace together.
const (
	// HeartbeatTimeout is how soon a dead observer is noticed.
	HeartbeatTimeout = 10 * time.Second
	// ObserveFor bounds one Observe activity; it is then scheduled again.
	ObserveFor = 24 * time.Hour
	// Observers that fail at once are tried again after a growing pause.
	firstObservePause, maxObservePause = time.Second, 30 * time.Second
)

// Orientation owns the state of one component for as long as the component exists.
// It keeps exactly one Observe activity running, applies the state machine to what
// observers and operators say, publishes every new orientation in its memo, and
// starts a Replay whenever the component becomes fit for orders that wait.
//
// It ends only when it is cancelled or terminated.
func Orientation(ctx workflow.Context, in ltp.OrientationInput) error {
	run := &orientation{
		in:            in,
		replayControl: in.ReplayControl,
		applied:       in.Applied,
		log:           workflow.GetLogger(ctx),
	}
	run.signals = []signal{
		signals(ctx, ltp.ObservationSignal, run.observed),
		signals(ctx, ltp.DrainedSignal, func(ctx workflow.Context, epoch int64) error {
			_, err := run.apply(ctx, ltp.Input{Drained: epoch})
			return err
		}),
		signals(ctx, ltp.FailingSignal, func(ctx workflow.Context, w ltp.FailedWrites) error {
			return run.reported(ctx, w.Component, w.Worker, ltp.Input{Failing: &w})
		}),
		signals(ctx, ltp.BacklogSignal, func(ctx workflow.Context, b ltp.Backlog) error {
			return run.reported(ctx, b.Component, b.Worker, ltp.Input{Backlog: &b})
		}),
	}
	if err := run.setUp(ctx); err != nil {
		return err
	}
	return run.run(ctx)
}

// orientation is one run of the Orientation workflow.
type orientation struct {
	in            ltp.OrientationInput
	condition     ltp.Condition
	replayControl ltp.ReplayControl
	applied       []string // see ltp.OrientationInput
	log           log.Logger

	// signals are what others say, in the order in which it is taken in.
	signals []signal
	// poked wakes the main loop after an operator's update.
	poked workflow.Channel

	// term is the number of the latest Observe activity.
	term         int64
	observing    workflow.Future
	observingEnd func()
	scheduledAt  time.Time
	failures     int // how often in a row observing failed at once
	again        workflow.Future

	dwell, held due // the ends of the dwell and of the next hold
}

// signal is one kind of signal.
type signal struct {
	from workflow.ReceiveChannel
	// take takes in the next one, and reports whether there was any.
	take func(workflow.Context) (some bool, err error)
}

func signals[T any](ctx workflow.Context, name string, apply func(workflow.Context, T) error) signal {
	from := workflow.GetSignalChannel(ctx, name)
	return signal{from, func(ctx workflow.Context) (bool, error) {
		var said T
		if !from.ReceiveAsync(&said) {
			return false, nil
		}
		return true, apply(ctx, said)
	}}
}

// due is a moment at which time alone may change the orientation, and its timer.
type due struct {
	timer workflow.Future
	at    time.Time
	stop  func()
}

func (o *orientation) setUp(ctx workflow.Context) error {
	// Terms grow by one, and begin at the time: so those of an earlier workflow of this
	// component, whose observers may still be around, are all smaller.
	if o.term = o.in.Term; o.term == 0 {
		o.term = workflow.Now(ctx).Unix()
	}
	if o.in.Continued != nil {
		o.condition = *o.in.Continued
	} else if err := o.begin(ctx); err != nil {
		return err
	}
	o.poked = workflow.NewBufferedChannel(ctx, 1)
	return o.listen(ctx)
}

// begin publishes what is known of a component at first: nothing, unless the workflow
// before this one ended while the component was held.
func (o *orientation) begin(ctx workflow.Context) error {
	if o.in.Epoch == 0 {
		o.in.Epoch = workflow.Now(ctx).Unix()
	}
	now := workflow.Now(ctx)
	o.condition = ltp.NewCondition(o.in.Component, o.in.Epoch, now)
	if err := workflow.UpsertMemo(ctx, map[string]any{
		ltp.OrientationMemo: o.condition.Orientation, ltp.PolicyMemo: o.in.Policy,
	}); err != nil {
		return err
	}
	for _, h := range o.in.Held.Holds() {
		if h.Validate(nil, now) == nil {
			o.condition, _ = o.condition.Next(ltp.Input{Held: &h}, o.in.Policy, now)
		}
	}
	if o.in.Held = nil; o.condition.Orientation.Hold == nil {
		return nil
	}
	return o.publish(ctx)
}

// listen takes the Updates of operators.
func (o *orientation) listen(ctx workflow.Context) error {
	now := func() ltp.Orientation { return o.condition.Orientation }
	if err := handle(ctx, o, ltp.HoldUpdate, func(ctx workflow.Context, h ltp.Hold) (ltp.Orientation, error) {
		return o.apply(ctx, ltp.Input{Held: &h})
	}, func(h ltp.Hold) error { return h.Validate(o.condition.Orientation.Hold, workflow.Now(ctx)) }, now); err != nil {
		return err
	}
	if err := handle(ctx, o, ltp.ReleaseUpdate, func(ctx workflow.Context, r ltp.Release) (ltp.Orientation, error) {
		return o.apply(ctx, ltp.Input{Released: &r})
	}, o.mayRelease, now); err != nil {
		return err
	}
	if err := handle(ctx, o, ltp.PolicyUpdate, o.setPolicy, func(w ltp.PolicyChange) error { return w.Validate(o.in.Policy) },
		func() ltp.Policy { return o.in.Policy }); err != nil {
		return err
	}
	return handle(ctx, o, ltp.ReplayControlUpdate, o.controlReplay, func(w ltp.ReplayControlChange) error { return w.Validate(o.replayControl) },
		func() ltp.ReplayControl { return o.replayControl })
}

// setPolicy changes the policy from now on: a dwell under way lasts as the new one says.
func (o *orientation) setPolicy(ctx workflow.Context, w ltp.PolicyChange) (ltp.Policy, error) {
	before := o.in.Policy
	o.in.Policy = before.Next(w)
	o.poked.SendAsync(true) // the main loop may have a timer to set anew
	o.log.Info("policy changed", "component", o.in.Component, "by", w.By, "why", w.Why, "what", before.Difference(o.in.Policy))
	return o.in.Policy, workflow.UpsertMemo(ctx, map[string]any{ltp.PolicyMemo: o.in.Policy})
}

// controlReplay keeps an operator's word on the replays in the memo, where boards and the
// replay engine read it. It is no orientation: neither state nor epoch change.
func (o *orientation) controlReplay(ctx workflow.Context, w ltp.ReplayControlChange) (ltp.ReplayControl, error) {
	o.replayControl = o.replayControl.Next(w, workflow.Now(ctx))
	o.poked.SendAsync(true) // the main loop may have to continue as new
	o.log.Info("replay control changed", "component", o.in.Component, "by", w.By, "what", w.String(), "why", w.Why)
	return o.replayControl, workflow.UpsertMemo(ctx, map[string]any{ltp.ReplayControlMemo: o.replayControl})
}

func (o *orientation) mayRelease(r ltp.Release) error {
	if err := r.Validate(o.condition.Orientation.Hold); err != nil {
		return fmt.Errorf("%s: %v", o.in.Component, err) // flat, as the operator reads it
	}
	return nil
}

func (o *orientation) run(ctx workflow.Context) error {
	for ctx.Err() == nil {
		if o.observing == nil && o.again == nil {
			o.observe(ctx)
		}
		o.setTimers(ctx)
		if err := o.next(ctx); err != nil {
			return err
		}
		if workflow.GetInfo(ctx).GetContinueAsNewSuggested() {
			if err := o.continueAsNew(ctx); err != nil {
				return err
			}
		}
	}
	return ctx.Err()
}

// next waits for one thing to happen and applies it.
func (o *orientation) next(ctx workflow.Context) error {
	var failed error
	selector := workflow.NewSelector(ctx)
	for _, one := range o.signals {
		selector.AddReceive(one.from, func(workflow.ReceiveChannel, bool) { _, failed = one.take(ctx) })
	}
	selector.AddReceive(o.poked, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	if o.observing != nil {
		selector.AddFuture(o.observing, func(f workflow.Future) { failed = o.observerEnded(ctx, f) })
	}
	if o.again != nil {
		selector.AddFuture(o.again, func(workflow.Future) { o.again = nil })
	}
	for _, d := range []*due{&o.dwell, &o.held} {
		if d.timer != nil {
			selector.AddFuture(d.timer, func(workflow.Future) {
				d.timer = nil
				_, failed = o.apply(ctx, ltp.Input{})
			})
		}
	}
	selector.Select(ctx)
	return failed
}

// observed applies what an observer says, if it says something and may say it.
func (o *orientation) observed(ctx workflow.Context, seen ltp.Observation) error {
	if !seen.Verdict.Valid() || (seen.Component != "" && seen.Component != o.in.Component) {
		o.log.Warn("observation ignored: it has no verdict, or is of another component",
			"verdict", seen.Verdict, "component", seen.Component, "observer", seen.Observer)
		return nil
	}
	if !o.believes(ctx, seen) {
		o.log.Warn("observation ignored: its observer has been replaced, or has ended",
			"verdict", seen.Verdict, "component", o.in.Component, "observer", seen.Observer, "term", seen.Term, "current", o.term)
		return nil
	}
	_, err := o.apply(ctx, ltp.Input{Observed: &seen})
	return err
}

// reported applies what a worker reports, if it is of this component.
func (o *orientation) reported(ctx workflow.Context, component, worker string, in ltp.Input) error {
	if component != o.in.Component {
		o.log.Warn("report ignored: it is of another component", "component", component, "worker", worker)
		return nil
	}
	_, err := o.apply(ctx, in)
	return err
}

// believes distinguishes the word of the active observer, and of one outside, from that of an
// observer which was replaced while it was frozen or cut off. Of one that has ended and
// has no successor yet, only bad news is believed: nobody would notice if good news of
// it stopped being true.
func (o *orientation) believes(ctx workflow.Context, seen ltp.Observation) bool {
	switch seen.Term {
	case 0:
		return true
	case o.term:
		return !seen.Verdict.Fit() || !o.unobserved(ctx)
	}
	return false
}

// unobserved reports whether the latest Observe activity has ended by itself, also
// where the main loop has yet to hear of it. One that this workflow has cancelled to
// continue as new was heard to its end.
func (o *orientation) unobserved(ctx workflow.Context) bool {
	return o.observing == nil || o.observing.IsReady() && !temporal.IsCanceledError(o.observing.Get(ctx, nil))
}

// apply feeds the state machine, publishes what is new, and starts a replay where
// orders that wait may now act.
func (o *orientation) apply(ctx workflow.Context, in ltp.Input) (ltp.Orientation, error) {
	before := o.condition.Orientation
	next, changed := o.condition.Next(in, o.in.Policy, workflow.Now(ctx))
	o.condition = next
	now := next.Orientation
	if in.Held != nil || in.Released != nil {
		o.poked.SendAsync(true) // the main loop may have a timer to set or to drop
	}
	if !changed {
		return now, nil
	}
	if err := o.publish(ctx); err != nil {
		return now, err
	}
	o.log.Info("orientation changed", "component", now.Component, "from", before.State, "to", now.State,
		"epoch", now.Epoch, "reason", now.Reason)
	// What the drain of this very recovery brought about, its Replay follows up.
	if now.State.Fit() && now.Epoch > before.Epoch && in.Drained == 0 {
		return now, o.startReplay(ctx, now)
	}
	return now, nil
}

// publish puts the orientation into the memo. That event is the orientation frame.
func (o *orientation) publish(ctx workflow.Context) error {
	return workflow.UpsertMemo(ctx, map[string]any{ltp.OrientationMemo: o.condition.Orientation})
}

func (o *orientation) startReplay(ctx workflow.Context, now ltp.Orientation) error {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	ctx = workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:               ltp.ReplayWorkflowID(now.Component, now.Epoch),
		ParentClosePolicy:        enumspb.PARENT_CLOSE_POLICY_ABANDON,
		WorkflowTaskTimeout:      10 * time.Second,
		WorkflowIDReusePolicy:    enumspb.WORKFLOW_ID_REUSE_POLICY_ALLOW_DUPLICATE,
		WorkflowExecutionTimeout: 0,
		StaticSummary:            fmt.Sprintf("replay of what %s deferred before epoch %d", now.Component, now.Epoch),
	})
	child := workflow.ExecuteChildWorkflow(ctx, ltp.ReplayWorkflow, ltp.ReplayInput{
		Component: now.Component, Epoch: now.Epoch, Drain: now.State == ltp.Recovering,
	})
	// Only that it has started matters here: it lives its own life.
	if err := child.GetChildWorkflowExecution().Get(ctx, nil); err != nil {
		o.log.Error("replay not started: orders wait for their backstop", "component", now.Component, "epoch", now.Epoch, "error", err)
	}
	return nil
}

// observe schedules the one Observe activity. While the last observer is merely
// gone, somebody must take over within the grace; once the state is UNKNOWN it may
// wait for as long as it takes.
func (o *orientation) observe(ctx workflow.Context) {
	options := workflow.ActivityOptions{
		TaskQueue:           ltp.ObserveQueue(o.in.Component),
		StartToCloseTimeout: ObserveFor,
		HeartbeatTimeout:    HeartbeatTimeout,
		WaitForCancellation: false,
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
		Summary:             "observe " + o.in.Component,
	}
	if o.condition.Last.Verdict != "" {
		options.ScheduleToStartTimeout = o.in.Policy.Grace
	}
	ctx, o.observingEnd = workflow.WithCancel(ctx)
	var a *activities.Observer
	o.scheduledAt = workflow.Now(ctx)
	o.term++
	o.observing = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), a.Observe, ltp.ObserveInput{
		Component: o.in.Component, Term: o.term, LastVerdict: o.condition.Last.Verdict,
	})
}

// observerEnded makes room for the next observer. The state stands, unless nobody has
// looked for longer than the grace: what ended may have been read late, because no
// worker was up either.
func (o *orientation) observerEnded(ctx workflow.Context, f workflow.Future) error {
	o.observing = nil
	var handover ltp.Handover
	err := f.Get(ctx, &handover)
	var timeout *temporal.TimeoutError
	switch {
	case ctx.Err() != nil:
		return nil
	case err == nil:
		o.failures = 0
		return o.lastSeen(ctx, handover.At)
	case errors.As(err, &timeout) && timeout.TimeoutType() == enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START:
		return o.loseObserver(ctx, fmt.Sprintf("No observer took over within %s", o.in.Policy.Grace))
	case errors.As(err, &timeout):
		o.failures = 0
		o.log.Warn("observer lost, another is asked to take over", "component", o.in.Component, "error", err)
		var last ltp.Heartbeat
		if timeout.HasLastHeartbeatDetails() {
			_ = timeout.LastHeartbeatDetails(&last)
		}
		return o.lastSeen(ctx, last.At)
	}
	o.log.Error("observing failed, trying again", "component", o.in.Component, "error", err)
	o.again = workflow.NewTimer(ctx, ltp.Doubled(firstObservePause, maxObservePause, o.failures))
	if o.failures++; o.failures > 1 {
		return o.loseObserver(ctx, "Observing fails: "+err.Error())
	}
	return nil
}

// lastSeen gives the state up if the component was last seen too long ago. A zero
// time says that it was not seen at all by whoever has ended.
func (o *orientation) lastSeen(ctx workflow.Context, at time.Time) error {
	if at.IsZero() {
		at = o.scheduledAt
	}
	if workflow.Now(ctx).Sub(at) <= HeartbeatTimeout+o.in.Policy.Grace {
		return nil
	}
	return o.loseObserver(ctx, fmt.Sprintf("Not observed since %s", at.UTC().Format(time.RFC3339)))
}

func (o *orientation) loseObserver(ctx workflow.Context, why string) error {
	_, err := o.apply(ctx, ltp.Input{Lost: why})
	return err
}

// setTimers keeps a timer for the end of the dwell, and one for that of the next hold.
func (o *orientation) setTimers(ctx workflow.Context) {
	end, dwells := o.condition.DwellEnds(o.in.Policy)
	o.dwell.set(ctx, end, dwells, "%s must stay fit until %s", o.in.Component)
	end, ends := o.condition.HoldEnds()
	o.held.set(ctx, end, ends, "%s is held until %s", o.in.Component)
}

// set keeps a timer for a moment, and none where none is due.
func (d *due) set(ctx workflow.Context, at time.Time, is bool, summary, component string) {
	if d.timer != nil && (!is || !at.Equal(d.at)) {
		d.stop()
		d.timer = nil
	}
	if is && d.timer == nil {
		ctx, d.stop = workflow.WithCancel(ctx)
		wait := max(at.Sub(workflow.Now(ctx)), time.Millisecond)
		d.timer, d.at = workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{
			Summary: fmt.Sprintf(summary, component, at.UTC().Format(time.TimeOnly)),
		}), at
	}
}
