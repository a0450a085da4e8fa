package activities_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
)

const db = ltp.DefaultComponent

var silent = slog.New(slog.DiscardHandler)

// newBoard is a board on which what a test puts stays true for two seconds.
func newBoard(components ...string) (b *board.Board) {
	b = board.Of(func(_ context.Context, component string) (board.Reading, error) {
		now := b.Orientation(component)
		if time.Since(now.ReadAt) > 2*time.Second {
			return now, errors.New("nobody answers")
		}
		now.ReadAt = time.Now()
		return now, nil
	}, components, silent)
	return b
}

// seen is a reading of this moment.
func seen(s ltp.State, epoch int64) board.Reading { return seenOf(db, s, epoch) }

func seenOf(component string, s ltp.State, epoch int64) board.Reading {
	return board.Reading{Orientation: ltp.Orientation{Component: component, State: s, Epoch: epoch}, ReadAt: time.Now()}
}

// sightless is the reading of a board that lost sight of what was in that epoch.
func sightless(epoch int64) board.Reading {
	r := seen(ltp.Unknown, epoch)
	r.Unreadable = true
	return r
}

// environment runs the activities of a struct until ctx ends.
func environment(ctx context.Context, activities any) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(silent))
	e := suite.NewTestActivityEnvironment()
	e.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	e.RegisterActivity(activities)
	return e
}

// do runs an activity and returns its result as the workflow gets it.
func do[T any](t *testing.T, e *testsuite.TestActivityEnvironment, activity, in any) (result T, err error) {
	t.Helper()
	value, err := e.ExecuteActivity(activity, in)
	if err == nil {
		require.NoError(t, value.Get(&result))
	}
	return result, err
}

// local runs a local activity, which never fails, and returns its result as the workflow
// gets it.
func local[T any](t *testing.T, ctx context.Context, of, activity, in any) (result T) {
	t.Helper()
	value, err := environment(ctx, of).ExecuteLocalActivity(activity, in)
	require.NoError(t, err)
	require.NoError(t, value.Get(&result))
	return result
}
