package tests

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/tests/child"
)

// patience is a safety net: how long a test waits for what must come.
const patience = 2 * time.Minute

// built is the ltp binary, built once for all tests that start it.
var built struct {
	once sync.Once
	dir  string
	err  error
}

// ltpBinary returns the path of the ltp binary.
func ltpBinary(t *testing.T) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "ltp-tests-"); built.err != nil {
			return
		}
		build := exec.Command("go", "build", "-o", built.dir, "github.com/ltp-node/ltp/cmd/ltp")
		if said, err := build.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("build ltp: %w\n%s", err, said)
		}
	})
	require.NoError(t, built.err)
	return filepath.Join(built.dir, "ltp")
}

type process = child.Process

// launch starts a program.
func launch(t *testing.T, env []string, program string, args ...string) *process {
	t.Helper()
	return launchWith(t, nil, env, program, args...)
}

// launchWith starts a program that reads from typed.
func launchWith(t *testing.T, typed io.Reader, env []string, program string, args ...string) *process {
	t.Helper()
	return child.Start{Env: env, Stdin: typed, Patience: patience}.Run(t, program, args...)
}

// ltp starts an ltp command against the rig's Temporal and waits until it runs.
func (r *rig) ltp(args ...string) *process {
	r.t.Helper()
	return r.ltpOver(r.server.Address(), args...)
}

// ltpOver does so over an address that leads there.
func (r *rig) ltpOver(address string, args ...string) *process {
	r.t.Helper()
	env := child.Environment(r.t, "TEMPORAL_ADDRESS="+address, "TEMPORAL_NAMESPACE="+r.server.Namespace())
	p := launch(r.t, env, ltpBinary(r.t), args...)
	p.Says(&p.Stderr, `runs on Temporal namespace`)
	return p
}

// worker starts a worker process.
func (r *rig) worker(args ...string) *process {
	r.t.Helper()
	return r.ltp(append([]string{"worker", "--orders-db", r.orders, "--dwell", "300ms", "--grace", "3s"}, args...)...)
}

// observer starts an observer process with thresholds that make an incident of
// seconds.
func (r *rig) observer(args ...string) *process {
	r.t.Helper()
	return r.observerOver(r.server.Address(), args...)
}

func (r *rig) observerOver(address string, args ...string) *process {
	r.t.Helper()
	return r.ltpOver(address, append([]string{
		"observe", "--orders-db", r.orders, "--dwell", "300ms", "--grace", "3s",
		"--interval", "50ms", "--unfit-latency", "2s", "--fit-latency", "1500ms", "--slow-latency", "1400ms", "--slow-exit", "1s",
	}, args...)...)
}
