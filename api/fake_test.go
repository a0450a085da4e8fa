package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/contract"
	"github.com/ltp-node/ltp/starter"
)

// desk is a starter without Temporal: it accepts orders once, and they go where the
// test sends them.
type desk struct {
	mu       sync.Mutex
	accepted map[string]ltp.Order
	status   map[string]starter.Status
	filter   starter.Filter // of the last List

	// err is what every call returns, when it is set.
	err error
	// settle is what becomes of a new order, and after how long; the zero Status
	// leaves it pending.
	settle starter.Status
	after  time.Duration
	// cancelled is what becomes of an order that is cancelled.
	cancelled starter.Status
	page      starter.Page
	// deferred is what the door says of new orders; nil leaves it to settle.
	deferred *ltp.Wait
	// place is the place in the backlog that deferred orders show.
	place *ltp.Place
}

func newDesk() *desk {
	return &desk{accepted: map[string]ltp.Order{}, status: map[string]starter.Status{}}
}

var acceptedAt = time.Date(2024, 5, 20, 14, 30, 10, 0, time.UTC)

// put sets where an order is.
func (d *desk) put(id string, st starter.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st.OrderID, st.Message = id, st.State.Message()
	if st.AcceptedAt.IsZero() {
		st.AcceptedAt = acceptedAt
	}
	d.status[id] = st
}

func (d *desk) Submit(ctx context.Context, o ltp.Order) (starter.Submission, error) {
	if err := o.Validate(); err != nil {
		return starter.Submission{}, err
	}
	if d.err != nil {
		return starter.Submission{}, d.err
	}
	d.mu.Lock()
	before, known := d.accepted[o.ID]
	if !known {
		d.accepted[o.ID] = o
	}
	d.mu.Unlock()
	switch {
	case known && before.ContentHash() != o.ContentHash():
		return starter.Submission{}, fmt.Errorf("%w: %s was accepted before with different content", starter.ErrConflict, o.ID)
	case !known:
		d.put(o.ID, starter.Status{State: ltp.Accepted})
	}
	sub := starter.Submission{OrderID: o.ID, RunID: "run", Repeated: known}
	if !known {
		sub.Deferred = d.deferred
	}
	return sub, ctx.Err()
}

// Repeat is Submit of what is known.
func (d *desk) Repeat(ctx context.Context, o ltp.Order) (starter.Submission, error) {
	d.mu.Lock()
	_, known := d.accepted[o.ID]
	d.mu.Unlock()
	if d.err == nil && !known {
		return starter.Submission{}, fmt.Errorf("%w: %s", starter.ErrNotFound, o.ID)
	}
	return d.Submit(ctx, o)
}

func (d *desk) Await(ctx context.Context, sub starter.Submission) (starter.Status, error) {
	if w := sub.Deferred; w != nil {
		d.put(sub.OrderID, starter.Status{
			State: ltp.Deferred, Decision: ltp.Defer, Reason: w.Reason, Commitment: w.Reason.Commitment(), Component: w.Component, Epoch: w.Epoch,
		})
	} else if d.settle.State != "" {
		select {
		case <-time.After(d.after):
			d.put(sub.OrderID, d.settle)
		case <-ctx.Done():
		}
	} else {
		<-ctx.Done()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.status[sub.OrderID], nil
}

func (d *desk) Get(_ context.Context, id string) (starter.Status, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	st, ok := d.status[id]
	switch {
	case d.err != nil:
		return st, d.err
	case !ok:
		return st, fmt.Errorf("%w: %s", starter.ErrNotFound, id)
	}
	return st, nil
}

func (d *desk) Place(_ context.Context, st starter.Status) *ltp.Place {
	if st.State != ltp.Deferred {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.place
}

// OfCustomer knows the customers of the orders that Submit has accepted.
func (d *desk) OfCustomer(_ context.Context, id, customer string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch o, ok := d.accepted[id]; {
	case d.err != nil:
		return d.err
	case !ok || o.Customer != customer:
		return fmt.Errorf("%w: %s", starter.ErrNotFound, id)
	}
	return nil
}

// Changes yields where an order is whenever put has set it elsewhere.
func (d *desk) Changes(ctx context.Context, id string) iter.Seq2[starter.Status, error] {
	return func(yield func(starter.Status, error) bool) {
		var last starter.Status
		for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
			st, err := d.Get(ctx, id)
			if err == nil && st == last {
				continue
			}
			if !yield(st, err) || err != nil || st.State.Final() {
				return
			}
			last = st
		}
	}
}

func (d *desk) Cancel(ctx context.Context, id string) error {
	st, err := d.Get(ctx, id)
	if err != nil {
		return err
	}
	if st.State.Final() {
		return fmt.Errorf("%w: %s", starter.ErrEnded, id)
	}
	if d.cancelled.State != "" {
		time.AfterFunc(d.after, func() { d.put(id, d.cancelled) })
	}
	return ctx.Err()
}

func (d *desk) List(ctx context.Context, f starter.Filter) (starter.Page, error) {
	d.filter = f
	if f.PageToken != "" && f.PageToken != "next" {
		return starter.New(nil).List(ctx, f) // which refuses it
	}
	return d.page, d.err
}

// starts is how many orders were accepted.
func (d *desk) starts() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.accepted)
}

// observed is a board that has read the component.
func observed(state ltp.State) *board.Board {
	b := board.New(nil, []string{"orders-db"}, slog.New(slog.DiscardHandler))
	b.Put(board.Reading{
		Orientation: ltp.Orientation{Component: "orders-db", State: state, Epoch: 3, LastFit: 2, Reason: "DB Write Latency > 5000ms", Since: acceptedAt},
		ReadAt:      time.Now().Add(-time.Millisecond),
	})
	return b
}

func handler(d *desk) http.Handler {
	return New(Config{Starter: d, Board: observed(ltp.Stable)})
}

// operated is the handler for operators of a board.
func operated(b *board.Board) http.Handler { return NewAdmin(AdminConfig{Board: b}) }

// request makes a request; header holds names and values in turn.
func request(method, target, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(header); i += 2 {
		if name, value := header[i], header[i+1]; value == "" {
			r.Header.Del(name)
		} else {
			r.Header.Add(name, value)
		}
	}
	return r
}

// answer is a response, decoded.
type answer struct {
	*http.Response
	text   string
	status starter.Status
	problem
}

// agreed is the contract that every exchange of these tests is held against, and
// agreedAdmin that of operators.
var agreed, agreedAdmin = signed(OpenAPI()), signed(AdminOpenAPI())

func signed(document []byte) *contract.Contract {
	c, err := contract.New(document)
	if err != nil {
		panic(err)
	}
	return c
}

func ask(t *testing.T, h http.Handler, r *http.Request) answer {
	t.Helper()
	w, err := exchange(h, r)
	if err != nil {
		t.Error(err)
	}
	return read(t, h, w.Result())
}

// exchange asks h, and returns an error when the exchange is not as the contract has it.
func exchange(h http.Handler, r *http.Request) (*httptest.ResponseRecorder, error) {
	w := httptest.NewRecorder()
	var sent bytes.Buffer
	r.Body = io.NopCloser(io.TeeReader(r.Body, &sent))
	h.ServeHTTP(w, r)
	with := agreed
	if _, ok := h.(*admin); ok {
		with = agreedAdmin
	}
	return w, with.Check(r, sent.Bytes(), w.Result(), w.Body.Bytes())
}

// read decodes a response, and checks what is true of every one of them: an error is
// a problem document of a type that is explained.
func read(t *testing.T, h http.Handler, response *http.Response) answer {
	t.Helper()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	a := answer{Response: response, text: string(data)}
	if response.Header.Get("Content-Type") == "application/json" {
		if err := json.NewDecoder(bytes.NewReader(data)).Decode(&a.status); err != nil {
			t.Errorf("not JSON: %v in %s", err, data)
		}
	}
	if response.StatusCode < 400 {
		return a
	}
	if got := response.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Fatalf("status %d with Content-Type %q: %s", response.StatusCode, got, data)
	}
	if err := json.Unmarshal(data, &a.problem); err != nil {
		t.Fatalf("not a problem document: %v in %s", err, data)
	}
	if a.problem.Status != response.StatusCode || a.Title == "" || a.Detail == "" || !strings.HasPrefix(a.Instance, "urn:uuid:") {
		t.Errorf("not a whole problem document: %s", data)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", a.Type, nil))
	if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), a.Title) {
		t.Errorf("problem %s is not explained: %d %s", a.Type, w.Code, w.Body)
	}
	return a
}

// wants fails the test unless the answer has the status and, as an error, the kind.
func (a answer) wants(t *testing.T, status int, k *kind) {
	t.Helper()
	want := ""
	if k != nil {
		want = k.path()
	}
	if a.StatusCode != status || a.Type != want {
		t.Fatalf("answered %d %s, want %d %s\n%s", a.StatusCode, a.Type, status, want, a.text)
	}
}
