package tests

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

// TestNothingAcceptedIsLostWhenTemporalRestarts: in the middle of an outage Temporal
// ends and comes back, while customers go on ordering. What was accepted is executed;
// what was refused is sent again under its ID and executed once; the order node needs
// no restart.
func TestNothingAcceptedIsLostWhenTemporalRestarts(t *testing.T) {
	r := newRig(t)
	c := r.config()
	c.Client = r.Dial()
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)

	customers := r.customers(api, "restart")
	customers.awaitAnswer(http.StatusAccepted)
	require.NoError(t, r.Server.Stop())
	customers.awaitAnswer(http.StatusServiceUnavailable)
	r.Serve()
	customers.awaitAnswer(http.StatusAccepted)
	answers := customers.leave()
	end()

	var ids []string
	for id, status := range answers {
		ids = append(ids, id)
		if status == http.StatusServiceUnavailable {
			require.Eventually(t, func() bool {
				response, _ := do(t, "POST", api+"/orders", ordertest.JSON(id), map[string]string{"Prefer": "respond-async"})
				return response.StatusCode == http.StatusAccepted || response.StatusCode == http.StatusCreated
			}, patience, 50*time.Millisecond)
			continue
		}
		assert.Equal(t, http.StatusAccepted, status, "nothing else is answered: %s", id)
	}
	r.executedOnce("restart-", ids)
	r.Until(n.Board, ltp.Stable)
}

// TestNoPromiseIsMadeWhileTemporalIsDown: the answer says so, and when to ask
// again.
func TestNoPromiseIsMadeWhileTemporalIsDown(t *testing.T) {
	r := newRig(t)
	c := r.config()
	c.Client = r.Dial()
	api, admin := r.listen(&c), r.admin(&c)
	n := r.up(c)
	orders := starter.New(c.Client)
	r.Until(n.Board, ltp.Stable)
	_, err := orders.Submit(r.Ctx, ordertest.New("down-1"))
	require.NoError(t, err)
	r.Ended("down-1")

	require.NoError(t, r.Server.Stop())
	ctx, cancel := context.WithTimeout(r.Ctx, 2*time.Second)
	defer cancel()
	_, err = orders.Submit(ctx, ordertest.New("down-2"))
	assert.ErrorIs(t, err, starter.ErrUnreachable)
	for _, ask := range []struct{ method, path, body string }{
		{"POST", "/orders", ordertest.JSON("down-3")},
		{"GET", "/orders/down-1", ""},
		{"DELETE", "/orders/down-1", ""},
		{"GET", "/orders", ""},
	} {
		response, body := do(t, ask.method, api+ask.path, ask.body, nil)
		assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode, "%s %s", ask.method, ask.path)
		after, err := strconv.Atoi(response.Header.Get("Retry-After"))
		assert.NoError(t, err, "%s %s has a Retry-After", ask.method, ask.path)
		assert.Positive(t, after)
		assert.NotEmpty(t, body["detail"])
	}
	response, _ := do(t, "GET", api+"/readyz", "", nil)
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	response, _ = do(t, "GET", api+"/healthz", "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode, "a restart of the node would help nobody")
	response, body := look(t, admin+"/readyz")
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	assert.Len(t, body["missing"], 1, "operators see what is missing")

	r.Serve()
	for _, id := range []string{"down-2", "down-3"} {
		r.Submit(id)
	}
	r.executedOnce("down-", []string{"down-1", "down-2", "down-3"})
}

// customers order one after the other, each a new order, until they leave.
type customers struct {
	t       *testing.T
	stop    context.CancelFunc
	done    sync.WaitGroup
	mu      sync.Mutex
	answers map[string]int // status by order
	latest  chan int
}

func (r *rig) customers(api, prefix string) *customers {
	ctx, cancel := context.WithCancel(r.Ctx)
	c := &customers{t: r.T, stop: cancel, answers: map[string]int{}, latest: make(chan int, 1)}
	for who := range 3 {
		c.done.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				id := fmt.Sprintf("%s-%d-%03d", prefix, who, i)
				response, _ := do(r.T, "POST", api+"/orders", ordertest.JSON(id), map[string]string{"Prefer": "respond-async"})
				c.mu.Lock()
				c.answers[id] = response.StatusCode
				c.mu.Unlock()
				select {
				case c.latest <- response.StatusCode:
				case <-time.After(20 * time.Millisecond): // nobody asks; the next customer comes
				}
			}
		})
	}
	r.T.Cleanup(func() { c.leave() })
	return c
}

// awaitAnswer waits until a customer gets such an answer.
func (c *customers) awaitAnswer(status int) {
	c.t.Helper()
	timeout := time.After(patience)
	for {
		select {
		case got := <-c.latest:
			if got == status {
				return
			}
		case <-timeout:
			require.FailNow(c.t, "nobody was answered so", "%d", status)
		}
	}
}

// leave returns what every customer was answered.
func (c *customers) leave() map[string]int {
	c.stop()
	c.done.Wait()
	return c.answers
}
