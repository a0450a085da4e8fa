package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"
)

// Limits of the server. A request may take changeTimeout and MaxWait, and a little
// more, before its answer must be written.
const (
	headerTimeout  = 5 * time.Second
	readTimeout    = 15 * time.Second
	writeTimeout   = 90 * time.Second
	idleTimeout    = 2 * time.Minute
	stopTimeout    = 15 * time.Second
	maxHeaderBytes = 16 << 10
)

// Listener is where customers or operators are served.
type Listener struct {
	net.Listener
	tls   *tls.Config // nil in plain text
	files certificates
}

// Stale returns why the files of the listener's certificate are of no use while those of
// before are in use, and nil where there is nothing wrong, or no certificate.
func (l *Listener) Stale() error {
	if l.tls == nil {
		return nil
	}
	return l.files.Stale()
}

// URL is the listener's address with its scheme.
func (l *Listener) URL() string {
	if l.tls != nil {
		return "https://" + l.Addr().String()
	}
	return "http://" + l.Addr().String()
}

// Listen listens on a TCP address such as "localhost:8080", for whom access admits. The
// files of a certificate are read again whenever they have changed; log says so,
// and of new ones that are of no use.
func Listen(address string, access Access, log *slog.Logger) (*Listener, error) {
	if err := access.Validate(); err != nil {
		return nil, err
	}
	at, err := access.Admits(address)
	if err != nil {
		return nil, err
	}
	l := &Listener{}
	if access.Cert != "" {
		files, err := newCertificates(access, log.With("listener", address))
		if err != nil {
			return nil, err
		}
		l.tls, l.files = files.config(), files
	}
	l.Listener, err = net.ListenTCP("tcp", at)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken by another process: stop that one, or choose another address: %w", address, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be listened on: choose a port above 1023, or run with the permission: %w", address, err)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: give an address such as localhost:8080: %w", address, err)
	}
	return l, nil
}

// open takes the connections of ln, by TLS where that is asked for.
func open(ln net.Listener, log *slog.Logger) net.Listener {
	if l, ok := ln.(*Listener); ok && l.tls != nil {
		return tls.NewListener(newPeers(l.Listener, connectionsAtOnce, log), l.tls)
	}
	return newPeers(ln, connectionsAtOnce, log)
}

// Serve serves h on ln until ctx ends, and closes ln. Then it takes no new requests,
// lets requests that wait for their order answer at once with what is known, and
// returns nil when every answer is out. It returns an error when serving fails, or
// when it had to cut requests off after some seconds.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	srv := newServer(ctx, h, log)
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(open(ln, log)) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}
	finishing, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	if err := srv.Shutdown(finishing); err != nil {
		_ = srv.Close()
		return fmt.Errorf("requests that did not end within %s were cut off: %w", stopTimeout, err)
	}
	return nil
}

func newServer(ctx context.Context, h http.Handler, log *slog.Logger) *http.Server {
	// Requests outlive ctx, so that they end in good order; what waits is ended.
	base := context.WithValue(context.WithoutCancel(ctx), stopping{}, ctx)
	return &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext:       withPeer,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
