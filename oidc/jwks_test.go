package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/oidc/oidctest"
)

// still are the keys of an issuer that are fetched when a test says so.
func still(issuer string) *keys {
	k := &keys{issuer: issuer, log: slog.New(slog.DiscardHandler), client: http.DefaultClient, wanted: make(chan struct{}, 1), waiting: make(chan struct{}, mostWaiting)}
	k.now.Store(&published{next: make(chan struct{})})
	return k
}

// aged has the last fetch, and the last one that succeeded, be so long ago.
func (k *keys) aged(by time.Duration) {
	p := *k.now.Load()
	p.at, p.fetched = p.at.Add(-by), p.fetched.Add(-by)
	k.now.Store(&p)
}

func later(err error) bool { return errors.As(err, new(interface{ RetryAfter() time.Duration })) }

// TestKeysThatWereAllWithdrawnCountNoMore: a set without a key of use is an answer, and what is
// no set is none.
func TestKeysThatWereAllWithdrawnCountNoMore(t *testing.T) {
	i := oidctest.New(t)
	var set atomic.Pointer[string]
	var front *httptest.Server
	front = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch s := set.Load(); {
		case r.URL.Path != "/keys":
			_, _ = fmt.Fprintf(w, `{"issuer":%q,"jwks_uri":%q}`, front.URL, front.URL+"/keys?realm=shop")
		case r.URL.RawQuery != "realm=shop":
			w.WriteHeader(http.StatusNotFound)
		case s == nil:
			i.ServeHTTP(w, r)
		default:
			_, _ = fmt.Fprint(w, *s)
		}
	}))
	t.Cleanup(front.Close)
	k := still(front.URL)
	key := i.Key()
	k.fetch(t.Context())
	require.NoError(t, k.now.Load().failed, "a jwks_uri may have a query")
	require.Len(t, k.now.Load().of(key.ID, key.With), 1)
	for _, none := range []string{`{}`, `{"keys":null}`, `{"keys":{}}`, `[]`, ``} {
		set.Store(&none)
		k.fetch(t.Context())
		assert.Error(t, k.now.Load().failed, none)
		assert.Len(t, k.now.Load().of(key.ID, key.With), 1, none)
	}
	for _, empty := range []string{`{"keys":[]}`, `{"keys":[{"kty":"oct","k":"AAAA"}]}`} {
		set.Store(nil)
		k.fetch(t.Context())
		require.Len(t, k.now.Load().of(key.ID, key.With), 1)
		set.Store(&empty)
		k.fetch(t.Context())
		assert.NoError(t, k.now.Load().failed, empty)
		assert.Empty(t, k.now.Load().all, empty)
		if err := k.now.Load().without(key.ID, key.With); assert.Error(t, err) {
			assert.False(t, later(err), "it is not good, and later it is not either")
		}
	}
}

// TestKeysThatCannotBeFetchedCountForAnHour, and are not known from then on.
func TestKeysThatCannotBeFetchedCountForAnHour(t *testing.T) {
	i := oidctest.New(t)
	tokens := &Tokens{Config{Issuer: i.URL, Audience: oidctest.Audience, Claims: DefaultClaims()}, still(i.URL)}
	k, token := tokens.keys, i.Token(map[string]any{"tenant": "acme", "role": "support"})
	k.fetch(t.Context())
	i.Away.Store(true)
	k.aged(50 * time.Minute)
	k.fetch(t.Context())
	_, err := tokens.Identify(t.Context(), token)
	require.NoError(t, err)
	k.aged(longestAge - 50*time.Minute - longestPause)
	k.fetch(t.Context())
	_, err = tokens.Identify(t.Context(), token)
	assert.True(t, later(err), "%v", err)
	assert.Error(t, tokens.Stale())
	i.Away.Store(false)
	k.fetch(t.Context())
	_, err = tokens.Identify(t.Context(), token)
	assert.NoError(t, err)
}

// TestTokenWithoutKidHasTheKeysFetched where the issuer has rotated them; no sooner than the
// pause allows, and no more of them wait than there is room for.
func TestTokenWithoutKidHasTheKeysFetched(t *testing.T) {
	i := oidctest.New(t)
	tokens := &Tokens{Config{Issuer: i.URL, Audience: oidctest.Audience, Claims: DefaultClaims()}, still(i.URL)}
	k := tokens.keys
	bare := func() string {
		key := i.Key()
		return oidctest.Sign(t, key.With, key.Signer, "", "JWT", i.Claims(map[string]any{"tenant": "acme", "role": "support"}))
	}
	k.fetch(t.Context())
	_, err := tokens.Identify(t.Context(), bare())
	require.NoError(t, err)
	i.Rotate()
	_, err = tokens.Identify(t.Context(), bare())
	assert.ErrorContains(t, err, "its signature is not the issuer's", "the last fetch is too recent")
	assert.Empty(t, k.wanted)

	k.aged(fetchPause)
	go func() {
		<-k.wanted
		k.fetch(context.WithoutCancel(t.Context()))
	}()
	who, err := tokens.Identify(t.Context(), bare())
	require.NoError(t, err)
	assert.Equal(t, ltp.SupportRole, who.Role)

	k.aged(fetchPause)
	i.Rotate()
	for range mostWaiting {
		k.waiting <- struct{}{}
	}
	_, err = tokens.Identify(t.Context(), bare())
	assert.True(t, later(err), "%v", err)
	assert.Empty(t, k.wanted)
}
