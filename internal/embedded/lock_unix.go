//go:build unix

package embedded

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// lock is a flock on a file. It ends with the last process that holds the open
// file, so it distinguishes the living from the dead where a pid in a file does not.
type lock struct{ file *os.File }

// tryLock returns nil when another holds the lock.
func tryLock(path string) (*lock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return &lock{file}, nil
	}
	file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, &os.PathError{Op: "lock", Path: path, Err: err}
}

// awaitLock waits for the lock, having called waiting once if it has to.
func awaitLock(ctx context.Context, path string, waiting func()) (*lock, error) {
	for tick := time.Tick(50 * time.Millisecond); ; {
		l, err := tryLock(path)
		if l != nil || err != nil {
			return l, err
		}
		if waiting != nil {
			waiting()
			waiting = nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick:
		}
	}
}

// release gives the lock up, also for processes that inherited the file.
func (l *lock) release() {
	_ = syscall.Flock(int(l.file.Fd()), syscall.LOCK_UN)
	l.file.Close()
}

// ownGroup keeps a terminal's Ctrl+C from the server: its owner gets it, and ends
// the server when it is done with it.
func ownGroup() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
