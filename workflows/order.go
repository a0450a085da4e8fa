// Package workflows holds the deterministic code: Order, Orientation, Replay and Sequence.
//
// Orders wait for days across deployments. A change to what these functions do,
// and in which order, must be gated with workflow.GetVersion, and every recorded
// history under testdata must still replay.
package workflows

import (
	"fmt"
	"hash/fnv"
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// Bounds of an order's waits.
const (
	// executeTimeout is longer than any write is allowed to take: an Execute that
	// passes it was lost with its worker, and its outcome is unknown.
	executeTimeout = 20 * time.Second
	// The pause is how long an order waits when it was deferred for something that
	// no signal will announce: its own failure, or a worker that could not see. It
	// doubles with each in a row, and is never longer than the first backstop.
	// ltp.MaxAttempts counts on these.
	firstPause, maxPause = time.Second, 2 * time.Minute
)

var (
	stateAttribute     = temporal.NewSearchAttributeKeyKeyword(ltp.StateAttribute)
	componentAttribute = temporal.NewSearchAttributeKeyKeyword(ltp.ComponentAttribute)
	epochAttribute     = temporal.NewSearchAttributeKeyInt64(ltp.EpochAttribute)
	reasonAttribute    = temporal.NewSearchAttributeKeyKeyword(ltp.ReasonAttribute)
)

// Order takes one order from its acceptance to its end. It routes the order, acts
// if it may, and otherwise waits for the stability signal, the backstop, the
// order's deadline or its cancellation, whichever comes first. An Execution that is not
// zero names the activity that acts; orders of before were started without one.
//
// It returns an Outcome that is EXECUTED, REJECTED or EXPIRED; a cancelled order
// ends as a cancelled workflow.
func Order(ctx workflow.Context, o ltp.Order, by ltp.Execution) (ltp.Outcome, error) {
	run := &order{
		Order:     o,
		by:        by,
		stability: workflow.GetSignalChannel(ctx, ltp.StabilitySignal),
		log:       workflow.GetLogger(ctx),
		turn:      turn{signals: workflow.GetSignalChannel(ctx, ltp.TurnSignal)},
		expedite:  workflow.GetSignalChannel(ctx, ltp.ExpediteSignal),
		shown:     ltp.DefaultPriority,
	}
	outcome, err := run.run(ctx)
	run.leave(ctx)
	return outcome, err
}

// order is one run of the Order workflow.
type order struct {
	ltp.Order
	by        ltp.Execution
	stability workflow.ReceiveChannel
	log       log.Logger

	last   ltp.Routing // the latest routing
	marked ltp.Routing // the routing that the search attributes tell of
	wakes  int         // how often the backstop was needed since the state was last news
	pauses int         // how many pauses in a row
	timer  timer

	// uncertain is set once a write may have happened without our knowing. From
	// then on the order can only be finished: it cannot be cancelled and does not
	// expire.
	uncertain bool
	// attempts are those that failed in a row, lastError is why the last did, and
	// confirming is set when the next is to look whether one of them took effect.
	attempts   ltp.Attempts
	lastError  string
	confirming bool

	backstop ltp.Backstop // as the last worker to route the order has it

	turn turn
	// first is set when an operator wants the order released before all others, and
	// shown is the priority that the search attributes tell of.
	expedite workflow.ReceiveChannel
	first    bool
	shown    int
}

func (o *order) run(ctx workflow.Context) (ltp.Outcome, error) {
	request := ltp.Request{HighRisk: o.Risk == ltp.HighRisk}
	var told *ltp.Stability
	woken := ltp.Wake("")
	for {
		if !o.uncertain {
			if ctx.Err() != nil {
				return ltp.Outcome{}, ctx.Err()
			}
			if o.expired(ctx) {
				return o.end(ctx, ltp.Outcome{State: ltp.Expired, Reason: "deadline passed before the order could be executed"})
			}
		}
		request.InLine = o.inLine()
		if err := o.route(ctx, request, told, woken); err != nil {
			return ltp.Outcome{}, err
		}
		if o.last.Decision.Admissible() {
			outcome, err := o.execute(ctx, request)
			if err != nil {
				return ltp.Outcome{}, err
			}
			if outcome.State.Final() {
				return o.end(ctx, outcome)
			}
			request.Replay = true
			request.Failed, request.FailedUnder, request.FailedEpoch = true, o.last.Component, o.last.Epoch
			told, woken = nil, ltp.WokenByFailure
			continue
		}
		if outcome := o.setAside(ctx); outcome.State.Final() {
			return o.end(ctx, outcome)
		}
		if err := o.mark(ctx); err != nil {
			return ltp.Outcome{}, err
		}
		told, woken = o.wait(ctx)
		o.rejoin(ctx, woken)
		request = ltp.Request{HighRisk: request.HighRisk, Replay: true, Listed: woken == ltp.WokenByTimer && o.listed()}
	}
}

// route asks whether the order may act.
func (o *order) route(ctx workflow.Context, request ltp.Request, told *ltp.Stability, woken ltp.Wake) error {
	in := activities.RouteInput{
		OrderID: o.ID, Components: o.Components(), Request: request, Attempt: o.last.Attempt + 1, Woken: woken,
	}
	if in.Attempt > 1 {
		in.Replays = ltp.RequestFrameID(o.ID, 1)
	}
	routing, known := o.takeWord(told, in)
	if !known {
		var err error
		if routing, err = checkOrientation(ctx, in); err != nil {
			return fmt.Errorf("route order %s: %w", o.ID, err)
		}
		o.backstop = routing.Backstop
	}
	if routing.Epoch != o.last.Epoch || routing.Component != o.last.Component {
		o.wakes, o.pauses, o.confirming = 0, 0, false
	}
	o.attempts.Routed(routing.Component, routing.Epoch)
	o.last = routing
	return nil
}

// takeWord routes on the replay engine's word that the order's component is fit:
// the signal then is the routing, and the fence in Execute looks again before
// anything is written. What the word does not admit, the board decides.
func (o *order) takeWord(told *ltp.Stability, in activities.RouteInput) (ltp.Routing, bool) {
	if told == nil || len(in.Components) != 1 || told.Component != in.Components[0] {
		return ltp.Routing{}, false
	}
	return told.Route(in.Request, in.Attempt, in.Replays)
}

// checkOrientation asks the board. What is under way is finished even if the order
// is cancelled meanwhile.
func checkOrientation(ctx workflow.Context, in activities.RouteInput) (routing ltp.Routing, err error) {
	ctx = workflow.WithLocalActivityOptions(disconnected(ctx), workflow.LocalActivityOptions{
		ScheduleToCloseTimeout: time.Minute,
		Summary:                routeSummary(in),
	})
	var a *activities.Orders
	err = workflow.ExecuteLocalActivity(ctx, a.CheckOrientation, in).Get(ctx, &routing)
	return routing, err
}

// execute writes the order. Its outcome is final, or empty when the order is to be
// routed again.
func (o *order) execute(ctx workflow.Context, request ltp.Request) (ltp.Outcome, error) {
	request.Failed, request.Listed = false, false // the fence asks of this moment only
	switch {
	case o.confirming:
		return o.confirm(ctx, request)
	case o.by.Own():
		return o.hand(ctx, request)
	}
	ctx = workflow.WithActivityOptions(disconnected(ctx), workflow.ActivityOptions{
		StartToCloseTimeout: executeTimeout,
		Summary:             executeSummary(o.last),
		// Every attempt is routed first, so that no retry hammers a sick database.
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var a *activities.Orders
	var receipt ltp.Receipt
	err := workflow.ExecuteActivity(ctx, a.Execute, activities.ExecuteInput{Order: o.Order, Request: request}).Get(ctx, &receipt)
	if err != nil {
		return o.failed(ctx, err), nil
	}
	return ltp.Outcome{State: ltp.Executed, Receipt: &receipt}, nil
}

// mark shows the deferral in the search attributes, where it is news.
func (o *order) mark(ctx workflow.Context) error {
	r := o.last
	if r.Reason == ltp.ReasonAwaitsReplay && o.marked.Component == r.Component {
		return nil // it waits as before, and an event is saved
	}
	if r.Reason.OfReplay() {
		r.Epoch = o.releasedFrom(r)
	}
	if r.Reason == ltp.ReasonAwaitsTurn {
		r.Component, r.Epoch = "", 0
	}
	if o.marked.Decision != "" && r.Epoch == o.marked.Epoch && r.Component == o.marked.Component && r.Reason == o.marked.Reason {
		return nil
	}
	o.marked = r
	return workflow.UpsertTypedSearchAttributes(ctx, o.marks(r)...)
}

// releasedFrom is the epoch under which the replay looks for an order that is left to
// it: the one that it was deferred under, and never that of the replay itself.
func (o *order) releasedFrom(r ltp.Routing) int64 {
	if o.marked.Decision != "" && o.marked.Component == r.Component {
		return o.marked.Epoch
	}
	return r.Epoch - 1
}

// listed reports whether an order whose backstop rang may leave itself to a replay that
// is under way. One that waits for something of its own is not found by it; and no replay
// is trusted twice.
func (o *order) listed() bool {
	switch o.last.Reason {
	case ltp.ReasonAwaitsReplay, ltp.ReasonAwaitsTurn, ltp.ReasonExecuteUnavailable:
		return false
	}
	return !o.last.Blind
}

// wait returns when the order should be routed again, with the news that woke it.
func (o *order) wait(ctx workflow.Context) (told *ltp.Stability, woken ltp.Wake) {
	o.setTimer(ctx)
	for {
		var s *ltp.Stability
		rang, cancelled := false, false
		selector := workflow.NewSelector(ctx)
		selector.AddReceive(o.stability, func(c workflow.ReceiveChannel, _ bool) {
			s = o.newest(ctx)
		})
		o.listen(ctx, selector)
		selector.AddFuture(o.timer.rings, func(workflow.Future) { rang = true })
		if !o.uncertain {
			selector.AddReceive(ctx.Done(), func(workflow.ReceiveChannel, bool) { cancelled = true })
		}
		selector.Select(ctx)
		switch {
		case cancelled:
			return nil, ""
		case rang:
			o.timer = timer{}
			return nil, ltp.WokenByTimer
		case o.awaitsTurn() && !o.inLine():
			return nil, ltp.WokenByTurn
		case s != nil && s.News(o.last):
			return s, ltp.WokenBySignal
		}
	}
}

// newest drains the signals and returns the one of the latest epoch.
func (o *order) newest(ctx workflow.Context) *ltp.Stability {
	var newest *ltp.Stability
	for {
		var s ltp.Stability
		if !o.stability.ReceiveAsync(&s) {
			return newest
		}
		if s.News(o.last) && (newest == nil || s.Epoch > newest.Epoch) {
			newest = &s
		}
	}
}

// setTimer makes sure that a timer rings in time. One that is still running from
// an earlier wait serves again, and none is ever cancelled for an order that ends:
// each would be an event.
func (o *order) setTimer(ctx workflow.Context) {
	var d time.Duration
	b := o.backstop.OrDefault()
	switch {
	case o.last.Blind, o.last.Reason == ltp.ReasonExecuteUnavailable:
		d = grown(firstPause, min(maxPause, b.First), o.pauses)
		o.pauses++
	case o.last.Reason == ltp.ReasonAwaitsReplay:
		d = b.Most // each wake is work for the server that the replay needs
	default:
		d = grown(b.First, b.Most, o.wakes)
		o.wakes++
	}
	d = jittered(d, o.ID, o.last.Attempt)
	now := workflow.Now(ctx)
	if until := o.Deadline.Sub(now); !o.Deadline.IsZero() && until < d && !o.uncertain {
		d = max(until, time.Millisecond)
	}
	at := now.Add(d)
	if o.timer.rings != nil {
		if !o.timer.rings.IsReady() && !o.timer.at.After(at) {
			return
		}
		o.timer.stop()
	}
	ctx, stop := workflow.WithCancel(disconnected(ctx))
	o.timer = timer{
		rings: workflow.NewTimerWithOptions(ctx, d, workflow.TimerOptions{Summary: timerSummary(o.last, at)}),
		at:    at, stop: stop,
	}
}

// timer is a wait that is under way.
type timer struct {
	rings workflow.Future
	at    time.Time
	stop  func()
}

// disconnected is ctx without its cancellation: for what is finished, or must ring,
// although the order is being cancelled.
func disconnected(ctx workflow.Context) workflow.Context {
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	return ctx
}

func (o *order) expired(ctx workflow.Context) bool {
	return !o.Deadline.IsZero() && !workflow.Now(ctx).Before(o.Deadline)
}

// end closes the order. Only ends that are not the usual one are marked.
func (o *order) end(ctx workflow.Context, outcome ltp.Outcome) (ltp.Outcome, error) {
	if outcome.State == ltp.Executed {
		return outcome, nil
	}
	err := workflow.UpsertTypedSearchAttributes(ctx, stateAttribute.ValueSet(string(outcome.State)))
	return outcome, err
}

// grown is first doubled n times, and at most most.
func grown(first, most time.Duration, n int) time.Duration {
	d := first
	for ; n > 0 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}

// jittered spreads d by a quarter to both sides, the same way at every replay of
// the history.
func jittered(d time.Duration, orderID string, attempt int) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(ltp.RequestFrameID(orderID, attempt)))
	spread := int64(d) / 2
	return d - time.Duration(spread/2) + time.Duration(spread*int64(h.Sum32()%1024)/1024)
}
