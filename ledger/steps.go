package ledger

import (
	"context"
	"fmt"
	"maps"
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
func (x *exporter) steps(ctx context.Context, t trace.OrderTrace) (all []step, err error) {
	order := orderOf(t)
	place := func(s ltp.Source) [2]int64 { return [2]int64{int64(slices.Index(t.Runs, s.RunID)), s.EventID} }
	type placed struct {
		at    [2]int64
		steps []step
	}
	var done []placed
	snapshot := func(s ltp.Source, at time.Time, id string, p *Snapshot) {
		done = append(done, placed{place(s), []step{{at, rankOther, id, ltp.FrameFocusSnapshot, p}}})
	}
	for i := 0; i+1 < len(t.Frames); i += 2 {
		two, err := x.routing(ctx, order, t.Frames[i], t.Frames[i+1])
		if err != nil {
			return nil, err
		}
		done = append(done, placed{place(t.Frames[i].Source), two})
	}
	for _, e := range t.Executions { // behind the routing that the same event holds
		p, at := executionOf(order.ID, e), e.RecordedAt
		if at.IsZero() {
			at = e.TaskAt
		}
		snapshot(e.Source, at, p.id(), &Snapshot{Execution: p})
		if err := x.fence(ctx, e.Fence); err != nil {
			return nil, err
		}
	}
	parked := t.ParkedBefore()
	for i, before := range slices.Sorted(maps.Keys(parked)) { // behind the routing that it came of
		one, no := parked[before], i+1
		snapshot(t.Frames[before-1].Source, one.Since, parkingID(order.ID, no), &Snapshot{Parking: &Parking{order.ID, no, ms(one.Since), one.Failures, one.Error}})
	}
	for i, w := range t.Withdrawals {
		snapshot(w.Source, w.RecordedAt, withdrawalID(order.ID, i+1), &Snapshot{Withdrawal: withdrawalOf(order.ID, i+1, w)})
		if err := x.fence(ctx, w.Fence); err != nil {
			return nil, err
		}
	}
	slices.SortStableFunc(done, func(a, b placed) int { return slices.Compare(a.at[:], b.at[:]) })
	for _, p := range done {
		all = append(all, p.steps...)
	}
	// What one task did is recorded when the task is over: an attempt stands before the
	// routing that it led to.
	for i := len(all) - 2; i >= 0; i-- {
		if all[i].kind == ltp.FrameFocusSnapshot && all[i].at.After(all[i+1].at) {
			all[i].at = all[i+1].at
		}
	}
	steady(all)
	var notes []step
	for i, n := range inTurn(slices.Concat(t.Notes, lostTasks(t.Lost))) {
		p := &Snapshot{Note: &OrderNote{order.ID, i + 1, Note{n.Kind, n.By, n.Text, eventOf(n.Source)}}}
		notes = append(notes, step{n.At, rankOther, fmt.Sprintf("%s/note/%d", order.ID, i+1), ltp.FrameFocusSnapshot, p})
	}
	all = slices.Concat(notes, all) // of the same moment, what came in stands before what was done about it
	slices.SortStableFunc(all, func(a, b step) int { return a.at.Compare(b.at) })
	all = append(all, ending(t, order, len(all)+1))
	steady(all)
	return all, nil
}

// noAnswer reports whether nothing is known of an attempt. One that was to be made by a
// release has the number that the next routing has, too.
func (x Execution) noAnswer() bool {
	return x.Result == ltp.ResultUnknown && !x.begun() && x.Worker == "" && x.ScheduledMs == 0
}

func (x Execution) id() string {
	if x.noAnswer() {
		return x.RequestFrameID + "/no-answer"
	}
	return x.RequestFrameID + "/execution"
}

func withdrawalID(orderID string, no int) string { return fmt.Sprintf("%s/withdrawal/%d", orderID, no) }

func parkingID(orderID string, no int) string { return fmt.Sprintf("%s/parking/%d", orderID, no) }

// lostTasks are notes of workflow tasks that were lost.
func lostTasks(lost []trace.LostTask) (all []trace.Note) {
	for _, l := range lost {
		text := fmt.Sprintf("a workflow task was lost (%s): what was done in it is in no history", l.Cause)
		all = append(all, trace.Note{At: l.EndedAt, Kind: trace.NoteTask, By: l.Worker, Text: text, Source: l.Source})
	}
	return all
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

// routing are the two frames of a routing. They stand where the answer was held true: not
// after the moment at which the next orientation was published, however long it took until
// the order asked.
func (x *exporter) routing(ctx context.Context, order Order, request, response ltp.Frame) ([]step, error) {
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
	asked := Request{Order: order, Attempt: q.Attempt, Woken: q.Woken, Asked: q.Asked, AskedMs: ms(request.At), Source: eventOf(request.Source)}
	if q.Replay {
		asked.ReplayContext = &ReplayContext{q.OriginalFrameID, q.DeferredReason}
	}
	answer := Response{
		OrderID: order.ID, RequestFrameID: request.ID, Decision: r.Decision, Reason: r.Reason,
		Component: r.Component, State: r.State, Epoch: r.Epoch, Unreadable: r.Unreadable, ReadMs: ms(r.ReadAt), Cause: r.Cause,
		RecordedMs: ms(response.At), Source: eventOf(response.Source),
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

// lasting makes a gap that Temporal's retention has left the same whenever it is written:
// the reader names the moment before which everything is gone, which moves.
func lasting(g trace.Gap) trace.Gap {
	if strings.HasPrefix(g.What, "orders that ended before ") {
		g.What = "orders that ended in the window and that Temporal has forgotten since"
	}
	return g
}
