package api

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// memoryConn is one end of a connection in memory of which each side may close its half.
type memoryConn struct {
	net.Conn // what is written
	in       net.Conn
}

// memoryConnection is a connection in memory.
func memoryConnection() (client, server *memoryConn) {
	requestIn, requestOut := net.Pipe()
	answerIn, answerOut := net.Pipe()
	return &memoryConn{requestOut, answerIn}, &memoryConn{answerOut, requestIn}
}

func (c *memoryConn) Read(b []byte) (int, error)        { return c.in.Read(b) }
func (c *memoryConn) SetReadDeadline(t time.Time) error { return c.in.SetReadDeadline(t) }
func (c *memoryConn) CloseWrite() error                 { return c.Conn.Close() }
func (c *memoryConn) Close() error {
	_ = c.in.Close()
	return c.Conn.Close()
}

// memoryListener takes the connections of a channel.
type memoryListener chan net.Conn

func (l memoryListener) Accept() (net.Conn, error) {
	if c, open := <-l; open {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (l memoryListener) Close() error {
	close(l)
	return nil
}

func (l memoryListener) Addr() net.Addr { return &net.UnixAddr{Name: "memory"} }

// TestClientThatClosesItsHalfIsAnswered: it has said all, and listens.
func TestClientThatClosesItsHalfIsAnswered(t *testing.T) {
	for name, encrypted := range map[string]bool{"in plain text": false, "by TLS": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newHeld()
				inner := make(memoryListener)
				var ln net.Listener = inner
				client, server := memoryConnection()
				var c interface {
					io.ReadWriter
					CloseWrite() error
				} = client
				if encrypted {
					f := newFiles(t)
					files, err := newCertificates(f.access(), quiet)
					require.NoError(t, err)
					ln = &Listener{Listener: inner, tls: files.config(), files: files}
					c = tls.Client(client, &tls.Config{RootCAs: f.roots, ServerName: "127.0.0.1"})
				}
				ctx, stop := context.WithCancel(t.Context())
				served := make(chan error, 1)
				go func() {
					served <- Serve(ctx, ln, New(Config{Starter: d, Board: observed(ltp.Stable)}), slog.New(slog.DiscardHandler))
				}()
				inner <- server
				sendOrder(t, c)
				<-d.came
				require.NoError(t, c.CloseWrite())
				synctest.Wait() // the server has seen the end
				assert.Empty(t, d.gone, "the order was given up")
				close(d.letGo)
				answer, err := io.ReadAll(c)
				require.NoError(t, err)
				assert.Regexp(t, `^HTTP/1.1 202 `, string(answer))
				stop()
				require.NoError(t, <-served)
			})
		})
	}
}
