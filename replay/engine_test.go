package replay_test

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/testsuite"
	"go.temporal.io/sdk/worker"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay"
	"github.com/ltp-node/ltp/replay/pace"
)

const db = ltp.DefaultComponent

var silent = slog.New(slog.DiscardHandler)

// sight is a board that is kept fresh, as Run does it.
type sight struct {
	*board.Board
	mu  sync.Mutex
	now board.Reading
}

func newSight(t *testing.T, s ltp.State, epoch int64) *sight {
	t.Helper()
	sight := &sight{}
	sight.Board = board.Of(func(context.Context, string) (board.Reading, error) {
		return board.Reading{}, errors.New("nobody asks")
	}, []string{db}, silent)
	sight.sees(s, epoch)
	end := make(chan struct{})
	go func() {
		tick := time.NewTicker(board.Refresh)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				sight.change(func(*board.Reading) {})
			}
		}
	}()
	t.Cleanup(func() { close(end) })
	return sight
}

// change puts another reading on the board.
func (s *sight) change(how func(*board.Reading)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	how(&s.now)
	s.now.ReadAt = time.Now()
	s.Put(s.now)
}

func (s *sight) sees(state ltp.State, epoch int64) {
	s.change(func(now *board.Reading) {
		now.Orientation = ltp.Orientation{Component: db, State: state, Epoch: epoch}
		now.Unreadable = false
	})
}

// loses is that nothing can be read any more.
func (s *sight) loses() {
	s.change(func(now *board.Reading) { now.State, now.Unreadable = ltp.Unknown, true })
}

// controlled puts an operator's ReplayControl in force.
func (s *sight) controlled(c ltp.ReplayControl) {
	s.change(func(now *board.Reading) { now.ReplayControl = c })
}

// oneByOne is the default pace with one order on its way at a time, so that their order
// is certain.
func oneByOne() pace.Settings {
	p := pace.Default()
	p.InFlight = 1
	return p
}

var (
	drain  = ltp.ReleaseInput{Component: db, Epoch: 5}
	settle = ltp.ReleaseInput{Component: db, Epoch: 6, Settle: true}
)

// engine releases the orders of a namespace.
func engine(n *namespace, s *sight, p pace.Settings) *replay.Engine {
	return &replay.Engine{Client: n, Board: s.Board, Pace: p, Log: silent}
}

// environment runs the activities of an engine until ctx ends.
func environment(ctx context.Context, e *replay.Engine) *testsuite.TestActivityEnvironment {
	var suite testsuite.WorkflowTestSuite
	suite.SetLogger(log.NewStructuredLogger(silent))
	env := suite.NewTestActivityEnvironment()
	env.SetWorkerOptions(worker.Options{BackgroundActivityContext: ctx})
	env.RegisterActivity(e)
	return env
}

func run(t *testing.T, env *testsuite.TestActivityEnvironment, e *replay.Engine, in ltp.ReleaseInput) (report ltp.ReleaseReport, err error) {
	t.Helper()
	value, err := env.ExecuteActivity(e.Release, in)
	if err == nil {
		require.NoError(t, value.Get(&report))
	}
	return report, err
}

func release(t *testing.T, e *replay.Engine, in ltp.ReleaseInput, prepare ...func(*testsuite.TestActivityEnvironment)) (ltp.ReleaseReport, error) {
	t.Helper()
	env := environment(t.Context(), e)
	for _, p := range prepare {
		p(env)
	}
	return run(t, env, e, in)
}

// from begins an attempt where another one ended.
func from(before ltp.ReleaseReport) func(*testsuite.TestActivityEnvironment) {
	return func(env *testsuite.TestActivityEnvironment) { env.SetHeartbeatDetails(before) }
}

// cancelled is a context that a test ends.
func cancelled(t *testing.T) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	return ctx, cancel
}
