package workflows_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
)

// TestCancelledOrderThatNoFitEpochHasSeenEndsAtOnce: it was accepted in this outage, and
// nobody asks the order database.
func TestCancelledOrderThatNoFitEpochHasSeenEndsAtOnce(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.at(10*time.Second, e.CancelWorkflow)
	e.recovers(20*time.Second, ltp.Recovering)
	began := e.Now()
	e.cancelled(order)
	assert.Equal(t, 10*time.Second, e.Now().Sub(began))
	require.Len(t, e.withdrawals, 1)
	assert.Equal(t, ltp.WithdrawInput{
		Order: order, End: ltp.Ending{State: ltp.Cancelled}, Stamp: ltp.Stamp{Epoch: 3, State: ltp.Unstable}, Written: db,
	}, e.withdrawals[0])
	assert.Empty(t, e.attempts)
	for _, u := range e.upserts {
		assert.Equal(t, string(ltp.Deferred), u[ltp.StateAttribute], "Temporal itself marks workflows that are cancelled")
	}
}

// TestCancelledOrderThatMayBeWrittenWaitsForTheOrderDatabase: it was accepted while the
// component was fit, so an attempt that is lost may have written it.
func TestCancelledOrderThatMayBeWrittenWaitsForTheOrderDatabase(t *testing.T) {
	for name, row := range map[string]*ltp.Receipt{"it was not": nil, "it was": {Attempt: "A2/1", Repeated: true}} {
		for how, wake := range map[string]func(*orderTest){
			"a signal wakes it":  func(e *orderTest) { e.recovers(time.Minute, ltp.Recovering) },
			"its backstop does":  func(e *orderTest) { e.becomes(time.Minute, ltp.Stable) },
			"a release wakes it": func(e *orderTest) { e.at(time.Minute, func() { e.set(db, ltp.Recovering); e.release(e.stability()) }) },
			"a worker without a reading does": func(e *orderTest) {
				e.unreadable = true
				e.at(time.Minute, func() { e.unreadable = false; e.set(db, ltp.Stable) })
			},
		} {
			t.Run(name+", "+how, func(t *testing.T) {
				e := newOrderTest(t, ltp.Unstable)
				e.stamp = &ltp.Stamp{Epoch: 2, State: ltp.Stable}
				e.row = row
				e.at(10*time.Second, e.CancelWorkflow)
				e.at(20*time.Second, func() {
					assert.NotEmpty(t, e.withdrawals)
					assert.Equal(t, string(ltp.ReasonAwaitsProof), e.upserts[len(e.upserts)-1][ltp.ReasonAttribute], "it says what it waits for")
				})
				wake(e)
				outcome, err := e.run(order)
				assert.Empty(t, e.attempts, "it is not executed any more")
				if row == nil {
					assert.ErrorAs(t, err, new(*temporal.CanceledError))
					return
				}
				require.NoError(t, err)
				assert.Equal(t, ltp.Executed, outcome.State)
				assert.Equal(t, row, outcome.Receipt)
			})
		}
	}
}

// TestReleaseOfAnOrderThatIsToEndIsAnsweredByItsEnd.
func TestReleaseOfAnOrderThatIsToEndIsAnsweredByItsEnd(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.stamp = &ltp.Stamp{Epoch: 2}
	e.at(10*time.Second, e.CancelWorkflow)
	var early, late *released
	e.at(20*time.Second, func() {
		e.set(db, ltp.Recovering)
		now := e.stability()
		e.set(db, ltp.Unstable)
		early = e.release(now)
	})
	e.at(30*time.Second, func() { e.set(db, ltp.Recovering); late = e.release(e.stability()) })
	e.cancelled(order)
	assert.Equal(t, ltp.Answer{State: ltp.Deferred, Wait: ltp.Wait{Component: db, Epoch: 5, Reason: ltp.ReasonAwaitsProof}}, early.answers(t))
	assert.Equal(t, ltp.Answer{State: ltp.Cancelled}, late.answers(t))
	assert.Empty(t, e.attempts)
}

func TestCancellationIsTakenOnce(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	e.stamp = &ltp.Stamp{Epoch: 2}
	for i := range 5 {
		e.at(time.Duration(10+i)*time.Second, e.CancelWorkflow)
	}
	e.at(30*time.Second, func() { assert.Len(t, e.withdrawals, 1) })
	e.recovers(time.Minute, ltp.Recovering)
	e.cancelled(order)
	assert.Len(t, e.withdrawals, 2)
}

func TestCancellationDuringAWriteDoesNotTearIt(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.during = e.CancelWorkflow
	e.executed(order)
	assert.Len(t, e.writes, 1)
	assert.Empty(t, e.withdrawals)
}

// TestWriteOfUnknownOutcomeIsFoundByTheCancellation: whether it was written is decided by a
// write.
func TestWriteOfUnknownOutcomeIsFoundByTheCancellation(t *testing.T) {
	for name, row := range map[string]*ltp.Receipt{"written": {Attempt: "A2/1"}, "not written": nil} {
		t.Run(name, func(t *testing.T) {
			e := newOrderTest(t, ltp.Stable)
			e.results = failing(1, ltp.ResultUnknown)
			e.during = func() { e.row = row }
			e.at(100*time.Millisecond, e.CancelWorkflow)
			outcome, err := e.run(order)
			assert.Len(t, e.writes, 1)
			if row == nil {
				assert.ErrorAs(t, err, new(*temporal.CanceledError))
				return
			}
			require.NoError(t, err)
			assert.Equal(t, ltp.Executed, outcome.State)
			assert.Equal(t, row, outcome.Receipt)
		})
	}
}

func TestExpiredOrderIsNeverExecuted(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	late := order
	late.Deadline = e.Now().Add(30 * time.Second)
	e.recovers(40*time.Second, ltp.Recovering)
	began := e.Now()
	outcome, err := e.run(late)
	require.NoError(t, err)
	assert.Equal(t, ltp.Expired, outcome.State)
	assert.Contains(t, outcome.Reason, "deadline")
	assert.Equal(t, 30*time.Second, e.Now().Sub(began), "its timer fires then")
	assert.Empty(t, e.attempts)
	require.Len(t, e.withdrawals, 1)
	assert.Equal(t, ltp.Expired, e.withdrawals[0].End.State)
	assert.Equal(t, map[string]any{ltp.StateAttribute: string(ltp.Expired)}, e.upserts[len(e.upserts)-1])
}

func TestOrderFoundLongAfterItsDeadlineIsNotEvenRouted(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	late := order
	late.Deadline = e.Now().Add(-time.Minute)
	outcome, err := e.run(late)
	require.NoError(t, err)
	assert.Equal(t, ltp.Expired, outcome.State)
	assert.Empty(t, e.routes)
}

func TestDeadlineDoesNotCutOffAnOrderThatIsExecuted(t *testing.T) {
	e := newOrderTest(t, ltp.Unstable)
	inTime := order
	inTime.Deadline = e.Now().Add(30 * time.Second)
	e.recovers(20*time.Second, ltp.Recovering)
	e.executed(inTime)
}

// TestRefusedOrderIsRejectedInTheWordsOfTheOrderDatabase, by a tombstone under its key.
func TestRefusedOrderIsRejectedInTheWordsOfTheOrderDatabase(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.results, e.cause = failing(1, ltp.ResultRefused), ltp.CauseOrder
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Outcome{State: ltp.Rejected, Reason: "as the test says"}, outcome)
	assert.Len(t, e.writes, 1)
	require.Len(t, e.withdrawals, 1)
	assert.Equal(t, ltp.Ending{State: ltp.Rejected, Reason: "as the test says"}, e.withdrawals[0].End)
	assert.Equal(t, []map[string]any{{ltp.StateAttribute: string(ltp.Rejected)}}, e.upserts)
}

// TestTombstoneThatIsMetIsTheEnd, whoever has written it.
func TestTombstoneThatIsMetIsTheEnd(t *testing.T) {
	e := newOrderTest(t, ltp.Stable)
	e.results = []ltp.Attempt{{Result: ltp.ResultWithdrawn, Withdrawn: &ltp.Ending{State: ltp.Cancelled}}}
	e.cancelled(order)
	assert.Empty(t, e.withdrawals)
}
