package api

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// proxied believes the proxies of an address.
func proxied(t *testing.T, from ...string) *Proxy {
	t.Helper()
	all, err := ParseProxies(from)
	require.NoError(t, err)
	p := &Proxy{From: all, Tenant: "X-Ltp-Tenant", Role: "X-Ltp-Role", Customer: "X-Ltp-Customer", Bounds: func(tenant string) ltp.Bounds {
		return map[string]ltp.Bounds{"acme": {FirstPriority: 1}}[tenant]
	}}
	require.NoError(t, p.Validate())
	return p
}

// from is a request of a connection from an address.
func from(address, method, path, body string, header ...string) *http.Request {
	r := request(method, path, body, append([]string{"Prefer", "respond-async"}, header...)...)
	r.RemoteAddr = address
	return r
}

// TestProxyIsBelievedOfWhoAsks, and nobody else is.
func TestProxyIsBelievedOfWhoAsks(t *testing.T) {
	d := newDesk()
	h := New(Config{Starter: d, Board: observed(ltp.Stable), Proxy: proxied(t, "10.1.2.0/24", "fd00::/8", "192.0.2.7")})
	says := []string{"X-Ltp-Tenant", "acme", "X-Ltp-Role", "customer", "X-Ltp-Customer", "c-17"}
	for n, at := range []string{"10.1.2.3:4000", "[::ffff:10.1.2.3]:4000", "[fd00::1]:4000", "[fd00::1%eth0]:4000", "192.0.2.7:1"} {
		ask(t, h, from(at, "POST", "/orders", ordertest.JSON(fmt.Sprint("A", n)), says...)).wants(t, 202, nil)
		assert.Contains(t, d.accepted, fmt.Sprint("acme/A", n))
	}
	accepted := d.starts()
	ask(t, h, from("10.1.2.3:1", "POST", "/orders", with(`"risk":"high"`), says...)).wants(t, 403, forbidden)
	ask(t, h, from("10.1.2.3:1", "GET", "/orders/A1", "", says...)).wants(t, 200, nil)
	ask(t, h, from("10.1.2.3:1", "GET", "/orders/A1", "", "X-Ltp-Tenant", "acme", "X-Ltp-Role", "customer", "X-Ltp-Customer", "c-18")).wants(t, 404, orderNotFound)
	ask(t, h, from("10.1.2.3:1", "GET", "/orders/A1", "", "X-Ltp-Tenant", "acme", "X-Ltp-Role", "support")).wants(t, 200, nil)
	for _, at := range []string{"10.1.3.3:4000", "[::ffff:10.1.3.3]:1", "127.0.0.1:1", "[::1]:1", "192.0.2.8:1", "[fe80::1%eth0]:1", "@", "", "10.1.2.3", "/run/ltp.sock"} {
		got := ask(t, h, from(at, "POST", "/orders", ordertest.JSON("B1"), append(says, "X-Forwarded-For", "10.1.2.3", "Forwarded", "for=10.1.2.3", "X-Real-Ip", "10.1.2.3")...))
		got.wants(t, 401, unauthenticated)
		assert.Contains(t, got.Detail, "from the proxies of the order node alone", at)
		assert.Empty(t, got.Header.Values("WWW-Authenticate"), "no key or token would count")
		ask(t, h, from(at, "GET", "/orders", "")).wants(t, 401, unauthenticated)
	}
	for name, c := range map[string]struct {
		header []string
		code   int
	}{
		"no header":              {nil, 401},
		"no role":                {[]string{"X-Ltp-Tenant", "acme", "X-Ltp-Customer", "c-17"}, 401},
		"no tenant":              {[]string{"X-Ltp-Role", "operator"}, 401},
		"no customer":            {[]string{"X-Ltp-Tenant", "acme", "X-Ltp-Role", "customer"}, 401},
		"a role that is unknown": {[]string{"X-Ltp-Tenant", "acme", "X-Ltp-Role", "root"}, 403},
		"no name of a tenant":    {[]string{"X-Ltp-Tenant", "Acme", "X-Ltp-Role", "support"}, 403},
		"a tenant of ours":       {[]string{"X-Ltp-Tenant", "ltp-probe", "X-Ltp-Role", "support"}, 403},
		"an operator's customer": {append([]string{"X-Ltp-Role", "operator"}, says[:2]...), 200},
		"a role twice":           {append([]string{"X-Ltp-Role", "operator"}, says...), 401},
		"the same role twice":    {append([]string{"X-Ltp-Role", "customer"}, says...), 401},
		"a customer twice":       {append([]string{"x-ltp-customer", "c-18"}, says...), 401},
		"a list of customers":    {[]string{"X-Ltp-Tenant", "acme", "X-Ltp-Role", "customer", "X-Ltp-Customer", "c-18, c-17"}, 401},
	} {
		got := ask(t, h, from("10.1.2.3:1", "GET", "/orders", "", c.header...))
		assert.Equal(t, c.code, got.StatusCode, "%s: %s", name, got.text)
	}
	assert.Equal(t, accepted, d.starts())
	ops := NewAdmin(AdminConfig{Board: observed(ltp.Stable), Proxy: proxied(t, "10.1.2.3")})
	ask(t, ops, from("10.1.2.3:1", "GET", "/orientation", "", "X-Ltp-Tenant", "-", "X-Ltp-Role", "operator")).wants(t, 200, nil)
	ask(t, ops, from("10.1.2.3:1", "GET", "/orientation", "", "X-Ltp-Tenant", "acme", "X-Ltp-Role", "operator")).wants(t, 403, forbidden)
	ask(t, ops, from("10.1.2.4:1", "GET", "/orientation", "", "X-Ltp-Tenant", "-", "X-Ltp-Role", "operator")).wants(t, 401, unauthenticated)
}

// TestKeysCountBesideAProxy, from wherever they are shown; but not with headers that nobody
// believes.
func TestKeysCountBesideAProxy(t *testing.T) {
	h := New(Config{Starter: newDesk(), Board: observed(ltp.Stable), Proxy: proxied(t, "10.1.2.3"), Auth: ring{"key": {Role: ltp.SupportRole, Tenant: "acme"}}})
	for _, at := range []string{"10.1.2.3:1", "203.0.113.9:1"} {
		ask(t, h, from(at, "GET", "/orders", "", "Authorization", "Bearer key")).wants(t, 200, nil)
		ask(t, h, from(at, "GET", "/orders", "", "Authorization", "Bearer other")).wants(t, 401, unauthenticated)
		ask(t, h, from(at, "GET", "/orders", "")).wants(t, 401, unauthenticated)
	}
	got := ask(t, h, from("203.0.113.9:1", "GET", "/orders", "", "Authorization", "Bearer key", "X-Ltp-Role", "operator"))
	got.wants(t, 401, unauthenticated)
	assert.Equal(t, `Bearer error="invalid_request"`, got.Header.Get("WWW-Authenticate"), "the key is good")
	assert.Equal(t, "Bearer", ask(t, h, from("203.0.113.9:1", "GET", "/orders", "")).Header.Get("WWW-Authenticate"))
	// The proxy's word counts, whatever its client sent besides.
	ask(t, h, from("10.1.2.3:1", "GET", "/orders", "", "Authorization", "Basic eDp5", "X-Ltp-Tenant", "acme", "X-Ltp-Role", "support")).wants(t, 200, nil)
}

// TestAddressOfTheConnectionCounts over a real one.
func TestAddressOfTheConnectionCounts(t *testing.T) {
	for address, code := range map[string]int{"127.0.0.0/8": 200, "10.0.0.0/8": 401} {
		h := New(Config{Starter: newDesk(), Board: observed(ltp.Stable), Proxy: proxied(t, address)})
		ln := listen(t)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- Serve(ctx, ln, h, quiet) }()
		conn, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		_, err = fmt.Fprint(conn, "GET /orders HTTP/1.1\r\nHost: x\r\nConnection: close\r\nX-Forwarded-For: 10.0.0.1\r\nX-Ltp-Tenant: acme\r\nX-Ltp-Role: support\r\n\r\n")
		require.NoError(t, err)
		response, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		assert.Equal(t, code, response.StatusCode, address)
		_ = response.Body.Close()
		_ = conn.Close()
		stop()
		assert.NoError(t, <-ended)
	}
}

// TestAddressesOfProxiesAreThoseGiven: an address is trusted where a range holds it, in
// whatever spelling, and nowhere else.
func TestAddressesOfProxiesAreThoseGiven(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var octets [4]byte
		for i := range octets {
			octets[i] = rapid.Byte().Draw(t, "octet")
		}
		bits := rapid.IntRange(1, 32).Draw(t, "bits")
		within := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 1, 2, 3}), bits).Masked()
		spelt := within.String()
		if rapid.Bool().Draw(t, "mapped") {
			spelt = fmt.Sprintf("::ffff:%s/%d", within.Addr(), 96+bits)
		}
		all, err := ParseProxies([]string{spelt})
		if err != nil {
			t.Fatal(err)
		}
		at := netip.AddrFrom4(octets)
		for _, text := range []string{at.String(), "[::ffff:" + at.String() + "]"} {
			for _, ranges := range [][]netip.Prefix{all, {netip.MustParsePrefix(spelt)}} { // as from Go
				if got := (Proxy{From: ranges}).trusts(text + ":80"); got != within.Contains(at) {
					t.Fatalf("%s of %s: %t", text, spelt, got)
				}
			}
		}
	})
	for _, wrong := range []string{"", "x", "10.1.2.3/33", "10.1.2.3/8", "::ffff:0:0/80", "10.1.2", "example.com", "fe80::1%eth0", "fe80::%eth0/10"} {
		_, err := ParseProxies([]string{wrong})
		assert.Error(t, err, "%q", wrong)
	}
	for text, ok := range map[string]bool{"::ffff:10.1.2.0/120": true, "::ffff:0:0/96": false, "::ffff:0:0/95": false, "::/0": false, "fe80::/10": true} {
		assert.Equal(t, ok, Proxy{From: []netip.Prefix{netip.MustParsePrefix(text)}, Role: "X-Ltp-Role"}.Validate() == nil, text)
	}
}
