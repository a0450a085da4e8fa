package ltp

import "time"

// FrameType is the kind of a frame, as in LTP v0.1.
type FrameType string

// The types of frames.
const (
	FrameHello         FrameType = "hello"
	FrameHeartbeat     FrameType = "heartbeat"
	FrameOrientation   FrameType = "orientation"
	FrameRouteRequest  FrameType = "route_request"
	FrameRouteResponse FrameType = "route_response"
	FrameFocusSnapshot FrameType = "focus_snapshot"
)

// Frame is one entry of the trace, derived from one event of Temporal history.
// Exactly the field that its Type names is set.
type Frame struct {
	// ID is unique within a namespace: "orders-db@3" for the orientation of
	// epoch 3, "A2/1" for an order's first request, "A2/1/response" for its answer.
	ID   string    `json:"id"`
	Type FrameType `json:"type"`
	At   time.Time `json:"at"`

	Orientation *Orientation   `json:"orientation,omitempty"`
	Request     *RouteRequest  `json:"request,omitempty"`
	Response    *RouteResponse `json:"response,omitempty"`

	// Source says which event of which workflow run this was derived from.
	Source Source `json:"source"`
}

// Source is a place in Temporal history.
type Source struct {
	WorkflowID string `json:"workflow_id"`
	RunID      string `json:"run_id"`
	EventID    int64  `json:"event_id"`
}

// RouteRequest asks whether an order may act.
type RouteRequest struct {
	OrderID string `json:"order_id"`
	Attempt int    `json:"attempt"`
	Replay  bool   `json:"replay,omitempty"`
	// OriginalFrameID names the request that a replay replays, and DeferredReason
	// why that was deferred.
	OriginalFrameID string `json:"original_frame_id,omitempty"`
	DeferredReason  Reason `json:"deferred_reason,omitempty"`
	Woken           Wake   `json:"woken,omitempty"`
	// Asked is the question as it was recorded: Decide answers it again.
	Asked Request `json:"asked,omitzero"`
}

// RouteResponse answers a RouteRequest.
type RouteResponse struct {
	OrderID        string   `json:"order_id"`
	RequestFrameID string   `json:"request_frame_id"`
	Admissible     bool     `json:"admissible"`
	Decision       Decision `json:"decision"`
	Reason         Reason   `json:"reason"`
	Commitment     string   `json:"commitment,omitempty"`
	// Component, State and Epoch are what the answer is based on, as read at ReadAt by
	// the worker's clock; Unreadable says that the worker had no reading that it could trust.
	Component  string    `json:"component"`
	State      State     `json:"state"`
	Epoch      int64     `json:"epoch"`
	ReadAt     time.Time `json:"read_at,omitzero"`
	Unreadable bool      `json:"blind,omitempty"`
	// Cause says whose fault the failure was that made the order ask.
	Cause FailureCause `json:"blame,omitempty"`
}
