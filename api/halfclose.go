package api

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
)

// A client that has sent its request may close its half of the connection and read on
// (shutdown in sockets, nc -N). net/http takes that for a client that has gone, and ends
// the context of the request. Here only a connection that was reset is one.

// peers are connections that keep how reading from them ended.
type peers struct{ net.Listener }

func (l peers) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &peer{Conn: c}, nil
}

type peer struct {
	net.Conn
	reset atomic.Bool
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
	peerKey struct{}
	sentKey struct{}
)

// sent is the context that ends also when the client has closed its half.
func sent(r *http.Request) context.Context {
	if ctx, ok := r.Context().Value(sentKey{}).(context.Context); ok {
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
	ctx, cancel := context.WithCancel(context.WithValue(context.WithoutCancel(r.Context()), sentKey{}, r.Context()))
	unhook := context.AfterFunc(r.Context(), func() {
		if p.reset.Load() {
			cancel()
		}
	})
	return r.WithContext(ctx), func() { unhook(); cancel() }
}
