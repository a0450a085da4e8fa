// Package health is an adapter: it probes a component by its HTTP health endpoint.
package health

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"github.com/ltp-node/ltp/observer"
)

// Bounds of an answer.
const (
	maxBody = 64 << 10
	maxFact = 100 // characters
)

// Probe asks a health endpoint with GET, over a connection of its own. What it
// answers is taken for what the component can do, as a write is elsewhere: the
// endpoint should try what orders need of the component.
type Probe struct {
	url    string
	host   string
	client *http.Client
}

// Open returns a probe of the endpoint at an http:// or https:// URL. It does not
// connect. A user and password in the URL are sent and never shown.
func Open(rawURL string) (*Probe, error) {
	u, err := url.Parse(rawURL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("the health endpoint has no address: give http://host:port/path or https://…")
	}
	return &Probe{url: rawURL, host: u.Host, client: newClient()}, nil
}

// newClient follows no redirect, since the answer would be somebody else's, and
// speaks HTTP/1: an HTTP/2 connection to a host that has died outlives its requests.
func newClient() *http.Client {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Protocols = new(http.Protocols)
	t.Protocols.SetHTTP1(true)
	t.MaxConnsPerHost, t.MaxIdleConns, t.IdleConnTimeout = 1, 1, time.Minute
	return &http.Client{
		Transport:     t,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Probe asks once and returns when the answer is complete, or ctx ends. A 2xx is
// good; the 5xx and a refused connection are definite faults, everything else is one
// that is not. After an error the next call connects anew. Every error is a [*Fault].
//
// The facts are the "endpoint", and, where the answer is a JSON object that has them
// as strings, its "status" and "leader".
func (p *Probe) Probe(ctx context.Context) (map[string]string, error) {
	facts := map[string]string{"endpoint": p.host}
	status, err := p.ask(ctx, facts)
	switch {
	case err != nil:
		p.client.CloseIdleConnections()
		return facts, p.unreached(err)
	case status/100 != 2:
		p.client.CloseIdleConnections()
		said := fmt.Sprintf("Health endpoint says %d", status)
		return facts, &Fault{said, status/100 == 5, fmt.Errorf("%s answers %d %s", p.host, status, http.StatusText(status))}
	}
	return facts, nil
}

func (p *Probe) ask(ctx context.Context, facts map[string]string) (status int, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url, nil)
	if err != nil {
		return 0, err
	}
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "ltp-observer")
	answer, err := p.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxBody))
	if err != nil {
		return 0, fmt.Errorf("the answer broke off: %w", err)
	}
	var object map[string]any
	if json.Unmarshal(body, &object) == nil {
		for _, name := range []string{"status", "leader"} {
			if value, ok := object[name].(string); ok && value != "" {
				facts[name] = observer.Plain(value, maxFact)
			}
		}
	}
	return answer.StatusCode, nil
}

// Close closes the connection.
func (p *Probe) Close() error {
	p.client.CloseIdleConnections()
	return nil
}

// Fault is the error of a probe; it is an observer.Fault.
type Fault struct {
	reason   string
	definite bool
	err      error
}

func (f *Fault) Error() string { return f.err.Error() }

func (f *Fault) Unwrap() error { return f.err }

// Definite reports whether the error needs no confirmation by further samples.
func (f *Fault) Definite() bool { return f.definite }

// Reason is the error in a few words for people: "Health endpoint says 503".
func (f *Fault) Reason() string { return f.reason }

// unreached leaves the URL out, which may hold secrets.
func (p *Probe) unreached(err error) *Fault {
	var timeout net.Error
	var full *url.Error
	if errors.As(err, &full) {
		err = fmt.Errorf("%s: %w", p.host, full.Err)
	}
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Fault{"Health endpoint refuses connections", true, err}
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return &Fault{"Health endpoint does not answer", false, err}
	}
	return &Fault{"Health endpoint is not reached", false, err}
}
