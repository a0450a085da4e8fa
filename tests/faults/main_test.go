package faults

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/ltp-node/ltp/orderdb/pgtest"
)

func TestMain(m *testing.M) {
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// run runs the tests in a directory of their own, which is gone afterwards, however
// they end.
func run(m *testing.M) (code int, err error) {
	dir, err := os.MkdirTemp("", "ltp-faults-")
	if err != nil {
		return 0, err
	}
	clean, err := janitor(dir)
	if err != nil {
		return 0, err
	}
	defer clean()
	// Postgres, which is run as another user, has a directory below.
	if err := os.Chmod(dir, 0o711); err != nil {
		return 0, err
	}
	if err := os.Setenv("TMPDIR", dir); err != nil {
		return 0, err
	}
	return pgtest.Main(m), nil
}

// janitor removes a directory when the returned function is called, or when this
// process is killed: its end of a pipe is closed then. What still writes into the
// directory is about to end, too.
func janitor(dir string) (clean func(), err error) {
	const script = `cat >/dev/null; for i in 1 2 3 4 5 6 7 8 9 10; do rm -rf "$1" && exit; sleep 1; done`
	sweep := exec.Command("sh", "-c", script, "janitor", dir)
	sweep.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C is not for it
	stdin, err := sweep.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := sweep.Start(); err != nil {
		return nil, err
	}
	return func() { _ = stdin.Close(); _ = sweep.Wait() }, nil
}
