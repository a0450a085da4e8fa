package workflows

import (
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// Bounds of leading a sequence.
const (
	// watchTurn is for how long the end of an order that has just been given its turn is
	// awaited: an order that may act has ended by then, and need not signal it. Until
	// watchMargin before that the order relies on it.
	watchTurn, watchMargin = 500 * time.Millisecond, 100 * time.Millisecond
	// watchDone is for how long the end of an order that gives its turn back is awaited.
	watchDone = 3 * time.Second
	// A head that is silent is polled after firstPoll, and then after twice as long each
	// time: it may have been terminated.
	firstPoll, lastPoll = 30 * time.Second, 15 * time.Minute
	// Temporal did not answer; it is asked again soon.
	firstRetry, lastRetry = time.Second, time.Minute
	// forcedRest is how long the sequence stands still behind an order that was ended by
	// force: a write of it may be under way until then.
	forcedRest = 20 * time.Second
)

// Sequence keeps the orders of one ordering key in line: a FIFO queue for each key. It
// gives its turn to one after the other, in the order in which they joined, each when
// Temporal says that the one before has ended; what orders signal of their end only makes
// it look. It ends when nobody stands in line, and is begun again by the next order that
// joins.
//
// Cancelling it has no effect: who waits could then never act.
func Sequence(ctx workflow.Context, in ltp.SequenceInput) error {
	q := &queue{
		SequenceInput: in,
		joins:         workflow.GetSignalChannel(ctx, ltp.JoinSignal),
		dones:         workflow.GetSignalChannel(ctx, ltp.DoneSignal),
		log:           workflow.GetLogger(ctx),
		members:       map[string]struct{}{},
	}
	for _, id := range in.Orders {
		q.members[id] = struct{}{}
	}
	ctx, _ = workflow.NewDisconnectedContext(ctx)
	return q.run(ctx)
}

// queue is one run of the Sequence workflow. Its input is kept up to date.
type queue struct {
	ltp.SequenceInput
	joins, dones workflow.ReceiveChannel
	log          log.Logger

	members  map[string]struct{} // who stands in line
	released bool                // the head has given its turn back
	pollAt   time.Time           // when to look at the head if it is silent
	polls    int                 // how often that was in vain
	failures int                 // how often in a row Temporal did not answer
	alarm    alarm
}

func (q *queue) run(ctx workflow.Context) error {
	for {
		q.receive()
		switch {
		case len(q.Orders) == 0: // nothing is unread; what comes now fails this very task
			return nil
		case workflow.GetInfo(ctx).GetContinueAsNewSuggested():
			return workflow.NewContinueAsNewError(ctx, Sequence, q.SequenceInput)
		}
		if err := q.updateMemo(ctx); err != nil {
			return err
		}
		if q.due(ctx) {
			q.pollHead(ctx)
		} else {
			q.wait(ctx)
		}
	}
}

// receive takes in all signals that have come.
func (q *queue) receive() {
	for {
		var id string
		if !q.joins.ReceiveAsync(&id) {
			break
		}
		if _, known := q.members[id]; known || ltp.ValidID(id) != nil {
			continue
		}
		q.members[id] = struct{}{}
		q.Orders = append(q.Orders, id)
	}
	for {
		var id string
		if !q.dones.ReceiveAsync(&id) {
			return
		}
		if len(q.Orders) > 0 && q.HeadHasTurn && id == q.Orders[0] {
			q.released = true
		}
	}
}

// updateMemo keeps the memo roughly true, for the door.
func (q *queue) updateMemo(ctx workflow.Context) error {
	if d := len(q.Orders) - q.MemoWaiting; d < ltp.SequenceStep && d > -ltp.SequenceStep {
		return nil
	}
	q.MemoWaiting = len(q.Orders)
	return workflow.UpsertMemo(ctx, map[string]any{ltp.SequenceMemo: ltp.Sequence{Waiting: q.MemoWaiting}})
}

// due reports whether the head is to be given its turn, or polled, now.
func (q *queue) due(ctx workflow.Context) bool {
	if q.failures == 0 && (!q.HeadHasTurn || q.released) {
		return true
	}
	return !workflow.Now(ctx).Before(q.pollAt)
}

// pollHead gives the head its turn, or looks whether it has ended.
func (q *queue) pollHead(ctx workflow.Context) {
	now := workflow.Now(ctx)
	in := ltp.LeadInput{OrderID: q.Orders[0]}
	switch {
	case !q.HeadHasTurn:
		in.Turn, in.Watch = &ltp.Turn{Watched: now.Add(watchTurn - watchMargin)}, watchTurn
	case q.released:
		in.Watch = watchDone
	}
	end, err := q.askTemporal(ctx, in)
	now = workflow.Now(ctx)
	if err != nil {
		q.log.Warn("the head of the sequence cannot be reached", "key", q.Key, "order", in.OrderID, "error", err)
		q.pollAt = now.Add(ltp.Doubled(firstRetry, lastRetry, q.failures))
		q.failures++
		return
	}
	q.failures, q.released = 0, false
	rest := end.Forced.Add(forcedRest)
	switch {
	case !end.Ended:
		if in.Turn != nil || in.Watch > 0 {
			q.polls = 0
		}
		q.HeadHasTurn, q.pollAt = true, now.Add(ltp.Doubled(firstPoll, lastPoll, q.polls))
		q.polls++
	case !end.Forced.IsZero() && rest.After(now):
		q.HeadHasTurn, q.pollAt = true, rest
	default:
		q.next()
	}
}

// next has the others move up.
func (q *queue) next() {
	delete(q.members, q.Orders[0])
	q.Orders[0] = ""
	q.Orders, q.HeadHasTurn, q.polls = q.Orders[1:], false, 0
}

func (q *queue) askTemporal(ctx workflow.Context, in ltp.LeadInput) (end ltp.SequenceEnd, err error) {
	summary := "turn of order " + in.OrderID
	if in.Turn == nil {
		summary = "has order " + in.OrderID + " ended?"
	}
	ctx = workflow.WithLocalActivityOptions(ctx, workflow.LocalActivityOptions{
		StartToCloseTimeout: in.Watch + 2*time.Second, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var a *activities.Sequences
	err = workflow.ExecuteLocalActivity(ctx, a.Lead, in).Get(ctx, &end)
	return end, err
}

// wait returns when a signal comes, or when it is time to poll the head. A timer that
// fires too early is left to fire: to stop it would be an event, too.
func (q *queue) wait(ctx workflow.Context) {
	if q.alarm.fires != nil && q.alarm.at.After(q.pollAt) {
		q.alarm.cancel()
		q.alarm = alarm{}
	}
	if q.alarm.fires == nil {
		d := max(q.pollAt.Sub(workflow.Now(ctx)), time.Millisecond)
		timing, cancel := workflow.WithCancel(ctx)
		q.alarm = alarm{
			fires: workflow.NewTimerWithOptions(timing, d, workflow.TimerOptions{Summary: "until order " + q.Orders[0] + " is looked at"}),
			at:    q.pollAt, cancel: cancel,
		}
	}
	selector := workflow.NewSelector(ctx)
	received := func(workflow.ReceiveChannel, bool) { q.receive() }
	selector.AddReceive(q.joins, received)
	selector.AddReceive(q.dones, received)
	selector.AddFuture(q.alarm.fires, func(workflow.Future) { q.alarm = alarm{} })
	selector.Select(ctx)
}
