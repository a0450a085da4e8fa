package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
)

// Authenticator knows who shows a key or a token: see apikey.Keys and oidc.Tokens.
type Authenticator interface {
	// Identify says whose secret it is. An error says to whoever shows it why it is
	// nobody's, and holds nothing of it. An *ltp.ForbiddenError says that it is somebody's who
	// may do nothing here, and one with a method RetryAfter that it cannot be known now.
	Identify(ctx context.Context, secret string) (ltp.Identity, error)
}

// maxSecret is the most bytes that are looked at of what stands behind Bearer.
const maxSecret = 8 << 10

// caller is the key of the ltp.Identity of a request that was let in.
type caller struct{}

// callerOf is who makes a request that was let in.
func callerOf(r *http.Request) ltp.Identity { return callerIn(r.Context()) }

func callerIn(ctx context.Context) ltp.Identity {
	who, _ := ctx.Value(caller{}).(ltp.Identity) // the zero one may do nothing
	return who
}

// identityBeat is how often it is asked again who makes a request that waits or streams.
const identityBeat = 5 * time.Second

// recheckKey is the key of a func() *problem that asks once more who makes a request.
type recheckKey struct{}

// recheck is the problem of a request whose caller was let in and would not be now: the key was
// revoked, the token has expired or the issuer has withdrawn its key, or it names another
// identity. While that cannot be known it is nil, as it is where nobody is asked who they are.
func recheck(r *http.Request) *problem {
	if ask, ok := r.Context().Value(recheckKey{}).(func() *problem); ok {
		return ask()
	}
	return nil
}

// recheckIdentity asks once more who makes a request that was let in as who.
func (s *surface) recheckIdentity(r *http.Request, who ltp.Identity) *problem {
	now, p := s.identify(r)
	switch {
	case p != nil && p.Type == unidentified.path():
		return nil
	case p != nil:
		return p
	case now.Name != who.Name, now.Tenant != who.Tenant, now.Role != who.Role, now.Customer != who.Customer:
		return unauthenticated.withDetail("The key is another's than when the request began: send it again.")
	}
	return nil
}

func tenantOf(ctx context.Context) string { return callerIn(ctx).Tenant }

// allowed is an endpoint for those who may do what it does. Where nobody is asked who they
// are, that is anybody.
func (s *surface) allowed(does ltp.Action, next endpoint) endpoint {
	return func(w http.ResponseWriter, r *http.Request) *problem {
		who, ctx := ltp.Anybody(), r.Context()
		if s.auth != nil || s.proxy != nil {
			var p *problem
			if who, p = s.identify(r); p != nil {
				s.challenge(w, r, p)
				return p
			}
			s.log.Debug("request of a key", "method", r.Method, "path", r.URL.Path, "key", who.Name, "tenant", who.Tenant, "role", who.Role)
			ctx = context.WithValue(ctx, recheckKey{}, func() *problem { return s.recheckIdentity(r, who) })
		}
		var p *problem
		if who.May(does) {
			p = next(w, r.WithContext(context.WithValue(ctx, caller{}, who)))
		} else {
			p = forbiddenAction(who, does)
		}
		if p != nil {
			p.who = who
			s.challenge(w, r, p)
		}
		return p
	}
}

// challenge says how to show who one is, and what was wrong with it, as RFC 6750 has it. Where
// no key or token counts it says nothing.
func (s *surface) challenge(w http.ResponseWriter, r *http.Request, p *problem) {
	if s.auth == nil {
		return
	}
	said := "Bearer"
	switch shown := len(r.Header.Values("Authorization")); {
	case p.Type == forbidden.path():
		said += ` error="insufficient_scope"`
	case p.Type != unauthenticated.path():
		return
	case s.proxy != nil && s.proxy.named(r): // it is these headers that are refused
		said += ` error="invalid_request"`
	case shown == 1:
		said += ` error="invalid_token"`
	case shown > 1:
		said += ` error="invalid_request"`
	}
	w.Header().Set("WWW-Authenticate", said)
}

// identify says who makes a request: whom a proxy names, or who shows a key or a token.
func (s *surface) identify(r *http.Request) (ltp.Identity, *problem) {
	if s.proxy != nil {
		if who, named, p := s.proxy.identify(r); named {
			if p != nil {
				s.log.Debug("headers of identity are refused", "from", r.RemoteAddr, "detail", p.Detail)
			}
			return who, p
		}
		if s.auth == nil {
			return ltp.Identity{}, unauthenticated.withDetail("Nobody is named as who makes this request: send it by way of the proxy that says so.")
		}
	}
	secret, p := bearer(r.Header)
	if p != nil {
		return ltp.Identity{}, p
	}
	who, err := s.auth.Identify(r.Context(), secret)
	var later interface{ RetryAfter() time.Duration }
	switch {
	case errors.As(err, &later):
		return ltp.Identity{}, unidentified.withDetail("It cannot be found out now who you are: " + sentence(err.Error()) + " Nothing was done: send the request again after the Retry-After.").after(later.RetryAfter())
	case forbiddenProblem(err) != nil:
		return ltp.Identity{}, forbiddenProblem(err)
	case err != nil:
		return ltp.Identity{}, unauthenticated.withDetail("The key is not accepted: " + sentence(err.Error()))
	}
	who.Known = true
	return who, nil
}

// bearer is the secret that a request shows.
func bearer(h http.Header) (secret string, p *problem) {
	values := h.Values("Authorization")
	if len(values) == 0 {
		return "", unauthenticated.withDetail("Send the header Authorization: Bearer, with a key that whoever runs the order node has given you.")
	}
	if len(values) > 1 {
		return "", unauthenticated.withDetail("Send the header Authorization once.")
	}
	scheme, secret, _ := strings.Cut(strings.TrimSpace(values[0]), " ")
	secret = strings.TrimLeft(secret, " ")
	switch {
	case !strings.EqualFold(scheme, "Bearer"):
		return "", unauthenticated.withDetail("Keys and tokens are shown by the scheme Bearer alone: send Authorization: Bearer, and the key.")
	case secret == "":
		return "", unauthenticated.withDetail("There is no key behind Bearer: send Authorization: Bearer, and the key.")
	case len(secret) > maxSecret:
		return "", unauthenticated.withDetail(fmt.Sprintf("What stands behind Bearer is no key: none has more than %d bytes.", maxSecret))
	}
	return secret, nil
}

// forbiddenAction is the problem of who may not do something at all.
func forbiddenAction(who ltp.Identity, does ltp.Action) *problem {
	if does == ltp.Operating && who.Role == ltp.OperatorRole {
		return forbidden.withDetail("This key is an operator's of one tenant, and what stands here is of all: use one that was made without a tenant.")
	}
	return forbidden.withDetail(fmt.Sprintf("A key of the role %s cannot %s.", who.Role, does))
}

// forbiddenProblem is the problem of a *ltp.ForbiddenError, and nil for no error.
func forbiddenProblem(err error) *problem {
	var not *ltp.ForbiddenError
	if errors.As(err, &not) {
		return forbidden.in(not.Field, not.Hint)
	}
	return nil
}
