// Package oidc knows who shows a token of an OpenID Connect issuer: a JSON Web Token (JWT,
// RFC 7519) that the issuer has signed for this node, and whose claims name a tenant, a role
// and a customer.
//
// Tokens are checked as RFC 8725 has it: asymmetric algorithms alone, by keys that the issuer
// publishes for them, with iss, aud and exp that must be there and nbf and iat that may. What
// a token says of its own keys (jwk, jku, x5u) is not looked at.
package oidc

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/ltp-node/ltp"
)

// Leeway is by how much the clocks of the issuer and of this machine may differ: a token is
// good for so much longer, and so much earlier.
const Leeway = 30 * time.Second

// algorithms are those that tokens may be signed by. None is symmetric: a key that the issuer
// publishes would be the secret.
var algorithms = []jose.SignatureAlgorithm{
	jose.RS256, jose.RS384, jose.RS512, jose.PS256, jose.PS384, jose.PS512, jose.ES256, jose.ES384, jose.ES512, jose.EdDSA,
}

// Config says whose tokens count, and what they say.
type Config struct {
	// Issuer is the URL of the issuer, as it stands in iss: https, or http on this machine.
	Issuer string
	// Audience is what aud must hold: what the issuer calls this node.
	Audience string
	Claims   Claims
	// Bounds are those of a tenant's customers; nil has none be more than the default.
	Bounds func(tenant string) ltp.Bounds
	Log    *slog.Logger
}

// Validate returns an *ltp.InvalidError for what cannot be.
func (c Config) Validate() error {
	if err := validURL(c.Issuer); err != nil {
		return &ltp.InvalidError{Field: "issuer", Hint: err.Error()}
	}
	if strings.Contains(c.Issuer, "?") {
		return &ltp.InvalidError{Field: "issuer", Hint: "an issuer has no query: give a URL such as https://id.example.com/realms/shop"}
	}
	if c.Audience == "" {
		return &ltp.InvalidError{Field: "audience", Hint: "say what the issuer calls this node: tokens for others are not for it"}
	}
	return c.Claims.validate()
}

// validURL returns an error for a URL that keys may not come from.
func validURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Fragment != "" || u.User != nil {
		return errors.New("give a URL such as https://id.example.com/realms/shop")
	}
	if u.Scheme == "http" {
		if ip := net.ParseIP(u.Hostname()); u.Hostname() == "localhost" || ip.IsLoopback() {
			return nil
		}
		return errors.New("keys that come by http may be anybody's: use https, or an issuer on this machine")
	}
	if u.Scheme != "https" {
		return errors.New("give a URL that begins with https://")
	}
	return nil
}

// Tokens knows who shows a token. It is safe for concurrent use.
type Tokens struct {
	config Config
	keys   *keys
}

// Open begins to fetch the keys of the issuer, and goes on to do so until ctx ends. An issuer
// that does not answer keeps nobody from starting: the log says so, and until it has answered
// once no token can be checked.
func Open(ctx context.Context, c Config) (*Tokens, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return &Tokens{c, fetching(ctx, c.Issuer, c.Log)}, nil
}

// Stale returns why the keys of the issuer could not be fetched the last time. Those of before
// are in use, where there are any, for an hour at most.
func (t *Tokens) Stale() error { return t.keys.now.Load().failed }

// Identify says who shows a token. It returns an *ltp.ForbiddenError for a good token that
// says nothing of use here, an error with a method RetryAfter while that cannot be known, and
// another error, in a sentence that holds nothing of the token, for one that is not good.
func (t *Tokens) Identify(ctx context.Context, token string) (ltp.Identity, error) {
	parsed, err := jwt.ParseSigned(token, algorithms)
	if err != nil || len(parsed.Headers) != 1 {
		return ltp.Identity{}, errors.New("it is no token that is signed by RS, PS or ES with 256, 384 or 512 bits, or by EdDSA; send an access token of the issuer")
	}
	header := parsed.Headers[0]
	if !typed(header.ExtraHeaders[jose.HeaderType]) {
		return ltp.Identity{}, errors.New("its typ is none of an access token (JWT or at+jwt); send an access token of the issuer")
	}
	// What is refused by what it says of itself costs no key.
	var said jwt.Claims
	if err := parsed.UnsafeClaimsWithoutVerification(&said); err != nil {
		return ltp.Identity{}, errors.New("its claims cannot be read; send an access token of the issuer")
	}
	if err := t.holds(said); err != nil {
		return ltp.Identity{}, err
	}
	id, with := header.KeyID, jose.SignatureAlgorithm(header.Algorithm)
	var claims jwt.Claims
	var all map[string]any
	signed := func(by *published) bool {
		for _, key := range by.of(id, with) {
			claims, all = jwt.Claims{}, nil
			if parsed.Claims(key, &claims, &all) == nil {
				return true
			}
		}
		return false
	}
	now := t.keys.now.Load()
	if !signed(now) {
		if now, err = t.keys.newer(ctx, now); err != nil {
			return ltp.Identity{}, err
		}
		if !signed(now) {
			return ltp.Identity{}, now.without(id, with)
		}
	}
	if err := t.holds(claims); err != nil {
		return ltp.Identity{}, err
	}
	return t.identity(claims, all)
}

// typed reports whether a token of such a typ may be an access token: others of the same
// issuer, such as those of a logout, say so.
func typed(typ any) bool {
	if typ == nil {
		return true
	}
	s, _ := typ.(string)
	switch strings.TrimPrefix(strings.ToLower(s), "application/") {
	case "jwt", "at+jwt":
		return true
	}
	return false
}

// holds returns why claims are not those of a token that is good here and now.
func (t *Tokens) holds(c jwt.Claims) error {
	if c.Expiry == nil {
		return errors.New("it has no exp, and tokens that never end are not accepted")
	}
	err := c.ValidateWithLeeway(jwt.Expected{Issuer: t.config.Issuer, AnyAudience: jwt.Audience{t.config.Audience}}, Leeway)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, jwt.ErrInvalidIssuer):
		return errors.New("it is of another issuer (iss)")
	case errors.Is(err, jwt.ErrInvalidAudience):
		return errors.New("it is for somebody else (aud); ask the issuer for one for this order node")
	case errors.Is(err, jwt.ErrExpired):
		return fmt.Errorf("it expired at %s; ask the issuer for another one", c.Expiry.Time().UTC().Format(time.RFC3339))
	case errors.Is(err, jwt.ErrNotValidYet), errors.Is(err, jwt.ErrIssuedInTheFuture):
		return errors.New("its time has not come (nbf, iat); check the clocks")
	}
	return errors.New("its claims do not hold")
}

// identity is who the claims of a good token name.
func (t *Tokens) identity(c jwt.Claims, all map[string]any) (ltp.Identity, error) {
	who, err := t.config.Claims.identity(all)
	if err != nil {
		return ltp.Identity{}, err
	}
	who.Name, who.Expires = "sub "+printable(c.Subject), c.Expiry.Time().Add(Leeway)
	if t.config.Bounds != nil {
		who.Bounds = t.config.Bounds(who.Tenant)
	}
	return who, nil
}

// printable is a subject for logs.
func printable(s string) string {
	const most = 64
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c > '~' {
			return '?'
		}
		return c
	}, s)
	return s[:min(len(s), most)]
}
