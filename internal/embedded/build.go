package embedded

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

const (
	stepWaiting     = "waiting for another process that compiles the embedded Temporal server"
	stepDownloading = "downloading modules of the embedded Temporal server (first time only)"
	stepCompiling   = "compiling the embedded Temporal server (first time only, some minutes)"
	stepLinking     = "linking the embedded Temporal server"
)

// unusedAfter is when a cached build that nobody asked for any more is removed.
const unusedAfter = 30 * 24 * time.Hour

// cachedBuild returns the build of the module in source, from the folder cache when
// it is there: then without running the go command.
func cachedBuild(ctx context.Context, cache, source string, progress Progress) (string, error) {
	key, err := sourceKey(source)
	if err != nil {
		return "", fmt.Errorf("read %s: %w", source, err)
	}
	binary := filepath.Join(cache, "devserver-"+key)
	if used(binary) {
		return binary, nil
	}

	defer progress(Step{})
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return "", err
	}
	// Two that build at once would each take twice as long.
	building, err := awaitLock(ctx, filepath.Join(cache, "build.lock"), func() { progress(Step{Doing: stepWaiting}) })
	if err != nil {
		return "", err
	}
	defer building.release()
	if used(binary) {
		return binary, nil
	}
	if err := build(ctx, source, binary, progress); err != nil {
		return "", err
	}
	removeUnused(cache)
	return binary, nil
}

// used reports whether the binary is there, and if so marks it as in use.
func used(binary string) bool {
	now := time.Now()
	return os.Chtimes(binary, now, now) == nil
}

func removeUnused(cache string) {
	builds, _ := filepath.Glob(filepath.Join(cache, "devserver-*"))
	for _, b := range builds {
		if info, err := os.Stat(b); err == nil && time.Since(info.ModTime()) > unusedAfter {
			_ = os.Remove(b)
		}
	}
}

// sourceKey is the hash of all that goes into a build: the module's files and the
// Go version. The versions and hashes of its dependencies are in go.mod and go.sum.
// The Go version is that of this program, not of the go command: asking that takes
// longer than all else here.
func sourceKey(source string) (string, error) {
	h := sha256.New()
	fmt.Fprintln(h, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	err := filepath.WalkDir(source, func(path string, d fs.DirEntry, err error) error {
		name := d.Name()
		isSource := strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") ||
			name == "go.mod" || name == "go.sum"
		if err != nil || d.IsDir() || !isSource {
			return err
		}
		content, err := os.ReadFile(path)
		rel, _ := filepath.Rel(source, path)
		fmt.Fprintf(h, "%s %x\n", rel, sha256.Sum256(content))
		return err
	})
	return hex.EncodeToString(h.Sum(nil))[:16], err
}

// build compiles the module in source and moves the result to binary when it is
// whole.
func build(ctx context.Context, source, binary string, progress Progress) error {
	progress(Step{Doing: stepCompiling})
	stale, err := goCommand(ctx, source, progress, nil,
		"list", "-trimpath", "-deps", "-f", "{{if .Stale}}{{.ImportPath}}{{end}}", ".")
	if err != nil {
		return err
	}
	total, done := len(strings.Fields(stale)), 0

	unfinished := fmt.Sprintf("%s.%d", binary, os.Getpid())
	defer os.Remove(unfinished)
	report := func(pkg string) {
		if done < total {
			progress(Step{Doing: stepCompiling, Item: pkg, Done: done, Total: total})
		} else {
			progress(Step{Doing: stepLinking})
		}
	}
	compiled := func(pkg string) {
		done++
		report(pkg)
	}
	report("")
	_, err = goCommand(ctx, source, progress, compiled,
		"build", "-v", "-trimpath", "-ldflags", "-s -w", "-o", unfinished, ".")
	if err != nil {
		return err
	}
	return os.Rename(unfinished, binary)
}

// goCommand runs the go command in dir and returns its output. From what it says
// on standard error, progress is called for downloads and compiled (may be nil) of
// packages; the rest is the error's text.
func goCommand(ctx context.Context, dir string, progress Progress, compiled func(pkg string), args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off") // a workspace may leave the module out
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 10 * time.Second
	var stdout strings.Builder
	cmd.Stdout = &stdout
	stderr, stderrWriter := io.Pipe()
	cmd.Stderr = stderrWriter

	said := make(chan []string)
	go func() {
		var lines []string
		for scanner := bufio.NewScanner(stderr); scanner.Scan(); {
			line := scanner.Text()
			if module, ok := strings.CutPrefix(line, "go: downloading "); ok {
				progress(Step{Doing: stepDownloading, Item: module})
			} else if compiled != nil && !strings.ContainsAny(line, " \t:") {
				compiled(line)
			} else {
				lines = append(lines, line)
			}
		}
		_, _ = io.Copy(io.Discard, stderr) // a line too long for the scanner must not block the command
		said <- lines
	}()
	err := cmd.Run()
	stderrWriter.Close()
	lines := <-said
	switch {
	case err == nil:
		return stdout.String(), nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	default:
		lines = slices.DeleteFunc(lines, func(l string) bool { return strings.TrimSpace(l) == "" })
		return "", fmt.Errorf("go %s in %s: %w: %s", args[0], dir, err, strings.Join(lines[:min(len(lines), 10)], "; "))
	}
}
