package api

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// A client that has sent its request may close its half of the connection and read on
// (shutdown in sockets, nc -N). net/http takes that for a client that has gone, and ends
// the context of the request. Here only a connection that was reset is one.

// peers are connections that keep how reading from them ended. There are connectionsAtOnce
// of them at most: each costs memory and a file descriptor before anybody knows who asks. One
// more is closed at once, since a client that is refused tries another replica or comes again,
// and one in the kernel's queue only waits.
type peers struct {
	net.Listener
	log  *slog.Logger
	most int64
	open atomic.Int64
	said rate.Sometimes
}

func newPeers(ln net.Listener, most int64, log *slog.Logger) *peers {
	return &peers{Listener: ln, log: log, most: most, said: rate.Sometimes{Interval: time.Minute}}
}

func (l *peers) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if l.open.Add(1) <= l.most {
			return &peer{Conn: c, done: sync.OnceFunc(func() { l.open.Add(-1) })}, nil
		}
		l.open.Add(-1)
		_ = c.Close()
		l.said.Do(func() {
			l.log.Warn("connections are refused: too many are open", "listener", l.Addr().String(), "open", l.most)
		})
	}
}

type peer struct {
	net.Conn
	reset atomic.Bool
	done  func()
}

func (p *peer) Close() error {
	p.done()
	return p.Conn.Close()
}

func (p *peer) Read(b []byte) (int, error) {
	n, err := p.Conn.Read(b)
	var timeout net.Error
	if err != nil && !errors.Is(err, io.EOF) && !(errors.As(err, &timeout) && timeout.Timeout()) {
		p.reset.Store(true)
	}
	return n, err
}

// CloseWrite lets net/http close its half first, as it does with a TCP connection.
func (p *peer) CloseWrite() error {
	if c, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

type (
	peerKey      struct{}
	halfCloseKey struct{}
)

// untilHalfClosed is the context that ends also when the client has closed its half.
func untilHalfClosed(r *http.Request) context.Context {
	if ctx, ok := r.Context().Value(halfCloseKey{}).(context.Context); ok {
		return ctx
	}
	return r.Context()
}

// withPeer is for http.Server.ConnContext.
func withPeer(ctx context.Context, c net.Conn) context.Context {
	if over, ok := c.(interface{ NetConn() net.Conn }); ok { // TLS
		c = over.NetConn()
	}
	if p, ok := c.(*peer); ok {
		return context.WithValue(ctx, peerKey{}, p)
	}
	return ctx
}

// withoutHalfClose is the request under a context that ends when its connection is reset or
// end is called, and not when its client closes its own half.
func withoutHalfClose(r *http.Request) (_ *http.Request, end func()) {
	p, ok := r.Context().Value(peerKey{}).(*peer)
	if !ok {
		return r, func() {}
	}
	ctx, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(r.Context()), halfCloseKey{}, r.Context()))
	unhook := context.AfterFunc(r.Context(), func() {
		if p.reset.Load() {
			cancel()
		}
	})
	return r.WithContext(ctx), func() { unhook(); cancel() }
}
