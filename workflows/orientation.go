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
		in:           in,
		steering:     in.Steering,
		applied:      in.Applied,
		log:          workflow.GetLogger(ctx),
		observations: workflow.GetSignalChannel(ctx, ltp.ObservationSignal),
		drained:      workflow.GetSignalChannel(ctx, ltp.DrainedSignal),
	}
	if err := run.setUp(ctx); err != nil {
		return err
	}
	return run.run(ctx)
}

// orientation is one run of the Orientation workflow.
type orientation struct {
	in        ltp.OrientationInput
	condition ltp.Condition
	steering  ltp.Steering
	applied   []string // see ltp.OrientationInput
	log       log.Logger

	observations, drained workflow.ReceiveChannel
	// poked wakes the main loop after an operator's update.
	poked workflow.Channel

	// term is the number of the latest Observe activity.
	term         int64
	observing    workflow.Future
	observingEnd func()
	scheduledAt  time.Time
	failures     int // how often in a row observing failed at once
	again        workflow.Future

	dwell    workflow.Future
	dwellEnd time.Time
	stopWait func()
}

func (o *orientation) setUp(ctx workflow.Context) error {
	// Terms grow by one, and begin at the time: so those of an earlier workflow of this
	// component, whose observers may still be around, are all smaller.
	if o.term = o.in.Term; o.term == 0 {
		o.term = workflow.Now(ctx).Unix()
	}
	if o.in.Continued != nil {
		o.condition = *o.in.Continued
	} else {
		o.condition = ltp.NewCondition(o.in.Component, o.in.Epoch, workflow.Now(ctx))
		if err := o.publish(ctx); err != nil {
			return err
		}
	}
	o.poked = workflow.NewBufferedChannel(ctx, 1)
	now := func() ltp.Orientation { return o.condition.Orientation }
	if err := handle(ctx, o, ltp.HoldUpdate, func(ctx workflow.Context, h ltp.Hold) (ltp.Orientation, error) {
		return o.apply(ctx, ltp.Input{Held: &h})
	}, o.mayHold, now); err != nil {
		return err
	}
	if err := handle(ctx, o, ltp.ReleaseUpdate, func(ctx workflow.Context, r ltp.Release) (ltp.Orientation, error) {
		return o.apply(ctx, ltp.Input{Released: &r})
	}, o.mayRelease, now); err != nil {
		return err
	}
	return handle(ctx, o, ltp.SteerUpdate, o.steer, func(w ltp.Steer) error { return w.Validate(o.steering) },
		func() ltp.Steering { return o.steering })
}

// steer keeps an operator's word on the replays in the memo, where boards and the
// replay engine read it. It is no orientation: neither state nor epoch change.
func (o *orientation) steer(ctx workflow.Context, w ltp.Steer) (ltp.Steering, error) {
	o.steering = o.steering.Next(w, workflow.Now(ctx))
	o.poked.SendAsync(true) // the main loop may have to continue as new
	o.log.Info("replay steered", "component", o.in.Component, "by", w.By, "what", w.String(), "why", w.Why)
	return o.steering, workflow.UpsertMemo(ctx, map[string]any{ltp.SteeringMemo: o.steering})
}

func (o *orientation) mayHold(h ltp.Hold) error {
	if h.By == "" || h.Why == "" {
		return errors.New("say who holds the component and why")
	}
	return nil
}

func (o *orientation) mayRelease(r ltp.Release) error {
	switch {
	case r.By == "" || r.Why == "":
		return errors.New("say who releases the component and why")
	case o.condition.Orientation.Hold == nil:
		return fmt.Errorf("%s is not held", o.in.Component)
	}
	return nil
}

func (o *orientation) run(ctx workflow.Context) error {
	for ctx.Err() == nil {
		if o.observing == nil && o.again == nil {
			o.observe(ctx)
		}
		o.setDwell(ctx)
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
	selector.AddReceive(o.observations, func(c workflow.ReceiveChannel, _ bool) {
		var seen ltp.Observation
		c.Receive(ctx, &seen)
		failed = o.observed(ctx, seen)
	})
	selector.AddReceive(o.drained, func(c workflow.ReceiveChannel, _ bool) {
		var epoch int64
		c.Receive(ctx, &epoch)
		_, failed = o.apply(ctx, ltp.Input{Drained: epoch})
	})
	selector.AddReceive(o.poked, func(c workflow.ReceiveChannel, _ bool) { c.Receive(ctx, nil) })
	selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) {})
	if o.observing != nil {
		selector.AddFuture(o.observing, func(f workflow.Future) { failed = o.observerEnded(ctx, f) })
	}
	if o.again != nil {
		selector.AddFuture(o.again, func(workflow.Future) { o.again = nil })
	}
	if o.dwell != nil {
		selector.AddFuture(o.dwell, func(workflow.Future) {
			o.dwell = nil
			_, failed = o.apply(ctx, ltp.Input{})
		})
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

// believes tells the word of the active observer, and of one outside, from that of an
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
	o.observing = workflow.ExecuteActivity(workflow.WithActivityOptions(ctx, options), a.Observe, ltp.ObserveInput{Component: o.in.Component, Term: o.term})
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
		return o.lose(ctx, fmt.Sprintf("No observer took over within %s", o.in.Policy.Grace))
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
		return o.lose(ctx, "Observing fails: "+err.Error())
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
	return o.lose(ctx, fmt.Sprintf("Not observed since %s", at.UTC().Format(time.RFC3339)))
}

func (o *orientation) lose(ctx workflow.Context, why string) error {
	_, err := o.apply(ctx, ltp.Input{Lost: why})
	return err
}

// setDwell keeps a timer for the moment at which the dwell ends, and none otherwise.
func (o *orientation) setDwell(ctx workflow.Context) {
	end, due := o.condition.DwellEnds(o.in.Policy)
	if o.dwell != nil && (!due || !end.Equal(o.dwellEnd)) {
		o.stopWait()
		o.dwell = nil
	}
	if due && o.dwell == nil {
		ctx, o.stopWait = workflow.WithCancel(ctx)
		wait := max(end.Sub(workflow.Now(ctx)), time.Millisecond)
		o.dwell, o.dwellEnd = workflow.NewTimerWithOptions(ctx, wait, workflow.TimerOptions{
			Summary: fmt.Sprintf("%s must stay fit until %s", o.in.Component, end.UTC().Format(time.TimeOnly)),
		}), end
	}
}
