// Package oidctest is an OpenID Connect issuer for tests: it publishes keys and signs tokens.
package oidctest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// Audience is what Issuer calls the node.
const Audience = "orders"

// Key is one of an issuer.
type Key struct {
	ID     string
	With   jose.SignatureAlgorithm
	Signer crypto.Signer
}

// Issuer publishes keys at its URL. It signs with the last of them.
type Issuer struct {
	*httptest.Server
	t *testing.T
	// Fetches is how often its keys were asked for.
	Fetches atomic.Int64
	// Away has it answer 500.
	Away atomic.Bool

	mu   sync.Mutex
	keys []Key
	also []jose.JSONWebKey
}

// New makes an issuer with one key.
func New(t *testing.T) *Issuer {
	i := &Issuer{t: t}
	i.Rotate()
	i.Server = httptest.NewServer(i)
	t.Cleanup(i.Close)
	return i
}

// ServeHTTP publishes where its keys are, and its keys.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if i.Away.Load() {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		_ = json.NewEncoder(w).Encode(map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	case "/keys":
		i.Fetches.Add(1)
		i.mu.Lock()
		defer i.mu.Unlock()
		set := jose.JSONWebKeySet{Keys: i.also}
		for _, k := range i.keys {
			set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.Signer.Public(), KeyID: k.ID, Use: "sig"})
		}
		_ = json.NewEncoder(w).Encode(set)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

// Rotate makes a new key, signs with it from now on, and publishes no other.
func (i *Issuer) Rotate() Key {
	signer, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		i.t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	key := Key{rand.Text(), jose.ES256, signer}
	i.keys = []Key{key}
	return key
}

// Add publishes another key, and signs with it from now on.
func (i *Issuer) Add(k Key) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.keys = append(i.keys, k)
}

// Publish publishes a key that it does not sign with.
func (i *Issuer) Publish(k jose.JSONWebKey) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.also = append(i.also, k)
}

// Key is what it signs with.
func (i *Issuer) Key() Key {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.keys[len(i.keys)-1]
}

// Claims are those of a good token, with others added or, where they are nil, taken out.
func (i *Issuer) Claims(others map[string]any) map[string]any {
	now := time.Now()
	all := map[string]any{"iss": i.URL, "aud": Audience, "sub": "user-1", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix()}
	maps.Copy(all, others)
	maps.DeleteFunc(all, func(_ string, v any) bool { return v == nil })
	return all
}

// Token is a good token with such claims.
func (i *Issuer) Token(others map[string]any) string {
	k := i.Key()
	return Sign(i.t, k.With, k.Signer, k.ID, "JWT", i.Claims(others))
}

// Sign signs claims with any key.
func Sign(t *testing.T, with jose.SignatureAlgorithm, key any, id string, typ jose.ContentType, claims map[string]any) string {
	t.Helper()
	o := (&jose.SignerOptions{}).WithType(typ)
	if id != "" {
		o = o.WithHeader("kid", id)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: with, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	data, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(data)
	if err != nil {
		t.Fatal(fmt.Errorf("sign: %w", err))
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
