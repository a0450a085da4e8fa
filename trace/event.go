// Package trace reads frames out of Temporal history: the history is the trace,
// and nothing is logged twice.
package trace

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
)

// Decode reads a payload of the order node. A payload that cannot be read is an
// error: the trace has no silent gaps.
func Decode(p *commonpb.Payloads, into ...any) error {
	return converter.GetDefaultDataConverter().FromPayloads(p, into...)
}

// Routing is the routing that an event holds, and false when the event is another
// one.
func Routing(e *historypb.HistoryEvent) (ltp.Routing, bool, error) {
	var r ltp.Routing
	m := e.GetMarkerRecordedEventAttributes()
	if m == nil || m.GetMarkerName() != localActivityMarker {
		return r, false, nil
	}
	var about struct{ ActivityType string }
	if err := Decode(m.GetDetails()["data"], &about); err != nil {
		return r, false, fmt.Errorf("event %d: local activity marker: %w", e.GetEventId(), err)
	}
	if about.ActivityType != "CheckOrientation" {
		return r, false, nil
	}
	if m.GetFailure() != nil {
		return r, false, fmt.Errorf("event %d: routing failed: %s", e.GetEventId(), m.GetFailure().GetMessage())
	}
	if err := Decode(m.GetDetails()["result"], &r); err != nil {
		return r, false, fmt.Errorf("event %d: routing: %w", e.GetEventId(), err)
	}
	return r, true, nil
}

// localActivityMarker is the name of the marker that the SDK records for a local
// activity.
const localActivityMarker = "LocalActivity"

// Outcome is how an order ended, by its closing event; false when the event closes
// nothing. An order that somebody ended by force is Terminated.
func Outcome(e *historypb.HistoryEvent) (ltp.Outcome, bool, error) {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED:
		var o ltp.Outcome
		if err := Decode(e.GetWorkflowExecutionCompletedEventAttributes().GetResult(), &o); err != nil {
			return o, false, fmt.Errorf("event %d: outcome: %w", e.GetEventId(), err)
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
