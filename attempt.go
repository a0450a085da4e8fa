package ltp

import (
	"slices"
	"time"
)

// AttemptTimeout is longer than any attempt at a write is allowed to take, and shorter than
// the 8 s after which Temporal has a workflow task send heartbeats, each three events. The
// reading that a write begins on is asked for within the attempt, so AttemptTimeout after a
// component was published as unfit no write begins on a reading of before.
const AttemptTimeout = 7 * time.Second

// ExecuteInput asks for one attempt to write an order.
type ExecuteInput struct {
	Order Order `json:"order"`
	// Route is the request that the fence answers, with the number of the routing that it
	// makes where it does.
	Route RouteInput `json:"route"`
	// Admitted says that the routing before this one admitted the order: the fence only
	// makes one of its own where it finds otherwise. Without it the fence routes, and the
	// Attempt has a Routing whatever comes of it, an unreadable one where nothing could be read.
	Admitted bool `json:"admitted,omitempty"`
	// Given are the epochs of the written component that the task was given: the door's
	// stamp, a routing recorded in an earlier task, a signal in history, the Update that
	// the task serves. A write begins under no other.
	Given []int64 `json:"given,omitempty"`
	// Named is the one of them that only a signal or an Update names. A sender may name an
	// epoch that is yet to come; a task that was lost long ago must not write under it. So
	// it counts only if the epoch had begun at TaskAt, when the workflow task did. Both
	// times are Temporal's.
	Named  int64     `json:"named,omitempty"`
	TaskAt time.Time `json:"task_at,omitzero"`
}

// Attempt is the result of Execute, and what the workflow makes of the user's activity:
// everything that is foreseen is a Result, and no error.
type Attempt struct {
	Result Result `json:"result"`
	// Routing is set where the fence routed the order.
	Routing *Routing `json:"routing,omitempty"`
	// Fence is the reading that the attempt began under, or did not begin under.
	Fence Fence `json:"fence,omitzero"`
	// BegunAt is when the write began, and zero if it never did; EndedAt is when the
	// answer came. Both are by the worker's clock.
	BegunAt time.Time `json:"begun_at,omitzero"`
	EndedAt time.Time `json:"ended_at,omitzero"`
	Worker  string    `json:"worker,omitempty"`
	// Receipt is of the row, where the order is written.
	Receipt *Receipt `json:"receipt,omitempty"`
	// Withdrawn is what the tombstone says that was found under the order's key.
	Withdrawn *Ending `json:"withdrawn,omitempty"`
	// Error is why, in the words of the order database; Code is its code for it, such as
	// the SQLSTATE 42501.
	Error string `json:"error,omitempty"`
	Code  string `json:"code,omitempty"`
}

// Result is how an attempt ended.
type Result string

// The results of attempts.
const (
	ResultExecuted    Result = "EXECUTED"    // the order is in the order database
	ResultRefused     Result = "REFUSED"     // a rule of the business refused the order: nothing was written
	ResultNotBegun    Result = "NOT_BEGUN"   // the fence refused, or the time was up before the write began
	ResultNotGiven    Result = "NOT_GIVEN"   // fit, under an epoch that the task was not given: the next task may write
	ResultAdmitted    Result = "ADMITTED"    // the fence lets the user's activity begin
	ResultUnavailable Result = "UNAVAILABLE" // begun, and nothing was written
	ResultUnknown     Result = "UNKNOWN"     // begun, and nobody knows whether it was written
	ResultWithdrawn   Result = "WITHDRAWN"   // a tombstone stands under the order's key: it will never be written
)

// Results are all of them.
func Results() []Result {
	return []Result{
		ResultExecuted, ResultRefused, ResultNotBegun, ResultNotGiven, ResultAdmitted, ResultUnavailable, ResultUnknown, ResultWithdrawn,
	}
}

// Failed reports whether an attempt with this result began and did not execute the order,
// as far as anybody knows.
func (r Result) Failed() bool {
	return r == ResultRefused || r == ResultUnavailable || r == ResultUnknown
}

// Valid reports whether r is one of the results.
func (r Result) Valid() bool { return slices.Contains(Results(), r) }

// NoAnswer is the attempt of which nothing is known: its worker panicked, or was too slow.
func NoAnswer() Attempt { return Attempt{Result: ResultUnknown, Error: "the attempt gave no answer"} }

// WithdrawInput asks for an order to end without being executed.
type WithdrawInput struct {
	Order Order  `json:"order"`
	End   Ending `json:"end"`
	Stamp Stamp  `json:"stamp,omitzero"`
	// Passed says that the order was let through a hold of Written: a write may have begun
	// in an unfit epoch.
	Passed bool `json:"passed,omitempty"`
	// Written is the component that holds the order's key.
	Written string `json:"written"`
}

// Withdrawal is the result of Withdraw: what a reading that was asked for in this very
// task, or the order database, said.
type Withdrawal struct {
	Found Found `json:"found"`
	// End is what the tombstone says, which may be an earlier one.
	End *Ending `json:"end,omitempty"`
	// Receipt is of the row that was found in place of it.
	Receipt    *Receipt  `json:"receipt,omitempty"`
	Fence      Fence     `json:"fence,omitzero"`
	Unreadable bool      `json:"blind,omitempty"`
	EndedAt    time.Time `json:"ended_at,omitzero"`
	Worker     string    `json:"worker,omitempty"`
	Error      string    `json:"error,omitempty"`
}

// NotWithdrawn is the withdrawal of which nothing is known.
func NotWithdrawn() Withdrawal {
	return Withdrawal{Found: FoundNothing, Unreadable: true, Error: "the withdrawal gave no answer"}
}

// Found is what Withdraw found.
type Found string

// What Withdraw finds.
const (
	FoundUnwritten Found = "UNWRITTEN" // no write can have begun: see Fence.Unwritten
	FoundTombstone Found = "TOMBSTONE" // a tombstone stands under the order's key
	FoundOrder     Found = "ORDER"     // the order was written
	FoundNothing   Found = "NOTHING"   // nobody can tell yet
)

// JoinInput is an order in the sequence of its key.
type JoinInput struct {
	Key     string `json:"key"`
	OrderID string `json:"order_id"`
	// Sequence is the one that the order put itself into, as far as it did.
	Sequence string `json:"sequence,omitempty"`
}

// Answer is what a release by Update gets: what became of the order that was released.
type Answer struct {
	// State is EXECUTED, another end, PARKED, or DEFERRED.
	State OrderState `json:"state"`
	// Wait is what an order waits for that was deferred again.
	Wait Wait `json:"wait,omitzero"`
	// Result is that of the attempt, empty where there was none; BegunAt and EndedAt are
	// its times.
	Result  Result    `json:"result,omitempty"`
	BegunAt time.Time `json:"begun_at,omitzero"`
	EndedAt time.Time `json:"ended_at,omitzero"`
	// Cause says whose fault it was where the attempt failed, Error and Code with what.
	Cause FailureCause `json:"blame,omitempty"`
	Error string       `json:"error,omitempty"`
	Code  string       `json:"code,omitempty"`
}
