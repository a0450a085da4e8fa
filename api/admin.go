package api

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/pprof"
	"slices"
	"strings"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

// AdminConfig is what the handler for operators works with.
type AdminConfig struct {
	Board *board.Board
	// Metrics may be nil: then there is no /metrics.
	Metrics Metrics
	// Auth is asked who makes a request, but for /healthz, /readyz, /problems and
	// /openapi.json: operators of the default tenant alone are answered. Nil asks nobody.
	Auth Authenticator
	// Proxy is as Config.Proxy.
	Proxy *Proxy
	// Stale says, by the name of whatever is read anew while the process runs, why it could not
	// be; nil where it could. What was read before is in use then, if anything was. /readyz
	// shows the names alone, since it asks nobody who they are: the log is where the rest is.
	// Nil knows of nothing.
	Stale func() map[string]error
	// Pprof serves profiles under /debug/pprof/.
	Pprof bool
	Log   *slog.Logger
}

// admin is the handler that NewAdmin makes. It has no bulkhead in common with the API:
// whatever customers do, operators are answered.
type admin struct {
	*surface
	board *board.Board
	stale func() map[string]error
}

// NewAdmin makes the handler for operators.
func NewAdmin(c AdminConfig) http.Handler {
	a := &admin{newSurface(operators, adminOpenAPI, "Components are at /orientation, metrics at /metrics.", c.Auth, c.Proxy, c.Metrics, c.Log), c.Board, c.Stale}
	a.handle("GET /orientation", a.allowed(ltp.Operating, a.orientations))
	a.handle("GET /orientation/{component}", a.allowed(ltp.Operating, a.orientation))
	a.handle("GET /readyz", a.ready)
	if a.metrics != nil {
		a.handle("GET /metrics", a.allowed(ltp.Operating, handled(a.metrics.Handler())))
	}
	if c.Pprof {
		for pattern, h := range map[string]http.HandlerFunc{
			"GET /debug/pprof/": pprof.Index, "GET /debug/pprof/cmdline": pprof.Cmdline, "GET /debug/pprof/profile": pprof.Profile,
			"GET /debug/pprof/symbol": pprof.Symbol, "POST /debug/pprof/symbol": pprof.Symbol, "GET /debug/pprof/trace": pprof.Trace,
		} {
			a.handle(pattern, a.allowed(ltp.Operating, handled(untilStopped(h))))
		}
	}
	return a
}

// handled is an endpoint that answers whatever comes.
func handled(h http.Handler) endpoint {
	return func(w http.ResponseWriter, r *http.Request) *problem {
		h.ServeHTTP(w, r)
		return nil
	}
}

// untilStopped ends a profile when the server is to stop.
func untilStopped(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if stop, ok := r.Context().Value(stopping{}).(context.Context); ok {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			defer context.AfterFunc(stop, cancel)()
			r = r.WithContext(ctx)
		}
		h(w, r)
	}
}

// healthy says that the process lives: GET /healthz.
func (s *surface) healthy(w http.ResponseWriter, _ *http.Request) *problem {
	_, _ = io.WriteString(w, "ok\n")
	return nil
}

// staleComponents says for which components Temporal has not lately answered, and why.
func staleComponents(b *board.Board) (missing []string) {
	for _, c := range b.Components() {
		if o := orientationOf(b, c); !o.Fresh {
			missing = append(missing, fmt.Sprintf("the orientation of %s: %s", c, o.Reason))
		}
	}
	return missing
}

// ready says whether this process can do its work: GET /readyz. It can when Temporal has
// lately answered for every component, whatever it answered: taking in orders while a
// component is unfit, or no worker runs, is what the order node is for; the answer says so.
func (a *admin) ready(w http.ResponseWriter, _ *http.Request) *problem {
	if missing := staleComponents(a.board); len(missing) > 0 {
		p := notReady.withDetail("Temporal has not answered for " + strings.Join(missing, "; ") + ". Check that Temporal runs, that its address is right, and that the component is configured.")
		p.Missing = missing
		return p.after(unreachableRetry)
	}
	_, _ = io.WriteString(w, "ready\n")
	if workers, known := a.board.Workers(); known && workers.Behind {
		_, _ = fmt.Fprintf(w, "no worker keeps up with the orders: %d wait for one, the first for %.0f s; start ltp worker\n", workers.Waiting, workers.OldestSeconds)
	}
	if a.stale == nil {
		return nil
	}
	stale := a.stale()
	for _, name := range slices.Sorted(maps.Keys(stale)) {
		if err := stale[name]; err != nil {
			_, _ = fmt.Fprintf(w, "%s could not be read anew; the log says why\n", name)
		}
	}
	return nil
}
