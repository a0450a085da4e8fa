package api

import (
	"context"
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
	writeTimeout   = time.Minute
	idleTimeout    = 2 * time.Minute
	stopTimeout    = 15 * time.Second
	maxHeaderBytes = 16 << 10
)

// Listen listens on a TCP address such as "localhost:8080".
func Listen(addr string) (net.Listener, error) {
	ln, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("%s is taken by another process: stop that one, or choose another address: %w", addr, err)
	case errors.Is(err, syscall.EACCES):
		return nil, fmt.Errorf("%s may not be listened on: choose a port above 1023, or run with the permission: %w", addr, err)
	case err != nil:
		return nil, fmt.Errorf("cannot listen on %s: give an address such as localhost:8080: %w", addr, err)
	}
	return ln, nil
}

// Serve serves h on ln until ctx ends, and closes ln. Then it takes no new requests,
// lets requests that wait for their order answer at once with what is known, and
// returns nil when every answer is out. It returns an error when serving fails, or
// when it had to cut requests off after some seconds.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, log *slog.Logger) error {
	srv := newServer(ctx, h, log)
	failed := make(chan error, 1)
	go func() { failed <- srv.Serve(ln) }()
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
	// Requests outlive ctx, so that they end in good order; what waits is told.
	base := context.WithValue(context.WithoutCancel(ctx), stopping{}, ctx)
	return &http.Server{
		Handler:           h,
		BaseContext:       func(net.Listener) context.Context { return base },
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
}
