package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/workflows"
)

// orderTest runs one order against mocked activities.
type orderTest struct {
	*testsuite.TestWorkflowEnvironment
	t      *testing.T
	routes []activities.RouteInput
	writes []activities.ExecuteInput
	by     ltp.Execution
	marked []mark // what the search attributes told, in turn
}

// newOrderTest makes an environment in which routing answers in turn, the last
// answer again and again, and Execute does likewise.
func newOrderTest(t *testing.T, answers []ltp.Routing, results ...error) *orderTest {
	var suite testsuite.WorkflowTestSuite
	e := &orderTest{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t}
	var a *activities.Orders
	e.RegisterActivity(&activities.Orders{})
	e.RegisterActivityWithOptions(func(context.Context, ltp.Job) (any, error) { return nil, nil }, activity.RegisterOptions{Name: "Fulfil"})
	e.OnActivity(a.CheckOrientation, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.RouteInput) (ltp.Routing, error) {
			answer := answers[min(len(e.routes), len(answers)-1)]
			e.routes = append(e.routes, in)
			answer.Attempt, answer.Replays, answer.Woken = in.Attempt, in.Replays, in.Woken
			if answer.Component == "" {
				answer.Component = ltp.DefaultComponent
			}
			return answer, nil
		}).Maybe()
	e.OnActivity(a.Execute, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.ExecuteInput) (ltp.Receipt, error) {
			n := len(e.writes)
			e.writes = append(e.writes, in)
			if n < len(results) && results[n] != nil {
				return ltp.Receipt{}, results[n]
			}
			return ltp.Receipt{CommittedAt: time.Now().UTC()}, nil
		}).Maybe()
	e.OnUpsertTypedSearchAttributes(mock.Anything).Run(e.marks).Return(nil).Maybe()
	return e
}

func (e *orderTest) run(o ltp.Order) (ltp.Outcome, error) {
	e.ExecuteWorkflow(workflows.Order, o, e.by)
	require.True(e.t, e.IsWorkflowCompleted())
	var outcome ltp.Outcome
	if err := e.GetWorkflowError(); err != nil {
		return outcome, err
	}
	require.NoError(e.t, e.GetWorkflowResult(&outcome))
	return outcome, nil
}

// tell signals the order after a while.
func (e *orderTest) tell(after time.Duration, state ltp.State, epoch int64) {
	e.RegisterDelayedCallback(func() {
		e.SignalWorkflow(ltp.StabilitySignal, ltp.Stability{Component: ltp.DefaultComponent, State: state, Epoch: epoch})
	}, after)
}

func failure(kind string) error {
	return temporal.NewApplicationErrorWithOptions("as the test says", kind, temporal.ApplicationErrorOptions{NonRetryable: true})
}

var (
	order     = ltp.Order{ID: "A2", Customer: "c", Currency: "USD", Lines: []ltp.Line{{SKU: "book", Quantity: 1, UnitAmountMinor: 12000}}}
	admitted  = ltp.Routing{Decision: ltp.Execute, Reason: ltp.ReasonOK, State: ltp.Stable, Epoch: 3}
	confirmed = ltp.Routing{Decision: ltp.Execute, Reason: ltp.ReasonRecoveryConfirmed, State: ltp.Recovering, Epoch: 5}
	unstable  = ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonUnstable, State: ltp.Unstable, Epoch: 4}
)

func TestOrderIsExecutedAtOnceWhenFit(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{admitted})
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.NotNil(t, outcome.Receipt)
	assert.Len(t, e.routes, 1)
	assert.Len(t, e.writes, 1)
}

func TestDeferredOrderIsReplayedOnTheSignal(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{unstable})
	e.tell(45*time.Second, ltp.Recovering, 5)
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, e.routes, 1, "the signal is the second routing")
	require.Len(t, e.writes, 1)
	assert.True(t, e.writes[0].Request.Replay)
}

func TestOldAndRepeatedSignalsDoNotWakeAnOrder(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{unstable})
	for i := range 50 {
		e.tell(time.Second, ltp.Recovering, int64(i%5)) // epochs 0 to 4
	}
	e.tell(30*time.Second, ltp.Recovering, 5)
	began := e.Now()
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Equal(t, 30*time.Second, e.Now().Sub(began).Truncate(time.Second))
	assert.Len(t, e.writes, 1)
}

func TestNoSignalIsNeeded(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{unstable, unstable, unstable, {Decision: ltp.Execute, Reason: ltp.ReasonOK, State: ltp.Stable, Epoch: 6}})
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	require.Len(t, e.routes, 4)
	for _, r := range e.routes[1:] {
		assert.Equal(t, ltp.WokenByTimer, r.Woken)
		assert.Equal(t, "A2/1", r.Replays)
		assert.True(t, r.Request.Replay)
	}
}

func TestSignalThatDoesNotAdmitTheOrderIsNotTakenAtItsWord(t *testing.T) {
	risky := order
	risky.Risk = ltp.HighRisk
	degraded := ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonDegraded, State: ltp.Degraded, Epoch: 5}
	e := newOrderTest(t, []ltp.Routing{unstable, degraded})
	e.tell(time.Second, ltp.Degraded, 5)
	e.tell(2*time.Second, ltp.Stable, 6)
	outcome, err := e.run(risky)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, e.routes, 2, "the board was asked about DEGRADED")
	assert.Len(t, e.writes, 1)
}

func TestSignalOfOneComponentDoesNotSpeakForAnother(t *testing.T) {
	two := order
	two.DependsOn = []string{ltp.DefaultComponent, "payments"}
	e := newOrderTest(t, []ltp.Routing{unstable, {Decision: ltp.Defer, Reason: ltp.ReasonUnstable, Component: "payments", State: ltp.Unstable, Epoch: 9}, confirmed})
	e.tell(time.Second, ltp.Recovering, 5)
	outcome, err := e.run(two)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, e.routes, 3)
}

func TestCancelledOrderIsNeverExecuted(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{unstable})
	e.RegisterDelayedCallback(e.CancelWorkflow, 10*time.Second)
	e.tell(20*time.Second, ltp.Recovering, 5)
	_, err := e.run(order)
	var canceled *temporal.CanceledError
	require.ErrorAs(t, err, &canceled)
	assert.Empty(t, e.writes)
}

func TestExpiredOrderIsNeverExecuted(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{unstable})
	late := order
	late.Deadline = e.Now().Add(30 * time.Second)
	e.tell(40*time.Second, ltp.Recovering, 5)
	outcome, err := e.run(late)
	require.NoError(t, err)
	assert.Equal(t, ltp.Expired, outcome.State)
	assert.Empty(t, e.writes)
}

func TestOrderFoundLongAfterItsDeadlineIsNotEvenRouted(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{admitted})
	late := order
	late.Deadline = e.Now().Add(-time.Minute)
	outcome, err := e.run(late)
	require.NoError(t, err)
	assert.Equal(t, ltp.Expired, outcome.State)
	assert.Empty(t, e.routes)
}

func TestDeadlineDoesNotCutOffAnOrderThatIsExecuted(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{unstable})
	inTime := order
	inTime.Deadline = e.Now().Add(30 * time.Second)
	e.tell(20*time.Second, ltp.Recovering, 5)
	outcome, err := e.run(inTime)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
}

func TestRejectedByTheOrderDatabase(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{admitted}, failure(activities.Rejected))
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Rejected, outcome.State)
	assert.Equal(t, "as the test says", outcome.Reason)
	assert.Len(t, e.writes, 1)
}

func TestUnavailableExecuteIsRoutedAgainUnderTheEpochItFailedUnder(t *testing.T) {
	wait := ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonExecuteUnavailable, State: ltp.Stable, Epoch: 3}
	e := newOrderTest(t, []ltp.Routing{admitted, wait, admitted}, failure(activities.Unavailable))
	began := e.Now()
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	require.Len(t, e.routes, 3)
	assert.Equal(t, ltp.Request{Replay: true, Failed: true, FailedUnder: ltp.DefaultComponent, FailedEpoch: 3}, e.routes[1].Request)
	assert.Equal(t, ltp.Request{Replay: true}, e.routes[2].Request)
	assert.Equal(t, ltp.WokenByFailure, e.routes[1].Woken)
	assert.Less(t, e.Now().Sub(began), 10*time.Second, "a lost connection is not an outage")
}

func TestPausesGrowWhileAnUndetectedOutageLasts(t *testing.T) {
	wait := ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonExecuteUnavailable, State: ltp.Stable, Epoch: 3}
	var answers []ltp.Routing
	var results []error
	for range 8 {
		answers = append(answers, admitted, wait)
		results = append(results, failure(activities.Unavailable))
	}
	e := newOrderTest(t, append(answers, admitted), results...)
	began := e.Now()
	_, err := e.run(order)
	require.NoError(t, err)
	assert.Len(t, e.writes, 9)
	assert.Greater(t, e.Now().Sub(began), 2*time.Minute, "eight failures in a row must not hammer")
}

func TestUnknownOutcomeCanOnlyBeFinished(t *testing.T) {
	for _, lost := range []error{failure(activities.OutcomeUnknown), errors.New("a worker of another version"), temporal.NewTimeoutError(1, nil)} {
		e := newOrderTest(t, []ltp.Routing{admitted, unstable}, lost)
		o := order
		o.Deadline = e.Now().Add(20 * time.Second)
		e.RegisterDelayedCallback(e.CancelWorkflow, 10*time.Second)
		e.tell(60*time.Second, ltp.Recovering, 5)
		outcome, err := e.run(o)
		require.NoError(t, err)
		assert.Equal(t, ltp.Executed, outcome.State, "%v", lost)
		assert.Len(t, e.writes, 2, "it must be asked again whether it was written")
	}
}

func TestCancelDuringExecuteDoesNotTearTheWrite(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{admitted})
	e.RegisterDelayedCallback(e.CancelWorkflow, 0)
	outcome, err := e.run(order)
	if err != nil { // the cancellation came before the write: then there is none
		assert.Empty(t, e.writes)
		return
	}
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, e.writes, 1)
}

func TestSignalsThatArriveDuringExecuteAreNotLost(t *testing.T) {
	e := newOrderTest(t, []ltp.Routing{admitted, unstable}, failure(activities.Unavailable))
	e.tell(0, ltp.Recovering, 5) // before the order was deferred under epoch 4
	began := e.Now()
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Less(t, e.Now().Sub(began), time.Minute, "it waited for the backstop")
}

func TestABlindWorkerLooksAgainSoon(t *testing.T) {
	blind := ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonUnknown, State: ltp.Unknown, Epoch: 3, Blind: true}
	e := newOrderTest(t, []ltp.Routing{blind, admitted})
	began := e.Now()
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Less(t, e.Now().Sub(began), 10*time.Second)
}
