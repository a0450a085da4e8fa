package tracetest

import (
	"fmt"
	"slices"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"
	taskqueuepb "go.temporal.io/api/taskqueue/v1"

	"github.com/ltp-node/ltp"
)

// Worker is who runs the order's local activities.
const Worker = "node-1/4711"

func (o *Order) carryOut(c ltp.Command) {
	switch {
	case c.Mark != nil:
		o.upsert()
	case c.Park != nil:
		o.do(&historypb.WorkflowPropertiesModifiedEventAttributes{})
	case c.Answer != nil:
		o.answer = c.Answer
	case c.Wait != nil:
		o.setTimer(c.Wait.At)
	case c.Route != nil:
		r := o.route(*c.Route)
		o.Stale = nil
		if !o.local("CheckOrientation", time.Millisecond, r) {
			r = c.Route.NotRouted()
		}
		o.next(ltp.Event{Routed: &r})
	case c.Execute != nil:
		x, took := o.execute(*c.Execute)
		if !o.local("Execute", took, x) {
			x = ltp.NoAnswer()
		}
		if then := o.then; then != nil {
			o.then = nil
			then()
		}
		o.next(ltp.Event{Executed: &x})
	case c.Withdraw != nil:
		w := o.withdraw(*c.Withdraw)
		if !o.local("Withdraw", 2*time.Millisecond, w) {
			w = ltp.NotWithdrawn()
		}
		o.next(ltp.Event{Withdrawn: &w})
	case c.Join != nil:
		sequence := "sequence-run"
		if !o.local("Join", time.Millisecond, sequence) {
			sequence = c.Join.Sequence
		}
		o.next(ltp.Event{Joined: &sequence})
	case c.ExecuteExternal != nil:
		o.executeExternal(*c.ExecuteExternal)
	case c.End != nil:
		o.end(*c.End)
	}
}

// Then sets what is held true of orders-db once the next write has ended.
func (o *Order) Then(s ltp.State, epoch int64) *Order {
	o.then = func() { o.Hold(s, epoch) }
	return o
}

// local is a local activity; false where it gives no answer.
func (o *Order) local(name string, took time.Duration, result any) bool {
	for ; o.Beats > 0; o.Beats-- {
		o.Now = o.Now.Add(8 * time.Second)
		o.complete()
		o.begin("4711@node-1")
		o.clock = later(o.clock, o.Now)
	}
	o.clock = o.clock.Add(took)
	m := &historypb.MarkerRecordedEventAttributes{MarkerName: "LocalActivity", Details: map[string]*commonpb.Payloads{
		"data": Payloads(struct {
			ActivityID, ActivityType string
			ReplayTime               time.Time
			Attempt                  int32
		}{fmt.Sprint(len(o.Events) + len(o.batch)), name, o.clock, 1}),
	}}
	answered := o.Silent[name] == 0
	if answered {
		m.Details["result"] = Payloads(result)
	} else {
		o.Silent[name]--
		m.Failure = &failurepb.Failure{Message: "it panicked"}
	}
	o.do(m)
	return answered
}

// route is what the board answers.
func (o *Order) route(in ltp.RouteInput) ltp.Routing {
	if o.Unreadable {
		return in.NotRouted()
	}
	var all []ltp.Orientation
	for _, c := range in.Components {
		now := o.Board[c]
		if s := o.Stale; s != nil && s.Component == c {
			now = *s
		}
		all = append(all, now)
	}
	r := ltp.Routing{Attempt: in.Attempt, Woken: in.Woken, Request: in.Request, Backstop: o.OfWorker, ReadAt: ltp.Stamped(o.clock), Written: o.written(in).Epoch}
	if in.Woken != ltp.WokenBySignal && in.Woken != ltp.WokenByFence && in.Woken != ltp.WokenByPass {
		r.Request.Paused = o.Paused
	}
	if in.Failure != nil {
		r.Cause = o.Cause
	}
	by, d, why := ltp.Route(all, r.Request)
	r.Decision, r.Reason, r.Component, r.State, r.Epoch = d, why, by.Component, by.State, by.Epoch
	return r
}

func (o *Order) written(in ltp.RouteInput) ltp.Orientation {
	if s := o.Stale; s != nil && s.Component == in.Written {
		return *s
	}
	return o.Board[in.Written]
}

func (o *Order) fence(component string) ltp.Fence {
	now := o.Board[component]
	f := ltp.Fence{Component: component, State: now.State, Epoch: now.Epoch, ReadAt: ltp.Stamped(o.clock)}
	if now.LastFit != now.Epoch {
		f.LastFit = now.LastFit
	}
	return f
}

// execute is an attempt, as package activities makes it.
func (o *Order) execute(in ltp.ExecuteInput) (x ltp.Attempt, took time.Duration) {
	r := o.route(in.Route)
	x = ltp.Attempt{Fence: o.fence(r.Component), Worker: Worker, EndedAt: ltp.Stamped(o.clock)}
	external := in.Route.Written == ""
	if !external {
		x.Fence = o.fence(in.Route.Written)
	}
	given := external || slices.Contains(in.Given, r.Written)
	if !in.Admitted || !given || !r.Decision.Admissible() {
		x.Routing = &r
	}
	switch {
	case !r.Decision.Admissible():
		x.Result = ltp.ResultNotBegun
		return x, time.Millisecond
	case !given:
		x.Result = ltp.ResultNotGiven
		return x, time.Millisecond
	case external:
		x.Result = ltp.ResultAdmitted
		return x, time.Millisecond
	}
	write := Write{Result: ltp.ResultExecuted}
	if len(o.Writes) > 0 {
		write, o.Writes = o.Writes[0], o.Writes[1:]
	}
	took = max(write.Took, 2*time.Millisecond)
	x.Result, x.Error, x.EndedAt, x.Withdrawn = write.Result, write.Error, ltp.Stamped(o.clock.Add(took)), write.Withdrawn
	if write.Result == ltp.ResultNotBegun {
		return x, took
	}
	x.BegunAt = ltp.Stamped(o.clock.Add(time.Millisecond))
	if write.Result != ltp.ResultExecuted {
		return x, took
	}
	if o.Row != nil {
		again := *o.Row
		again.Repeated, again.CommittedAt = true, x.EndedAt
		x.Receipt = &again
		return x, took
	}
	n := in.Route.Attempt
	if x.Routing == nil {
		n--
	}
	o.Row = &ltp.Receipt{
		Attempt: ltp.RequestFrameID(in.Order.ID, n), Worker: Worker, BegunAt: x.BegunAt, CommittedAt: x.EndedAt, Fence: x.Fence,
	}
	x.Receipt = o.Row
	return x, took
}

// withdraw is what the order database, or the board, says.
func (o *Order) withdraw(in ltp.WithdrawInput) ltp.Withdrawal {
	w := ltp.Withdrawal{Found: ltp.FoundNothing, Fence: o.fence(in.Written), EndedAt: ltp.Stamped(o.clock.Add(2 * time.Millisecond)), Worker: Worker}
	switch {
	case !in.Passed && w.Fence.Unwritten(in.Stamp):
		w.Found = ltp.FoundUnwritten
	case !w.Fence.State.Fit():
	case o.Row != nil:
		w.Found, w.Receipt = ltp.FoundOrder, o.Row
	default:
		w.Found, w.End = ltp.FoundTombstone, &in.End
	}
	return w
}

func (o *Order) upsert() {
	o.do(&historypb.UpsertWorkflowSearchAttributesEventAttributes{})
}

// setTimer starts a timer, as the SDK does: one that was started in this very task and is
// replaced leaves no event.
func (o *Order) setTimer(at time.Time) {
	if o.timer.id != "" && o.timer.at.Equal(at) || at.IsZero() && (o.timer.id == "" || o.timer.fired) {
		return
	}
	if o.timer.event != nil {
		o.batch = slices.DeleteFunc(o.batch, func(e *historypb.HistoryEvent) bool { return e == o.timer.event })
	} else if o.timer.id != "" && !o.timer.fired {
		o.do(&historypb.TimerCanceledEventAttributes{TimerId: o.timer.id})
	}
	if o.timer = (timer{}); at.IsZero() {
		return
	}
	o.timers++
	id := fmt.Sprint(o.timers)
	o.timer = timer{id: id, at: at, event: o.do(&historypb.TimerStartedEventAttributes{TimerId: id})}
}

// Fires moves the clock to the order's timer, which fires.
func (o *Order) Fires() *Order {
	if o.timer.id == "" || o.timer.fired {
		panic("the order has no timer")
	}
	o.Now = later(o.Now, o.timer.at)
	o.add(&historypb.TimerFiredEventAttributes{TimerId: o.timer.id})
	o.timer.fired = true
	return o
}

func (o *Order) executeExternal(j ltp.Job) {
	o.job, o.begun = j, o.clock
	o.do(&historypb.ActivityTaskScheduledEventAttributes{
		ActivityType: &commonpb.ActivityType{Name: o.Execution.Activity}, TaskQueue: &taskqueuepb.TaskQueue{Name: o.Execution.TaskQueue}, Input: Payloads(j),
	})
}

func (o *Order) end(e ltp.End) {
	if e.ReleaseTurn {
		o.local("ReleaseTurn", time.Millisecond, nil)
	}
	if s := e.Outcome.State; s == ltp.Rejected || s == ltp.Expired {
		o.upsert()
	}
	if o.answer != nil {
		o.answered(*o.answer)
	}
	if e.Outcome.State == ltp.Cancelled {
		o.do(&historypb.WorkflowExecutionCanceledEventAttributes{})
		return
	}
	o.do(&historypb.WorkflowExecutionCompletedEventAttributes{Result: Payloads(e.Outcome)})
}
