package trace

import (
	"errors"
	"fmt"
	"slices"
	"time"

	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
)

// OrderTrace is everything that Temporal holds of an order.
type OrderTrace struct {
	Order ltp.Order `json:"order"`
	// Execution is the activity of the user's that executes the order; zero is the order
	// database.
	Execution ltp.Execution `json:"execution,omitzero"`
	// Stamp is what the door read before it accepted the order.
	Stamp ltp.Stamp `json:"stamp,omitzero"`
	// RunID is the order's first run, and Runs are all of them, oldest first.
	RunID      string    `json:"run_id"`
	Runs       []string  `json:"runs"`
	AcceptedAt time.Time `json:"accepted_at"`
	// Frames are the route_request and the route_response of each routing, in turn. A
	// request is of the moment at which the workflow asked, by its own time, which is
	// Temporal's as of the start of the task. Its response is of the event that recorded
	// it, which for a routing by the fence also recorded the attempt.
	Frames      []ltp.Frame  `json:"frames"`
	Executions  []Execution  `json:"executions,omitempty"`
	Withdrawals []Withdrawal `json:"withdrawals,omitempty"`
	Lost        []LostTask   `json:"lost,omitempty"`
	Notes       []Note       `json:"notes,omitempty"`
	// Parked are the times that it was parked, and why.
	Parked []ltp.Parking `json:"parked,omitempty"`
	// Passes are those with which operators let the order through a hold, whatever came of
	// them.
	Passes []Pass `json:"passes,omitempty"`
	// Wait is what a pending order waits for; zero while it does not wait.
	Wait ltp.Wait `json:"wait,omitzero"`
	// Outcome is nil, and EndedAt zero, while the order is pending.
	Outcome *ltp.Outcome `json:"outcome,omitempty"`
	EndedAt time.Time    `json:"ended_at,omitzero"`
}

// Pass is an operator's, and when it reached the order's history.
type Pass struct {
	ltp.Pass
	At time.Time `json:"at"`
}

// Passed is the pass that an order had by a time for an epoch of a component, and nil where
// it had none.
func (t OrderTrace) Passed(component string, epoch int64, by time.Time) *ltp.Pass {
	for _, p := range t.Passes {
		if p.Component == component && p.Epoch == epoch && !p.At.After(by) {
			return &p.Pass
		}
	}
	return nil
}

// DependsOn reports whether a component must be fit before the order is executed.
func (t OrderTrace) DependsOn(component string) bool {
	return slices.Contains(t.Order.Gate(t.Execution), component)
}

// State is where the order is, by its history.
func (t OrderTrace) State() ltp.OrderState {
	if t.Outcome != nil {
		return t.Outcome.State
	}
	if t.Wait.Reason == ltp.ReasonParked {
		return ltp.Parked
	}
	if n := len(t.Frames); t.Wait.Reason != "" || n > 0 && !t.Frames[n-1].Response.Admissible {
		return ltp.Deferred
	}
	return ltp.Accepted
}

// executed reports whether an attempt is known to have executed the order. Where none is,
// it was found in the order database.
func (t OrderTrace) executed() bool { return slices.ContainsFunc(t.Executions, Execution.Done) }

// OrderFrames reads the history of an order: the events of all its runs, one run after
// the other, oldest first. It folds the order's own machine, [ltp.Progress.Next], over
// them. A history that is damaged or incomplete, or that holds what the machine does not
// do, is a *DamageError. One that ends early, but not in the middle of what a worker did
// at once, is the history of an order that is pending. What was decided is not judged.
func OrderFrames(events []*historypb.HistoryEvent) (OrderTrace, error) {
	o := orderReader{OrderTrace: OrderTrace{Frames: []ltp.Frame{}}}
	for _, one := range Runs(events) {
		r, err := openRun(ltp.OrderWorkflow, one)
		if err != nil {
			return OrderTrace{}, err
		}
		if err := o.begin(r); err != nil {
			return OrderTrace{}, o.damaged(one[0], err)
		}
		for i, e := range one {
			if err := o.read(i, e); err != nil {
				return OrderTrace{}, o.damaged(e, err)
			}
		}
		if err := o.settle(); err != nil {
			return OrderTrace{}, o.damaged(o.last(), err)
		}
	}
	switch {
	case len(o.Runs) == 0:
		return OrderTrace{}, &DamageError{Err: errors.New("it has no events")}
	case o.continued != "":
		return OrderTrace{}, o.damaged(o.last(), fmt.Errorf("run %s is missing, which continues this one", o.continued))
	case (o.p.Phase == ltp.PhaseWaiting || o.p.Phase == ltp.PhaseParked) && o.Outcome == nil:
		o.Wait = o.p.Wait
	}
	return o.OrderTrace, nil
}

// begin takes in the start of a run.
func (o *orderReader) begin(r run) error {
	first, before := len(o.Runs) == 0, o.runID
	o.run = r
	var p ltp.Progress
	if err := Decode(r.started.GetInput(), &p); err != nil {
		return fmt.Errorf("the order: %w", err)
	}
	if err := ltp.ValidID(p.Order.ID); err != nil {
		return fmt.Errorf("the order: %w", err)
	}
	want := ltp.OrderWorkflowID(p.Order.ID)
	if o.workflowID == "" { // older servers did not write it
		o.workflowID = want
	}
	continues := r.started.GetContinuedExecutionRunId()
	switch {
	case o.workflowID != want:
		return fmt.Errorf("the order is %s, and the workflow %s", p.Order.ID, o.workflowID)
	case first && continues != "":
		return fmt.Errorf("run %s is missing, which this one continues", continues)
	case first && (p.Phase != ltp.PhaseNew || p.Attempt != 0):
		return fmt.Errorf("the order begins %s, after %d routings", p.Phase, p.Attempt)
	case !first && o.continued == "":
		return fmt.Errorf("it begins, and run %s has not ended", before)
	case !first && (continues != before || r.runID != o.continued && r.resetAt == 0):
		return fmt.Errorf("run %s is missing, which continues run %s", o.continued, before)
	case !first && !carries(p, o.p):
		return errors.New("it does not begin with what the run before ended with")
	}
	if first {
		o.Order, o.Execution, o.Stamp, o.RunID, o.AcceptedAt = p.Order, p.Execution, p.Stamp, r.runID, at(r.events[0])
	}
	o.Runs = append(o.Runs, r.runID)
	o.p, o.alarm, o.continued, o.now, o.taken = p, alarm{}, "", time.Time{}, 0
	if p.Phase == ltp.PhaseWaiting {
		o.alarm = alarm{at: p.WakeAt, wanted: true} // the run sets its own timer first
	}
	return nil
}

// carries reports whether p is what the machine carries on of before. The times that it
// computed are not compared.
func carries(p, before ltp.Progress) bool {
	for _, x := range []*ltp.Progress{&p, &before} {
		x.Recorded, x.WakeAt, x.Failures.First = 0, time.Time{}, time.Time{}
	}
	return sameJSON(p, before)
}
