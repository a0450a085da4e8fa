package api

import (
	"log/slog"
	"net/http"
	"strings"
)

// audience is who a listener is for; several are added up.
type audience int

const (
	customers audience = 1 << iota
	operators
)

// surface is what the listeners of all audiences have in common: how requests are routed,
// measured, logged and refused, and the contract that they are held to.
type surface struct {
	to       audience
	contract []byte
	// at says where things are, to who asks for a path that is not served.
	at      string
	auth    Authenticator // of keys and tokens; nil where there are none
	proxy   *Proxy        // nil where no proxy is believed; without both, nobody is asked who they are
	metrics Metrics
	log     *slog.Logger
	mux     *http.ServeMux
}

func newSurface(to audience, contract []byte, at string, auth Authenticator, proxy *Proxy, m Metrics, log *slog.Logger) *surface {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &surface{to: to, contract: contract, at: at, auth: auth, proxy: proxy, metrics: m, log: log, mux: http.NewServeMux()}
	s.handle("GET /problems", s.problems)
	s.handle("GET /problems/{name}", s.explain)
	s.handle("GET /openapi.json", s.document)
	s.handle("GET /healthz", s.healthy)
	return s
}

// takesNone reports whether a pattern is of orders and takes no query.
func takesNone(pattern string) bool {
	return pattern != "GET /orders" && strings.Contains(pattern, " /orders")
}

// unknownParameter refuses a query where none is taken.
func unknownParameter(r *http.Request) *problem {
	name, _, _ := strings.Cut(r.URL.RawQuery, "=")
	return invalidRequest.in(name, "there is no such parameter: this address takes none")
}

// endpoint answers a request, or returns the problem to answer with.
type endpoint func(http.ResponseWriter, *http.Request) *problem

// handle registers an endpoint: it answers, or returns the problem to answer with.
func (s *surface) handle(pattern string, serve endpoint) {
	if takesNone(pattern) {
		answer := serve
		serve = func(w http.ResponseWriter, r *http.Request) *problem {
			if r.URL.RawQuery != "" {
				return unknownParameter(r)
			}
			return answer(w, r)
		}
	}
	s.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		if p := serve(w, r); p != nil {
			s.refuse(w, r, p)
		}
	})
}
