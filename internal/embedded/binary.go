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
//  2. a build of the devserver module of the checkout that the working directory
//     lies in, or that this program was compiled from. A build is cached under
//     os.UserCacheDir until the module changes. The first one takes minutes and
//     may download modules, which progress (may be nil) is told;
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

	why := "there is no checkout of " + modulePath + " here to build one from"
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
	return "", fmt.Errorf("%w: %s. Run from a checkout with Go on PATH, or put ltp-devserver (or the Temporal CLI) "+
		"on PATH, or name a binary in $%s", ErrNoServer, why, BinaryEnv)
}

const modulePath = "github.com/ltp-node/ltp/devserver"

var moduleLine = regexp.MustCompile(`(?m)^module ` + regexp.QuoteMeta(modulePath) + `$`)

// findSource returns the folder of the devserver module, or "".
func findSource() string {
	var starts []string
	if wd, err := os.Getwd(); err == nil {
		starts = append(starts, wd)
	}
	if _, file, _, ok := runtime.Caller(0); ok && filepath.IsAbs(file) { // not so with -trimpath
		starts = append(starts, filepath.Dir(file))
	}
	for _, dir := range starts {
		for {
			source := filepath.Join(dir, "devserver")
			if mod, err := os.ReadFile(filepath.Join(source, "go.mod")); err == nil && moduleLine.Match(mod) {
				return source
			}
			parent := filepath.Dir(dir)
			if parent == dir {
				break
			}
			dir = parent
		}
	}
	return ""
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

// isCLI tells the Temporal CLI, which lacks our own flags, from a devserver.
func isCLI(binary string) bool {
	return strings.HasPrefix(filepath.Base(binary), "temporal")
}
