// Package api is the HTTP order API over starter. It holds no state of its own:
// what it promises is durable in Temporal before it answers, and what it says of orders
// is read from there, so it works with every worker down.
//
//	POST   /orders                  accept an order
//	GET    /orders/{id}             where an order is
//	DELETE /orders/{id}             cancel an order
//	GET    /orders                  list orders, newest first: state, page_size, page_token
//	GET    /orientation             what is held true of every component
//	GET    /orientation/{component} … of one
//	GET    /problems, /problems/{name}  what an error means and what to do
//	GET    /healthz, /readyz, /metrics
//
// # Answers to POST /orders
//
// A 2xx means that the order is durable and will be dealt with; no other answer
// means that. The status is that of the order at the moment of the answer, the
// same for a first submission and for a repeat:
//
//	201  EXECUTED             the order is in the order database
//	202  ACCEPTED, DEFERRED   "Order Received - Pending Confirmation"
//	422  REJECTED             problem order-rejected, with the order database's sentence
//	409  CANCELLED, EXPIRED, TERMINATED   problem order-ended: it ended without acting
//
// All four carry Location and Server-Timing, whose "accept" is how many
// milliseconds it took until the order was durable. By default the answer waits up
// to a second for the order to be deferred or to end; "Prefer: wait=N" waits up to
// N seconds (30 at most), "Prefer: respond-async" not at all (RFC 7240). With both,
// wait=N holds. While a component is known to be unfit, the answer is DEFERRED at once.
//
// # Answers to DELETE /orders/{id}
//
//	200  CANCELLED            nobody has written the order, and nobody will
//	202  ACCEPTED, DEFERRED   "cancel_requested": true; the order ends CANCELLED or, if the
//	                          order database turns out to have it, EXECUTED
//	409  EXECUTED, REJECTED, EXPIRED, TERMINATED   problem order-ended: it had ended
//
// The answer waits for the end of the order as that to POST /orders does.
//
// # Repeating a request safely
//
// The order's id makes a repeat safe. It is taken from the body, or else derived
// from the Idempotency-Key header, or else made up; an order that sends neither
// cannot be repeated safely unless the answer named its id. The same order under the
// same id is the same order, answered with "Idempotency-Replayed: true"; another
// one is a problem order-conflict. Keys are not scoped to a customer: two customers
// who choose the same key conflict, and neither sees the other's order.
//
// # Bodies
//
// A body is one JSON object of at most 64 KiB in UTF-8. It is read strictly:
// unknown, repeated and differently capitalised fields, numbers that are not whole,
// and anything after the object are problems that name the field. A field that is
// null counts as left out.
package api

import (
	"context"
	"log/slog"
	"net/http"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/starter"
)

// Orders is what the API needs of a [starter.Starter].
type Orders interface {
	Submit(ctx context.Context, o ltp.Order) (starter.Submission, error)
	Await(ctx context.Context, sub starter.Submission) (starter.Status, error)
	Get(ctx context.Context, orderID string) (starter.Status, error)
	Cancel(ctx context.Context, orderID string) error
	List(ctx context.Context, f starter.Filter) (starter.Page, error)
}

// Metrics counts what the API does: see metrics.Metrics. Its methods return at once.
type Metrics interface {
	// Served is called after every request. route is the pattern that matched, and
	// empty when none did.
	Served(route string, code int, took time.Duration)
	// Accepted is called for every order that was accepted, with how long it took
	// until it was durable; repeated says that it had been accepted before.
	Accepted(repeated bool, took time.Duration)
	// Handler serves /metrics.
	Handler() http.Handler
}

// Bounds of requests.
const (
	// DefaultWait is how long an answer waits for the order when the client states
	// no preference; MaxWait is the most that a client is granted.
	DefaultWait = time.Second
	MaxWait     = 30 * time.Second
	// MaxBody is the most bytes of an order.
	MaxBody = 64 << 10

	// changeTimeout bounds what changes something in Temporal, lookupTimeout what
	// only reads. Together with MaxWait they stay below the server's write timeout.
	changeTimeout = 10 * time.Second
	lookupTimeout = 5 * time.Second
)

// Config is what the API works with.
type Config struct {
	Starter Orders
	Board   *board.Board
	// Metrics may be nil: then there is no /metrics.
	Metrics Metrics
	// DefaultWait replaces [DefaultWait] when it is not 0.
	DefaultWait time.Duration
	Log         *slog.Logger
}

// api is the handler that New makes.
type api struct {
	orders  Orders
	board   *board.Board
	metrics Metrics
	wait    time.Duration
	log     *slog.Logger
	mux     *http.ServeMux
}

// New makes the handler of the API.
func New(c Config) http.Handler {
	a := &api{orders: c.Starter, board: c.Board, metrics: c.Metrics, wait: c.DefaultWait, log: c.Log, mux: http.NewServeMux()}
	if a.wait == 0 {
		a.wait = DefaultWait
	}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	a.handle("POST /orders", a.submit)
	a.handle("GET /orders", a.list)
	a.handle("GET /orders/{id}", a.get)
	a.handle("DELETE /orders/{id}", a.cancel)
	a.handle("GET /orientation", a.orientations)
	a.handle("GET /orientation/{component}", a.orientation)
	a.handle("GET /problems", a.problems)
	a.handle("GET /problems/{name}", a.explain)
	a.handle("GET /healthz", a.healthy)
	a.handle("GET /readyz", a.ready)
	if a.metrics != nil {
		a.mux.Handle("GET /metrics", a.metrics.Handler())
	}
	return a
}

// handle registers an endpoint: it answers, or returns the problem to answer with.
func (a *api) handle(pattern string, endpoint func(http.ResponseWriter, *http.Request) *problem) {
	a.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if p := endpoint(w, r); p != nil {
			a.refuse(w, r, p)
		}
	})
}
