package faults

import (
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/webhook"
)

// message is one that an endpoint got, at whatever attempt.
type message struct {
	id    string // webhook-id
	order string
	event ltp.WebhookEvent
	taken bool // it was answered 2xx
}

// endpoint is the system of a tenant that receives webhooks, at one address also when it was
// away meanwhile.
type endpoint struct {
	t       *testing.T
	address string
	server  *http.Server

	mu    sync.Mutex
	does  func(w http.ResponseWriter, r *http.Request, m message) (taken bool)
	all   []message
	hangs int
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{t: t, does: takes, address: "127.0.0.1:0"}
	e.comes()
	t.Cleanup(e.goes)
	return e
}

// comes has it listen.
func (e *endpoint) comes() {
	e.t.Helper()
	l, err := net.Listen("tcp", e.address)
	require.NoError(e.t, err)
	e.address, e.server = l.Addr().String(), &http.Server{Handler: e}
	go func(s *http.Server) { _ = s.Serve(l) }(e.server)
}

// goes has nobody listen, and cuts what is under way.
func (e *endpoint) goes() { _ = e.server.Close() }

func takes(w http.ResponseWriter, _ *http.Request, _ message) bool {
	w.WriteHeader(http.StatusNoContent)
	return true
}

func fails(w http.ResponseWriter, _ *http.Request, _ message) bool {
	w.WriteHeader(http.StatusInternalServerError)
	return false
}

// hang answers nothing until whoever sends has gone.
func (e *endpoint) hang(_ http.ResponseWriter, r *http.Request, _ message) bool {
	e.count(1)
	defer e.count(-1)
	<-r.Context().Done()
	return false
}

func (e *endpoint) count(by int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hangs += by
}

// hanging is how many messages are under way to it that it does not answer.
func (e *endpoint) hanging() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hangs
}

// becomes has it do something else with messages from now on.
func (e *endpoint) becomes(does func(http.ResponseWriter, *http.Request, message) bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.does = does
}

func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data, err := io.ReadAll(r.Body)
	var body ltp.WebhookBody
	var order struct {
		ID string `json:"id"`
	}
	if err != nil || json.Unmarshal(data, &body) != nil || json.Unmarshal(body.Data, &order) != nil {
		return // it was cut off
	}
	m := message{id: r.Header.Get("webhook-id"), order: order.ID, event: body.Type}
	e.mu.Lock()
	does := e.does
	e.mu.Unlock()
	m.taken = does(w, r, m)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, m)
}

// of are the messages so far that are of an order, and fit.
func (e *endpoint) of(order string, fits func(message) bool) (found []message) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, m := range e.all {
		if m.order == order && fits(m) {
			found = append(found, m)
		}
	}
	return found
}

func taken(m message) bool { return m.taken }

// took reports whether messages of all orders were taken, each with these events at least once,
// and the first time in this order.
func (e *endpoint) took(orders []string, events ...ltp.WebhookEvent) bool {
	for _, id := range orders {
		var got []ltp.WebhookEvent
		for _, m := range e.of(id, taken) {
			if !slices.Contains(got, m.event) {
				got = append(got, m.event)
			}
		}
		if !slices.Equal(got, events) {
			return false
		}
	}
	return true
}

// holds checks what was sent of orders in all: each message under one id of its own, however
// often it was sent, and none before the one before it was taken.
func (e *endpoint) holds(orders []string, events ...ltp.WebhookEvent) {
	e.t.Helper()
	ids := map[string]message{}
	for _, order := range orders {
		next := 0
		for _, m := range e.of(order, func(message) bool { return true }) {
			if first, ok := ids[m.id]; ok {
				assert.Equal(e.t, [2]any{first.order, first.event}, [2]any{m.order, m.event}, "an id of two messages")
			}
			ids[m.id] = m
			n := slices.Index(events, m.event)
			assert.LessOrEqual(e.t, n, next, "%s: %s overtook what was before it", order, m.event)
			if m.taken && n == next {
				next++
			}
		}
		assert.Len(e.t, events[next:], 0, order)
	}
	assert.Len(e.t, ids, len(orders)*len(events), "one id each")
}

// hooked has orders of the rig marked for webhooks, and returns the flags of a worker that sends
// them.
func (r *rig) hooked(all ...webhook.Endpoint) []string {
	r.t.Helper()
	data, err := json.Marshal(webhook.File{Endpoints: all})
	require.NoError(r.t, err)
	file := filepath.Join(r.dir, "webhooks.json")
	require.NoError(r.t, os.WriteFile(file, data, 0o600))
	r.start = starter.New(r.client, starter.WithWebhooks(func(tenant string) bool {
		return slices.ContainsFunc(all, func(e webhook.Endpoint) bool { return e.Tenant == tenant })
	}))
	return []string{"--webhooks", file, "--webhooks-allow-private"}
}

func (e *endpoint) as(tenant string) webhook.Endpoint {
	return webhook.Endpoint{Tenant: tenant, Name: "shop", URL: "http://" + e.address + "/hooks", Secrets: []string{webhook.NewSecret()}}
}

// TestAnnouncementsOutliveWorkersEndpointsAndTemporal: an endpoint answers 500, hangs and is
// away, the worker that sends to it is killed in the middle, and one more after the endpoint has
// taken a message and before Temporal learns of it, and nothing reaches Temporal for a moment.
// Each announcement arrives, under the same id every time, after those before it; and the
// endpoint of another tenant waits for none of that.
func TestAnnouncementsOutliveWorkersEndpointsAndTemporal(t *testing.T) {
	t.Parallel()
	r := newRig(t, "")
	bad, good := newEndpoint(t), newEndpoint(t)
	hooks := r.hooked(bad.as("acme"), good.as("globex"))
	x := newExchange(t, r.address)
	r.observer(r.orders)
	w := r.worker(x.address, hooks...)
	r.until(ltp.Stable)

	own := []string{"W1", "W2", "W3"} // of either tenant
	submit := func(tenant string, ids ...string) {
		t.Helper()
		for _, id := range ids {
			r.submit(ltp.FullID(tenant, id))
		}
	}
	everything := func(message) bool { return true }
	tried := func(n int) func() bool {
		return func() bool {
			return !slices.ContainsFunc(own, func(id string) bool { return len(bad.of(id, everything)) < n })
		}
	}

	// It answers 500.
	bad.becomes(fails)
	r.hold("orders are to be deferred")
	r.until(ltp.Unstable)
	submit("acme", own...)
	r.eventually("each message was tried twice", tried(2))
	submit("globex", own...)
	r.eventually("the other tenant's are taken", func() bool { return good.took(own, ltp.OrderDeferred) })

	// It hangs, and the worker is killed in the middle.
	bad.becomes(bad.hang)
	r.eventually("a message is under way", func() bool { return bad.hanging() > 0 })
	w.Kill()
	r.eventually("nothing is under way any more", func() bool { return bad.hanging() == 0 })
	w = r.worker(x.address, hooks...)
	r.eventually("another worker sends", func() bool { return bad.hanging() > 0 })
	submit("globex", "W4")
	r.eventually("the other tenant's are taken", func() bool { return good.took([]string{"W4"}, ltp.OrderDeferred) })

	// It is away, and Temporal is out of reach for a moment.
	bad.goes()
	var refused atomic.Int64
	reach := x.on(func(context.Context, any, func() (any, error)) (any, error) {
		refused.Add(1)
		return nil, serviceerror.NewUnavailable("the frontend is away")
	})
	r.eventually("the worker misses Temporal", func() bool { return refused.Load() > 20 })
	reach()
	submit("globex", "W5")
	r.eventually("the other tenant's are taken", func() bool { return good.took([]string{"W5"}, ltp.OrderDeferred) })

	// It is back and takes one, of which Temporal is not to learn.
	m := newMoment()
	var repeated atomic.Value
	unheard := x.on(func(ctx context.Context, call any, pass func() (any, error)) (any, error) {
		if _, reports := call.(*workflowservice.RespondActivityTaskCompletedRequest); reports && repeated.Load() != nil {
			return m.stay(ctx)
		}
		return pass()
	})
	bad.becomes(func(w http.ResponseWriter, r *http.Request, got message) bool {
		repeated.CompareAndSwap(nil, got)
		return takes(w, r, got)
	})
	bad.comes()
	m.await(t)
	w.Kill()
	unheard()
	r.worker(x.address, hooks...)
	r.until(ltp.Unstable)
	once := repeated.Load().(message)
	r.eventually("it is taken once more", func() bool {
		return len(bad.of(once.order, func(m message) bool { return m.taken && m.event == once.event })) > 1
	})

	r.release()
	for _, id := range own {
		assert.Equal(t, ltp.Executed, r.ended(ltp.FullID("acme", id)).State)
	}
	r.eventually("all was announced", func() bool { return bad.took(own, ltp.OrderDeferred, ltp.OrderConfirmed) })
	others := append(slices.Clone(own), "W4", "W5")
	r.eventually("all was announced", func() bool { return good.took(others, ltp.OrderDeferred, ltp.OrderConfirmed) })
	bad.holds(own, ltp.OrderDeferred, ltp.OrderConfirmed)
	good.holds(others, ltp.OrderDeferred, ltp.OrderConfirmed)
}
