package tests

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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

// environment is ours without what would lead a process to somebody's real Temporal.
func environment(t *testing.T, more ...string) []string {
	t.Helper()
	var kept []string
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "TEMPORAL_") {
			kept = append(kept, v)
		}
	}
	settings := filepath.Join(t.TempDir(), "temporal.toml")
	require.NoError(t, os.WriteFile(settings, nil, 0o600))
	return append(append(kept, "TEMPORAL_CONFIG_FILE="+settings), more...)
}

// process is a process that a test started. It ends with the test at the latest.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr output
	ended          chan struct{}
}

// launch starts a program.
func launch(t *testing.T, env []string, program string, args ...string) *process {
	t.Helper()
	return launchWith(t, nil, env, program, args...)
}

// launchWith starts a program that reads from typed.
func launchWith(t *testing.T, typed io.Reader, env []string, program string, args ...string) *process {
	t.Helper()
	p := &process{t: t, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	p.cmd.Stdin = typed
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr, p.cmd.SysProcAttr = env, &p.stdout, &p.stderr, withTest()
	require.NoError(t, p.cmd.Start())
	go func() {
		_ = p.cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.interrupt()
		if t.Failed() {
			t.Logf("%s said\n%s%s", p, p.stdout.String(), p.stderr.String())
		}
	})
	return p
}

// ltp starts an ltp command against the rig's Temporal and waits until it runs.
func (r *rig) ltp(args ...string) *process {
	r.t.Helper()
	return r.ltpOver(r.server.Address(), args...)
}

// ltpOver does so over an address that leads there.
func (r *rig) ltpOver(address string, args ...string) *process {
	r.t.Helper()
	env := environment(r.t, "TEMPORAL_ADDRESS="+address, "TEMPORAL_NAMESPACE="+r.server.Namespace())
	p := launch(r.t, env, ltpBinary(r.t), args...)
	p.says(&p.stderr, `runs on Temporal namespace`)
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

func (p *process) String() string {
	return fmt.Sprintf("%s (process %d)", strings.Join(p.cmd.Args, " "), p.cmd.Process.Pid)
}

// kill ends the process without giving it a chance to say goodbye.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only for one that has ended
	<-p.ended
}

// freeze stops the process where it is, as a stalled machine would, until thaw.
func (p *process) freeze() { require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP)) }

func (p *process) thaw() { _ = p.cmd.Process.Signal(syscall.SIGCONT) }

// interrupt is Ctrl-C; a process that does not end from it is killed, and the test
// fails.
func (p *process) interrupt() {
	select {
	case <-p.ended:
		return
	default:
	}
	p.thaw()
	_ = p.cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.t.Errorf("%s did not end", p)
		p.kill()
	}
}

// wait waits for the process to end by itself and returns its exit status.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.kill()
		require.FailNowf(p.t, "it did not end", "%s\n%s%s", p, p.stdout.String(), p.stderr.String())
	}
	return p.cmd.ProcessState.ExitCode()
}

// says waits until the process has written what matches, and returns the match.
func (p *process) says(where *output, pattern string) []string {
	p.t.Helper()
	expected := regexp.MustCompile(pattern)
	timeout := time.After(patience)
	for {
		grown := where.grown()
		if found := expected.FindStringSubmatch(where.String()); found != nil {
			return found
		}
		select {
		case <-grown:
		case <-p.ended:
			if found := expected.FindStringSubmatch(where.String()); found != nil {
				return found
			}
			require.FailNowf(p.t, "it ended", "%s, status %d, did not say %q\n%s%s", p, p.cmd.ProcessState.ExitCode(), pattern, p.stdout.String(), p.stderr.String())
		case <-timeout:
			require.FailNowf(p.t, "it is silent", "%s did not say %q\n%s%s", p, pattern, p.stdout.String(), p.stderr.String())
		}
	}
}

// output is what a process writes.
type output struct {
	mu      sync.Mutex
	written bytes.Buffer
	waiting chan struct{}
}

var _ io.Writer = (*output)(nil)

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting != nil {
		close(o.waiting)
		o.waiting = nil
	}
	return o.written.Write(p)
}

// grown is closed at the next write.
func (o *output) grown() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting == nil {
		o.waiting = make(chan struct{})
	}
	return o.waiting
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written.String()
}
