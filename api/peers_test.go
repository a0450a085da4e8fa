package api

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOpenConnectionsAreBounded: one that is over the bound is closed at once, and its place
// is free again as soon as another ends.
func TestOpenConnectionsAreBounded(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var said bytes.Buffer
	l := newPeers(ln, 2, slog.New(slog.NewTextHandler(&said, nil)))
	accepted, ended := make(chan net.Conn), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	dial := func() net.Conn {
		c, err := net.Dial("tcp", ln.Addr().String())
		require.NoError(t, err)
		t.Cleanup(func() { _ = c.Close() })
		return c
	}
	dial()
	first := <-accepted
	dial()
	second := <-accepted
	for range 3 {
		_, err = io.ReadAll(dial())
		assert.NoError(t, err, "the end of a connection that was closed before it was used")
	}
	require.NoError(t, first.Close())
	require.Error(t, first.Close(), "a second close frees no second place")
	dial()
	third := <-accepted
	_, err = io.ReadAll(dial())
	assert.NoError(t, err)
	require.NoError(t, second.Close())
	require.NoError(t, third.Close())
	require.NoError(t, ln.Close())
	<-ended
	assert.Equal(t, 1, bytes.Count(said.Bytes(), []byte("connections are refused")), "once a minute, not for each: %s", said.String())
}
