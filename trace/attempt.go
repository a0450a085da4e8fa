package trace

import (
	"time"

	"github.com/ltp-node/ltp"
)

// Execution is one attempt to execute an order: a run of Execute, or of the activity of
// the user's that stands for it. An Execute that only routed the order is none: its frames
// say what it found.
type Execution struct {
	// RequestFrameID is the route_request under which the order was to be executed. Of an
	// attempt that gave no answer, it is the one that its fence was to make.
	RequestFrameID string `json:"request_frame_id"`
	// Attempt is what was recorded: the result, the fence, and the times of the write by
	// the worker's clock. While an activity of the user's runs, its Result is empty. The
	// routing stands in the frames: it is nil here.
	ltp.Attempt
	// Given are the epochs of the written component under which the task might write.
	Given []int64 `json:"given,omitempty"`
	// TaskAt is the start of the workflow task that asked for it, and RecordedAt the time
	// of the event that recorded it, zero while it runs. These and the next are by
	// Temporal's clock.
	TaskAt     time.Time `json:"task_at"`
	RecordedAt time.Time `json:"recorded_at,omitzero"`
	// ScheduledAt and StartedAt are of an activity of the user's, and zero for an Execute.
	// StartedAt is zero until Temporal says, which may be as late as RecordedAt.
	ScheduledAt time.Time `json:"scheduled_at,omitzero"`
	StartedAt   time.Time `json:"started_at,omitzero"`
	// Source is the marker of Execute, or the event that scheduled the user's activity.
	Source ltp.Source `json:"source"`
}

// Done reports whether the order was executed by this attempt, or found to be executed.
func (e Execution) Done() bool { return e.Result == ltp.ResultExecuted }

// Running reports whether it has not ended.
func (e Execution) Running() bool { return e.Result == "" }

// External reports whether an activity of the user's ran.
func (e Execution) External() bool { return !e.ScheduledAt.IsZero() }

// Repeated reports whether an earlier attempt had executed the order already.
func (e Execution) Repeated() bool { return e.Receipt != nil && e.Receipt.Repeated }

// CommittedAt is when the write was acknowledged, by the worker's clock, and of a repeated
// one when it was found; zero where the order was not executed.
func (e Execution) CommittedAt() time.Time {
	if e.Receipt == nil {
		return time.Time{}
	}
	return e.Receipt.CommittedAt
}

// Wrote is how long the write took; false where none is known to have succeeded here.
func (e Execution) Wrote() (time.Duration, bool) {
	if !e.Done() || e.Repeated() || e.BegunAt.IsZero() {
		return 0, false
	}
	return e.CommittedAt().Sub(e.BegunAt), true
}

// Withdrawal is one try to end an order without executing it.
type Withdrawal struct {
	// Withdrawal is what was recorded.
	ltp.Withdrawal
	// Asked is how the order was to end.
	Asked ltp.Ending `json:"asked"`
	// TaskAt and RecordedAt are as those of an Execution.
	TaskAt     time.Time  `json:"task_at"`
	RecordedAt time.Time  `json:"recorded_at"`
	Source     ltp.Source `json:"source"`
}

// LostTask is a workflow task whose worker gave no answer that counts. What was done in
// it stands in no history: an order may have been written, which only the receipt in its
// row can tell.
type LostTask struct {
	StartedAt time.Time `json:"started_at"`
	EndedAt   time.Time `json:"ended_at"`
	Worker    string    `json:"worker,omitempty"`
	// Cause is TIMED_OUT, or why Temporal refused the answer, in Temporal's words.
	Cause  string     `json:"cause"`
	Source ltp.Source `json:"source"`
}
