package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// ServeHTTP routes a request, measures it, and turns panics and what the mux
// refuses into problems.
func (s *surface) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun := time.Now()
	rec := &recorder{ResponseWriter: w}
	inner, end := withoutHalfClose(r)
	defer end()
	outer := r // whose Pattern the mux sets
	defer func() { outer.Pattern = inner.Pattern }()
	r = inner
	defer func() {
		if v := recover(); v != nil {
			s.survive(rec, r, v)
		}
		took := time.Since(begun)
		if s.metrics != nil {
			s.metrics.Served(r.Pattern, rec.code, took)
		}
		s.log.Debug("request", "method", r.Method, "path", r.URL.Path, "route", r.Pattern, "status", rec.code, "took", took)
	}()
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if refusal, pattern := s.mux.Handler(r); pattern == "" {
		s.unmatched(rec, r, refusal)
		return
	}
	s.mux.ServeHTTP(rec, r)
}

// survive answers for a handler that panicked.
func (s *surface) survive(w *recorder, r *http.Request, v any) {
	if v == http.ErrAbortHandler {
		panic(v)
	}
	p := internalError.withDetail("Something is wrong here, not with the request. Try again; if it stays so, tell support the instance.")
	p.cause = fmt.Errorf("panic: %v\n%s", v, debug.Stack())
	if w.code != 0 {
		s.log.Error("a request panicked after its answer had begun", "method", r.Method, "path", r.URL.Path, "error", p.cause)
		panic(http.ErrAbortHandler) // only a broken connection still shows the client that the answer is not whole
	}
	s.refuse(w, r, p)
}

// unmatched answers what no route serves. The mux knows whether another method
// would have been served, and which.
func (s *surface) unmatched(w http.ResponseWriter, r *http.Request, refusal http.Handler) {
	said := &discarded{header: http.Header{}}
	refusal.ServeHTTP(said, r)
	if said.code == http.StatusMethodNotAllowed {
		allow := said.header.Get("Allow")
		w.Header().Set("Allow", allow)
		s.refuse(w, r, methodNotAllowed.withDetail("Use "+allow+" here."))
		return
	}
	s.refuse(w, r, notFound.withDetail("There is nothing at this path. "+s.at))
}

// recorder remembers the status of an answer; 0 while nothing has been written.
type recorder struct {
	http.ResponseWriter
	code int
}

func (w *recorder) WriteHeader(code int) {
	if w.code == 0 {
		w.code = code
	}
	w.ResponseWriter.WriteHeader(code)
}

func (w *recorder) Write(p []byte) (int, error) {
	if w.code == 0 {
		w.code = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap lets http.ResponseController through.
func (w *recorder) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// discarded takes an answer that is not sent.
type discarded struct {
	header http.Header
	code   int
}

func (w *discarded) Header() http.Header         { return w.header }
func (w *discarded) Write(p []byte) (int, error) { return len(p), nil }
func (w *discarded) WriteHeader(code int)        { w.code = code }

// reply answers with v as JSON.
func reply(w http.ResponseWriter, code int, v any) {
	write(w, code, "application/json", v)
}

// encoded is v as JSON, in a line.
func encoded(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // people read "DB Write Latency > 5000ms" with curl
	if err := e.Encode(v); err != nil {
		panic(err) // becomes a 500
	}
	return b.Bytes()
}

func write(w http.ResponseWriter, code int, contentType string, v any) {
	body := encoded(v) // before anything is written
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// changeContext is the context of a call that changes something in Temporal. It is given up
// with its client: nothing was promised, and what was begun stands under its id.
func changeContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), changeTimeout)
}

// lookupContext is the context of a call that only looks something up.
func lookupContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(r.Context(), lookupTimeout)
}

// stopping is the key of the context that ends when the server is asked to stop: see
// [Serve].
type stopping struct{}

// waiting is a context that ends after d, when the caller's key or token does or is revoked,
// when the client goes, or when the server is asked to stop: the answer then says what is known.
func waiting(w http.ResponseWriter, r *http.Request, d time.Duration) (context.Context, context.CancelFunc) {
	// The server reads on while the handler waits, to see the client go; when the
	// read timeout passes meanwhile, it takes the client for gone.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(d + readTimeout))
	ends := time.Now().Add(d)
	if who := callerOf(r); !who.Expires.IsZero() && who.Expires.Before(ends) {
		ends = who.Expires // nobody reads more than they may ask for
	}
	ctx, cancel := context.WithDeadline(r.Context(), ends)
	if r.Context().Value(recheckKey{}) != nil {
		go func() {
			beat := time.NewTicker(identityBeat)
			defer beat.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-beat.C:
					if recheck(r) != nil {
						cancel()
					}
				}
			}
		}()
	}
	stop, ok := r.Context().Value(stopping{}).(context.Context)
	if !ok {
		return ctx, cancel
	}
	unhook := context.AfterFunc(stop, cancel)
	return ctx, func() { unhook(); cancel() }
}
