package api

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

// problem is a problem document as in RFC 9457. Its type is a path of this API,
// where the problem is explained.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	// Detail says what to do.
	Detail string `json:"detail"`
	// Instance names this occurrence; the log has it too.
	Instance string `json:"instance"`
	// Field is what cannot be accepted: of an order a JSON pointer (RFC 6901), such as
	// "/lines/2/quantity"; otherwise the name of a parameter or header.
	Field string `json:"field,omitempty"`
	// OrderID is the order that the problem is about, State where it is.
	OrderID string         `json:"id,omitempty"`
	State   ltp.OrderState `json:"state,omitempty"`
	// Missing is what a process lacks to be ready.
	Missing []string `json:"missing,omitempty"`

	retryAfter time.Duration
	cause      error        // for the log only
	who        ltp.Identity // who is refused, where that is known, for the log
}

// kind is a type of problem. Every kind is registered with its explanation, so that
// no problem can be answered that /problems does not explain.
type kind struct {
	name, title, explanation string
	status                   int
	to                       audience
}

// kinds are all kinds, in the order of their registration.
var kinds []*kind

func register(name string, status int, title, explanation string) *kind {
	k := &kind{name: name, title: title, explanation: explanation, status: status, to: customers}
	kinds = append(kinds, k)
	return k
}

// forAudience says who may meet the problem; without it, customers alone.
func (k *kind) forAudience(a audience) *kind {
	k.to = a
	return k
}

// The kinds of problems. Their names are promises to clients.
var (
	invalidJSON = register("invalid-json", http.StatusBadRequest, "The body is not one JSON object",
		"Send one JSON object in UTF-8, with every field at most once, and nothing after it. Nothing was accepted.")
	invalidOrder = register("invalid-order", http.StatusBadRequest, "The order cannot be accepted as it stands",
		"The member \"field\" says by JSON pointer what is wrong, as in /lines/2/quantity; without it, it is the order as a whole. Correct it and send the order again, under the same id or key if you like: nothing was accepted.")
	invalidRequest = register("invalid-request", http.StatusBadRequest, "The request cannot be understood",
		"The member \"field\" names the path segment, query parameter or header that is wrong. Correct it; nothing was done.")
	keyAndID = register("idempotency-key-and-id", http.StatusBadRequest, "The order has two names",
		"An order's id already makes a repeat safe. Send the id or the Idempotency-Key header, not two that differ. Nothing was accepted.")
	unauthenticated = register("unauthenticated", http.StatusUnauthorized, "It is not known who you are",
		"Send the header Authorization: Bearer, with a key that whoever runs the order node has given you, or a token of the issuer that they name. \"detail\" says what is wrong with what was sent. Nothing was done.").forAudience(customers | operators)
	forbidden = register("forbidden", http.StatusForbidden, "Your key is not for this",
		"The key is good, and not for what was asked: \"detail\" says why and \"field\", where it is there, which part of the request. Nothing was done; an order that was accepted before stands. Ask whoever runs the order node for another key, or ask for less.").forAudience(customers | operators)
	unidentified = register("unidentified", http.StatusServiceUnavailable, "It cannot be found out now who you are",
		"The keys by which tokens are checked cannot be had from their issuer. The token may be good: send the request again with it after the Retry-After. Nothing was done.").forAudience(customers | operators)
	requestTimeout = register("request-timeout", http.StatusRequestTimeout, "The body did not arrive in time",
		"Nothing was accepted. Send the request again.")
	bodyTooLarge = register("body-too-large", http.StatusRequestEntityTooLarge, "The body is too large",
		fmt.Sprintf("An order may have %d bytes. Split it into several orders. Nothing was accepted.", MaxBody))
	unsupportedMediaType = register("unsupported-media-type", http.StatusUnsupportedMediaType, "The body is not declared as JSON",
		"Send the order as JSON with Content-Type: application/json and no Content-Encoding. Nothing was accepted.")
	unknownComponent = register("unknown-component", http.StatusUnprocessableEntity, "The order depends on a component that nobody has configured",
		"Name in depends_on what whoever runs the order node has configured, or leave depends_on out. Nothing was accepted.")
	orderConflict = register("order-conflict", http.StatusUnprocessableEntity, "Another order has this id",
		"An order with other content was accepted before under this id or Idempotency-Key, and stands as it was. Send a different order under a new one.")
	orderRejected = register("order-rejected", http.StatusUnprocessableEntity, "Order Rejected",
		"The order was accepted, and a rule of the business or an operator refused it: \"detail\" says why. This order is settled and GET /orders/{id} keeps telling of it. A changed order needs a new id or Idempotency-Key.")
	orderEnded = register("order-ended", http.StatusConflict, "The order has ended",
		"The order can no longer be changed; \"state\" says how it ended. To order again, send the order under a new id or Idempotency-Key.")
	orderNotFound = register("order-not-found", http.StatusNotFound, "There is no such order",
		"No order was accepted under this id, or it ended so long ago that only the order database remembers it.")
	componentNotFound = register("component-not-found", http.StatusNotFound, "There is no such component",
		"GET /orientation lists the components that this process looks at.").forAudience(operators)
	intakeFrozen = register("intake-frozen", http.StatusServiceUnavailable, "Intake is frozen",
		"An operator has stopped intake; \"detail\" has the reason. The order was not accepted. Orders that were accepted before stand. Send the order again after the Retry-After.")
	notStarted = register("not-started", http.StatusServiceUnavailable, "The order node has not been started yet",
		"The API runs, and no worker has run so far that keeps the state of what orders are written to. The order was not accepted, and nothing is wrong with it. Send it again after the Retry-After.")
	sequenceFull = register("sequence-full", http.StatusServiceUnavailable, "Too many orders of this ordering key wait",
		"Orders with the same ordering_key act one after the other, and too many of this one have not ended. The order was not accepted. Send it again after the Retry-After.")
	tooManyRequests = register("too-many-requests", http.StatusTooManyRequests, "More requests come than can be served",
		"Nothing was done: what is over the bound is refused before it costs the others. Send the request again after the Retry-After, and slower; an order may keep its id.")
	unreachable = register("unreachable", http.StatusServiceUnavailable, "Orders cannot be reached right now",
		"Whether the request took effect is not known. It may be sent again without harm, under the id that the problem names if it names one, after the Retry-After: an order never acts twice under one id.")
	notReady = register("not-ready", http.StatusServiceUnavailable, "Not ready",
		"The process lives, and cannot do its work now. Send it no orders until it is ready.").forAudience(customers | operators)
	notFound = register("not-found", http.StatusNotFound, "There is nothing at this path",
		"Check the path. GET /openapi.json describes those that are served.").forAudience(customers | operators)
	methodNotAllowed = register("method-not-allowed", http.StatusMethodNotAllowed, "This path does not serve this method",
		"The Allow header lists the methods that are served.").forAudience(customers | operators)
	internalError = register("internal-error", http.StatusInternalServerError, "Something is wrong on our side",
		"The request may be sent again, under the id that the problem names if it names one. If the problem stays, tell support its \"instance\": the log has it.").forAudience(customers | operators)
)

// How long a client should stay away.
const (
	frozenRetry      = 30 * time.Second // also for what is full, or not started
	unreachableRetry = 2 * time.Second
)

func (k *kind) path() string { return "/problems/" + k.name }

// withDetail makes a problem with a sentence that says what to do.
func (k *kind) withDetail(detail string) *problem {
	return &problem{Type: k.path(), Title: k.title, Status: k.status, Detail: detail}
}

// in makes a problem with a field.
func (k *kind) in(field, hint string) *problem {
	const most = 100 // bytes; a client may name a field as it likes
	if len(field) > most {
		field = strings.ToValidUTF8(field[:most], "") + "…"
	}
	said := hint
	if field != "" {
		said = field + ": " + hint
	}
	p := k.withDetail(sentence(said))
	p.Field = field
	return p
}

// sentence ends s as a sentence.
func sentence(s string) string {
	if s == "" || strings.ContainsRune(".!?", rune(s[len(s)-1])) {
		return s
	}
	return s + "."
}

func (p *problem) of(orderID string) *problem {
	p.OrderID = orderID
	return p
}

func (p *problem) after(d time.Duration) *problem {
	p.retryAfter = d
	return p
}

// refuse answers with a problem.
func (s *surface) refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	p.Instance = uuid.Must(uuid.NewV7()).URN()
	if p.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(p.retryAfter.Seconds())))
	}
	level := slog.LevelDebug
	switch {
	case p.Status == http.StatusInternalServerError:
		level = slog.LevelError
	case p.cause != nil && r.Context().Err() == nil: // else it is the client who has gone
		level = slog.LevelWarn
	}
	s.log.Log(r.Context(), level, "request refused", "method", r.Method, "path", r.URL.Path,
		"tenant", p.who.Tenant, "key", p.who.Name, "problem", p.Type, "status", p.Status, "detail", p.Detail, "instance", p.Instance, "error", p.cause)
	write(w, p.Status, "application/problem+json", p)
}

// problemOf is the problem that an error of the starter stands for. again says what
// to do when Temporal did not answer.
func problemOf(err error, again string) *problem {
	var invalid *ltp.InvalidError
	if p := forbiddenProblem(err); p != nil {
		return p
	}
	switch {
	case errors.As(err, &invalid):
		return invalidOrder.in(invalid.Field, invalid.Hint)
	case errors.Is(err, starter.ErrNotFound):
		return orderNotFound.withDetail("Check the id. An order that was never accepted can be sent now.")
	case errors.Is(err, starter.ErrConflict):
		return orderConflict.withDetail("An order with other content was accepted under this id before, and stands. Send this one under a new id or Idempotency-Key.")
	case errors.Is(err, starter.ErrComponent):
		p := unknownComponent.withDetail(fmt.Sprintf("Nobody has configured %q. Name a component that the operator has configured, or leave depends_on out.", detailOf(err, starter.ErrComponent)))
		p.Field = "/depends_on"
		return p
	case errors.Is(err, starter.ErrNotStarted):
		p := notStarted.withDetail("The order node has not been started yet. The order was not accepted: send it again later.").after(frozenRetry)
		p.cause = err
		return p
	case errors.Is(err, starter.ErrFrozen):
		return intakeFrozen.withDetail(sentence(detailOf(err, starter.ErrFrozen)) + " The order was not accepted: send it again later.").after(frozenRetry)
	case errors.Is(err, starter.ErrFull):
		p := sequenceFull.withDetail("Too many orders of this ordering key have not ended. The order was not accepted: send it again later.").after(frozenRetry)
		p.Field = "/ordering_key"
		return p
	case errors.Is(err, starter.ErrUnreachable):
		p := unreachable.withDetail(again).after(unreachableRetry)
		p.cause = err
		return p
	}
	p := internalError.withDetail("Something is wrong here, not with the request. " + again)
	p.cause = err
	return p
}

// detailOf are what err adds to the sentinel that it wraps.
func detailOf(err, sentinel error) string {
	_, said, _ := strings.Cut(err.Error(), sentinel.Error()+": ")
	return said
}

// problems lists what may be met here: GET /problems.
func (s *surface) problems(w http.ResponseWriter, _ *http.Request) *problem {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	for _, k := range kinds {
		if k.to&s.to != 0 {
			_, _ = fmt.Fprintf(w, "%s\n    %d %s\n", k.path(), k.status, k.title)
		}
	}
	return nil
}

// explain says what a problem means: GET /problems/{name}.
func (s *surface) explain(w http.ResponseWriter, r *http.Request) *problem {
	for _, k := range kinds {
		if k.name == r.PathValue("name") && k.to&s.to != 0 {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			_, _ = io.WriteString(w, fmt.Sprintf("%s (%d)\n\n%s\n", k.title, k.status, k.explanation))
			return nil
		}
	}
	return notFound.withDetail("GET /problems lists the problems there are.")
}
