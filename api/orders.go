package api

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.temporal.io/api/serviceerror"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

// submit accepts an order: POST /orders.
func (a *api) submit(w http.ResponseWriter, r *http.Request) *problem {
	o, p := readOrder(w, r)
	if p != nil {
		return p
	}
	if p := identify(&o, r.Header); p != nil {
		return p
	}
	begun := time.Now()
	ctx, cancel := changing(r)
	sub, err := a.orders.Submit(ctx, o)
	cancel()
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

// outcome waits until an accepted order is deferred or has ended, for as long as the
// client wants, and says where it is.
func (a *api) outcome(w http.ResponseWriter, r *http.Request, sub starter.Submission, wait time.Duration) (starter.Status, error) {
	st := starter.Status{OrderID: sub.OrderID, State: ltp.Accepted, Message: ltp.MessagePending}
	if sub.Repeated {
		// Await follows the order from its beginning; a repeat is answered by where it
		// is now.
		ctx, cancel := reading(r)
		known, err := a.orders.Get(ctx, sub.OrderID)
		cancel()
		if err != nil || known.State != ltp.Accepted {
			return known, err
		}
		st = known
	}
	if wait <= 0 && sub.Deferred == nil { // what the door has deferred needs no waiting
		return st, nil
	}
	ctx, cancel := waiting(w, r, wait)
	defer cancel()
	seen, err := a.orders.Await(ctx, sub)
	if err != nil {
		// The order is durable: what cannot be read of it takes nothing back.
		a.log.Error("an accepted order cannot be followed", "order", sub.OrderID, "error", err)
		return st, nil
	}
	return seen, nil
}

// submitted answers a submission by where its order is.
func submitted(w http.ResponseWriter, st starter.Status) *problem {
	switch st.State {
	case ltp.Executed:
		reply(w, http.StatusCreated, shown(st))
	case ltp.Accepted, ltp.Deferred:
		reply(w, http.StatusAccepted, shown(st))
	case ltp.Rejected:
		why := st.Detail
		if why == "" {
			why = "The order database refused the order"
		}
		p := orderRejected.because(sentence(why) + " Change the order and send it under a new id or Idempotency-Key.").of(st.OrderID)
		p.State = st.State
		return p
	default:
		return ended(st, "To order again, send the order under a new id or Idempotency-Key.")
	}
	return nil
}

// ended is the problem of an order that ended otherwise than was asked.
func ended(st starter.Status, todo string) *problem {
	how := string(st.State)
	if why := shown(st).Detail; why != "" {
		how += ": " + why
	}
	p := orderEnded.because(sentence("The order ended "+how) + " " + todo).of(st.OrderID)
	p.State = st.State
	return p
}

// shown is a status as users see it. Why an order was ended by force is in
// operators' words.
func shown(st starter.Status) starter.Status {
	if st.State == ltp.Terminated {
		st.Detail = ""
	}
	return st
}

// get says where an order is: GET /orders/{id}.
func (a *api) get(w http.ResponseWriter, r *http.Request) *problem {
	id, p := pathID(r)
	if p != nil {
		return p
	}
	ctx, cancel := reading(r)
	defer cancel()
	st, err := a.orders.Get(ctx, id)
	if err != nil {
		return problemOf(err, "Ask again later.").of(id)
	}
	reply(w, http.StatusOK, shown(st))
	return nil
}

// cancel asks an order to end without acting: DELETE /orders/{id}. An order whose write
// may have happened stays pending until the order database can say whether it did.
func (a *api) cancel(w http.ResponseWriter, r *http.Request) *problem {
	id, p := pathID(r)
	if p != nil {
		return p
	}
	const again = "Whether the order was cancelled is not known. Send the request again: cancelling twice does no harm."
	ctx, cancel := changing(r)
	err := a.orders.Cancel(ctx, id)
	cancel()
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
		reply(w, http.StatusOK, shown(st))
	case !st.State.Final():
		st.CancelRequested = true // just now, whatever this reading of the order says
		reply(w, http.StatusAccepted, shown(st))
	default:
		return ended(st, "It can no longer be cancelled.")
	}
	return nil
}

// awaitEnd looks at an order until it has ended, for at most d, and says where it is. An
// order that nobody can have written ends within milliseconds of its cancellation.
func (a *api) awaitEnd(w http.ResponseWriter, r *http.Request, id string, d time.Duration) (starter.Status, error) {
	const first, most = 10 * time.Millisecond, 250 * time.Millisecond
	wait, cancel := waiting(w, r, d)
	defer cancel()
	for pause := first; ; pause = min(2*pause, most) {
		ctx, done := reading(r)
		st, err := a.orders.Get(ctx, id)
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
	ctx, cancel := reading(r)
	defer cancel()
	found, err := a.orders.List(ctx, f)
	var invalid *ltp.InvalidError
	switch {
	case errors.As(err, &invalid):
		return invalidRequest.in(invalid.Field, invalid.Hint)
	case errors.As(err, new(*serviceerror.InvalidArgument)) && len(f.PageToken) > 0:
		return badPageToken()
	case err != nil:
		return problemOf(err, "Ask again later.")
	}
	list := page{Orders: make([]starter.Status, len(found.Orders)), NextPageToken: sealed(f.State, found.NextPageToken)}
	for i, st := range found.Orders {
		list.Orders[i] = shown(st)
	}
	reply(w, http.StatusOK, list)
	return nil
}

func filter(query string) (f starter.Filter, p *problem) {
	q, err := url.ParseQuery(query)
	if err != nil {
		return f, invalidRequest.because("The query is malformed. Escape it as in a URL.")
	}
	f.State = ltp.OrderState(q.Get("state"))
	if size := q.Get("page_size"); size != "" {
		if f.Size, err = strconv.Atoi(size); err != nil || f.Size < 1 || f.Size > starter.MaxPage {
			return f, invalidRequest.in("page_size", fmt.Sprintf("use a whole number from 1 to %d", starter.MaxPage))
		}
	}
	token, ok := unsealed(f.State, q.Get("page_token"))
	if !ok {
		return f, badPageToken()
	}
	f.PageToken = token
	return f, nil
}

func badPageToken() *problem {
	return invalidRequest.in("page_token", "send the next_page_token of the page before as it was, with the same state")
}

// sealLength is how many bytes of a checksum go before a page token.
const sealLength = 8

// sealed is a page token for users, with a checksum before it. Temporal takes some
// damaged tokens, and those of other listings, for the beginning of the list, and
// fails on others as if it were out of order.
func sealed(state ltp.OrderState, token []byte) string {
	if len(token) == 0 {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(append(seal(state, token), token...))
}

// unsealed is the page token that was sealed for this listing, and false when s is
// anything else. No token is the token of the first page.
func unsealed(state ltp.OrderState, s string) ([]byte, bool) {
	if s == "" {
		return nil, true
	}
	data, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || len(data) <= sealLength {
		return nil, false
	}
	token := data[sealLength:]
	return token, bytes.Equal(data[:sealLength], seal(state, token))
}

func seal(state ltp.OrderState, token []byte) []byte {
	sum := sha256.Sum256(append([]byte(state+"\x00"), token...))
	return sum[:sealLength]
}

// pathID is the order that the path names.
func pathID(r *http.Request) (string, *problem) {
	id := r.PathValue("id")
	var invalid *ltp.InvalidError
	if errors.As(ltp.ValidID(id), &invalid) {
		return "", invalidRequest.in(invalid.Field, invalid.Hint)
	}
	return id, nil
}
