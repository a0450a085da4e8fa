package api

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderjson"
	"github.com/ltp-node/ltp/starter"
)

// submit accepts an order: POST /orders.
func (a *api) submit(w http.ResponseWriter, r *http.Request) *problem {
	if a.intake.Full() { // before the body is read
		return shedding()
	}
	o, p := a.readOrder(w, r)
	if p != nil {
		return p
	}
	who, orders := callerOf(r), a.of(r)
	if p := identify(&o, r.Header, who); p != nil {
		return p
	}
	if p := forbiddenProblem(who.Reaches(o)); p != nil {
		return p.of(o.ID)
	}
	full, err := who.Full(o)
	if err != nil {
		return problemOf(err, "").of(o.ID)
	}
	leave, p := a.load.accept(r.Context(), full)
	if p != nil {
		return p.of(o.ID)
	}
	begun := time.Now()
	ctx, cancel := changeContext(r)
	sub, err := a.accept(ctx, orders, who, o)
	cancel()
	leave()
	took := time.Since(begun)
	if err != nil {
		// The answer may have been lost after the order was accepted, so it names the
		// id even if we made it up: sent again under it, the order cannot act twice.
		return problemOf(err, fmt.Sprintf("The order is not promised. Send it again with the id %s: it cannot act twice under it.", o.ID)).of(o.ID)
	}
	if a.metrics != nil {
		a.metrics.Accepted(sub.Repeated, took)
	}
	prefer := prefers(r.Header, a.wait)
	h := w.Header()
	h.Set("Location", "/orders/"+o.ID)
	h.Set("Server-Timing", fmt.Sprintf("accept;dur=%.1f", float64(took.Microseconds())/1000))
	if prefer.applied != "" {
		h.Set("Preference-Applied", prefer.applied)
	}
	if sub.Repeated {
		h.Set("Idempotency-Replayed", "true")
	}
	st, err := a.outcome(w, r, sub, prefer.wait)
	if err != nil {
		return problemOf(err, "The order was accepted before and stands; only its state cannot be read. Ask again later.").of(o.ID)
	}
	return submitted(w, st)
}

// accept submits an order that is within the caller's bounds. One beyond them that was
// accepted before, when they were wider, stands: its repeat is answered, and not forbidden.
func (a *api) accept(ctx context.Context, orders Orders, who ltp.Identity, o ltp.Order) (starter.Submission, error) {
	beyond := who.Admits(o)
	if beyond == nil {
		return orders.Submit(ctx, o)
	}
	sub, err := orders.Repeat(ctx, o)
	if errors.Is(err, starter.ErrNotFound) || errors.Is(err, starter.ErrConflict) {
		return sub, beyond
	}
	return sub, err
}

// notInLine is of an order that is durable, and that the orders of its key do not see yet.
const notInLine = "The order is accepted and not yet in line: orders of its ordering_key that are accepted before it is may go first. It gets in line by itself; sent again, it is answered once it is."

// outcome waits until an accepted order is deferred or has ended, for as long as the
// client wants, and says where it is.
func (a *api) outcome(w http.ResponseWriter, r *http.Request, sub starter.Submission, wait time.Duration) (starter.Status, error) {
	st := starter.Status{OrderID: sub.OrderID, State: ltp.Accepted, Message: ltp.MessagePending}
	if sub.Repeated {
		// Await follows the order from its beginning; a repeat is answered by where it
		// is now.
		ctx, cancel := lookupContext(r)
		known, err := a.of(r).Get(ctx, sub.OrderID)
		cancel()
		if err != nil || known.State != ltp.Accepted {
			return known, err
		}
		st = known
	}
	if sub.NotInLine {
		st.Detail = notInLine
		return st, nil
	}
	if wait <= 0 && sub.Deferred == nil { // what the door has deferred needs no waiting
		return st, nil
	}
	if sub.Deferred == nil && a.intake.Crowded() {
		return st, nil
	}
	leave, err := a.waits.Enter(r.Context())
	if err != nil {
		return st, nil
	}
	defer leave()
	ctx, cancel := waiting(w, r, wait)
	defer cancel()
	seen, err := a.of(r).Await(ctx, sub)
	if err != nil {
		// The order is durable: what cannot be read of it takes nothing back.
		a.log.Error("an accepted order cannot be followed", "order", fullID(r, sub.OrderID), "error", err)
		return st, nil
	}
	return seen, nil
}

// submitted answers a submission by where its order is.
func submitted(w http.ResponseWriter, st starter.Status) *problem {
	switch st.State {
	case ltp.Executed:
		reply(w, http.StatusCreated, starter.CustomerView(st))
	case ltp.Accepted, ltp.Deferred, ltp.Parked:
		reply(w, http.StatusAccepted, starter.CustomerView(st))
	case ltp.Rejected:
		why := st.Detail
		if why == "" {
			why = "The order was refused"
		}
		p := orderRejected.withDetail(sentence(why) + " Change the order and send it under a new id or Idempotency-Key.").of(st.OrderID)
		p.State = st.State
		return p
	default:
		return endedOtherwise(st, "To order again, send the order under a new id or Idempotency-Key.")
	}
	return nil
}

// endedOtherwise is the problem of an order that ended otherwise than was asked.
func endedOtherwise(st starter.Status, todo string) *problem {
	how := string(st.State)
	if why := starter.CustomerView(st).Detail; why != "" {
		how += ": " + why
	}
	p := orderEnded.withDetail(sentence("The order ended "+how) + " " + todo).of(st.OrderID)
	p.State = st.State
	return p
}

// shownTo is a status as who sees it: an operator who has shown a key learns in Detail what
// a parked order fails with.
func shownTo(who ltp.Identity, st starter.Status) starter.Status {
	seen := starter.CustomerView(st)
	if st.Parked != nil && who.Known && who.Role == ltp.OperatorRole {
		seen.Detail = st.Parked.Error
	}
	return seen
}

// get says where an order is: GET /orders/{id}. A client that prefers to wait gets its
// answer when that changes; one whose order has ended, at once.
func (a *api) get(w http.ResponseWriter, r *http.Request) *problem {
	id, p := pathID(r)
	if p != nil {
		return p
	}
	leave, p := enter(r.Context(), a.reads)
	if p != nil {
		return p.of(id)
	}
	ctx, cancel := lookupContext(r)
	st, err := a.of(r).Get(ctx, id)
	cancel()
	leave()
	prefer := prefers(r.Header, 0)
	if err == nil && prefer.wait > 0 && !st.State.Final() {
		var waited bool
		if st, waited = a.change(w, r, st, prefer.wait); !waited {
			prefer.applied = ""
		}
		if p := recheck(r); p != nil {
			return p.of(id)
		}
	}
	if err != nil {
		return problemOf(err, "Ask again later.").of(id)
	}
	if prefer.applied != "" {
		w.Header().Set("Preference-Applied", prefer.applied)
	}
	st.Backlog = a.place(r.Context(), a.of(r), st)
	reply(w, http.StatusOK, shownTo(callerOf(r), st))
	return nil
}

// placeTimeout is for how long an answer waits for an order's place in a backlog, without
// which it is out.
const placeTimeout = 200 * time.Millisecond

// place is the place of an order that is deferred, and nil where it has none, or where it
// cannot be had in time. One count serves all who ask, so this takes no turn.
func (a *api) place(ctx context.Context, orders Orders, st starter.Status) *ltp.Place {
	if st.State != ltp.Deferred {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, placeTimeout)
	defer cancel()
	return orders.Place(ctx, st)
}

// cancel asks an order to end without acting: DELETE /orders/{id}. An order whose write
// may have happened stays pending until the order database can say whether it did.
func (a *api) cancel(w http.ResponseWriter, r *http.Request) *problem {
	id, p := pathID(r)
	if p != nil {
		return p
	}
	const again = "Whether the order was cancelled is not known. Send the request again: cancelling twice does no harm."
	leave, p := enter(r.Context(), a.reads)
	if p != nil {
		return p.of(id)
	}
	ctx, cancel := changeContext(r)
	err := a.of(r).Cancel(ctx, id)
	cancel()
	leave()
	if err != nil && !errors.Is(err, starter.ErrEnded) {
		return problemOf(err, again).of(id)
	}
	prefer := prefers(r.Header, a.wait)
	st, err := a.awaitEnd(w, r, id, prefer.wait)
	if err != nil {
		return problemOf(err, again).of(id)
	}
	if prefer.applied != "" {
		w.Header().Set("Preference-Applied", prefer.applied)
	}
	switch {
	case st.State == ltp.Cancelled:
		reply(w, http.StatusOK, starter.CustomerView(st))
	case !st.State.Final():
		st.CancelRequested = true // just now, whatever this reading of the order says
		reply(w, http.StatusAccepted, starter.CustomerView(st))
	default:
		return endedOtherwise(st, "It can no longer be cancelled.")
	}
	return nil
}

// awaitEnd looks at an order until it has ended, for at most d, and says where it is. An
// order that nobody can have written ends within milliseconds of its cancellation.
func (a *api) awaitEnd(w http.ResponseWriter, r *http.Request, id string, d time.Duration) (starter.Status, error) {
	if leave, err := a.waits.Enter(r.Context()); err == nil {
		defer leave()
	} else {
		d = 0
	}
	const first, most = 10 * time.Millisecond, 250 * time.Millisecond
	wait, cancel := waiting(w, r, d)
	defer cancel()
	for pause := first; ; pause = min(2*pause, most) {
		ctx, done := lookupContext(r)
		st, err := a.of(r).Get(ctx, id)
		done()
		if err != nil || st.State.Final() || wait.Err() != nil {
			return st, err
		}
		select {
		case <-wait.Done():
		case <-time.After(pause):
		}
	}
}

// page is one page of a listing.
type page struct {
	Orders        []starter.Status `json:"orders"`
	NextPageToken string           `json:"next_page_token,omitempty"`
}

// list lists orders, newest first: GET /orders.
func (a *api) list(w http.ResponseWriter, r *http.Request) *problem {
	f, p := filter(r.URL.RawQuery)
	if p != nil {
		return p
	}
	leave, p := enter(r.Context(), a.lists)
	if p != nil {
		return p
	}
	begun := time.Now()
	defer func() { time.AfterFunc(listsRest*time.Since(begun), leave) }()
	ctx, cancel := lookupContext(r)
	defer cancel()
	found, err := a.of(r).List(ctx, f.Filter)
	var invalid *ltp.InvalidError
	switch {
	case errors.As(err, &invalid):
		return invalidRequest.in(invalid.Field, invalid.Hint)
	case err != nil:
		return problemOf(err, "Ask again later.")
	}
	list := page{Orders: make([]starter.Status, len(found.Orders)), NextPageToken: found.NextPageToken}
	for i, st := range found.Orders {
		list.Orders[i] = shownTo(callerOf(r), st)
	}
	reply(w, http.StatusOK, list)
	return nil
}

// listParameters are those of a listing.
var listParameters = []string{"state", "customer", "reason", "since", "until", "page_size", "page_token"}

// listFilter is the filter that a query asks for.
type listFilter struct{ starter.Filter }

// set takes a parameter in, and returns what to do where its value cannot be understood.
func (f *listFilter) set(name, value string) (hint string) {
	var err error
	switch name {
	case "state":
		f.State = ltp.OrderState(value)
	case "customer":
		f.Customer = value
	case "reason":
		f.Reason = ltp.Reason(value)
	case "since":
		f.Since, err = orderjson.Time(value)
	case "until":
		f.Until, err = orderjson.Time(value)
	case "page_size":
		if f.Size, err = strconv.Atoi(value); err != nil || f.Size < 1 || f.Size > starter.MaxPage {
			return fmt.Sprintf("use a whole number from 1 to %d", starter.MaxPage)
		}
	case "page_token":
		f.PageToken = value
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func filter(query string) (f listFilter, p *problem) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return f, invalidRequest.withDetail("The query is malformed. Escape it as in a URL.")
	}
	for _, name := range slices.Sorted(maps.Keys(q)) {
		value := q.Get(name)
		switch {
		case !slices.Contains(listParameters, name):
			return f, invalidRequest.in(name, "there is no such parameter; there are "+strings.Join(listParameters, ", "))
		case len(q[name]) > 1:
			return f, invalidRequest.in(name, "give each parameter once")
		case value == "":
			return f, invalidRequest.in(name, "give it a value, or leave it out")
		}
		if hint := f.set(name, value); hint != "" {
			return f, invalidRequest.in(name, hint)
		}
	}
	return f, nil
}

// pathID is the order that the path names.
func pathID(r *http.Request) (string, *problem) {
	id := r.PathValue("id")
	var invalid *ltp.InvalidError
	if errors.As(ltp.ValidOwnID(callerOf(r).Tenant, id), &invalid) {
		return "", invalidRequest.in(invalid.Field, invalid.Hint)
	}
	return id, nil
}
