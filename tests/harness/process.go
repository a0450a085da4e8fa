package harness

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/tests/child"
)

// BinaryVariable names an ltp binary to start in place of one that is built.
const BinaryVariable = "LTP_TEST_BINARY"

// Binary is the path of the ltp binary, which is built once for all tests of a program.
// The program removes the binary with RemoveBinary, or with its TMPDIR.
func Binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv(BinaryVariable); path != "" {
		return path
	}
	path, err := build()
	require.NoError(t, err)
	return path
}

// RemoveBinary removes what Binary has built.
func RemoveBinary() { _ = os.RemoveAll(builtIn) }

// builtIn is the directory of the binary, once there is one.
var builtIn string

var build = sync.OnceValues(func() (path string, err error) {
	if builtIn, err = os.MkdirTemp("", "ltp-binary-"); err != nil {
		return "", err
	}
	path = filepath.Join(builtIn, "ltp")
	said, err := exec.Command("go", "build", "-o", path, "github.com/ltp-node/ltp/cmd/ltp").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("build ltp: %w\n%s", err, said)
	}
	return path, nil
})

// Environment leads a process to the rig's Temporal.
func (r *Rig) Environment(more ...string) []string {
	r.T.Helper()
	return r.environmentAt(r.Address, more...)
}

func (r *Rig) environmentAt(address string, more ...string) []string {
	r.T.Helper()
	return child.Environment(r.T, append([]string{"TEMPORAL_ADDRESS=" + address, "TEMPORAL_NAMESPACE=" + r.Server.Namespace()}, more...)...)
}

// Command starts an ltp command against the rig's Temporal.
func (r *Rig) Command(args ...string) *child.Process {
	r.T.Helper()
	return r.launch(r.Address, args...)
}

// LTP starts a part of the order node that reaches Temporal at an address, and waits until
// it runs.
func (r *Rig) LTP(address string, args ...string) *child.Process {
	r.T.Helper()
	p := r.launch(address, args...)
	p.Says(&p.Stderr, `runs on Temporal namespace`)
	return p
}

func (r *Rig) launch(address string, args ...string) *child.Process {
	r.T.Helper()
	return child.Start{Env: r.environmentAt(address), Patience: r.patience.Step}.Run(r.T, Binary(r.T), args...)
}

// ObserverFlags are thresholds that make an incident of seconds.
func ObserverFlags() []string {
	return []string{"--interval", "50ms", "--unfit-latency", "2s", "--fit-latency", "1500ms", "--slow-latency", "1400ms", "--slow-exit", "1s"}
}
