package workflows_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

var again = ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonExecuteUnavailable, State: ltp.Stable, Epoch: 3}

// failing answers so that an order is admitted n times under one epoch, fails each time
// and is told so, and is admitted from then on.
func failing(n int, err error) (answers []ltp.Routing, results []error) {
	for range n {
		answers, results = append(answers, admitted, again), append(results, err)
	}
	return append(answers, admitted), results
}

// written is an error of a write that had begun; refused one of the fence.
func written(kind string) error {
	return temporal.NewApplicationErrorWithOptions("as the trigger says", kind, temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{activities.Attempt{BegunAt: time.Unix(1, 0), EndedAt: time.Unix(2, 0)}},
	})
}

func refused() error {
	return temporal.NewApplicationErrorWithOptions("not begun", activities.Unavailable, temporal.ApplicationErrorOptions{
		NonRetryable: true, Details: []any{activities.Attempt{EndedAt: time.Unix(2, 0)}},
	})
}

func (e *orderTest) confirms(found *ltp.Receipt, results ...error) *int {
	asked := 0
	var a *activities.Orders
	e.OnActivity(a.Confirm, mock.Anything, mock.Anything).Return(func(context.Context, activities.ExecuteInput) (activities.Confirmation, error) {
		asked++
		if asked <= len(results) && results[asked-1] != nil {
			return activities.Confirmation{}, results[asked-1]
		}
		return activities.Confirmation{Receipt: found}, nil
	}).Maybe()
	return &asked
}

func TestOrderThatKeepsFailingIsSetAside(t *testing.T) {
	answers, results := failing(50, written(activities.Unavailable))
	e := newOrderTest(t, answers, results...)
	began := e.Now()
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Rejected, outcome.State)
	assert.Contains(t, outcome.Reason, "10 attempts in a row")
	assert.Contains(t, outcome.Reason, "nothing was written")
	assert.Contains(t, outcome.Reason, "as the trigger says")
	assert.Len(t, e.writes, ltp.MaxAttempts)
	assert.Greater(t, e.Now().Sub(began), 4*time.Minute, "an outage that nobody sees for a minute rejects nothing")
}

func TestOrderThatFailsLessOftenIsExecuted(t *testing.T) {
	answers, results := failing(ltp.MaxAttempts-1, written(activities.Unavailable))
	e := newOrderTest(t, answers, results...)
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
}

func TestAttemptsThatTheFenceRefusedDoNotCount(t *testing.T) {
	answers, results := failing(3*ltp.MaxAttempts, refused())
	e := newOrderTest(t, answers, results...)
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, e.writes, 3*ltp.MaxAttempts+1)
}

// TestFailuresOfAnEpochThatMovedOnDoNotCount: each outage is another epoch, and so is
// the one that is seen only after the last attempt.
func TestFailuresOfAnEpochThatMovedOnDoNotCount(t *testing.T) {
	var answers []ltp.Routing
	var results []error
	for epoch := range int64(3) {
		for i := range ltp.MaxAttempts {
			fit, wait := admitted, again
			fit.Epoch, wait.Epoch = 3+2*epoch, 3+2*epoch
			if i == ltp.MaxAttempts-1 { // and now it is seen
				wait = ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonUnstable, State: ltp.Unstable, Epoch: fit.Epoch + 1}
			}
			answers, results = append(answers, fit, wait), append(results, written(activities.Unavailable))
		}
	}
	last := admitted
	last.Epoch = 9
	e := newOrderTest(t, append(answers, last), results...)
	outcome, err := e.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, e.writes, 3*ltp.MaxAttempts+1)
}

func TestOrderOfUnknownOutcomeIsLookedUpBeforeItIsSetAside(t *testing.T) {
	found := &ltp.Receipt{Repeated: true, CommittedAt: time.Unix(9, 0).UTC()}
	for _, c := range []struct {
		name   string
		found  *ltp.Receipt
		errs   []error
		state  ltp.OrderState
		says   string
		looked int
	}{
		{"it is there", found, nil, ltp.Executed, "", 1},
		{"it is not there", nil, nil, ltp.Rejected, "not in the order database", 1},
		{"nobody can tell at first", found, []error{failure(activities.Unavailable), errors.New("lost"), failure(activities.Unavailable)}, ltp.Executed, "", 4},
		{"nobody can tell, and then it is not there", nil, []error{failure(activities.Unavailable), errors.New("lost")}, ltp.Rejected, "not in the order database", 3},
		{"another order is there", nil, []error{failure(activities.Rejected)}, ltp.Rejected, "as the test says", 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			answers, results := failing(50, written(activities.Unavailable))
			results[4] = written(activities.OutcomeUnknown) // one is enough
			e := newOrderTest(t, answers, results...)
			looked := e.confirms(c.found, c.errs...)
			outcome, err := e.run(order)
			require.NoError(t, err)
			assert.Equal(t, c.state, outcome.State)
			assert.Equal(t, c.found, outcome.Receipt)
			assert.Contains(t, outcome.Reason, c.says)
			assert.LessOrEqual(t, strings.Count(outcome.Reason, "set aside after"), 1, outcome.Reason)
			assert.Len(t, e.writes, ltp.MaxAttempts, "it looks, and writes no more")
			assert.Equal(t, c.looked, *looked)
		})
	}
}

func TestSetAsideByAnActivityOfTheUsersSaysThatNobodyKnows(t *testing.T) {
	answers, _ := failing(50, nil)
	var results []error
	for range 50 {
		results = append(results, errors.New("no luck"))
	}
	o := newOwnTest(t, answers, 0, nil, results...)
	outcome, err := o.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Rejected, outcome.State)
	assert.Contains(t, outcome.Reason, "unknown")
	assert.Contains(t, outcome.Reason, "no luck")
	assert.Len(t, o.jobs, ltp.MaxAttempts)
}

// TestWorkersThatAreDownSetNothingAside: what no worker took was not tried.
func TestWorkersThatAreDownSetNothingAside(t *testing.T) {
	answers, _ := failing(30, nil)
	var results []error
	for range 30 {
		results = append(results, temporal.NewTimeoutError(2, nil)) // schedule to start
	}
	o := newOwnTest(t, answers, 0, nil, results...)
	outcome, err := o.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, o.jobs, 31)
}

func TestBackstopIsAsTheWorkerHasIt(t *testing.T) {
	slow := unstable
	slow.Backstop = ltp.Backstop{First: 10 * time.Hour, Most: 20 * time.Hour}
	e := newOrderTest(t, []ltp.Routing{slow, admitted})
	began := e.Now()
	_, err := e.run(order)
	require.NoError(t, err)
	assert.Greater(t, e.Now().Sub(began), 7*time.Hour)
	assert.Less(t, e.Now().Sub(began), 13*time.Hour)
}
