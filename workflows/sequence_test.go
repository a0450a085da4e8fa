package workflows_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/workflows"
)

// fakeOrder is an order as its sequence sees it.
type fakeOrder struct {
	takes  time.Duration // from its turn to its end; negative is never by itself
	says   bool          // that it ends
	turns  int
	ends   time.Time // zero is unknown yet
	forced time.Time
}

func (o *fakeOrder) end(now time.Time) ltp.SequenceEnd {
	if !o.ends.IsZero() && !now.Before(o.ends) {
		return ltp.SequenceEnd{Ended: true, Forced: o.forced}
	}
	return ltp.SequenceEnd{}
}

// sequenceTest runs sequences against orders that exist in this test only.
type sequenceTest struct {
	*testsuite.TestWorkflowEnvironment
	orders map[string]*fakeOrder
	acted  []string // who was given its turn, in order
	looked int      // how often Temporal was asked
	down   func() bool
	broken []string // what must not happen
	memo   []ltp.Sequence
}

func newSequenceTest() *sequenceTest {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(quiet)
	e := &sequenceTest{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), orders: map[string]*fakeOrder{}, down: func() bool { return false }}
	e.SetWorkflowRunTimeout(10000 * time.Hour)
	e.SetTestTimeout(time.Minute)
	e.SetWorkerOptions(worker.Options{DeadlockDetectionTimeout: time.Minute}) // a busy machine is no deadlock
	e.RegisterWorkflowWithOptions(workflows.Sequence, workflow.RegisterOptions{Name: ltp.SequenceWorkflow})
	e.RegisterActivity(&activities.Sequences{})
	var a *activities.Sequences
	e.OnActivity(a.Lead, mock.Anything, mock.Anything).Return(e.lead).Maybe()
	e.OnUpsertMemo(mock.Anything).Run(func(args mock.Arguments) {
		e.memo = append(e.memo, args.Get(0).(map[string]any)[ltp.SequenceMemo].(ltp.Sequence))
	}).Return(nil).Maybe()
	return e
}

// lead is sequence.Lead on the orders of the test.
func (e *sequenceTest) lead(_ context.Context, in ltp.LeadInput) (ltp.SequenceEnd, error) {
	e.looked++
	if e.down() {
		return ltp.SequenceEnd{}, errors.New("temporal does not answer")
	}
	o, ok := e.orders[in.OrderID]
	if !ok {
		return ltp.SequenceEnd{Ended: true}, nil
	}
	if in.Turn != nil && !o.end(e.Now()).Ended {
		for id, other := range e.orders {
			if other != o && other.turns > 0 && !other.end(e.Now()).Ended {
				e.broken = append(e.broken, fmt.Sprintf("%s has its turn while %s has not ended", in.OrderID, id))
			}
		}
		if o.turns++; o.turns == 1 {
			e.acted = append(e.acted, in.OrderID)
			if o.takes >= 0 {
				e.ends(in.OrderID, o.takes)
			}
		}
	}
	if !o.ends.IsZero() && o.ends.After(e.Now()) && o.ends.Sub(e.Now()) <= in.Watch {
		o.ends = e.Now() // the clock of the test stands still while an activity runs
	}
	return o.end(e.Now()), nil
}

// ends has an order end after a while, and say so if that is its way.
func (e *sequenceTest) ends(id string, after time.Duration) {
	o := e.orders[id]
	o.ends = e.Now().Add(after)
	if o.says {
		e.RegisterDelayedCallback(func() { e.SignalWorkflow(ltp.DoneSignal, id) }, max(after-time.Millisecond, 0))
	}
}

// join has an order join after a while.
func (e *sequenceTest) join(after time.Duration, id string, o fakeOrder) {
	if _, known := e.orders[id]; !known {
		e.orders[id] = &o
	}
	e.RegisterDelayedCallback(func() { e.SignalWorkflow(ltp.JoinSignal, id) }, after)
}

func (e *sequenceTest) run(t require.TestingT) {
	e.ExecuteWorkflow(ltp.SequenceWorkflow, ltp.SequenceInput{Key: "c-17"})
	require.True(t, e.IsWorkflowCompleted())
	require.NoError(t, e.GetWorkflowError())
	assert.Empty(t, e.broken)
}

func TestAnOrderGetsItsTurnWhenTheOneBeforeHasEnded(t *testing.T) {
	e := newSequenceTest()
	e.join(0, "A1", fakeOrder{takes: 20 * time.Millisecond})
	e.join(0, "A2", fakeOrder{takes: time.Hour, says: true})
	e.join(0, "A3", fakeOrder{takes: 20 * time.Millisecond})
	e.join(time.Minute, "A4", fakeOrder{takes: time.Second, says: true})
	began := e.Now()
	e.run(t)
	assert.Equal(t, []string{"A1", "A2", "A3", "A4"}, e.acted)
	assert.Less(t, e.Now().Sub(began), time.Hour+time.Minute, "an order that signals its end is not polled")
	for id, o := range e.orders {
		assert.Equal(t, 1, o.turns, id)
	}
}

func TestRepeatedJoinsAreOnePlace(t *testing.T) {
	e := newSequenceTest()
	for i := range 5 {
		e.join(time.Duration(i)*time.Second, "A1", fakeOrder{takes: time.Minute, says: true})
		e.join(time.Duration(i)*time.Second, "A2", fakeOrder{takes: time.Minute, says: true})
	}
	e.join(90*time.Second, "A1", fakeOrder{}) // it has ended by then
	e.run(t)
	assert.Equal(t, []string{"A1", "A2"}, e.acted)
	assert.Less(t, e.looked, 10, "a repeat costs nothing more")
}

// TestOrderThatWasTerminatedSaysNothing: it is found out, and not by asking all the time.
func TestOrderThatWasTerminatedSaysNothing(t *testing.T) {
	e := newSequenceTest()
	e.join(0, "A1", fakeOrder{takes: -1})
	e.join(0, "A2", fakeOrder{takes: 0})
	var terminated time.Time
	e.RegisterDelayedCallback(func() {
		terminated = e.Now()
		e.orders["A1"].ends, e.orders["A1"].forced = terminated, terminated
	}, 5*time.Hour)
	e.run(t)
	assert.Equal(t, []string{"A1", "A2"}, e.acted)
	assert.Less(t, e.Now().Sub(terminated), 16*time.Minute)
	assert.Less(t, e.looked, 40)
}

// TestAWriteOfATerminatedOrderMayStillBeUnderWay: the next order waits until it cannot be.
func TestAWriteOfATerminatedOrderMayStillBeUnderWay(t *testing.T) {
	e := newSequenceTest()
	e.join(0, "A1", fakeOrder{takes: 100 * time.Millisecond})
	e.join(0, "A2", fakeOrder{takes: 0})
	var began time.Time
	e.RegisterDelayedCallback(func() { began = e.Now(); e.orders["A1"].forced = began }, 0)
	e.run(t)
	assert.Equal(t, []string{"A1", "A2"}, e.acted)
	assert.GreaterOrEqual(t, e.Now().Sub(began), 20*time.Second)
	assert.Less(t, e.Now().Sub(began), 25*time.Second)
}

func TestOrdersThatEndedInLineAreSkipped(t *testing.T) {
	e := newSequenceTest()
	e.join(0, "A1", fakeOrder{takes: time.Hour, says: true})
	for i := range 50 {
		e.join(time.Minute, fmt.Sprintf("B%d", i), fakeOrder{})
	}
	e.join(time.Minute, "A2", fakeOrder{takes: 0})
	e.RegisterDelayedCallback(func() {
		for i := range 50 { // cancelled, or expired
			e.orders[fmt.Sprintf("B%d", i)].ends = e.Now()
		}
	}, 2*time.Minute)
	e.run(t)
	assert.Equal(t, []string{"A1", "A2"}, e.acted)
}

// TestWhatAnOrderSaysIsNotBelieved: only Temporal knows whether it has ended.
func TestWhatAnOrderSaysIsNotBelieved(t *testing.T) {
	e := newSequenceTest()
	e.join(0, "A1", fakeOrder{takes: time.Hour, says: true})
	e.join(0, "A2", fakeOrder{takes: 0})
	for _, id := range []string{"A1", "A2", "A9", ""} {
		e.RegisterDelayedCallback(func() { e.SignalWorkflow(ltp.DoneSignal, id) }, time.Minute)
	}
	e.run(t)
	assert.Equal(t, []string{"A1", "A2"}, e.acted)
}

func TestSequenceOutlivesATemporalThatDoesNotAnswer(t *testing.T) {
	e := newSequenceTest()
	e.join(0, "A1", fakeOrder{takes: time.Minute, says: true})
	e.join(0, "A2", fakeOrder{takes: 0})
	began := e.Now()
	e.down = func() bool { return e.Now().Sub(began) < 5*time.Minute }
	e.run(t)
	assert.Equal(t, []string{"A1", "A2"}, e.acted)
	assert.Less(t, e.looked, 40, "it is not hammered")
}

func TestCancellingASequenceLosesNobody(t *testing.T) {
	e := newSequenceTest()
	e.join(0, "A1", fakeOrder{takes: time.Hour, says: true})
	e.join(0, "A2", fakeOrder{takes: 0})
	e.RegisterDelayedCallback(e.CancelWorkflow, time.Minute)
	e.run(t)
	assert.Equal(t, []string{"A1", "A2"}, e.acted)
}

func TestWhatIsNoOrderDoesNotStandInLine(t *testing.T) {
	e := newSequenceTest()
	for _, id := range []string{"", "a b", string(make([]byte, 500))} {
		e.RegisterDelayedCallback(func() { e.SignalWorkflow(ltp.JoinSignal, id) }, 0)
	}
	e.RegisterDelayedCallback(func() { e.SignalWorkflow(ltp.JoinSignal, 17) }, 0)
	e.join(0, "A1", fakeOrder{takes: 0})
	e.run(t)
	assert.Equal(t, []string{"A1"}, e.acted)
}

// TestLongSequenceFitsWhatTemporalKeeps: 10,000 orders behind one that is deferred, and
// as many as may join with the longest IDs there are.
func TestLongSequenceFitsWhatTemporalKeeps(t *testing.T) {
	e := newSequenceTest()
	e.orders["A1"] = &fakeOrder{takes: -1}
	in := ltp.SequenceInput{Key: "c-17", Orders: []string{"A1"}}
	id := func(i int) string { return fmt.Sprintf("%0*d", ltp.MaxIDLength, i) }
	for i := range ltp.MaxSequence {
		in.Orders = append(in.Orders, id(i))
	}
	for i := range ltp.SequenceStep {
		e.join(time.Minute+time.Duration(i)*time.Millisecond, id(ltp.MaxSequence+i), fakeOrder{})
	}
	e.RegisterDelayedCallback(func() {
		e.SetContinueAsNewSuggested(true)
		e.SignalWorkflow(ltp.JoinSignal, id(0))
	}, time.Hour)
	e.ExecuteWorkflow(ltp.SequenceWorkflow, in)
	next := e.continued(t)
	assert.Len(t, next.Orders, 1+ltp.MaxSequence+ltp.SequenceStep)
	p, err := converter.GetDefaultDataConverter().ToPayloads(next)
	require.NoError(t, err)
	const blobLimit = 2 << 20
	size := 0
	for _, payload := range p.GetPayloads() {
		size += len(payload.GetData())
	}
	assert.Less(t, size, blobLimit)
	assert.Equal(t, []string{"A1"}, e.acted)
}

func TestMemoShowsTheDoorHowLongASequenceIs(t *testing.T) {
	e := newSequenceTest()
	e.orders["A1"] = &fakeOrder{takes: time.Hour, says: true}
	in := ltp.SequenceInput{Key: "c-17", Orders: []string{"A1"}}
	for i := range 600 {
		id := fmt.Sprintf("B%d", i)
		e.orders[id], in.Orders = &fakeOrder{}, append(in.Orders, id)
		e.join(time.Minute+time.Duration(i)*time.Millisecond, "C"+id, fakeOrder{})
	}
	e.ExecuteWorkflow(ltp.SequenceWorkflow, in)
	require.True(t, e.IsWorkflowCompleted())
	require.NoError(t, e.GetWorkflowError())
	assert.Len(t, e.acted, 1201)
	require.NotEmpty(t, e.memo)
	most := slices.MaxFunc(e.memo, func(a, b ltp.Sequence) int { return a.Waiting - b.Waiting })
	assert.InDelta(t, 1200, most.Waiting, ltp.SequenceStep)
	assert.Less(t, len(e.memo), 8, "now and then")
	assert.False(t, ltp.Sequence{Waiting: 10_000}.Full(4_000), "10,000 may stand in line while workers are up")
	assert.True(t, ltp.Sequence{Waiting: 10_000}.Full(4_500))
	assert.True(t, ltp.Sequence{}.Full(ltp.MaxUnread))
}

// continued is what the next run is given.
func (e *sequenceTest) continued(t require.TestingT) (next ltp.SequenceInput) {
	require.True(t, e.IsWorkflowCompleted())
	var again *workflow.ContinueAsNewError
	require.ErrorAs(t, e.GetWorkflowError(), &again)
	require.Equal(t, ltp.SequenceWorkflow, again.WorkflowType.Name)
	require.NoError(t, converter.GetDefaultDataConverter().FromPayloads(again.Input, &next))
	return next
}

// TestOrdersNeverOvertakeEachOther: whatever order joins, ends, is cancelled or
// terminated, signals that or not, and however often the sequence begins a new run or loses
// sight of Temporal meanwhile.
func TestOrdersNeverOvertakeEachOther(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := newSequenceTest()
		in := ltp.SequenceInput{Key: "c-17"}
		var joined []string
		for n := 0; ; n++ {
			e.arrange(t, n, &joined)
			e.ExecuteWorkflow(ltp.SequenceWorkflow, in)
			if e.GetWorkflowError() == nil {
				break
			}
			in = e.continued(t)
			next := newSequenceTest()
			next.orders, next.acted, next.broken, next.looked = e.orders, e.acted, e.broken, e.looked
			next.SetStartTime(e.Now())
			for id, o := range next.orders { // what was about to be said
				if o.says && o.ends.After(e.Now()) {
					next.RegisterDelayedCallback(func() { next.SignalWorkflow(ltp.DoneSignal, id) }, o.ends.Sub(e.Now()))
				}
			}
			e = next
		}
		assert.Empty(t, e.broken)
		var due []string
		for _, id := range joined {
			if e.orders[id].turns > 0 && !slices.Contains(due, id) {
				due = append(due, id)
			}
		}
		assert.Equal(t, due, e.acted, "in the order in which they joined")
		for _, id := range joined {
			o := e.orders[id]
			assert.True(t, o.turns > 0 || !o.ends.IsZero(), "%s is stuck", id)
		}
	})
}

// arrange makes up what happens in the nth run.
func (e *sequenceTest) arrange(t *rapid.T, n int, joined *[]string) {
	// Ends lie apart from one another, so that nobody can join in the very moment in
	// which the sequence ends: that is Temporal's business, and not played here.
	e.join(0, "A0", fakeOrder{takes: 24 * time.Hour, says: true})
	if n == 0 {
		*joined = append(*joined, "A0")
	}
	last := time.Duration(0)
	for range rapid.IntRange(0, 12).Draw(t, "joins") {
		last += time.Duration(rapid.IntRange(1, 3600_000).Draw(t, "after")) * time.Millisecond
		id := fmt.Sprintf("A%d", rapid.IntRange(0, 20).Draw(t, "id"))
		if _, known := e.orders[id]; !known {
			*joined = append(*joined, id)
		}
		e.join(last, id, fakeOrder{
			takes: rapid.SampledFrom([]time.Duration{0, 20 * time.Millisecond, 499 * time.Millisecond, 501 * time.Millisecond, time.Minute, 3 * time.Hour}).Draw(t, "takes"),
			says:  rapid.Bool().Draw(t, "says"),
		})
		if o := e.orders[id]; id != "A0" && rapid.IntRange(0, 3).Draw(t, "endsByItself") == 0 {
			forced := rapid.Bool().Draw(t, "forced")
			e.RegisterDelayedCallback(func() {
				if o.end(e.Now()).Ended {
					return
				}
				if o.ends = e.Now(); forced {
					o.forced = e.Now()
				}
			}, last+time.Duration(rapid.IntRange(0, 7200).Draw(t, "endsAfter"))*time.Second)
		}
	}
	if n < 3 && rapid.Bool().Draw(t, "continues") {
		e.RegisterDelayedCallback(func() { e.SetContinueAsNewSuggested(true) }, last+time.Duration(rapid.IntRange(1, 3600_000).Draw(t, "until"))*time.Millisecond)
	}
	began, from, lasts := e.Now(), time.Duration(rapid.IntRange(0, 7200).Draw(t, "down"))*time.Second, time.Duration(rapid.IntRange(0, 600).Draw(t, "downFor"))*time.Second
	e.down = func() bool { d := e.Now().Sub(began); return d >= from && d < from+lasts }
}
