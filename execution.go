package ltp

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

// Bounds of an Execution.
const (
	// DefaultExecuteTimeout is how long an activity of the user's may take when nobody
	// says.
	DefaultExecuteTimeout = 20 * time.Second
	// MinExecuteTimeout and MaxExecuteTimeout bound what may be said. An order whose
	// activity was lost with its worker is tried again when the time is over.
	MinExecuteTimeout, MaxExecuteTimeout = time.Second, time.Hour
	// MaxResult is how many bytes of an activity's result are kept in the receipt; a
	// longer one is left out.
	MaxResult = 2048
)

// Execution names the activity that executes an order in place of the order
// database's. It is any activity that is registered on the task queue, in any
// language: it is given a [Job], and what it returns is read as [Done], as far as it
// has those fields. Its errors are distinguished by the types of their Temporal application
// errors: Rejected ends the order, Unavailable says that nothing was written, and
// after all others the outcome is unknown. After the last two the order is executed
// again under the same ID, which must be the key of what the activity writes.
//
// The zero value is the order database. An order keeps the execution that it was
// accepted with.
type Execution struct {
	// Activity is the name of the activity type.
	Activity string `json:"activity,omitempty"`
	// TaskQueue is where its workers poll. Queues that begin with "ltp-" are the order
	// node's own.
	TaskQueue string `json:"task_queue,omitempty"`
	// Timeout is how long one attempt may take once a worker has begun it, in
	// nanoseconds; 0 is DefaultExecuteTimeout.
	Timeout time.Duration `json:"timeout,omitempty"`
}

// External reports whether orders go to an activity of the user's.
func (e Execution) External() bool { return e.Activity != "" }

// Written is the component that an order is written to, whatever the order names; empty
// where an activity of the user's writes, which nobody but the user knows.
func (e Execution) Written() string {
	if e.External() {
		return ""
	}
	return DefaultComponent
}

// StartToClose is how long one attempt may take: never 0.
func (e Execution) StartToClose() time.Duration {
	if e.Timeout == 0 {
		return DefaultExecuteTimeout
	}
	return e.Timeout
}

// Validate returns an *InvalidError when no worker could take such an activity.
func (e Execution) Validate() error {
	if e == (Execution{}) {
		return nil
	}
	switch {
	case e.Activity == "":
		return &InvalidError{"execute activity", "name the activity that executes orders, or leave the task queue and the timeout out"}
	case !plainText(e.Activity):
		return &InvalidError{"execute activity", plainTextHint}
	case e.TaskQueue == "":
		return &InvalidError{"execute task queue", "name the task queue on which workers have the activity " + e.Activity}
	case !plainText(e.TaskQueue):
		return &InvalidError{"execute task queue", plainTextHint}
	case strings.HasPrefix(e.TaskQueue, "ltp-"), strings.HasPrefix(e.TaskQueue, "/"):
		return &InvalidError{"execute task queue", `use one of your own: names that begin with "ltp-" are the order node's, and those with "/" Temporal's`}
	case e.Timeout != 0 && (e.Timeout < MinExecuteTimeout || e.Timeout > MaxExecuteTimeout):
		return &InvalidError{"execute timeout", fmt.Sprintf("use %s to %s", MinExecuteTimeout, MaxExecuteTimeout)}
	}
	return nil
}

// Job is what an activity of the user's is given.
type Job struct {
	// Order is the order; its ID is the key that makes a repeat safe.
	Order Order `json:"order"`
	// Attempt is the frame ID of the route_request that was answered EXECUTE.
	Attempt string `json:"attempt"`
	// Replay is set when the order was deferred before.
	Replay bool `json:"replay,omitempty"`
	// Fence is the orientation under which the activity was scheduled.
	Fence Fence `json:"fence"`
	// Pass is set where an operator let the order through a hold.
	Pass *Pass `json:"pass,omitempty"`
}

// Request asks the decision table about the job.
func (j Job) Request() Request {
	return Request{HighRisk: j.Order.Risk == HighRisk, Replay: j.Replay, Pass: j.Pass}
}

// Done is what an activity of the user's may say of its write. What it leaves out is
// taken from the times of the workflow. Whatever else it returns is kept beside that.
type Done struct {
	// Repeated says that an earlier attempt had written the order already.
	Repeated bool `json:"repeated,omitempty"`
	// BegunAt and CommittedAt are when the write began and was acknowledged.
	BegunAt     time.Time `json:"begun_at,omitzero"`
	CommittedAt time.Time `json:"committed_at,omitzero"`
	// Fence is the orientation directly before the write, of an activity that asks.
	Fence Fence `json:"fence,omitzero"`
}

// ReadDone reads what an activity of the user's returned, which may be anything: data
// is JSON, or nothing. Fields that are not there, or that make no sense, are zero; kept
// is data itself where it is not too long.
func ReadDone(data []byte) (d Done, kept json.RawMessage) {
	if !json.Valid(data) {
		return Done{}, nil
	}
	if len(data) <= MaxResult && string(data) != "null" {
		kept = json.RawMessage(data)
	}
	if json.Unmarshal(data, &d) != nil || d.CommittedAt.Before(d.BegunAt) || d.BegunAt.IsZero() != d.CommittedAt.IsZero() {
		d = Done{Repeated: d.Repeated}
	}
	if d.Fence.Component == "" || !d.Fence.State.Fit() {
		d.Fence = Fence{}
	}
	return d, kept
}

// ExternalFailure is how an activity of the user's failed, by what Temporal has of it.
type ExternalFailure struct {
	// Type is that of its Temporal application error, and empty for any other failure.
	Type    string
	Message string
	// Details is what the error's details say, as [Guard] in package activities gives them;
	// zero where it has none.
	Details Attempted
	// NotTaken says that no worker took the activity in time.
	NotTaken bool
}

// Attempted is what an activity of the user's may say of a write that failed: the detail
// of its application error.
type Attempted struct {
	// BegunAt is when the write began, and zero if it never did.
	BegunAt time.Time `json:"begun_at,omitzero"`
	EndedAt time.Time `json:"ended_at"`
	Fence   Fence     `json:"fence,omitzero"`
}

// The types of the application errors of an activity of the user's.
const (
	RejectedError    = "Rejected"       // the order is refused; no state makes it right
	UnavailableError = "Unavailable"    // nothing was written, and trying later may succeed
	UnknownError     = "OutcomeUnknown" // only the same order ID tried again will tell
)

// Returned is the attempt of an activity of the user's that returned data, which may be
// anything; begun and ended are the workflow's times.
func (j Job) Returned(data []byte, begun, ended time.Time) Attempt {
	done, kept := ReadDone(data)
	r := Receipt{Attempt: j.Attempt, Repeated: done.Repeated, BegunAt: done.BegunAt, CommittedAt: done.CommittedAt, Fence: done.Fence, Result: kept}
	if r.BegunAt.IsZero() {
		r.BegunAt, r.CommittedAt = Stamped(begun), Stamped(ended)
	}
	if r.Fence == (Fence{}) {
		r.Fence = j.Fence
	}
	return Attempt{Result: ResultExecuted, Fence: r.Fence, BegunAt: r.BegunAt, EndedAt: r.CommittedAt, Receipt: &r}
}

// Failed is the attempt of an activity of the user's that failed.
func (j Job) Failed(f ExternalFailure, begun, ended time.Time) Attempt {
	a := Attempt{Result: ResultUnknown, Fence: j.Fence, BegunAt: Stamped(begun), EndedAt: Stamped(ended), Error: f.Message}
	detailed := !f.Details.EndedAt.IsZero()
	if detailed {
		a.BegunAt, a.EndedAt = f.Details.BegunAt, f.Details.EndedAt
		if f.Details.Fence.State.Valid() {
			a.Fence = f.Details.Fence
		}
	}
	switch {
	case f.NotTaken:
		a.Result, a.BegunAt = ResultNotBegun, time.Time{}
	case f.Type == RejectedError:
		a.Result = ResultRefused
	case f.Type == UnavailableError && detailed && a.BegunAt.IsZero():
		a.Result = ResultNotBegun
	case f.Type == UnavailableError:
		a.Result = ResultUnavailable
	}
	return a
}

// Stamped is t as histories keep it: milliseconds, UTC; the zero time stays zero.
func Stamped(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Millisecond)
}
