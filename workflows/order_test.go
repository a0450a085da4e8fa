package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// TestOrderIsExecutedAtOnceWhenFit, in the workflow task that routes it: nothing is marked,
// and no timer is set.
func TestOrderIsExecutedAtOnceWhenFit(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	receipt := e.executed(order)
	assert.Equal(t, "A2/1", receipt.Attempt)
	require.Len(t, e.routes, 1)
	assert.Equal(t, ltp.RouteInput{OrderID: "A2", Components: []string{db}, Written: db, Attempt: 1}, e.routes[0])
	require.Len(t, e.writes, 1)
	assert.True(t, e.writes[0].Admitted)
	assert.Equal(t, []int64{3}, e.writes[0].Given, "the door's stamp")
	assert.Empty(t, e.upserts)
	assert.Empty(t, e.timers)
}

// TestEveryOrderDependsOnWhatItIsWrittenTo, whatever it names: one that names payments waits
// for the order database, too.
func TestEveryOrderDependsOnWhatItIsWrittenTo(t *testing.T) {
	other := order
	other.DependsOn = []string{payments}
	e := newOrderTest(t, ltp.Unstable)
	e.recovers(time.Minute, ltp.Recovering)
	e.executed(other)
	assert.Equal(t, []ltp.Reason{ltp.ReasonUnstable, ltp.ReasonRecoveryConfirmed}, e.reasons())
	require.Len(t, e.writes, 1)
	assert.Equal(t, []string{db, payments}, e.writes[0].Route.Components)
	assert.Equal(t, db, e.writes[0].Route.Written)
}

// TestEpochThatNobodyGaveIsForTheNextTask: what a task finds by itself it does not act upon,
// since nobody would know of it if the task were lost.
func TestEpochThatNobodyGaveIsForTheNextTask(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.stamp = &ltp.Stamp{Epoch: 1, State: ltp.Stable}
	began := e.Now()
	receipt := e.executed(order)
	assert.Equal(t, "A2/1", receipt.Attempt)
	assert.Len(t, e.routes, 1)
	require.Len(t, e.attempts, 1, "the first task does not try")
	assert.Equal(t, []int64{1, 3}, e.attempts[0].Given)
	assert.Equal(t, []time.Duration{ltp.Yield}, e.timers)
	assert.Equal(t, ltp.Yield, e.Now().Sub(began))
	assert.Empty(t, e.upserts, "it does not count as deferred")
}

func TestEpochThatTheFenceFoundIsForTheNextTask(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.at(time.Minute, func() {
		e.set(db, ltp.Recovering) // epoch 4
		e.signal(e.stability())
		e.set(db, ltp.Stable) // epoch 5, of which nobody has said anything
	})
	receipt := e.executed(order)
	require.Len(t, e.attempts, 2)
	assert.Equal(t, []int64{3, 4}, e.attempts[0].Given)
	assert.Equal(t, []int64{3, 5}, e.attempts[1].Given)
	assert.Len(t, e.writes, 1)
	assert.Equal(t, "A2/2", receipt.Attempt, "under the routing that the fence made")
}

// TestWhatComesBeforeTheNextTaskIsLookedAtFirst: a cancellation, also where the order is
// admitted already.
func TestWhatComesBeforeTheNextTaskIsLookedAtFirst(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.stamp = new(ltp.Stamp)
	e.at(ltp.Yield/2, e.CancelWorkflow)
	e.cancelled(order)
	assert.Empty(t, e.attempts)
	assert.Len(t, e.withdrawals, 1)
}

// TestActivityThatGivesNoAnswerIsNoEnd of the order: its worker is lost, or panicked.
func TestActivityThatGivesNoAnswerIsNoEnd(t *testing.T) {
	t.Run("of the board", func(t *testing.T) {
		e := newOrderTest(t, ltp.Stable)
		e.lost["CheckOrientation"] = 1
		began := e.Now()
		e.executed(order)
		assert.Less(t, e.Now().Sub(began), 10*time.Second, "it looks again soon")
		assert.Len(t, e.routes, 2)
	})
	t.Run("of a write", func(t *testing.T) {
		e := newOrderTest(t, ltp.Stable)
		e.lost["Execute"] = 1
		e.executed(order)
		require.Len(t, e.routes, 3)
		assert.Equal(t, ltp.WokenByFailure, e.routes[1].Woken)
		assert.True(t, e.routes[1].Request.Failed)
		assert.Len(t, e.writes, 2, "it is put again under its id")
	})
	t.Run("of a withdrawal", func(t *testing.T) {
		e := newOrderTest(t, ltp.Unstable)
		e.lost["Withdraw"] = 2
		e.at(time.Minute, e.CancelWorkflow)
		e.cancelled(order)
		assert.Len(t, e.withdrawals, 3)
		assert.Empty(t, e.attempts)
	})
}

func TestUnavailableWriteIsRoutedAgainUnderTheEpochItFailedUnder(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.results = failing(1, ltp.ResultUnavailable)
	began := e.Now()
	e.executed(order)
	require.Len(t, e.routes, 3)
	assert.Equal(t, ltp.Request{Replay: true, Failed: true, FailedUnder: db, FailedEpoch: 3}, e.routes[1].Request)
	assert.Equal(t, ltp.WokenByFailure, e.routes[1].Woken)
	assert.Equal(t, ltp.Request{Replay: true}, e.routes[2].Request)
	assert.Less(t, e.Now().Sub(began), 10*time.Second, "a lost connection is not an outage")
}

func TestUndetectedOutageIsNotHammered(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.results = failing(8, ltp.ResultUnavailable)
	began := e.Now()
	e.executed(order)
	assert.Len(t, e.writes, 9)
	assert.Greater(t, e.Now().Sub(began), 2*time.Minute)
}

// instruct has an operator instruct the order a minute after it was parked.
func (e *orderTest) instruct(i ltp.Instruction) {
	e.onPark = func() {
		e.onPark = nil
		e.RegisterDelayedCallback(func() { e.task(); e.SignalWorkflow(ltp.InstructionSignal, i) }, time.Minute)
	}
}

// TestOrderThatFailsByItselfIsParked, and an operator brings it back.
func TestOrderThatFailsByItselfIsParked(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.results, e.cause = failing(ltp.ParkAfter, ltp.ResultUnavailable), ltp.CauseOrder
	e.instruct(ltp.Instruction{Do: ltp.DoRetry, By: "ann"})
	e.executed(order)
	assert.Len(t, e.writes, ltp.ParkAfter+1)
	require.Len(t, e.parked, 1)
	assert.Equal(t, "as the test says", e.parked[0].Error)
	assert.Contains(t, e.upserts, map[string]any{ltp.StateAttribute: string(ltp.Parked), ltp.ReasonAttribute: string(ltp.ReasonParked)})
	assert.Equal(t, ltp.WokenByRetry, e.routes[len(e.routes)-1].Woken)
}

// TestParkedOrderIsRejectedByAnOperator, and the order database decides whether it was
// written.
func TestParkedOrderIsRejectedByAnOperator(t *testing.T) {
	for _, written := range []bool{false, true} {
		e := newOrderTest(t, ltp.Stable)
		e.results, e.cause = failing(50, ltp.ResultUnavailable), ltp.CauseOrder
		e.instruct(ltp.Instruction{Do: ltp.DoReject, By: "ann", Why: "no such article"})
		if written {
			e.during = func() {
				if len(e.writes) == ltp.ParkAfter {
					e.row = &ltp.Receipt{Attempt: "A2/1"}
				}
			}
		}
		outcome, err := e.run(order)
		require.NoError(t, err)
		require.Len(t, e.withdrawals, 1)
		if written {
			assert.Equal(t, ltp.Executed, outcome.State)
			continue
		}
		assert.Equal(t, ltp.Outcome{State: ltp.Rejected, Reason: "rejected by ann: no such article"}, outcome)
	}
}

// TestSharedFaultParksNothing, however often an order fails.
func TestSharedFaultParksNothing(t *testing.T) {
	for _, b := range []ltp.FailureCause{"", ltp.CauseComponent} {
		for _, result := range []ltp.Result{ltp.ResultUnavailable, ltp.ResultRefused} {
			e := newOrderTest(t, ltp.Stable)
			e.results, e.cause = failing(30, result), b
			e.executed(order)
			assert.Len(t, e.writes, 31)
			assert.Empty(t, e.parked)
		}
	}
}
