package workflows_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
)

// externalTest runs orders that an activity of the user's executes.
type externalTest struct {
	*orderTest
	jobs []ltp.Job
}

// newExternalTest has the activity fail in turn, nil for not, and then return the answer.
func newExternalTest(t *testing.T, state ltp.State, answer any, failures ...error) *externalTest {
	e := &externalTest{orderTest: newOrderTest(t, state)}
	e.execution = ltp.Execution{Activity: "Fulfil", TaskQueue: "shop"}
	e.OnActivity("Fulfil", mock.Anything, mock.Anything).Return(func(_ context.Context, job ltp.Job) (any, error) {
		e.jobs = append(e.jobs, job)
		if n := len(e.jobs) - 1; n < len(failures) && failures[n] != nil {
			return nil, failures[n]
		}
		return answer, nil
	}).Maybe()
	return e
}

func failure(kind string, details ...any) error {
	return temporal.NewApplicationErrorWithOptions("as the test says", kind, temporal.ApplicationErrorOptions{NonRetryable: true, Details: details})
}

func TestActivityOfTheUsersExecutesTheOrder(t *testing.T) {
	e := newExternalTest(t, ltp.Stable, map[string]any{"invoice": "I-7"})
	receipt := e.executed(order)
	assert.Empty(t, e.writes, "nothing goes to the order database")
	require.Len(t, e.attempts, 1, "the fence stands before it")
	assert.Empty(t, e.attempts[0].Route.Written)
	assert.Empty(t, e.attempts[0].Given)
	fence := e.fence(db)
	assert.Equal(t, []ltp.Job{{Order: order, Attempt: "A2/1", Fence: fence}}, e.jobs)
	assert.Equal(t, fence, receipt.Fence)
	assert.False(t, receipt.BegunAt.IsZero(), "the workflow knows when")
	assert.False(t, receipt.CommittedAt.Before(receipt.BegunAt))
	assert.JSONEq(t, `{"invoice":"I-7"}`, string(receipt.Result))
}

func TestReceiptSaysWhatTheActivitySays(t *testing.T) {
	begun := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	fence := ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3, ReadAt: begun}
	e := newExternalTest(t, ltp.Stable, ltp.Done{Repeated: true, BegunAt: begun, CommittedAt: begun.Add(time.Second), Fence: fence})
	receipt := e.executed(order)
	assert.True(t, receipt.Repeated)
	assert.Equal(t, begun, receipt.BegunAt)
	assert.Equal(t, begun.Add(time.Second), receipt.CommittedAt)
	assert.Equal(t, fence, receipt.Fence)
}

func TestWhateverTheActivityReturnsTheOrderIsExecuted(t *testing.T) {
	long := make([]byte, 3*ltp.MaxResult)
	for name, answer := range map[string]any{
		"nothing": nil, "a text": "done", "a number": 7, "a list": []int{1}, "bytes": []byte{0xff, 1}, "a long one": long,
		"fields of other types": map[string]any{"repeated": "yes", "begun_at": 3, "fence": "open"},
		"times that turn":       map[string]any{"begun_at": "2030-01-31T12:00:01Z", "committed_at": "2030-01-31T12:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			e := newExternalTest(t, ltp.Stable, answer)
			receipt := e.executed(order)
			assert.LessOrEqual(t, len(receipt.Result), ltp.MaxResult)
			assert.False(t, receipt.CommittedAt.Before(receipt.BegunAt))
			assert.Len(t, e.jobs, 1, "and is not executed again")
			_, err := json.Marshal(receipt)
			assert.NoError(t, err)
		})
	}
}

// TestShutFenceKeepsTheActivityFromBeingScheduled, before every attempt.
func TestShutFenceKeepsTheActivityFromBeingScheduled(t *testing.T) {
	e := newExternalTest(t, ltp.Unstable, nil)
	for i := range 2 {
		e.at(time.Duration(i+1)*time.Second, func() {
			e.set(db, ltp.Recovering)
			e.signal(e.stability())
			e.set(db, ltp.Unstable)
		})
	}
	var r *released
	e.at(5*time.Second, func() { e.set(db, ltp.Recovering); r = e.release(e.stability()) })
	e.executed(order)
	assert.Len(t, e.attempts, 3)
	require.Len(t, e.jobs, 1)
	assert.Equal(t, "A2/4", e.jobs[0].Attempt)
	assert.True(t, e.jobs[0].Replay)
	got := r.answers(t)
	assert.Equal(t, ltp.Executed, got.State, "a release waits for the activity")
	assert.Equal(t, ltp.ResultExecuted, got.Result)
}

// TestFenceThatGivesNoAnswerHasBegunNothing.
func TestFenceThatGivesNoAnswerHasBegunNothing(t *testing.T) {
	e := newExternalTest(t, ltp.Stable, nil)
	e.lost["Fence"] = 1
	e.at(100*time.Millisecond, e.CancelWorkflow)
	_, err := e.run(order)
	assert.ErrorAs(t, err, new(*temporal.CanceledError), "so it may still be cancelled")
	assert.Empty(t, e.jobs)
}

func TestEachErrorOfTheActivityHasItsOutcome(t *testing.T) {
	lost := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)
	late := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	for _, c := range []struct {
		name   string
		err    error
		state  ltp.OrderState
		jobs   int
		result ltp.Result // that a release is answered with
		cancel bool       // whether a cancellation while it waits ends it
	}{
		{"rejected", failure(ltp.RejectedError), ltp.Rejected, 1, ltp.ResultRefused, true},
		{"unavailable", failure(ltp.UnavailableError), ltp.Executed, 2, ltp.ResultUnavailable, true},
		{"unavailable, and not begun", failure(ltp.UnavailableError, ltp.Attempted{EndedAt: time.Unix(2, 0)}), ltp.Executed, 2, ltp.ResultNotBegun, true},
		{"nobody took it", late, ltp.Executed, 2, ltp.ResultNotBegun, true},
		{"lost with its worker", lost, ltp.Executed, 2, ltp.ResultUnknown, false},
		{"outcome unknown", failure(ltp.UnknownError), ltp.Executed, 2, ltp.ResultUnknown, false},
		{"an error of its own", errors.New("no luck"), ltp.Executed, 2, ltp.ResultUnknown, false},
		{"of a type of its own", failure("PaymentDeclined"), ltp.Executed, 2, ltp.ResultUnknown, false},
		{"of details of its own", failure(ltp.UnavailableError, "busy"), ltp.Executed, 2, ltp.ResultUnavailable, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newExternalTest(t, ltp.Unstable, nil, c.err)
			e.cause = ltp.CauseOrder
			var r *released
			e.at(time.Minute, func() { e.set(db, ltp.Recovering); r = e.release(e.stability()) })
			outcome, err := e.run(order)
			require.NoError(t, err)
			assert.Equal(t, c.state, outcome.State)
			assert.Len(t, e.jobs, c.jobs)
			assert.Equal(t, c.result, r.answers(t).Result)
			assert.Empty(t, e.withdrawals, "the order database is not asked")

			e = newExternalTest(t, ltp.Stable, nil, c.err)
			e.at(100*time.Millisecond, e.CancelWorkflow)
			_, err = e.run(order)
			assert.Equal(t, c.cancel, err != nil, "what may have happened can only be finished: %v", err)
		})
	}
}

// TestWhatMayHaveHappenedDoesNotExpire.
func TestWhatMayHaveHappenedDoesNotExpire(t *testing.T) {
	e := newExternalTest(t, ltp.Stable, nil, errors.New("no luck"))
	o := order
	o.Deadline = e.Now().Add(20 * time.Second)
	e.at(100*time.Millisecond, func() { e.set(db, ltp.Unstable) })
	e.recovers(time.Hour, ltp.Recovering)
	e.executed(o)
	assert.Len(t, e.jobs, 2)
}

// TestParkedOrderOfWhichNobodyKnowsIsEndedByAnOperatorAlone: a cancellation waits.
func TestParkedOrderOfWhichNobodyKnowsIsEndedByAnOperatorAlone(t *testing.T) {
	e := newExternalTest(t, ltp.Stable, nil, repeated(errors.New("no luck"), 50)...)
	e.cause = ltp.CauseOrder
	e.instruct(ltp.Instruction{Do: ltp.DoReject, By: "ann", Why: "looked it up"})
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Outcome{State: ltp.Rejected, Reason: "rejected by ann: looked it up"}, outcome)
	assert.Len(t, e.jobs, ltp.ParkUncertainAfter)
	require.Len(t, e.parked, 1)
	assert.Contains(t, e.parked[0].Error, "no luck")
}

// TestWorkersThatAreDownSetNothingAside: what no worker took was not tried.
func TestWorkersThatAreDownSetNothingAside(t *testing.T) {
	e := newExternalTest(t, ltp.Stable, nil, repeated(temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil), 30)...)
	e.executed(order)
	assert.Len(t, e.jobs, 31)
}

func repeated(err error, n int) (all []error) {
	for range n {
		all = append(all, err)
	}
	return all
}
