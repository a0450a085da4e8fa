package tests

import (
	"fmt"
	"os"
	"testing"
)

// TestMain lets this program play a worker that dies, when a test starts it as one.
func TestMain(m *testing.M) {
	if os.Getenv(dyingWorker) != "" {
		if err := playDyingWorker(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
	code := m.Run()
	_ = os.RemoveAll(built.dir)
	os.Exit(code)
}
