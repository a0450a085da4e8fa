package embedded

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"go.temporal.io/sdk/client"
)

// stopGrace is how long a server may take to end before it is killed. Ours takes
// one second, and five at most.
const stopGrace = 15 * time.Second

// process is a server process that we started.
//
// The SDK's testsuite.StartDevServer would start it with the same arguments, but
// it knows nothing of the process after that: it dials a server that has refused
// to start for a minute and then does not say why, leaves the process behind when
// it gives up, does not tell when the server dies, and cannot hand it a lock.
type process struct {
	cmd   *exec.Cmd
	said  *tail
	ended chan struct{}
	err   error // of cmd.Wait; to be read after ended
}

// startProcess starts the binary. What it writes goes to log or, when that is nil,
// to the log of dir (nil: in memory), which it also locks for as long as it lives.
func startProcess(binary string, args []string, log io.Writer, dir *stateDir) (*process, error) {
	p := &process{cmd: exec.Command(binary, args...), said: &tail{}, ended: make(chan struct{})}
	var output io.Writer = p.said
	closeLog := func() {}
	if log == nil && dir != nil {
		file, err := os.OpenFile(dir.file(logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return nil, err
		}
		log, closeLog = file, func() { file.Close() }
	}
	if log != nil {
		output = io.MultiWriter(p.said, log)
	}
	p.cmd.Stdout, p.cmd.Stderr = output, output
	p.cmd.SysProcAttr = ownGroup()
	if dir != nil {
		p.cmd.ExtraFiles = []*os.File{dir.server.file}
	}
	if err := p.cmd.Start(); err != nil {
		closeLog()
		return nil, fmt.Errorf("start the Temporal server: %w", err)
	}
	if dir != nil {
		dir.handOver(p.cmd.Process.Pid)
	}
	go func() {
		p.err = p.cmd.Wait()
		closeLog()
		close(p.ended)
		// A Server that its owner has lost sight of is owned still: the garbage
		// collector would close the lock's file, and so unlock it.
		runtime.KeepAlive(dir)
	}()
	return p, nil
}

// dial connects to the server as soon as it answers, and gives up when it has ended.
func (p *process) dial(ctx context.Context, o client.Options) (client.Client, error) {
	dialing, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-p.ended:
			cancel()
		case <-dialing.Done():
		}
	}()
	for tick := time.Tick(20 * time.Millisecond); ; {
		c, err := client.DialContext(dialing, o)
		if err == nil {
			return c, nil
		}
		select {
		case <-p.ended:
			return nil, fmt.Errorf("the Temporal server would not start: %s", p.reason())
		case <-ctx.Done():
			return nil, fmt.Errorf("the Temporal server does not answer: %w", errors.Join(ctx.Err(), err))
		case <-tick:
		}
	}
}

// stop ends the process and waits for its end.
func (p *process) stop() error {
	select {
	case <-p.ended:
		return fmt.Errorf("the Temporal server had ended by itself: %s", p.reason())
	default:
	}
	_ = p.cmd.Process.Signal(os.Interrupt) // fails when it ends just now
	select {
	case <-p.ended:
	case <-time.After(stopGrace):
		_ = p.cmd.Process.Kill()
		<-p.ended
		return fmt.Errorf("the Temporal server did not end in %v and was killed", stopGrace)
	}
	if p.err != nil {
		return fmt.Errorf("the Temporal server did not end well: %s", p.reason())
	}
	return nil
}

// reason is why an ended process ended: the error it printed last, or its status.
func (p *process) reason() string {
	lines := strings.Split(p.said.String(), "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		if text, ok := strings.CutPrefix(lines[i], "Error: "); ok {
			return text
		}
	}
	if p.err == nil {
		return "it was asked to"
	}
	return fmt.Sprintf("%v\n%s", p.err, p.said)
}

// tail keeps the last few thousand bytes written to it.
type tail struct {
	mu  sync.Mutex
	buf []byte
}

func (t *tail) Write(p []byte) (int, error) {
	const keep = 4096
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if extra := len(t.buf) - keep; extra > 0 {
		t.buf = append(t.buf[:0], t.buf[extra:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(bytes.TrimSpace(t.buf))
}
