package api

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/ltp-node/ltp/internal/reload"
)

// certificates are the files of an Access, which every handshake looks at anew: who renews
// a certificate replaces the files, and need not tell us.
type certificates struct{ *reload.Value[*tls.Config] }

// newCertificates reads the files, and returns an error where they are of no use.
func newCertificates(a Access, log *slog.Logger) (certificates, error) {
	v, err := reload.New(a.readFiles, 0, func(config *tls.Config, err error) {
		if err != nil {
			log.Warn("the files of the certificate have changed and are of no use: the certificate of before stays", "error", err)
			return
		}
		log.Info("the files of the certificate have changed and were read", "valid_until", config.Certificates[0].Leaf.NotAfter)
	})
	return certificates{v}, err
}

// config is what a listener is made of.
func (c certificates) config() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.Current(), nil },
	}
}

// readFiles reads the files: see [reload.Source].
func (a Access) readFiles() (seen string, use func() (*tls.Config, error)) {
	var held [3][]byte
	var failed error
	for i, name := range []string{a.Cert, a.Key, a.ClientCA} {
		if name == "" {
			continue
		}
		var err error
		held[i], err = os.ReadFile(name)
		failed = errors.Join(failed, err)
		seen += fmt.Sprintf("%d %v\n%s", len(held[i]), err, held[i])
	}
	return seen, func() (*tls.Config, error) {
		if failed != nil {
			return nil, fmt.Errorf("read the certificate: %w", failed)
		}
		return a.tlsConfig(held)
	}
}

// tlsConfig makes a configuration of what the files hold.
func (a Access) tlsConfig(held [3][]byte) (*tls.Config, error) {
	pair, err := tls.X509KeyPair(held[0], held[1])
	if err != nil {
		return nil, fmt.Errorf("%s and %s are no certificate with its key, in PEM: %w", a.Cert, a.Key, errors.New(strings.TrimPrefix(err.Error(), "tls: ")))
	}
	config := &tls.Config{
		MinVersion:   tls.VersionTLS12,
		Certificates: []tls.Certificate{pair},
		// As in plain text: what distinguishes a client that has gone from one that closes its
		// half (see peers) knows HTTP/1.1.
		NextProtos: []string{"http/1.1"},
	}
	if a.ClientCA != "" {
		config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
		// A resumed session shows no certificate again: an authority that was taken out would
		// go on counting.
		config.SessionTicketsDisabled = true
		if !config.ClientCAs.AppendCertsFromPEM(held[2]) {
			return nil, fmt.Errorf("%s holds no certificate of an authority, in PEM", a.ClientCA)
		}
	}
	return config, nil
}
