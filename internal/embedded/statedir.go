package embedded

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Files of a state directory.
const (
	dataFile   = "temporal.db"
	logFile    = "temporal.log"
	infoFile   = "server.json" // there while the server answers
	ownerLock  = "lock"        // held by the owner's process
	serverLock = "server.lock" // held by the server's process, whose pid it contains
)

// serverInfo is what those who attach need to know.
type serverInfo struct {
	Address   string `json:"address"`
	UI        string `json:"ui,omitempty"`
	Namespace string `json:"namespace"`
	PID       int    `json:"pid"`   // of the server
	Owner     int    `json:"owner"` // pid
}

// stateDir is a locked state directory.
//
// It takes two locks to see a death: one that ends with the owner, and one that
// the server inherits and that ends with it. A new owner has the first at once
// when the old one was killed, and waits for the second, for the server of the old
// one still has the data open.
type stateDir struct {
	path          string
	owner, server *lock
}

func (d *stateDir) file(name string) string { return filepath.Join(d.path, name) }

// lockStateDir makes this process the owner of the directory, which it creates
// when missing. A server that a killed owner left there is ended.
func lockStateDir(ctx context.Context, path string) (_ *stateDir, err error) {
	if err := os.MkdirAll(path, 0o700); err != nil {
		return nil, fmt.Errorf("create the state directory: %w", err)
	}
	d := &stateDir{path: path}
	if d.owner, err = tryLock(d.file(ownerLock)); err != nil {
		return nil, fmt.Errorf("lock the state directory: %w", err)
	}
	if d.owner == nil {
		by := "another process"
		if info, err := readInfo(path); err == nil {
			by = fmt.Sprintf("process %d, whose server is at %s", info.Owner, info.Address)
		}
		return nil, fmt.Errorf("%w: %s is held by %s: stop that one or choose another directory", ErrInUse, path, by)
	}
	d.unpublish() // what a killed owner left
	if d.server, err = d.awaitServerGone(ctx); err != nil {
		d.owner.release()
		return nil, fmt.Errorf("a Temporal server of an owner that was killed still runs on %s: %w", path, err)
	}
	return d, nil
}

func (d *stateDir) awaitServerGone(ctx context.Context) (*lock, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	patience, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()

	path := d.file(serverLock)
	end := func(signal syscall.Signal) {
		// The process lives, for it has the lock: the pid cannot be another's.
		content, _ := os.ReadFile(path)
		if pid, err := strconv.Atoi(strings.TrimSpace(string(content))); err == nil && pid > 0 {
			_ = syscall.Kill(pid, signal)
		}
	}
	l, err := awaitLock(patience, path, func() { end(syscall.SIGINT) })
	if err == nil || patience.Err() == nil {
		return l, err
	}
	return awaitLock(ctx, path, func() { end(syscall.SIGKILL) })
}

// handOver leaves the server lock to the process that has inherited it.
func (d *stateDir) handOver(pid int) {
	_ = d.server.file.Truncate(0)
	_, _ = d.server.file.WriteAt([]byte(strconv.Itoa(pid)), 0)
	d.server.file.Close()
	d.server = nil
}

// publish informs those who attach, all at once.
func (d *stateDir) publish(info serverInfo) error {
	content, err := json.MarshalIndent(info, "", "  ")
	if err != nil {
		return err
	}
	unfinished := d.file(infoFile + ".new")
	if err := os.WriteFile(unfinished, append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(unfinished, d.file(infoFile))
}

func (d *stateDir) unpublish() { _ = os.Remove(d.file(infoFile)) }

// release gives the directory up.
func (d *stateDir) release() {
	if d.server != nil {
		d.server.release()
	}
	d.owner.release()
}

func readInfo(path string) (info serverInfo, err error) {
	content, err := os.ReadFile(filepath.Join(path, infoFile))
	if err == nil {
		err = json.Unmarshal(content, &info)
	}
	return info, err
}
