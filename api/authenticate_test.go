package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
)

// ring is an Authenticator of the secrets that it holds.
type ring map[string]ltp.Identity

func (r ring) Identify(_ context.Context, secret string) (ltp.Identity, error) {
	if who, ok := r[secret]; ok {
		return who, nil
	}
	return ltp.Identity{}, errors.New("nobody has this key")
}

// keyed are the handlers of a desk that ask for the keys of a ring.
func keyed(d Orders, keys ring) (orders, admins http.Handler) {
	b := observed(ltp.Stable)
	return New(Config{Starter: d, Board: b, Auth: keys}), NewAdmin(AdminConfig{Board: b, Metrics: &served{}, Pprof: true, Auth: keys})
}

func TestEachRouteAnswersTheRolesItIsForAlone(t *testing.T) {
	keys := ring{
		"customer": {Role: ltp.CustomerRole, Tenant: "acme"}, "bound": {Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-17"},
		"support": {Role: ltp.SupportRole, Tenant: "acme"}, "tenant's": {Role: ltp.OperatorRole, Tenant: "acme"},
		"operator": {Role: ltp.OperatorRole}, "nothing": {},
	}
	everybody := []string{"customer", "bound", "support", "tenant's", "operator", "nothing", "stranger", ""}
	for _, c := range []struct {
		request string
		body    string
		good    int
		for_    string // whom it is for; others are forbidden, and who has no key is unauthenticated
	}{
		{"POST /orders", ordertest.JSON("A9"), 202, "customer bound tenant's operator"},
		{"GET /orders", "", 200, "customer bound support tenant's operator"},
		{"GET /orders/A1", "", 200, "customer bound support tenant's operator"},
		{"HEAD /orders/A1", "", 200, "customer bound support tenant's operator"},
		{"GET /orders/A1/events", "", 200, "customer bound support tenant's operator"},
		{"DELETE /orders/A1", "", 202, "customer bound support tenant's operator"},
		{"GET /healthz", "", 200, "all"}, {"GET /readyz", "", 200, "all"}, {"GET /problems", "", 200, "all"},
		{"GET /problems/forbidden", "", 200, "all"}, {"GET /openapi.json", "", 200, "all"},
		{"admin GET /orientation", "", 200, "operator"}, {"admin GET /orientation/orders-db", "", 200, "operator"},
		{"admin GET /metrics", "", 200, "operator"}, {"admin GET /debug/pprof/cmdline", "", 200, "operator"},
		{"admin GET /debug/pprof/", "", 200, "operator"}, {"admin POST /debug/pprof/symbol", "", 200, "operator"},
		{"admin GET /healthz", "", 200, "all"}, {"admin GET /readyz", "", 200, "all"}, {"admin GET /problems", "", 200, "all"},
		{"admin GET /problems/unauthenticated", "", 200, "all"}, {"admin GET /openapi.json", "", 200, "all"},
	} {
		for _, who := range everybody {
			d := newDesk()
			for _, tenant := range []string{"acme", ""} {
				id := ltp.FullID(tenant, "A1")
				d.accepted[id] = ltp.Order{Customer: "c-17"}
				d.put(id, starter.Status{State: ltp.Deferred, Decision: ltp.Defer, Reason: ltp.ReasonUnstable, Component: "orders-db"})
			}
			h, admins := keyed(d, keys)
			asked, admin := strings.CutPrefix(c.request, "admin ")
			if admin {
				h = admins
			}
			method, path, _ := strings.Cut(asked, " ")
			r := request(method, path, c.body, "Prefer", "respond-async")
			if strings.HasSuffix(path, "/events") { // else it would follow the order
				r.Method = http.MethodHead
			}
			if who != "" {
				r.Header.Set("Authorization", "Bearer "+who)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := http.StatusForbidden
			switch _, known := keys[who]; {
			case c.for_ == "all", strings.Contains(" "+c.for_+" ", " "+who+" ") && who != "":
				want = c.good
			case !known:
				want = http.StatusUnauthorized
			}
			assert.Equal(t, want, w.Code, "%s with the key %q: %s", c.request, who, w.Body)
			challenge := map[int]string{http.StatusUnauthorized: `Bearer error="invalid_token"`, http.StatusForbidden: `Bearer error="insufficient_scope"`}[want]
			if who == "" && want == http.StatusUnauthorized {
				challenge = "Bearer"
			}
			assert.Equal(t, challenge, w.Header().Get("WWW-Authenticate"), "%s with the key %q", c.request, who)
			if want > 400 && len(d.accepted) != 2 {
				t.Errorf("%s with the key %q was done", c.request, who)
			}
		}
	}
}

// TestKeysAreShownInOneWay, and the answer to any other way says what to do. The secret is in
// no log.
func TestKeysAreShownInOneWay(t *testing.T) {
	var logged bytes.Buffer
	d := newDesk()
	h := New(Config{
		Starter: d, Board: observed(ltp.Stable), Auth: ring{"s3cr3t": {Role: ltp.OperatorRole}},
		Log: slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	for _, good := range []string{"Bearer s3cr3t", "bearer s3cr3t", "BEARER   s3cr3t", " Bearer s3cr3t "} {
		ask(t, h, request("GET", "/orders", "", "Authorization", good)).wants(t, 200, nil)
	}
	for _, c := range []struct {
		shown []string
		says  string
	}{
		{nil, "Send the header Authorization"},
		{[]string{"Bearer s3cr3t", "Bearer s3cr3t"}, "once"},
		{[]string{"Basic dXNlcjpzM2NyM3Q="}, "the scheme Bearer alone"}, {[]string{"s3cr3t"}, "the scheme Bearer alone"}, {[]string{""}, "the scheme Bearer alone"},
		{[]string{"Bearer"}, "no key behind Bearer"}, {[]string{"Bearer  "}, "no key behind Bearer"},
		{[]string{"Bearer " + strings.Repeat("x", 9000)}, "none has more than 8192 bytes"},
		{[]string{"Bearer s3cr3t s3cr3t"}, "nobody has this key"}, {[]string{"Bearer S3CR3T"}, "nobody has this key"},
	} {
		r := request("POST", "/orders", ordertest.JSON("A1"))
		r.Header["Authorization"] = c.shown
		got := ask(t, h, r)
		got.wants(t, 401, unauthenticated)
		assert.Contains(t, got.Detail, c.says)
		assert.Regexp(t, `^Bearer( error="invalid_(token|request)")?$`, got.Header.Get("WWW-Authenticate"))
	}
	assert.Zero(t, d.starts())
	assert.NotContains(t, strings.ToLower(logged.String()), "s3cr3t")
	assert.Contains(t, logged.String(), "/problems/unauthenticated")
}

// TestOrderBeyondTheBoundsIsForbidden with the field that is, and is not accepted.
func TestOrderBeyondTheBoundsIsForbidden(t *testing.T) {
	d := newDesk()
	h, _ := keyed(d, ring{
		"bound":  {Role: ltp.CustomerRole, Customer: "c-17"},
		"vip":    {Role: ltp.CustomerRole, Bounds: ltp.Bounds{FirstPriority: 1, Risk: true, DependsOn: []string{"payments"}}},
		"master": {Role: ltp.OperatorRole},
	})
	for _, c := range []struct{ member, field string }{
		{`"priority":1`, "/priority"}, {`"risk":"high"`, "/risk"}, {`"depends_on":["orders-db","payments"]`, "/depends_on/1"},
	} {
		for i, who := range []string{"vip", "master"} {
			body := strings.Replace(with(c.member), "A2", fmt.Sprintf("B%d%s", i, c.field[1:3]), 1)
			ask(t, h, request("POST", "/orders", body, "Authorization", "Bearer "+who, "Prefer", "respond-async")).wants(t, 202, nil)
		}
		before := d.starts()
		got := ask(t, h, request("POST", "/orders", with(c.member), "Authorization", "Bearer bound"))
		got.wants(t, 403, forbidden)
		assert.Equal(t, c.field, got.Field)
		assert.Equal(t, before, d.starts())
	}
	got := ask(t, h, request("POST", "/orders", strings.Replace(ordertest.JSON("A1"), "c-17", "c-18", 1), "Authorization", "Bearer bound"))
	got.wants(t, 403, forbidden)
	assert.Equal(t, "/customer", got.Field)
	got = ask(t, h, request("GET", "/orders?customer=c-18", "", "Authorization", "Bearer bound"))
	got.wants(t, 403, forbidden)
	assert.Equal(t, "customer", got.Field)
	// What no key could ask for is not a matter of keys.
	ask(t, h, request("POST", "/orders", with(`"priority":9`), "Authorization", "Bearer bound")).wants(t, 400, invalidOrder)
}

// TestRepeatOfAnAcceptedOrderIsNotForbidden by bounds that were tightened since; an order
// that is new, or another, is.
func TestRepeatOfAnAcceptedOrderIsNotForbidden(t *testing.T) {
	d := newDesk()
	keys := ring{"shop": {Role: ltp.CustomerRole, Tenant: "acme", Bounds: ltp.Bounds{FirstPriority: 1}}, "c-18": {Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-18"}}
	h, _ := keyed(d, keys)
	shown := func(who string) []string {
		return []string{"Authorization", "Bearer " + who, "Prefer", "respond-async", "Idempotency-Key", "k"}
	}
	bare := strings.Replace(with(`"priority":1`), `"id":"A2",`, "", 1)
	first := ask(t, h, request("POST", "/orders", bare, shown("shop")...))
	first.wants(t, 202, nil)
	ask(t, h, request("POST", "/orders", with(`"priority":1`), shown("shop")[:4]...)).wants(t, 202, nil)
	keys["shop"] = ltp.Identity{Role: ltp.CustomerRole, Tenant: "acme"}
	for range 2 {
		again := ask(t, h, request("POST", "/orders", bare, shown("shop")...))
		again.wants(t, 202, nil)
		assert.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
		assert.Equal(t, first.Header.Get("Location"), again.Header.Get("Location"))
		ask(t, h, request("POST", "/orders", with(`"priority":1`), shown("shop")[:4]...)).wants(t, 202, nil)
	}
	for name, body := range map[string]string{
		"an order that is new":           strings.Replace(with(`"priority":1`), "A2", "A3", 1),
		"other content under its name":   with(`"priority":2`),
		"and with another price besides": strings.Replace(with(`"priority":1`), "6000", "6001", 1),
	} {
		got := ask(t, h, request("POST", "/orders", body, shown("shop")[:4]...))
		got.wants(t, 403, forbidden)
		assert.Equal(t, "/priority", got.Field, name)
	}
	// Another customer's order is forbidden whether it is there or not.
	for _, id := range []string{"A2", "A9"} {
		got := ask(t, h, request("POST", "/orders", strings.Replace(with(`"priority":1`), "A2", id, 1), shown("c-18")[:4]...))
		got.wants(t, 403, forbidden)
		assert.Equal(t, "/customer", got.Field)
	}
	assert.Equal(t, 2, d.starts())
	// Whether it was accepted cannot be known: that is no time to forbid it.
	d.err = starter.ErrUnreachable
	ask(t, h, request("POST", "/orders", bare, shown("shop")...)).wants(t, 503, unreachable)
}

// TestIdempotencyKeyIsTheCustomersOwn where the key of the API is.
func TestIdempotencyKeyIsTheCustomersOwn(t *testing.T) {
	d := newDesk()
	h, _ := keyed(d, ring{
		"one": {Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-17"}, "two": {Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-18"},
		"shop": {Role: ltp.CustomerRole, Tenant: "acme"},
	})
	ids := map[string]bool{}
	for who, body := range map[string]string{"one": ordertest.JSON(""), "two": strings.Replace(ordertest.JSON(""), "c-17", "c-18", 1), "shop": ordertest.JSON("")} {
		for range 2 {
			got := ask(t, h, request("POST", "/orders", body, "Authorization", "Bearer "+who, "Idempotency-Key", "k", "Prefer", "respond-async"))
			got.wants(t, 202, nil)
			assert.Equal(t, ids[got.status.OrderID], got.Header.Get("Idempotency-Replayed") == "true", who)
			ids[got.status.OrderID] = true
		}
	}
	assert.Len(t, ids, 3)
	assert.Equal(t, 3, d.starts())
}

// TestStrangersOrdersOfAKeyTakeNoRoom of another tenant's orders of the same ordering key.
func TestStrangersOrdersOfAKeyTakeNoRoom(t *testing.T) {
	l := newLoad(true)
	of := func(tenant string) ltp.Order { return ltp.Order{OrderingKey: ltp.FullID(tenant, "alice")} }
	for range keyAtOnce {
		leave, p := l.accept(t.Context(), of("mallory"))
		require.Nil(t, p)
		defer leave()
	}
	impatient, cancel := context.WithCancel(t.Context())
	cancel()
	_, p := l.accept(impatient, of("mallory"))
	assert.NotNil(t, p)
	for _, tenant := range []string{"acme", ""} {
		leave, p := l.accept(t.Context(), of(tenant))
		require.Nil(t, p)
		leave()
	}
}

// listing is a desk whose listings are of the orders that it has accepted.
type listing struct{ *desk }

func (l listing) List(_ context.Context, f starter.Filter) (page starter.Page, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(l.accepted)) {
		tenant, _ := ltp.SplitID(id)
		if f.AllTenants || tenant == f.Tenant && (f.Customer == "" || f.Customer == l.accepted[id].Customer) {
			page.Orders = append(page.Orders, l.status[id])
		}
	}
	return page, nil
}

// TestTenantsAreApartWhateverTheyAsk: over any sequence of requests of two tenants, each is
// answered as if it were alone.
func TestTenantsAreApartWhateverTheyAsk(t *testing.T) {
	keys := ring{"acme": {Role: ltp.CustomerRole, Tenant: "acme"}, "none": {Role: ltp.CustomerRole}, "ac": {Role: ltp.CustomerRole, Tenant: "ac"}}
	hits := map[int]int{}
	rapid.Check(t, func(t *rapid.T) {
		names := rapid.Permutation([]string{"acme", "none", "ac"}).Draw(t, "tenants")[:2]
		shared, _ := keyed(listing{newDesk()}, keys)
		alone := map[string]http.Handler{}
		for _, name := range names {
			alone[name], _ = keyed(listing{newDesk()}, keys)
		}
		taken := keyedID("", "k")
		id := rapid.SampledFrom([]string{"A1", "A2", taken, "acme-A1", "acme/A1", "ac:me"})
		for range rapid.IntRange(1, 12).Draw(t, "requests") {
			name := rapid.SampledFrom(names).Draw(t, "who")
			header := []string{"Authorization", "Bearer " + name, "Prefer", "respond-async"}
			method, path, body := "GET", "", ""
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0, 1:
				method, path, body = "POST", "/orders", strings.Replace(ordertest.JSON(id.Draw(t, "id")), "6000", rapid.SampledFrom([]string{"6000", "6001"}).Draw(t, "price"), 1)
			case 2:
				method, path, body = "POST", "/orders", ordertest.JSON("")
				header = append(header, "Idempotency-Key", rapid.SampledFrom([]string{"k", "l"}).Draw(t, "key"))
			case 3:
				path = "/orders/" + strings.ReplaceAll(id.Draw(t, "id"), "/", "%2F")
			case 4:
				method, path = "DELETE", "/orders/"+strings.ReplaceAll(id.Draw(t, "id"), "/", "%2F")
			case 5:
				path = "/orders"
			}
			got, err := exchange(shared, request(method, path, body, header...))
			if err != nil {
				t.Fatal(err)
			}
			want, _ := exchange(alone[name], request(method, path, body, header...))
			hits[got.Code]++
			if got.Code != want.Code || timeless(got.Body.String()) != timeless(want.Body.String()) ||
				got.Header().Get("Location") != want.Header().Get("Location") || got.Header().Get("Idempotency-Replayed") != want.Header().Get("Idempotency-Replayed") {
				t.Fatalf("%s %s of %q is answered %d %s, and alone %d %s", method, path, name, got.Code, got.Body, want.Code, want.Body)
			}
		}
	})
	for _, code := range []int{200, 202, 400, 404, 422} {
		assert.NotZero(t, hits[code], "%v", hits)
	}
}

// timeless is a body without what is of the one answer alone.
func timeless(body string) string {
	before, after, found := strings.Cut(body, `"instance":"`)
	if !found {
		return body
	}
	_, after, _ = strings.Cut(after, `"`)
	return before + after
}

// TestCallerReachesTheirOwnOrdersAlone: what is not theirs is not there, whatever the index
// says.
func TestCallerReachesTheirOwnOrdersAlone(t *testing.T) {
	d := newDesk()
	h, _ := keyed(d, ring{"one": {Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-17"}, "two": {Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-18"}})
	ask(t, h, request("POST", "/orders", ordertest.JSON("A1"), "Authorization", "Bearer one", "Prefer", "respond-async")).wants(t, 202, nil)
	for _, r := range []struct{ method, path string }{{"GET", "/orders/A1"}, {"GET", "/orders/A1/events"}, {"DELETE", "/orders/A1"}} {
		ask(t, h, request(r.method, r.path, "", "Authorization", "Bearer two", "Prefer", "respond-async")).wants(t, 404, orderNotFound)
	}
	ask(t, h, request("GET", "/orders/A1", "", "Authorization", "Bearer one")).wants(t, 200, nil)
	d.page = starter.Page{Orders: []starter.Status{d.status["acme/A1"], {OrderID: "A2", State: ltp.Accepted}, {OrderID: "acm/A3", State: ltp.Accepted}}}
	got := ask(t, h, request("GET", "/orders", "", "Authorization", "Bearer one"))
	got.wants(t, 200, nil)
	assert.Equal(t, starter.Filter{Tenant: "acme", Customer: "c-17"}, d.filter)
	assert.Equal(t, []string{`"id":"A1"`}, regexp.MustCompile(`"id":"[^"]*"`).FindAllString(got.text, -1))
}

// TestWhatAParkedOrderFailsWithIsForOperatorsWhoHaveShownAKey, and for nobody where no key
// is asked for.
func TestWhatAParkedOrderFailsWithIsForOperatorsWhoHaveShownAKey(t *testing.T) {
	d := newDesk()
	for _, tenant := range []string{"acme", ""} {
		id := ltp.FullID(tenant, "A1")
		d.accepted[id] = ltp.Order{Customer: "c-17"}
		d.put(id, starter.Status{State: ltp.Parked, Parked: &ltp.Parking{Error: "a check fails (23514)"}})
	}
	keys := ring{
		"customer": {Role: ltp.CustomerRole}, "support": {Role: ltp.SupportRole, Tenant: "acme"},
		"operator": {Role: ltp.OperatorRole}, "tenant's": {Role: ltp.OperatorRole, Tenant: "acme"},
	}
	h, _ := keyed(d, keys)
	for who, says := range map[string]string{"customer": "", "support": "", "operator": "a check fails (23514)", "tenant's": "a check fails (23514)"} {
		got := ask(t, h, request("GET", "/orders/A1", "", "Authorization", "Bearer "+who))
		assert.Equal(t, says, got.status.Detail, who)
		assert.Nil(t, got.status.Parked, who)
	}
	open := New(Config{Starter: d, Board: observed(ltp.Stable)})
	assert.Empty(t, ask(t, open, request("GET", "/orders/A1", "")).status.Detail)
}
