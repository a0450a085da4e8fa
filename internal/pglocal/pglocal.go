// Package pglocal runs real Postgres servers on this machine: one, or a leader with a
// synchronous standby. Each listens on a free port of the loopback interface, keeps
// its data in a directory that is removed with it, and ends when this process ends,
// however it ends, also while it is frozen.
//
// A server can be killed, frozen, stopped and made read-only, and a pair can change
// its leader, as a cluster does in an incident. Who decides on a change of leader is
// the caller: there is no consensus here, and so a former leader can come back that
// does not know that it is one.
package pglocal

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
)

// BinVariable is the environment variable that names the directory of initdb and
// postgres, where they are not found without.
const BinVariable = "LTP_POSTGRES_BIN"

// ErrNotInstalled says that there is no Postgres to run.
var ErrNotInstalled = errors.New("no Postgres is installed: install the package postgresql, or name the directory of initdb and postgres in " + BinVariable)

// Options are how servers are run. The zero value suits.
type Options struct {
	// Bin is the directory of initdb and postgres; empty looks in the directory that
	// BinVariable names, in /usr/lib/postgresql/*/bin, newest first, and in PATH.
	Bin string
	// NoSync turns fsync off: quick, and safe against everything but a loss of power.
	NoSync bool
	// Links puts a network link before each server of a pair, so that it can be
	// parted from its clients and from the other server.
	Links bool
	// Settings are further settings, as name=value.
	Settings []string
	// Password of the superuser postgres; empty makes one up.
	Password string
}

// Binaries returns the directory of initdb and postgres, or ErrNotInstalled.
func Binaries() (string, error) {
	if dir := os.Getenv(BinVariable); dir != "" {
		if !holdsPostgres(dir) {
			return "", fmt.Errorf("%s=%s: no initdb is there: name the directory of initdb and postgres", BinVariable, dir)
		}
		return dir, nil
	}
	dirs, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	slices.SortFunc(dirs, func(a, b string) int { return version(b) - version(a) })
	if path, err := exec.LookPath("initdb"); err == nil {
		dirs = append(dirs, filepath.Dir(path))
	}
	if i := slices.IndexFunc(dirs, holdsPostgres); i >= 0 {
		return dirs[i], nil
	}
	return "", ErrNotInstalled
}

func holdsPostgres(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "initdb"))
	return err == nil
}

// version is that of /usr/lib/postgresql/15/bin.
func version(dir string) int {
	n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
	return n
}

func (o Options) bin() (string, error) {
	if o.Bin == "" {
		return Binaries()
	}
	if !holdsPostgres(o.Bin) {
		return "", fmt.Errorf("no initdb is in %s: name the directory of initdb and postgres", o.Bin)
	}
	return o.Bin, nil
}
