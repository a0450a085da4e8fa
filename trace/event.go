// Package trace reads frames out of Temporal history, by event sourcing: it folds the state
// machines over the recorded events. The history is the trace, and nothing is logged twice.
//
// From the events up: OrderFrames and OrientationFrames read one workflow's
// history, Incidents finds what happened to a component and Choose picks one,
// NewTimeline joins it with the orders that met it, WriteTimeline and WriteOrder show
// it. All of these are pure functions. Reader fetches the histories; it needs no worker.
//
// Of any number of orders, Reader.Each yields one after the other, and Digest and
// FrameStream show them in bounded memory. Reader.Follow shows what happens as it does.
package trace

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/payload"
)

// Decode reads a payload of the order node. A payload that cannot be read, or is
// not there, is an error: the trace has no silent gaps.
func Decode(p *commonpb.Payloads, into ...any) error {
	if n := len(into) - len(p.GetPayloads()); n > 0 {
		return fmt.Errorf("%d of %d values are missing", n, len(into))
	}
	return payload.Converter().FromPayloads(p, into...)
}

// Routing is the routing that an event holds, that of CheckOrientation or of the fence in
// Execute, and false when the event holds none.
func Routing(e *historypb.HistoryEvent) (r ltp.Routing, ok bool, err error) {
	a, ok, err := readLocalActivity(e)
	switch {
	case err != nil || !ok || a.failed:
	case a.ActivityType == checkOrientation:
		err = Decode(a.result, &r)
		ok = err == nil
	case a.ActivityType == execute:
		var x ltp.Attempt
		err = Decode(a.result, &x)
		if ok = err == nil && x.Routing != nil; ok {
			r = *x.Routing
		}
	default:
		ok = false
	}
	if err != nil {
		return ltp.Routing{}, false, fmt.Errorf("event %d: routing: %w", e.GetEventId(), err)
	}
	return r, ok && !a.failed, nil
}

const (
	// localActivityMarker is the name of the marker that the SDK records for a local
	// activity.
	localActivityMarker = "LocalActivity"
	// The activities, by their Temporal names.
	checkOrientation = "CheckOrientation"
	execute          = "Execute"
	withdraw         = "Withdraw"
	join             = "Join"
	releaseTurn      = "ReleaseTurn"
	announce         = "Announce"
	observe          = "Observe"
)

// Announcement is what an event says that the webhooks of the order are sent, and false where
// the event is no announcement. One that failed is zero: what it was to tell is not recorded.
func Announcement(e *historypb.HistoryEvent) (made ltp.Announcement, ok bool, err error) {
	a, ok, err := readLocalActivity(e)
	if err == nil && ok && a.ActivityType == announce {
		if !a.failed {
			err = Decode(a.result, &made)
		}
	} else {
		ok = false
	}
	if err != nil {
		return ltp.Announcement{}, false, fmt.Errorf("event %d: announcement: %w", e.GetEventId(), err)
	}
	return made, ok, nil
}

// Outcome is how an order ended, by its closing event; false when the event closes
// nothing. An order that somebody ended by force is Terminated.
func Outcome(e *historypb.HistoryEvent) (ltp.Outcome, bool, error) {
	o, ok, err := outcome(e)
	if err != nil {
		return ltp.Outcome{}, false, fmt.Errorf("event %d: %w", e.GetEventId(), err)
	}
	return o, ok, nil
}

func outcome(e *historypb.HistoryEvent) (o ltp.Outcome, ok bool, err error) {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
		if err := Decode(e.GetWorkflowExecutionCompletedEventAttributes().GetResult(), &o); err != nil {
			return o, false, fmt.Errorf("outcome: %w", err)
		}
		if !o.State.Final() {
			return o, false, fmt.Errorf("outcome: %q is not how an order ends", o.State)
		}
		return o, true, nil
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED:
		return ltp.Outcome{State: ltp.Cancelled}, true, nil
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
		why := e.GetWorkflowExecutionTerminatedEventAttributes().GetReason()
		return ltp.Outcome{State: ltp.Terminated, Reason: "ended by force in Temporal: " + why}, true, nil
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
		why := e.GetWorkflowExecutionFailedEventAttributes().GetFailure().GetMessage()
		return ltp.Outcome{State: ltp.Terminated, Reason: "the order's workflow failed: " + why}, true, nil
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TIMED_OUT:
		return ltp.Outcome{State: ltp.Terminated, Reason: "the order's workflow timed out"}, true, nil
	}
	return ltp.Outcome{}, false, nil
}
