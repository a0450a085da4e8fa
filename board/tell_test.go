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

// told is a Temporal that answers the words of operators in turn.
type told struct {
	client.Client
	answers []error
	words   []client.UpdateWorkflowOptions
	status  enumspb.WorkflowExecutionStatus
	missing bool
}

func (t *told) UpdateWorkflow(_ context.Context, o client.UpdateWorkflowOptions) (client.WorkflowUpdateHandle, error) {
	t.words = append(t.words, o)
	err := t.answers[min(len(t.words), len(t.answers))-1]
	return carriedOut{}, err
}

func (t *told) DescribeWorkflowExecution(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
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

// TestAWordThatIsLostBetweenTwoRunsIsSaidAgain, as the same word.
func TestAWordThatIsLostBetweenTwoRunsIsSaidAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := &told{status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING, answers: []error{
			serviceerror.NewNotFound("workflow execution already completed"),
			serviceerror.NewWorkflowNotReady("unexpected workflow task failure"),
			&serviceerror.ResourceExhausted{Message: "workflow is closing"},
			nil,
		}}
		var now ltp.Orientation
		require.NoError(t, Tell(t.Context(), c, db, ltp.HoldUpdate, ltp.Hold{By: "ann"}, &now))
		assert.EqualValues(t, 4, now.Epoch)
		require.Len(t, c.words, 4)
		for _, w := range c.words {
			assert.Equal(t, c.words[0], w)
			assert.NotEmpty(t, w.UpdateID)
			assert.Empty(t, w.RunID, "whichever run there is")
		}
	})
}

func TestAWordThatCannotBeTakenIsNotSaidForever(t *testing.T) {
	lost := []error{serviceerror.NewNotFound("workflow execution already completed")}
	refused := errors.New("orders-db is not held")
	for name, c := range map[string]struct {
		temporal told
		err      string
	}{
		"refused":           {told{answers: []error{refused}}, "not held"},
		"no such component": {told{answers: lost, missing: true}, ErrNoComponent.Error()},
		"ended":             {told{answers: lost, status: enumspb.WORKFLOW_EXECUTION_STATUS_TERMINATED}, "has ended"},
	} {
		t.Run(name, func(t *testing.T) {
			err := Tell(t.Context(), &c.temporal, db, ltp.ReleaseUpdate, ltp.Release{}, new(ltp.Orientation))
			assert.ErrorContains(t, err, c.err)
			assert.Len(t, c.temporal.words, 1)
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		c := &told{answers: lost, status: enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING}
		assert.ErrorIs(t, Tell(ctx, c, db, ltp.ReleaseUpdate, ltp.Release{}, new(ltp.Orientation)), context.DeadlineExceeded)
	})
}
