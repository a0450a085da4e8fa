package starter

import (
	"context"
	"iter"
	"reflect"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/longpoll"
)

// Changes yields where an order is, and yields it again each time that it has changed,
// until the order has ended or ctx has. It needs no worker. An error is the last that it
// yields; that ctx has ended is none.
func (s *Starter) Changes(ctx context.Context, orderID string) iter.Seq2[Status, error] {
	return func(yield func(Status, error) bool) {
		last, at, err := s.currentStatus(ctx, orderID)
		if ctx.Err() != nil {
			return
		}
		if !yield(last, err) || err != nil || last.State.Final() {
			return
		}
		polling, stop := longpoll.Patient(ctx)
		defer stop()
		for {
			// The history of a run that ends leads to what came of it, or to the next run.
			before := at
			events := s.client.GetWorkflowHistory(polling, ltp.OrderWorkflowID(orderID), at.run, true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
			for events.HasNext() && at.run == before.run {
				var now Status
				e, err := events.Next()
				if err != nil {
					err = lookup(orderID, err)
				} else if e.GetEventId() <= at.length || !changesStatus(e) {
					continue
				} else {
					now, at, err = s.currentStatus(ctx, orderID)
				}
				switch {
				case ctx.Err() != nil:
					return
				case err == nil && reflect.DeepEqual(now, last):
					continue
				case !yield(now, err) || err != nil || now.State.Final():
					return
				}
				last = now
			}
			if at == before || ctx.Err() != nil { // nothing more can come
				return
			}
		}
	}
}

// changesStatus reports whether an event may change where an order is. Those of workflow tasks
// do not.
func changesStatus(e *historypb.HistoryEvent) bool {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED, enumspb.EVENT_TYPE_WORKFLOW_TASK_STARTED,
		enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED, enumspb.EVENT_TYPE_WORKFLOW_TASK_FAILED, enumspb.EVENT_TYPE_WORKFLOW_TASK_TIMED_OUT:
		return false
	}
	return true
}
