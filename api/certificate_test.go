package api

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// authority issues certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// issue makes a certificate and its key, of the authority or, where it is nil, of itself.
func (a *authority) issue(t *testing.T, template x509.Certificate) (cert, key []byte, _ *authority) {
	t.Helper()
	own, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	if template.SerialNumber == nil {
		template.SerialNumber = big.NewInt(1)
	}
	template.NotBefore = time.Now().Add(-2 * time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	by := &authority{&template, own}
	if a != nil {
		by = a
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, by.cert, own.Public(), by.key)
	require.NoError(t, err)
	made, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(own)
	require.NoError(t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), &authority{made, own}
}

// newAuthority makes an authority and its certificate.
func newAuthority(t *testing.T, name string) (*authority, []byte) {
	t.Helper()
	cert, _, a := (*authority)(nil).issue(t, x509.Certificate{
		Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	})
	return a, cert
}

// server is what a certificate of a server on this machine is made from.
func server(serial int64) x509.Certificate {
	return x509.Certificate{
		SerialNumber: big.NewInt(serial), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func client() x509.Certificate {
	return x509.Certificate{KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
}

// files are those of the certificate that a listener is given, and may find replaced.
type files struct {
	t *testing.T
	*authority
	dir   string
	roots *x509.CertPool
}

func newFiles(t *testing.T) files {
	a, cert := newAuthority(t, "ours")
	f := files{t, a, t.TempDir(), x509.NewCertPool()}
	require.True(t, f.roots.AppendCertsFromPEM(cert))
	f.renew(1)
	return f
}

func (f files) path(name string) string { return filepath.Join(f.dir, name) }

func (f files) put(name string, content []byte) {
	f.t.Helper()
	require.NoError(f.t, os.WriteFile(f.path(name), content, 0o600))
}

// renew puts another certificate and its key in the place of those of before.
func (f files) renew(serial int64) {
	f.t.Helper()
	cert, key, _ := f.issue(f.t, server(serial))
	f.put("cert.pem", cert)
	f.put("key.pem", key)
}

func (f files) access() Access { return Access{Cert: f.path("cert.pem"), Key: f.path("key.pem")} }

// serves serves h by TLS, and returns the listener's address.
func serves(t *testing.T, h http.Handler, access Access, log *slog.Logger) *Listener {
	t.Helper()
	ln, err := Listen("127.0.0.1:0", access, log)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, ln, h, quiet) }()
	t.Cleanup(func() { stop(); assert.NoError(t, <-ended) })
	return ln
}

// serial is the number of the certificate that a new connection is shown.
func serial(t *testing.T, ln *Listener, config *tls.Config) int64 {
	t.Helper()
	c, err := tls.Dial("tcp", ln.Addr().String(), config)
	require.NoError(t, err)
	defer func() { _ = c.Close() }()
	return c.ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

// gets asks for a page over a connection of its own.
func gets(ln *Listener, path string, config *tls.Config) (code int, err error) {
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: config, DisableKeepAlives: true}}
	response, err := c.Get(ln.URL() + path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// TestListenersSpeakTLS, and nothing else, from 1.2 on.
func TestListenersSpeakTLS(t *testing.T) {
	f := newFiles(t)
	for name, h := range map[string]http.Handler{"customers": handler(newDesk()), "operators": operated(observed(ltp.Stable))} {
		ln := serves(t, h, f.access(), quiet)
		assert.Equal(t, "https://"+ln.Addr().String(), ln.URL())
		for version, served := range map[uint16]bool{tls.VersionTLS10: false, tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
			code, err := gets(ln, "/healthz", &tls.Config{RootCAs: f.roots, MinVersion: version, MaxVersion: version})
			if served {
				assert.NoError(t, err, "%s by %x", name, version)
				assert.Equal(t, 200, code)
			} else {
				assert.ErrorContains(t, err, "protocol version", "%s by %x", name, version)
			}
		}
		plain, err := http.Get("http://" + ln.Addr().String() + "/healthz")
		require.NoError(t, err)
		_ = plain.Body.Close()
		assert.Equal(t, http.StatusBadRequest, plain.StatusCode, "%s in plain text", name)
	}
}

func TestFilesThatAreNoCertificateListenNowhere(t *testing.T) {
	f := newFiles(t)
	_, foreign, _ := f.issue(t, server(2))
	f.put("foreign.pem", foreign)
	f.put("text", []byte("hello"))
	for says, a := range map[string]Access{
		"no such file":                   {Cert: f.path("nothing"), Key: f.path("key.pem")},
		"does not match":                 {Cert: f.path("cert.pem"), Key: f.path("foreign.pem")},
		"no certificate with its key":    {Cert: f.path("text"), Key: f.path("key.pem")},
		"no certificate of an authority": {Cert: f.path("cert.pem"), Key: f.path("key.pem"), ClientCA: f.path("text")},
	} {
		_, err := Listen("127.0.0.1:0", a, quiet)
		assert.ErrorContains(t, err, says)
	}
}

// TestCertificateIsRenewedWithoutARestart: the next connection is shown the new one. Files
// that are of no use are warned of once, and the certificate of before stays.
func TestCertificateIsRenewedWithoutARestart(t *testing.T) {
	f := newFiles(t)
	var log bytes.Buffer // written by handshakes, which the client has seen the end of
	ln := serves(t, handler(newDesk()), f.access(), slog.New(slog.NewTextHandler(&log, nil)))
	config := &tls.Config{RootCAs: f.roots}
	warned := func() int { return strings.Count(log.String(), "level=WARN") }

	assert.EqualValues(t, 1, serial(t, ln, config))
	assert.Empty(t, log.String())
	f.renew(2)
	assert.EqualValues(t, 2, serial(t, ln, config))
	assert.Contains(t, log.String(), "level=INFO")
	assert.Contains(t, log.String(), "listener="+"127.0.0.1:0")

	cert, key, _ := f.issue(t, server(3))
	for i, broken := range []func(){
		func() { f.put("cert.pem", cert[:len(cert)/2]) },
		func() { f.put("cert.pem", nil) },
		func() { require.NoError(t, os.Remove(f.path("cert.pem"))) },
		func() { f.put("cert.pem", cert) }, // before its key has come
	} {
		broken()
		assert.EqualValues(t, 2, serial(t, ln, config), "the one of before")
		assert.EqualValues(t, 2, serial(t, ln, config))
		assert.Equal(t, i+1, warned(), "once: %s", log.String())
	}
	f.put("key.pem", key)
	assert.EqualValues(t, 3, serial(t, ln, config))
	assert.Equal(t, 4, warned())
}

// TestClientsMustProveWhoTheyAre where there is an authority for them, to customers' and
// operators' listeners alike; and the authority may be replaced.
func TestClientsMustProveWhoTheyAre(t *testing.T) {
	f := newFiles(t)
	trusted, ca := newAuthority(t, "clients")
	other, otherCA := newAuthority(t, "others")
	f.put("client-ca.pem", ca)
	access := f.access()
	access.ClientCA = f.path("client-ca.pem")
	of := func(a *authority, template x509.Certificate) *tls.Config {
		cert, key, _ := a.issue(t, template)
		pair, err := tls.X509KeyPair(cert, key)
		require.NoError(t, err)
		return &tls.Config{RootCAs: f.roots, ClientSessionCache: tls.NewLRUClientSessionCache(9),
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }} // also to who does not ask for its authority
	}
	expired, ofServer := client(), server(7)
	expired.NotAfter = time.Now().Add(-time.Hour)
	known, foreign := of(trusted, client()), of(other, client())
	for name, h := range map[string]http.Handler{"customers": handler(newDesk()), "operators": operated(observed(ltp.Stable))} {
		f.put("client-ca.pem", ca)
		ln := serves(t, h, access, quiet)
		for who, c := range map[string]struct {
			config *tls.Config
			in     bool
		}{
			"a client of the authority": {known, true}, "nobody": {&tls.Config{RootCAs: f.roots}, false},
			"a client of another": {foreign, false}, "one whose certificate has expired": {of(trusted, expired), false},
			"a server": {of(trusted, ofServer), false}, "one who made it up": {of(nil, client()), false},
		} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				config := c.config.Clone()
				config.MaxVersion = version
				code, err := gets(ln, "/healthz", config)
				if c.in {
					assert.NoError(t, err, "%s: %s", name, who)
					assert.Equal(t, 200, code)
				} else {
					assert.Error(t, err, "%s: %s was let in by %x", name, who, version)
				}
			}
		}
		f.put("client-ca.pem", otherCA)
		_, err := gets(ln, "/healthz", known)
		assert.Error(t, err, "%s: its authority was taken out", name)
		_, err = gets(ln, "/healthz", foreign)
		assert.NoError(t, err, "%s: its authority was put in", name)
	}
}

// TestWorkIsGivenUpWithItsClientByTLS, as in plain text.
func TestWorkIsGivenUpWithItsClientByTLS(t *testing.T) {
	f := newFiles(t)
	d := newHeld()
	ln := serves(t, New(Config{Starter: d, Board: observed(ltp.Stable)}), f.access(), quiet)
	c, err := tls.Dial("tcp", ln.Addr().String(), &tls.Config{RootCAs: f.roots})
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	sendOrder(t, c)
	<-d.came
	reset := c.NetConn().(*net.TCPConn)
	require.NoError(t, reset.SetLinger(0))
	require.NoError(t, reset.Close())
	<-d.gone
	assert.Zero(t, d.starts())
}
