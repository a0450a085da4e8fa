package ltp_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// life drives the machine of one order by hand.
type life struct {
	t        require.TestingT
	p        ltp.Progress
	now      ltp.Moment
	commands []ltp.Command
	cause    ltp.FailureCause // whose fault the next failure is found to be
}

func live(t require.TestingT, p ltp.Progress) *life {
	return &life{t: t, p: p, now: ltp.Moment{At: start, Task: 3}}
}

// accepted is an order that the door stamped with epoch 3.
func accepted(change ...func(*ltp.Order)) ltp.Progress {
	return ltp.NewProgress(ordertest.New("A2", change...), ltp.Execution{}, ltp.Stamp{Epoch: 3, State: ltp.Stable}, nil)
}

func (l *life) next(e ltp.Event) *life {
	l.p, l.commands = l.p.Next(e, l.now)
	return l
}

// task begins the next workflow task, d later, with what it brings.
func (l *life) task(d time.Duration, in ltp.Inbox) *life {
	l.now = ltp.Moment{At: l.now.At.Add(d), Task: l.now.Task + 6}
	return l.next(ltp.Event{Inbox: in})
}

func (l *life) routed(state ltp.State, epoch int64) *life {
	in := l.last().Route
	require.NotNil(l.t, in, "%+v", l.commands)
	r := ltp.Routing{Attempt: in.Attempt, Woken: in.Woken, Request: in.Request, Component: "orders-db", State: state, Epoch: epoch, Written: epoch}
	r.Decision, r.Reason = ltp.Decide(ltp.Orientation{Component: r.Component, State: state, Epoch: epoch}, in.Request)
	if in.Failure != nil {
		r.Cause = l.cause
	}
	return l.next(ltp.Event{Routed: &r})
}

func (l *life) executed(a ltp.Attempt) *life {
	require.NotNil(l.t, l.last().Execute, "%+v", l.commands)
	return l.next(ltp.Event{Executed: &a})
}

func (l *life) withdrawn(w ltp.Withdrawal) *life {
	require.NotNil(l.t, l.last().Withdraw, "%+v", l.commands)
	return l.next(ltp.Event{Withdrawn: &w})
}

func (l *life) last() ltp.Command {
	require.NotEmpty(l.t, l.commands)
	return l.commands[len(l.commands)-1]
}

func (l *life) ends(state ltp.OrderState) ltp.Outcome {
	end := l.last().End
	require.NotNil(l.t, end, "%+v", l.commands)
	assert.Equal(l.t, state, end.Outcome.State)
	return end.Outcome
}

// waits asserts that the order waits for a reason, and returns until when.
func (l *life) waits(reason ltp.Reason) time.Duration {
	wait := l.last().Wait
	require.NotNil(l.t, wait, "%+v", l.commands)
	assert.Equal(l.t, reason, l.p.Wait.Reason)
	assert.Equal(l.t, ltp.PhaseWaiting, l.p.Phase)
	return wait.At.Sub(l.now.At)
}

func (l *life) marks() (all []ltp.Mark) {
	for _, c := range l.commands {
		if c.Mark != nil {
			all = append(all, *c.Mark)
		}
	}
	return all
}

func (l *life) answer() *ltp.Answer {
	for _, c := range l.commands {
		if c.Answer != nil {
			return c.Answer
		}
	}
	return nil
}

// deferredUnder is an order that waits since it was routed under an unfit epoch.
func deferredUnder(t require.TestingT, epoch int64) *life {
	p := accepted()
	p.Stamp = ltp.Stamp{Epoch: epoch, State: ltp.Unstable}
	l := live(t, p).next(ltp.Event{}).routed(ltp.Unstable, epoch)
	l.waits(ltp.ReasonUnstable)
	return l
}

var inDatabase = ltp.Attempt{Result: ltp.ResultExecuted, Receipt: &ltp.Receipt{Attempt: "A2/1"}}

func release(epoch int64) ltp.Inbox {
	return ltp.Inbox{Release: &ltp.Stability{Component: "orders-db", State: ltp.Recovering, Epoch: epoch}}
}

func fenced(attempt int, state ltp.State, epoch int64, r ltp.Request) *ltp.Routing {
	d, why := ltp.Decide(ltp.Orientation{Component: "orders-db", State: state, Epoch: epoch}, r)
	return &ltp.Routing{Attempt: attempt, Woken: ltp.WokenBySignal, Request: r, Decision: d, Reason: why, Component: "orders-db", State: state, Epoch: epoch, Written: epoch}
}

func TestOrderOfAFitComponentIsWrittenInTheTaskThatRoutesIt(t *testing.T) {
	l := live(t, accepted()).next(ltp.Event{}).routed(ltp.Stable, 3)
	in := l.last().Execute
	require.NotNil(t, in)
	assert.True(t, in.Admitted)
	assert.Equal(t, []int64{3}, in.Given, "the epoch that the door stamped it with")
	assert.Equal(t, 2, in.Route.Attempt, "the fence makes a routing of its own only where it finds otherwise")
	l.executed(inDatabase).ends(ltp.Executed)
	assert.Empty(t, l.next(ltp.Event{}).commands, "an order that has ended does nothing more")
}

func TestEpochThatTheTaskFoundByItselfIsForTheNextTask(t *testing.T) {
	l := live(t, accepted()).next(ltp.Event{}).routed(ltp.Stable, 5)
	require.NotNil(t, l.last().Wait)
	assert.Equal(t, ltp.Yield, l.last().Wait.At.Sub(l.now.At))
	assert.Equal(t, ltp.PhaseAdmitted, l.p.Phase)
	l.task(ltp.Yield, ltp.Inbox{Alarm: true})
	require.NotNil(t, l.last().Execute)
	assert.Equal(t, []int64{3, 5}, l.last().Execute.Given)
}

func TestEpochThatTheFenceFoundIsForTheNextTask(t *testing.T) {
	l := live(t, accepted()).next(ltp.Event{}).routed(ltp.Stable, 3)
	l.executed(ltp.Attempt{Result: ltp.ResultNotGiven, Routing: fenced(2, ltp.Stable, 7, ltp.Request{})})
	assert.Equal(t, ltp.PhaseAdmitted, l.p.Phase)
	l.task(ltp.Yield, ltp.Inbox{Alarm: true})
	assert.Equal(t, []int64{3, 7}, l.last().Execute.Given)
	assert.Equal(t, 3, l.last().Execute.Route.Attempt)
	l.executed(inDatabase).ends(ltp.Executed)
}

func TestContinuedRunWasGivenWhatTheOneBeforeRecorded(t *testing.T) {
	l := live(t, accepted()).next(ltp.Event{}).routed(ltp.Stable, 5)
	l.p = l.p.Continued()
	l.now.Task = 3 // counted anew
	l.next(ltp.Event{Inbox: ltp.Inbox{Alarm: true}})
	assert.Equal(t, []int64{3, 5}, l.last().Execute.Given)
}

func TestReleaseIsRoutedByTheFenceAndAnsweredByTheOutcome(t *testing.T) {
	l := deferredUnder(t, 4)
	require.NoError(t, l.p.Takes(*release(5).Release))
	l.task(time.Minute, release(5))
	in := l.last().Execute
	require.NotNil(t, in)
	assert.False(t, in.Admitted)
	assert.Equal(t, []int64{4, 5}, in.Given)
	assert.Equal(t, ltp.Request{Replay: true}, in.Route.Request)
	assert.Error(t, l.p.Takes(*release(5).Release), "it is being released")
	done := inDatabase
	done.Routing, done.BegunAt, done.EndedAt = fenced(2, ltp.Recovering, 5, in.Route.Request), start, start.Add(time.Second)
	l.executed(done).ends(ltp.Executed)
	assert.Equal(t, &ltp.Answer{State: ltp.Executed, Result: ltp.ResultExecuted, BegunAt: start, EndedAt: start.Add(time.Second)}, l.answer())
}

func TestEpochThatIsOnlyNamedIsSaidToBe(t *testing.T) {
	l := deferredUnder(t, 4)
	l.task(time.Minute, release(5))
	in := l.last().Execute
	assert.EqualValues(t, 5, in.Named)
	assert.Equal(t, l.now.At, in.TaskAt)
	l.executed(ltp.Attempt{Result: ltp.ResultNotGiven, Routing: fenced(2, ltp.Recovering, 5, in.Route.Request)})
	l.task(ltp.Yield, ltp.Inbox{Alarm: true})
	in = l.last().Execute
	assert.Equal(t, []int64{4, 5}, in.Given)
	assert.Zero(t, in.Named, "now an earlier task has read it")
	assert.Zero(t, in.TaskAt)
}

func TestReleaseThatTheFenceRefusesIsAnsweredByWhatTheOrderWaitsFor(t *testing.T) {
	l := deferredUnder(t, 4)
	l.task(time.Minute, release(5))
	l.executed(ltp.Attempt{Result: ltp.ResultNotBegun, Routing: fenced(2, ltp.Unstable, 6, ltp.Request{Replay: true})})
	l.waits(ltp.ReasonUnstable)
	assert.Equal(t, &ltp.Answer{State: ltp.Deferred, Wait: ltp.Wait{Component: "orders-db", Epoch: 6, Reason: ltp.ReasonUnstable}, Result: ltp.ResultNotBegun}, l.answer())
	assert.Equal(t, []ltp.Mark{{Wait: l.p.Wait, Priority: ltp.DefaultPriority}}, l.marks())
}

func TestSignalDoesWhatTheUpdateDoesWithoutAnAnswer(t *testing.T) {
	l := deferredUnder(t, 4)
	l.task(time.Minute, ltp.Inbox{Signals: []ltp.Stability{{Component: "orders-db", Epoch: 4}, {Component: "orders-db", Epoch: 5}}})
	require.NotNil(t, l.last().Execute)
	assert.Equal(t, []int64{4, 5}, l.last().Execute.Given)
	assert.Nil(t, l.answer())
}

func TestStabilityOfAnOldEpochReleasesNoOrder(t *testing.T) {
	l := deferredUnder(t, 4)
	for _, s := range []ltp.Stability{{Component: "orders-db", Epoch: 4}, {Component: "orders-db", Epoch: 3}, {}} {
		assert.Error(t, l.p.Takes(s), "%+v", s)
		until := l.p.WakeAt
		l.task(time.Second, ltp.Inbox{Signals: []ltp.Stability{s}})
		l.waits(ltp.ReasonUnstable)
		assert.Equal(t, until, l.p.WakeAt, "the timer goes on")
	}
	assert.NoError(t, l.p.Takes(ltp.Stability{Component: "payments", Epoch: 1}), "of another component it may be news")
}

func TestCancellationEndsAtOnceWhereNoWriteCanHaveBegun(t *testing.T) {
	l := deferredUnder(t, 4)
	l.task(time.Second, ltp.Inbox{Cancelled: true})
	in := l.last().Withdraw
	require.NotNil(t, in)
	assert.Equal(t, ltp.Stamp{Epoch: 4, State: ltp.Unstable}, in.Stamp)
	l.withdrawn(ltp.Withdrawal{Found: ltp.FoundUnwritten}).ends(ltp.Cancelled)
}

func TestOrderThatMayBeWrittenEndsAsTheDatabaseSays(t *testing.T) {
	receipt := ltp.Receipt{Attempt: "A2/1"}
	for name, test := range map[string]struct {
		found ltp.Withdrawal
		state ltp.OrderState
	}{
		"it was written":        {ltp.Withdrawal{Found: ltp.FoundOrder, Receipt: &receipt}, ltp.Executed},
		"tombstone":             {ltp.Withdrawal{Found: ltp.FoundTombstone, End: &ltp.Ending{State: ltp.Cancelled}}, ltp.Cancelled},
		"an earlier tombstone":  {ltp.Withdrawal{Found: ltp.FoundTombstone, End: &ltp.Ending{State: ltp.Expired}}, ltp.Expired},
		"no fit epoch since":    {ltp.Withdrawal{Found: ltp.FoundUnwritten}, ltp.Cancelled},
		"nobody can tell yet":   {ltp.Withdrawal{Found: ltp.FoundNothing, Fence: ltp.Fence{Component: "orders-db", State: ltp.Unstable, Epoch: 4}}, ""},
		"the tombstone fails":   {ltp.Withdrawal{Found: ltp.FoundNothing, Fence: ltp.Fence{Component: "orders-db", State: ltp.Stable, Epoch: 5}}, ""},
		"a tombstone of no end": {ltp.Withdrawal{Found: ltp.FoundTombstone}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			l := live(t, accepted()).next(ltp.Event{}).routed(ltp.Stable, 3)
			l.executed(ltp.Attempt{Result: ltp.ResultUnknown, BegunAt: start, Error: "cut off"}).routed(ltp.Unstable, 4)
			l.waits(ltp.ReasonUnstable)
			l.task(time.Second, ltp.Inbox{Cancelled: true}).withdrawn(test.found)
			if test.state != "" {
				l.ends(test.state)
				return
			}
			l.waits(ltp.ReasonAwaitsProof)
			l.task(time.Minute, release(7))
			require.NotNil(t, l.last().Withdraw, "the end is looked at first, in every task")
			l.withdrawn(ltp.Withdrawal{Found: ltp.FoundTombstone, End: &ltp.Ending{State: ltp.Cancelled}}).ends(ltp.Cancelled)
			assert.Equal(t, ltp.Cancelled, l.answer().State)
		})
	}
}

func TestRefusedOrderIsRejectedByATombstone(t *testing.T) {
	refused := ltp.Attempt{Result: ltp.ResultRefused, Error: "out of stock", Code: "P0001"}
	for _, b := range []ltp.FailureCause{"", ltp.CauseComponent} {
		l := live(t, accepted()).next(ltp.Event{}).failing(refused, b)
		l.waits(ltp.ReasonExecuteUnavailable) // as far as anyone knows, the write path refuses all
	}
	l := live(t, accepted()).next(ltp.Event{}).failing(refused, ltp.CauseOrder)
	in := l.last().Withdraw
	require.NotNil(t, in, "a write of an attempt that was lost may still commit")
	assert.Equal(t, ltp.Ending{State: ltp.Rejected, Reason: "out of stock"}, in.End)
	end := l.withdrawn(ltp.Withdrawal{Found: ltp.FoundTombstone, End: &in.End}).ends(ltp.Rejected)
	assert.Equal(t, "out of stock", end.Reason)
}

func TestOrderThatMeetsATombstoneEndsAsItSays(t *testing.T) {
	l := live(t, accepted()).next(ltp.Event{}).routed(ltp.Stable, 3)
	l.executed(ltp.Attempt{Result: ltp.ResultWithdrawn, Withdrawn: &ltp.Ending{State: ltp.Expired, Reason: "late"}})
	assert.Equal(t, "late", l.ends(ltp.Expired).Reason)
}

func TestDeadlineWakesAndExpires(t *testing.T) {
	p := accepted(func(o *ltp.Order) { o.Deadline = start.Add(10 * time.Second) })
	l := live(t, p).next(ltp.Event{}).routed(ltp.Unstable, 4)
	assert.Equal(t, 10*time.Second, l.waits(ltp.ReasonUnstable))
	l.task(10*time.Second, ltp.Inbox{Alarm: true})
	require.NotNil(t, l.last().Withdraw)
	assert.Equal(t, ltp.Expired, l.last().Withdraw.End.State)
}

func TestFailedAttemptIsRoutedAgainAndPaused(t *testing.T) {
	for _, result := range []ltp.Result{ltp.ResultUnavailable, ltp.ResultUnknown, ltp.ResultNotBegun} {
		l := live(t, accepted()).next(ltp.Event{})
		var before time.Duration
		for range 3 {
			l.routed(ltp.Stable, 3).executed(ltp.Attempt{Result: result, Error: "no connection"})
			in := l.last().Route
			require.NotNil(t, in, result)
			assert.Equal(t, ltp.WokenByFailure, in.Woken)
			assert.True(t, in.Request.Failed)
			d := l.routed(ltp.Stable, 3).waits(ltp.ReasonExecuteUnavailable)
			assert.Greater(t, d, before*5/4, "the pause grows")
			before = d
			l.task(d, ltp.Inbox{Alarm: true})
		}
	}
}

// failing drives an order through an attempt that fails, whose fault is then found out.
func (l *life) failing(a ltp.Attempt, b ltp.FailureCause) *life {
	if l.p.Phase == ltp.PhaseRouting {
		l.routed(ltp.Stable, 3)
	}
	a.BegunAt = l.now.At
	l.executed(a)
	in := l.last().Route
	require.NotNil(l.t, in)
	require.NotNil(l.t, in.Failure, "the router is to find out whose fault it was")
	assert.Equal(l.t, ltp.Failure{Result: a.Result, Code: a.Code, Error: a.Error, Since: l.now.At}, *in.Failure)
	l.cause = b
	return l.routed(ltp.Stable, 3)
}

// parked is an order that has failed by itself until it was parked, after n attempts.
func parked(t require.TestingT, result ltp.Result) (l *life, n int) {
	l = live(t, accepted()).next(ltp.Event{})
	for n = 1; n < 50; n++ {
		l.failing(ltp.Attempt{Result: result, Error: "numeric field overflow (22003)", Code: "22003"}, ltp.CauseOrder)
		if l.p.Phase == ltp.PhaseParked {
			return l, n
		}
		l.task(l.waits(ltp.ReasonExecuteUnavailable), ltp.Inbox{Alarm: true})
	}
	require.FailNow(t, "it is never parked")
	return l, n
}

func TestOrderThatFailsByItselfIsParked(t *testing.T) {
	for result, want := range map[ltp.Result]int{ltp.ResultUnavailable: ltp.ParkAfter, ltp.ResultUnknown: ltp.ParkUncertainAfter} {
		l, n := parked(t, result)
		assert.GreaterOrEqual(t, n, want, result)
		assert.Equal(t, ltp.Wait{Reason: ltp.ReasonParked}, l.p.Wait)
		assert.Equal(t, ltp.Command{Wait: &ltp.Alarm{}}, l.last(), "no timer wakes it")
		require.NotNil(t, l.commands[0].Park)
		assert.Equal(t, ltp.Parking{Since: l.now.At, Failures: n, Error: "numeric field overflow (22003)"}, *l.commands[0].Park)
		require.Len(t, l.marks(), 1)
		assert.Equal(t, ltp.ReasonParked, l.marks()[0].Reason)
	}
}

// TestOrderIsNotParkedForAFaultThatOthersShare, nor for one of which nobody knows.
func TestOrderIsNotParkedForAFaultThatOthersShare(t *testing.T) {
	for _, b := range []ltp.FailureCause{"", ltp.CauseComponent} {
		for _, result := range []ltp.Result{ltp.ResultRefused, ltp.ResultUnavailable, ltp.ResultUnknown} {
			l := live(t, accepted()).next(ltp.Event{})
			for range 5 * ltp.ParkUncertainAfter {
				l.failing(ltp.Attempt{Result: result, Error: "permission denied for table orders"}, b)
				l.task(l.waits(ltp.ReasonExecuteUnavailable), ltp.Inbox{Alarm: true})
			}
			for range ltp.ParkAfter - 1 { // what it did by itself before counts no more
				l.failing(ltp.Attempt{Result: ltp.ResultUnavailable}, ltp.CauseOrder)
				l.task(l.waits(ltp.ReasonExecuteUnavailable), ltp.Inbox{Alarm: true})
			}
			l.failing(ltp.Attempt{Result: ltp.ResultUnavailable}, b).waits(ltp.ReasonExecuteUnavailable)
		}
	}
}

func TestParkedOrderWaitsForAnOperator(t *testing.T) {
	retry := ltp.Inbox{Instruction: &ltp.Instruction{Do: ltp.DoRetry, By: "ann"}}
	l, _ := parked(t, ltp.ResultUnavailable)
	assert.Error(t, l.p.Takes(ltp.Stability{Component: "orders-db", Epoch: 9}), "no release brings it back")
	l.task(time.Hour, ltp.Inbox{Signals: []ltp.Stability{{Component: "orders-db", State: ltp.Stable, Epoch: 9}}, Expedited: true})
	assert.Equal(t, ltp.PhaseParked, l.p.Phase)
	l.task(time.Hour, retry)
	assert.Equal(t, ltp.WokenByRetry, l.last().Route.Woken)
	assert.Zero(t, l.p.Failures.Count, "its attempts are counted anew")
	l.routed(ltp.Stable, 3).executed(inDatabase).ends(ltp.Executed)

	l, _ = parked(t, ltp.ResultUnavailable)
	l.task(time.Hour, ltp.Inbox{Instruction: &ltp.Instruction{Do: ltp.DoReject, By: "ann", Why: "no such article"}})
	require.NotNil(t, l.last().Withdraw)
	assert.Equal(t, ltp.Ending{State: ltp.Rejected, Reason: "rejected by ann: no such article"}, l.last().Withdraw.End)
	l.withdrawn(ltp.Withdrawal{Found: ltp.FoundOrder, Receipt: &ltp.Receipt{}}).ends(ltp.Executed)

	l, _ = parked(t, ltp.ResultUnknown)
	l.task(time.Hour, ltp.Inbox{Cancelled: true})
	l.withdrawn(ltp.Withdrawal{Found: ltp.FoundTombstone, End: &l.last().Withdraw.End}).ends(ltp.Cancelled)
}

func TestParkedOrderDoesNotExpire(t *testing.T) {
	l, _ := parked(t, ltp.ResultUnavailable)
	l.p.Order.Deadline = l.now.At.Add(time.Minute)
	l.task(time.Hour, ltp.Inbox{Expedited: true})
	assert.Equal(t, ltp.PhaseParked, l.p.Phase)
}

// TestOrderThatIsNotParkedIgnoresInstructions: an operator's may arrive late.
func TestOrderThatIsNotParkedIgnoresInstructions(t *testing.T) {
	for _, do := range []ltp.Do{ltp.DoRetry, ltp.DoReject} {
		l := deferredUnder(t, 4)
		l.task(time.Second, ltp.Inbox{Instruction: &ltp.Instruction{Do: do, By: "ann", Why: "why"}}).waits(ltp.ReasonUnstable)
		assert.Nil(t, l.p.Ending)
	}
}

func TestReleaseOfAnOrderThatFailsSaysWhoseFaultItWas(t *testing.T) {
	l := deferredUnder(t, 4)
	l.task(time.Second, release(5))
	r := fenced(2, ltp.Recovering, 5, ltp.Request{Replay: true})
	l.executed(ltp.Attempt{Result: ltp.ResultUnavailable, Routing: r, BegunAt: l.now.At, Error: "no", Code: "42501"})
	l.cause = ltp.CauseComponent
	l.routed(ltp.Recovering, 5)
	require.NotNil(t, l.answer())
	assert.Equal(t, ltp.CauseComponent, l.answer().Cause)
	assert.Equal(t, "42501", l.answer().Code)
	assert.Equal(t, "no", l.answer().Error)
}

func TestAttemptsOfAnotherEpochDoNotCount(t *testing.T) {
	l := live(t, accepted()).next(ltp.Event{})
	for epoch := int64(3); epoch < 3+4*ltp.ParkUncertainAfter; epoch += 2 {
		l.routed(ltp.Stable, epoch)
		if l.p.Phase == ltp.PhaseAdmitted {
			l.task(ltp.Yield, ltp.Inbox{Alarm: true})
		}
		l.executed(ltp.Attempt{Result: ltp.ResultUnavailable, BegunAt: l.now.At, Error: "away"}).routed(ltp.Unstable, epoch+1)
		l.task(time.Minute, ltp.Inbox{Alarm: true})
	}
}

func TestOrderOfAnOrderingKeyActsOnlyInItsTurn(t *testing.T) {
	keyed := func(o *ltp.Order) { o.OrderingKey = "c-17" }
	l := live(t, accepted(keyed)).next(ltp.Event{}).routed(ltp.Stable, 3)
	l.waits(ltp.ReasonAwaitsTurn)
	assert.Error(t, l.p.Takes(ltp.Stability{Component: "orders-db", Epoch: 9}))
	l.task(time.Second, ltp.Inbox{Turn: &ltp.Turn{Watched: l.now.At.Add(time.Minute)}})
	assert.Equal(t, ltp.WokenByTurn, l.last().Route.Woken)
	l.routed(ltp.Stable, 3).executed(inDatabase)
	l.ends(ltp.Executed)
	assert.False(t, l.last().End.ReleaseTurn, "the sequence watches")

	l = live(t, accepted(keyed)).next(ltp.Event{}).routed(ltp.Stable, 3)
	l.task(time.Second, ltp.Inbox{Cancelled: true}).ends(ltp.Cancelled) // it never had its turn

	l = live(t, accepted(keyed)).next(ltp.Event{}).routed(ltp.Stable, 3)
	l.task(2*time.Minute, ltp.Inbox{Alarm: true})
	require.NotNil(t, l.last().Join, "its backstop makes sure that it stands in line")
	sequence := "run-1"
	l.next(ltp.Event{Joined: &sequence})
	assert.True(t, l.last().Route.Request.InLine)
}

// TestBackstopIsShortWhereNoReleaseLooks: in line, and in a backlog whose report was lost.
func TestBackstopIsShortWhereNoReleaseLooks(t *testing.T) {
	keyed, plain := func(o *ltp.Order) { o.OrderingKey = "c-17" }, func(*ltp.Order) {}
	about := func(want, got time.Duration) { t.Helper(); assert.InDelta(t, want, got, float64(want)/4) }
	about(2*time.Minute, live(t, accepted(keyed)).next(ltp.Event{}).routed(ltp.Stable, 3).waits(ltp.ReasonAwaitsTurn))

	l := live(t, accepted(plain)).next(ltp.Event{})
	r := ltp.Routing{Attempt: 1, Decision: ltp.Defer, Reason: ltp.ReasonBacklog, Component: "orders-db", State: ltp.Stable, Epoch: 3}
	about(2*time.Minute, l.next(ltp.Event{Routed: &r}).waits(ltp.ReasonBacklog))

	about(10*time.Minute, live(t, accepted(plain)).next(ltp.Event{}).routed(ltp.Unstable, 4).waits(ltp.ReasonUnstable))
}

func TestBackstopLeavesAnOrderToTheReplayOnce(t *testing.T) {
	l := deferredUnder(t, 4)
	l.task(2*time.Minute, ltp.Inbox{Alarm: true}).routed(ltp.Recovering, 5)
	most := l.waits(ltp.ReasonAwaitsReplay)
	assert.Empty(t, l.marks(), "the replay finds it where it was")
	assert.NoError(t, l.p.Takes(ltp.Stability{Component: "orders-db", Epoch: 5}), "of this very replay")
	l.task(most, ltp.Inbox{Alarm: true})
	assert.False(t, l.last().Route.Request.Listed)
}

func TestDoorMarksWhatWillNotAct(t *testing.T) {
	o := ordertest.New("A2")
	now := ltp.Orientation{Component: "orders-db", State: ltp.Unstable, Epoch: 4}
	mark := ltp.DoorMark(o, []ltp.Orientation{now})
	require.NotNil(t, mark)
	l := live(t, ltp.NewProgress(o, ltp.Execution{}, ltp.Stamp{Epoch: 4, State: ltp.Unstable}, mark)).next(ltp.Event{}).routed(ltp.Unstable, 4)
	l.waits(ltp.ReasonUnstable)
	assert.Empty(t, l.marks(), "the door has marked it")
	now.State = ltp.Stable
	assert.Nil(t, ltp.DoorMark(o, []ltp.Orientation{now}))
	assert.Nil(t, ltp.DoorMark(o, []ltp.Orientation{{Component: "orders-db", State: ltp.Unknown}}), "the door does not know the epoch")
}

func TestExpeditedOrderIsMarkedOnce(t *testing.T) {
	l := deferredUnder(t, 4)
	l.task(time.Second, ltp.Inbox{Expedited: true})
	require.Len(t, l.marks(), 1)
	assert.Zero(t, l.marks()[0].Priority)
	assert.Empty(t, l.task(time.Second, ltp.Inbox{Expedited: true}).marks())
}

func TestActivityOfTheUsersFollowsOnTheFence(t *testing.T) {
	own := ltp.Execution{Activity: "Pack", TaskQueue: "packing"}
	p := ltp.NewProgress(ordertest.New("A2"), own, ltp.Stamp{}, nil)
	l := live(t, p).next(ltp.Event{}).routed(ltp.Stable, 3)
	require.NotNil(t, l.last().Execute)
	assert.Empty(t, l.last().Execute.Route.Written)
	l.executed(ltp.Attempt{Result: ltp.ResultAdmitted, Fence: ltp.Fence{Component: "orders-db", State: ltp.Stable, Epoch: 3}})
	job := l.last().ExecuteExternal
	require.NotNil(t, job)
	assert.Equal(t, "A2/1", job.Attempt)
	lost := job.Failed(ltp.ExternalFailure{Message: "timeout"}, start, start)
	l.next(ltp.Event{Executed: &lost}).routed(ltp.Unstable, 4)
	l.waits(ltp.ReasonUnstable)
	l.task(time.Second, ltp.Inbox{Cancelled: true})
	l.waits(ltp.ReasonUnstable) // it may have taken effect: it can only be finished
	l.task(time.Second, release(5)).executed(ltp.Attempt{Result: ltp.ResultAdmitted, Routing: fenced(3, ltp.Recovering, 5, ltp.Request{Replay: true})})
	done := job.Returned([]byte(`{"repeated":true}`), start, start)
	l.next(ltp.Event{Executed: &done}).ends(ltp.Executed)
}

// TestMachineKeepsItsPromises plays random lives: answers that may be anything, news at any
// time, and a state that is written down and read again before every step.
func TestMachineKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var own ltp.Execution
		if rapid.Bool().Draw(t, "external") {
			own = ltp.Execution{Activity: "Pack", TaskQueue: "packing"}
		}
		o := ordertest.New("A2")
		if rapid.Bool().Draw(t, "keyed") {
			o.OrderingKey = "c-17"
		}
		if rapid.Bool().Draw(t, "deadline") {
			o.Deadline = start.Add(time.Duration(rapid.IntRange(1, 1000).Draw(t, "seconds")) * time.Second)
		}
		w := &chance{T: t, epoch: 3, state: ltp.Stable}
		l := live(t, ltp.NewProgress(o, own, ltp.Stamp{Epoch: int64(rapid.IntRange(0, 4).Draw(t, "stamp"))}, nil))
		event := ltp.Event{}
		var began, proof bool
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			before := reread(t, l.p)
			again, same := before.Next(event, l.now)
			l.next(event)
			require.Equal(t, l.commands, same, "the same state and event give the same commands")
			require.Equal(t, reread(t, l.p), reread(t, again))
			require.NotEmpty(t, l.commands)
			for i, c := range l.commands[:len(l.commands)-1] {
				require.True(t, c.Mark != nil || c.Answer != nil || c.Park != nil, "command %d of %+v asks for something, and is not the last", i, l.commands)
			}
			last := l.last()
			if end := last.End; end != nil {
				require.Equal(t, ltp.PhaseEnded, l.p.Phase)
				require.False(t, l.p.Releasing, "whoever released it has an answer")
				if began && own.Activity == "" && end.Outcome.State != ltp.Executed {
					require.True(t, proof, "it ended %s, a write may have begun, and nothing proves that it did not commit", end.Outcome.State)
				}
				require.Empty(t, l.next(w.event(l, last)).commands, "there is one end")
				return
			}
			if last.Wait != nil {
				require.Equal(t, l.p.Phase == ltp.PhaseParked, last.Wait.At.IsZero(), "all but a parked order wake by themselves")
				require.True(t, last.Wait.At.IsZero() || last.Wait.At.After(l.now.At), "it waits until a later time")
				if l.p.Phase == ltp.PhaseWaiting {
					require.NotEmpty(t, l.p.Wait.Reason, "a deferral has a reason")
					require.False(t, l.p.Releasing)
				}
			}
			if in := last.Execute; in != nil {
				require.True(t, l.p.Ending == nil || l.p.Uncertain, "an order that is to end is not executed")
				require.True(t, o.OrderingKey == "" || l.p.HasTurn || in.Route.Request.InLine)
				for _, epoch := range in.Given {
					require.True(t, epoch == l.p.Stamp.Epoch || w.given[epoch], "epoch %d was not given to this task", epoch)
				}
			}
			event = w.event(l, last)
			if x := event.Executed; x != nil && (!x.BegunAt.IsZero() || x.Result == ltp.ResultUnknown) {
				began = began || last.Execute == nil || !last.Execute.Route.Request.InLine // nobody acts without the turn
			}
			proof = event.Withdrawn != nil && event.Withdrawn.Found != ltp.FoundNothing || event.Executed != nil && event.Executed.Result == ltp.ResultWithdrawn
		}
	})
}

// chance answers what a machine asks for.
type chance struct {
	*rapid.T
	epoch int64
	state ltp.State
	given map[int64]bool // by signals, Updates, and routings of earlier tasks
	fresh []int64        // routed in this task
}

func (w *chance) event(l *life, c ltp.Command) (e ltp.Event) {
	if w.given == nil {
		w.given = map[int64]bool{}
	}
	if rapid.IntRange(0, 3).Draw(w.T, "change") == 0 {
		w.epoch++
		w.state = rapid.SampledFrom([]ltp.State{ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Unknown, ltp.Degraded}).Draw(w.T, "state")
	}
	switch {
	case c.Route != nil:
		e.Routed = w.route(*c.Route)
	case c.Execute != nil:
		e.Executed = w.execute(*c.Execute)
	case c.ExecuteExternal != nil:
		a := ltp.Attempt{Result: rapid.SampledFrom([]ltp.Result{ltp.ResultExecuted, ltp.ResultRefused, ltp.ResultUnavailable, ltp.ResultUnknown, ltp.ResultNotBegun}).Draw(w.T, "own")}
		if a.Result == ltp.ResultExecuted {
			a.Receipt = &ltp.Receipt{}
		}
		e.Executed = &a
	case c.Withdraw != nil:
		x := ltp.Withdrawal{Found: rapid.SampledFrom([]ltp.Found{ltp.FoundNothing, ltp.FoundNothing, ltp.FoundTombstone, ltp.FoundOrder, ltp.FoundUnwritten}).Draw(w.T, "found")}
		x.Fence = ltp.Fence{Component: "orders-db", State: w.state, Epoch: w.epoch}
		switch x.Found {
		case ltp.FoundTombstone:
			x.End = &c.Withdraw.End
		case ltp.FoundOrder:
			x.Receipt = &ltp.Receipt{}
		}
		e.Withdrawn = &x
	case c.Join != nil:
		sequence := rapid.SampledFrom([]string{"", "run-1"}).Draw(w.T, "sequence")
		e.Joined = &sequence
	default:
		e.Inbox = w.inbox(l)
	}
	return e
}

// inbox is what the next task brings.
func (w *chance) inbox(l *life) (in ltp.Inbox) {
	for _, epoch := range w.fresh {
		w.given[epoch] = true
	}
	w.fresh = nil
	l.now.Task += 6
	l.now.At = l.now.At.Add(time.Duration(rapid.IntRange(1, 60).Draw(w.T, "passed")) * time.Second)
	in.Alarm = !l.p.WakeAt.IsZero() && !l.now.At.Before(l.p.WakeAt)
	switch rapid.IntRange(0, 7).Draw(w.T, "news") {
	case 0:
		in.Cancelled = true
	case 1:
		in.Expedited = true
	case 7:
		in.Instruction = &ltp.Instruction{Do: rapid.SampledFrom([]ltp.Do{ltp.DoRetry, ltp.DoReject, "NONE"}).Draw(w.T, "do"), By: "ann", Why: "why"}
	case 2:
		in.Turn = &ltp.Turn{Watched: l.now.At.Add(time.Second)}
	case 3:
		in.Signals = []ltp.Stability{{Component: "orders-db", State: w.state, Epoch: w.epoch}}
		w.given[w.epoch] = true
	default:
		if s := (ltp.Stability{Component: "orders-db", State: w.state, Epoch: w.epoch}); l.p.Takes(s) == nil {
			in.Release = &s
			w.given[w.epoch] = true
		}
	}
	return in
}

func (w *chance) route(in ltp.RouteInput) *ltp.Routing {
	o := ltp.Orientation{Component: "orders-db", State: w.state, Epoch: w.epoch}
	d, why := ltp.Decide(o, in.Request)
	w.fresh = append(w.fresh, w.epoch)
	var b ltp.FailureCause
	if in.Failure != nil {
		b = rapid.SampledFrom([]ltp.FailureCause{"", ltp.CauseOrder, ltp.CauseOrder, ltp.CauseOrder, ltp.CauseComponent}).Draw(w.T, "blame")
	}
	return &ltp.Routing{Cause: b, Attempt: in.Attempt, Woken: in.Woken, Request: in.Request, Decision: d, Reason: why, Component: o.Component, State: o.State, Epoch: o.Epoch, Written: o.Epoch}
}

// execute answers as the activity does.
func (w *chance) execute(in ltp.ExecuteInput) *ltp.Attempt {
	r := w.route(in.Route)
	given := in.Route.Written == ""
	for _, epoch := range in.Given {
		given = given || epoch == w.epoch
	}
	var a ltp.Attempt
	if !in.Admitted || !r.Decision.Admissible() || !given {
		a.Routing = r
	}
	switch {
	case rapid.IntRange(0, 9).Draw(w.T, "no answer") == 0:
		a = ltp.NoAnswer()
	case !r.Decision.Admissible():
		a.Result = ltp.ResultNotBegun
	case !given:
		a.Result = ltp.ResultNotGiven
	case in.Route.Written == "":
		a.Result = ltp.ResultAdmitted
	default:
		a.Result = rapid.SampledFrom([]ltp.Result{ltp.ResultExecuted, ltp.ResultRefused, ltp.ResultUnavailable, ltp.ResultUnknown, ltp.ResultWithdrawn}).Draw(w.T, "result")
		a.BegunAt = start
		switch a.Result {
		case ltp.ResultExecuted:
			a.Receipt = &ltp.Receipt{}
		case ltp.ResultWithdrawn:
			a.Withdrawn = &ltp.Ending{State: ltp.Cancelled}
		}
	}
	return &a
}

// reread is p as continue-as-new carries it.
func reread(t require.TestingT, p ltp.Progress) (q ltp.Progress) {
	data, err := json.Marshal(p)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(data, &q), string(data))
	return q
}

// TestFailureIsHeldAgainstWhatIsWrittenTo: an order that names a component which is worse
// off is not set aside for outages of the order database.
func TestFailureIsHeldAgainstWhatIsWrittenTo(t *testing.T) {
	l := live(t, accepted(func(o *ltp.Order) { o.DependsOn = []string{"payments"} })).next(ltp.Event{})
	answer := func(written int64) {
		in := l.last().Route
		require.NotNil(t, in)
		os := []ltp.Orientation{{Component: "orders-db", State: ltp.Stable, Epoch: written}, {Component: "payments", State: ltp.Degraded, Epoch: 4}}
		by, d, why := ltp.Route(os, in.Request)
		l.next(ltp.Event{Routed: &ltp.Routing{Attempt: in.Attempt, Woken: in.Woken, Request: in.Request, Decision: d, Reason: why,
			Component: by.Component, State: by.State, Epoch: by.Epoch, Written: written}})
	}
	for epoch := int64(3); epoch < 3+4*ltp.ParkUncertainAfter; epoch += 2 { // it fell and recovered between two wakes
		answer(epoch)
		if l.p.Phase == ltp.PhaseAdmitted {
			l.task(ltp.Yield, ltp.Inbox{Alarm: true})
		}
		l.executed(ltp.Attempt{Result: ltp.ResultUnavailable, BegunAt: l.now.At, Error: "away"})
		assert.Equal(t, "orders-db", l.last().Route.Request.FailedUnder)
		answer(epoch)
		assert.Equal(t, "orders-db", l.p.Wait.Component)
		l.task(l.waits(ltp.ReasonExecuteUnavailable), ltp.Inbox{Alarm: true})
	}
}

// TestEndThatWasAskedForWhileTheUsersActivityRanComesFirst: the activity may run for an
// hour, and its failure is no reason to begin again.
func TestEndThatWasAskedForWhileTheUsersActivityRanComesFirst(t *testing.T) {
	l := live(t, ltp.NewProgress(ordertest.New("A2"), ltp.Execution{Activity: "Pack", TaskQueue: "packing"}, ltp.Stamp{}, nil))
	l.next(ltp.Event{}).routed(ltp.Stable, 3).executed(ltp.Attempt{Result: ltp.ResultAdmitted})
	late := l.last().ExecuteExternal.Failed(ltp.ExternalFailure{NotTaken: true}, start, start)
	l.next(ltp.Event{Executed: &late}).routed(ltp.Stable, 5)
	assert.Equal(t, ltp.PhaseAdmitted, l.p.Phase)
	l.task(ltp.Yield, ltp.Inbox{Alarm: true, Cancelled: true}).ends(ltp.Cancelled)
}

func TestOrderOfAPausedReplayIsMarkedWhereThatLooks(t *testing.T) {
	l := live(t, accepted()).next(ltp.Event{}).routed(ltp.Recovering, 8)
	l.waits(ltp.ReasonRecovering)
	l.task(2*time.Minute, ltp.Inbox{Alarm: true})
	in := l.last().Route
	in.Request.Paused = []string{"orders-db"}
	l.routed(ltp.Recovering, 8).waits(ltp.ReasonReplayPaused)
	require.Len(t, l.marks(), 1)
	assert.EqualValues(t, 7, l.marks()[0].Epoch, "it looks under earlier epochs only")
}
