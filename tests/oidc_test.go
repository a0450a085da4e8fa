package tests

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/serviceerror"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/oidc/oidctest"
	"github.com/ltp-node/ltp/tests/harness"
)

// issuer is an OpenID Connect issuer that is reached by https, and the file of the certificate
// authority that vouches for it.
func issuer(t *testing.T) (i *oidctest.Issuer, authority string) {
	t.Helper()
	i = oidctest.New(t)
	front := httptest.NewTLSServer(i)
	t.Cleanup(front.Close)
	i.Server.URL = front.URL
	authority = filepath.Join(t.TempDir(), "authority.pem")
	require.NoError(t, os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: front.Certificate().Raw}), 0o600))
	return i, authority
}

// tokenAPI starts an API process that lets in who shows a token of an issuer, and returns its URL.
func (r *rig) tokenAPI(i *oidctest.Issuer, authority string) (url string) {
	r.T.Helper()
	env := r.Environment("SSL_CERT_FILE=" + authority)
	p := launch(r.T, env, harness.Binary(r.T), "api", "--api", "127.0.0.1:0", "--admin", "", "--oidc-issuer", i.URL, "--oidc-audience", oidctest.Audience)
	return p.Says(&p.Stderr, `Order API: (http://\S+)`)[1]
}

// begun reports whether there is an order of an id, whoever's it is.
func (r *rig) begun(id string) bool {
	r.T.Helper()
	for _, tenant := range []string{"", "acme", "globex"} {
		_, err := r.Client.DescribeWorkflow(r.Ctx, ltp.OrderWorkflowID(ltp.FullID(tenant, id)), "")
		if err == nil {
			return true
		}
		require.ErrorAs(r.T, err, new(*serviceerror.NotFound))
	}
	return false
}

// TestTokensOfAnIssuerReachTheBinary: a process of ltp lets in who shows a good token of its
// issuer, for the tenant that the token names, and nobody else. It picks up that the issuer
// rotates its keys, and needs no issuer for those that it knows.
func TestTokensOfAnIssuerReachTheBinary(t *testing.T) {
	r := newRig(t)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	i, authority := issuer(t)
	api := r.tokenAPI(i, authority)

	of := func(tenant string) map[string]any {
		return map[string]any{"tenant": tenant, "role": "customer", "customer": "c-17"}
	}
	with := func(claims map[string]any, name string, value any) map[string]any {
		claims[name] = value
		return claims
	}
	bearer := func(token string) map[string]string { return map[string]string{"Authorization": "Bearer " + token} }
	submit := func(api, id, token string) (*http.Response, map[string]any) {
		return do(t, "POST", api+"/orders", ordertest.JSON(id), and(bearer(token), "Prefer", "wait=30"))
	}
	sees := func(api, token string, want int) func() bool {
		return func() bool {
			response, _ := do(t, "GET", api+"/orders", "", bearer(token))
			return response.StatusCode == want
		}
	}
	good := i.Token(of("acme"))
	require.Eventually(t, sees(api, good, http.StatusOK), patience, 50*time.Millisecond, "its keys are fetched")

	response, o := submit(api, "T1", good)
	require.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
	_, err := r.Start.Get(r.Ctx, ltp.FullID("acme", "T1"))
	require.NoError(t, err, "it is the tenant's")
	response, _ = do(t, "GET", api+"/orders/T1", "", bearer(i.Token(of("globex"))))
	assert.Equal(t, http.StatusNotFound, response.StatusCode, "and no other's")

	stranger := oidctest.New(t).Key()
	for what, token := range map[string]string{
		"expired":                  i.Token(with(of("acme"), "exp", time.Now().Add(-time.Hour).Unix())),
		"of another audience":      i.Token(with(of("acme"), "aud", "billing")),
		"of another issuer":        i.Token(with(of("acme"), "iss", "https://id.example.com")),
		"signed by an unknown key": oidctest.Sign(t, stranger.With, stranger.Signer, stranger.ID, "JWT", i.Claims(of("acme"))),
		"signed by another's key":  oidctest.Sign(t, stranger.With, stranger.Signer, i.Key().ID, "JWT", i.Claims(of("acme"))),
	} {
		response, o := submit(api, "T2", token)
		assert.Equal(t, http.StatusUnauthorized, response.StatusCode, "%s: %v", what, o)
		assert.Contains(t, response.Header.Get("WWW-Authenticate"), "Bearer", what)
		assert.False(t, r.begun("T2"), what)
	}
	response, o = do(t, "POST", api+"/orders", ordertest.JSON("T2"), nil)
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode, "%v", o)
	assert.False(t, r.begun("T2"))

	// The issuer rotates its keys.
	i.Rotate()
	rotated := i.Token(of("acme"))
	require.Eventually(t, sees(api, rotated, http.StatusOK), patience, 50*time.Millisecond, "the new key is picked up")
	response, o = submit(api, "T2", good)
	assert.Equal(t, http.StatusUnauthorized, response.StatusCode, "%v", o)
	response, o = submit(api, "T3", rotated)
	assert.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)

	// The issuer is away: only whether an unknown key is its own cannot be said.
	i.Away.Store(true)
	unknown := oidctest.Sign(t, stranger.With, stranger.Signer, stranger.ID, "JWT", i.Claims(of("acme")))
	require.Eventually(t, sees(api, unknown, http.StatusServiceUnavailable), patience, 50*time.Millisecond, "it is seen to be away")
	response, o = submit(api, "T4", rotated)
	assert.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
	response, o = submit(api, "T2", good)
	assert.Contains(t, []int{http.StatusUnauthorized, http.StatusServiceUnavailable}, response.StatusCode, "%v", o)

	// A process that starts now refuses nobody for good.
	late := r.tokenAPI(i, authority)
	response, o = submit(late, "T2", rotated)
	assert.Equal(t, http.StatusServiceUnavailable, response.StatusCode, "%v", o)
	assert.NotEmpty(t, response.Header.Get("Retry-After"))
	assert.False(t, r.begun("T2"), "nothing was begun by whom nobody vouches for")
	i.Away.Store(false)
	require.Eventually(t, sees(late, rotated, http.StatusOK), patience, 50*time.Millisecond, "its keys are fetched")
	response, o = submit(late, "T5", rotated)
	assert.Equal(t, http.StatusCreated, response.StatusCode, "%v", o)
}
