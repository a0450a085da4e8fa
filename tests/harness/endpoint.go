package harness

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/webhook"
)

// Message is one that an endpoint got, at whatever attempt.
type Message struct {
	Header http.Header
	Body   []byte
	Status int // what it was answered; 0 is nothing
	ltp.WebhookBody
	Order map[string]any // what it says of the order
}

// ID is the same at every attempt.
func (m Message) ID() string { return m.Header.Get("webhook-id") }

// Taken reports whether it was answered 2xx.
func (m Message) Taken() bool { return m.Status/100 == 2 }

// Answer is what an endpoint does with a message: the status, or 0 to answer nothing. The
// context ends when the sender has gone.
type Answer func(context.Context, Message) (status int)

// Endpoint is the system of a tenant that receives webhooks, at one address also when it
// was away meanwhile. Its messages must be signed, and as the contract has it.
type Endpoint struct {
	URL    string
	Secret string
	Key    ed25519.PublicKey // nil where messages are signed with the secret alone

	t       *testing.T
	address string
	server  *http.Server

	mu      sync.Mutex
	answer  Answer
	all     []Message
	hanging int
}

// NewEndpoint serves an endpoint that takes all messages.
func NewEndpoint(t *testing.T) *Endpoint {
	t.Helper()
	e := &Endpoint{t: t, Secret: webhook.NewSecret(), address: "127.0.0.1:0"}
	e.Status(http.StatusNoContent)
	e.Return()
	t.Cleanup(e.Leave)
	e.URL = "http://" + e.address + "/hooks"
	return e
}

// As is the endpoint as a tenant's file has it.
func (e *Endpoint) As(name, tenant string, events ...ltp.WebhookEvent) webhook.Endpoint {
	return webhook.Endpoint{Tenant: tenant, Name: name, URL: e.URL, Secrets: []string{e.Secret}, Events: events}
}

// Return has the endpoint listen.
func (e *Endpoint) Return() {
	e.t.Helper()
	l, err := net.Listen("tcp", e.address)
	require.NoError(e.t, err)
	e.address, e.server = l.Addr().String(), &http.Server{Handler: e}
	go func(s *http.Server) { _ = s.Serve(l) }(e.server)
}

// Leave has nobody listen, and cuts what is under way.
func (e *Endpoint) Leave() { _ = e.server.Close() }

// Status has the endpoint answer with a status from now on.
func (e *Endpoint) Status(status int) {
	e.Answers(func(context.Context, Message) int { return status })
}

// Answers has the endpoint answer so from now on.
func (e *Endpoint) Answers(answer Answer) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.answer = answer
}

// Hang has the endpoint answer nothing from now on, until whoever sends has gone.
func (e *Endpoint) Hang() {
	count := func(by int) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.hanging += by
	}
	e.Answers(func(ctx context.Context, _ Message) int {
		count(1)
		defer count(-1)
		<-ctx.Done()
		return 0
	})
}

// Hanging is how many messages are under way to the endpoint that it does not answer.
func (e *Endpoint) Hanging() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.hanging
}

// All are the messages so far.
func (e *Endpoint) All() []Message {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.all)
}

// Of are the messages of an order so far; taken are those that were answered 2xx.
func (e *Endpoint) Of(orderID string) (all, taken []Message) {
	for _, m := range e.All() {
		if m.Order["id"] == orderID {
			if all = append(all, m); m.Taken() {
				taken = append(taken, m)
			}
		}
	}
	return all, taken
}

// ServeHTTP implements http.Handler. A message counts before its sender has the answer.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // it was cut off
	}
	m := Message{Header: r.Header, Body: body}
	e.verify(m)
	assert.NoError(e.t, json.Unmarshal(body, &m.WebhookBody))
	assert.NoError(e.t, json.Unmarshal(m.Data, &m.Order))
	e.mu.Lock()
	answer := e.answer
	e.mu.Unlock()
	m.Status = answer(r.Context(), m)
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, m)
	if m.Status != 0 {
		w.WriteHeader(m.Status)
	}
}

// verify holds a message against its signatures and the contract.
func (e *Endpoint) verify(m Message) {
	official, err := standardwebhooks.NewWebhook(e.Secret)
	assert.NoError(e.t, err)
	assert.NoError(e.t, official.Verify(m.Body, m.Header))
	if e.Key != nil {
		signed := fmt.Appendf(nil, "%s.%s.%s", m.ID(), m.Header.Get("webhook-timestamp"), m.Body)
		good := slices.ContainsFunc(strings.Fields(m.Header.Get("webhook-signature")), func(s string) bool {
			text, is := strings.CutPrefix(s, "v1a,")
			signature, err := base64.StdEncoding.DecodeString(text)
			return is && err == nil && ed25519.Verify(e.Key, signed, signature)
		})
		assert.True(e.t, good, "no signature of v1a: %s", m.Header.Get("webhook-signature"))
	}
	if !bytes.Contains(m.Body, []byte(ltp.WebhookTest)) { // which is of no order
		assert.NoError(e.t, Contract().Message(m.Header, m.Body))
	}
}

// EndpointFile is a file of webhooks of the test's.
type EndpointFile struct {
	Path string
	t    *testing.T
}

// NewEndpointFile writes one.
func NewEndpointFile(t *testing.T, all ...webhook.Endpoint) EndpointFile {
	t.Helper()
	f := EndpointFile{filepath.Join(t.TempDir(), "webhooks.json"), t}
	f.Hold(all...)
	return f
}

// Hold has the file hold these endpoints, at once.
func (f EndpointFile) Hold(all ...webhook.Endpoint) {
	f.t.Helper()
	data, err := json.Marshal(webhook.File{Endpoints: all})
	require.NoError(f.t, err)
	require.NoError(f.t, os.WriteFile(f.Path+".new", data, 0o600))
	require.NoError(f.t, os.Rename(f.Path+".new", f.Path))
}
