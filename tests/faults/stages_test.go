package faults

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
)

// stage is a moment in the life of an order at which its worker is killed. stop is
// asked of every call of the worker, and stays at the moment.
type stage struct {
	name string
	// waits says that the order is deferred first, and the moment is after its signal.
	waits bool
	stop  func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error)
	// after checks what is known when the worker is dead.
	after func(r *rig, id string)
}

// stages are those at which a call of the worker can be held up. The write itself, and
// an order that waits, are in package tests.
func stages() []stage {
	return []stage{
		{name: "accepted", stop: func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
			if ofTask(call, id) {
				return m.stay(ctx) // it was routed, and Temporal does not know
			}
			return pass()
		}, after: func(r *rig, id string) { assert.Equal(r.t, ltp.Accepted, r.status(id).State) }},
		{name: "routed", stop: func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
			answer, err := pass()
			if ofTask(call, id) && err == nil {
				return m.stay(ctx) // Execute is scheduled, and the worker does not know
			}
			return answer, err
		}},
		{name: "before the write", stop: beforeTheWrite(), after: func(r *rig, id string) {
			assert.NotContains(r.t, r.rows(), id)
		}},
		{name: "written", stop: func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
			if c, ok := call.(*workflowservice.RespondActivityTaskCompletedRequest); ok && of(c.GetTaskToken(), id) {
				return m.stay(ctx)
			}
			return pass()
		}, after: func(r *rig, id string) {
			assert.Contains(r.t, r.rows(), id, "it was written")
			assert.Equal(r.t, ltp.Accepted, r.status(id).State, "and nobody knows")
		}},
		{name: "told", stop: func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
			answer, err := pass()
			if c, ok := call.(*workflowservice.RespondActivityTaskCompletedRequest); ok && of(c.GetTaskToken(), id) {
				return m.stay(ctx)
			}
			return answer, err
		}},
		{name: "signalled", waits: true, stop: func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
			if ofTask(call, id) {
				return m.stay(ctx)
			}
			return pass()
		}, after: func(r *rig, id string) { assert.Equal(r.t, ltp.Deferred, r.status(id).State) }},
	}
}

// beforeTheWrite holds up every reading of the orientation once the order is routed,
// so that its fence, which asks anew, gets no answer.
func beforeTheWrite() func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
	var routed atomic.Bool
	return func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
		if ofTask(call, id) {
			routed.Store(true)
		}
		if _, ok := call.(*workflowservice.DescribeWorkflowExecutionRequest); ok && routed.Load() {
			return m.stay(ctx)
		}
		return pass()
	}
}

// of reports whether a task token is of an order.
func of(token []byte, id string) bool { return bytes.Contains(token, []byte(ltp.OrderWorkflowID(id))) }

func ofTask(call any, id string) bool {
	c, ok := call.(*workflowservice.RespondWorkflowTaskCompletedRequest)
	return ok && of(c.GetTaskToken(), id)
}

// TestWorkerKilledAtEveryStage: whatever the worker knew and had not said, or Temporal
// had said and the worker did not hear, the order takes effect once.
func TestWorkerKilledAtEveryStage(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.orders)
	first := r.worker(r.address)
	r.until(ltp.Stable)
	first.Kill()
	var ids []string
	for i, s := range stages() {
		id := fmt.Sprintf("stage-%d", i)
		ids = append(ids, id)
		r.diesAt(s, id)
	}
	r.worker(r.address)
	r.executedOnce(ids)
	assert.True(t, r.status("stage-3").Receipt.Repeated, "it was found written")
}

// diesAt starts a worker, has it take an order to a stage, and kills it there.
func (r *rig) diesAt(s stage, id string) {
	r.t.Helper()
	x, m := newExchange(r.t, r.address), newMoment()
	w := r.worker(x.address)
	if s.waits {
		r.hold("to have " + id + " wait")
		r.until(ltp.Unstable)
		r.submit(id)
		r.eventually(id+" waits", func() bool { return r.status(id).State == ltp.Deferred })
	}
	x.on(func(ctx context.Context, call any, pass func() (any, error)) (any, error) {
		return s.stop(ctx, m, id, call, pass)
	})
	if s.waits {
		r.release()
	} else {
		r.submit(id)
	}
	m.await(r.t)
	if s.name == "before the write" {
		r.awaitActivity(ltp.OrderWorkflowID(id), func(*workflowpb.PendingActivityInfo) bool { return true })
	}
	w.Kill()
	if s.after != nil {
		s.after(r, id)
	}
	r.t.Logf("killed: %s", s.name)
}

// TestAllWorkersGoneForTheWholeOutage: nobody is there to hear of the outage, nor of
// its end. What was accepted meanwhile is executed when a worker returns.
func TestAllWorkersGoneForTheWholeOutage(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.orders)
	api, url := r.api(r.address, "127.0.0.1:0")
	workers := []*process{r.worker(r.address), r.worker(r.address)}
	r.until(ltp.Stable)
	for _, w := range workers {
		w.Kill()
	}
	end := r.outage()
	var ids []string
	for i := range 20 {
		id := fmt.Sprintf("gone-%02d", i)
		answer := mustPost(t, url, body(id), nil)
		assert.Equal(t, 202, answer.status)
		ids = append(ids, id)
	}
	r.eventually("the observer tells", func() bool { return r.told(ltp.Unhealthy) })
	end()
	r.eventually("the observer tells", func() bool { return r.told(ltp.Healthy) })
	for _, id := range ids {
		require.Equal(t, ltp.Accepted, r.status(id).State)
	}
	assert.Empty(t, r.rows())
	r.worker(r.address)
	r.executedOnce(ids)
	api.Interrupt()
}

// TestWorkerReturnsToATimerAndASignal: while no worker was there, the backstop of an
// order rang, and the word of recovery came. The order looks for itself first, and then
// takes the word; both are in its trace.
func TestWorkerReturnsToATimerAndASignal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.orders)
	w := r.worker(r.address, "--backstop", "2s")
	r.until(ltp.Stable)
	r.hold("to have an order wait")
	epoch := r.until(ltp.Unstable).Epoch
	ids := r.defers("both", 1)
	w.Kill()
	id := ltp.OrderWorkflowID(ids[0])
	r.awaitEvent(id, enumspb.EVENT_TYPE_TIMER_FIRED)
	word := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: epoch + 1}
	require.NoError(t, r.client.SignalWorkflow(r.ctx, id, "", ltp.StabilitySignal, word))
	r.worker(r.address)
	r.awaitEvent(id, enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED)
	r.release() // so that the word is true
	r.executedOnce(ids)
}
