package loopback_test

import (
	"net"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/loopback"
)

func TestAPortIsFreeAndStaysSo(t *testing.T) {
	seen := map[int]bool{}
	for range 200 {
		port, err := loopback.Port(0)
		require.NoError(t, err)
		require.False(t, seen[port], "it was given out already")
		seen[port] = true
	}
	for port := range seen {
		again, err := loopback.Port(port)
		require.NoError(t, err)
		assert.Equal(t, port, again)
	}
}

func TestAPortThatIsTakenIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", net.JoinHostPort(loopback.Address, "0"))
	require.NoError(t, err)
	defer l.Close()
	port := l.Addr().(*net.TCPAddr).Port
	_, err = loopback.Port(port)
	require.ErrorContains(t, err, "cannot listen on port "+strconv.Itoa(port))
}
