package faults

import (
	"context"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// TestOrderRepeatedAfterTheAPIDiedIsOneOrder: the customer has read nothing, and sends the
// order again, under its id or its Idempotency-Key. It is one order.
func TestOrderRepeatedAfterTheAPIDiedIsOneOrder(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	r.observer(r.Orders)
	r.worker(r.Address)
	r.Until(r.seen, ltp.Stable)
	_, other := r.api(r.Address, "127.0.0.1:0")
	var ids []string
	for _, accepted := range []bool{false, true} {
		for _, keyed := range []bool{false, true} {
			t.Run(fmt.Sprintf("accepted=%t,keyed=%t", accepted, keyed), func(t *testing.T) {
				id := fmt.Sprintf("api-%t-%t", accepted, keyed)
				order, header := ordertest.JSON(id), map[string]string{}
				if keyed {
					order, header = ordertest.JSON(""), map[string]string{"Idempotency-Key": id}
				}
				r.apiDies(accepted, order, header)
				again := mustPost(t, other, order, header)
				assert.Contains(t, []int{http.StatusAccepted, http.StatusCreated}, again.status)
				assert.Equal(t, accepted, again.repeated, "the first was accepted, and the second finds it")
				more := mustPost(t, other, order, header)
				assert.True(t, more.repeated)
				assert.Equal(t, again.ID, more.ID)
				ids = append(ids, again.ID)
			})
		}
	}
	r.executedOnce(ids)
}

// apiDies sends an order to an API that is killed before or after Temporal has
// accepted it, and before it answers.
func (r *rig) apiDies(accepted bool, order string, header map[string]string) {
	r.T.Helper()
	x, m := newExchange(r.T, r.Address), newMoment()
	x.on(func(ctx context.Context, call any, pass func() (any, error)) (any, error) {
		c, ok := call.(*workflowservice.StartWorkflowExecutionRequest)
		if !ok || c.GetWorkflowType().GetName() != ltp.OrderWorkflow {
			return pass()
		}
		if accepted {
			if answer, err := pass(); err != nil {
				return answer, err
			}
		}
		return m.stay(ctx)
	})
	p, url := r.api(x.address, "127.0.0.1:0")
	read := make(chan error, 1)
	go func() {
		_, err := ask(r.Ctx, http.MethodPost, url+"/orders", order, header)
		read <- err
	}()
	m.await(r.T)
	p.Kill()
	require.Error(r.T, <-read, "the customer reads nothing")
}
