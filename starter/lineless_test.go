package starter

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// lineless is a Temporal in which no sequence can be joined.
type lineless struct {
	*door
	err error
}

func (c lineless) SignalWithStartWorkflow(context.Context, string, string, any, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	return nil, c.err
}

// TestOrderThatCannotJoinIsDurable: it says so, and that it is not in line.
func TestOrderThatCannotJoinIsDurable(t *testing.T) {
	for _, err := range []error{serviceerror.NewUnavailable("away"), serviceerror.NewInvalidArgument("too many"), errors.New("no")} {
		c := lineless{doorOf(at(ltp.DefaultComponent, ltp.Stable, 3)), err}
		sub, failed := New(c).Submit(t.Context(), ordertest.New("A2", ordertest.OrderingKey("c-17")))
		require.NoError(t, failed)
		assert.True(t, sub.NotInLine)
		assert.Equal(t, "run-1", sub.RunID)
	}
}

// TestSummaryEscapesMarkdown: Temporal UI renders it.
func TestSummaryEscapesMarkdown(t *testing.T) {
	o := ordertest.New("A2")
	o.Customer = "[click](javascript:alert(1)) <b>*x*</b>"
	said := summary(o)
	assert.Equal(t, `order A2: 120.00 USD for \[click\]\(javascript\:alert\(1\)\) \<b\>\*x\*\</b\>`, said)
	o.Customer = "c-17"
	assert.Equal(t, `order A2: 120.00 USD for c-17`, summary(o))
}
