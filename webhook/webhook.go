// Package webhook sends the systems of tenants what became of their orders, as Standard
// Webhooks 1.0 has it (https://www.standardwebhooks.com): the endpoints in a file, signatures,
// the sending of a message, and what of it failed.
//
// What is sent, when, and in which order is the matter of the Delivery workflow.
package webhook

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"crypto/tls"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/internal/bulkhead"
	"github.com/ltp-node/ltp/internal/reload"
)

// Bounds of an attempt to send.
const (
	// attemptTimeout is how long one may take, with everything.
	attemptTimeout = 15 * time.Second
	connectTimeout = 5 * time.Second
	// maxAnswer is how much of an answer is read, and maxHeader of its header, in bytes.
	maxAnswer, maxHeader = 16 << 10, 64 << 10
	// atOnce is how many messages a process sends to one endpoint at the same time. What is
	// over that is tried again later, so that an endpoint that hangs takes no more. atOnceOfOne
	// is the same for all endpoints of one tenant: three quarters of what a worker sends at once.
	atOnce, atOnceOfOne = 16, 150
	// maxWhy is how much is kept of what an attempt failed with, in bytes: an endpoint may
	// have written it.
	maxWhy = 300
)

// Webhooks are the endpoints of a file as it is now, and send messages to them. They are safe
// for concurrent use.
type Webhooks struct {
	endpoints *reload.Value[index]
	client    *http.Client
	sending   bulkhead.Keyed // by endpoint
	tenants   bulkhead.Keyed
	within    time.Duration // for one attempt
	now       func() time.Time
}

// Open reads a file of endpoints, and looks at it again once a second where it is asked; while
// it is of no use, what it held before stays, and log says so. Unless private is set,
// nothing is sent but by TLS and to public addresses.
func Open(path string, private bool, log *slog.Logger) (*Webhooks, error) {
	endpoints, err := follow(path, private, log)
	if err != nil {
		return nil, err
	}
	return &Webhooks{
		endpoints: endpoints, client: newClient(private, nil), now: time.Now,
		sending: bulkhead.Keyed{AtOnce: atOnce}, tenants: bulkhead.Keyed{AtOnce: atOnceOfOne}, within: attemptTimeout,
	}, nil
}

// newClient makes the client that sends. roots are whose certificates are believed; nil is
// the system's.
func newClient(private bool, roots *x509.CertPool) *http.Client {
	dialer := &net.Dialer{Timeout: connectTimeout}
	if !private {
		dialer.Control = refusePrivate
	}
	return &http.Client{
		Transport: &http.Transport{
			Proxy:                  nil, // one of the environment would look names up by itself
			DialContext:            dialer.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
			TLSHandshakeTimeout:    connectTimeout,
			ForceAttemptHTTP2:      true,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    atOnce,
			IdleConnTimeout:        30 * time.Second,
			MaxResponseHeaderBytes: maxHeader,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Has reports whether a tenant has endpoints.
func (w *Webhooks) Has(tenant string) bool { return len(w.endpoints.Current()[tenant]) > 0 }

// Of are the endpoints of a tenant.
func (w *Webhooks) Of(tenant string) []Endpoint { return w.endpoints.Current()[tenant] }

var _ activities.Endpoints = (*Webhooks)(nil)

// For implements [activities.Endpoints].
func (w *Webhooks) For(tenant string, e ltp.WebhookEvent) (names []string) {
	for _, one := range w.Of(tenant) {
		if one.wants(e) {
			names = append(names, one.Name)
		}
	}
	return names
}

// Send implements [activities.Endpoints]: a message is delivered where the answer is 2xx. A
// redirect is not followed, since it would lead a message to where nobody has allowed it.
func (w *Webhooks) Send(ctx context.Context, tenant, endpoint string, m ltp.Message) (status int, err error) {
	status, _, err = w.Try(ctx, tenant, endpoint, m)
	return status, err
}

// Try is Send that also returns the beginning of the answer.
func (w *Webhooks) Try(ctx context.Context, tenant, endpoint string, m ltp.Message) (status int, answer []byte, err error) {
	for _, e := range w.Of(tenant) {
		if e.Name == endpoint {
			return w.send(ctx, e, m)
		}
	}
	return 0, nil, &activities.SendError{Why: "the tenant has no such endpoint", Unknown: true}
}

func (w *Webhooks) send(ctx context.Context, to Endpoint, m ltp.Message) (status int, answer []byte, err error) {
	leave, err := w.enter(ctx, to)
	if err != nil {
		return 0, nil, err
	}
	defer leave()
	ctx, cancel := context.WithTimeout(ctx, w.within)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, to.URL, bytes.NewReader(m.Body))
	if err != nil {
		return 0, nil, &activities.SendError{Why: "its URL is of no use"}
	}
	at := w.now()
	h := request.Header
	h.Set("Content-Type", "application/json")
	h.Set("User-Agent", "ltp-webhooks/1")
	h.Set("Webhook-Id", m.ID)
	h.Set("Webhook-Timestamp", strconv.FormatInt(at.Unix(), 10))
	h.Set("Webhook-Signature", sign(to.signers, m, at))
	response, err := w.client.Do(request)
	if err != nil {
		return 0, nil, &activities.SendError{Why: shortened(unsent(err))}
	}
	// A body that is being read ends with ctx, whatever the transport makes of it.
	stop := context.AfterFunc(ctx, func() { response.Body.Close() })
	defer stop()
	defer response.Body.Close()
	status = response.StatusCode
	if status != http.StatusSwitchingProtocols { // whose body is the connection, which has no end
		answer, _ = io.ReadAll(io.LimitReader(response.Body, maxAnswer)) // the status has said it all
	}
	switch {
	case status/100 == 2:
		return status, answer, nil
	case status == http.StatusGone:
		return status, answer, &activities.SendError{Status: status, Why: "the endpoint answered 410: it wants no more", Gone: true}
	}
	return status, answer, &activities.SendError{
		Status: status, Why: fmt.Sprintf("the endpoint answered %d", status), RetryAfter: retryAfter(response.Header.Get("Retry-After"), at),
	}
}

// enter takes a place of those that an endpoint and its tenant have at once.
func (w *Webhooks) enter(ctx context.Context, to Endpoint) (leave func(), err error) {
	one, err := w.sending.Enter(ctx, ltp.FullID(to.Tenant, to.Name))
	if err != nil {
		return nil, &activities.SendError{Why: "enough is on its way to this endpoint", Busy: true}
	}
	all, err := w.tenants.Enter(ctx, to.Tenant)
	if err != nil {
		one()
		return nil, &activities.SendError{Why: "enough is on its way to the endpoints of this tenant", Busy: true}
	}
	return func() { all(); one() }, nil
}

// shortened is text of which an endpoint may have written part, without what is too much.
func shortened(s string) string {
	return strings.ToValidUTF8(s[:min(len(s), maxWhy)], "")
}

// unsent is why no answer came, without the URL: what stands in it may be secret.
func unsent(err error) string {
	var private *privateError
	if errors.As(err, &private) {
		return private.Error()
	}
	var of *url.Error
	if errors.As(err, &of) {
		if of.Timeout() {
			return "no answer came in time"
		}
		return of.Err.Error()
	}
	return err.Error()
}

// retryAfter is how long a Retry-After asks to wait, ltp.MaxRetryAfter at most; 0 where it
// cannot be understood.
func retryAfter(header string, now time.Time) time.Duration {
	s, err := strconv.ParseUint(header, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) { // s is the most there is, then
		return time.Duration(min(s, uint64(ltp.MaxRetryAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return min(max(0, at.Sub(now)), ltp.MaxRetryAfter)
	}
	return 0
}

// Stale says why the file that is there now is of no use, while the one before is in use.
func (w *Webhooks) Stale() error { return w.endpoints.Stale() }
