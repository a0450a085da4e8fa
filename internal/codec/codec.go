// Package codec answers the remote codec protocol of Temporal: POST /encode and /decode
// with payloads as JSON. Temporal UI and the Temporal CLI show by it what is encrypted.
package codec

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"go.temporal.io/sdk/converter"
)

// maxBody is the most bytes of a request: a page of a history with its largest payloads,
// in base64.
const maxBody = 16 << 20

// maxAtOnce is how many requests are decoded at once; what they hold is in memory several
// times over.
const maxAtOnce = 8

// MinToken is the fewest characters of a token.
const MinToken = 16

// New is the handler. Who asks shows the token, as "Authorization: Bearer TOKEN", or as
// the first segment of the path: Temporal UI can send no header that it was not given by a
// single sign-on. Pages of other origins than these get nothing.
func New(c converter.PayloadCodec, token string, origins []string) http.Handler {
	return &server{
		inner: converter.NewPayloadCodecHTTPHandler(c), token: sha256.Sum256([]byte(token)),
		origins: origins, room: make(chan struct{}, maxAtOnce),
	}
}

type server struct {
	inner   http.Handler
	token   [sha256.Size]byte
	origins []string
	room    chan struct{}
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Add("Vary", "Origin")
	if origin := r.Header.Get("Origin"); origin != "" {
		if !slices.Contains(s.origins, origin) {
			http.Error(w, "pages of "+origin+" are not answered: name it with --origin if they shall be", http.StatusForbidden)
			return
		}
		h.Set("Access-Control-Allow-Origin", origin)
	}
	shown, path := credentials(r)
	if path != "/encode" && path != "/decode" {
		http.NotFound(w, r)
		return
	}
	switch r.Method {
	case http.MethodOptions: // a browser asks before it sends, and shows no token then
		h.Set("Access-Control-Allow-Methods", "POST")
		h.Set("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
		h.Set("Access-Control-Max-Age", "600")
		w.WriteHeader(http.StatusNoContent)
		return
	case http.MethodPost:
	default:
		h.Set("Allow", "POST, OPTIONS")
		http.Error(w, "send a POST", http.StatusMethodNotAllowed)
		return
	}
	if digest := sha256.Sum256([]byte(shown)); subtle.ConstantTimeCompare(digest[:], s.token[:]) != 1 {
		h.Set("WWW-Authenticate", "Bearer")
		http.Error(w, "show the token of this codec server", http.StatusUnauthorized)
		return
	}
	select {
	case s.room <- struct{}{}:
		defer func() { <-s.room }()
	case <-r.Context().Done():
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		http.Error(w, "the payloads are too large: send fewer", http.StatusRequestEntityTooLarge)
		return
	case err != nil:
		http.Error(w, "the request ended early", http.StatusBadRequest)
		return
	}
	r.Body, r.URL.Path = io.NopCloser(bytes.NewReader(body)), path
	s.inner.ServeHTTP(w, r)
}

// credentials are the token that a request shows, and the path that it asks for. A path
// that holds a token counts: with a single sign-on, Temporal UI may add a header of that.
func credentials(r *http.Request) (token, path string) {
	if token, rest, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/"); ok {
		return token, "/" + rest
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return token, r.URL.Path
	}
	return "", r.URL.Path
}
