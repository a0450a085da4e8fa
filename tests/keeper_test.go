package tests

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

// TestTerminatedOrientationIsStartedAgainByAWorkerThatRuns, and by nobody else: no process
// starts and nobody is asked. It goes on under later epochs, and what waited is executed.
func TestTerminatedOrientationIsStartedAgainByAWorkerThatRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	w := r.worker()
	r.observer()
	seen := r.Watch()
	before := r.Until(seen, ltp.Stable)
	require.NoError(t, r.Client.TerminateWorkflow(r.Ctx, ltp.OrientationWorkflowID(ltp.DefaultComponent), "", "by force"))
	_, err := seen.Wait(r.Ctx, ltp.DefaultComponent, func(now board.Reading) bool { return now.Unreadable })
	require.NoError(t, err)
	r.Submit("kept-1")
	w.Says(&w.Stderr, `the Orientation workflow had ended and was started again`)
	now, err := seen.Wait(r.Ctx, ltp.DefaultComponent, func(now board.Reading) bool { return now.State == ltp.Stable && !now.Unreadable })
	require.NoError(t, err)
	assert.Greater(t, now.Epoch, before.Epoch)
	r.executedOnce("kept-", []string{"kept-1"})
}
