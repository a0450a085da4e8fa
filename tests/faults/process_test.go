package faults

import (
	"bytes"
	"fmt"
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

// patience is a safety net: how long a test waits for what must come.
const patience = 3 * time.Minute

// look is the pause between two looks at a condition that nobody announces.
const look = 20 * time.Millisecond

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
	p := &process{t: t, cmd: exec.Command(program, args...), ended: make(chan struct{})}
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

func (p *process) String() string {
	args := append([]string{filepath.Base(p.cmd.Args[0])}, p.cmd.Args[1:]...)
	return fmt.Sprintf("%s (process %d)", strings.Join(args, " "), p.cmd.Process.Pid)
}

// kill ends the process without giving it a chance to say goodbye.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // fails only for one that has ended
	<-p.ended
}

// freeze stops the process where it is, as a stalled machine would, until thaw.
func (p *process) freeze() {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(syscall.SIGSTOP))
	if runtime.GOOS == "linux" { // each of its threads stops when it next can
		require.Eventually(p.t, func() bool { return state(p.cmd.Process.Pid) == "T" }, patience, look, "%s is frozen", p)
	}
}

// state is that of a process as Linux tells it, such as "T" of one that is frozen, and
// "" when there is none.
func state(pid int) string {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return ""
	}
	return strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))[0]
}

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
		require.FailNowf(p.t, "it did not end", "%s", p)
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
			require.FailNowf(p.t, "it ended", "%s, status %d, did not say %q", p, p.cmd.ProcessState.ExitCode(), pattern)
		case <-timeout:
			require.FailNowf(p.t, "it is silent", "%s did not say %q", p, pattern)
		}
	}
}

// output is what a process writes.
type output struct {
	mu      sync.Mutex
	written bytes.Buffer
	waiting chan struct{}
}

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
