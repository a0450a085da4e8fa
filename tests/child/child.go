// Package child is for tests that start processes of their own: each ends with its test
// at the latest, can be killed and frozen by its handle, and says what it wrote when the
// test fails.
package child

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// look is the pause between two looks at a state that nobody announces.
const look = 20 * time.Millisecond

// Environment is ours without what would lead a process to somebody's real Temporal.
func Environment(t *testing.T, more ...string) []string {
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

// Start is how a process is started.
type Start struct {
	// Env is its environment, Stdin what it reads; nil is nothing to read.
	Env   []string
	Stdin io.Reader
	// Patience is a safety net: how long a test waits for what must come.
	Patience time.Duration
}

// Process is a process that a test started.
type Process struct {
	Cmd            *exec.Cmd
	Stdout, Stderr Output
	// Ended is closed when the process has ended.
	Ended chan struct{}

	t        *testing.T
	patience time.Duration
}

// Run starts a program, which ends with the test at the latest.
func (s Start) Run(t *testing.T, program string, args ...string) *Process {
	t.Helper()
	p := &Process{t: t, patience: s.Patience, Cmd: exec.Command(program, args...), Ended: make(chan struct{})}
	p.Cmd.Env, p.Cmd.Stdin, p.Cmd.Stdout, p.Cmd.Stderr, p.Cmd.SysProcAttr = s.Env, s.Stdin, &p.Stdout, &p.Stderr, withTest()
	require.NoError(t, p.Cmd.Start())
	go func() {
		_ = p.Cmd.Wait()
		close(p.Ended)
	}()
	t.Cleanup(func() {
		p.Interrupt()
		if t.Failed() {
			t.Logf("%s said\n%s%s", p, p.Stdout.String(), p.Stderr.String())
		}
	})
	return p
}

func (p *Process) String() string {
	args := append([]string{filepath.Base(p.Cmd.Args[0])}, p.Cmd.Args[1:]...)
	return fmt.Sprintf("%s (process %d)", strings.Join(args, " "), p.Cmd.Process.Pid)
}

// Kill ends the process without giving it a chance to say goodbye.
func (p *Process) Kill() {
	_ = p.Cmd.Process.Kill() // fails only for one that has ended
	<-p.Ended
}

// Freeze stops the process where it is, as a stalled machine would, until Thaw.
func (p *Process) Freeze() {
	p.t.Helper()
	require.NoError(p.t, p.Cmd.Process.Signal(syscall.SIGSTOP))
	if runtime.GOOS == "linux" { // each of its threads stops when it next can
		require.Eventually(p.t, func() bool { return State(p.Cmd.Process.Pid) == "T" }, p.patience, look, "%s is frozen", p)
	}
}

// State is that of a process as Linux shows it, such as "T" of one that is frozen, and
// "" when there is none.
func State(pid int) string {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[0]
}

// Thaw lets a frozen process go on.
func (p *Process) Thaw() { _ = p.Cmd.Process.Signal(syscall.SIGCONT) }

// Interrupt is Ctrl-C; a process that does not end from it is killed, and the test
// fails.
func (p *Process) Interrupt() {
	select {
	case <-p.Ended:
		return
	default:
	}
	p.Thaw()
	_ = p.Cmd.Process.Signal(os.Interrupt)
	select {
	case <-p.Ended:
	case <-time.After(p.patience):
		p.t.Errorf("%s did not end", p)
		p.Kill()
	}
}

// Wait waits for the process to end by itself and returns its exit status.
func (p *Process) Wait() int {
	p.t.Helper()
	select {
	case <-p.Ended:
	case <-time.After(p.patience):
		p.Kill()
		require.FailNowf(p.t, "it did not end", "%s", p)
	}
	return p.Cmd.ProcessState.ExitCode()
}

// Says waits until the process has written what matches, and returns the match.
func (p *Process) Says(where *Output, pattern string) []string {
	p.t.Helper()
	expected := regexp.MustCompile(pattern)
	timeout := time.After(p.patience)
	for {
		grown := where.grown()
		if found := expected.FindStringSubmatch(where.String()); found != nil {
			return found
		}
		select {
		case <-grown:
		case <-p.Ended:
			if found := expected.FindStringSubmatch(where.String()); found != nil {
				return found
			}
			require.FailNowf(p.t, "it ended", "%s, status %d, did not say %q", p, p.Cmd.ProcessState.ExitCode(), pattern)
		case <-timeout:
			require.FailNowf(p.t, "it is silent", "%s did not say %q", p, pattern)
		}
	}
}

// Output is what a process writes.
type Output struct {
	mu      sync.Mutex
	written bytes.Buffer
	waiting chan struct{}
}

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting != nil {
		close(o.waiting)
		o.waiting = nil
	}
	return o.written.Write(p)
}

// grown is closed at the next write.
func (o *Output) grown() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.waiting == nil {
		o.waiting = make(chan struct{})
	}
	return o.waiting
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.written.String()
}
