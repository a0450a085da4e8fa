package workflows_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
)

func TestKeyedOrderWaitsForItsTurn(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.at(time.Minute, func() { assert.Empty(t, e.attempts, "it acted before its turn") })
	e.turn(time.Minute, time.Second)
	began := e.Now()
	e.executed(keyed)
	assert.Equal(t, time.Minute, e.Now().Sub(began))
	assert.Equal(t, []ltp.Reason{ltp.ReasonAwaitsTurn, ltp.ReasonOK}, e.reasons(), "routed again when its turn has come")
	assert.Equal(t, ltp.WokenByTurn, e.routings[1].Woken)
	assert.False(t, e.writes[0].Route.Request.InLine, "the fence asks for an order that has its turn")
	assert.Zero(t, e.turnsBack, "the sequence watches")
	assert.Empty(t, e.joins)
	require.Len(t, e.upserts, 1)
	assert.Equal(t, string(ltp.ReasonAwaitsTurn), e.upserts[0][ltp.ReasonAttribute])
	assert.Nil(t, e.upserts[0][ltp.ComponentAttribute], "it waits for no component: no replay finds it")
}

func TestOrderWithoutAKeyHasNoBusinessWithSequences(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.executed(order)
	assert.Equal(t, []ltp.Reason{ltp.ReasonOK}, e.reasons())
	assert.Zero(t, e.turnsBack)
	assert.Empty(t, e.joins)
	assert.Empty(t, e.upserts)
}

func TestOrderGivesItsTurnBackWhenNobodyWatches(t *testing.T) {
	for name, c := range map[string]struct {
		state   ltp.State
		results []ltp.Attempt
		cancel  bool
		want    ltp.OrderState
	}{
		"executed":  {state: ltp.Stable, want: ltp.Executed},
		"rejected":  {state: ltp.Stable, results: failing(1, ltp.ResultRefused), want: ltp.Rejected},
		"cancelled": {state: ltp.Unstable, cancel: true, want: ltp.Cancelled},
		"expired":   {state: ltp.Unstable, want: ltp.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOrderTest(t, c.state)
			e.results, e.cause = c.results, ltp.CauseOrder
			o := keyed
			o.Deadline = e.Now().Add(2 * time.Minute)
			e.turn(0, 0)
			if c.cancel {
				e.at(time.Minute, e.CancelWorkflow)
			}
			outcome, err := e.run(o)
			if c.want == ltp.Cancelled {
				assert.ErrorAs(t, err, new(*temporal.CanceledError))
			} else {
				require.NoError(t, err)
				assert.Equal(t, c.want, outcome.State)
			}
			assert.Equal(t, 1, e.turnsBack)
		})
	}
}

// TestOrderThatNeverHadItsTurnEndsAtOnce: it cannot have been written, so nobody is asked.
// Its sequence finds that it has ended when it would be its turn.
func TestOrderThatNeverHadItsTurnEndsAtOnce(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.at(time.Minute, e.CancelWorkflow)
	e.cancelled(keyed)
	assert.Empty(t, e.attempts)
	assert.Empty(t, e.withdrawals)
	assert.Zero(t, e.turnsBack)

	e = newOrderTest(t, ltp.Stable)
	late := keyed
	late.Deadline = e.Now().Add(time.Minute)
	outcome, err := e.run(late)
	require.NoError(t, err)
	assert.Equal(t, ltp.Expired, outcome.State)
	assert.Empty(t, e.attempts)
	assert.Empty(t, e.withdrawals)
	assert.Zero(t, e.turnsBack)
}

func TestAnOrderDoesNotWaitForASequenceThatCannotBeReached(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.joining = errors.New("temporal does not answer")
	e.turn(5*time.Minute, 0)
	e.executed(keyed)
	assert.NotEmpty(t, e.joins)
	assert.Positive(t, e.turnsBack)
}

// TestTurnThatComesWhileAComponentIsUnfit is kept, and the order goes on waiting for the
// component alone.
func TestTurnThatComesWhileAComponentIsUnfit(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.turn(10*time.Second, time.Second)
	e.recovers(30*time.Second, ltp.Recovering)
	began := e.Now()
	e.executed(keyed)
	assert.Equal(t, 30*time.Second, e.Now().Sub(began))
	assert.Equal(t, []ltp.Reason{ltp.ReasonUnstable, ltp.ReasonRecoveryConfirmed}, e.reasons())
	assert.Len(t, e.routes, 1, "the fence makes the second routing")
	assert.Equal(t, 1, e.turnsBack, "nobody watches any more")
}

// TestReleaseBeforeTheTurnIsAnsweredAwaitsTurn: the replay engine is answered that the order awaits its turn,
// and does not wait for it. What is signalled after that is no news to the order.
func TestReleaseBeforeTheTurnIsAnsweredAwaitsTurn(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	var r *released
	e.at(10*time.Second, func() { e.set(db, ltp.Recovering); r = e.release(e.stability()) })
	e.recovers(20*time.Second, ltp.Stable)
	e.becomes(30*time.Second, ltp.Unstable)
	e.turn(40*time.Second, time.Second)
	e.recovers(50*time.Second, ltp.Recovering)
	e.executed(keyed)
	got := r.answers(t)
	assert.Equal(t, ltp.Deferred, got.State)
	assert.Equal(t, ltp.ReasonAwaitsTurn, got.Wait.Reason)
	assert.Equal(t, []ltp.Reason{ltp.ReasonUnstable, ltp.ReasonAwaitsTurn, ltp.ReasonUnstable, ltp.ReasonRecoveryConfirmed}, e.reasons(),
		"it does not rely on a routing of before its turn")
	require.Len(t, e.upserts, 3)
	assert.Nil(t, e.upserts[1][ltp.ComponentAttribute])
	assert.Equal(t, db, e.upserts[2][ltp.ComponentAttribute], "a replay finds it again")
}

func TestOutcomeThatIsUnknownKeepsTheTurn(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.results = failing(1, ltp.ResultUnknown)
	e.turn(0, 0)
	e.at(100*time.Millisecond, func() { assert.Zero(t, e.turnsBack) })
	e.executed(keyed)
	assert.Len(t, e.writes, 2)
	assert.Equal(t, 1, e.turnsBack)
}

// TestBackstopSeesToItsPlaceInLine: whoever accepted the order may have died before it was
// put in line. Once it has put itself there, it only looks whether that still holds.
func TestBackstopSeesToItsPlaceInLine(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.turn(20*time.Minute, time.Second)
	e.executed(keyed)
	require.GreaterOrEqual(t, len(e.joins), 3)
	assert.Equal(t, ltp.JoinInput{Key: "c-17", OrderID: "A2"}, e.joins[0])
	for _, again := range e.joins[1:] {
		assert.Equal(t, "run-1", again.Sequence)
	}
	assert.Len(t, e.upserts, 1, "that it still waits is no news")
}

func TestBackstopInAnOutageDoesNotTouchItsPlaceInLine(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.at(10*time.Minute, e.CancelWorkflow)
	e.cancelled(keyed)
	assert.Empty(t, e.joins)
}

func TestTurnIsGivenMoreThanOnce(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	for range 3 {
		e.turn(time.Minute, time.Second)
	}
	e.executed(keyed)
	assert.Len(t, e.writes, 1)
}

func TestTurnThatCannotBeReadIsNone(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.at(time.Second, func() { e.SignalWorkflow(ltp.TurnSignal, "soon") })
	e.at(time.Minute, e.CancelWorkflow)
	e.cancelled(keyed)
	assert.Empty(t, e.attempts)
}
