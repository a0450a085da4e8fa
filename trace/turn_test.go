package trace_test

import (
	"testing"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// TestTurnIsNoted with who gave it, and without the key, which may name a customer.
func TestTurnIsNoted(t *testing.T) {
	got := must(trace.OrderFrames(paths()["had its turn"].order.Events))(t)
	if len(got.Notes) != 1 || got.Notes[0].Kind != trace.NoteTurn || got.Notes[0].Text != "gave the order its turn" {
		t.Errorf("%+v", got.Notes)
	}
	if !got.Frames[0].Request.Asked.InLine || got.Frames[1].Response.Commitment != ltp.TurnCommitment || got.Frames[2].Request.Asked.InLine {
		t.Errorf("%+v", got.Frames[1].Response)
	}
	got = must(trace.OrderFrames(paths()["in line until it was cancelled"].order.Events))(t)
	var kinds []string
	for _, n := range got.Notes {
		kinds = append(kinds, string(n.Kind))
	}
	same(t, "notes", kinds, []string{"OPERATOR", "TURN", "CANCEL"})
}
