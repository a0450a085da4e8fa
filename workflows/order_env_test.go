package workflows_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/workflows"
)

const (
	db       = ltp.DefaultComponent
	payments = "payments"
)

var (
	order = ordertest.New("A2")
	keyed = ordertest.New("A2", ordertest.OrderingKey("c-17"))
)

// orderTest runs one order. Its activities ask the decision table about the components as
// they are at that moment, and keep the fence's rules; the order database is a row.
type orderTest struct {
	*testsuite.TestWorkflowEnvironment
	t *testing.T

	// What the order is accepted with: the stamp is the epoch of the moment where it is nil.
	execution ltp.Execution
	stamp     *ltp.Stamp
	mark      *ltp.Mark

	now        map[string]ltp.Orientation
	unreadable bool     // the worker cannot see
	paused     []string // components whose replay is paused
	backstop   ltp.Backstop
	parked     []ltp.Parking
	onPark     func()           // called when the order is parked
	cause      ltp.FailureCause // whose fault failures are found to be
	results    []ltp.Attempt    // how the writes that begin end, in turn; executed from then on
	before     func()           // what happens before the fence asks
	during     func()           // what happens while a write is under way
	lost       map[string]int
	row        *ltp.Receipt
	sequence   string // what Join answers
	joining    error

	routes      []ltp.RouteInput
	routings    []ltp.Routing // by the board and by the fence
	attempts    []ltp.ExecuteInput
	writes      []ltp.ExecuteInput // the attempts that began to write
	withdrawals []ltp.WithdrawInput
	joins       []ltp.JoinInput
	turnsBack   int
	upserts     []map[string]any // by name, without what they unset
	timers      []time.Duration
	length      int // of the history
}

func newOrderTest(t *testing.T, state ltp.State) *orderTest {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	e := &orderTest{
		TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t, sequence: "run-1", length: 3,
		now: map[string]ltp.Orientation{}, lost: map[string]int{},
	}
	e.SetCurrentHistoryLength(e.length)
	for _, c := range []string{db, payments} {
		e.now[c] = ltp.Orientation{Component: c, State: ltp.Stable, Epoch: 2, LastFit: 2}
	}
	e.set(db, state) // epoch 3
	e.RegisterActivity(&activities.Orders{})
	e.RegisterActivity(&activities.Sequences{})
	e.RegisterActivityWithOptions(func(context.Context, ltp.Job) (any, error) { return nil, nil }, activity.RegisterOptions{Name: "Fulfil"})
	var o *activities.Orders
	var s *activities.Sequences
	e.OnActivity(o.CheckOrientation, mock.Anything, mock.Anything).Return(e.checkOrientation).Maybe()
	e.OnActivity(o.Execute, mock.Anything, mock.Anything).Return(e.execute).Maybe()
	e.OnActivity(o.Withdraw, mock.Anything, mock.Anything).Return(e.withdraw).Maybe()
	e.OnActivity(s.Join, mock.Anything, mock.Anything).Return(func(_ context.Context, in ltp.JoinInput) (string, error) {
		e.joins = append(e.joins, in)
		return e.sequence, e.joining
	}).Maybe()
	e.OnActivity(s.ReleaseTurn, mock.Anything, mock.Anything).Return(func(_ context.Context, in ltp.JoinInput) error {
		assert.Equal(t, "c-17", in.Key)
		assert.Equal(t, "A2", in.OrderID)
		e.turnsBack++
		return e.joining
	}).Maybe()
	e.OnUpsertMemo(mock.Anything).Run(func(args mock.Arguments) {
		parked := args.Get(0).(map[string]any)[ltp.ParkedMemo].(ltp.Parking)
		e.parked = append(e.parked, parked)
		if e.onPark != nil {
			e.onPark()
		}
	}).Return(nil).Maybe()
	e.OnUpsertTypedSearchAttributes(mock.Anything).Run(func(args mock.Arguments) {
		upsert := map[string]any{}
		for key, value := range args.Get(0).(temporal.SearchAttributes).GetUntypedValues() {
			upsert[key.GetName()] = value
		}
		e.upserts = append(e.upserts, upsert)
	}).Return(nil).Maybe()
	e.SetOnTimerScheduledListener(func(_ string, d time.Duration) { e.timers = append(e.timers, d) })
	e.SetOnTimerFiredListener(func(string) { e.task() })
	return e
}

// task begins the next workflow task: its history has grown.
func (e *orderTest) task() {
	e.length += 6
	e.SetCurrentHistoryLength(e.length)
}

// at has something happen after a while, which begins a workflow task.
func (e *orderTest) at(after time.Duration, do func()) {
	e.RegisterDelayedCallback(func() { e.task(); do() }, after)
}

// set changes a component.
func (e *orderTest) set(component string, state ltp.State) {
	o := e.now[component]
	o.State, o.Epoch, o.Since = state, o.Epoch+1, e.Now()
	if state.Fit() {
		o.LastFit = o.Epoch
	}
	e.now[component] = o
}

// becomes changes the order database after a while.
func (e *orderTest) becomes(after time.Duration, state ltp.State) {
	e.at(after, func() { e.set(db, state) })
}

// recovers changes the order database after a while, and signals it to the order.
func (e *orderTest) recovers(after time.Duration, state ltp.State) {
	e.at(after, func() { e.set(db, state); e.signal(e.stability()) })
}

// stability is what there is to say of the order database now.
func (e *orderTest) stability() ltp.Stability {
	return ltp.Stability{Component: db, State: e.now[db].State, Epoch: e.now[db].Epoch}
}

func (e *orderTest) signal(s ltp.Stability) { e.SignalWorkflow(ltp.StabilitySignal, s) }

// turn gives the order its turn after a while, which its sequence watches for a while.
func (e *orderTest) turn(after, watched time.Duration) {
	e.at(after, func() { e.SignalWorkflow(ltp.TurnSignal, ltp.Turn{Watched: e.Now().Add(watched)}) })
}

// released is what became of a release by Update.
type released struct {
	refused, failed error
	answer          *ltp.Answer
	at              time.Time     // when it was answered
	seen            chan struct{} // closed when the workflow has accepted or refused it
}

// release sends the Update now.
func (e *orderTest) release(s ltp.Stability) *released {
	r := &released{seen: make(chan struct{})}
	e.UpdateWorkflow(ltp.StabilityUpdate, "", &testsuite.TestUpdateCallback{
		OnAccept: func() { close(r.seen) },
		OnReject: func(err error) { r.refused = err; close(r.seen) },
		OnComplete: func(answer any, err error) {
			r.failed, r.at = err, e.Now()
			if a, ok := answer.(ltp.Answer); ok && err == nil {
				r.answer = &a
			}
		},
	}, s)
	return r
}

// answers requires that the Update was answered, and returns the answer.
func (r *released) answers(t *testing.T) ltp.Answer {
	t.Helper()
	require.NoError(t, r.refused)
	require.NoError(t, r.failed)
	require.NotNil(t, r.answer)
	return *r.answer
}

func (e *orderTest) progress(o ltp.Order) ltp.Progress {
	stamp := ltp.Stamp{Epoch: e.now[db].Epoch, State: e.now[db].State}
	if e.stamp != nil {
		stamp = *e.stamp
	}
	return ltp.NewProgress(o, e.execution, stamp, e.mark)
}

func (e *orderTest) run(o ltp.Order) (ltp.Outcome, error) { return e.goOn(e.progress(o)) }

// executed runs the order, which is to be executed.
func (e *orderTest) executed(o ltp.Order) ltp.Receipt {
	e.t.Helper()
	outcome, err := e.run(o)
	require.NoError(e.t, err)
	require.Equal(e.t, ltp.Executed, outcome.State, "%+v", outcome)
	require.NotNil(e.t, outcome.Receipt)
	return *outcome.Receipt
}

// cancelled runs the order, which is to end as a cancelled workflow.
func (e *orderTest) cancelled(o ltp.Order) {
	e.t.Helper()
	_, err := e.run(o)
	require.ErrorAs(e.t, err, new(*temporal.CanceledError))
}

func (e *orderTest) goOn(p ltp.Progress) (outcome ltp.Outcome, err error) {
	e.ExecuteWorkflow(workflows.Order, p)
	require.True(e.t, e.IsWorkflowCompleted())
	if err := e.GetWorkflowError(); err != nil {
		return outcome, err
	}
	require.NoError(e.t, e.GetWorkflowResult(&outcome))
	return outcome, nil
}

// continued runs a progress until the order continues as new, and returns with what.
func (e *orderTest) continued(p ltp.Progress) (next ltp.Progress) {
	e.t.Helper()
	_, err := e.goOn(p)
	var again *workflow.ContinueAsNewError
	require.ErrorAs(e.t, err, &again)
	require.NoError(e.t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &next))
	return next
}

// reasons are those of all routings, in turn.
func (e *orderTest) reasons() (all []ltp.Reason) {
	for _, r := range e.routings {
		all = append(all, r.Reason)
	}
	return all
}

var errNoAnswer = errors.New("the worker is lost")

// silent reports whether an activity gives no answer this time.
func (e *orderTest) silent(activity string) bool {
	if e.lost[activity] == 0 {
		return false
	}
	e.lost[activity]--
	return true
}

func (e *orderTest) route(in ltp.RouteInput) ltp.Routing {
	all := make([]ltp.Orientation, 0, len(in.Components))
	for _, c := range in.Components {
		o := e.now[c]
		if e.unreadable {
			o.State = ltp.Unknown
		}
		all = append(all, o)
	}
	by, decision, reason := ltp.Route(all, in.Request)
	r := ltp.Routing{
		Attempt: in.Attempt, Woken: in.Woken, Request: in.Request, Decision: decision, Reason: reason,
		Component: by.Component, State: by.State, Epoch: by.Epoch, Unreadable: e.unreadable, Written: e.now[in.Written].Epoch,
	}
	e.routings = append(e.routings, r)
	return r
}

func (e *orderTest) checkOrientation(_ context.Context, in ltp.RouteInput) (ltp.Routing, error) {
	e.routes = append(e.routes, in)
	if e.silent("CheckOrientation") {
		return ltp.Routing{}, errNoAnswer
	}
	in.Request.Paused = e.paused
	r := e.route(in)
	r.Backstop = e.backstop
	if in.Failure != nil {
		r.Cause = e.cause
	}
	return r, nil
}

func (e *orderTest) fence(component string) ltp.Fence {
	o := e.now[component]
	return ltp.Fence{Component: component, State: o.State, Epoch: o.Epoch, LastFit: o.LastFit}
}

func (e *orderTest) execute(_ context.Context, in ltp.ExecuteInput) (ltp.Attempt, error) {
	e.attempts = append(e.attempts, in)
	if e.before != nil {
		e.before()
	}
	if e.silent("Fence") {
		return ltp.Attempt{}, errNoAnswer
	}
	known := len(e.routings)
	r := e.route(in.Route)
	a := ltp.Attempt{Routing: &r, Fence: e.fence(db)}
	external := in.Route.Written == ""
	given := external || slices.Contains(in.Given, r.Written) && (r.Written != in.Named || !e.now[db].Since.After(in.TaskAt))
	switch {
	case !r.Decision.Admissible():
		a.Result = ltp.ResultNotBegun
		return a, nil
	case !given:
		a.Result = ltp.ResultNotGiven
		return a, nil
	case in.Admitted:
		a.Routing, e.routings = nil, e.routings[:known] // the routing before stands
	}
	if external {
		a.Result = ltp.ResultAdmitted
		return a, nil
	}
	n := len(e.writes)
	e.writes = append(e.writes, in)
	if e.during != nil {
		e.during()
	}
	if e.silent("Execute") {
		return ltp.Attempt{}, errNoAnswer
	}
	a.BegunAt = ltp.Stamped(e.Now())
	a.EndedAt = a.BegunAt.Add(4 * time.Millisecond)
	if n < len(e.results) {
		a.Result, a.Error, a.Withdrawn = e.results[n].Result, e.results[n].Error, e.results[n].Withdrawn
		return a, nil
	}
	frame := in.Route.Attempt
	if a.Routing == nil {
		frame--
	}
	e.row = &ltp.Receipt{Attempt: ltp.RequestFrameID(in.Order.ID, frame), BegunAt: a.BegunAt, CommittedAt: a.EndedAt, Fence: a.Fence}
	a.Result, a.Receipt = ltp.ResultExecuted, e.row
	return a, nil
}

func (e *orderTest) withdraw(_ context.Context, in ltp.WithdrawInput) (ltp.Withdrawal, error) {
	e.withdrawals = append(e.withdrawals, in)
	if e.silent("Withdraw") {
		return ltp.Withdrawal{}, errNoAnswer
	}
	w := ltp.Withdrawal{Found: ltp.FoundNothing, Fence: e.fence(in.Written), Unreadable: e.unreadable}
	switch {
	case e.unreadable:
	case w.Fence.Unwritten(in.Stamp):
		w.Found = ltp.FoundUnwritten
	case !w.Fence.State.Fit():
	case e.row != nil:
		w.Found, w.Receipt = ltp.FoundOrder, e.row
	default:
		w.Found, w.End = ltp.FoundTombstone, &in.End
	}
	return w, nil
}

// failing are n writes in a row that begin and end so.
func failing(n int, r ltp.Result) []ltp.Attempt {
	return slices.Repeat([]ltp.Attempt{{Result: r, Error: "as the test says"}}, n)
}
