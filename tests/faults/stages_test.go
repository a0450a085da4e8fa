package faults

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// stage is a moment in the life of an order at which its worker is killed. stop is
// asked of every call of the worker, and stays at the moment.
type stage struct {
	name string
	// waits says that the order is deferred first, and the moment is after its release.
	waits bool
	// locked says that the order database takes no writes meanwhile.
	locked bool
	stop   func() stop
	// after checks what is known when the worker is dead.
	after func(r *rig, id string)
}

// stages are those at which a call of the worker can be held up: see
// TestWorkerKilledOrFrozenBetweenReadingAndAnswerWritesTheOrderOnce for what else may happen then.
func stages() []stage {
	unwritten := func(r *rig, id string) {
		assert.NotContains(r.T, r.rows(), id)
		assert.Equal(r.T, ltp.Accepted, r.Status(id).State)
	}
	return []stage{
		{name: "accepted", after: unwritten, stop: func() stop {
			return func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
				answer, err := pass()
				if gives(answer, id) {
					return m.stay(ctx) // the task is the worker's, and it does not know
				}
				return answer, err
			}
		}},
		{name: "before the reading", after: unwritten, stop: func() stop {
			return sinceGiven(func(ctx context.Context, m *moment, call any, pass func() (any, error)) (any, error) {
				if reads(call) {
					return m.stay(ctx)
				}
				return pass()
			})
		}},
		{name: "between the fence and the write", locked: true, after: unwritten, stop: func() stop {
			var read atomic.Int64
			return sinceGiven(func(ctx context.Context, m *moment, call any, pass func() (any, error)) (any, error) {
				if reads(call) && read.Add(1) == 4 { // of these one was the fence's, and it was answered
					m.come()
				}
				return pass()
			})
		}},
		{name: "written", stop: func() stop { return ending(false) }, after: func(r *rig, id string) {
			assert.Contains(r.T, r.rows(), id, "it was written")
			assert.Equal(r.T, ltp.Accepted, r.Status(id).State, "and nobody knows")
		}},
		{name: "answered", stop: func() stop { return ending(true) }, after: func(r *rig, id string) {
			assert.Equal(r.T, ltp.Executed, r.Status(id).State)
		}},
		{name: "released", waits: true, stop: func() stop { return ending(false) }, after: func(r *rig, id string) {
			assert.Contains(r.T, r.rows(), id, "it was written")
			assert.Equal(r.T, ltp.Deferred, r.Status(id).State, "and nobody knows")
		}},
	}
}

type stop = func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error)

// sinceGiven does something with the calls that come after the worker got a task of the
// order.
func sinceGiven(do func(ctx context.Context, m *moment, call any, pass func() (any, error)) (any, error)) stop {
	var given atomic.Bool
	return func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
		if given.Load() {
			return do(ctx, m, call, pass)
		}
		answer, err := pass()
		if gives(answer, id) {
			given.Store(true)
		}
		return answer, err
	}
}

// ending stays at the answer that ends the order, before Temporal has it or afterwards.
func ending(afterwards bool) stop {
	return func(ctx context.Context, m *moment, id string, call any, pass func() (any, error)) (any, error) {
		c, ok := call.(*workflowservice.RespondWorkflowTaskCompletedRequest)
		if !ok || !of(c.GetTaskToken(), id) || !ends(c) {
			return pass()
		}
		if afterwards {
			if answer, err := pass(); err != nil {
				return answer, err
			}
		}
		return m.stay(ctx)
	}
}

// gives reports whether an answer to a poll is a task of an order.
func gives(answer any, id string) bool {
	task, ok := answer.(*workflowservice.PollWorkflowTaskQueueResponse)
	return ok && task.GetWorkflowExecution().GetWorkflowId() == ltp.OrderWorkflowID(id)
}

// reads reports whether a call reads the orientation.
func reads(call any) bool {
	c, ok := call.(*workflowservice.DescribeWorkflowExecutionRequest)
	return ok && c.GetExecution().GetWorkflowId() == ltp.OrientationWorkflowID(ltp.DefaultComponent)
}

// TestWorkerKilledAtAnyStageWritesTheOrderOnce: whatever the worker did and had not said, or Temporal
// had said and the worker did not read, the order takes effect once.
func TestWorkerKilledAtAnyStageWritesTheOrderOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.Orders)
	first := r.worker(r.Address)
	r.Until(r.seen, ltp.Stable)
	first.Kill()
	var ids []string
	for i, s := range stages() {
		id := fmt.Sprintf("stage-%d", i)
		ids = append(ids, id)
		r.diesAt(s, id)
	}
	r.worker(r.Address)
	r.executedOnce(ids)
	for _, i := range []int{3, 5} {
		assert.True(t, r.Status(ids[i]).Receipt.Repeated, "%s was found written", stages()[i].name)
	}
}

// diesAt starts a worker, has it take an order to a stage, and kills it there.
func (r *rig) diesAt(s stage, id string) {
	r.T.Helper()
	x, m, halt := newExchange(r.T, r.Address), newMoment(), s.stop()
	end := func() {}
	var locks sync.Once
	// Before the worker polls: a handler takes no part in calls that are under way.
	x.on(func(ctx context.Context, call any, pass func() (any, error)) (any, error) {
		return halt(ctx, m, id, call, func() (any, error) {
			answer, err := pass()
			if s.locked && gives(answer, id) { // not before, or the order would be deferred
				locks.Do(func() { end = r.Outage() })
			}
			return answer, err
		})
	})
	w := r.worker(x.address)
	r.Until(r.seen, ltp.Stable)
	if s.waits {
		r.Hold("to have " + id + " wait")
		r.Until(r.seen, ltp.Unstable)
		r.Submit(id)
		r.AwaitEventType(ltp.OrderWorkflowID(id), enumspb.EVENT_TYPE_TIMER_STARTED)
	}
	if s.waits {
		r.Release()
	} else {
		r.Submit(id)
	}
	m.await(r.T)
	w.Kill()
	end()
	if s.after != nil {
		s.after(r, id)
	}
	r.T.Logf("killed: %s", s.name)
}

// TestOutageWithoutAnyWorkerLosesNoOrder: nobody is there to learn of the outage, nor of
// its end. What was accepted meanwhile is executed when a worker returns.
func TestOutageWithoutAnyWorkerLosesNoOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.Orders)
	api, url := r.api(r.Address, "127.0.0.1:0")
	workers := []*process{r.worker(r.Address), r.worker(r.Address)}
	r.Until(r.seen, ltp.Stable)
	for _, w := range workers {
		w.Kill()
	}
	end := r.Outage()
	var ids []string
	for i := range 20 {
		id := fmt.Sprintf("gone-%02d", i)
		answer := mustPost(t, url, ordertest.JSON(id), nil)
		assert.Equal(t, 202, answer.status)
		ids = append(ids, id)
	}
	r.Eventually("the observer sees it", func() bool { return r.observed(ltp.Unhealthy) })
	end()
	r.Eventually("the observer sees it", func() bool { return r.observed(ltp.Healthy) })
	for _, id := range ids {
		require.Equal(t, ltp.Accepted, r.Status(id).State)
	}
	assert.Empty(t, r.rows())
	r.worker(r.Address)
	r.executedOnce(ids)
	api.Interrupt()
}

// TestTimerAndSignalWithoutAWorkerMakeOneAttempt: while no worker was there, the backstop of an order
// fired, and a signal named a recovery. One attempt follows both; its fence finds that the
// recovery is yet to come.
func TestTimerAndSignalWithoutAWorkerMakeOneAttempt(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.Orders)
	w := r.worker(r.Address, "--backstop", "2s")
	r.Until(r.seen, ltp.Stable)
	r.Hold("to have an order wait")
	epoch := r.Until(r.seen, ltp.Unstable).Epoch
	ids := r.defers("both", 1)
	id := ltp.OrderWorkflowID(ids[0])
	r.AwaitEventType(id, enumspb.EVENT_TYPE_TIMER_STARTED)
	w.Kill()
	r.AwaitEventType(id, enumspb.EVENT_TYPE_TIMER_FIRED)
	early := ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: epoch + 1}
	require.NoError(t, r.Client.SignalWorkflow(r.Ctx, id, "", ltp.StabilitySignal, early))
	r.worker(r.Address)
	r.Eventually("the order was routed again", func() bool {
		story, err := r.Reader().Order(r.Ctx, ids[0])
		require.NoError(t, err)
		for _, f := range story.Frames {
			if f.Request != nil && f.Request.Woken == ltp.WokenBySignal {
				return true
			}
		}
		return false
	})
	assert.Empty(t, r.rows())
	r.Release()
	r.executedOnce(ids)
}
