package tests

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"runtime"
	"runtime/pprof"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/ltp-node/ltp/internal/link"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/internal/reach"
	"github.com/ltp-node/ltp/payload"
)

// overLink is a client whose connections pass a link, and are watched as those of ltp are.
func (r *rig) overLink() (client.Client, *reach.Reach, *link.Link) {
	r.T.Helper()
	l := newLink(r.T, r.Server.Address())
	watched := reach.New()
	o := client.Options{HostPort: l.Address(), Namespace: r.Server.Namespace(), Logger: log.NewStructuredLogger(slog.New(slog.DiscardHandler))}
	watched.Watch(&o)
	payload.Connect(&o, nil)
	c, err := client.Dial(o)
	require.NoError(r.T, err)
	r.T.Cleanup(c.Close)
	return c, watched, l
}

// TestTemporalThatIsAwayIsAnsweredForAtOnce, and a connection that went silent is replaced
// while an order comes.
func TestTemporalThatIsAwayIsAnsweredForAtOnce(t *testing.T) {
	r := newRig(t)
	c := r.config()
	var l *link.Link
	var watched *reach.Reach
	c.Client, watched, l = r.overLink()
	c.Away = watched.Away
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, "STABLE")
	async := map[string]string{"Prefer": "respond-async"}

	l.Cut()
	require.Eventually(t, watched.Away, patience, time.Millisecond)
	begun := time.Now()
	response, _ := do(t, "POST", api+"/orders", ordertest.JSON("away-1"), async)
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode)
	assert.NotEmpty(t, response.Header.Get("Retry-After"))
	t.Logf("503 after %s", time.Since(begun).Round(time.Millisecond))
	l.Mend()
	require.Eventually(t, func() bool { return !watched.Away() }, patience, time.Millisecond)

	l.HangOpen()
	begun = time.Now()
	ids := []string{}
	for i := 0; len(ids) < 3; i++ {
		id := fmt.Sprintf("away-%d", i)
		if response, _ := do(t, "POST", api+"/orders", ordertest.JSON(id), async); response.StatusCode < 300 {
			ids = append(ids, id)
		}
	}
	t.Logf("three orders accepted after %s of silence", time.Since(begun).Round(time.Millisecond))
	for _, id := range ids {
		assert.EqualValues(t, "EXECUTED", r.Ended(id).State, "the worker was not left hanging either")
	}
}

// TestClientsThatResetTheirConnectionsDelayNobody: they connect, send an order, and reset the connection, as
// fast as they can. Others are served all the while.
func TestClientsThatResetTheirConnectionsDelayNobody(t *testing.T) {
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, "STABLE")
	at, err := url.Parse(api)
	require.NoError(t, err)
	before := runtime.NumGoroutine()
	held := 0 // the orders that the API works on or has in its queue
	var sent atomic.Int64
	rude, stop := context.WithCancel(t.Context())
	var gone sync.WaitGroup
	for who := range 3 {
		gone.Go(func() {
			for i := 0; rude.Err() == nil; i++ {
				conn, err := net.Dial("tcp", at.Host)
				if err != nil {
					continue
				}
				body := ordertest.JSON(fmt.Sprintf("gone-%d-%d", who, i))
				_, _ = fmt.Fprintf(conn, "POST /orders HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
				_ = conn.(*net.TCPConn).SetLinger(0)
				_ = conn.Close()
				sent.Add(1)
			}
		})
	}
	served := 0
	for deadline := time.Now().Add(patience); served < 20 && time.Now().Before(deadline); {
		response, body := do(t, "POST", api+"/orders", ordertest.JSON(fmt.Sprintf("kind-%d", served)), map[string]string{"Prefer": "respond-async"})
		held = max(held, goroutinesIn(t, "api.load.accept(", "api.(*api).accept("))
		switch response.StatusCode {
		case http.StatusAccepted, http.StatusCreated:
			served++
		default:
			assert.Equal(t, http.StatusTooManyRequests, response.StatusCode, body)
		}
	}
	stop()
	gone.Wait()
	t.Logf("%d orders of clients that had gone, %d held at once at most", sent.Load(), held)
	assert.Equal(t, 20, served)
	assert.LessOrEqual(t, held, 32+96, "as many as the intake and its queue have room for")
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= before+50 }, patience, 10*time.Millisecond,
		"those that have gone leave nothing behind")
}

// goroutinesIn counts those that have one of the functions on their stack.
func goroutinesIn(t *testing.T, functions ...string) int {
	t.Helper()
	var stacks bytes.Buffer
	require.NoError(t, pprof.Lookup("goroutine").WriteTo(&stacks, 2))
	n := 0
	for one := range strings.SplitSeq(stacks.String(), "\n\n") {
		if slices.ContainsFunc(functions, func(f string) bool { return strings.Contains(one, f) }) {
			n++
		}
	}
	return n
}

// TestHotOrderingKeyDelaysOnlyItsOwnOrders: many orders of one key at once are accepted or refused,
// and never lost; those of others are accepted.
func TestHotOrderingKeyDelaysOnlyItsOwnOrders(t *testing.T) {
	const orders = 200
	r := newRig(t)
	c := r.config()
	api := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, "STABLE")
	var all sync.WaitGroup
	codes := make([]int, orders)
	for i := range orders {
		all.Go(func() {
			body := ordertest.JSON(fmt.Sprintf("hot-%d", i), ordertest.OrderingKey("hot"))
			response, _ := do(t, "POST", api+"/orders", body, map[string]string{"Prefer": "respond-async"})
			codes[i] = response.StatusCode
		})
	}
	for i := range 20 {
		response, body := do(t, "POST", api+"/orders", ordertest.JSON(fmt.Sprintf("cold-%d", i)), map[string]string{"Prefer": "respond-async"})
		assert.Less(t, response.StatusCode, 300, body)
	}
	all.Wait()
	var accepted []string
	for i, code := range codes {
		id := fmt.Sprintf("hot-%d", i)
		switch code {
		case http.StatusTooManyRequests:
			_, err := r.Start.Get(r.Ctx, id)
			assert.Error(t, err, "%s was refused, and nothing was started", id)
		default:
			assert.Less(t, code, 300)
			accepted = append(accepted, id)
		}
	}
	t.Logf("%d of %d accepted", len(accepted), orders)
	for _, id := range accepted {
		assert.EqualValues(t, "EXECUTED", r.Ended(id).State)
	}
	r.executedOnce("hot-", accepted)
}
