package api

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/oidc/oidctest"
	"github.com/ltp-node/ltp/starter"
)

// anything draws a request: one that could be meant, with some of it damaged. shown are values
// of Authorization besides those of keys.
func anything(t *rapid.T, shown ...string) *http.Request {
	pick := func(label string, from ...string) string { return rapid.SampledFrom(from).Draw(t, label) }
	method := pick("method", "GET", "GET", "POST", "POST", "POST", "DELETE", "HEAD", "PUT", "PATCH", "OPTIONS", "TRACE", "get")
	path := pick("path", "/orders", "/orders", "/orders/A1", "/orders/A2", "/orders/A1/events", "/orders/a%2FA1", "/orders/..%2fA1", "/orders//", "/orders/%00", "/", "/problems", "/problems/forbidden", "/readyz", "/openapi.json", "/metrics", "/orientation")
	if rapid.IntRange(0, 9).Draw(t, "another path") == 0 {
		path = "/orders/" + url.PathEscape(rapid.StringN(0, 20, 80).Draw(t, "another id"))
	}
	query := pick("query", "", "", "", "?state=DEFERRED", "?state=x", "?customer=c-17&page_size=5", "?page_size=", "?page_size=-1", "?page_size=99999999999999999999", "?page_token=AAAA", "?foo=1", "?state=DEFERRED&state=PARKED", "?since=2026-01-01", "?%zz", "?since=2026-01-01T00:00:00Z&until=2025-01-01T00:00:00Z")
	body := ""
	if method == "POST" || rapid.IntRange(0, 9).Draw(t, "body all the same") == 0 {
		body = ordertest.JSON(pick("id", "A1", "A2", "B1", "", "acme/A1", "key-1", "é", strings.Repeat("x", 200)))
		if n := len(body); rapid.IntRange(0, 2).Draw(t, "damage") > 0 {
			at := rapid.IntRange(0, n-1).Draw(t, "at")
			to := rapid.IntRange(at, n).Draw(t, "to")
			body = body[:at] + pick("with", "", "\"", "{", "}", "[", ",", "null", "-1", "1e999", "0.5", "\x00", "\xff", "\\ud800", `"id":"A1",`, `,"priority":1`, `,"risk":"HIGH"`, `,"attributes":{"a":{"b":[]}}`, strings.Repeat("[", 2000), strings.Repeat("9", 400)) + body[to:]
		}
	}
	r := request("GET", "/", body)
	r.Method = method
	u, err := r.URL.Parse(path + query)
	if err != nil {
		u, _ = r.URL.Parse("/orders")
	}
	r.URL, r.RequestURI = u, path+query
	for name, values := range map[string][]string{
		"Authorization":   append(shown, "", "", "Bearer customer", "Bearer customer", "Bearer support", "Bearer operator", "Bearer nobody", "Bearer", "Basic eDp5", "bearer customer", "Bearer customer, Bearer operator", "Bearer "+strings.Repeat("x", 4000), "Bearer "+strings.Repeat("x", 9000), "Bearer ..", "Bearer é.é.é"),
		"X-Ltp-Tenant":    {"", "", "", "acme", "acme", "-", "Acme", "a,b", "\xff", strings.Repeat("a", 5000)},
		"X-Ltp-Role":      {"", "", "", "customer", "support", "operator", "root", "customer,operator", " customer"},
		"X-Ltp-Customer":  {"", "", "", "c-17", "c-17", "c-18", "é", "\xff", "c-17, c-18"},
		"Content-Type":    {"application/json", "application/json", "application/json; charset=utf-8", "application/json; charset=latin1", "text/plain", "application/", "", "application/json, application/json"},
		"Idempotency-Key": {"", "", "k", "\"k\"", "key-1", "A1", "é", strings.Repeat("k", 300), " ", "a,b"},
		"Prefer":          {"", "", "wait=1", "wait=0", "wait=-1", "wait=99999999999999999999", "respond-async", "wait", "wait=1, respond-async", "wait=x; y"},
		"Last-Event-Id":   {"", "", "x", strings.Repeat("x", 9000)},
		"Accept":          {"", "text/event-stream", "*/*", "nonsense;;;"},
	} {
		r.Header.Del(name)
		if value := pick(name, values...); value != "" {
			r.Header.Set(name, value)
			if rapid.IntRange(0, 19).Draw(t, "twice") == 0 {
				r.Header.Add(name, pick(name, values...))
			}
		}
	}
	r.RemoteAddr = pick("from", "10.1.2.3:4000", "10.1.2.3:4000", "[::ffff:10.1.2.3]:1", "192.0.2.1:1234", "@", "")
	return r
}

// tokensOf are good tokens of an issuer, and others that differ from one in a few places.
func tokensOf(t *testing.T, i *oidctest.Issuer) (whole, all []string) {
	good := i.Token(map[string]any{"tenant": "acme", "role": "customer", "customer": "c-17"})
	whole = []string{"Bearer " + good, "Bearer " + i.Token(nil), "Bearer " + i.Token(map[string]any{"tenant": "acme", "role": "support"})}
	for at := 0; at < len(good); at += 23 {
		for _, with := range []string{"", ".", "A", "\x00", "é", "=="} {
			all = append(all, "Bearer "+good[:at]+with+good[at+1:])
		}
	}
	for _, c := range []map[string]any{{"aud": nil}, {"exp": "soon"}, {"exp": nil}, {"iss": []int{1}}, {"nbf": -1e308}, {"tenant": map[string]any{}}, {"role": []any{nil, 1, "customer"}}} {
		all = append(all, "Bearer "+i.Token(c))
	}
	return whole, all
}

// TestNoRequestIsAnsweredWithAServerError: nothing that anybody sends is answered with a 5xx, and what
// is refused starts nothing: with keys, tokens and proxies, and without. While the issuer of
// tokens is away there is 503, with a Retry-After.
func TestNoRequestIsAnsweredWithAServerError(t *testing.T) {
	issuer, away := oidctest.New(t), oidctest.New(t)
	away.Away.Store(true)
	known, unknown, proxy := tokens(t, issuer), tokens(t, away), proxied(t, "10.1.2.3")
	whole, damaged := tokensOf(t, issuer)
	wholeToo, damagedToo := tokensOf(t, away)
	hits := map[int]int{}
	rapid.Check(t, func(t *rapid.T) {
		d := newDesk()
		d.settle = starter.Status{State: ltp.Executed, Decision: ltp.Execute, Reason: ltp.ReasonOK}
		for _, id := range []string{"A1", "acme/A1"} {
			d.accepted[id] = ltp.Order{ID: id, Customer: "c-17"}
			d.put(id, d.settle)
		}
		h := New(Config{Starter: d, Board: observed(ltp.Stable)})
		asked := rapid.SampledFrom([]string{"nobody", "keys", "tokens", "tokens of an issuer that is away", "proxies"}).Draw(t, "asked")
		switch asked {
		case "tokens":
			h = New(Config{Starter: d, Board: observed(ltp.Stable), Auth: known, Proxy: proxy})
		case "tokens of an issuer that is away":
			h = New(Config{Starter: d, Board: observed(ltp.Stable), Auth: unknown})
		case "proxies":
			h = New(Config{Starter: d, Board: observed(ltp.Stable), Proxy: proxy})
		case "keys":
			h, _ = keyed(d, ring{"customer": {Role: ltp.CustomerRole, Tenant: "acme"}, "support": {Role: ltp.SupportRole, Tenant: "acme"}, "operator": {Role: ltp.OperatorRole}})
		}
		for range 40 {
			shown := slices.Concat(whole, whole, wholeToo, wholeToo, []string{rapid.SampledFrom(append(damaged, damagedToo...)).Draw(t, "damaged")})
			r, before := anything(t, shown...), d.starts()
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			hits[w.Code]++
			switch {
			case w.Code == 503 && strings.HasSuffix(asked, "away") && w.Header().Get("Retry-After") != "" && d.starts() == before:
			case w.Code >= 500:
				t.Fatalf("%s %s is answered %d %s", r.Method, r.RequestURI, w.Code, w.Body)
			case w.Code >= 400 && d.starts() != before:
				t.Fatalf("%s %s is answered %d, and an order was started", r.Method, r.RequestURI, w.Code)
			case w.Code >= 400 && r.Method != "HEAD" && !json.Valid(w.Body.Bytes()):
				t.Fatalf("%s %s is answered %d %q", r.Method, r.RequestURI, w.Code, w.Body)
			}
		}
	})
	for _, code := range []int{200, 400, 401, 403, 404, 405, 415, 503} {
		assert.NotZero(t, hits[code], "%v", hits)
	}
	t.Log(hits)
}
