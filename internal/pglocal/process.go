package pglocal

import (
	"bytes"
	"io"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"time"
)

// process is the first process of a server, the postmaster.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	log   bytes.Buffer // read only after ended
	// guard is open while the processes are frozen.
	guard io.Closer
}

// run starts the command on a thread that lives as long as the command does: the
// signal that it gets when its parent dies is sent when the thread that started it
// ends.
func run(cmd *exec.Cmd) (*process, error) {
	p := &process{cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.log, &p.log
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
			close(p.ended)
		}
	}()
	return p, <-started
}

// output is what the process said, once it has ended.
func (p *process) output() string {
	<-p.ended
	return p.log.String()
}

func (p *process) running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// signal signals the first process, and all those that it started, too.
func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

func (p *process) all(s syscall.Signal) {
	if !p.running() {
		return // its number may be another's by now
	}
	p.signal(s) // first, so that it starts no more
	for _, pid := range children(p.cmd.Process.Pid) {
		_ = syscall.Kill(pid, s)
	}
}

// freeze stops every process where it is. A stopped process does not see the signal
// that reports our death to it, so a guard wakes it then.
func (p *process) freeze() error {
	if p.guard != nil {
		return nil
	}
	guard := exec.Command("/bin/sh", "-c", `read -r _; kill -CONT "$1"`, "guard", strconv.Itoa(p.cmd.Process.Pid))
	guard.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	alive, err := guard.StdinPipe()
	if err != nil {
		return err
	}
	if err := guard.Start(); err != nil {
		return err
	}
	go func() { _ = guard.Wait() }()
	p.guard = alive
	p.all(syscall.SIGSTOP)
	return nil
}

func (p *process) thaw() {
	p.all(syscall.SIGCONT)
	if p.guard != nil {
		_ = p.guard.Close()
		p.guard = nil
	}
}

// stop ends the process by a signal, and by force when it does not end.
func (p *process) stop(s syscall.Signal, patience time.Duration) {
	p.signal(s)
	p.thaw() // with the signal waiting for it
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.kill()
	}
}

// kill ends every process at once, and returns when the first is gone.
func (p *process) kill() {
	p.all(syscall.SIGKILL)
	<-p.ended
	p.thaw()
}
