package embedded

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// BinaryEnv names a server binary to use before all others.
const BinaryEnv = "LTP_TEMPORAL_SERVER"

// Binary returns the path of a Temporal server binary. It is the first of:
//
//  1. $LTP_TEMPORAL_SERVER;
//  2. a build of the devserver module of the checkout that this program was compiled
//     from, unless with -trimpath. A build is cached under os.UserCacheDir until the
//     module changes. The first one takes minutes and may download modules, which
//     progress (may be nil) is called. Nothing else is built: what lies in the working
//     directory may be a stranger's;
//  3. ltp-devserver beside this program or on PATH;
//  4. temporal, the Temporal CLI, on PATH.
//
// A build that fails is passed over when 3 or 4 is there. The error is an
// ErrNoServer that says what to do, or the context's.
func Binary(ctx context.Context, progress Progress) (string, error) {
	if progress == nil {
		progress = func(Step) {}
	}
	if path := os.Getenv(BinaryEnv); path != "" {
		if _, err := exec.LookPath(path); err != nil {
			return "", fmt.Errorf("%w: $%s: %w", ErrNoServer, BinaryEnv, err)
		}
		return path, nil
	}

	why := "there is no ltp-devserver beside this program, and nobody knows the checkout that it was built from"
	if source := findSource(); source != "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("%w: %w", ErrNoServer, err)
		}
		path, err := cachedBuild(ctx, filepath.Join(cache, "ltp"), source, progress)
		if err == nil || ctx.Err() != nil {
			return path, err
		}
		why = err.Error()
	}
	if path := findInstalled(); path != "" {
		return path, nil
	}
	return "", fmt.Errorf("%w: %s. Run make build in a checkout, or put ltp-devserver (or the Temporal CLI) "+
		"on PATH, or name a binary in $%s", ErrNoServer, why, BinaryEnv)
}

const modulePath = "github.com/ltp-node/ltp/devserver"

var moduleLine = regexp.MustCompile(`(?m)^module ` + regexp.QuoteMeta(modulePath) + `$`)

// findSource returns the folder of the devserver module that lies in the checkout of this
// very file, or "".
func findSource() string {
	_, file, _, ok := runtime.Caller(0)
	if !ok || !filepath.IsAbs(file) { // compiled with -trimpath
		return ""
	}
	source := filepath.Join(filepath.Dir(file), "..", "..", "devserver")
	if mod, err := os.ReadFile(filepath.Join(source, "go.mod")); err != nil || !moduleLine.Match(mod) {
		return ""
	}
	return source
}

// findInstalled returns a binary that somebody put where programs are, or "".
func findInstalled() string {
	var candidates []string
	if self, err := os.Executable(); err == nil {
		candidates = append(candidates, filepath.Join(filepath.Dir(self), "ltp-devserver"))
	}
	for _, candidate := range append(candidates, "ltp-devserver", "temporal") {
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
	}
	return ""
}

// isCLI distinguishes the Temporal CLI, which lacks our own flags, from a devserver.
func isCLI(binary string) bool {
	return strings.HasPrefix(filepath.Base(binary), "temporal")
}
