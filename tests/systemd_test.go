package tests

import (
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/tests/harness"
)

// TestSystemdIsNotifiedOfReadyAliveAndStopping: as systemd's Type=notify and WatchdogSec want it, that it
// is ready, that it is alive, and that it stops.
func TestSystemdIsNotifiedOfReadyAliveAndStopping(t *testing.T) {
	r := newRig(t)
	socket := filepath.Join(t.TempDir(), "notify")
	listener, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	require.NoError(t, err)
	defer listener.Close()
	said := func() string {
		buffer := make([]byte, 100)
		require.NoError(t, listener.SetReadDeadline(time.Now().Add(patience)))
		n, err := listener.Read(buffer)
		require.NoError(t, err)
		return string(buffer[:n])
	}
	p := launch(t, r.Environment("NOTIFY_SOCKET="+socket, "WATCHDOG_USEC=300000"), harness.Binary(t), "worker", "--orders-db", r.Orders)
	assert.Equal(t, "READY=1", said())
	for range 3 {
		assert.Equal(t, "WATCHDOG=1", said())
	}
	p.Interrupt()
	last := said()
	for last == "WATCHDOG=1" {
		last = said()
	}
	assert.Equal(t, "STOPPING=1", last)
}
