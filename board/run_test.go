package board

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

// tape is the history of an Orientation workflow: it ends when it is closed, and
// otherwise grows by what is sent.
type tape struct {
	ctx    context.Context
	events chan enumspb.EventType
	next   enumspb.EventType
	failed bool
}

func (t *tape) HasNext() bool {
	if t.failed {
		return false
	}
	select {
	case e, ok := <-t.events:
		t.next = e
		return ok
	case <-t.ctx.Done():
		t.failed = true
		return true
	}
}

func (t *tape) Next() (*historypb.HistoryEvent, error) {
	if t.failed {
		return nil, t.ctx.Err()
	}
	return &historypb.HistoryEvent{EventType: t.next}, nil
}

// server is a Temporal whose answers a test sets, and that keeps when it was asked.
type server struct {
	mu    sync.Mutex
	now   ltp.Orientation
	err   error
	took  time.Duration
	asked []time.Duration // since it began
	began time.Time
	busy  int
	most  int
	runs  []*tape // histories that were followed
	deaf  bool    // asking for history fails at once
}

func (s *server) set(change func(*server)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(s)
}

func (s *server) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// grow adds an event to the history that is followed now.
func (s *server) grow(e enumspb.EventType) {
	s.mu.Lock()
	last := s.runs[len(s.runs)-1]
	s.mu.Unlock()
	last.events <- e
}

func (s *server) describe(ctx context.Context, _, _ string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	s.mu.Lock()
	s.asked = append(s.asked, time.Since(s.began))
	s.busy++
	s.most = max(s.most, s.busy)
	now, err, took := s.now, s.err, s.took
	s.mu.Unlock()
	defer s.set(func(s *server) { s.busy-- })
	if took > 0 {
		select {
		case <-time.After(took):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if err != nil {
		return nil, err
	}
	return running(now), nil
}

func (s *server) history(ctx context.Context, _ string) client.HistoryEventIterator {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := &tape{ctx: ctx, events: make(chan enumspb.EventType, 8), failed: s.deaf}
	s.runs = append(s.runs, run)
	return run
}

// runBoard runs a board until the test ends, in the time of a bubble.
func runBoard(t *testing.T, s *server, log *slog.Logger) *Board {
	t.Helper()
	s.began = time.Now()
	b := New(&temporal{describe: s.describe, history: s.history}, []string{db}, log)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		b.Run(ctx)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	synctest.Wait()
	return b
}

var silent = slog.New(slog.DiscardHandler)

func TestABoardReadsAtOnceAndThenSteadily(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{now: orientation(ltp.Stable, 3)}
		b := runBoard(t, s, silent)
		assert.Equal(t, ltp.Stable, b.Orientation(db).State)
		time.Sleep(4*Refresh + 1)
		synctest.Wait()
		assert.Equal(t, []time.Duration{0, Refresh, 2 * Refresh, 3 * Refresh, 4 * Refresh}, s.asked)
		assert.Equal(t, time.Duration(1), time.Since(b.Orientation(db).ReadAt))
	})
}

func TestABoardReadsAgainAtOnceWhenTheOrientationIsPublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{now: orientation(ltp.Stable, 3)}
		b := runBoard(t, s, silent)
		s.set(func(s *server) { s.now = orientation(ltp.Unstable, 4) })
		s.grow(enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED)
		synctest.Wait() // no time passes
		assert.Equal(t, ltp.Unstable, b.Orientation(db).State)

		asked := s.count()
		s.grow(enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED)
		synctest.Wait()
		assert.Equal(t, asked, s.count(), "other events are no news")
	})
}

func TestABoardFollowsTheNextRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{now: orientation(ltp.Stable, 3)}
		b := runBoard(t, s, silent)
		close(s.runs[0].events) // continued as new
		time.Sleep(Refresh + 1)
		synctest.Wait()
		require.Len(t, s.runs, 2)
		s.set(func(s *server) { s.now = orientation(ltp.Unstable, 4) })
		s.grow(enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED)
		synctest.Wait()
		assert.Equal(t, ltp.Unstable, b.Orientation(db).State)
	})
}

func TestABoardNeedsNoHistoryToStayFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{now: orientation(ltp.Stable, 3), deaf: true}
		b := runBoard(t, s, silent)
		s.set(func(s *server) { s.now = orientation(ltp.Unstable, 4) })
		time.Sleep(Refresh)
		synctest.Wait()
		assert.Equal(t, ltp.Unstable, b.Orientation(db).State)
		s.set(func(s *server) {
			assert.LessOrEqual(t, len(s.runs), 3, "a history that cannot be read is not asked for in a tight loop")
		})
	})
}

func TestASlowReadHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{now: orientation(ltp.Stable, 3), took: time.Hour}
		b := runBoard(t, s, silent)
		s.set(func(s *server) { s.took = 0 })
		time.Sleep(Refresh)
		synctest.Wait()
		assert.Equal(t, ltp.Stable, b.Orientation(db).State)

		// However slow, there are only so many at once, and each is given up in time.
		s.set(func(s *server) { s.took = time.Hour })
		time.Sleep(Lease + Refresh)
		synctest.Wait()
		assert.Equal(t, reads, s.most)
		asked := s.count()
		time.Sleep(Lease + Refresh)
		synctest.Wait()
		assert.Greater(t, s.count(), asked)
		assert.True(t, b.Orientation(db).Unreadable)
	})
}

func TestABoardThatCannotReadIsUnknownAfterItsLeaseAndSaysSoOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var said strings.Builder
		s := &server{now: orientation(ltp.Stable, 3)}
		b := runBoard(t, s, slog.New(slog.NewTextHandler(&said, nil)))
		s.set(func(s *server) { s.err = errors.New("connection refused") })
		time.Sleep(Lease)
		synctest.Wait()
		assert.Equal(t, ltp.Stable, b.Orientation(db).State)
		time.Sleep(Refresh)
		synctest.Wait()
		assert.Equal(t, ltp.Unknown, b.Orientation(db).State)
		assert.Equal(t, 1, strings.Count(said.String(), "connection refused"))

		s.set(func(s *server) { s.err = nil })
		time.Sleep(Refresh)
		synctest.Wait()
		assert.Equal(t, ltp.Stable, b.Orientation(db).State)

		s.set(func(s *server) { s.err = errors.New("connection refused") })
		time.Sleep(2 * Refresh)
		synctest.Wait()
		assert.Equal(t, 2, strings.Count(said.String(), "connection refused"), "another outage is logged again")
	})
}
