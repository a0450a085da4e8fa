package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// grows has the history become so long, after a while, that Temporal suggests a new run.
func (e *orderTest) grows(after time.Duration) {
	e.RegisterDelayedCallback(func() { e.SetContinueAsNewSuggested(true) }, after)
}

// next is the test of the run that follows, at the time at which this one ended.
func (e *orderTest) next() *orderTest {
	n := newOrderTest(e.t, ltp.Stable)
	n.SetStartTime(e.Now())
	n.now, n.row, n.execution = e.now, e.row, e.execution
	return n
}

// TestLongHistoryOfAWaitingOrderIsContinued with all that the order knows: it goes on waiting
// until its timer would have fired, and its frames keep their numbers.
func TestLongHistoryOfAWaitingOrderIsContinued(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.grows(time.Second)
	e.at(2*time.Second, func() { e.SignalWorkflow(ltp.ExpediteSignal, nil) }) // wakes it
	p := e.continued(e.progress(order))
	assert.Equal(t, ltp.PhaseWaiting, p.Phase)
	assert.Equal(t, order, p.Order)
	assert.Equal(t, ltp.Stamp{Epoch: 3, State: ltp.Unstable}, p.Stamp)
	assert.Equal(t, ltp.Wait{Component: db, Epoch: 3, Reason: ltp.ReasonUnstable}, p.Wait)
	assert.Equal(t, ltp.Mark{Wait: p.Wait, Priority: 0}, p.Mark)
	assert.Equal(t, 1, p.Attempt)
	assert.True(t, p.Expedited)
	assert.False(t, p.Releasing)
	require.Len(t, e.timers, 1)
	assert.WithinDuration(t, e.Now().Add(e.timers[0]-2*time.Second), p.WakeAt, time.Millisecond)

	n := e.next()
	n.becomes(time.Second, ltp.Stable)
	began := n.Now()
	outcome, err := n.goOn(p)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.WithinDuration(t, p.WakeAt, began.Add(n.timers[0]), time.Millisecond, "its timer is the one of before")
	require.NotEmpty(t, n.routes)
	assert.Equal(t, 2, n.routes[0].Attempt)
	assert.Equal(t, ltp.WokenByTimer, n.routes[0].Woken)
	assert.Empty(t, n.upserts, "the marks stand")
	assert.Equal(t, "A2/2", outcome.Receipt.Attempt)
}

// TestContinuedOrderIsReleased as any other.
func TestContinuedOrderIsReleased(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.grows(time.Second)
	e.at(2*time.Second, func() { e.signal(ltp.Stability{Component: db, Epoch: 1}) })
	p := e.continued(e.progress(order))

	n := e.next()
	var old, r *released
	n.at(time.Second, func() { old = n.release(ltp.Stability{Component: db, State: ltp.Stable, Epoch: 3}) })
	n.at(time.Minute, func() { n.set(db, ltp.Recovering); r = n.release(n.stability()) })
	outcome, err := n.goOn(p)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Error(t, old.refused)
	assert.Equal(t, ltp.Executed, r.answers(t).State)
	assert.Empty(t, n.routes)
	assert.Equal(t, "A2/2", outcome.Receipt.Attempt)
}

// TestNothingThatHasComeIsLostBetweenTwoRuns: it is taken first.
func TestNothingThatHasComeIsLostBetweenTwoRuns(t *testing.T) {
	t.Run("a release is served, and answered", func(t *testing.T) {
		e := newOrderTest(t, ltp.Unstable)
		var r *released
		e.at(time.Minute, func() {
			e.SetContinueAsNewSuggested(true)
			e.set(db, ltp.Recovering)
			now := e.stability()
			e.set(db, ltp.Unstable)
			r = e.release(now)
		})
		p := e.continued(e.progress(order))
		got := r.answers(t)
		assert.Equal(t, ltp.Deferred, got.State)
		assert.Equal(t, p.Wait, got.Wait)
		assert.EqualValues(t, 5, p.Wait.Epoch)
		assert.Equal(t, 2, p.Attempt)
		assert.EqualValues(t, 4, p.Named)
	})
	t.Run("a signal", func(t *testing.T) {
		e := newOrderTest(t, ltp.Unstable)
		e.at(time.Minute, func() {
			e.SetContinueAsNewSuggested(true)
			e.set(db, ltp.Recovering)
			e.signal(e.stability())
		})
		e.executed(order)
	})
	t.Run("what comes while the order is looked at", func(t *testing.T) {
		e := newOrderTest(t, ltp.Unstable)
		e.results = failing(1, ltp.ResultUnavailable)
		e.during = func() {
			if len(e.writes) == 1 {
				e.SetContinueAsNewSuggested(true)
				e.set(db, ltp.Unstable)                                                 // epoch 5
				e.signal(ltp.Stability{Component: db, State: ltp.Recovering, Epoch: 6}) // early
				e.SignalWorkflow(ltp.ExpediteSignal, nil)
				e.CancelWorkflow()
			}
		}
		e.recovers(time.Minute, ltp.Recovering)
		p := e.continued(e.progress(order))
		assert.Equal(t, &ltp.Ending{State: ltp.Cancelled}, p.Ending)
		assert.True(t, p.Expedited)
		assert.EqualValues(t, 6, p.Named)
	})
	t.Run("a turn", func(t *testing.T) {
		e := newOrderTest(t, ltp.Unstable)
		e.grows(time.Second)
		e.turn(time.Minute, time.Hour)
		p := e.continued(e.progress(keyed))
		assert.True(t, p.HasTurn)
		assert.False(t, p.Watched.IsZero())
	})
	t.Run("the backstop", func(t *testing.T) {
		e := newOrderTest(t, ltp.Unstable)
		e.grows(time.Second)
		p := e.continued(e.progress(order))
		assert.Equal(t, 2, p.Attempt, "it has looked again first")
		assert.Equal(t, 2, p.Backstops)
		assert.Zero(t, p.Recorded, "what this run has recorded is given to every task of the next")
	})
}

// TestCancellationThatWaitsForTheOrderDatabaseIsCarriedOn: the next run ends the order.
func TestCancellationThatWaitsForTheOrderDatabaseIsCarriedOn(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.stamp = &ltp.Stamp{Epoch: 2, State: ltp.Stable}
	e.at(time.Second, func() { e.SetContinueAsNewSuggested(true); e.CancelWorkflow() })
	p := e.continued(e.progress(order))
	assert.Equal(t, &ltp.Ending{State: ltp.Cancelled}, p.Ending)
	assert.Equal(t, ltp.ReasonAwaitsProof, p.Wait.Reason)

	n := e.next()
	n.recovers(time.Minute, ltp.Recovering)
	_, err := n.goOn(p)
	require.Error(t, err)
	assert.Empty(t, n.attempts)
	require.Len(t, n.withdrawals, 1)
	assert.Equal(t, ltp.Stamp{Epoch: 2, State: ltp.Stable}, n.withdrawals[0].Stamp)
}

// TestOrderThatActsIsNotContinued: it has ended by then, or waits.
func TestOrderThatActsIsNotContinued(t *testing.T) {
	for _, stamp := range []int64{3, 0} { // written in this task, or in the next
		e := newOrderTest(t, ltp.Stable)
		e.stamp = &ltp.Stamp{Epoch: stamp}
		e.SetContinueAsNewSuggested(true)
		e.executed(order)
	}
}
