package tests

import (
	"fmt"
	"os"
	"testing"

	"github.com/ltp-node/ltp/tests/harness"
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
	harness.RemoveBinary()
	os.Exit(code)
}
