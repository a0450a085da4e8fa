package api

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

func TestOrderCanBeLookedUp(t *testing.T) {
	d := newDesk()
	d.put("A2", starter.Status{State: ltp.Deferred, Decision: ltp.Defer, Reason: ltp.ReasonUnstable, Commitment: ltp.Commitment, Component: "orders-db", Epoch: 4})
	d.put("A3", starter.Status{State: ltp.Terminated, Detail: "the order's workflow failed: nil map in order.go:71"})
	h := handler(d)
	got := ask(t, h, request("GET", "/orders/A2", ""))
	got.wants(t, 200, nil)
	if got.status != d.status["A2"] || !strings.Contains(got.text, "state == STABLE") {
		t.Errorf("answered %s", got.text)
	}
	if cc := got.Header.Get("Cache-Control"); cc != "no-store" {
		t.Errorf("Cache-Control: %q", cc)
	}
	if got := ask(t, h, request("GET", "/orders/A3", "")); got.StatusCode != 200 || strings.Contains(got.text, "order.go") {
		t.Errorf("shows internals: %s", got.text)
	}
	got = ask(t, h, request("GET", "/orders/A4", ""))
	got.wants(t, 404, orderNotFound)
	if got.OrderID != "A4" {
		t.Errorf("answered %s", got.text)
	}
}

// TestParkedOrderIsPendingForItsCustomer: what it fails with is for operators alone.
func TestParkedOrderIsPendingForItsCustomer(t *testing.T) {
	d := newDesk()
	d.put("A2", starter.Status{
		State: ltp.Parked, Decision: ltp.Defer, Reason: ltp.ReasonParked, Commitment: ltp.ParkedCommitment,
		Parked: &ltp.Parking{Since: acceptedAt, Failures: 5, Error: "ERROR: no partition of relation secret (23514)"},
	})
	d.page = starter.Page{Orders: []starter.Status{d.status["A2"]}}
	h := handler(d)
	for target, want := range map[string]string{
		"/orders/A2":           `{"id":"A2","state":"PARKED","message":"Order Received - Pending Confirmation","decision":"DEFER","reason":"PARKED"`,
		"/orders?state=PARKED": `{"orders":[{"id":"A2","state":"PARKED","message":"Order Received - Pending Confirmation"`,
	} {
		got := ask(t, h, request("GET", target, ""))
		got.wants(t, 200, nil)
		if !strings.HasPrefix(got.text, want) || strings.Contains(got.text, "secret") || strings.Contains(got.text, "failures") {
			t.Errorf("%s: answered %s", target, got.text)
		}
	}
	if d.filter.State != ltp.Parked {
		t.Errorf("asked for %+v", d.filter)
	}
}

func TestIDsThatNameNoOrderAreRefused(t *testing.T) {
	h := handler(newDesk())
	for _, id := range []string{"%20", "-a", "a%2Fb", "%2e%2e", strings.Repeat("a", 129), "%ff"} {
		for _, method := range []string{"GET", "DELETE"} {
			got := ask(t, h, request(method, "/orders/"+id, ""))
			got.wants(t, 400, invalidRequest)
			if got.Field != "id" {
				t.Errorf("%s %s: field %q", method, id, got.Field)
			}
		}
	}
}

func TestLookupsSayWhenTemporalIsAway(t *testing.T) {
	d := newDesk()
	d.err = fmt.Errorf("look up: %w", starter.ErrUnreachable)
	for _, r := range [][2]string{{"GET", "/orders/A2"}, {"DELETE", "/orders/A2"}, {"GET", "/orders"}} {
		got := ask(t, handler(d), request(r[0], r[1], ""))
		got.wants(t, 503, unreachable)
		if got.Header.Get("Retry-After") == "" {
			t.Errorf("%s %s: no Retry-After", r[0], r[1])
		}
	}
}

func TestCancelIsAnsweredByHowTheOrderEnds(t *testing.T) {
	for name, c := range map[string]struct {
		before, becomes ltp.OrderState
		after           time.Duration
		prefer          string
		code            int
		kind            *kind
		waits           time.Duration
	}{
		"deferred order ends":      {ltp.Deferred, ltp.Cancelled, 5 * time.Millisecond, "", 200, nil, 10 * time.Millisecond},
		"it may have been written": {ltp.Deferred, ltp.Deferred, 5 * time.Millisecond, "", 202, nil, time.Second},
		"workers are down":         {ltp.Deferred, "", 0, "", 202, nil, time.Second},
		"workers are down, async":  {ltp.Deferred, "", 0, "respond-async", 202, nil, 0},
		"client waits longer":      {ltp.Deferred, ltp.Cancelled, 5 * time.Second, "wait=10", 200, nil, 5060 * time.Millisecond},
		"it acted meanwhile":       {ltp.Accepted, ltp.Executed, 5 * time.Millisecond, "", 409, orderEnded, 10 * time.Millisecond},
		"cancelled before":         {ltp.Cancelled, "", 0, "", 200, nil, 0},
		"parked order ends":        {ltp.Parked, ltp.Cancelled, 5 * time.Millisecond, "", 200, nil, 10 * time.Millisecond},
		"parked, workers are down": {ltp.Parked, "", 0, "", 202, nil, time.Second},
		"executed before":          {ltp.Executed, "", 0, "", 409, orderEnded, 0},
		"rejected before":          {ltp.Rejected, "", 0, "", 409, orderEnded, 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDesk()
				d.put("A2", starter.Status{State: c.before})
				d.cancelled.State, d.after = c.becomes, c.after
				begun := time.Now()
				got := ask(t, handler(d), request("DELETE", "/orders/A2", "", "Prefer", c.prefer))
				got.wants(t, c.code, c.kind)
				if c.kind != nil && (got.OrderID != "A2" || got.State == "") {
					t.Errorf("the problem does not say how the order ended: %s", got.text)
				}
				if pending := c.code == 202; got.status.CancelRequested != pending {
					t.Errorf("cancel_requested of an order that pends, %t: %s", pending, got.text)
				}
				if waited := time.Since(begun); waited != c.waits {
					t.Errorf("waited %s, want %s", waited, c.waits)
				}
			})
		})
	}
}

func TestCancelOfNoOrderIsNotFound(t *testing.T) {
	ask(t, handler(newDesk()), request("DELETE", "/orders/A9", "")).wants(t, 404, orderNotFound)
}

func TestOrdersAreListedPageByPage(t *testing.T) {
	d := newDesk()
	d.put("A2", starter.Status{State: ltp.Deferred})
	d.page = starter.Page{Orders: []starter.Status{d.status["A2"]}, NextPageToken: "next"}
	h := handler(d)
	got := ask(t, h, request("GET", "/orders?state=DEFERRED&page_size=7", ""))
	got.wants(t, 200, nil)
	if d.filter != (starter.Filter{State: ltp.Deferred, Size: 7}) {
		t.Errorf("asked for %+v", d.filter)
	}
	if !strings.Contains(got.text, `{"orders":[{"id":"A2","state":"DEFERRED"`) || !strings.Contains(got.text, `"next_page_token":"next"`) {
		t.Errorf("answered %s", got.text)
	}
	d.page = starter.Page{}
	got = ask(t, h, request("GET", "/orders?state=DEFERRED&page_token=next", ""))
	got.wants(t, 200, nil)
	assert.Equal(t, starter.Filter{State: ltp.Deferred, PageToken: "next"}, d.filter)
	if got.text != "{\"orders\":[]}\n" {
		t.Errorf("answered %s", got.text)
	}
}

func TestListingIsFiltered(t *testing.T) {
	d := newDesk()
	query := "customer=O'Brien+%26+sons&reason=SYSTEM_UNSTABLE&since=2026-11-26T10:00:00%2B02:00&until=2026-11-27T00:00:00.5Z"
	ask(t, handler(d), request("GET", "/orders?"+query, "")).wants(t, 200, nil)
	assert.Equal(t, starter.Filter{
		Customer: "O'Brien & sons", Reason: ltp.ReasonUnstable,
		Since: time.Date(2026, 11, 26, 8, 0, 0, 0, time.UTC), Until: time.Date(2026, 11, 27, 0, 0, 0, 5e8, time.UTC),
	}, d.filter)
}

func TestListingsThatCannotBeAskedForAreRefused(t *testing.T) {
	badState := &ltp.InvalidError{Field: "state", Hint: "use ACCEPTED"}
	for query, c := range map[string]struct {
		field string
		err   error
	}{
		"?page_size=0":                  {"page_size", nil},
		"?page_size=-1":                 {"page_size", nil},
		"?page_size=1001":               {"page_size", nil},
		"?page_size=ten":                {"page_size", nil},
		"?page_size=1e2":                {"page_size", nil},
		"?page_size=":                   {"page_size", nil},
		"?page_token=":                  {"page_token", nil},
		"?state=":                       {"state", nil},
		"?customer=":                    {"customer", nil},
		"?since=yesterday":              {"since", nil},
		"?since=2026-11-26T24:00:00Z":   {"since", nil},
		"?until=2026-11-26T10:00:00,5Z": {"until", nil},
		"?until=0001-01-01T00:00:00Z":   {"until", nil},
		"?state=LOST":                   {"state", badState},
		"?limit=5":                      {"limit", nil},
		"?state=%zz":                    {"", nil},
	} {
		t.Run(query, func(t *testing.T) {
			d := newDesk()
			d.err = c.err
			got := ask(t, handler(d), request("GET", "/orders"+query, ""))
			got.wants(t, 400, invalidRequest)
			if got.Field != c.field {
				t.Errorf("field %q, want %q", got.Field, c.field)
			}
		})
	}
}

func TestListingThatFailsTellsNoInternals(t *testing.T) {
	d := newDesk()
	d.err = errors.New("sql: no such column LtpState")
	got := ask(t, handler(d), request("GET", "/orders", ""))
	got.wants(t, 500, internalError)
	if strings.Contains(got.text, "sql") {
		t.Errorf("shows internals: %s", got.text)
	}
}

// hanging is a desk that cannot tell a place.
type hanging struct{ *desk }

func (hanging) Place(ctx context.Context, _ starter.Status) *ltp.Place {
	<-ctx.Done()
	return nil
}

// TestALookUpTellsThePlaceInTheBacklog, of a deferred order alone, and is answered soon
// without it.
func TestALookUpTellsThePlaceInTheBacklog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDesk()
		d.place = &ltp.Place{Ahead: 312, NotBefore: acceptedAt}
		d.put("A2", starter.Status{State: ltp.Deferred})
		d.put("A3", starter.Status{State: ltp.Parked})
		got := ask(t, handler(d), request("GET", "/orders/A2", ""))
		got.wants(t, 200, nil)
		assert.Equal(t, d.place, got.status.Backlog)
		assert.Contains(t, got.text, `"backlog":{"ahead":312,"not_before":"2024-05-20T14:30:10Z"}`)
		assert.Nil(t, ask(t, handler(d), request("GET", "/orders/A3", "")).status.Backlog)

		begun := time.Now()
		got = ask(t, New(Config{Starter: hanging{d}, Board: observed(ltp.Stable)}), request("GET", "/orders/A2", ""))
		got.wants(t, 200, nil)
		assert.NotContains(t, got.text, "backlog")
		assert.Equal(t, placeTimeout, time.Since(begun))
	})
}
