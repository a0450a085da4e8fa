package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// answer is what a customer reads.
type answer struct {
	status int
	ID     string         `json:"id"`
	State  ltp.OrderState `json:"state"`
	Type   string         `json:"type"`
	Detail string         `json:"detail"`
	// CancelRequested says that the order is to end, and nobody can tell how yet.
	CancelRequested bool `json:"cancel_requested"`
	repeated        bool
}

// customer asks the order API; who gets no answer in time asks again.
var customer = &http.Client{Timeout: 5 * time.Second}

// ask sends a request, once.
func ask(ctx context.Context, method, url, body string, header map[string]string) (a answer, err error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewBufferString(body))
	if err != nil {
		return a, err
	}
	request.Header.Set("Prefer", "respond-async")
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		request.Header.Set(k, v)
	}
	response, err := customer.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(content, &a); err != nil {
		return a, fmt.Errorf("%s %s: %s: %w", method, url, content, err)
	}
	a.status, a.repeated = response.StatusCode, response.Header.Get("Idempotency-Replayed") == "true"
	return a, nil
}

// mustPost submits an order, and asks again for as long as nothing is promised.
func mustPost(t *testing.T, url, body string, header map[string]string) (a answer) {
	t.Helper()
	require.Eventually(t, func() bool {
		var err error
		a, err = ask(t.Context(), http.MethodPost, url+"/orders", body, header)
		return err == nil && a.status < 500
	}, patience, look, "the order is answered")
	return a
}

func number(n int) string { return strconv.Itoa(n) }
