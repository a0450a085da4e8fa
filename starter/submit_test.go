package starter

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
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
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// door is a Temporal that has Orientations, and takes orders. It has no histories: who
// reads one panics.
type door struct {
	client.Client
	orientations map[string]ltp.Orientation
	ended        bool // the Orientations have ended: nobody believes that they are fit
	reads        int

	starts  int
	options client.StartWorkflowOptions
	input   []any
}

func (d *door) DescribeWorkflowExecution(_ context.Context, workflowID, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	component, isOrientation := strings.CutPrefix(workflowID, ltp.OrientationWorkflowID(""))
	o, ok := d.orientations[component]
	if !isOrientation || !ok {
		return nil, serviceerror.NewNotFound(workflowID)
	}
	d.reads++
	p, err := converter.GetDefaultDataConverter().ToPayload(o)
	if err != nil {
		return nil, err
	}
	info := &workflowpb.WorkflowExecutionInfo{
		Status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING,
		Memo:   &commonpb.Memo{Fields: map[string]*commonpb.Payload{ltp.OrientationMemo: p}},
	}
	if d.ended {
		info.Status = enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED
	}
	return &workflowservice.DescribeWorkflowExecutionResponse{WorkflowExecutionInfo: info}, nil
}

func (d *door) ExecuteWorkflow(_ context.Context, options client.StartWorkflowOptions, _ any, input ...any) (client.WorkflowRun, error) {
	d.starts++
	d.options, d.input = options, input
	var run mocks.WorkflowRun
	run.On("GetRunID").Return("run-1")
	return &run, nil
}

// marked are the search attributes at the start of the order, by name.
func (d *door) marked() map[string]any {
	all := map[string]any{}
	for key, value := range d.options.TypedSearchAttributes.GetUntypedValues() {
		all[key.GetName()] = value
	}
	return all
}

func at(component string, s ltp.State, epoch int64) ltp.Orientation {
	return ltp.Orientation{Component: component, State: s, Epoch: epoch, Reason: "observed", Since: time.Unix(1, 0).UTC()}
}

func doorOf(all ...ltp.Orientation) *door {
	d := &door{orientations: map[string]ltp.Orientation{}}
	for _, o := range all {
		d.orientations[o.Component] = o
	}
	return d
}

func boardOf(all ...board.Reading) *board.Board {
	var components []string
	for _, r := range all {
		components = append(components, r.Component)
	}
	b := board.New(nil, components, slog.New(slog.DiscardHandler))
	for _, r := range all {
		b.Put(r)
	}
	return b
}

// TestDoorStampsAndMarksOrders: the workflow learns what the door read, and an order that
// has to wait is found by its search attributes from its first event on.
func TestDoorStampsAndMarksOrders(t *testing.T) {
	const db = ltp.DefaultComponent
	mark := func(component string, epoch int64, why ltp.Reason) *ltp.Mark {
		return &ltp.Mark{Wait: ltp.Wait{Component: component, Epoch: epoch, Reason: why}, Priority: ltp.DefaultPriority}
	}
	ofClass := mark(db, 4, ltp.ReasonUnstable)
	ofClass.Priority = 1
	fulfil := ltp.Execution{Activity: "Fulfil", TaskQueue: "fulfilment"}
	for name, c := range map[string]struct {
		order     ltp.Order
		execution ltp.Execution
		now       []ltp.Orientation
		stamp     ltp.Stamp
		mark      *ltp.Mark
	}{
		"stable": {order: ordertest.New("A2"), now: []ltp.Orientation{at(db, ltp.Stable, 3)}, stamp: ltp.Stamp{Epoch: 3, State: ltp.Stable}},
		"degraded": {order: ordertest.New("A2"), now: []ltp.Orientation{at(db, ltp.Degraded, 3)},
			stamp: ltp.Stamp{Epoch: 3, State: ltp.Degraded}},
		"degraded, high risk": {order: ordertest.New("A2", ordertest.HighRisk), now: []ltp.Orientation{at(db, ltp.Degraded, 3)},
			stamp: ltp.Stamp{Epoch: 3, State: ltp.Degraded}, mark: mark(db, 3, ltp.ReasonDegraded)},
		"unstable": {order: ordertest.New("A2"), now: []ltp.Orientation{at(db, ltp.Unstable, 4)},
			stamp: ltp.Stamp{Epoch: 4, State: ltp.Unstable}, mark: mark(db, 4, ltp.ReasonUnstable)},
		"unknown": {order: ordertest.New("A2"), now: []ltp.Orientation{at(db, ltp.Unknown, 1)},
			stamp: ltp.Stamp{Epoch: 1, State: ltp.Unknown}, mark: mark(db, 1, ltp.ReasonUnknown)},
		"recovering": {order: ordertest.New("A2"), now: []ltp.Orientation{at(db, ltp.Recovering, 5)},
			stamp: ltp.Stamp{Epoch: 5, State: ltp.Recovering}, mark: mark(db, 5, ltp.ReasonRecovering)},
		"of another class": {order: ordertest.New("A2", ordertest.Priority(1)), now: []ltp.Orientation{at(db, ltp.Unstable, 4)},
			stamp: ltp.Stamp{Epoch: 4, State: ltp.Unstable}, mark: ofClass},
		"what it depends on is unfit": {order: ordertest.New("A2", ordertest.DependsOn("payments")),
			now:   []ltp.Orientation{at(db, ltp.Stable, 3), at("payments", ltp.Unstable, 8)},
			stamp: ltp.Stamp{Epoch: 3, State: ltp.Stable}, mark: mark("payments", 8, ltp.ReasonUnstable)},
		"what is written to is unfit, and not named": {order: ordertest.New("A2", ordertest.DependsOn("payments")),
			now:   []ltp.Orientation{at(db, ltp.Unstable, 4), at("payments", ltp.Stable, 8)},
			stamp: ltp.Stamp{Epoch: 4, State: ltp.Unstable}, mark: mark(db, 4, ltp.ReasonUnstable)},
		"its deadline has passed": {order: ordertest.New("A2", func(o *ltp.Order) { o.Deadline = time.Unix(1, 0) }),
			now: []ltp.Orientation{at(db, ltp.Unstable, 4)}, stamp: ltp.Stamp{Epoch: 4, State: ltp.Unstable}},
		"executed elsewhere": {order: ordertest.New("A2", ordertest.DependsOn("payments")), execution: fulfil,
			now: []ltp.Orientation{at("payments", ltp.Stable, 8)}},
		"executed elsewhere, unfit": {order: ordertest.New("A2", ordertest.DependsOn("payments")), execution: fulfil,
			now: []ltp.Orientation{at("payments", ltp.Unstable, 9)}, mark: mark("payments", 9, ltp.ReasonUnstable)},
	} {
		t.Run(name, func(t *testing.T) {
			d := doorOf(c.now...)
			sub, err := New(d, WithExecution(c.execution)).Submit(t.Context(), c.order)
			require.NoError(t, err)
			assert.Equal(t, []any{ltp.NewProgress(c.order, c.execution, c.stamp, c.mark)}, d.input, "one argument")
			memo := map[string]any{ltp.ContentMemo: c.order.ContentHash()}
			if c.execution.External() {
				memo[ltp.ExecutionMemo] = "Fulfil"
			}
			assert.Equal(t, memo, d.options.Memo)
			if c.mark == nil {
				assert.Equal(t, map[string]any{ltp.CustomerAttribute: ordertest.New("A2").Customer}, d.marked())
				assert.Nil(t, sub.Deferred)
				return
			}
			want := map[string]any{
				ltp.CustomerAttribute: ordertest.New("A2").Customer, ltp.StateAttribute: "DEFERRED", ltp.ComponentAttribute: c.mark.Component,
				ltp.EpochAttribute: c.mark.Epoch, ltp.ReasonAttribute: string(c.mark.Reason),
			}
			if c.mark.Priority != ltp.DefaultPriority {
				want[ltp.PriorityAttribute] = int64(c.mark.Priority)
			}
			assert.Equal(t, want, d.marked())
			require.NotNil(t, sub.Deferred)
			assert.Equal(t, c.mark.Wait, *sub.Deferred)
		})
	}
}

// TestDoorThatCannotSeeMarksNothing but the customer: the order's first routing decides. The epoch counts
// all the same.
func TestDoorThatCannotSeeMarksNothing(t *testing.T) {
	d := doorOf(at(ltp.DefaultComponent, ltp.Stable, 3))
	d.ended = true
	sub, err := New(d).Submit(t.Context(), ordertest.New("A2"))
	require.NoError(t, err)
	assert.Nil(t, sub.Deferred)
	assert.Equal(t, map[string]any{ltp.CustomerAttribute: ordertest.New("A2").Customer}, d.marked())
	assert.Equal(t, ltp.Stamp{Epoch: 3, State: ltp.Unknown}, d.input[0].(ltp.Progress).Stamp)
}

func TestDoorReadsTheBoardOfItsProcess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := doorOf(at(ltp.DefaultComponent, ltp.Stable, 5))
		b := boardOf(board.Reading{Orientation: at(ltp.DefaultComponent, ltp.Unstable, 4), ReadAt: time.Now()})
		orders := New(d, WithBoard(b))
		submit := func() ltp.Progress {
			_, err := orders.Submit(t.Context(), ordertest.New("A2"))
			require.NoError(t, err)
			return d.input[0].(ltp.Progress)
		}
		assert.EqualValues(t, 4, submit().Mark.Epoch)
		assert.Zero(t, d.reads)

		time.Sleep(board.Lease + time.Second)
		assert.Equal(t, ltp.Stamp{Epoch: 5, State: ltp.Stable}, submit().Stamp, "a board that is blind is not asked")
		assert.Equal(t, 1, d.reads)
		submit()
		assert.Equal(t, 1, d.reads, "the door keeps its reading for a while")
		time.Sleep(intakeFresh + time.Millisecond)
		submit()
		assert.Equal(t, 2, d.reads)

		_, err := orders.Submit(t.Context(), ordertest.New("A2", ordertest.DependsOn("fax")))
		assert.ErrorIs(t, err, ErrComponent, "neither the board nor Temporal has it")
	})
}

func TestDoorRefusesWhatIsFrozenOrUnknown(t *testing.T) {
	frozen := at(ltp.DefaultComponent, ltp.Unstable, 4)
	frozen.Reason, frozen.Hold = "Held by ada: moving the database", &ltp.Hold{By: "ada", Freeze: true}
	held := frozen
	held.Hold = &ltp.Hold{By: "ada"}
	payments := at("payments", ltp.Stable, 8)
	fulfil := ltp.Execution{Activity: "Fulfil", TaskQueue: "fulfilment"}
	for name, c := range map[string]struct {
		now       []ltp.Orientation
		order     ltp.Order
		execution ltp.Execution
		want      error
	}{
		"frozen":                          {now: []ltp.Orientation{frozen}, order: ordertest.New("A2"), want: ErrFrozen},
		"frozen, and another is named":    {now: []ltp.Orientation{frozen, payments}, order: ordertest.New("A2", ordertest.DependsOn("payments")), want: ErrFrozen},
		"frozen, and not written to":      {now: []ltp.Orientation{frozen, payments}, order: ordertest.New("A2", ordertest.DependsOn("payments")), execution: fulfil},
		"held":                            {now: []ltp.Orientation{held}, order: ordertest.New("A2")},
		"unknown":                         {now: []ltp.Orientation{at(ltp.DefaultComponent, ltp.Stable, 3)}, order: ordertest.New("A2", ordertest.DependsOn("fax")), want: ErrComponent},
		"unknown, and not written to":     {now: []ltp.Orientation{payments}, order: ordertest.New("A2", ordertest.DependsOn("fax")), execution: fulfil, want: ErrComponent},
		"not started":                     {order: ordertest.New("A2"), want: ErrNotStarted},
		"not started, named":              {order: ordertest.New("A2", ordertest.DependsOn(ltp.DefaultComponent)), want: ErrNotStarted},
		"not started, another is named":   {order: ordertest.New("A2", ordertest.DependsOn("payments")), want: ErrNotStarted},
		"not started, and not written to": {order: ordertest.New("A2"), execution: fulfil, want: ErrNotStarted},
		"what is written to is unknown":   {now: []ltp.Orientation{payments}, order: ordertest.New("A2", ordertest.DependsOn("payments")), want: ErrNotStarted},
	} {
		t.Run(name, func(t *testing.T) {
			d := doorOf(c.now...)
			_, err := New(d, WithExecution(c.execution)).Submit(t.Context(), c.order)
			assert.ErrorIs(t, err, c.want)
			if c.want != nil {
				assert.Zero(t, d.starts)
			}
		})
	}
	_, err := New(doorOf(frozen)).Submit(t.Context(), ordertest.New("A2"))
	assert.ErrorContains(t, err, "moving the database")
}

// TestDeferredOrderIsAnsweredWithoutItsHistory, which this Temporal does not have.
func TestDeferredOrderIsAnsweredWithoutItsHistory(t *testing.T) {
	orders := New(doorOf(at(ltp.DefaultComponent, ltp.Unstable, 4)))
	sub, err := orders.Submit(t.Context(), ordertest.New("A2"))
	require.NoError(t, err)
	st, err := orders.Await(t.Context(), sub)
	require.NoError(t, err)
	assert.Equal(t, Status{
		OrderID: "A2", State: ltp.Deferred, Message: ltp.MessagePending,
		Decision: ltp.Defer, Reason: ltp.ReasonUnstable, Commitment: ltp.Commitment, Component: ltp.DefaultComponent, Epoch: 4,
	}, st)

	sub.Deferred.Reason = ltp.ReasonFrozen
	st, err = orders.Await(t.Context(), sub)
	require.NoError(t, err)
	assert.Equal(t, ltp.Freeze, st.Decision)
}
