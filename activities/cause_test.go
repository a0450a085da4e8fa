package activities_test

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
)

type writePathFunc func(context.Context) error

func (f writePathFunc) TryWritePath(ctx context.Context) error { return f(ctx) }
func (f writePathFunc) TryLatest(ctx context.Context) error    { return nil }

// changedWritePath lets the probe's order through, and none that holds what orders hold.
type changedWritePath struct{ writePathFunc }

func (changedWritePath) TryLatest(context.Context) error { return errors.New("a check fails") }

// signals keeps what is signalled to Orientations.
type signals struct {
	client.Client
	reports  chan ltp.FailedWrites
	backlogs chan ltp.Backlog
}

func (c signals) SignalWorkflow(_ context.Context, id, _, name string, arg any) error {
	switch {
	case id == ltp.OrientationWorkflowID("orders-db") && name == ltp.FailingSignal:
		c.reports <- arg.(ltp.FailedWrites)
	case id == ltp.OrientationWorkflowID("orders-db") && name == ltp.BacklogSignal:
		c.backlogs <- arg.(ltp.Backlog)
	default:
		return errors.New("another signal")
	}
	return nil
}

func boardThatHolds(s ltp.State, epoch int64) *board.Board {
	b := board.Of(nil, []string{"orders-db"}, slog.New(slog.DiscardHandler))
	b.Put(board.Reading{Orientation: ltp.Orientation{Component: "orders-db", State: s, Epoch: epoch}, ReadAt: time.Now()})
	return b
}

// TestNoFaultIsSoughtWhileTheComponentIsUnfit: whose fault a failure was under an epoch that is over
// matters to nobody, and the write path of a sick database is not tried.
func TestNoFaultIsSoughtWhileTheComponentIsUnfit(t *testing.T) {
	for state, epoch := range map[ltp.State]int64{ltp.Unstable: 4, ltp.Unknown: 3, ltp.Recovering: 5} {
		reports := make(chan ltp.FailedWrites, 9)
		a := activities.Orders{
			Board:     boardThatHolds(state, epoch),
			WritePath: writePathFunc(func(context.Context) error { t.Errorf("%s: the write path is tried", state); return nil }),
			Witness: func(context.Context, string, time.Time) (time.Time, error) {
				t.Errorf("%s: asked", state)
				return time.Now(), nil
			},
			Evidence: &activities.Evidence{Client: signals{reports: reports}, Log: slog.New(slog.DiscardHandler)},
		}
		r, err := a.CheckOrientation(t.Context(), failedRoute("A1", ""))
		require.NoError(t, err)
		assert.Empty(t, r.Cause)
		assert.Equal(t, ltp.Defer, r.Decision)
		assert.Empty(t, reports)
	}
}

func failedRoute(order, activity string) ltp.RouteInput {
	return ltp.RouteInput{
		OrderID: order, Components: []string{"orders-db"}, Written: "orders-db", Attempt: 2, Woken: ltp.WokenByFailure,
		Request: ltp.Request{Failed: true, FailedUnder: "orders-db", FailedEpoch: 3},
		Failure: &ltp.Failure{Result: ltp.ResultUnavailable, Code: "23514", Error: "a check fails", Activity: activity, Since: time.Unix(1, 0)},
	}
}

func TestTheCauseOfAFailureIsFoundByTheWritePathAndTheNewestOrders(t *testing.T) {
	works := func(context.Context) error { return nil }
	fails := func(context.Context) error {
		return &orderdb.Error{Class: orderdb.Unavailable, Err: errors.New("permission denied")}
	}
	refuses := func(context.Context) error {
		return &orderdb.Error{Class: orderdb.Rejected, Message: "no such customer"}
	}
	hangs := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	for name, c := range map[string]struct {
		writePath func(context.Context) error
		seen      bool
		activity  string
		code      string
		result    ltp.Result // the failure's, where that is not ltp.ResultUnavailable
		changed   bool       // the newest orders would not go through
		want      ltp.FailureCause
	}{
		"the probe's order goes through":                        {writePath: works, code: "23514", want: ltp.CauseOrder},
		"it does, and the database says that it has no room":    {writePath: works, code: "53100"},
		"it does, no room, and another order was executed":      {writePath: works, code: "53100", seen: true, want: ltp.CauseOrder},
		"it does, and there is no code":                         {writePath: works, want: ltp.CauseOrder},
		"it does, and the order's write had no answer":          {writePath: works, result: ltp.ResultUnknown},
		"it does, no answer, and another order was executed":    {writePath: works, result: ltp.ResultUnknown, seen: true, want: ltp.CauseOrder},
		"the newest orders would not go through":                {writePath: works, code: "23514", changed: true},
		"nor, and another order was executed":                   {writePath: works, code: "23514", changed: true, seen: true, want: ltp.CauseOrder},
		"nor, and the business refuses the order":               {writePath: works, code: "23514", result: ltp.ResultRefused, changed: true, want: ltp.CauseOrder},
		"nor, which an error of no content does not ask":        {writePath: works, code: "40001", changed: true, want: ltp.CauseOrder},
		"the probe's order fails, too":                          {writePath: fails, seen: true, want: ltp.CauseComponent},
		"the write path hangs":                                  {writePath: hangs, want: ltp.CauseComponent},
		"a rule refuses the probe's order":                      {writePath: refuses},
		"a rule refuses it, and another order was executed":     {writePath: refuses, seen: true, want: ltp.CauseOrder},
		"the write path is not tried":                           {},
		"the write path is not tried, and another was executed": {seen: true, want: ltp.CauseOrder},
		"by an activity of the user's":                          {writePath: works, activity: "Pack"},
		"by an activity of the user's that executed another":    {writePath: fails, activity: "Pack", seen: true, want: ltp.CauseOrder},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := c
				var suspected []string
				reports := make(chan ltp.FailedWrites, 9)
				a := activities.Orders{
					Board: boardThatHolds(ltp.Stable, 3),
					Witness: func(_ context.Context, activity string, since time.Time) (last time.Time, err error) {
						assert.Equal(t, c.activity, activity)
						assert.Equal(t, time.Unix(1, 0), since)
						if c.seen {
							last = since.Add(time.Second)
						}
						return last, nil
					},
					Evidence: &activities.Evidence{Client: signals{reports: reports}, Worker: "w-1", Log: slog.New(slog.DiscardHandler)},
					Suspect:  func(component, order string, since time.Time) { suspected = append(suspected, component+" "+order) },
				}
				switch {
				case c.changed:
					a.WritePath = changedWritePath{c.writePath}
				case c.writePath != nil:
					a.WritePath = writePathFunc(c.writePath)
				}
				in := failedRoute("A1", c.activity)
				in.Failure.Code = c.code
				if c.result != "" {
					in.Failure.Result = c.result
				}
				r, err := a.CheckOrientation(t.Context(), in)
				require.NoError(t, err)
				assert.Equal(t, c.want, r.Cause)
				if c.want == ltp.CauseComponent {
					assert.Equal(t, []string{"orders-db A1"}, suspected, "the worker may be alone with what its trial met")
				} else {
					assert.Empty(t, suspected)
				}
				time.Sleep(time.Second)
				synctest.Wait()
				if c.want == ltp.CauseOrder {
					assert.Empty(t, reports, "what is the order's own is no evidence")
					return
				}
				require.Len(t, reports, 1)
				assert.Equal(t, ltp.FailedWrites{
					Component: "orders-db", Worker: "w-1", Epoch: 3,
					Orders: []ltp.FailedWrite{{Order: "A1", Code: c.code, Error: "a check fails", Hung: c.result == ltp.ResultUnknown}},
				}, <-reports)
			})
		})
	}
}

// TestTrialsOfOneMomentAreShared, and each is begun after whoever it serves has asked.
func TestTrialsOfOneMomentAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var n atomic.Int32
		a := activities.Orders{
			Board: boardThatHolds(ltp.Stable, 3),
			WritePath: writePathFunc(func(context.Context) error {
				time.Sleep(time.Second)
				if n.Add(1) == 1 {
					return nil // of before the others asked
				}
				return &orderdb.Error{Class: orderdb.Unavailable, Err: errors.New("no")}
			}),
		}
		causes := make(chan ltp.FailureCause, 50)
		ask := func() {
			r, _ := a.CheckOrientation(t.Context(), failedRoute("A1", ""))
			causes <- r.Cause
		}
		go ask()
		synctest.Wait()
		for range 40 {
			go ask()
		}
		time.Sleep(3 * time.Second)
		assert.Equal(t, ltp.CauseOrder, <-causes)
		for range 40 {
			assert.Equal(t, ltp.CauseComponent, <-causes)
		}
		assert.EqualValues(t, 2, n.Load())
	})
}

// TestCommitsClearWhatFailedBefore, and go with the next report.
func TestCommitsClearWhatFailedBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reports := make(chan ltp.FailedWrites, 9)
		e := activities.Evidence{Client: signals{reports: reports}, Worker: "w-1", Log: slog.New(slog.DiscardHandler)}
		e.Committed("orders-db")
		e.Committed("orders-db")
		for _, id := range []string{"A1", "A2"} {
			e.Failed("orders-db", 3, ltp.FailedWrite{Order: id})
		}
		time.Sleep(time.Second)
		first := <-reports
		assert.Equal(t, 2, first.Commits)
		assert.Len(t, first.Orders, 2, "what failed in one moment goes in one report")
		e.Failed("orders-db", 3, ltp.FailedWrite{Order: "A3"})
		e.Committed("orders-db")
		time.Sleep(time.Second)
		second := <-reports
		assert.Empty(t, second.Orders)
		assert.Equal(t, 1, second.Commits)
	})
}
