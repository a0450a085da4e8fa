package tests

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/api"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/starter"
)

// TestOrdersThatComeBeforeTheFirstWorkerAreNotTheirSendersFault: the API is up and no
// worker ever was. Nothing is wrong with the order, and it is taken once there was one.
func TestOrdersThatComeBeforeTheFirstWorkerAreNotTheirSendersFault(t *testing.T) {
	r := newRig(t)
	door := httptest.NewServer(api.New(api.Config{Starter: r.Start, Board: board.New(r.Client, nil, r.log), Log: r.log}))
	defer door.Close()
	post := func(body string) *http.Response {
		response, _ := do(t, "POST", door.URL+"/orders", body, nil)
		return response
	}
	plain := `{"id":"E1","customer":"c-17","currency":"USD","lines":[{"sku":"book","quantity":1,"unit_amount_minor":100}]}`
	response := post(plain)
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	assert.NotEmpty(t, response.Header.Get("Retry-After"))
	_, err := r.Start.Get(r.Ctx, "E1")
	require.ErrorIs(t, err, starter.ErrNotFound, "nothing was started")

	r.up(r.config())
	assert.Less(t, post(plain).StatusCode, 300)
	assert.Equal(t, http.StatusUnprocessableEntity, post(`{"id":"E2","depends_on":["fax"],`+plain[len(`{"id":"E1",`):]).StatusCode)
}
