package worker_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/mocks"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/worker"
)

// memory is what an Orientation workflow has published.
type memory map[string]any

func (m memory) of(t *testing.T, status enumspb.WorkflowExecutionStatus) *workflowservice.DescribeWorkflowExecutionResponse {
	t.Helper()
	fields := map[string]*commonpb.Payload{}
	for name, value := range m {
		p, err := converter.GetDefaultDataConverter().ToPayload(value)
		require.NoError(t, err)
		fields[name] = p
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: &workflowpb.WorkflowExecutionInfo{
		Status: status, Memo: &commonpb.Memo{Fields: fields},
	}}
}

const running, ended = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED

func patient() ltp.Policy {
	p := ltp.DefaultPolicy()
	p.Dwell = 30 * time.Second
	return p
}

// TestOrientationIsBegunWhereNoneRuns, once. Its epochs go on from those of an earlier
// workflow and never come back, and what operators said of the component stays.
func TestOrientationIsBegunWhereNoneRuns(t *testing.T) {
	missing := serviceerror.NewNotFound("no such workflow")
	stable := memory{ltp.OrientationMemo: ltp.Orientation{Component: "payments", State: ltp.Stable, Epoch: 7}}
	hold := &ltp.Hold{By: "ann", Why: "migration", Freeze: true}
	limit := ltp.ReplayControl{Rate: 5, Limit: ltp.Attribution{By: "bob", Why: "gently"}}
	controlled := memory{
		ltp.OrientationMemo: ltp.Orientation{Component: "payments", State: ltp.Unstable, Epoch: 8, Hold: hold},
		ltp.PolicyMemo:      patient(), ltp.ReplayControlMemo: limit,
	}
	for name, c := range map[string]struct {
		found  *workflowservice.DescribeWorkflowExecutionResponse
		err    error
		begins *ltp.OrientationInput
	}{
		"it runs":              {found: stable.of(t, running)},
		"there is none":        {err: missing, begins: &ltp.OrientationInput{Policy: ltp.DefaultPolicy()}},
		"it was terminated":    {found: stable.of(t, ended), begins: &ltp.OrientationInput{Policy: ltp.DefaultPolicy(), Epoch: 7}},
		"while it was held":    {found: controlled.of(t, ended), begins: &ltp.OrientationInput{Policy: patient(), Epoch: 8, Held: hold, ReplayControl: limit}},
		"Temporal is away":     {err: errors.New("connection refused")},
		"it has not said much": {found: memory{}.of(t, ended), begins: &ltp.OrientationInput{Policy: ltp.DefaultPolicy()}},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := mocks.NewClient(t)
			temporal.On("DescribeWorkflowExecution", mock.Anything, "orientation/payments", "").Return(c.found, c.err)
			if c.begins != nil {
				c.begins.Component = "payments"
				temporal.On("ExecuteWorkflow", mock.Anything, mock.MatchedBy(func(o client.StartWorkflowOptions) bool {
					said, ok := o.Memo[ltp.OrientationMemo].(ltp.Orientation)
					return o.ID == "orientation/payments" && o.TaskQueue == ltp.ControlQueue &&
						o.WorkflowIDConflictPolicy == enumspb.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING && // however many workers start at once
						o.Memo[ltp.PolicyMemo] == c.begins.Policy &&
						ok == (c.begins.Epoch > 0) && (!ok || said.Epoch == c.begins.Epoch+1 && assert.ObjectsAreEqual(c.begins.Held, said.Hold))
				}), ltp.OrientationWorkflow, *c.begins).Return(nil, nil).Once()
			}
			err := worker.EnsureOrientation(t.Context(), temporal, "payments", ltp.DefaultPolicy())
			assert.Equal(t, c.err != nil && c.begins == nil, err != nil, "%v", err)
		})
	}
}

// life is the Orientation of payments, as Temporal describes it and is asked to change it.
type life struct {
	*mocks.Client
	mu      sync.Mutex // of now and away
	now     *workflowservice.DescribeWorkflowExecutionResponse
	begun   []ltp.OrientationInput
	changes []ltp.PolicyChange
	away    error // what becomes of an Update
	said    bytes.Buffer
}

func newLife(t *testing.T, now *workflowservice.DescribeWorkflowExecutionResponse) *life {
	l := &life{Client: mocks.NewClient(t), now: now}
	l.On("DescribeWorkflowExecution", mock.Anything, "orientation/payments", "").Return(
		func(context.Context, string, string) *workflowservice.DescribeWorkflowExecutionResponse {
			l.mu.Lock()
			defer l.mu.Unlock()
			return l.now
		},
		func(context.Context, string, string) error { return nil })
	l.On("ExecuteWorkflow", mock.Anything, mock.Anything, ltp.OrientationWorkflow, mock.Anything).Maybe().Run(func(args mock.Arguments) {
		in := args.Get(3).(ltp.OrientationInput)
		l.begun = append(l.begun, in)
		l.is(memory{ltp.OrientationMemo: ltp.Orientation{Component: "payments", Epoch: in.Epoch + 1}, ltp.PolicyMemo: in.Policy}.of(t, running), nil)
	}).Return(nil, nil)
	handle := mocks.NewWorkflowUpdateHandle(t)
	handle.On("Get", mock.Anything, mock.Anything).Maybe().Run(func(args mock.Arguments) {
		*args.Get(1).(*ltp.Policy) = ltp.DefaultPolicy().Next(l.changes[len(l.changes)-1])
	}).Return(nil)
	l.On("UpdateWorkflow", mock.Anything, mock.Anything).Maybe().Return(func(_ context.Context, o client.UpdateWorkflowOptions) client.WorkflowUpdateHandle {
		assert.Equal(t, ltp.PolicyUpdate, o.UpdateName)
		l.changes = append(l.changes, o.Args[0].(ltp.PolicyChange))
		return handle
	}, func(context.Context, client.UpdateWorkflowOptions) error {
		l.mu.Lock()
		defer l.mu.Unlock()
		return l.away
	})
	return l
}

// is sets what Temporal answers from now on, and what becomes of an Update.
func (l *life) is(now *workflowservice.DescribeWorkflowExecutionResponse, away error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now, l.away = now, away
}

// keeps runs a keeper for a while.
func (l *life) keeps(t *testing.T, w ltp.PolicyChange, d time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	w.By, w.Why = "worker-1", "as it was started"
	(&worker.Keeper{Client: l, Components: []string{"payments"}, Policy: w, Log: slog.New(slog.NewTextHandler(&l.said, nil))}).Run(ctx)
}

// TestAnOrientationThatWasEndedIsStartedAgain within a minute, aloud, and its epochs go on.
func TestAnOrientationThatWasEndedIsStartedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stable := memory{ltp.OrientationMemo: ltp.Orientation{Component: "payments", State: ltp.Stable, Epoch: 7}, ltp.PolicyMemo: patient()}
		l := newLife(t, stable.of(t, running))
		gone := stable.of(t, ended)
		time.AfterFunc(90*time.Second, func() { l.is(gone, nil) })
		l.keeps(t, ltp.PolicyChange{}, 10*time.Minute)
		assert.Equal(t, []ltp.OrientationInput{{Component: "payments", Policy: patient(), Epoch: 7}}, l.begun)
		assert.Contains(t, l.said.String(), "started again")
		assert.Empty(t, l.changes)
	})
}

// TestARunningOrientationKeepsItsPolicy unless another was asked for explicitly, which it
// is sent once, and logged, and again where nobody took it.
func TestARunningOrientationKeepsItsPolicy(t *testing.T) {
	asked := ltp.PolicyChange{Dwell: new(30 * time.Second)}
	runs := func(p ltp.Policy) memory {
		return memory{ltp.OrientationMemo: ltp.Orientation{Component: "payments", State: ltp.Stable, Epoch: 7}, ltp.PolicyMemo: p}
	}
	for name, c := range map[string]struct {
		inForce ltp.Policy
		asked   ltp.PolicyChange
		away    time.Duration
		updates int
		says    string
	}{
		"nothing was asked for":   {patient(), ltp.PolicyChange{}, 0, 0, ""},
		"it has it already":       {patient(), asked, 0, 0, ""},
		"another was asked for":   {ltp.DefaultPolicy(), asked, 0, 1, "policy of payments changed: dwell 2s → 30s"},
		"no worker took it first": {ltp.DefaultPolicy(), asked, 150 * time.Second, 4, "policy of payments changed: dwell 2s → 30s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := newLife(t, runs(c.inForce).of(t, running))
				if c.away > 0 {
					l.is(l.now, errors.New("nobody is there"))
					time.AfterFunc(c.away, func() { l.is(l.now, nil) })
				}
				l.keeps(t, c.asked, 10*time.Minute)
				assert.Len(t, l.changes, c.updates, "an operator may change it later")
				assert.Contains(t, l.said.String(), c.says)
				assert.Equal(t, c.away > 0, strings.Contains(l.said.String(), "nobody is there"))
				for _, w := range l.changes {
					assert.Equal(t, 30*time.Second, *w.Dwell)
					assert.Equal(t, "worker-1", w.By)
				}
				assert.Empty(t, l.begun)
			})
		})
	}
}

// TestAComponentBegunAnewIsUnderThePolicyAskedFor from the first.
func TestAComponentBegunAnewIsUnderThePolicyAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLife(t, memory{}.of(t, ended))
		l.keeps(t, ltp.PolicyChange{Dwell: new(30 * time.Second)}, time.Second)
		assert.Equal(t, []ltp.OrientationInput{{Component: "payments", Policy: patient()}}, l.begun)
		assert.Empty(t, l.changes)
	})
}

// TestNothingIsBegunForWhatIsNoComponent, nor under a policy that makes no sense.
func TestNothingIsBegunForWhatIsNoComponent(t *testing.T) {
	temporal := mocks.NewClient(t) // which is not asked
	assert.Error(t, worker.EnsureOrientation(t.Context(), temporal, "Payments & more", ltp.DefaultPolicy()))
	assert.Error(t, worker.EnsureOrientation(t.Context(), temporal, "payments", ltp.Policy{Dwell: -1}))
}
