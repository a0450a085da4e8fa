package trace

import (
	"fmt"

	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
)

// The local activities of an order in the sequence of its key, by their Temporal names.
const (
	join  = "Join"
	leave = "Leave"
)

// placed reports whether an event is one of the order and its sequence: nothing is
// decided there. That the order had to see to its place itself is worth a note.
func (o *orderReader) placed(e *historypb.HistoryEvent) bool {
	m := e.GetMarkerRecordedEventAttributes()
	var about struct{ ActivityType string }
	if o.Order.OrderingKey == "" || m.GetMarkerName() != localActivityMarker || Decode(m.GetDetails()["data"], &about) != nil {
		return false
	}
	switch about.ActivityType {
	case join:
		o.note(e, NoteTurn, "", "saw to it that it stands in line")
		return true
	case leave:
		return true
	}
	return false
}

// hasTurn keeps that every order before this one has ended.
func (o *orderReader) hasTurn(e *historypb.HistoryEvent) {
	a := e.GetWorkflowExecutionSignaledEventAttributes()
	var t ltp.Turn
	if err := Decode(a.GetInput(), &t); err != nil {
		o.note(e, NoteSignal, a.GetIdentity(), fmt.Sprintf("sent a %s signal that cannot be read: %v", ltp.TurnSignal, err))
		return
	}
	o.called, o.turn = true, true
	o.note(e, NoteTurn, a.GetIdentity(), "told the order that its turn has come")
}

// awaitsTurn reports whether the order was deferred until its turn comes.
func (o *orderReader) awaitsTurn() bool { return o.last.Reason == ltp.ReasonAwaitsTurn }

// inLine reports whether the order must not act yet.
func (o *orderReader) inLine() bool { return o.Order.OrderingKey != "" && !o.turn }

// inTurn checks what a routing says of the order's turn.
func (o *orderReader) inTurn(r ltp.Routing) error {
	switch {
	case r.InLine && o.Order.OrderingKey == "":
		return fmt.Errorf("attempt %d awaits a turn, and the order has no ordering key", r.Attempt)
	case !r.InLine && o.inLine():
		return fmt.Errorf("attempt %d does not await the order's turn, which has not come", r.Attempt)
	}
	return nil
}

// wakes are what may have made a deferred order ask again.
func (o *orderReader) wakes() []ltp.Wake {
	switch {
	case o.awaitsTurn() && o.turn:
		return []ltp.Wake{ltp.WokenByTurn, ltp.WokenByTimer}
	case o.awaitsTurn():
		return []ltp.Wake{ltp.WokenByTimer}
	}
	return []ltp.Wake{ltp.WokenBySignal, ltp.WokenByTimer}
}
