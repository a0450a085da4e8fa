package replay

import (
	"context"
	"errors"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay/pace"
)

// outcome is what a release says of the component.
type outcome int

const (
	neutral   outcome = iota // nothing: the order ended otherwise, or waits for something else
	committed                // the order was executed
	setback                  // its attempt failed under this component, or it gave no answer in time
	ownFault                 // its attempt failed, and another write took the same write path after it
	unsent                   // Temporal failed: nobody knows whether the release arrived
)

// claimed is an order that was claimed; once the outcome of its release is recorded, then
// gets it.
type claimed struct {
	waiting
	then func(outcome, ltp.Answer)
}

// releaseOrder releases an order that was claimed, as soon as fewer than InFlight are on
// their way, and returns when the release is on its way.
func (r *release) releaseOrder(ctx context.Context, o waiting, then func(outcome, ltp.Answer)) error {
	r.onWay.Add(1)
	select {
	case r.turns <- claimed{o, then}:
	case <-ctx.Done():
		r.onWay.Done()
		return ctx.Err()
	}
	r.progress.update(func(report *ltp.ReleaseReport) { report.Oldest = o.started })
	return nil
}

// send sends the releases that it gets, one at a time. InFlight of it run: a goroutine for
// each order would grow its stack anew for each.
func (r *release) send(ctx context.Context) {
	for o := range r.turns {
		// At the last moment: its turn may have been long in coming.
		if now, err := r.admitted(ctx); err == nil {
			begun := time.Now()
			answer, err := r.awaitOutcome(ctx, o.waiting, ltp.Stability{Component: r.in.Component, State: now.State, Epoch: now.Epoch})
			if ctx.Err() == nil {
				o.then(r.recordOutcome(o.waiting, begun, answer, err), answer)
			}
		}
		r.onWay.Done()
	}
}

// awaitOutcome sends the release and waits for what became of the order, for Timeout at
// most. A release whose answer is no longer awaited may still be carried out: the order
// acts once all the same.
func (r *release) awaitOutcome(ctx context.Context, o waiting, s ltp.Stability) (answer ltp.Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Pace.Timeout)
	defer cancel()
	handle, err := r.Client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{
		WorkflowID: o.id, UpdateName: ltp.StabilityUpdate, Args: []any{s}, WaitForStage: client.WorkflowUpdateStageCompleted,
	})
	if err == nil {
		err = handle.Get(ctx, &answer)
	}
	return answer, err
}

// notProcessed is the type of the failure by which the Temporal server refuses an Update
// that no worker looked at. All other failures of Updates are the order's: its validator
// refused, or its run ended, or continued as new, before it answered.
const notProcessed = "UnprocessedUpdate"

// lately is how old the latest heartbeat is at most where Temporal can be reached.
const lately = 2*heartbeatEvery + heartbeatEvery/2

// recordOutcome keeps what a release came to, for the pace, the report and the next sweep,
// and returns what it says of the component. No answer in time is the order's where
// Temporal took a heartbeat lately; where it did not, it is Temporal's.
func (r *release) recordOutcome(o waiting, begun time.Time, answer ltp.Answer, err error) outcome {
	var failure *temporal.ApplicationError
	took := time.Since(begun)
	switch {
	case err == nil:
		out := outcomeOf(answer, r.in.Component)
		r.released(o)
		if r.workerBehind(answer) {
			r.retry(o, true)
		}
		s := pace.Sample{Committed: out == committed, Took: took}
		if !answer.BegunAt.IsZero() {
			s.Write = answer.EndedAt.Sub(answer.BegunAt)
		}
		r.sample(out, s)
		return out
	case errors.As(err, new(*serviceerror.NotFound)): // it has ended, and is listed a while longer
		if !o.late {
			r.answered.Add(1)
		}
		return neutral
	case errors.As(err, &failure) && failure.Type() != notProcessed:
		// It does not wait, or not for this. It may be routed at this very moment, and wait
		// again; so the next sweep tries it again.
		r.retry(o, o.late)
		return neutral
	case errors.As(err, new(*client.WorkflowUpdateServiceTimeoutOrCanceledError)) && took >= r.Pace.Timeout && r.lease.renewedSince(time.Now().Add(-lately)):
		// The Update may be lost with a server, so the next sweep tries the order again. A
		// second time without an answer is no second setback.
		r.retry(o, true)
		if o.late {
			return neutral
		}
		r.released(o)
		r.sample(setback, pace.Sample{Took: took})
		return setback
	}
	r.retry(o, o.late)
	r.unsent.Add(1)
	r.Log.Warn("order not released, the next sweep finds it", "workflow", o.id, "error", err)
	return unsent
}

// workerBehind reports whether the order waits under an epoch of before the release: its
// worker had not read yet of what released it. The next sweep tries the order again.
func (r *release) workerBehind(a ltp.Answer) bool {
	return a.State == ltp.Deferred && a.Wait.Component == r.in.Component && a.Wait.Epoch < r.backlog.before &&
		a.Wait.Reason != ltp.ReasonAwaitsProof && a.Wait.Reason != ltp.ReasonAwaitsTurn
}

// outcomeOf is what an answer says of the component. An order that ended otherwise or is
// parked, that awaits its turn or another component, or that an operator's pause deferred,
// says nothing of it.
func outcomeOf(a ltp.Answer, component string) outcome {
	switch {
	case a.State == ltp.Executed:
		return committed
	case a.State != ltp.Deferred || a.Wait.Component != component:
		return neutral
	case a.Cause == ltp.CauseOrder:
		return ownFault
	case a.Wait.Reason == ltp.ReasonAwaitsTurn || a.Wait.Reason == ltp.ReasonAwaitsProof || a.Wait.Reason.DefersToReplay():
		return neutral
	}
	switch a.Result {
	case ltp.ResultRefused, ltp.ResultUnavailable, ltp.ResultUnknown, ltp.ResultNotBegun:
		return setback
	}
	return neutral
}

// released counts an order that was released, once.
func (r *release) released(o waiting) {
	if o.late {
		return
	}
	r.answered.Add(1)
	r.progress.update(func(report *ltp.ReleaseReport) { report.Released++ })
	r.progressed()
	if r.Meter != nil {
		r.Meter.Released(r.in.Component)
	}
}

// sample passes a sample to the pace. When too many fail in a row, and none commits, the
// release begins again with canaries.
func (r *release) sample(out outcome, s pace.Sample) {
	switch out {
	case committed:
		r.consecutiveFailures.Store(0)
	case setback:
		r.progress.update(func(report *ltp.ReleaseReport) { report.Setbacks++ })
		if int(r.consecutiveFailures.Add(1)) >= failuresToCanaries*max(r.Pace.Canary, 1) {
			r.canariesPassed.Store(false)
		}
	default:
		return
	}
	r.pacer.report(s)
}
