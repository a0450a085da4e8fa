package ltp

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// RouteInput is one route request: the input of CheckOrientation, and part of that of
// Execute.
type RouteInput struct {
	OrderID    string   `json:"order_id"`
	Components []string `json:"components"`
	// Written is the component that the order is written to; empty where an activity of
	// the user's executes it.
	Written string  `json:"written,omitempty"`
	Request Request `json:"request"`
	Attempt int     `json:"attempt"`
	Woken   Wake    `json:"woken,omitempty"`
	// Waited is how long the order has waited for its first routing, by Temporal's clock;
	// zero for every other.
	Waited time.Duration `json:"waited,omitempty"`
	// Failure is set after an attempt that failed: the router finds out whose fault it was.
	Failure *Failure `json:"failure,omitempty"`
}

// Failure is what an attempt failed with.
type Failure struct {
	Result Result `json:"result"`
	// Code is the database's, such as the SQLSTATE 42501; Error are its words.
	Code  string `json:"code,omitempty"`
	Error string `json:"error,omitempty"`
	// Activity is the user's that executes the order; empty for the order database.
	Activity string `json:"activity,omitempty"`
	// Since is when the workflow task of the attempt began, by Temporal's clock.
	Since time.Time `json:"since"`
}

// FailureCause says whose fault the failure of an attempt was.
type FailureCause string

// Whose fault it may be. Empty is that nobody knows.
const (
	// CauseOrder: after the failure, another order or the probe's own went through the
	// same write path.
	CauseOrder FailureCause = "ORDER"
	// CauseComponent: the probe's own order failed, too.
	CauseComponent FailureCause = "COMPONENT"
)

// Routing is one routing of an order: the request and the answer to it. CheckOrientation
// returns one, and Execute returns one where its fence routed the order, so the marker
// event that Temporal keeps of that local activity holds the route_request and the
// route_response frame.
type Routing struct {
	// Attempt counts the routings of this order, from 1.
	Attempt int `json:"attempt"`
	// Woken is what made a deferred order ask again.
	Woken Wake `json:"woken,omitempty"`
	// Request is what was asked; Decide answers it by the orientation that follows.
	Request  Request  `json:"request,omitzero"`
	Decision Decision `json:"decision"`
	Reason   Reason   `json:"reason"`
	// Component, State and Epoch are the orientation that decided, as read at ReadAt.
	Component string    `json:"component"`
	State     State     `json:"state"`
	Epoch     int64     `json:"epoch"`
	ReadAt    time.Time `json:"read_at,omitzero"`
	// Written is the epoch of the component that the order is written to.
	Written int64 `json:"written,omitempty"`
	// Unreadable says that the worker that routed had no orientation it could trust, which is
	// not news of the component.
	Unreadable bool `json:"blind,omitempty"`
	// Cause says whose fault the failure was that made the order ask.
	Cause FailureCause `json:"blame,omitempty"`
	// Backstop is the worker's, where it is not DefaultBackstop.
	Backstop Backstop `json:"backstop,omitzero"`
}

// Replays is the frame ID of the request that the nth routing of an order replays; empty
// for the first.
func Replays(orderID string, attempt int) string {
	if attempt <= 1 {
		return ""
	}
	return RequestFrameID(orderID, 1)
}

// NotRouted is the routing of a request that no worker answered: the order is deferred.
func (in RouteInput) NotRouted() Routing {
	return Routing{
		Attempt: in.Attempt, Woken: in.Woken, Request: in.Request,
		Decision: Defer, Reason: ReasonUnknown, Component: in.Components[0], State: Unknown, Unreadable: true,
	}
}

// Wake is what made a deferred order ask again.
type Wake string

// What wakes a deferred order.
const (
	WokenBySignal  Wake = "SIGNAL"  // the replay engine, or anyone who sent the stability signal
	WokenByTimer   Wake = "TIMER"   // the backstop
	WokenByFailure Wake = "FAILURE" // its own execution failed
	WokenByFence   Wake = "FENCE"   // it was admitted, and the fence before the write found another orientation
	WokenByTurn    Wake = "TURN"    // the orders before it in the sequence of its ordering key have ended
	WokenByRetry   Wake = "RETRY"   // an operator has asked to retry the order, which was parked
	WokenByPass    Wake = "PASS"    // an operator lets the order through a hold
)

// Stability says that a component may be fit again. It is the payload of the stability
// Update, by which the replay engine releases an order and learns what became of it, and
// of the signal of that name, which does the same without an answer. The epoch that it
// names is one that the order may be written under; the state is not believed.
type Stability struct {
	Component string `json:"component"`
	State     State  `json:"state"`
	Epoch     int64  `json:"epoch"`
}

// Stamp is what the door read, before it accepted an order, of the component that the
// order will be written to. The number counts, as a fencing token; the state is for
// people. No stamp counts as epoch 0.
type Stamp struct {
	Epoch int64 `json:"epoch,omitempty"`
	State State `json:"state,omitempty"`
}

// Wait is what a deferred order waits for, and Mark shows it in the search attributes.
// An order that awaits its turn waits for no component.
type Wait struct {
	Component string `json:"component,omitempty"`
	Epoch     int64  `json:"epoch,omitempty"`
	Reason    Reason `json:"reason,omitempty"`
}

// Mark is what the search attributes say of an order. The zero Mark says nothing.
type Mark struct {
	Wait
	// Priority is the order's class, 0 for an expedited one; DefaultPriority where the
	// search attributes do not tell.
	Priority int `json:"priority"`
}

// SupersededBy reports whether s is worth waking an order that waits for w: what is said
// under the epoch that it was deferred under, or an earlier one, is not. To an order that
// was left to a replay, the word of this very replay is.
func (w Wait) SupersededBy(s Stability) bool {
	switch {
	case w.Reason == ReasonAwaitsTurn || s.Component == "":
		return false
	case s.Component != w.Component || s.Epoch > w.Epoch:
		return true
	}
	return s.Epoch == w.Epoch && w.Reason.DefersToReplay()
}

// Ending is how an order is to end, or ended, without being executed.
type Ending struct {
	State  OrderState `json:"state"` // CANCELLED, EXPIRED or REJECTED
	Reason string     `json:"reason,omitempty"`
}

// Parking is why an order is parked: it keeps failing by its own fault while others commit. The order
// waits for an operator, or for its customer to cancel it.
type Parking struct {
	// Since is when it was parked, and Failures how many attempts in a row had failed.
	Since    time.Time `json:"since"`
	Failures int       `json:"failures"`
	// Error is what the last attempt failed with, in the words of the order database.
	Error string `json:"error"`
}

// Instruction is an operator's, to a parked order. An order that is not parked ignores it.
type Instruction struct {
	Do  Do     `json:"do"`
	By  string `json:"by"`
	Why string `json:"why,omitempty"`
}

// Do is what an operator wants done with a parked order.
type Do string

// What can be done with a parked order.
const (
	DoRetry  Do = "RETRY"  // route it again
	DoReject Do = "REJECT" // end it REJECTED, unless it turns out to be written
)

// Validate says what makes the instruction impossible, and nil when nothing does.
func (i Instruction) Validate() error {
	switch {
	case i.Do != DoRetry && i.Do != DoReject:
		return fmt.Errorf("%q is no instruction: use RETRY or REJECT", i.Do)
	case i.By == "":
		return errors.New("say who you are")
	case i.Do == DoReject && isBlank(i.Why):
		return errors.New("say why the order is rejected: its customer reads it")
	}
	return nil
}

// Outcome is how an order ended: the result of its workflow.
type Outcome struct {
	State OrderState `json:"state"`
	// Reason says why, in the words of the order database where it refused.
	Reason string `json:"reason,omitempty"`
	// Receipt is set when the order was executed.
	Receipt *Receipt `json:"receipt,omitempty"`
}

// Receipt is of the write of an order. The order's row holds the same: attempt, epoch and
// state of the fence, when it was read, when the write began, and who wrote.
type Receipt struct {
	// Attempt is the frame ID of the route_request under which it was written.
	Attempt string `json:"attempt,omitempty"`
	// Worker is who wrote: host and process.
	Worker string `json:"worker,omitempty"`
	// Repeated says that an earlier attempt, whose outcome was not known, had already
	// written the order: Attempt, Worker, Fence and BegunAt are of that one.
	Repeated bool `json:"repeated,omitempty"`
	// BegunAt and CommittedAt are when the write began and was acknowledged, by the
	// worker's clock; of a repeated one CommittedAt is when it was found.
	BegunAt     time.Time `json:"begun_at"`
	CommittedAt time.Time `json:"committed_at"`
	// Fence is the orientation that the write began under.
	Fence Fence `json:"fence"`
	// Result is what an activity of the user's returned, as JSON; see Execution.
	Result json.RawMessage `json:"result,omitempty"`
}

// Fence is what was held true, at the moment a write began, of the component that was
// written to.
type Fence struct {
	Component string `json:"component"`
	State     State  `json:"state"`
	Epoch     int64  `json:"epoch"`
	// LastFit is the component's last fit epoch, which may be Epoch.
	LastFit int64 `json:"last_fit,omitempty"`
	// ReadAt is when that was asked of Temporal, by the worker's clock, in milliseconds:
	// a state that was published before is one that the write knew of.
	ReadAt time.Time `json:"read_at,omitzero"`
}

// Unwritten reports whether no write of an order with this stamp can have begun, now or
// later, by a reading of the component that it is written to: the component is unfit, and
// was in no fit epoch since the door stamped the order. A write would have needed one.
func (f Fence) Unwritten(s Stamp) bool {
	return !f.State.Fit() && f.State != "" && f.Epoch > 0 && s.Epoch > 0 && s.Epoch <= f.Epoch && f.LastFit < s.Epoch
}

// RequestFrameID names the route_request frame of an order's nth routing.
func RequestFrameID(orderID string, attempt int) string {
	return fmt.Sprintf("%s/%d", orderID, attempt)
}

// ResponseFrameID names the route_response frame of an order's nth routing.
func ResponseFrameID(orderID string, attempt int) string {
	return RequestFrameID(orderID, attempt) + "/response"
}
