package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

var priorityAttribute = temporal.NewSearchAttributeKeyInt64(ltp.PriorityAttribute)

// turn is an order's place in the sequence of its ordering key.
type turn struct {
	signals workflow.ReceiveChannel
	// come is set when every order before it has ended.
	come bool
	// watched is until when the sequence sees by itself that the order ends.
	watched time.Time
	// sequence is the one that the order has put itself into.
	sequence string
}

// inLine reports whether the order has to wait for its turn. Orders without a key never
// have to.
func (o *order) inLine() bool {
	if o.OrderingKey == "" {
		return false
	}
	var t ltp.Turn
	for o.turn.signals.ReceiveAsync(&t) {
		o.turn.come, o.turn.watched = true, t.Watched
	}
	return !o.turn.come
}

// awaitsTurn reports whether the turn is all that the order waits for.
func (o *order) awaitsTurn() bool { return o.last.Reason == ltp.ReasonAwaitsTurn }

// listen has an order that waits hear of its turn and of being expedited.
func (o *order) listen(ctx workflow.Context, s workflow.Selector) {
	if o.OrderingKey != "" {
		s.AddReceive(o.turn.signals, func(workflow.ReceiveChannel, bool) { o.inLine() })
	}
	s.AddReceive(o.expedite, func(c workflow.ReceiveChannel, _ bool) {
		for c.ReceiveAsync(nil) {
			o.first = true
		}
		o.hasten(ctx)
	})
}

// hasten shows that an order which waits for a component is to be released first. One
// that waits for its turn cannot go before those ahead of it; it shows this when it
// waits for a component again.
func (o *order) hasten(ctx workflow.Context) {
	if o.awaitsTurn() {
		return
	}
	if class, news := o.class(); news {
		if err := workflow.UpsertTypedSearchAttributes(ctx, class); err != nil {
			o.log.Error("order not expedited", "order", o.ID, "error", err)
		}
	}
}

// class is the order's priority for the index, and whether that does not tell it yet.
func (o *order) class() (update temporal.SearchAttributeUpdate, news bool) {
	class := o.Class()
	if o.first {
		class = 0
	}
	news, o.shown = class != o.shown, class
	return priorityAttribute.ValueSet(int64(class)), news
}

// marks are the search attributes of an order that was deferred by r. One that awaits
// its turn waits for no component, so that no replay finds it.
func (o *order) marks(r ltp.Routing) []temporal.SearchAttributeUpdate {
	marks := []temporal.SearchAttributeUpdate{
		stateAttribute.ValueSet(string(ltp.Deferred)),
		componentAttribute.ValueSet(r.Component),
		epochAttribute.ValueSet(r.Epoch),
		reasonAttribute.ValueSet(string(r.Reason)),
	}
	if r.Component == "" {
		marks[1], marks[2] = componentAttribute.ValueUnset(), epochAttribute.ValueUnset()
	}
	if class, news := o.class(); news {
		marks = append(marks, class)
	}
	return marks
}

// rejoin makes sure that an order whose backstop rang while it awaited its turn stands
// in line.
func (o *order) rejoin(ctx workflow.Context, woken ltp.Wake) {
	if woken != ltp.WokenByTimer || !o.awaitsTurn() || !o.inLine() || o.expired(ctx) {
		return
	}
	var a *activities.Sequences
	in := o.place()
	if err := workflow.ExecuteLocalActivity(atSequence(ctx, "stands in line?"), a.Join, in).Get(ctx, &o.turn.sequence); err != nil {
		o.log.Warn("order may not stand in line, its backstop looks again", "order", o.ID, "key", o.OrderingKey, "error", err)
	}
}

// leave tells the sequence that the order ends, unless that is watching. It is a hint
// only: the next order has its turn when this one has ended, and not before.
func (o *order) leave(ctx workflow.Context) {
	if o.OrderingKey == "" || o.inLine() || workflow.Now(ctx).Before(o.turn.watched) {
		return
	}
	var a *activities.Sequences
	if err := workflow.ExecuteLocalActivity(atSequence(ctx, "leaves its sequence"), a.Leave, o.place()).Get(ctx, nil); err != nil {
		o.log.Warn("order ends unheard, its sequence finds out later", "order", o.ID, "key", o.OrderingKey, "error", err)
	}
}

func (o *order) place() activities.PlaceInput {
	return activities.PlaceInput{Key: o.OrderingKey, OrderID: o.ID, Sequence: o.turn.sequence}
}

// atSequence are the options of a local activity at the sequence, which must not keep an order
// for long.
func atSequence(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithLocalActivityOptions(disconnected(ctx), workflow.LocalActivityOptions{
		StartToCloseTimeout: 2 * time.Second, ScheduleToCloseTimeout: 5 * time.Second, Summary: summary,
		RetryPolicy: &temporal.RetryPolicy{InitialInterval: 100 * time.Millisecond, MaximumAttempts: 3},
	})
}
