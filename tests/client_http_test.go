package tests

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/client"
)

// asClient is the generated client of an order API, held against the contract.
func asClient(t *testing.T, url string) *client.ClientWithResponses {
	t.Helper()
	c, err := client.NewClientWithResponses(url, client.WithHTTPClient(customer(t)))
	require.NoError(t, err)
	return c
}

// books is an order as a client of the API sends it.
func books(id string) client.Order {
	price := int64(6000)
	return client.Order{ID: &id, Customer: "c-17", Currency: client.CurrencyUSD, Lines: []client.Line{{SKU: "book", Quantity: 2, UnitAmountMinor: &price}}}
}

// waits is a preference for an answer that waits as long as the API grants.
func waits() *string {
	wait := "wait=30"
	return &wait
}

// TestGeneratedClientFollowsItsOrders through an outage: it submits, repeats, lists, cancels
// and follows, by the types of the contract alone.
func TestGeneratedClientFollowsItsOrders(t *testing.T) {
	r := newRig(t)
	c := r.config()
	shop := asClient(t, r.listen(&c))
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)

	executed, err := shop.SubmitOrderWithResponse(r.Ctx, &client.SubmitOrderParams{Prefer: waits()}, books("C1"))
	require.NoError(t, err)
	require.NotNil(t, executed.JSON201, "%s", executed.Body)
	assert.Equal(t, client.OrderStateEXECUTED, executed.JSON201.State)
	assert.Equal(t, "/orders/C1", executed.Headers201.Location)
	assert.Equal(t, "wait=30", *executed.Headers201.PreferenceApplied)
	assert.Equal(t, client.StateSTABLE, executed.JSON201.Receipt.Fence.State)
	assert.False(t, executed.JSON201.Receipt.CommittedAt.Before(executed.JSON201.Receipt.BegunAt))

	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	for _, id := range []string{"C2", "C3"} {
		pending, err := shop.SubmitOrderWithResponse(r.Ctx, &client.SubmitOrderParams{Prefer: waits()}, books(id))
		require.NoError(t, err)
		require.NotNil(t, pending.JSON202, "%s", pending.Body)
		assert.Equal(t, client.OrderStateDEFERRED, pending.JSON202.State)
		assert.Equal(t, client.OrderStatusReasonSYSTEMUNSTABLE, *pending.JSON202.Reason)
		assert.Equal(t, ltp.Commitment, *pending.JSON202.Commitment)
		assert.Nil(t, pending.Headers202.IdempotencyReplayed)
	}
	again, err := shop.SubmitOrderWithResponse(r.Ctx, nil, books("C2"))
	require.NoError(t, err)
	require.NotNil(t, again.JSON202, "%s", again.Body)
	assert.Equal(t, "true", string(*again.Headers202.IdempotencyReplayed))

	state, one := client.OrderStateDEFERRED, 1
	listed := map[string]bool{}
	require.Eventually(t, func() bool { // listings come a moment later
		clear(listed)
		for params := (client.ListOrdersParams{State: &state, PageSize: &one}); ; {
			page, err := shop.ListOrdersWithResponse(r.Ctx, &params)
			if !assert.NoError(t, err) || !assert.NotNil(t, page.JSON200, "%s", page.Body) {
				return true
			}
			for _, o := range page.JSON200.Orders {
				listed[o.ID] = true
			}
			if params.PageToken = page.JSON200.NextPageToken; params.PageToken == nil {
				return len(listed) == 2
			}
		}
	}, patience, 50*time.Millisecond)
	assert.Equal(t, map[string]bool{"C2": true, "C3": true}, listed)

	cancelled, err := shop.CancelOrderWithResponse(r.Ctx, "C3", &client.CancelOrderParams{Prefer: waits()})
	require.NoError(t, err)
	require.NotNil(t, cancelled.JSON200, "%s", cancelled.Body)
	assert.Equal(t, client.OrderStateCANCELLED, cancelled.JSON200.State)

	end()
	r.Ended("C2")
	followed, err := shop.GetOrderWithResponse(r.Ctx, "C2", nil)
	require.NoError(t, err)
	require.NotNil(t, followed.JSON200, "%s", followed.Body)
	assert.Equal(t, client.OrderStateEXECUTED, followed.JSON200.State)
	assert.Equal(t, client.OrderStatusReasonRECOVERYCONFIRMED, *followed.JSON200.Reason)

	kept, err := shop.CancelOrderWithResponse(r.Ctx, "C2", nil)
	require.NoError(t, err)
	require.NotNil(t, kept.ApplicationProblemJSON409, "%s", kept.Body)
	assert.Equal(t, client.ProblemTypeProblemsOrderEnded, kept.ApplicationProblemJSON409.Type)
	assert.Equal(t, client.OrderStateEXECUTED, *kept.ApplicationProblemJSON409.State)
}

// TestGeneratedClientReadsProblems by the types of the contract, and finds each explained.
func TestGeneratedClientReadsProblems(t *testing.T) {
	r := newRig(t)
	c := r.config()
	url := r.listen(&c)
	shop := asClient(t, url)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)

	first, err := shop.SubmitOrderWithResponse(r.Ctx, &client.SubmitOrderParams{Prefer: waits()}, books("D1"))
	require.NoError(t, err)
	require.Equal(t, http.StatusCreated, first.StatusCode(), "%s", first.Body)
	other := books("D1")
	other.Customer = "c-18"
	conflict, err := shop.SubmitOrderWithResponse(r.Ctx, nil, other)
	require.NoError(t, err)
	require.NotNil(t, conflict.ApplicationProblemJSON422, "%s", conflict.Body)
	assert.Equal(t, client.ProblemTypeProblemsOrderConflict, conflict.ApplicationProblemJSON422.Type)
	assert.Nil(t, conflict.Headers422.Location)

	wrong := books("D2")
	wrong.Lines[0].Quantity = 0
	invalid, err := shop.SubmitOrderWithResponse(r.Ctx, nil, wrong)
	require.NoError(t, err)
	require.NotNil(t, invalid.ApplicationProblemJSON400, "%s", invalid.Body)
	assert.Equal(t, client.ProblemTypeProblemsInvalidOrder, invalid.ApplicationProblemJSON400.Type)
	assert.Contains(t, *invalid.ApplicationProblemJSON400.Field, "quantity")

	far := books("D3")
	far.DependsOn = &[]string{"fax"}
	unknown, err := shop.SubmitOrderWithResponse(r.Ctx, nil, far)
	require.NoError(t, err)
	require.NotNil(t, unknown.ApplicationProblemJSON422, "%s", unknown.Body)
	assert.Equal(t, client.ProblemTypeProblemsUnknownComponent, unknown.ApplicationProblemJSON422.Type)

	missing, err := shop.GetOrderWithResponse(r.Ctx, "D9", nil)
	require.NoError(t, err)
	require.NotNil(t, missing.ApplicationProblemJSON404, "%s", missing.Body)
	assert.Equal(t, client.ProblemTypeProblemsOrderNotFound, missing.ApplicationProblemJSON404.Type)

	explained, err := shop.ExplainProblemWithResponse(r.Ctx, "order-conflict")
	require.NoError(t, err)
	assert.Contains(t, string(explained.Body), conflict.ApplicationProblemJSON422.Title)
	document, err := shop.GetDocumentWithResponse(r.Ctx)
	require.NoError(t, err)
	assert.Equal(t, string(api.OpenAPI()), string(document.Body))
	for _, path := range []string{"/problems", "/orientation", "/readyz", "/healthz", "/nothing", "/orders/D1/lines"} {
		do(t, "GET", url+path, "", nil)
	}
	do(t, "PUT", url+"/orders", "", nil)
}
