package ltp

import (
	"encoding/json"
	"fmt"
	"time"
)

// Routing is one routing of an order: the request and the answer to it. It is
// what CheckOrientation returns, so the marker event that Temporal keeps of that
// local activity holds the route_request and the route_response frame.
type Routing struct {
	// Attempt counts the routings of this order, from 1.
	Attempt int `json:"attempt"`
	// Replays is the frame ID of the request that this one replays; empty for a
	// new order.
	Replays string `json:"replays,omitempty"`
	// Woken is what made a deferred order ask again.
	Woken    Wake     `json:"woken,omitempty"`
	Decision Decision `json:"decision"`
	Reason   Reason   `json:"reason"`
	// Component, State and Epoch are the orientation that decided, as read at
	// ReadAt.
	Component string    `json:"component"`
	State     State     `json:"state"`
	Epoch     int64     `json:"epoch"`
	ReadAt    time.Time `json:"read_at,omitzero"`
	// Blind says that the worker that routed had no orientation it could trust,
	// which is not news of the component.
	Blind bool `json:"blind,omitempty"`
	// InLine says that the order's turn had not come: see Request.
	InLine bool `json:"in_line,omitempty"`
	// Backstop is the worker's, where it is not DefaultBackstop.
	Backstop Backstop `json:"backstop,omitzero"`
}

// Wake is what made a deferred order ask again.
type Wake string

// What wakes a deferred order.
const (
	WokenBySignal  Wake = "SIGNAL"  // the replay engine
	WokenByTimer   Wake = "TIMER"   // the backstop
	WokenByFailure Wake = "FAILURE" // its own execution failed as unavailable
	WokenByTurn    Wake = "TURN"    // the orders before it in the sequence of its ordering key have ended
)

// Stability tells a deferred order that a component may be fit again. It is the
// payload of the stability signal.
type Stability struct {
	Component string `json:"component"`
	State     State  `json:"state"`
	Epoch     int64  `json:"epoch"`
}

// News reports whether s is worth waking an order that was deferred by r: what is
// said under the epoch that it was deferred under, or an earlier one, is not. To an
// order that was deferred until a replay, or because that is paused, the signal of this
// very replay is. An order that awaits its turn waits for no component.
func (s Stability) News(r Routing) bool {
	if r.Reason == ReasonAwaitsTurn {
		return false
	}
	return s.Component != r.Component || s.Epoch > r.Epoch || s.Epoch == r.Epoch && r.Reason.OfReplay()
}

// Route answers a route request on the word of s alone, and reports whether that
// word admits the order. What it does not admit, the board must decide.
func (s Stability) Route(r Request, attempt int, replays string) (Routing, bool) {
	decision, reason := Decide(Orientation{Component: s.Component, State: s.State, Epoch: s.Epoch}, r)
	return Routing{
		Attempt: attempt, Replays: replays, Woken: WokenBySignal,
		Decision: decision, Reason: reason, Component: s.Component, State: s.State, Epoch: s.Epoch,
	}, decision.Admissible()
}

// Outcome is how an order ended: the result of its workflow.
type Outcome struct {
	State OrderState `json:"state"`
	// Reason says why, in the words of the order database where it refused.
	Reason string `json:"reason,omitempty"`
	// Receipt is set when the order was executed.
	Receipt *Receipt `json:"receipt,omitempty"`
}

// Receipt is what Execute returns of an order that is in the order database.
type Receipt struct {
	// Repeated says that an earlier attempt, whose outcome was not known, had
	// already written the order.
	Repeated bool `json:"repeated,omitempty"`
	// BegunAt and CommittedAt are when the write began and was acknowledged, by
	// the worker's clock.
	BegunAt     time.Time `json:"begun_at"`
	CommittedAt time.Time `json:"committed_at"`
	// Fence is the orientation that the write began under.
	Fence Fence `json:"fence"`
	// Result is what an activity of the user's returned, as JSON; see Execution.
	Result json.RawMessage `json:"result,omitempty"`
}

// Fence is what was held true of the components at the moment a write began.
type Fence struct {
	Component string `json:"component"`
	State     State  `json:"state"`
	Epoch     int64  `json:"epoch"`
	// ReadAt is when that was asked of Temporal, by the worker's clock, in milliseconds:
	// a state that was published before is one that the write knew of.
	ReadAt time.Time `json:"read_at,omitzero"`
}

// RequestFrameID names the route_request frame of an order's nth routing.
func RequestFrameID(orderID string, attempt int) string {
	return fmt.Sprintf("%s/%d", orderID, attempt)
}

// ResponseFrameID names the route_response frame of an order's nth routing.
func ResponseFrameID(orderID string, attempt int) string {
	return RequestFrameID(orderID, attempt) + "/response"
}
