package faults

import (
	"testing"
	"time"

	"github.com/ltp-node/ltp/tests/child"
)

// patience is a safety net: how long a test waits for what must come.
const patience = 3 * time.Minute

// look is the pause between two looks at a condition that nobody announces.
const look = 20 * time.Millisecond

type process = child.Process

// launch starts a program.
func launch(t *testing.T, env []string, program string, args ...string) *process {
	t.Helper()
	return child.Start{Env: env, Patience: patience}.Run(t, program, args...)
}
