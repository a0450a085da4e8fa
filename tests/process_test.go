package tests

import (
	"io"
	"slices"
	"testing"

	"github.com/ltp-node/ltp/tests/child"
	"github.com/ltp-node/ltp/tests/harness"
)

type process = child.Process

// launch starts a program.
func launch(t *testing.T, env []string, program string, args ...string) *process {
	t.Helper()
	return launchWith(t, nil, env, program, args...)
}

// launchWith starts a program that reads from typed.
func launchWith(t *testing.T, typed io.Reader, env []string, program string, args ...string) *process {
	t.Helper()
	return child.Start{Env: env, Stdin: typed, Patience: patience}.Run(t, program, args...)
}

// worker starts a worker process.
func (r *rig) worker(args ...string) *process {
	r.T.Helper()
	return r.LTP(r.Address, append([]string{"worker", "--orders-db", r.Orders, "--dwell", "300ms", "--grace", "3s"}, args...)...)
}

// observer starts an observer process with thresholds that make an incident of
// seconds.
func (r *rig) observer(args ...string) *process {
	r.T.Helper()
	return r.observerOver(r.Address, args...)
}

func (r *rig) observerOver(address string, args ...string) *process {
	r.T.Helper()
	return r.LTP(address, slices.Concat([]string{"observe", "--orders-db", r.Orders, "--dwell", "300ms", "--grace", "3s"}, harness.ObserverFlags(), args)...)
}
