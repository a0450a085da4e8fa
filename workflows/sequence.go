package workflows

import (
	"time"

	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/sequence"
)

// Bounds of leading a sequence.
const (
	// watchTurn is for how long the end of an order that has just been given its turn is
	// waited for: an order that may act has ended by then, and need not say so. Until
	// watchMargin before that it relies on it.
	watchTurn, watchMargin = 500 * time.Millisecond, 100 * time.Millisecond
	// watchDone is for how long the end of an order that says that it ends is waited for.
	watchDone = 3 * time.Second
	// A head that says nothing is looked at after firstLook, and then after twice as long
	// each time: it may have been terminated.
	firstLook, lastLook = 30 * time.Second, 15 * time.Minute
	// Temporal did not answer; it is asked again soon.
	firstRetry, lastRetry = time.Second, time.Minute
	// forcedRest is how long the sequence stands still behind an order that was ended by
	// force: a write of it may be under way until then.
	forcedRest = executeTimeout
)

// Sequence keeps the orders of one ordering key in line. It gives its turn to one after
// the other, in the order in which they joined, each when Temporal says that the one
// before has ended; what orders say of their end only makes it look. It ends when nobody
// stands in line, and is begun again by the next order that joins.
//
// Cancelling it has no effect: who waits could then never act.
func Sequence(ctx workflow.Context, in sequence.Input) error {
	s := &lineup{
		Input:  in,
		joins:  workflow.GetSignalChannel(ctx, ltp.JoinSignal),
		dones:  workflow.GetSignalChannel(ctx, ltp.DoneSignal),
		log:    workflow.GetLogger(ctx),
		stands: map[string]struct{}{},
	}
	for _, id := range in.Orders {
		s.stands[id] = struct{}{}
	}
	return s.run(disconnected(ctx))
}

// lineup is one run of the Sequence workflow. Orders, Told and Said of its input are
// kept up to date.
type lineup struct {
	sequence.Input
	joins, dones workflow.ReceiveChannel
	log          log.Logger

	stands map[string]struct{} // who stands in line
	leaves bool                // the head says that it ends
	lookAt time.Time           // when to look at the head if it says nothing
	looks  int                 // how often that was in vain
	misses int                 // how often in a row Temporal did not answer
	timer  timer
}

func (s *lineup) run(ctx workflow.Context) error {
	for {
		s.listen()
		switch {
		case len(s.Orders) == 0: // nothing is unread; what comes now fails this very task
			return nil
		case workflow.GetInfo(ctx).GetContinueAsNewSuggested():
			return workflow.NewContinueAsNewError(ctx, Sequence, s.Input)
		}
		if err := s.say(ctx); err != nil {
			return err
		}
		if s.due(ctx) {
			s.lead(ctx)
		} else {
			s.wait(ctx)
		}
	}
}

// listen takes in all that has been said.
func (s *lineup) listen() {
	for {
		var id string
		if !s.joins.ReceiveAsync(&id) {
			break
		}
		if _, known := s.stands[id]; known || ltp.ValidID(id) != nil {
			continue
		}
		s.stands[id] = struct{}{}
		s.Orders = append(s.Orders, id)
	}
	for {
		var id string
		if !s.dones.ReceiveAsync(&id) {
			return
		}
		if len(s.Orders) > 0 && s.Told && id == s.Orders[0] {
			s.leaves = true
		}
	}
}

// say keeps the memo roughly true, for the door.
func (s *lineup) say(ctx workflow.Context) error {
	if d := len(s.Orders) - s.Said; d < ltp.SequenceStep && d > -ltp.SequenceStep {
		return nil
	}
	s.Said = len(s.Orders)
	return workflow.UpsertMemo(ctx, map[string]any{ltp.SequenceMemo: ltp.Sequence{Waiting: s.Said}})
}

// due reports whether the head is to be told, or looked at, now.
func (s *lineup) due(ctx workflow.Context) bool {
	if s.misses == 0 && (!s.Told || s.leaves) {
		return true
	}
	return !workflow.Now(ctx).Before(s.lookAt)
}

// lead tells the head that its turn has come, or looks whether it has ended.
func (s *lineup) lead(ctx workflow.Context) {
	now := workflow.Now(ctx)
	in := activities.LeadInput{OrderID: s.Orders[0]}
	switch {
	case !s.Told:
		in.Turn, in.Watch = &ltp.Turn{Watched: now.Add(watchTurn - watchMargin)}, watchTurn
	case s.leaves:
		in.Watch = watchDone
	}
	end, err := s.askTemporal(ctx, in)
	now = workflow.Now(ctx)
	if err != nil {
		s.log.Warn("the head of the sequence cannot be reached", "key", s.Key, "order", in.OrderID, "error", err)
		s.lookAt = now.Add(grown(firstRetry, lastRetry, s.misses))
		s.misses++
		return
	}
	s.misses, s.leaves = 0, false
	rest := end.Forced.Add(forcedRest)
	switch {
	case !end.Ended:
		if in.Turn != nil || in.Watch > 0 {
			s.looks = 0
		}
		s.Told, s.lookAt = true, now.Add(grown(firstLook, lastLook, s.looks))
		s.looks++
	case !end.Forced.IsZero() && rest.After(now):
		s.Told, s.lookAt = true, rest
	default:
		s.next()
	}
}

// next has the others move up.
func (s *lineup) next() {
	delete(s.stands, s.Orders[0])
	s.Orders[0] = ""
	s.Orders, s.Told, s.looks = s.Orders[1:], false, 0
}

func (s *lineup) askTemporal(ctx workflow.Context, in activities.LeadInput) (end sequence.End, err error) {
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

// wait returns when something is said, or when it is time to look at the head. A timer
// that rings too early is left to ring: to stop it would be an event, too.
func (s *lineup) wait(ctx workflow.Context) {
	if s.timer.rings != nil && s.timer.at.After(s.lookAt) {
		s.timer.stop()
		s.timer = timer{}
	}
	if s.timer.rings == nil {
		d := max(s.lookAt.Sub(workflow.Now(ctx)), time.Millisecond)
		timing, stop := workflow.WithCancel(ctx)
		s.timer = timer{
			rings: workflow.NewTimerWithOptions(timing, d, workflow.TimerOptions{Summary: "until order " + s.Orders[0] + " is looked at"}),
			at:    s.lookAt, stop: stop,
		}
	}
	selector := workflow.NewSelector(ctx)
	heard := func(workflow.ReceiveChannel, bool) { s.listen() }
	selector.AddReceive(s.joins, heard)
	selector.AddReceive(s.dones, heard)
	selector.AddFuture(s.timer.rings, func(workflow.Future) { s.timer = timer{} })
	selector.Select(ctx)
}
