package trace_test

import (
	"errors"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// TestOrderThatActsBeforeItsTurnIsDamage: its turn stands in its history, or the history
// is not what happened.
func TestOrderThatActsBeforeItsTurnIsDamage(t *testing.T) {
	start := day("14:30:10")
	awaits := func() *order {
		o := inLine("A2", start).routed("", ltp.Defer, ltp.ReasonAwaitsTurn, ltp.Stable, 3)
		o.upsert()
		o.timer()
		o.after(time.Second)
		return o
	}
	for name, make := range map[string]func() *order{
		"it never waited": func() *order {
			o := inLine("A2", start)
			o.hasTurn = true
			return o.routed("", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3).done(ltp.Stable, 3, time.Millisecond)
		},
		"nobody gave it its turn": func() *order {
			o := awaits()
			o.work()
			o.hasTurn = true
			return o.routed(ltp.WokenByTurn, ltp.Execute, ltp.ReasonOK, ltp.Stable, 3).done(ltp.Stable, 3, time.Millisecond)
		},
		"its turn cannot be read": func() *order {
			o := awaits()
			o.signal(ltp.TurnSignal, "now").work()
			o.hasTurn = true
			return o.routed(ltp.WokenByTurn, ltp.Execute, ltp.ReasonOK, ltp.Stable, 3).done(ltp.Stable, 3, time.Millisecond)
		},
		"the replay engine woke it": func() *order {
			o := awaits().told(ltp.Recovering, 5)
			o.work()
			return o.routed(ltp.WokenBySignal, ltp.Defer, ltp.ReasonAwaitsTurn, ltp.Recovering, 5)
		},
		"it took the engine's word": func() *order {
			o := inLine("A2", start).deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
			return o.after(time.Second).taken(ltp.Recovering, 5).done(ltp.Recovering, 5, time.Millisecond)
		},
		"it has no key": func() *order {
			o := newOrder("A2", start)
			o.OrderingKey = "c-17" // as the builder has it, not as it was started
			return o.routed("", ltp.Defer, ltp.ReasonAwaitsTurn, ltp.Stable, 3)
		},
		"it does not go on when its turn has come": func() *order {
			o := awaits().turn()
			o.work()
			o.after(time.Hour).told(ltp.Recovering, 5)
			return o
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := trace.OrderFrames(make().events)
			if !errors.As(err, new(*trace.DamageError)) {
				t.Errorf("%v", err)
			}
		})
	}
}

// TestTurnIsNoted with who gave it, and without the key, which may name a customer.
func TestTurnIsNoted(t *testing.T) {
	got := must(trace.OrderFrames(paths()["had its turn"].order.events))(t)
	if len(got.Notes) != 1 || got.Notes[0].Kind != trace.NoteTurn || got.Notes[0].Text != "told the order that its turn has come" {
		t.Errorf("%+v", got.Notes)
	}
	if !got.Frames[0].Request.InLine || got.Frames[1].Response.Commitment != ltp.TurnCommitment || got.Frames[2].Request.InLine {
		t.Errorf("%+v", got.Frames[1].Response)
	}
	got = must(trace.OrderFrames(paths()["in line until it was cancelled"].order.events))(t)
	var kinds []string
	for _, n := range got.Notes {
		kinds = append(kinds, string(n.Kind))
	}
	same(t, "notes", kinds, []string{"OPERATOR", "TURN", "CANCEL"})
}
