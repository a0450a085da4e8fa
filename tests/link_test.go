package tests

import (
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// link is the network between a process and Temporal, which a test can cut.
type link struct {
	listener net.Listener
	to       string

	mu    sync.Mutex
	isCut bool
	conns map[net.Conn]struct{}
}

// newLink makes a link to an address.
func newLink(t *testing.T, to string) *link {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	l := &link{listener: listener, to: to, conns: map[net.Conn]struct{}{}}
	go l.serve()
	t.Cleanup(func() { _ = listener.Close(); l.cut() })
	return l
}

func (l *link) address() string { return l.listener.Addr().String() }

// cut ends every connection, and every new one at once.
func (l *link) cut() { l.set(true) }

// mend lets new connections through.
func (l *link) mend() { l.set(false) }

func (l *link) set(isCut bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.isCut = isCut
	if isCut {
		for c := range l.conns {
			_ = c.Close()
		}
		clear(l.conns)
	}
}

func (l *link) serve() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", l.to)
		if err != nil || !l.keep(in, out) {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		go l.pass(in, out)
		go l.pass(out, in)
	}
}

// keep reports whether the link is whole, and remembers the connections to cut.
func (l *link) keep(conns ...net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, c := range conns {
		l.conns[c] = struct{}{}
	}
	return !l.isCut
}

// pass copies until either side ends, and ends the other.
func (l *link) pass(from, to net.Conn) {
	_, _ = io.Copy(to, from)
	_ = from.Close()
	_ = to.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, from)
	delete(l.conns, to)
}
