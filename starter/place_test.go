package starter

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

// backlogged is a Temporal with orders that wait, accepted a second apart from accepted on.
type backlogged struct {
	client.Client
	ids    []string
	broken bool
}

func (b backlogged) ListWorkflow(context.Context, *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	if b.broken {
		return nil, errors.New("visibility is away")
	}
	var all []*workflowpb.WorkflowExecutionInfo
	for i, id := range b.ids {
		all = append(all, &workflowpb.WorkflowExecutionInfo{
			Execution:     &commonpb.WorkflowExecution{WorkflowId: ltp.OrderWorkflowID(id)},
			ExecutionTime: timestamppb.New(accepted.Add(time.Duration(i) * time.Second)),
		})
	}
	return &workflowservice.ListWorkflowExecutionsResponse{Executions: all}, nil
}

// TestAPlaceIsOfAnOrderThatAReplayReleases, and of no other.
func TestAPlaceIsOfAnOrderThatAReplayReleases(t *testing.T) {
	at := func(s ltp.State) Option {
		return WithBoard(boardOf(board.Reading{Orientation: ltp.Orientation{Component: ltp.DefaultComponent, State: s, Epoch: 4}, ReadAt: time.Now()}))
	}
	waits := func(change func(*Status)) Status {
		st := Status{OrderID: "A3", AcceptedAt: accepted.Add(2 * time.Second)}
		st.waits(unstable)
		change(&st)
		return st
	}
	there := backlogged{ids: []string{"A1", "A2", "A3", "A4"}}
	for name, c := range map[string]struct {
		st   Status
		want *ltp.Place
	}{
		"deferred":                    {waits(func(*Status) {}), &ltp.Place{Ahead: 2}},
		"expedited, not yet listed":   {waits(func(st *Status) { st.OrderID, st.Expedited = "A9", true }), &ltp.Place{}},
		"of a class, not yet listed":  {waits(func(st *Status) { st.OrderID, st.Priority = "A9", 4 }), &ltp.Place{Ahead: 4}},
		"awaits its turn":             {waits(func(st *Status) { st.waits(ltp.Wait{Reason: ltp.ReasonAwaitsTurn}) }), nil},
		"parked":                      {waits(func(st *Status) { st.waits(parked) }), nil},
		"is to end":                   {waits(func(st *Status) { st.waits(unproven) }), nil},
		"somebody asked to cancel it": {waits(func(st *Status) { st.CancelRequested = true }), nil},
		"accepted":                    {Status{OrderID: "A3", State: ltp.Accepted, Component: ltp.DefaultComponent, AcceptedAt: accepted}, nil},
	} {
		assert.Equal(t, c.want, New(there, at(ltp.Unstable)).Place(t.Context(), c.st), name)
	}
	there.broken = true
	assert.Nil(t, New(there, at(ltp.Unstable)).Place(t.Context(), waits(func(*Status) {})))
}
