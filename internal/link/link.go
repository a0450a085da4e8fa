// Package link is a TCP proxy for fault injection: a link that can fail as networks do: it can be cut, so that
// connections end, and it can hang, so that they stay open and nothing arrives.
package link

import (
	"errors"
	"math"
	"net"
	"sync"
)

// Link passes what arrives at its own address on to another. It is safe for
// concurrent use.
type Link struct {
	listener net.Listener
	to       string
	watch    func(conn int64, toTarget bool, data []byte) Verdict
	done     sync.WaitGroup

	mu     sync.Mutex
	state  state
	change *sync.Cond // of state
	conns  map[net.Conn]struct{}
	opened int64
	silent int64 // the connections up to this number hang
}

type state int

const (
	whole state = iota
	hung
	cut
	closed
)

// Verdict is what becomes of a piece of data.
type Verdict int

const (
	// Pass lets it through.
	Pass Verdict = iota
	// CutBefore ends the connection; the data does not arrive.
	CutBefore
)

// New makes a link to a TCP address, on a free port of the loopback interface. Close
// must be called.
func New(to string) (*Link, error) { return NewWatched(to, nil) }

// NewWatched makes a link on which watch decides over every piece of data: it is
// called with the number of the connection, the first being 1, and the direction.
// The pieces are those of the network, not of any protocol.
func NewWatched(to string, watch func(conn int64, toTarget bool, data []byte) Verdict) (*Link, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &Link{listener: listener, to: to, watch: watch, conns: map[net.Conn]struct{}{}}
	l.change = sync.NewCond(&l.mu)
	l.done.Go(l.serve)
	return l, nil
}

// Address is where the link is entered: "127.0.0.1:port".
func (l *Link) Address() string { return l.listener.Addr().String() }

// Cut ends every connection, and every new one at once.
func (l *Link) Cut() { l.set(cut) }

// Hang keeps connections open, and takes new ones, but nothing arrives any more in
// either direction: what a network does that loses every packet.
func (l *Link) Hang() { l.set(hung) }

// HangOpen has the connections hang that are open, while new ones work: what a firewall
// does that has forgotten them.
func (l *Link) HangOpen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = l.opened
}

// Mend lets everything through again, what was held back by Hang included.
func (l *Link) Mend() { l.set(whole) }

// Close ends the link and returns when nothing of it runs.
func (l *Link) Close() error {
	err := l.listener.Close()
	l.set(closed)
	l.done.Wait()
	if errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func (l *Link) set(s state) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state == closed {
		return
	}
	l.state, l.silent = s, 0
	if s >= cut {
		for c := range l.conns {
			_ = c.Close()
		}
		clear(l.conns)
	}
	l.change.Broadcast()
}

func (l *Link) serve() {
	for {
		in, err := l.listener.Accept()
		if err != nil {
			return
		}
		l.done.Go(func() { l.join(in) })
	}
}

// join connects what came in with the target, and returns when both have ended.
func (l *Link) join(in net.Conn) {
	defer l.drop(in)
	if !l.register(in) || !l.passable(math.MaxInt64) {
		return
	}
	out, err := net.Dial("tcp", l.to)
	if err != nil {
		return
	}
	defer l.drop(out)
	if !l.register(out) {
		return
	}
	l.mu.Lock()
	l.opened++
	number := l.opened
	l.mu.Unlock()
	var back sync.WaitGroup
	back.Go(func() { l.pass(number, out, in, false) })
	l.pass(number, in, out, true)
	back.Wait()
}

// pass copies until either side ends, and ends the other.
func (l *Link) pass(number int64, from, to net.Conn, toTarget bool) {
	defer from.Close()
	defer to.Close()
	piece := make([]byte, 32<<10)
	for {
		n, err := from.Read(piece)
		if n > 0 {
			if !l.passable(number) {
				return
			}
			if l.watch != nil && l.watch(number, toTarget, piece[:n]) == CutBefore {
				return
			}
			if _, err := to.Write(piece[:n]); err != nil {
				return
			}
		}
		if err != nil {
			_ = l.passable(number) // the end of a connection is news that gets lost, too
			return
		}
	}
}

// passable waits while the link hangs for a connection, and reports whether it is whole
// then.
func (l *Link) passable(number int64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.state == hung || l.state == whole && number <= l.silent {
		l.change.Wait()
	}
	return l.state == whole
}

// register remembers a connection to cut, unless the link is cut already.
func (l *Link) register(c net.Conn) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.state >= cut {
		return false
	}
	l.conns[c] = struct{}{}
	return true
}

func (l *Link) drop(c net.Conn) {
	_ = c.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, c)
}
