package embedded

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The build is tested on a module that takes no minutes.
func hello(t *testing.T) (source string) {
	source = t.TempDir()
	write(t, source, "go.mod", "module hello\n\ngo 1.26.0\n")
	write(t, source, "main.go", "package main\n\nfunc main() { println(\"hello\") }\n")
	return source
}

func write(t *testing.T, dir, name, content string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func ignore(Step) {}

func TestTwoWhoNeedTheBuildBuildItOnce(t *testing.T) {
	source, cache := hello(t), filepath.Join(t.TempDir(), "cache")
	var mu sync.Mutex
	var steps []Step
	var builders sync.WaitGroup
	for range 2 {
		builders.Go(func() {
			path, err := cachedBuild(t.Context(), cache, source, func(s Step) {
				mu.Lock()
				defer mu.Unlock()
				steps = append(steps, s)
			})
			if err != nil {
				t.Error(err)
				return
			}
			if out, err := exec.Command(path).CombinedOutput(); err != nil || string(out) != "hello\n" {
				t.Errorf("%q, %v", out, err)
			}
		})
	}
	builders.Wait()

	builds := 0
	for _, s := range steps {
		if s == (Step{Doing: stepCompiling}) {
			builds++
		}
	}
	if builds != 1 {
		t.Errorf("built %d times: %v", builds, steps)
	}
	if last := steps[len(steps)-1]; last != (Step{}) {
		t.Errorf("the last step is %v", last)
	}
}

func TestBuildIsMadeAgainWhenItsSourceChanges(t *testing.T) {
	source := hello(t)
	key := func() string {
		k, err := sourceKey(source)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	first := key()
	write(t, source, "main_test.go", "package main\n")
	write(t, source, "README.md", "hello\n")
	if key() != first {
		t.Error("the key follows files that are no part of the build")
	}
	write(t, source, "go.sum", "\n")
	if key() == first {
		t.Error("the key does not follow go.sum")
	}
}

func TestFailedBuildSaysWhyAndLeavesNothing(t *testing.T) {
	source, cache := hello(t), t.TempDir()
	write(t, source, "main.go", "package main\n\nfunc main() { nonsense() }\n")
	_, err := cachedBuild(t.Context(), cache, source, ignore)
	if err == nil || !strings.Contains(err.Error(), "undefined: nonsense") {
		t.Error(err)
	}
	if left, _ := filepath.Glob(filepath.Join(cache, "devserver-*")); len(left) > 0 {
		t.Error(left)
	}
}

func TestBuildEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cancelAtOnce := func(Step) { cancel() }
	if _, err := cachedBuild(ctx, t.TempDir(), hello(t), cancelAtOnce); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestBuildsOutOfUseAreRemoved(t *testing.T) {
	cache := t.TempDir()
	write(t, cache, "devserver-old", "")
	write(t, cache, "devserver-recent", "")
	old := time.Now().Add(-2 * unusedAfter)
	if err := os.Chtimes(filepath.Join(cache, "devserver-old"), old, old); err != nil {
		t.Fatal(err)
	}
	path, err := cachedBuild(t.Context(), cache, hello(t), ignore)
	if err != nil {
		t.Fatal(err)
	}
	left, _ := filepath.Glob(filepath.Join(cache, "devserver-*"))
	want := []string{filepath.Join(cache, "devserver-recent"), path}
	slices.Sort(want)
	if !slices.Equal(left, want) {
		t.Errorf("left %v, want %v", left, want)
	}
}
