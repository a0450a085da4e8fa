package tests

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

// follows reads a stream of events to its end.
func follows(t *testing.T, url, last string, each func(id string, st starter.Status)) (status int) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	require.NoError(t, err)
	if last != "" {
		request.Header.Set("Last-Event-ID", last)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close()
	var id string
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if s, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			id = s
		}
		if s, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			var st starter.Status
			require.NoError(t, json.Unmarshal([]byte(s), &st))
			each(id, st)
		}
	}
	return response.StatusCode
}

// TestOrderIsFollowedThroughAnOutage, with nobody asking twice: the stream shows that it is
// deferred, and that it is executed once the outage is over.
func TestOrderIsFollowedThroughAnOutage(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("F1"))
	var ids []string
	var states []ltp.OrderState
	status := follows(t, api+"/orders/F1/events", "", func(id string, st starter.Status) {
		if len(states) == 0 {
			end()
		}
		ids, states = append(ids, id), append(states, st.State)
	})
	assert.Equal(t, http.StatusOK, status)
	require.GreaterOrEqual(t, len(states), 2)
	assert.Equal(t, ltp.Deferred, states[0])
	assert.Equal(t, ltp.Executed, states[len(states)-1])
	for _, s := range states[:len(states)-1] {
		assert.Equal(t, ltp.Deferred, s)
	}
	assert.Equal(t, http.StatusNoContent, follows(t, api+"/orders/F1/events", ids[len(ids)-1], nil))
	var missed []ltp.OrderState
	follows(t, api+"/orders/F1/events", ids[0], func(_ string, st starter.Status) { missed = append(missed, st.State) })
	assert.Equal(t, []ltp.OrderState{ltp.Executed}, missed)

	// One that waits for an operator, and is cancelled while somebody waits for news.
	r.Hold("migration")
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("F2"))
	var waited sync.WaitGroup
	waited.Go(func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, api+"/orders/F2", nil)
		assert.NoError(t, err)
		request.Header.Set("Prefer", "wait=30")
		response, err := http.DefaultClient.Do(request)
		if !assert.NoError(t, err) {
			return
		}
		defer response.Body.Close()
		var st starter.Status
		assert.NoError(t, json.NewDecoder(response.Body).Decode(&st))
		assert.True(t, st.State == ltp.Cancelled || st.CancelRequested, "a change is answered at once: %+v", st)
	})
	response, answer := do(t, "DELETE", api+"/orders/F2", "", map[string]string{"Prefer": "wait=30"})
	assert.Equal(t, http.StatusOK, response.StatusCode, "%v", answer)
	waited.Wait()
}
