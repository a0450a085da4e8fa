package starter

import (
	"context"
	"errors"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// Announced is an announcement of an order to its webhooks, as it stands in the order's
// history.
type Announced struct {
	ltp.Announcement
	At time.Time
	// Status is where the order was then.
	Status Status
	// Run is the first run of the order's workflow, which distinguishes it from an earlier order
	// of the same ID.
	Run string
}

// Announced are the announcements of an order from a number on, and those directly before
// that number that were missed; the last number that is recorded comes with them. Those of
// runs that Temporal has deleted are left out, and so are those whose activity failed, unless
// the order has ended by them. It needs no worker.
func (s *Starter) Announced(ctx context.Context, orderID string, from int) (all []Announced, last int, err error) {
	d, err := s.describe(ctx, orderID)
	if err != nil {
		return nil, 0, err
	}
	info := d.GetWorkflowExecutionInfo()
	accepted := info.GetStartTime().AsTime()
	if continued(info) {
		if accepted, err = s.accepted(ctx, info); err != nil {
			return nil, 0, lookup(orderID, err)
		}
	}
	latest := info.GetExecution().GetRunId()
	for run := latest; run != ""; {
		r, err := s.announcedIn(ctx, orderID, run, accepted)
		switch {
		case errors.As(err, new(*serviceerror.NotFound)) && run != latest: // only later runs are left
			return all, last, nil
		case err != nil:
			return nil, 0, lookup(orderID, err)
		}
		last = max(last, r.last)
		kept, more := r.from(from)
		if all = append(kept, all...); !more {
			break
		}
		run = r.before
	}
	return all, last, nil
}

// announcing is what one run of an order has announced.
type announcing struct {
	before string // the run before
	last   int    // the number of the last announcement, in this run or before
	all    []Announced
}

// from are the announcements from a number on, with those directly before it that were
// missed, and whether there may be more of them in an earlier run.
func (r announcing) from(n int) (kept []Announced, more bool) {
	first := len(r.all)
	for first > 0 && (r.all[first-1].N >= n || r.all[first-1].Missed) {
		first--
	}
	return r.all[first:], first == 0
}

// announcedIn reads one run. The announcement of an end counts once the end is recorded.
func (s *Starter) announcedIn(ctx context.Context, orderID, run string, accepted time.Time) (r announcing, err error) {
	st := Status{OrderID: orderID, AcceptedAt: accepted}
	var first string   // the first run
	var n int          // the number of the announcement that was read last
	var open Announced // that announcement, while what it is of has yet to be recorded
	of := &commonpb.WorkflowExecution{WorkflowId: ltp.OrderWorkflowID(orderID), RunId: run}
	for e, err := range s.history(ctx, of, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT) {
		if err != nil {
			return r, err
		}
		if a := e.GetWorkflowExecutionStartedEventAttributes(); a != nil {
			var p ltp.Progress
			if err := trace.Decode(a.GetInput(), &p); err != nil {
				return r, err
			}
			r.before, first, n = a.GetContinuedExecutionRunId(), a.GetFirstExecutionRunId(), p.Announcing.Count
			r.last = n
			st.class(a.GetPriority(), ltp.DefaultPriority)
			continue
		}
		at := e.GetEventTime().AsTime()
		made, ok, err := trace.Announcement(e)
		if err != nil {
			return r, err
		}
		if ok {
			n++
			open = Announced{Announcement: made, At: at, Status: st, Run: first}
			open.OrderID, open.N, open.Missed = orderID, n, made.Missed || made.Event == ""
			if made.Event != "" && !made.Event.Final() {
				open.Status.waits(made.Wait)
				open.Status.Message = open.Status.State.Message()
				r.last, r.all = n, append(r.all, open)
			}
			continue
		}
		outcome, ended, err := trace.Outcome(e)
		if err != nil {
			return r, err
		}
		if event := ltp.WebhookEventOf(outcome.State); ended && event != "" && open.N == n && n > r.last {
			open.Event, open.At = event, at
			open.Status.end(outcome, at)
			r.last, r.all = n, append(r.all, open)
		}
	}
	return r, nil
}
