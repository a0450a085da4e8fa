package api

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/oidc"
	"github.com/ltp-node/ltp/oidc/oidctest"
	"github.com/ltp-node/ltp/starter"
)

// patience is for how long a test waits for what should happen.
const patience = 2 * time.Minute

// tokens are those of an issuer, by default claims unless change says otherwise.
func tokens(t *testing.T, i *oidctest.Issuer, change ...func(*oidc.Config)) *oidc.Tokens {
	t.Helper()
	c := oidc.Config{Issuer: i.URL, Audience: oidctest.Audience, Claims: oidc.DefaultClaims()}
	for _, do := range change {
		do(&c)
	}
	all, err := oidc.Open(t.Context(), c)
	require.NoError(t, err)
	return all
}

// shows is a request that shows a token.
func shows(token, method, path, body string) *http.Request {
	return request(method, path, body, "Authorization", "Bearer "+token, "Prefer", "respond-async")
}

type claims = map[string]any

// customerOf are the claims of a customer of the tenant acme.
func customerOf(name string) claims {
	return claims{"tenant": "acme", "role": "customer", "customer": name}
}

// TestTokenIsWhomItsClaimsName, and reaches what a key of the same would.
func TestTokenIsWhomItsClaimsName(t *testing.T) {
	i := oidctest.New(t)
	d := newDesk()
	bounds := func(tenant string) ltp.Bounds { return map[string]ltp.Bounds{"acme": {FirstPriority: 1}}[tenant] }
	h := New(Config{Starter: d, Board: observed(ltp.Stable), Auth: tokens(t, i, func(c *oidc.Config) { c.Bounds = bounds })})
	mine, others := i.Token(customerOf("c-17")), i.Token(customerOf("c-18"))
	ask(t, h, shows(mine, "POST", "/orders", with(`"priority":1`))).wants(t, 202, nil)
	ask(t, h, shows(mine, "GET", "/orders/A2", "")).wants(t, 200, nil)
	ask(t, h, shows(others, "GET", "/orders/A2", "")).wants(t, 404, orderNotFound)
	ask(t, h, shows(others, "POST", "/orders", ordertest.JSON("A3"))).wants(t, 403, forbidden)
	ask(t, h, shows(mine, "POST", "/orders", with(`"risk":"high"`))).wants(t, 403, forbidden) // beyond the bounds
	support := i.Token(claims{"tenant": "acme", "role": []string{"offline_access", "support"}})
	ask(t, h, shows(support, "GET", "/orders/A2", "")).wants(t, 200, nil)
	refused := ask(t, h, shows(support, "POST", "/orders", ordertest.JSON("A4")))
	refused.wants(t, 403, forbidden)
	assert.Equal(t, `Bearer error="insufficient_scope"`, refused.Header.Get("WWW-Authenticate"))
	ask(t, h, shows(i.Token(claims{"tenant": "globex", "role": "operator"}), "GET", "/orders/A2", "")).wants(t, 404, orderNotFound)
	assert.Equal(t, 1, d.starts())
	assert.EqualValues(t, 1, i.Fetches.Load(), "keys are kept")

	ops := NewAdmin(AdminConfig{Board: observed(ltp.Stable), Auth: tokens(t, i)})
	ask(t, ops, shows(i.Token(claims{"tenant": "-", "role": "operator"}), "GET", "/orientation", "")).wants(t, 200, nil)
	ask(t, ops, shows(i.Token(claims{"tenant": "acme", "role": "operator"}), "GET", "/orientation", "")).wants(t, 403, forbidden)
}

// TestTokenThatNamesNobodyIsForbidden, and the answer says which claim is missing or unknown.
func TestTokenThatNamesNobodyIsForbidden(t *testing.T) {
	i := oidctest.New(t)
	d := newDesk()
	h := New(Config{Starter: d, Board: observed(ltp.Stable), Auth: tokens(t, i)})
	for claim, all := range map[string][]claims{
		"role": {
			{"tenant": "acme"}, {"tenant": "acme", "role": "admin"}, {"tenant": "acme", "role": ""}, {"tenant": "acme", "role": 7}, {"tenant": "acme", "role": []any{}},
			{"tenant": "acme", "role": []any{"x", nil}}, {"tenant": "acme", "role": []any{"support", "operator"}}, {"tenant": "acme", "role": claims{"customer": true}}, {"tenant": "acme", "role": "Customer"},
		},
		"tenant": {
			{"role": "operator"}, {"role": "operator", "tenant": ""}, {"role": "operator", "tenant": "Acme"}, {"role": "operator", "tenant": "ltp-probe"}, {"role": "operator", "tenant": []any{"acme"}},
			{"role": "operator", "tenant": "acme/x"}, {"role": "operator", "tenant": strings.Repeat("a", 33)}, {"role": "operator", "tenant": true},
		},
		"customer": {{"tenant": "acme", "role": "customer"}, {"tenant": "acme", "role": "customer", "customer": ""}, {"tenant": "acme", "role": "customer", "customer": 17}, {"tenant": "acme", "role": "support", "customer": "c-17"}},
	} {
		for _, c := range all {
			got := ask(t, h, shows(i.Token(c), "POST", "/orders", ordertest.JSON("A1")))
			got.wants(t, 403, forbidden)
			assert.Contains(t, got.Detail, fmt.Sprintf("its claim %q", claim), "%v", c)
			assert.Equal(t, `Bearer error="insufficient_scope"`, got.Header.Get("WWW-Authenticate"))
		}
	}
	assert.Zero(t, d.starts())
}

// TestHostileTokensOpenNothing.
func TestHostileTokensOpenNothing(t *testing.T) {
	i := oidctest.New(t)
	weak, err := rsa.GenerateKey(rand.Reader, 1024)
	require.NoError(t, err)
	strong, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	sealing, err := rsa.GenerateKey(rand.Reader, 2048)
	require.NoError(t, err)
	stranger := oidctest.New(t).Key()
	i.Publish(jose.JSONWebKey{Key: weak.Public(), KeyID: "weak", Use: "sig"})
	i.Publish(jose.JSONWebKey{Key: strong.Public(), KeyID: "rsa", Use: "sig", Algorithm: "RS256"})
	i.Publish(jose.JSONWebKey{Key: sealing.Public(), KeyID: "sealing", Use: "enc"})
	i.Publish(jose.JSONWebKey{Key: []byte("a secret of 32 bytes, published!"), KeyID: "oct"})
	i.Add(i.Key()) // the same one again: a set may say so
	d := newDesk()
	h := New(Config{Starter: d, Board: observed(ltp.Stable), Auth: tokens(t, i)})
	good := customerOf("c-17")
	ask(t, h, shows(i.Token(good), "GET", "/orders", "")).wants(t, 200, nil)
	all := i.Claims(good)
	own := i.Key()
	sign := func(with jose.SignatureAlgorithm, key any, id string, c claims) string {
		return oidctest.Sign(t, with, key, id, "JWT", c)
	}
	ask(t, h, shows(sign(jose.RS256, strong, "rsa", all), "GET", "/orders", "")).wants(t, 200, nil)
	public, err := x509.MarshalPKIXPublicKey(own.Signer.Public())
	require.NoError(t, err)
	inPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	published, err := json.Marshal(jose.JSONWebKey{Key: own.Signer.Public(), KeyID: own.ID})
	require.NoError(t, err)
	raw := func(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }
	payload, err := json.Marshal(all)
	require.NoError(t, err)
	whole := i.Token(good)
	parts := strings.Split(whole, ".")
	now := time.Now()
	hour := func(n time.Duration) int64 { return now.Add(n * time.Hour).Unix() }
	hostile := map[string]string{
		"alg none":                    raw(`{"alg":"none","typ":"JWT"}`) + "." + raw(string(payload)) + ".",
		"alg None":                    raw(`{"alg":"None","kid":"`+own.ID+`"}`) + "." + raw(string(payload)) + ".AAAA",
		"alg none with a signature":   raw(`{"alg":"none","kid":"`+own.ID+`"}`) + "." + parts[1] + "." + parts[2],
		"HS256 with the public key":   sign(jose.HS256, append(inPEM, make([]byte, 1)...), own.ID, all),
		"HS256 with the PEM":          sign(jose.HS256, inPEM, own.ID, all),
		"HS256 with the JWK":          sign(jose.HS256, published, own.ID, all),
		"HS256 with a published one":  sign(jose.HS256, []byte("a secret of 32 bytes, published!"), "oct", all),
		"a stranger's key":            sign(stranger.With, stranger.Signer, own.ID, all),
		"a stranger's kid":            sign(stranger.With, stranger.Signer, stranger.ID, all),
		"no kid":                      sign(own.With, own.Signer, "", all),
		"a key that is too weak":      sign(jose.RS256, weak, "weak", all),
		"a key for another algorithm": sign(jose.PS256, strong, "rsa", all),
		"a key that is for sealing":   sign(jose.RS256, sealing, "sealing", all),
		"another audience":            i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "aud": "billing"}),
		"no audience":                 i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "aud": nil}),
		"another issuer":              i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "iss": "https://id.example"}),
		"the issuer with a slash":     i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "iss": i.URL + "/"}),
		"expired":                     i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "exp": hour(-1)}),
		"no end":                      i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "exp": nil}),
		"an end beyond time":          i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "exp": 1e300}),
		"not yet":                     i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "nbf": hour(1)}),
		"issued in times to come":     i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "iat": hour(1)}),
		"a token of a logout":         oidctest.Sign(t, own.With, own.Signer, own.ID, "logout+jwt", all),
		"a changed payload":           parts[0] + "." + raw(strings.Replace(string(payload), "acme", "evil", 1)) + "." + parts[2],
		"a changed signature":         whole[:len(whole)-6] + "AAAAAA",
		"no signature":                parts[0] + "." + parts[1] + ".",
		"half of it":                  whole[:len(whole)/2],
		"four parts":                  whole + ".AAAA",
		"JSON":                        `{"payload":"` + parts[1] + `","protected":"` + parts[0] + `","signature":"` + parts[2] + `"}`,
		"two with a comma":            whole + "," + whole,
		"garbage":                     "..",
		"huge":                        i.Token(claims{"tenant": "acme", "role": "customer", "customer": "c-17", "more": strings.Repeat("x", 9000)}),
	}
	for name, token := range hostile {
		got := ask(t, h, shows(token, "POST", "/orders", ordertest.JSON("A1")))
		if got.StatusCode != 401 {
			t.Errorf("%s: answered %d %s", name, got.StatusCode, got.text)
		}
		assert.Equal(t, `Bearer error="invalid_token"`, got.Header.Get("WWW-Authenticate"), name)
	}
	twice := shows(whole, "POST", "/orders", ordertest.JSON("A1"))
	twice.Header.Add("Authorization", "Bearer "+whole)
	got := ask(t, h, twice)
	got.wants(t, 401, unauthenticated)
	assert.Equal(t, `Bearer error="invalid_request"`, got.Header.Get("WWW-Authenticate"))
	assert.Zero(t, d.starts())
}

// TestFloodOfUnknownKeysNeitherFloodsTheIssuerNorHoldsUpOthers.
func TestFloodOfUnknownKeysNeitherFloodsTheIssuerNorHoldsUpOthers(t *testing.T) {
	t.Parallel()
	i := oidctest.New(t)
	h := New(Config{Starter: newDesk(), Board: observed(ltp.Stable), Auth: tokens(t, i)})
	good := i.Token(customerOf("c-17"))
	ask(t, h, shows(good, "GET", "/orders", "")).wants(t, 200, nil)
	before, begun := i.Fetches.Load(), time.Now()
	stranger := oidctest.New(t).Key()
	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			for range 40 {
				token := oidctest.Sign(t, stranger.With, stranger.Signer, rand.Text(), "JWT", i.Claims(customerOf("c-17")))
				ask(t, h, shows(token, "GET", "/orders", "")).wants(t, 401, unauthenticated)
			}
		})
	}
	for range 100 {
		ask(t, h, shows(good, "GET", "/orders/none", "")).wants(t, 404, orderNotFound)
	}
	flood.Wait()
	most := int64(time.Since(begun)/(5*time.Second)) + 1
	assert.LessOrEqual(t, i.Fetches.Load()-before, most, "one in five seconds at most")
}

// TestTokensWaitForNobodyWhileTheIssuerHangs: only those whose key is not there do.
func TestTokensWaitForNobodyWhileTheIssuerHangs(t *testing.T) {
	t.Parallel()
	i := oidctest.New(t)
	var hang sync.RWMutex
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hang.RLock()
		defer hang.RUnlock()
		i.ServeHTTP(w, r)
	}))
	t.Cleanup(front.Close)
	i.Server.URL = front.URL
	h := New(Config{Starter: newDesk(), Board: observed(ltp.Stable), Auth: tokens(t, i)})
	good := i.Token(customerOf("c-17"))
	ask(t, h, shows(good, "GET", "/orders", "")).wants(t, 200, nil)
	hang.Lock()
	defer hang.Unlock()
	stop := make(chan struct{})
	var waiting sync.WaitGroup
	stranger := oidctest.New(t).Key()
	waiting.Go(func() { // until one of them has the issuer asked, which hangs
		for {
			select {
			case <-stop:
				return
			default:
			}
			token := oidctest.Sign(t, stranger.With, stranger.Signer, rand.Text(), "JWT", i.Claims(customerOf("c-17")))
			got := ask(t, h, shows(token, "GET", "/orders", ""))
			if got.StatusCode == 503 {
				assert.NotEmpty(t, got.Header.Get("Retry-After"))
				return
			}
		}
	})
	asked := make(chan struct{})
	go func() { waiting.Wait(); close(asked) }()
	answered := 0
	for open := true; open; answered++ {
		ask(t, h, shows(good, "GET", "/orders", "")).wants(t, 200, nil)
		select {
		case <-asked:
			open = false
		case <-time.After(10 * time.Millisecond):
		}
	}
	close(stop)
	assert.Greater(t, answered, 1)
}

// TestKeysOfTheIssuerAreRotated without a restart, and one that was withdrawn opens nothing.
func TestKeysOfTheIssuerAreRotated(t *testing.T) {
	t.Parallel()
	i := oidctest.New(t)
	h := New(Config{Starter: newDesk(), Board: observed(ltp.Stable), Auth: tokens(t, i)})
	before := i.Token(customerOf("c-17"))
	ask(t, h, shows(before, "GET", "/orders", "")).wants(t, 200, nil)
	i.Rotate()
	after := i.Token(customerOf("c-17"))
	require.Eventually(t, func() bool { return ask(t, h, shows(after, "GET", "/orders", "")).StatusCode == 200 }, patience, 50*time.Millisecond)
	ask(t, h, shows(before, "GET", "/orders", "")).wants(t, 401, unauthenticated)
}

// TestIssuerThatIsAwayRefusesNobodyWhoseKeyIsKnown: while no keys are known it refuses nobody
// for good. Operators see it.
func TestIssuerThatIsAwayRefusesNobodyWhoseKeyIsKnown(t *testing.T) {
	t.Parallel()
	i := oidctest.New(t)
	i.Away.Store(true)
	auth := tokens(t, i)
	d := newDesk()
	h := New(Config{Starter: d, Board: observed(ltp.Stable), Auth: auth})
	good := i.Token(customerOf("c-17"))
	got := ask(t, h, shows(good, "POST", "/orders", ordertest.JSON("A1")))
	got.wants(t, 503, unidentified)
	assert.NotEmpty(t, got.Header.Get("Retry-After"))
	assert.Zero(t, d.starts())
	assert.ErrorContains(t, auth.Stale(), "500")
	// What no key would make good is refused at once.
	ask(t, h, shows(i.Token(claims{"aud": "billing"}), "GET", "/orders", "")).wants(t, 401, unauthenticated)
	ask(t, h, request("GET", "/orders", "")).wants(t, 401, unauthenticated)

	i.Away.Store(false)
	require.Eventually(t, func() bool { return ask(t, h, shows(good, "GET", "/orders", "")).StatusCode == 200 }, patience, 50*time.Millisecond)
	assert.NoError(t, auth.Stale())

	i.Away.Store(true)
	i.Rotate()
	later := i.Token(customerOf("c-17"))
	require.Eventually(t, func() bool { return ask(t, h, shows(later, "GET", "/orders", "")).StatusCode == 503 }, patience, 50*time.Millisecond,
		"whether there is such a key is not known")
	ask(t, h, shows(good, "GET", "/orders", "")).wants(t, 200, nil)
	assert.Error(t, auth.Stale())
}

// TestStreamAndLongPollEndWithTheToken.
func TestStreamAndLongPollEndWithTheToken(t *testing.T) {
	t.Parallel()
	d := newDesk()
	d.accepted["acme/A1"] = ltp.Order{Customer: "c-17"}
	d.put("acme/A1", starter.Status{State: ltp.Accepted})
	who := ltp.Identity{Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-17", Expires: time.Now().Add(2 * time.Second)}
	h, _ := keyed(d, ring{"token": who})
	server := httptest.NewServer(h)
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience) // far below ten minutes
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, "GET", server.URL+"/orders/A1/events", nil)
	require.NoError(t, err)
	r.Header.Set("Authorization", "Bearer token")
	stream, err := http.DefaultClient.Do(r)
	require.NoError(t, err)
	defer stream.Body.Close()
	events := 0
	lines := bufio.NewScanner(stream.Body)
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			events++
		}
	}
	require.NoError(t, lines.Err(), "it ends in good order")
	assert.Equal(t, 1, events)
	assert.False(t, time.Now().Before(who.Expires), "no sooner than the token")
	// A look-up that would wait half a minute is answered when the token ends: at once, now.
	begun := time.Now()
	ask(t, h, request("GET", "/orders/A1", "", "Authorization", "Bearer token", "Prefer", "wait=30")).wants(t, 200, nil)
	assert.Less(t, time.Since(begun), MaxWait)
}

// lock is an Authenticator of one secret, by which another is let in when a test says so.
type lock struct {
	mu  sync.Mutex
	who ltp.Identity
	err error
}

func (l *lock) Identify(context.Context, string) (ltp.Identity, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.who, l.err
}

func (l *lock) change(how func()) func() {
	return func() { l.mu.Lock(); defer l.mu.Unlock(); how() }
}

// laterError is that it cannot be known now who shows a secret.
type laterError struct{}

func (laterError) Error() string             { return "the keys cannot be had" }
func (laterError) RetryAfter() time.Duration { return time.Second }

// TestStreamAndLongPollEndWithTheKey: soon after it was revoked or became another's, with
// nothing sent to who shows it from then on. They last while it cannot be known whose it is,
// and while it is good.
func TestStreamAndLongPollEndWithTheKey(t *testing.T) {
	const by = identityBeat + 10*time.Millisecond // the desk looks once a millisecond
	const soon, changes = identityBeat / 2, identityBeat/2 + time.Second
	for name, c := range map[string]struct {
		how  func(*lock)
		ends bool
	}{
		"it was revoked":             {func(l *lock) { l.who, l.err = ltp.Identity{}, errors.New("it was revoked") }, true},
		"it may do nothing here":     {func(l *lock) { l.who, l.err = ltp.Identity{}, &ltp.ForbiddenError{Field: "role"} }, true},
		"it is another customer's":   {func(l *lock) { l.who.Customer = "c-18" }, true},
		"it is another tenant's":     {func(l *lock) { l.who.Tenant = "globex" }, true},
		"its role is another":        {func(l *lock) { l.who.Role = ltp.SupportRole }, true},
		"it cannot be known":         {func(l *lock) { l.who, l.err = ltp.Identity{}, laterError{} }, false},
		"its bounds are others":      {func(l *lock) { l.who.Bounds.Risk = true }, false},
		"it is the same as before":   {func(*lock) {}, false},
		"it was made to last longer": {func(l *lock) { l.who.Expires = time.Now().Add(time.Hour) }, false},
	} {
		for _, moves := range []bool{true, false} { // whether the order does before it is asked again by itself
			t.Run(fmt.Sprintf("%s/%t", name, moves), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					d := newDesk()
					d.accepted["acme/A1"] = ltp.Order{Customer: "c-17"}
					d.put("acme/A1", starter.Status{State: ltp.Accepted})
					l := &lock{who: ltp.Identity{Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-17"}}
					h := New(Config{Starter: d, Board: observed(ltp.Stable), Auth: l})
					at := 3 * streamBeat
					if moves {
						at = changes
					}
					ended := func() { d.put("acme/A1", starter.Status{State: ltp.Executed}) }
					begin := func() time.Time {
						d.put("acme/A1", starter.Status{State: ltp.Accepted})
						l.change(func() { l.who, l.err = ltp.Identity{Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-17"}, nil })()
						time.AfterFunc(soon, l.change(func() { c.how(l) }))
						time.AfterFunc(at, ended)
						return time.Now()
					}
					begun := begin()
					got := ask(t, h, request("GET", "/orders/A1/events", "", "Authorization", "Bearer key"))
					got.wants(t, 200, nil)
					if c.ends {
						assert.LessOrEqual(t, time.Since(begun), by)
						assert.NotContains(t, got.text, "EXECUTED")
					} else {
						assert.GreaterOrEqual(t, time.Since(begun), at)
						assert.Contains(t, got.text, "EXECUTED")
					}
					time.Sleep(streamTime) // what was to come has come

					begun = begin()
					got = ask(t, h, request("GET", "/orders/A1", "", "Authorization", "Bearer key", "Prefer", "wait=30"))
					if c.ends {
						assert.Contains(t, []int{401, 403}, got.StatusCode)
						assert.LessOrEqual(t, time.Since(begun), by)
						assert.NotContains(t, got.text, "EXECUTED")
					} else {
						got.wants(t, 200, nil)
						assert.GreaterOrEqual(t, time.Since(begun), min(at, MaxWait))
						assert.Equal(t, moves, strings.Contains(got.text, "EXECUTED"))
					}
				})
			})
		}
	}
}
