package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// TestSignalDoesWhatTheUpdateDoes, without an answer.
func TestSignalDoesWhatTheUpdateDoes(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.recovers(45*time.Second, ltp.Recovering)
	began := e.Now()
	e.executed(order)
	assert.Equal(t, 45*time.Second, e.Now().Sub(began))
	assert.Len(t, e.routes, 1, "the fence makes the second routing")
	require.Len(t, e.attempts, 1)
	assert.True(t, e.attempts[0].Route.Request.Replay)
	assert.Equal(t, ltp.WokenBySignal, e.attempts[0].Route.Woken)
	assert.Equal(t, []int64{3, 4}, e.attempts[0].Given)
}

func TestOldAndRepeatedSignalsReleaseNobody(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	for i := range 50 {
		e.at(time.Second, func() { e.signal(ltp.Stability{Component: db, State: ltp.Recovering, Epoch: int64(i % 4)}) })
	}
	e.recovers(30*time.Second, ltp.Recovering)
	began := e.Now()
	e.executed(order)
	assert.Equal(t, 30*time.Second, e.Now().Sub(began))
	assert.Len(t, e.attempts, 1)
	assert.Len(t, e.timers, 1, "the timer stays as it is")
}

// TestManySignalsOfOneEpochAreOneRelease, also where the component fell before the first was
// taken.
func TestManySignalsOfOneEpochAreOneRelease(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.at(time.Minute, func() {
		e.set(db, ltp.Recovering)
		for range 20 {
			e.signal(e.stability())
		}
		e.set(db, ltp.Unstable)
	})
	e.recovers(2*time.Minute, ltp.Stable)
	e.executed(order)
	assert.Len(t, e.attempts, 2)
	assert.Len(t, e.writes, 1)
}

// TestTheStateThatASignalNamesIsNotBelieved: the fence asks.
func TestTheStateThatASignalNamesIsNotBelieved(t *testing.T) {
	risky := order
	risky.Risk = ltp.HighRisk
	e := newOrderTest(t, ltp.Unstable)
	e.at(time.Second, func() {
		e.set(db, ltp.Degraded)
		e.signal(ltp.Stability{Component: db, State: ltp.Stable, Epoch: 4})
	})
	e.recovers(2*time.Second, ltp.Stable)
	e.executed(risky)
	assert.Equal(t, []ltp.Reason{ltp.ReasonUnstable, ltp.ReasonDegraded, ltp.ReasonOK}, e.reasons())
	assert.Len(t, e.writes, 1)
}

func TestSignalOfOneComponentDoesNotSpeakForAnother(t *testing.T) {
	both := order
	both.DependsOn = []string{db, payments}
	e := newOrderTest(t, ltp.Unstable)
	e.set(payments, ltp.Unstable)
	e.recovers(time.Second, ltp.Recovering)
	e.at(time.Minute, func() { assert.Empty(t, e.writes) })
	e.at(2*time.Minute, func() {
		e.set(payments, ltp.Recovering)
		e.signal(ltp.Stability{Component: payments, State: ltp.Recovering, Epoch: e.now[payments].Epoch})
	})
	e.executed(both)
	assert.Len(t, e.writes, 1)
}

func TestSignalsThatArriveDuringAWriteAreNotLost(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.results = failing(1, ltp.ResultUnavailable)
	e.during = func() {
		if len(e.writes) == 1 {
			e.set(db, ltp.Unstable)                                                 // epoch 4, under which the order will be deferred
			e.signal(ltp.Stability{Component: db, State: ltp.Recovering, Epoch: 5}) // and this comes before it is
		}
	}
	e.recovers(5*time.Second, ltp.Stable)
	e.executed(order)
	assert.Equal(t, []ltp.Reason{ltp.ReasonOK, ltp.ReasonUnstable, ltp.ReasonUnstable}, e.reasons()[:3])
	require.GreaterOrEqual(t, len(e.attempts), 2)
	assert.Equal(t, ltp.WokenBySignal, e.attempts[1].Route.Woken, "it was released at once")
}

// TestEpochThatIsYetToComeIsNotGivenBySomebodyWhoNamesIt: a task that is long lost must not
// write when it comes. The next task may.
func TestEpochThatIsYetToComeIsNotGivenBySomebodyWhoNamesIt(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.before = func() {
		if len(e.attempts) == 1 { // the task was frozen, and goes on now
			o := e.now[db]
			o.State, o.Epoch, o.LastFit, o.Since = ltp.Recovering, 4, 4, e.Now().Add(time.Minute)
			e.now[db] = o
		}
	}
	e.at(time.Minute, func() { e.signal(ltp.Stability{Component: db, State: ltp.Recovering, Epoch: 4}) })
	receipt := e.executed(order)
	require.Len(t, e.attempts, 2)
	assert.EqualValues(t, 4, e.attempts[0].Named)
	assert.Zero(t, e.attempts[1].Named, "the routing of the task before names it, too")
	assert.Equal(t, []int64{3, 4}, e.attempts[1].Given)
	assert.Len(t, e.writes, 1)
	assert.Equal(t, "A2/2", receipt.Attempt)
}

// TestSignalThatCannotBeReadIsNone.
func TestSignalThatCannotBeReadIsNone(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.at(time.Second, func() { e.SignalWorkflow(ltp.StabilitySignal, "soon") })
	e.recovers(time.Minute, ltp.Recovering)
	e.executed(order)
	assert.Len(t, e.attempts, 1)
}
