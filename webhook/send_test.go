package webhook

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

var message = ltp.Message{N: 1, ID: "msg_1", Event: ltp.OrderConfirmed, Body: []byte(`{"type":"order.confirmed"}`)}

// sender has one endpoint, "shop" of the default tenant.
func sender(t *testing.T, url string, private bool) *Webhooks {
	t.Helper()
	path := filepath.Join(t.TempDir(), "webhooks.json")
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(endpointJSON(""), "https://shop.example/sesame", url, 1)), 0o600))
	w, err := Open(path, private, slog.New(slog.DiscardHandler))
	require.NoError(t, err)
	return w
}

func failed(t *testing.T, err error) *activities.SendError {
	t.Helper()
	var e *activities.SendError
	require.ErrorAs(t, err, &e)
	return e
}

// TestAnswerSaysWhatBecomesOfAMessage.
func TestAnswerSaysWhatBecomesOfAMessage(t *testing.T) {
	var answer func(http.ResponseWriter)
	asked := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked++; answer(w) }))
	defer server.Close()
	w := sender(t, server.URL, true)
	send := func(f func(http.ResponseWriter)) (int, error) {
		answer = f
		return w.Send(t.Context(), "", "shop", message)
	}
	for _, status := range []int{200, 201, 202, 204, 299} {
		got, err := send(func(w http.ResponseWriter) { w.WriteHeader(status) })
		assert.NoError(t, err)
		assert.Equal(t, status, got)
	}
	for _, status := range []int{400, 401, 404, 429, 500, 503} {
		_, err := send(func(w http.ResponseWriter) { w.WriteHeader(status) })
		e := failed(t, err)
		assert.Equal(t, status, e.Status)
		assert.False(t, e.Gone || e.Busy)
		assert.Zero(t, e.RetryAfter)
	}
	_, err := send(func(w http.ResponseWriter) { w.WriteHeader(410) })
	assert.True(t, failed(t, err).Gone)
	_, err = send(func(w http.ResponseWriter) { w.Header().Set("Retry-After", "120"); w.WriteHeader(503) })
	assert.Equal(t, 2*time.Minute, failed(t, err).RetryAfter)
	_, err = send(func(w http.ResponseWriter) {
		w.Header().Set("Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat))
		w.WriteHeader(429)
	})
	assert.InDelta(t, time.Hour, failed(t, err).RetryAfter, float64(time.Minute))
	for _, most := range []string{"4294967296", "99999999999999999999999", time.Now().AddDate(200, 0, 0).UTC().Format(http.TimeFormat)} {
		_, err = send(func(w http.ResponseWriter) { w.Header().Set("Retry-After", most); w.WriteHeader(503) })
		assert.Equal(t, ltp.MaxRetryAfter, failed(t, err).RetryAfter, most)
	}
	before := asked
	_, err = send(func(w http.ResponseWriter) { w.Header().Set("Location", server.URL+"/elsewhere"); w.WriteHeader(307) })
	assert.Equal(t, 307, failed(t, err).Status)
	assert.Equal(t, before+1, asked, "a redirect is not followed")
	status, err := send(func(w http.ResponseWriter) { // more than anybody reads
		w.WriteHeader(200)
		_, _ = io.Copy(w, io.LimitReader(endless{}, 10<<20))
	})
	assert.NoError(t, err)
	assert.Equal(t, 200, status)
	_, err = w.Send(t.Context(), "acme", "shop", message)
	assert.True(t, failed(t, err).Unknown, "another tenant has no such endpoint")
	assert.False(t, failed(t, err).Gone, "this process may not know it yet")
	server.Close()
	_, err = send(nil)
	assert.NotContains(t, failed(t, err).Why, "/hooks", "what stands in the URL may be secret")
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

// TestNameThatLeadsToThisMachineIsRefused, also where it is not written as an address, and by
// a redirect of nobody's: the address is looked at as it is dialled.
func TestNameThatLeadsToThisMachineIsRefused(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was reached") }))
	defer server.Close()
	_, port, err := net.SplitHostPort(server.Listener.Addr().String())
	require.NoError(t, err)
	for _, host := range []string{"127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "0.0.0.0"} {
		_, err := sender(t, "https://"+net.JoinHostPort(strings.Trim(host, "[]"), port)+"/", false).Send(t.Context(), "", "shop", message)
		assert.Contains(t, failed(t, err).Why, "is not a public address", host)
	}
}

// TestProxyOfTheEnvironmentIsNotUsed: it would reach what must not be reached.
func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the proxy was asked") }))
	defer proxy.Close()
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		t.Setenv(name, proxy.URL)
	}
	_, err := sender(t, "http://shop.invalid/hooks", true).Send(t.Context(), "", "shop", message)
	assert.Error(t, err)
}

// TestCertificateOfAnEndpointIsChecked.
func TestCertificateOfAnEndpointIsChecked(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer server.Close()
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	w := sender(t, server.URL, true)
	_, err := w.Send(t.Context(), "", "shop", message)
	assert.Contains(t, failed(t, err).Why, "certificate")
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	w.client = newClient(true, roots)
	_, err = w.Send(t.Context(), "", "shop", message)
	assert.NoError(t, err)
}

// TestEndpointThatHangsTakesNoMoreThanItsShare: what is over it was not sent, and is tried
// again soon; another endpoint is not in its way.
func TestEndpointThatHangsTakesNoMoreThanItsShare(t *testing.T) {
	hanging := make(chan struct{})
	in := make(chan struct{}, 2*atOnce)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { in <- struct{}{}; <-hanging }))
	defer server.Close()
	w := sender(t, server.URL, true)
	ended := make(chan error, atOnce)
	for range atOnce {
		go func() { _, err := w.Send(context.Background(), "", "shop", message); ended <- err }()
	}
	for range atOnce {
		<-in
	}
	_, err := w.Send(t.Context(), "", "shop", message)
	e := failed(t, err)
	assert.True(t, e.Busy)
	close(hanging)
	for range atOnce {
		assert.NoError(t, <-ended)
	}
	_, err = w.Send(t.Context(), "", "shop", message)
	assert.NoError(t, err)
}

// TestAttemptEndsInTime, whatever the endpoint does.
func TestAttemptEndsInTime(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer silent.Close()
	w := sender(t, "http://"+silent.Addr().String(), true)
	w.within = 50 * time.Millisecond
	_, err = w.Send(t.Context(), "", "shop", message)
	assert.Equal(t, "no answer came in time", failed(t, err).Why)
	assert.False(t, errors.Is(err, context.Canceled))
}

// answering is an endpoint that answers each request with text, and keeps the connection.
func answering(t *testing.T, text string) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				if _, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
					_, _ = io.WriteString(c, text)
				}
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

// TestAnswerThatNeverEndsHoldsNothing: neither a protocol that was switched to, nor a body
// that is not sent.
func TestAnswerThatNeverEndsHoldsNothing(t *testing.T) {
	w := sender(t, answering(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), true)
	w.within = time.Hour
	patient, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	status, err := w.Send(patient, "", "shop", message)
	assert.NoError(t, patient.Err(), "it was read for as long as it may take")
	assert.Equal(t, http.StatusSwitchingProtocols, status)
	assert.Equal(t, "the endpoint answered 101", failed(t, err).Why)
	w = sender(t, answering(t, "HTTP/1.1 500 Sick\r\nContent-Length: 10\r\n\r\nwe"), true)
	w.within = 200 * time.Millisecond
	_, answer, err := w.Try(t.Context(), "", "shop", message)
	assert.Error(t, err)
	assert.LessOrEqual(t, len(answer), len("we"))
}

func TestTheReasonOfAFailedDeliveryIsBounded(t *testing.T) {
	w := sender(t, answering(t, "HTTP/1.1 "+strings.Repeat("ß", 5000)+"\r\n\r\n"), true)
	_, err := w.Send(t.Context(), "", "shop", message)
	why := failed(t, err).Why
	assert.NotEmpty(t, why)
	assert.LessOrEqual(t, len(why), maxWhy)
	assert.True(t, utf8.ValidString(why))
}

// TestTenantLeavesRoomForOthers, whatever the number of its endpoints that hang.
func TestTenantLeavesRoomForOthers(t *testing.T) {
	w := sender(t, answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), true)
	for range atOnceOfOne {
		_, err := w.enter(t.Context(), Endpoint{Tenant: "acme", Name: rand.Text()})
		require.NoError(t, err)
	}
	_, err := w.enter(t.Context(), Endpoint{Tenant: "acme", Name: "shop"})
	assert.True(t, failed(t, err).Busy)
	_, err = w.Send(t.Context(), "", "shop", message)
	assert.NoError(t, err)
}
