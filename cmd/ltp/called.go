package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// called is how this program is called again, for hints that run as they stand: "ltp" where
// that is this program, else as it was called, or by the go command that built it for the
// occasion.
func called() string {
	self, err := os.Executable()
	if err != nil {
		return "ltp"
	}
	if strings.HasPrefix(self, filepath.Join(os.TempDir(), "go-build")) {
		return "go run ./cmd/ltp"
	}
	if found, err := exec.LookPath("ltp"); err == nil && same(found, self) {
		return "ltp"
	}
	if typed := os.Args[0]; strings.ContainsRune(typed, filepath.Separator) && same(typed, self) {
		return typed
	}
	return self
}

// shellWord is a word as a shell takes it.
func shellWord(s string) string {
	if strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./:@%+=,") == "" && s != "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

func same(path, other string) bool {
	a, errA := os.Stat(path)
	b, errB := os.Stat(other)
	return errA == nil && errB == nil && os.SameFile(a, b)
}
