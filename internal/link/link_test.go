package link_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/link"
)

// echo is a server that says what it hears.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer c.Close(); _, _ = io.Copy(c, c) }()
		}
	}()
	return l.Addr().String()
}

type talk struct {
	t *testing.T
	net.Conn
	lines *bufio.Reader
}

func dial(t *testing.T, address string) talk {
	t.Helper()
	c, err := net.Dial("tcp", address)
	require.NoError(t, err)
	t.Cleanup(func() { _ = c.Close() })
	return talk{t, c, bufio.NewReader(c)}
}

func (c talk) say(line string) {
	c.t.Helper()
	_, err := c.Write([]byte(line + "\n"))
	require.NoError(c.t, err)
}

func (c talk) hear(want string) {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	got, err := c.lines.ReadString('\n')
	require.NoError(c.t, err)
	assert.Equal(c.t, want+"\n", got)
}

func (c talk) ends() {
	c.t.Helper()
	require.NoError(c.t, c.SetReadDeadline(time.Now().Add(time.Minute)))
	_, err := io.Copy(io.Discard, c.lines)
	if err != nil { // an end is an end, in order or not
		assert.NotErrorIs(c.t, err, net.ErrClosed)
		var timeout net.Error
		assert.False(c.t, assert.ErrorAs(c.t, err, &timeout) && timeout.Timeout(), "it is still there")
	}
}

func newLink(t *testing.T, to string) *link.Link {
	t.Helper()
	l, err := link.New(to)
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	return l
}

func TestACutLinkEndsConnectionsOldAndNew(t *testing.T) {
	l := newLink(t, echo(t))
	before := dial(t, l.Address())
	before.say("one")
	before.hear("one")
	l.Cut()
	before.ends()
	dial(t, l.Address()).ends()
	l.Mend()
	after := dial(t, l.Address())
	after.say("two")
	after.hear("two")
}

func TestAHungLinkHoldsEverythingBack(t *testing.T) {
	l := newLink(t, echo(t))
	c := dial(t, l.Address())
	c.say("one")
	c.hear("one")
	l.Hang()
	c.say("two")
	fresh := dial(t, l.Address())
	fresh.say("three")
	require.NoError(t, c.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err := c.Read(make([]byte, 1))
	var timeout net.Error
	require.ErrorAs(t, err, &timeout)
	assert.True(t, timeout.Timeout())
	l.Mend()
	c.hear("two")
	fresh.hear("three")
}

func TestTheWatchDecidesOverEveryPiece(t *testing.T) {
	arrived := make(chan string, 10)
	l, err := link.NewWatched(echo(t), func(_ int64, toTarget bool, data []byte) link.Verdict {
		if toTarget && bytes.Contains(data, []byte("secret")) {
			return link.CutBefore
		}
		if toTarget {
			arrived <- string(data)
		}
		return link.Pass
	})
	require.NoError(t, err)
	t.Cleanup(func() { assert.NoError(t, l.Close()) })
	c := dial(t, l.Address())
	c.say("hello")
	c.hear("hello")
	c.say("secret")
	c.ends()
	assert.Len(t, arrived, 1)
}
