package board

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// operated is a Temporal that answers the Updates of operators in turn.
type operated struct {
	client.Client
	answers []error
	sent    []client.UpdateWorkflowOptions
	status  enumspb.WorkflowExecutionStatus
	missing bool
}

func (t *operated) UpdateWorkflow(_ context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	t.sent = append(t.sent, o)
	err := t.answers[min(len(t.sent), len(t.answers))-1]
	return carriedOut{}, err
}

func (t *operated) DescribeWorkflowExecution(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	if t.missing {
		return nil, serviceerror.NewNotFound("no rows")
	}
	d := running(orientation(ltp.Stable, 3))
	d.WorkflowExecutionInfo.Status = t.status
	return d, nil
}

type carriedOut struct{ client.WorkflowUpdateHandle }

func (carriedOut) Get(_ context.Context, into any) error {
	*into.(*ltp.Orientation) = orientation(ltp.Unstable, 4)
	return nil
}

// TestAnUpdateThatIsLostBetweenTwoRunsIsSentAgain, as the same Update.
func TestAnUpdateThatIsLostBetweenTwoRunsIsSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &operated{status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, answers: []error{
			serviceerror.NewNotFound("workflow execution already completed"),
			serviceerror.NewWorkflowNotReady("unexpected workflow task failure"),
			&serviceerror.ResourceExhausted{Message: "workflow is closing"},
			nil,
		}}
		var now ltp.Orientation
		require.NoError(t, SendUpdate(t.Context(), c, db, ltp.HoldUpdate, ltp.Hold{By: "ann"}, &now))
		assert.EqualValues(t, 4, now.Epoch)
		require.Len(t, c.sent, 4)
		for _, w := range c.sent {
			assert.Equal(t, c.sent[0], w)
			assert.NotEmpty(t, w.UpdateID)
			assert.Empty(t, w.RunID, "whichever run there is")
		}
	})
}

func TestAnUpdateThatCannotBeTakenIsNotSentForever(t *testing.T) {
	lost := []error{serviceerror.NewNotFound("workflow execution already completed")}
	refused := errors.New("orders-db is not held")
	for name, c := range map[string]struct {
		temporal operated
		err      string
	}{
		"refused":           {operated{answers: []error{refused}}, "not held"},
		"no such component": {operated{answers: lost, missing: true}, ErrNoComponent.Error()},
		"ended":             {operated{answers: lost, status: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED}, "has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			err := SendUpdate(t.Context(), &c.temporal, db, ltp.ReleaseUpdate, ltp.Release{}, new(ltp.Orientation))
			assert.ErrorContains(t, err, c.err)
			assert.Len(t, c.temporal.sent, 1)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		c := &operated{answers: lost, status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING}
		assert.ErrorIs(t, SendUpdate(ctx, c, db, ltp.ReleaseUpdate, ltp.Release{}, new(ltp.Orientation)), context.DeadlineExceeded)
	})
}
