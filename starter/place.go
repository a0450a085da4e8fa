package starter

import (
	"context"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay"
)

// Place is the place of a deferred order in the backlog of the component that it waits for,
// and when it has its turn where that can be said, as ltp replay plan would say. It is about:
// see [ltp.Place] and [replay.Places]. Nil is that the order waits for no backlog, since it
// awaits its turn, is parked, or is to end without being executed, and that the place is not
// known before ctx ends. An order that waits for several components stands in the backlog
// of the one that deferred it. What else it waits for, its turn or another component, counts
// for nothing here. Place needs no worker, and one reading serves all who ask.
func (s *Starter) Place(ctx context.Context, st Status) *ltp.Place {
	if st.State != ltp.Deferred || st.Component == "" || st.Reason == ltp.ReasonAwaitsProof || st.CancelRequested || st.AcceptedAt.IsZero() {
		return nil
	}
	r, err := s.reading(ctx, st.Component)
	if err != nil {
		return nil
	}
	o := replay.PlannedOrder{
		OrderID: st.OrderID, WorkflowID: ltp.OrderWorkflowID(st.OrderID), StartedAt: st.AcceptedAt, Priority: st.Priority,
	}
	if o.Priority == 0 && !st.Expedited {
		o.Priority = ltp.DefaultPriority
	}
	place, ok := s.places.Of(ctx, r, o, st.Epoch)
	if !ok {
		return nil
	}
	return &place
}
