package trace

import (
	"errors"
	"fmt"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
)

// Execution is one run of Execute, or of the activity of the user's that stands for it,
// which writes the order unless its fence is shut; or of Confirm, which looks whether
// earlier ones did.
type Execution struct {
	// RequestFrameID is the route_request that was answered EXECUTE.
	RequestFrameID string    `json:"request_frame_id"`
	ScheduledAt    time.Time `json:"scheduled_at"`
	// StartedAt is zero until Temporal tells, which may be as late as EndedAt; EndedAt
	// is zero while it runs.
	StartedAt time.Time `json:"started_at,omitzero"`
	EndedAt   time.Time `json:"ended_at,omitzero"`
	// Worker is who ran it, as Temporal names it.
	Worker string `json:"worker,omitempty"`
	// BegunAt and CommittedAt are when the write began and was acknowledged, by the
	// worker's clock. Without a BegunAt, no write is known to have begun; only of an
	// execution that was LOST one may have.
	BegunAt     time.Time `json:"begun_at,omitzero"`
	CommittedAt time.Time `json:"committed_at,omitzero"`
	// Fence is the orientation that the write began under, or was not begun under.
	Fence ltp.Fence `json:"fence,omitzero"`
	// Confirm says that it only looked whether the order had been written.
	Confirm bool `json:"confirm,omitempty"`
	// Repeated says that an earlier execution had written the order already.
	Repeated bool `json:"repeated,omitempty"`
	// Error is empty for an execution that succeeded, and while it runs.
	Error   ExecutionError `json:"error,omitempty"`
	Message string         `json:"message,omitempty"`
	// Source is the event that scheduled it.
	Source ltp.Source `json:"source"`
}

// ExecutionError is how an execution failed: one of these, or the type of an error
// that Execute is not known to return.
type ExecutionError string

// How executions fail.
const (
	Rejected       ExecutionError = "Rejected"       // the order database refused the order
	Unavailable    ExecutionError = "Unavailable"    // nothing was written
	OutcomeUnknown ExecutionError = "OutcomeUnknown" // it may or may not be written
	Lost           ExecutionError = "LOST"           // it was lost with its worker: it may or may not be written
	Absent         ExecutionError = "ABSENT"         // a Confirm has not found the order
)

// Done reports whether the order is in the order database by this execution.
func (e Execution) Done() bool { return !e.EndedAt.IsZero() && e.Error == "" }

// execution is the one under way that an event speaks of.
func (o *orderReader) execution(scheduled int64) (*Execution, error) {
	i, ok := o.running[scheduled]
	if !ok {
		return nil, fmt.Errorf("it speaks of an activity of event %d, and none of that event is under way", scheduled)
	}
	return &o.Executions[i], nil
}

// ended is the execution that an event ends.
func (o *orderReader) ended(e *historypb.HistoryEvent, scheduled int64) (*Execution, error) {
	x, err := o.execution(scheduled)
	if err != nil {
		return nil, err
	}
	delete(o.running, scheduled)
	x.EndedAt = at(e)
	return x, nil
}

func (o *orderReader) executed(e *historypb.HistoryEvent, scheduled int64, result *commonpb.Payloads) error {
	x, err := o.ended(e, scheduled)
	if err != nil {
		return err
	}
	switch {
	case x.Confirm:
		return x.confirmed(result)
	case o.By.Own():
		x.returned(result)
		return nil
	}
	var receipt ltp.Receipt
	if err := Decode(result, &receipt); err != nil {
		return fmt.Errorf("the receipt: %w", err)
	}
	if receipt.BegunAt.IsZero() || receipt.CommittedAt.IsZero() || !receipt.Fence.State.Valid() {
		return errors.New("the receipt does not say when the order was written, or under which state")
	}
	x.BegunAt, x.CommittedAt, x.Fence, x.Repeated = receipt.BegunAt, receipt.CommittedAt, receipt.Fence, receipt.Repeated
	return nil
}

func (o *orderReader) failed(e *historypb.HistoryEvent, scheduled int64, failure *failurepb.Failure) error {
	x, err := o.ended(e, scheduled)
	if err != nil {
		return err
	}
	app := failure.GetApplicationFailureInfo()
	x.Error, x.Message = ExecutionError(app.GetType()), failure.GetMessage()
	defer func() { o.count(*x) }()
	switch {
	case failure.GetFailureInfo() == nil:
		return errors.New("the failure does not say of what kind it is")
	case app == nil, x.Error == "" && !o.By.Own():
		// Temporal gave it up, as it does when a workflow is reset; or the SDK did, as it
		// does with a result that comes when its worker has ended.
		x.Error = Lost
		return nil
	case o.By.Own():
		x.gaveUp(app)
		return nil
	case x.Error != Rejected && x.Error != Unavailable && x.Error != OutcomeUnknown:
		return nil // not one of ours: a panic, or a worker that does not know the activity
	}
	var told attempt
	if err := Decode(app.GetDetails(), &told); err != nil {
		return fmt.Errorf("the details of the failure: %w", err)
	}
	if told.EndedAt.IsZero() {
		return errors.New("the failure does not say when the attempt ended")
	}
	x.BegunAt, x.Fence = told.BegunAt, told.Fence
	return nil
}

func (o *orderReader) lost(e *historypb.HistoryEvent, scheduled int64, why string) error {
	x, err := o.ended(e, scheduled)
	if err != nil {
		return err
	}
	x.Error, x.Message = Lost, why
	o.count(*x)
	return nil
}

// untaken reads that no worker of the user's has taken a job: nothing was begun.
func (o *orderReader) untaken(e *historypb.HistoryEvent, scheduled int64) error {
	x, err := o.ended(e, scheduled)
	if err != nil {
		return err
	}
	x.Error, x.Message = Unavailable, fmt.Sprintf("no worker on %s took it in time", o.By.TaskQueue)
	return nil
}

// attempt is what activities.Attempt holds: the detail of an error of Execute.
type attempt struct {
	BegunAt time.Time `json:"begun_at"`
	EndedAt time.Time `json:"ended_at"`
	Fence   ltp.Fence `json:"fence"`
}
