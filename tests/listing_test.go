package tests

import (
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// listed asks for a listing, and returns the IDs of its orders.
func listed(t *testing.T, api, query string) (ids []string) {
	t.Helper()
	response, answer := do(t, "GET", api+"/orders?"+query, "", nil)
	require.Equal(t, http.StatusOK, response.StatusCode, "%v", answer)
	for _, o := range answer["orders"].([]any) {
		ids = append(ids, o.(map[string]any)["id"].(string))
	}
	return ids
}

// TestOrdersAreListedByCustomerTimeAndReason, whatever the customer is called.
func TestOrdersAreListedByCustomerTimeAndReason(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	customers := map[string]string{
		"Q1": "c-17", "Q2": `O'Brien \ "sons"`, "Q3": `O''Brien`, "Q4": `' OR LtpCustomer!='`, "Q5": `\`, "Q6": "%", "Q7": "c_17",
		"Q8": strings.Repeat("long", 64), "Q9": "Zoë 東京",
	}
	for id, customer := range customers {
		r.Submit(id, ordertest.Customer(customer))
		r.Ended(id)
	}
	between := time.Now()
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("W1"))
	end()
	r.Ended("W1")

	r.Hold("migration")
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("W2"))
	require.Eventually(t, func() bool { return len(listed(t, api, "page_size=50")) == len(customers)+2 }, patience, 50*time.Millisecond)
	for id, customer := range customers {
		assert.Contains(t, listed(t, api, "customer="+url.QueryEscape(customer)), id)
		if customer != ordertest.New("").Customer {
			assert.Len(t, listed(t, api, "customer="+url.QueryEscape(customer)), 1, customer)
		}
	}
	assert.Empty(t, listed(t, api, "customer=C-17"))
	at := url.QueryEscape(between.Format(time.RFC3339Nano))
	assert.ElementsMatch(t, []string{"W1", "W2"}, listed(t, api, "since="+at))
	assert.Len(t, listed(t, api, "until="+at), len(customers))
	assert.Equal(t, []string{"W2"}, listed(t, api, "reason=SYSTEM_UNSTABLE"), "W1 waits for nothing any more")
	status, said := r.command("orders", "list", "--customer", `O''Brien`)
	assert.Zero(t, status)
	assert.Contains(t, said, "Q3")
	assert.NotContains(t, said, "Q2")

	// A page of every order, and one after the other by their tokens.
	seen := map[string]bool{}
	query := "page_size=2"
	for range len(customers) + 2 {
		response, page := do(t, "GET", api+"/orders?"+query, "", nil)
		require.Equal(t, http.StatusOK, response.StatusCode, "%v", page)
		for _, o := range page["orders"].([]any) {
			seen[o.(map[string]any)["id"].(string)] = true
		}
		token, more := page["next_page_token"].(string)
		if !more {
			break
		}
		query = "page_size=2&page_token=" + token
		sealed, err := base64.RawURLEncoding.DecodeString(token)
		require.NoError(t, err)
		copy(sealed[len(sealed)/2:], "garbage")
		response, _ = do(t, "GET", api+"/orders?page_size=2&page_token="+base64.RawURLEncoding.EncodeToString(sealed), "", nil)
		assert.Equal(t, http.StatusBadRequest, response.StatusCode)
	}
	assert.Len(t, seen, len(customers)+2)
}
