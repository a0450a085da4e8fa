package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// TestReleaseIsAnsweredByWhatBecameOfTheOrder: the fence routes it, and it is written in the
// task that serves the Update.
func TestReleaseIsAnsweredByWhatBecameOfTheOrder(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	var r *released
	e.at(45*time.Second, func() { e.set(db, ltp.Recovering); r = e.release(e.stability()) })
	began := e.Now()
	receipt := e.executed(order)
	require.Equal(t, "A2/2", receipt.Attempt)
	assert.Equal(t, 45*time.Second, e.Now().Sub(began))
	assert.Equal(t, ltp.Answer{
		State: ltp.Executed, Result: ltp.ResultExecuted, BegunAt: receipt.BegunAt, EndedAt: receipt.CommittedAt,
	}, r.answers(t))
	assert.Len(t, e.routes, 1, "the board is not asked again")
	require.Len(t, e.attempts, 1)
	assert.Equal(t, ltp.ExecuteInput{
		Order: order, Given: []int64{3, 4}, Named: 4, TaskAt: began.Add(45 * time.Second).UTC(), Route: ltp.RouteInput{
			OrderID: "A2", Components: []string{db}, Written: db, Attempt: 2, Woken: ltp.WokenBySignal, Request: ltp.Request{Replay: true},
		},
	}, e.attempts[0])
}

func TestReleaseThatDoesNotExecuteTheOrderIsAnsweredAllTheSame(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*orderTest) // when it is released
		results []ltp.Attempt
		cause   ltp.FailureCause
		want    ltp.Answer // of the first release
		end     ltp.OrderState
	}{
		"the component relapsed": {
			prepare: func(e *orderTest) { e.set(db, ltp.Unstable) },
			want:    ltp.Answer{State: ltp.Deferred, Wait: ltp.Wait{Component: db, Epoch: 5, Reason: ltp.ReasonUnstable}, Result: ltp.ResultNotBegun},
			end:     ltp.Executed,
		},
		"another component is unfit": {
			prepare: func(e *orderTest) { e.set(payments, ltp.Unstable) },
			want:    ltp.Answer{State: ltp.Deferred, Wait: ltp.Wait{Component: payments, Epoch: 3, Reason: ltp.ReasonUnstable}, Result: ltp.ResultNotBegun},
			end:     ltp.Executed,
		},
		"the write failed": {
			results: failing(1, ltp.ResultUnavailable),
			want:    ltp.Answer{State: ltp.Deferred, Wait: ltp.Wait{Component: db, Epoch: 4, Reason: ltp.ReasonExecuteUnavailable}, Result: ltp.ResultUnavailable, Error: "as the test says"},
			end:     ltp.Executed,
		},
		"nobody knows of the write": {
			results: failing(1, ltp.ResultUnknown),
			want:    ltp.Answer{State: ltp.Deferred, Wait: ltp.Wait{Component: db, Epoch: 4, Reason: ltp.ReasonExecuteUnavailable}, Result: ltp.ResultUnknown, Error: "as the test says"},
			end:     ltp.Executed,
		},
		"the order was refused": {
			results: failing(1, ltp.ResultRefused),
			cause:   ltp.CauseOrder,
			want:    ltp.Answer{State: ltp.Rejected, Result: ltp.ResultRefused, Cause: ltp.CauseOrder, Error: "as the test says"},
			end:     ltp.Rejected,
		},
		"the order was refused, as all are": {
			results: failing(1, ltp.ResultRefused),
			cause:   ltp.CauseComponent,
			want: ltp.Answer{State: ltp.Deferred, Wait: ltp.Wait{Component: db, Epoch: 4, Reason: ltp.ReasonExecuteUnavailable},
				Result: ltp.ResultRefused, Cause: ltp.CauseComponent, Error: "as the test says"},
			end: ltp.Executed,
		},
		"a tombstone was met": {
			results: []ltp.Attempt{{Result: ltp.ResultWithdrawn, Withdrawn: &ltp.Ending{State: ltp.Expired}}},
			want:    ltp.Answer{State: ltp.Expired, Result: ltp.ResultWithdrawn},
			end:     ltp.Expired,
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newOrderTest(t, ltp.Unstable)
			e.results, e.cause = c.results, c.cause
			var r *released
			e.at(time.Minute, func() {
				e.set(db, ltp.Recovering)
				now := e.stability()
				if c.prepare != nil {
					c.prepare(e)
				}
				r = e.release(now)
			})
			e.at(2*time.Minute, func() {
				for component, o := range e.now {
					if !o.State.Fit() {
						e.set(component, ltp.Stable)
						e.release(ltp.Stability{Component: component, State: ltp.Stable, Epoch: e.now[component].Epoch})
					}
				}
			})
			both := order
			both.DependsOn = []string{payments}
			outcome, err := e.run(both)
			require.NoError(t, err)
			assert.Equal(t, c.end, outcome.State)
			got := r.answers(t)
			assert.Equal(t, c.want.Result != ltp.ResultNotBegun, !got.BegunAt.IsZero())
			got.BegunAt, got.EndedAt = time.Time{}, time.Time{}
			assert.Equal(t, c.want, got)
		})
	}
}

// TestReleaseThatTheFenceFindsOutOfDateIsAnsweredWhenTheNextTaskHasWritten.
func TestReleaseThatTheFenceFindsOutOfDateIsAnsweredWhenTheNextTaskHasWritten(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	var r *released
	e.at(time.Minute, func() {
		e.set(db, ltp.Recovering)
		now := e.stability()
		e.set(db, ltp.Stable)
		r = e.release(now)
	})
	began := e.Now()
	e.executed(order)
	got := r.answers(t)
	assert.Equal(t, ltp.Executed, got.State)
	assert.Equal(t, ltp.ResultExecuted, got.Result)
	assert.Equal(t, time.Minute+ltp.Yield, r.at.Sub(began))
	assert.Len(t, e.attempts, 2)
	assert.Len(t, e.writes, 1)
}

// TestOrderIsReleasedMoreThanOnce: each Update has its own answer.
func TestOrderIsReleasedMoreThanOnce(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	falls := []ltp.State{ltp.Unstable, ltp.Unknown, ltp.Unstable}
	all := make([]*released, len(falls))
	for i, state := range falls {
		e.at(time.Duration(10+10*i)*time.Second, func() {
			e.set(db, ltp.Recovering)
			now := e.stability()
			e.set(db, state) // it falls before the fence asks
			all[i] = e.release(now)
		})
	}
	e.recovers(time.Minute, ltp.Recovering)
	e.executed(order)
	for i, r := range all {
		got := r.answers(t)
		assert.Equal(t, ltp.Deferred, got.State)
		assert.EqualValues(t, 5+2*i, got.Wait.Epoch)
	}
	assert.Len(t, e.attempts, 4)
	assert.Len(t, e.writes, 1)
}

// TestReleaseThatTheOrderHasNoUseForIsRefused, which leaves nothing in its history.
func TestReleaseThatTheOrderHasNoUseForIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		order ltp.Order
		what  ltp.Stability
		says  string
	}{
		"it names no component":       {order, ltp.Stability{Epoch: 4}, "name the component"},
		"it names no epoch":           {order, ltp.Stability{Component: db}, "name the component"},
		"an earlier epoch":            {order, ltp.Stability{Component: db, State: ltp.Stable, Epoch: 2}, "waits for something else"},
		"the epoch of the deferral":   {order, ltp.Stability{Component: db, State: ltp.Stable, Epoch: 3}, "waits for something else"},
		"the order awaits its turn":   {keyed, ltp.Stability{Component: db, State: ltp.Stable, Epoch: 9}, "AWAITS_TURN"},
		"an earlier one, and a state": {order, ltp.Stability{Component: db, State: ltp.Recovering, Epoch: 1}, "SYSTEM_UNSTABLE"},
	} {
		t.Run(name, func(t *testing.T) {
			state := ltp.Unstable
			if c.order.OrderingKey != "" {
				state = ltp.Stable
			}
			e := newOrderTest(t, state)
			var r *released
			e.at(time.Second, func() { r = e.release(c.what) })
			e.at(time.Minute, e.CancelWorkflow)
			e.cancelled(c.order)
			assert.ErrorContains(t, r.refused, c.says)
			assert.Empty(t, e.attempts)
			assert.Len(t, e.routes, 1)
		})
	}
}

func TestOrderIsReleasedOnceAtATime(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	var first, second, third *released
	e.at(time.Second, func() {
		e.set(db, ltp.Recovering)
		first, second = e.release(e.stability()), e.release(e.stability())
	})
	e.during = func() { third = e.release(e.stability()) }
	e.executed(order)
	assert.Equal(t, ltp.Executed, first.answers(t).State)
	assert.ErrorContains(t, second.refused, "is being released")
	if third.refused == nil { // it came too late for that, and was never looked at
		assert.Nil(t, third.answer)
	}
	assert.Len(t, e.writes, 1)
}

// TestOrderThatIsBeingExecutedIsNotReleased: there is nothing to release.
func TestOrderThatIsBeingExecutedIsNotReleased(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.results = failing(1, ltp.ResultUnavailable)
	var r *released
	e.during = func() {
		if r == nil {
			r = e.release(ltp.Stability{Component: db, State: ltp.Stable, Epoch: 9})
			<-r.seen
		}
	}
	e.executed(order)
	assert.ErrorContains(t, r.refused, "does not wait")
}

// TestCancellationDuringAReleaseIsLookedAtAfterIt: the write is not torn, the release is
// answered by what came of it, and then the order ends.
func TestCancellationDuringAReleaseIsLookedAtAfterIt(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	var r *released
	e.results = failing(1, ltp.ResultUnavailable)
	e.during = e.CancelWorkflow
	e.at(time.Minute, func() {
		e.set(db, ltp.Recovering)
		r = e.release(e.stability())
	})
	e.cancelled(order)
	got := r.answers(t)
	assert.Equal(t, ltp.Deferred, got.State)
	assert.Equal(t, ltp.ResultUnavailable, got.Result)
	assert.Len(t, e.writes, 1)
	assert.Len(t, e.withdrawals, 1)
}
