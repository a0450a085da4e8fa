package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// keyedTest runs one order with an ordering key. Routing asks the decision table about
// the component as it is at that moment.
type keyedTest struct {
	*orderTest
	now      ltp.Orientation
	answers  []ltp.Routing
	joins    []activities.PlaceInput
	leaves   int
	sequence string // what Join answers
	joining  error
	index    []map[string]any // the upserts of search attributes, by name, without what they unset
}

var keyed = ltp.Order{ID: "A2", Customer: "c", Currency: "USD", Lines: order.Lines, OrderingKey: "c-17"}

func newKeyedTest(t *testing.T, state ltp.State, results ...error) *keyedTest {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	e := &keyedTest{orderTest: &orderTest{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t}, now: ltp.Orientation{Component: ltp.DefaultComponent, State: state, Epoch: 3}, sequence: "run-1"}
	var o *activities.Orders
	e.RegisterActivity(&activities.Orders{})
	e.OnActivity(o.Execute, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.ExecuteInput) (ltp.Receipt, error) {
			n := len(e.writes)
			if e.writes = append(e.writes, in); n < len(results) && results[n] != nil {
				return ltp.Receipt{}, results[n]
			}
			return ltp.Receipt{CommittedAt: time.Now().UTC()}, nil
		}).Maybe()
	e.OnActivity(o.CheckOrientation, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.RouteInput) (ltp.Routing, error) {
			e.routes = append(e.routes, in)
			decision, reason := ltp.Decide(e.now, in.Request)
			r := ltp.Routing{
				Attempt: in.Attempt, Replays: in.Replays, Woken: in.Woken, InLine: in.Request.InLine,
				Decision: decision, Reason: reason, Component: e.now.Component, State: e.now.State, Epoch: e.now.Epoch,
			}
			e.answers = append(e.answers, r)
			return r, nil
		}).Maybe()
	var s *activities.Sequences
	e.RegisterActivity(&activities.Sequences{})
	e.OnActivity(s.Join, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.PlaceInput) (string, error) {
			e.joins = append(e.joins, in)
			return e.sequence, e.joining
		}).Maybe()
	e.OnActivity(s.Leave, mock.Anything, mock.Anything).Return(
		func(_ context.Context, in activities.PlaceInput) error {
			assert.Equal(t, "c-17", in.Key)
			assert.Equal(t, "A2", in.OrderID)
			e.leaves++
			return e.joining
		}).Maybe()
	e.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		upsert := map[string]any{}
		for key, value := range args.Get(0).(temporal.SearchAttributes).GetUntypedValues() {
			upsert[key.GetName()] = value
		}
		e.index = append(e.index, upsert)
	}).Return(nil).Maybe()
	return e
}

// at has something happen after a while.
func (e *keyedTest) at(after time.Duration, do func()) { e.RegisterDelayedCallback(do, after) }

// becomes changes the component, and tells the order as the replay engine does.
func (e *keyedTest) becomes(after time.Duration, state ltp.State) {
	e.at(after, func() {
		e.now.State, e.now.Epoch = state, e.now.Epoch+1
		if state.Fit() {
			e.SignalWorkflow(ltp.StabilitySignal, ltp.Stability{Component: e.now.Component, State: e.now.State, Epoch: e.now.Epoch})
		}
	})
}

// turn gives the order its turn, which the sequence watches for a while.
func (e *keyedTest) turn(after, watched time.Duration) {
	e.at(after, func() { e.SignalWorkflow(ltp.TurnSignal, ltp.Turn{Watched: e.Now().Add(watched)}) })
}

// told is what the order was answered, in turn.
func (e *keyedTest) told() (said []ltp.Reason) {
	for _, r := range e.answers {
		said = append(said, r.Reason)
	}
	return said
}

func TestKeyedOrderWaitsForItsTurn(t *testing.T) {
	e := newKeyedTest(t, ltp.Stable)
	e.at(time.Minute, func() { assert.Empty(t, e.writes, "it acted before its turn") })
	e.turn(time.Minute, time.Second)
	began := e.Now()
	outcome, err := e.run(keyed)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Equal(t, time.Minute, e.Now().Sub(began).Truncate(time.Second))
	assert.Equal(t, []ltp.Reason{ltp.ReasonAwaitsTurn, ltp.ReasonOK}, e.told(), "routed again when its turn has come")
	assert.Equal(t, ltp.WokenByTurn, e.answers[1].Woken)
	assert.False(t, e.writes[0].Request.InLine, "the fence asks for an order that has its turn")
	assert.Zero(t, e.leaves, "the sequence watches")
	assert.Empty(t, e.joins)
	require.Len(t, e.index, 1)
	assert.Equal(t, string(ltp.ReasonAwaitsTurn), e.index[0][ltp.ReasonAttribute])
	assert.Nil(t, e.index[0][ltp.ComponentAttribute], "it waits for no component: no replay finds it")
}

func TestOrderWithoutAKeyHasNoBusinessWithSequences(t *testing.T) {
	e := newKeyedTest(t, ltp.Stable)
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Equal(t, []ltp.Reason{ltp.ReasonOK}, e.told())
	assert.Zero(t, e.leaves)
	assert.Empty(t, e.joins)
	assert.Empty(t, e.index)
}

func TestOrderSaysThatItEndsWhenNobodyWatches(t *testing.T) {
	for name, c := range map[string]struct {
		results []error
		end     func(*keyedTest)
		want    ltp.OrderState
	}{
		"executed": {want: ltp.Executed},
		"rejected": {results: []error{failure(activities.Rejected)}, want: ltp.Rejected},
		"cancelled": {end: func(e *keyedTest) {
			e.now.State = ltp.Unstable
			e.at(time.Minute, e.CancelWorkflow)
		}, want: ltp.Cancelled},
		"expired": {end: func(e *keyedTest) { e.now.State = ltp.Unstable }, want: ltp.Expired},
	} {
		t.Run(name, func(t *testing.T) {
			e := newKeyedTest(t, ltp.Stable, c.results...)
			o := keyed
			o.Deadline = e.Now().Add(2 * time.Minute)
			e.turn(0, 0)
			if c.end != nil {
				c.end(e)
			}
			outcome, err := e.run(o)
			if c.want == ltp.Cancelled {
				assert.ErrorAs(t, err, new(*temporal.CanceledError))
			} else {
				require.NoError(t, err)
				assert.Equal(t, c.want, outcome.State)
			}
			assert.Equal(t, 1, e.leaves)
		})
	}
}

// TestOrderThatNeverHadItsTurnIsNotAnnounced: it is found to have ended when it would be
// its turn.
func TestOrderThatNeverHadItsTurnIsNotAnnounced(t *testing.T) {
	e := newKeyedTest(t, ltp.Stable)
	e.at(time.Minute, e.CancelWorkflow)
	_, err := e.run(keyed)
	assert.ErrorAs(t, err, new(*temporal.CanceledError))
	assert.Empty(t, e.writes)
	assert.Zero(t, e.leaves)

	e = newKeyedTest(t, ltp.Stable)
	late := keyed
	late.Deadline = e.Now().Add(time.Minute)
	outcome, err := e.run(late)
	require.NoError(t, err)
	assert.Equal(t, ltp.Expired, outcome.State)
	assert.Empty(t, e.writes)
	assert.Zero(t, e.leaves)
}

func TestNobodyIsKeptByASequenceThatCannotBeTold(t *testing.T) {
	e := newKeyedTest(t, ltp.Stable)
	e.joining = errors.New("temporal does not answer")
	e.turn(5*time.Minute, 0)
	outcome, err := e.run(keyed)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.NotEmpty(t, e.joins)
	assert.Positive(t, e.leaves)
}

// TestTurnThatComesWhileAComponentIsUnfit is noted, and the order goes on waiting for
// the component alone.
func TestTurnThatComesWhileAComponentIsUnfit(t *testing.T) {
	e := newKeyedTest(t, ltp.Unstable)
	e.turn(10*time.Second, time.Second)
	e.becomes(30*time.Second, ltp.Recovering)
	began := e.Now()
	outcome, err := e.run(keyed)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Equal(t, 30*time.Second, e.Now().Sub(began).Truncate(time.Second))
	assert.Equal(t, []ltp.Reason{ltp.ReasonUnstable}, e.told(), "the signal is the second routing")
	assert.Equal(t, 1, e.leaves, "nobody watches any more")
}

// TestReleasedBeforeItsTurn: the replay engine is not kept by an order that awaits its
// turn, and what the engine says after that is no news to it.
func TestReleasedBeforeItsTurn(t *testing.T) {
	e := newKeyedTest(t, ltp.Unstable)
	e.becomes(10*time.Second, ltp.Recovering)
	e.becomes(20*time.Second, ltp.Stable)
	e.becomes(30*time.Second, ltp.Unstable)
	e.turn(40*time.Second, time.Second)
	e.becomes(50*time.Second, ltp.Recovering)
	outcome, err := e.run(keyed)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Equal(t, []ltp.Reason{ltp.ReasonUnstable, ltp.ReasonAwaitsTurn, ltp.ReasonUnstable}, e.told(),
		"it does not rely on a routing of before its turn")
	require.Len(t, e.index, 3)
	assert.Nil(t, e.index[1][ltp.ComponentAttribute])
	assert.Equal(t, ltp.DefaultComponent, e.index[2][ltp.ComponentAttribute], "a replay finds it again")
}

func TestOutcomeThatIsUnknownKeepsTheTurn(t *testing.T) {
	e := newKeyedTest(t, ltp.Stable, failure(activities.OutcomeUnknown))
	e.turn(0, 0)
	e.at(time.Second, e.CancelWorkflow)
	e.at(100*time.Millisecond, func() { assert.Zero(t, e.leaves) })
	outcome, err := e.run(keyed)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, e.writes, 2)
	assert.Equal(t, 1, e.leaves)
}

// TestBackstopSeesToItsPlaceInLine: whoever accepted the order may have died before it
// was put in line. Once it has put itself there, it only looks whether that still holds.
func TestBackstopSeesToItsPlaceInLine(t *testing.T) {
	e := newKeyedTest(t, ltp.Stable)
	e.turn(20*time.Minute, time.Second)
	outcome, err := e.run(keyed)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	require.GreaterOrEqual(t, len(e.joins), 3)
	assert.Equal(t, activities.PlaceInput{Key: "c-17", OrderID: "A2"}, e.joins[0])
	for _, again := range e.joins[1:] {
		assert.Equal(t, "run-1", again.Sequence)
	}
	assert.Len(t, e.index, 1, "that it still waits is no news")
}

func TestBackstopInAnOutageLeavesItsPlaceAlone(t *testing.T) {
	e := newKeyedTest(t, ltp.Unstable)
	e.at(10*time.Minute, e.CancelWorkflow)
	_, err := e.run(keyed)
	assert.ErrorAs(t, err, new(*temporal.CanceledError))
	assert.Empty(t, e.joins)
}

func TestTurnIsGivenMoreThanOnce(t *testing.T) {
	e := newKeyedTest(t, ltp.Stable)
	for range 3 {
		e.turn(time.Minute, time.Second)
	}
	outcome, err := e.run(keyed)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, e.writes, 1)
}

func TestTurnThatCannotBeReadIsNone(t *testing.T) {
	e := newKeyedTest(t, ltp.Stable)
	e.at(time.Second, func() { e.SignalWorkflow(ltp.TurnSignal, "soon") })
	e.at(time.Minute, e.CancelWorkflow)
	_, err := e.run(keyed)
	assert.ErrorAs(t, err, new(*temporal.CanceledError))
	assert.Empty(t, e.writes)
}

func TestPriorityIsMarkedWhereItIsNotTheUsual(t *testing.T) {
	for priority, want := range map[int]any{0: nil, ltp.DefaultPriority: nil, 1: int64(1), ltp.LastPriority: int64(5)} {
		e := newKeyedTest(t, ltp.Unstable)
		e.becomes(time.Second, ltp.Degraded)
		e.becomes(2*time.Second, ltp.Stable)
		o := order
		o.Priority, o.Risk = priority, ltp.HighRisk
		_, err := e.run(o)
		require.NoError(t, err)
		require.Len(t, e.index, 2)
		assert.Equal(t, want, e.index[0][ltp.PriorityAttribute], priority)
		assert.NotContains(t, e.index[1], ltp.PriorityAttribute, "it is told once")
	}
}

func TestExpeditedOrderIsMarkedOnce(t *testing.T) {
	e := newKeyedTest(t, ltp.Unstable)
	for range 3 {
		e.at(time.Second, func() { e.SignalWorkflow(ltp.ExpediteSignal, nil) })
	}
	e.at(2*time.Second, func() { e.SignalWorkflow(ltp.ExpediteSignal, nil) })
	e.becomes(3*time.Second, ltp.Recovering)
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	require.Len(t, e.index, 2)
	assert.Equal(t, map[string]any{ltp.PriorityAttribute: int64(0)}, e.index[1])
}

// TestExpeditingDoesNotJumpTheLine: it counts when the order waits for a component again.
func TestExpeditingDoesNotJumpTheLine(t *testing.T) {
	e := newKeyedTest(t, ltp.Stable)
	e.at(time.Second, func() { e.SignalWorkflow(ltp.ExpediteSignal, nil) })
	e.at(2*time.Second, func() { assert.Len(t, e.index, 1); assert.Empty(t, e.writes) })
	e.becomes(3*time.Second, ltp.Unstable)
	e.turn(4*time.Second, time.Second)
	e.becomes(5*time.Second, ltp.Recovering)
	outcome, err := e.run(keyed)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	require.Len(t, e.index, 2)
	assert.Equal(t, int64(0), e.index[1][ltp.PriorityAttribute])
	assert.Equal(t, ltp.DefaultComponent, e.index[1][ltp.ComponentAttribute])
}
