package starter

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

const running = enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING

// parkedRun is the run of an order that is parked, or was.
func parkedRun(t *testing.T, status enumspb.WorkflowExecutionStatus, w ltp.Wait, p ltp.Parking) *workflowpb.WorkflowExecutionInfo {
	t.Helper()
	info := run("run-1", accepted, status, waitsFor(t, w))
	info.Memo = &commonpb.Memo{Fields: map[string]*commonpb.Payload{ltp.ParkedMemo: payloadOf(t, p)}}
	return info
}

// TestParkedOrderSaysWhyWithoutItsHistory, which this Temporal does not have: no worker
// and no history is needed, in a lookup and in a listing.
func TestParkedOrderSaysWhyWithoutItsHistory(t *testing.T) {
	why := ltp.Parking{Since: later, Failures: 5, Error: "value too long"}
	info := parkedRun(t, running, parked, why)
	want := Status{
		OrderID: "A2", State: ltp.Parked, Message: ltp.MessagePending, Decision: ltp.Defer, Reason: ltp.ReasonParked,
		Commitment: ltp.ParkedCommitment, Parked: &why, AcceptedAt: accepted,
	}
	st, err := New(&runs{t: t, info: []*workflowpb.WorkflowExecutionInfo{info}}).Get(t.Context(), "A2")
	require.NoError(t, err)
	assert.Equal(t, want, st)

	p := &page{executions: []*workflowpb.WorkflowExecutionInfo{info}}
	found, err := New(p).List(t.Context(), Filter{State: ltp.Parked, AllTenants: true})
	require.NoError(t, err)
	assert.Equal(t, []Status{want}, found.Orders)
	assert.Equal(t, []string{"WorkflowType='Order' AND ExecutionStatus='Running' AND LtpState='PARKED'"}, p.queries)
}

// TestMemoOfAnEarlierParkingIsNotShown: it stays when the order goes on.
func TestMemoOfAnEarlierParkingIsNotShown(t *testing.T) {
	st, err := statusOfListing(parkedRun(t, running, unstable, ltp.Parking{Failures: 5}))
	require.NoError(t, err)
	assert.Equal(t, ltp.Deferred, st.State)
	assert.Nil(t, st.Parked)
	st, err = statusOfListing(parkedRun(t, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, parked, ltp.Parking{Failures: 5}))
	require.NoError(t, err)
	assert.Equal(t, ltp.Executed, st.State)
	assert.Nil(t, st.Parked)
}

// TestOrderThatWasParkedOnceIsFoundAmongTheExecuted: its search attributes stay.
func TestOrderThatWasParkedOnceIsFoundAmongTheExecuted(t *testing.T) {
	q, err := Filter{State: ltp.Executed, AllTenants: true}.query(nil)
	require.NoError(t, err)
	assert.True(t, strings.HasSuffix(q, " AND (LtpState IS NULL OR LtpState IN ('DEFERRED','PARKED'))"), q)
}

// operated is a Temporal with one order, which keeps the signals that it takes.
type operated struct {
	*runs
	signals []any
	gone    bool // the order ends before the signal comes
}

func (o *operated) SignalWorkflow(_ context.Context, workflowID, _, name string, arg any) error {
	if o.gone {
		return serviceerror.NewNotFound(workflowID)
	}
	o.signals = append(o.signals, workflowID, name, arg)
	return nil
}

func TestInstructionReachesParkedOrdersOnly(t *testing.T) {
	retry := ltp.Instruction{Do: ltp.DoRetry, By: "ann"}
	for name, c := range map[string]struct {
		info *workflowpb.WorkflowExecutionInfo
		do   ltp.Instruction
		gone bool
		want error
	}{
		"parked, retry":       {info: parkedRun(t, running, parked, ltp.Parking{}), do: retry},
		"parked, reject":      {info: parkedRun(t, running, parked, ltp.Parking{}), do: ltp.Instruction{Do: ltp.DoReject, By: "ann", Why: "sold out"}},
		"paused in Temporal":  {info: parkedRun(t, enumspb.WORKFLOW_EXECUTION_STATUS_PAUSED, parked, ltp.Parking{}), do: retry},
		"deferred":            {info: parkedRun(t, running, unstable, ltp.Parking{}), do: retry, want: ErrNotParked},
		"not looked at":       {info: run("run-1", accepted, running, nil), do: retry, want: ErrNotParked},
		"ended":               {info: parkedRun(t, enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED, parked, ltp.Parking{}), do: retry, want: ErrEnded},
		"ended by force":      {info: parkedRun(t, enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED, parked, ltp.Parking{}), do: retry, want: ErrEnded},
		"it ends just then":   {info: parkedRun(t, running, parked, ltp.Parking{}), do: retry, gone: true, want: ErrEnded},
		"there is none":       {do: retry, want: ErrNotFound},
		"rejected for naught": {info: parkedRun(t, running, parked, ltp.Parking{}), do: ltp.Instruction{Do: ltp.DoReject, By: "ann"}, want: new(ltp.InvalidError)},
		"by nobody":           {info: parkedRun(t, running, parked, ltp.Parking{}), do: ltp.Instruction{Do: ltp.DoRetry}, want: new(ltp.InvalidError)},
	} {
		t.Run(name, func(t *testing.T) {
			temporal := &operated{runs: &runs{t: t}, gone: c.gone}
			if c.info != nil {
				temporal.info = append(temporal.info, c.info)
			}
			err := New(temporal).Instruct(t.Context(), "A2", c.do)
			if invalid, ok := c.want.(*ltp.InvalidError); ok {
				require.ErrorAs(t, err, &invalid)
			} else {
				require.ErrorIs(t, err, c.want)
			}
			if c.want == nil {
				assert.Equal(t, []any{ltp.OrderWorkflowID("A2"), ltp.InstructionSignal, c.do}, temporal.signals)
			} else {
				assert.Empty(t, temporal.signals)
			}
		})
	}
	err := New(&operated{runs: &runs{t: t, info: []*workflowpb.WorkflowExecutionInfo{parkedRun(t, running, unstable, ltp.Parking{})}}}).Instruct(t.Context(), "A2", retry)
	assert.ErrorContains(t, err, "A2 is DEFERRED")
}

// parkedMany is a Temporal that lists parked orders.
type parkedMany struct {
	*listing
	queries []string
	retried []string
}

func (p *parkedMany) ListWorkflow(ctx context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	p.queries = append(p.queries, r.GetQuery())
	return p.listing.ListWorkflow(ctx, r)
}

func (p *parkedMany) SignalWorkflow(_ context.Context, workflowID, _, name string, arg any) error {
	id, _ := ltp.OrderID(workflowID)
	p.mu.Lock()
	defer p.mu.Unlock()
	if name == ltp.InstructionSignal && arg.(ltp.Instruction).Do == ltp.DoRetry {
		p.retried = append(p.retried, id)
	}
	return nil
}

var _ client.Client = &parkedMany{}

func TestManyParkedOrdersAreRetriedOnceEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := ids(700)
		p := &parkedMany{listing: &listing{shows: [][]string{all}}}
		tally, err := New(p).InstructMany(t.Context(), Selector{Query: "StartTime > '2030-01-31T00:00:00Z'"}, 1000, ltp.Instruction{Do: ltp.DoRetry, By: "ann"}, nil)
		require.NoError(t, err)
		assert.Equal(t, Tally{Asked: 700, Done: 700}, tally)
		slices.Sort(p.retried)
		assert.Equal(t, all, p.retried)
		assert.Equal(t, "WorkflowType='Order' AND ExecutionStatus='Running' AND LtpState='PARKED' AND (StartTime > '2030-01-31T00:00:00Z')", p.queries[0])

		_, err = New(p).InstructMany(t.Context(), Selector{}, 1000, ltp.Instruction{Do: ltp.DoReject, By: "ann"}, nil)
		assert.ErrorAs(t, err, new(*ltp.InvalidError), "whom it rejects reads why")
	})
}
