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
	"github.com/ltp-node/ltp/activities"
)

// ownTest runs orders that an activity of the user's executes.
type ownTest struct {
	*orderTest
	jobs   []ltp.Job
	fences []activities.FenceInput
}

var heldStable = ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3}

// newOwnTest has the activity return the results in turn, nil for ever after; a fence
// that is shut stands in the way as often as shut says.
func newOwnTest(t *testing.T, answers []ltp.Routing, shut int, answer any, results ...error) *ownTest {
	o := &ownTest{orderTest: newOrderTest(t, answers)}
	o.by = ltp.Execution{Activity: "Fulfil", TaskQueue: "shop"}
	o.OnActivity("Fulfil", mock.Anything, mock.Anything).Return(func(_ context.Context, job ltp.Job) (any, error) {
		o.jobs = append(o.jobs, job)
		if n := len(o.jobs) - 1; n < len(results) && results[n] != nil {
			return nil, results[n]
		}
		return answer, nil
	}).Maybe()
	var a *activities.Orders
	o.OnActivity(a.Fence, mock.Anything, mock.Anything).Return(func(_ context.Context, in activities.FenceInput) (activities.Fenced, error) {
		o.fences = append(o.fences, in)
		if len(o.fences) <= shut {
			return activities.Fenced{Decision: ltp.Defer, Why: "not begun", Fence: heldStable}, nil
		}
		return activities.Fenced{Decision: ltp.Execute, Fence: heldStable}, nil
	}).Maybe()
	return o
}

func TestActivityOfTheUsersExecutesTheOrder(t *testing.T) {
	o := newOwnTest(t, []ltp.Routing{admitted}, 0, map[string]any{"invoice": "I-7"})
	outcome, err := o.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Empty(t, o.writes, "nothing goes to the order database")
	require.Len(t, o.jobs, 1)
	assert.Equal(t, ltp.Job{Order: order, Attempt: "A2/1", Fence: heldStable}, o.jobs[0])
	require.NotNil(t, outcome.Receipt)
	assert.Equal(t, heldStable, outcome.Receipt.Fence)
	assert.False(t, outcome.Receipt.BegunAt.IsZero(), "the workflow knows when")
	assert.False(t, outcome.Receipt.CommittedAt.Before(outcome.Receipt.BegunAt))
	assert.JSONEq(t, `{"invoice":"I-7"}`, string(outcome.Receipt.Result))
}

func TestReceiptSaysWhatTheActivitySays(t *testing.T) {
	begun := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	fence := ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3, ReadAt: begun}
	o := newOwnTest(t, []ltp.Routing{admitted}, 0, ltp.Done{Repeated: true, BegunAt: begun, CommittedAt: begun.Add(time.Second), Fence: fence})
	outcome, err := o.run(order)
	require.NoError(t, err)
	require.NotNil(t, outcome.Receipt)
	assert.True(t, outcome.Receipt.Repeated)
	assert.Equal(t, begun, outcome.Receipt.BegunAt)
	assert.Equal(t, begun.Add(time.Second), outcome.Receipt.CommittedAt)
	assert.Equal(t, fence, outcome.Receipt.Fence)
}

func TestWhateverTheActivityReturnsTheOrderIsExecuted(t *testing.T) {
	long := make([]byte, 3*ltp.MaxResult)
	for name, answer := range map[string]any{
		"nothing": nil, "a text": "done", "a number": 7, "a list": []int{1}, "bytes": []byte{0xff, 1}, "a long one": long,
		"fields of other types": map[string]any{"repeated": "yes", "begun_at": 3, "fence": "open"},
		"times that turn":       map[string]any{"begun_at": "2030-01-31T12:00:01Z", "committed_at": "2030-01-31T12:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOwnTest(t, []ltp.Routing{admitted}, 0, answer)
			outcome, err := o.run(order)
			require.NoError(t, err)
			assert.Equal(t, ltp.Executed, outcome.State)
			require.NotNil(t, outcome.Receipt)
			assert.LessOrEqual(t, len(outcome.Receipt.Result), ltp.MaxResult)
			assert.False(t, outcome.Receipt.CommittedAt.Before(outcome.Receipt.BegunAt))
			assert.Len(t, o.jobs, 1, "and is not executed again")
			_, err = json.Marshal(outcome)
			assert.NoError(t, err)
		})
	}
}

func TestShutFenceKeepsTheActivityFromBeingScheduled(t *testing.T) {
	wait := ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonExecuteUnavailable, State: ltp.Stable, Epoch: 3}
	o := newOwnTest(t, []ltp.Routing{admitted, wait, admitted, wait, admitted}, 2, nil)
	outcome, err := o.run(order)
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, outcome.State)
	assert.Len(t, o.fences, 3, "the fence is asked before every attempt")
	require.Len(t, o.jobs, 1)
	assert.Equal(t, "A2/5", o.jobs[0].Attempt)
	assert.True(t, o.jobs[0].Replay)
}

func TestErrorsOfTheActivity(t *testing.T) {
	wait := ltp.Routing{Decision: ltp.Defer, Reason: ltp.ReasonExecuteUnavailable, State: ltp.Stable, Epoch: 3}
	taken := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)
	late := temporal.NewTimeoutError(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	for _, c := range []struct {
		name   string
		err    error
		state  ltp.OrderState
		jobs   int
		cancel bool // whether a cancellation while it waits ends it
	}{
		{"rejected", failure(activities.Rejected), ltp.Rejected, 1, false},
		{"unavailable", failure(activities.Unavailable), ltp.Executed, 2, true},
		{"nobody took it", late, ltp.Executed, 2, true},
		{"lost with its worker", taken, ltp.Executed, 2, false},
		{"outcome unknown", failure(activities.OutcomeUnknown), ltp.Executed, 2, false},
		{"an error of its own", errors.New("no luck"), ltp.Executed, 2, false},
		{"of a type of its own", failure("PaymentDeclined"), ltp.Executed, 2, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := newOwnTest(t, []ltp.Routing{admitted, wait, admitted}, 0, nil, c.err)
			outcome, err := o.run(order)
			require.NoError(t, err)
			assert.Equal(t, c.state, outcome.State)
			assert.Len(t, o.jobs, c.jobs)

			o = newOwnTest(t, []ltp.Routing{admitted, wait, admitted}, 0, nil, c.err)
			o.RegisterDelayedCallback(o.CancelWorkflow, 100*time.Millisecond)
			_, err = o.run(order)
			assert.Equal(t, c.cancel, err != nil, "what may have happened can only be finished: %v", err)
		})
	}
}
