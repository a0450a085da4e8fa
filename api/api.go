// Package api is the HTTP order API over starter: a stateless gateway with admission control
// by bulkheads and load shedding. It holds no state of its own:
// what it promises is durable in Temporal before it answers, and what it says of orders
// is read from there, so it works with every worker down.
//
// Customers and operators have a listener each, which have nothing in common but the
// process. [New] is for customers:
//
//	POST   /orders                  accept an order
//	GET    /orders/{id}             where an order is; with Prefer: wait=N, when that changes
//	GET    /orders/{id}/events      the same as a stream of Server-Sent Events
//	DELETE /orders/{id}             cancel an order
//	GET    /orders                  list orders, newest first: state, customer, reason, since, until, page_size, page_token
//	GET    /problems, /problems/{name}  what an error means and what to do
//	GET    /openapi.json            the contract, in OpenAPI 3.1
//	GET    /healthz, /readyz        for load balancers: yes or no, without a name or a reason
//
// [NewAdmin] is for operators, and every process of the order node may serve it:
//
//	GET    /orientation             what is held true of every component, and of the workers
//	GET    /orientation/{component} … of one
//	GET    /metrics                 for Prometheus
//	GET    /healthz, /readyz        with what is missing
//	GET    /problems, /problems/{name}, /openapi.json  as above, of this listener
//	GET    /debug/pprof/            profiles, where they were asked for
//
// A load balancer asks at the address that it sends customers to, since only that shows
// whether customers are served; so /healthz and /readyz are on both listeners.
//
// [Listen] makes either listener, in plain text or by TLS, and lets none be reached from
// other machines at which nobody proves who they are, unless [Access] says so.
//
// # Who asks
//
// With [Config.Auth] every request to /orders shows a key or a token, as Authorization: Bearer,
// and is answered within its tenant: 401 unauthenticated says that it is not known who asks,
// 403 forbidden that the key is not for what was asked, and 503 unidentified that it cannot be
// known now. The order of another tenant, or of another customer than the key is bound to, is
// 404. What waits or streams ends when the key or the token does. With [Config.Proxy] a proxy
// may say who asks, in headers.
//
// # Answers to POST /orders
//
// A 2xx means that the order is durable and will be dealt with; no other answer
// means that. The status is that of the order at the moment of the answer, the
// same for a first submission and for a repeat:
//
//	201  EXECUTED             the order is in the order database
//	202  ACCEPTED, DEFERRED, PARKED   "Order Received - Pending Confirmation"
//	422  REJECTED             problem order-rejected, with the words of who refused it
//	409  CANCELLED, EXPIRED, TERMINATED   problem order-ended: it ended without acting
//
// All four carry Location and Server-Timing, whose "accept" is how many
// milliseconds it took until the order was durable. By default the answer waits up
// to a second for the order to be deferred or to end; "Prefer: wait=N" waits up to
// N seconds (30 at most), "Prefer: respond-async" not at all (RFC 7240). With both,
// wait=N holds. While a component is known to be unfit, the answer is DEFERRED at once.
//
// # The place of a deferred order
//
// GET /orders/{id}, and each event, tell of a deferred order its "backlog": about how many
// orders are released before it, and when its turn comes where that can be said. It is left
// out where it cannot be had within 200 ms: see [ltp.Place].
//
// # Answers to DELETE /orders/{id}
//
//	200  CANCELLED            nobody has written the order, and nobody will
//	202  ACCEPTED, DEFERRED, PARKED   "cancel_requested": true; the order ends CANCELLED or, if the
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
// one is a problem order-conflict. Ids and Idempotency-Keys are those of the caller's tenant,
// and Idempotency-Keys and ordering keys of a caller who is bound to a customer are that customer's: see
// [Config.Auth]. Where nobody is asked who they are, all are of one tenant: two who choose
// the same key conflict, and neither sees the other's order.
//
// # Bodies
//
// A body is one JSON object of at most 64 KiB in UTF-8. It is read strictly:
// unknown, repeated and differently capitalised fields, numbers that are not whole,
// and anything after the object are problems that name the field by JSON pointer
// (RFC 6901), as in /lines/2/quantity. A field that is null counts as left out.
// "attributes" of the order and of its lines are any JSON object: see [ltp.Attributes].
package api

import (
	"context"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderjson"
	"github.com/ltp-node/ltp/starter"
)

// Orders is what the API needs of a [starter.Starter].
type Orders interface {
	Submit(ctx context.Context, o ltp.Order) (starter.Submission, error)
	Repeat(ctx context.Context, o ltp.Order) (starter.Submission, error)
	Await(ctx context.Context, sub starter.Submission) (starter.Status, error)
	Get(ctx context.Context, orderID string) (starter.Status, error)
	Place(ctx context.Context, st starter.Status) *ltp.Place
	OfCustomer(ctx context.Context, orderID, customer string) error
	Changes(ctx context.Context, orderID string) iter.Seq2[starter.Status, error]
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
	MaxBody = orderjson.MaxBytes

	// changeTimeout bounds what changes something in Temporal, lookupTimeout what
	// only reads. Together with MaxWait they stay below the server's write timeout.
	changeTimeout = 10 * time.Second
	lookupTimeout = 5 * time.Second
)

// Config is what the API works with.
type Config struct {
	Starter Orders
	Board   *board.Board
	Metrics Metrics // may be nil
	// Auth is asked who shows a key or a token with a request to /orders, where no header that
	// Proxy believes says who makes it. Where both are nil nobody is asked: whoever gets here
	// is an operator of the default tenant.
	Auth  Authenticator
	Proxy *Proxy
	// DefaultWait replaces [DefaultWait] when it is not 0.
	DefaultWait time.Duration
	// Check returns an *ltp.InvalidError for an order that is not to be accepted, as the
	// client has written it: such as schema.Schema.Check. Nil checks nothing.
	Check func(order []byte) error
	// Away reports that Temporal is known not to answer; nil knows nothing. Requests that
	// need it are answered 503 at once then.
	Away func() bool
	Log  *slog.Logger
}

// api is the handler that New makes.
type api struct {
	*surface
	orders Orders
	board  *board.Board
	wait   time.Duration
	check  func([]byte) error
	away   func() bool

	load
}

// New makes the handler of the API for customers.
func New(c Config) http.Handler {
	a := &api{
		surface: newSurface(customers, openAPI, "Orders are at /orders.", c.Auth, c.Proxy, c.Metrics, c.Log),
		orders:  c.Starter, board: c.Board, wait: c.DefaultWait, check: c.Check, away: c.Away,
		load: newLoad(c.Auth != nil || c.Proxy != nil),
	}
	if a.wait == 0 {
		a.wait = DefaultWait
	}
	a.handle("POST /orders", a.allowed(ltp.Submitting, a.reaching(a.submit)))
	a.handle("GET /orders", a.allowed(ltp.Reading, a.reaching(a.list)))
	a.handle("GET /orders/{id}", a.allowed(ltp.Reading, a.reaching(a.get)))
	a.handle("GET /orders/{id}/events", a.allowed(ltp.Reading, a.reaching(a.events)))
	a.handle("DELETE /orders/{id}", a.allowed(ltp.Cancelling, a.reaching(a.cancel)))
	a.handle("GET /readyz", a.ready)
	return a
}

// ready says whether this process can accept orders: GET /readyz. What it lacks is for
// operators: see [admin.ready].
func (a *api) ready(w http.ResponseWriter, _ *http.Request) *problem {
	if len(staleComponents(a.board)) > 0 {
		return notReady.withDetail("Send no orders here until it is ready.").after(unreachableRetry)
	}
	_, _ = io.WriteString(w, "ready\n")
	return nil
}

// of are the orders that whoever makes the request reaches.
func (a *api) of(r *http.Request) Orders { return tenancy{a.orders, callerOf(r)} }

// reaching is an endpoint that needs Temporal.
func (a *api) reaching(next endpoint) endpoint {
	return func(w http.ResponseWriter, r *http.Request) *problem {
		if a.away != nil && a.away() {
			return unreachable.withDetail("Temporal does not answer. Nothing was done: send the request again.").after(unreachableRetry)
		}
		return next(w, r)
	}
}
