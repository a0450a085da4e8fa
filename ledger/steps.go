package ledger

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// step is one frame of an order.
type step struct {
	at      time.Time
	rank    byte
	id      string
	kind    ltp.FrameType
	payload any
}

// steps are the frames of an order in the order of its history.
func (x *exporter) steps(ctx context.Context, f trace.Found) (all []step, err error) {
	t := f.Trace
	order := orderOf(t)
	executions := map[string]trace.Execution{}
	for _, e := range t.Executions {
		executions[e.RequestFrameID] = e
	}
	for i := 0; i+1 < len(t.Frames); i += 2 {
		request, response := t.Frames[i], t.Frames[i+1]
		two, err := x.routing(ctx, order, request, response, f)
		if err != nil {
			return nil, err
		}
		all = append(all, two...)
		if e, ok := executions[request.ID]; ok {
			at := e.EndedAt
			if at.IsZero() {
				at = e.ScheduledAt
			}
			p := &Snapshot{Execution: executionOf(order.ID, e)}
			all = append(all, step{at, rankOther, request.ID + "/execution", ltp.FrameFocusSnapshot, p})
			if err := x.fence(ctx, e.Fence); err != nil {
				return nil, err
			}
		}
	}
	steady(all)
	for i, n := range inTurn(t.Notes) {
		p := &Snapshot{Note: &OrderNote{order.ID, i + 1, Note{n.Kind, n.By, n.Text, eventOf(n.Source)}}}
		all = append(all, step{n.At, rankOther, fmt.Sprintf("%s/note/%d", order.ID, i+1), ltp.FrameFocusSnapshot, p})
	}
	slices.SortStableFunc(all, func(a, b step) int { return a.at.Compare(b.at) })
	all = append(all, ending(t, order, len(all)+1))
	steady(all)
	return all, nil
}

// steady keeps time from running backwards within an order, whatever the clocks of the
// machines of Temporal say.
func steady(all []step) {
	for i := 1; i < len(all); i++ {
		before, s := all[i-1], &all[i]
		if !s.at.After(before.at) {
			s.at, s.rank = before.at, max(s.rank, before.rank)
		}
	}
}

// routing are the two frames of a routing. They stand where what was said was held true:
// not after the moment at which the next orientation was published, however long it took
// until Temporal had recorded the answer.
func (x *exporter) routing(ctx context.Context, order Order, request, response ltp.Frame, f trace.Found) ([]step, error) {
	q, r := *request.Request, *response.Response
	held, err := x.component(ctx, r.Component)
	if err != nil {
		return nil, err
	}
	held.need(r.Epoch)
	at, rank := request.At, rankOther
	if next, ok := held.published[r.Epoch+1]; ok && !at.Before(next) && r.Admissible {
		at, rank = next, rankLate
	}
	if own, ok := held.published[r.Epoch]; ok && at.Before(own) {
		at = own
	}
	asked := Request{Order: order, Attempt: q.Attempt, Woken: q.Woken, InLine: q.InLine, RecordedMs: ms(request.At), Source: eventOf(request.Source)}
	if q.Replay {
		asked.ReplayContext = &ReplayContext{q.OriginalFrameID, q.DeferredReason}
	}
	answer := Response{
		OrderID: order.ID, RequestFrameID: request.ID, Decision: r.Decision, Reason: r.Reason,
		Component: r.Component, State: r.State, Epoch: r.Epoch, RecordedMs: ms(response.At), Source: eventOf(response.Source),
	}
	if id := response.Source.EventID; id > 0 && id <= int64(len(f.Events)) {
		if read, ok, err := trace.Routing(f.Events[id-1]); err == nil && ok {
			answer.Blind, answer.ReadMs = read.Blind, ms(read.ReadAt)
		}
	}
	return []step{
		{at, rank, request.ID, ltp.FrameRouteRequest, asked.complete()},
		{at, rank, response.ID, ltp.FrameRouteResponse, answer.complete()},
	}, nil
}

// fence makes sure that the orientation that a write was fenced by is in the file.
func (x *exporter) fence(ctx context.Context, f ltp.Fence) error {
	if f.Component == "" {
		return nil
	}
	held, err := x.component(ctx, f.Component)
	if err == nil {
		held.need(f.Epoch)
	}
	return err
}

// ending is the last step of an order.
func ending(t trace.OrderTrace, order Order, entries int) step {
	end := &End{Order: order, State: t.State(), RunID: t.RunID, Entries: entries, Pending: t.Outcome == nil, EndedMs: ms(t.EndedAt)}
	at := t.AcceptedAt // a pending order's stands behind all else that is known of it
	if t.Outcome != nil {
		end.Reason, at = t.Outcome.Reason, t.EndedAt
	}
	return step{at, rankOther, endID(order.ID), ltp.FrameFocusSnapshot, &Snapshot{End: end}}
}

func endID(orderID string) string { return orderID + "/end" }

// lasting makes a gap that Temporal's retention has left say the same whenever it is
// told: the reader names the moment before which everything is gone, which moves.
func lasting(g trace.Gap) trace.Gap {
	if strings.HasPrefix(g.What, "orders that ended before ") {
		g.What = "orders that ended in the window and that Temporal has forgotten since"
	}
	return g
}
