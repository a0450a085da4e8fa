package main

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// health runs the command, and returns what it printed.
func health(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetOut(&out)
	cmd.SetErr(io.Discard)
	cmd.SetArgs(append([]string{"health"}, args...))
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

// TestHealthSaysWhatTheProcessSays: in one sentence, and as an error unless it is well.
func TestHealthSaysWhatTheProcessSays(t *testing.T) {
	process := http.NewServeMux()
	process.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	process.HandleFunc("/readyz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"status":503,"detail":"Temporal has not answered for orders-db."}`)
	})
	process.HandleFunc("/behind", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ready\nno worker keeps up\n")
	})
	process.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/healthz", http.StatusFound) })
	process.HandleFunc("/empty", func(http.ResponseWriter, *http.Request) {})
	plain := httptest.NewServer(process)
	t.Cleanup(plain.Close)
	secure := httptest.NewTLSServer(process)
	t.Cleanup(secure.Close)
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, nobody.Close())

	for _, c := range []struct{ args, says, fails string }{
		{plain.URL + "/healthz", "ok\n", ""},
		{plain.URL + "/behind", "ready; no worker keeps up\n", ""},
		{plain.URL + "/empty", "ok\n", ""},
		{secure.URL + "/healthz", "ok\n", ""},
		{plain.URL + "/readyz", "", plain.URL + "/readyz answers 503: Temporal has not answered for orders-db."},
		{plain.URL, "", plain.URL + "/readyz answers 503: Temporal has not answered for orders-db."},
		{plain.URL + "/moved", "", "answers 302"},
		{plain.URL + "/nothing", "", "answers 404"},
		{"http://" + nobody.Addr().String(), "", "cannot be asked"},
		{"127.0.0.1:9464", "", `"127.0.0.1:9464" is no URL of a listener: give one such as http://127.0.0.1:8081/readyz`},
	} {
		says, err := health(t, c.args)
		assert.Equal(t, c.says, says, c.args)
		if c.fails == "" {
			assert.NoError(t, err, c.args)
		} else {
			assert.ErrorContains(t, err, c.fails, c.args)
		}
	}
}

// TestHealthDoesNotWaitForever: a process that takes connections and says nothing is not well.
func TestHealthDoesNotWaitForever(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = silent.Close() })
	_, err = health(t, "http://"+silent.Addr().String()+"/healthz")
	assert.ErrorContains(t, err, "does not answer within 3s")
}
