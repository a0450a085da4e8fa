package activities_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
)

// TestAWriteBeginsOnlyUnderAnEpochThatItsTaskWasGiven: an attempt whose task is long lost
// cannot write under a later one.
func TestAWriteBeginsOnlyUnderAnEpochThatItsTaskWasGiven(t *testing.T) {
	for _, c := range []struct {
		name   string
		state  ltp.State
		in     ltp.ExecuteInput
		result ltp.Result
		routed bool // by the fence
	}{
		{"admitted and given", ltp.Stable, attempt(7), ltp.ResultExecuted, false},
		{"admitted, one of several", ltp.Degraded, attempt(3, 7, 9), ltp.ResultExecuted, false},
		{"admitted under an earlier epoch", ltp.Stable, attempt(3), ltp.ResultNotGiven, true},
		{"admitted under a later epoch", ltp.Stable, attempt(8), ltp.ResultNotGiven, true},
		{"nothing given", ltp.Stable, attempt(), ltp.ResultNotGiven, true},
		{"no epoch given", ltp.Stable, attempt(0), ltp.ResultNotGiven, true},
		{"given, and unfit", ltp.Unstable, attempt(7), ltp.ResultNotBegun, true},
		{"not given, and unfit", ltp.Unstable, attempt(3), ltp.ResultNotBegun, true},
		{"released under the epoch", ltp.Recovering, release(3, 7), ltp.ResultExecuted, true},
		{"released under an earlier epoch", ltp.Stable, release(3, 6), ltp.ResultNotGiven, true},
		{"released, and unfit", ltp.Unknown, release(7), ltp.ResultNotBegun, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newBoard(db)
			b.Put(seen(c.state, 7))
			written := 0
			put := func(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
				receipt, err := admit()
				if err != nil {
					return orderdb.Stored{}, unavailable(err)
				}
				written++
				return orderdb.Stored{Receipt: receipt}, nil
			}
			if !c.state.Fit() {
				put = nil
			}
			got := execute(t, b, put, c.in)
			assert.Equal(t, c.result, got.Result)
			assert.Equal(t, c.result == ltp.ResultExecuted, written == 1, "nothing is written otherwise")
			assert.Equal(t, c.result == ltp.ResultExecuted, !got.BegunAt.IsZero())
			assertFence(t, ltp.Fence{Component: db, State: c.state, Epoch: 7}, got.Fence)
			if !c.routed {
				assert.Nil(t, got.Routing, "the routing before it stands")
				assert.Equal(t, "A1/2", got.Receipt.Attempt)
				return
			}
			require.NotNil(t, got.Routing)
			decision, reason := ltp.Decide(ltp.Orientation{Component: db, State: c.state, Epoch: 7}, c.in.Route.Request)
			assert.Equal(t, ltp.Routing{
				Attempt: 3, Woken: c.in.Route.Woken, Request: c.in.Route.Request, Decision: decision, Reason: reason,
				Component: db, State: c.state, Epoch: 7, ReadAt: got.Routing.ReadAt, Written: 7,
			}, *got.Routing)
			if got.Receipt != nil {
				assert.Equal(t, "A1/3", got.Receipt.Attempt, "under the routing that the fence made")
			}
		})
	}
}

// TestAnEpochThatIsOnlyNamedCountsOnceItHasBegun: whoever names one may name one that is yet
// to come, and a task that is long lost must not wait for that.
func TestAnEpochThatIsOnlyNamedCountsOnceItHasBegun(t *testing.T) {
	task := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		name   string
		given  []int64
		named  int64
		since  time.Time
		result ltp.Result
	}{
		{"begun before the task", []int64{3, 7}, 7, task.Add(-time.Second), ltp.ResultExecuted},
		{"begun with the task", []int64{3, 7}, 7, task, ltp.ResultExecuted},
		{"begun after the task", []int64{3, 7}, 7, task.Add(time.Nanosecond), ltp.ResultNotGiven},
		{"named by more than somebody's word", []int64{3, 7}, 0, task.Add(time.Minute), ltp.ResultExecuted},
		{"another is named", []int64{7, 9}, 9, task.Add(time.Minute), ltp.ResultExecuted},
		{"named, and not given", []int64{3}, 7, task.Add(-time.Second), ltp.ResultNotGiven},
	} {
		for kind, in := range map[string]ltp.ExecuteInput{"admitted": attempt(c.given...), "released": release(c.given...)} {
			t.Run(c.name+", "+kind, func(t *testing.T) {
				b := newBoard(db)
				r := seen(ltp.Recovering, 7)
				r.Since = c.since
				b.Put(r)
				in.Named, in.TaskAt, in.Route.Request = c.named, task, ltp.Request{Replay: true}
				got := execute(t, b, writes(nil), in)
				assert.Equal(t, c.result, got.Result)
				assert.Equal(t, c.result == ltp.ResultExecuted, !got.BegunAt.IsZero())
				if c.result == ltp.ResultNotGiven {
					assert.EqualValues(t, 7, got.Routing.Written, "which gives it to the next task")
				}
			})
		}
	}
}

// TestTheFenceIsTheDecisionTable: it is as strict as routing was, row by row.
func TestTheFenceIsTheDecisionTable(t *testing.T) {
	for _, state := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering, ltp.Unstable, ltp.Unknown} {
		for _, request := range []ltp.Request{{}, {Replay: true}, {HighRisk: true}, {HighRisk: true, Replay: true}, {InLine: true, Replay: true}} {
			t.Run(fmt.Sprintf("%s %+v", state, request), func(t *testing.T) {
				b := newBoard(db)
				b.Put(seen(state, 3))
				decision, reason := ltp.Decide(b.Orientation(db).Orientation, request)
				in := attempt(3)
				in.Route.Request = request
				put := writes(nil)
				if !decision.Admissible() {
					put = nil // of a component that is known to be unfit no connection is asked
				}
				got := execute(t, b, put, in)
				assert.Equal(t, decision.Admissible(), got.Result == ltp.ResultExecuted)
				if !decision.Admissible() {
					assert.Equal(t, ltp.ResultNotBegun, got.Result)
					assert.Equal(t, reason, got.Routing.Reason)
				}
			})
		}
	}
}

func TestTheFenceRefusesWhatBecameUnfitBetweenRoutingAndTheWrite(t *testing.T) {
	b := newBoard(db)
	a := &activities.Orders{Board: b}
	b.Put(seen(ltp.Stable, 3))
	routing, err := a.CheckOrientation(t.Context(), ltp.RouteInput{OrderID: "A1", Components: []string{db}, Written: db, Attempt: 1})
	require.NoError(t, err)
	require.Equal(t, ltp.Execute, routing.Decision)

	b.Put(seen(ltp.Unstable, 4))
	got := executeWith(t, t.Context(), a, nil, attempt(routing.Written))
	assert.Equal(t, ltp.ResultNotBegun, got.Result)
	assert.Zero(t, got.BegunAt)
	assert.Equal(t, ltp.ReasonUnstable, got.Routing.Reason)
	assertFence(t, ltp.Fence{Component: db, State: ltp.Unstable, Epoch: 4}, got.Fence)
}

// TestTheFenceIsOfWhatIsWrittenWhateverTheOrderNames: an order that names payments alone is
// written to the order database all the same, and waits for that.
func TestTheFenceIsOfWhatIsWrittenWhateverTheOrderNames(t *testing.T) {
	other := order
	other.DependsOn = []string{"payments"}
	in := attempt(3)
	in.Order, in.Route.Components = other, other.Gate(ltp.Execution{})
	require.Equal(t, []string{db, "payments"}, in.Route.Components)

	b := newBoard(db, "payments")
	b.Put(seen(ltp.Stable, 3))
	b.Put(seenOf("payments", ltp.Stable, 8))
	got := execute(t, b, writes(nil), in)
	require.Equal(t, ltp.ResultExecuted, got.Result)
	assertFence(t, ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3}, got.Receipt.Fence)

	held := seen(ltp.Unstable, 4)
	held.Hold = &ltp.Hold{By: "ann", Why: "x", Freeze: true}
	b.Put(held)
	got = execute(t, b, nil, in)
	assert.Equal(t, ltp.ResultNotBegun, got.Result)
	assert.Equal(t, ltp.ReasonFrozen, got.Routing.Reason)
	assert.Equal(t, db, got.Routing.Component)
}

// TestTheFenceLooksAtEveryComponentOfTheOrder, and says what is written to besides.
func TestTheFenceLooksAtEveryComponentOfTheOrder(t *testing.T) {
	b := newBoard(db, "payments")
	b.Put(seen(ltp.Stable, 3))
	b.Put(seenOf("payments", ltp.Unstable, 8))
	in := attempt(3, 8)
	in.Route.Components = []string{db, "payments"}
	got := execute(t, b, nil, in)
	assert.Equal(t, ltp.ResultNotBegun, got.Result)
	assert.Equal(t, "payments", got.Routing.Component)
	assert.EqualValues(t, 8, got.Routing.Epoch)
	assertFence(t, ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3}, got.Fence)
}

// TestTheWriteWaitsForAReadingThatWasAskedForInThisAttempt, however fresh the one at hand.
func TestTheWriteWaitsForAReadingThatWasAskedForInThisAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked := 0
		b := board.Of(func(context.Context, string) (board.Reading, error) {
			asked++
			r := seen(ltp.Recovering, 6)
			time.Sleep(2 * time.Millisecond)
			return r, nil
		}, []string{db}, silent)
		old := seen(ltp.Stable, 3)
		old.ReadAt = old.ReadAt.Add(-time.Millisecond)
		b.Put(old)
		began := ltp.Stamped(time.Now())
		got := execute(t, b, writes(nil), release(3, 6))
		assert.Equal(t, ltp.ResultExecuted, got.Result)
		assert.Equal(t, ltp.Fence{Component: db, State: ltp.Recovering, Epoch: 6, ReadAt: began}, got.Receipt.Fence)
		assert.False(t, got.BegunAt.Before(began.Add(2*time.Millisecond)))
		assert.Equal(t, 1, asked)
		synctest.Wait()
	})
}

// TestBeforeAnActivityOfTheUsersExecuteIsTheFenceAlone: nothing is written, and no epoch is
// asked for, since nobody but the user knows what is written to.
func TestBeforeAnActivityOfTheUsersExecuteIsTheFenceAlone(t *testing.T) {
	for state, want := range map[ltp.State]ltp.Result{
		ltp.Stable: ltp.ResultAdmitted, ltp.Degraded: ltp.ResultAdmitted, ltp.Recovering: ltp.ResultNotBegun,
		ltp.Unstable: ltp.ResultNotBegun, ltp.Unknown: ltp.ResultNotBegun,
	} {
		t.Run(string(state), func(t *testing.T) {
			b := newBoard(db)
			b.Put(seen(state, 7))
			in := attempt()
			in.Route.Written = ""
			asked := ltp.Stamped(time.Now())
			got := execute(t, b, nil, in)
			assert.Equal(t, want, got.Result)
			assert.Zero(t, got.BegunAt)
			assert.Equal(t, want != ltp.ResultAdmitted, got.Routing != nil)
			assert.Equal(t, state, got.Fence.State)
			if want == ltp.ResultAdmitted {
				assert.False(t, got.Fence.ReadAt.Before(asked), "it was read after it was asked")
			}
		})
	}
}

func TestAFenceThatCannotReadIsShut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		blind := board.Of(func(context.Context, string) (board.Reading, error) {
			return board.Reading{}, errors.New("temporal is away")
		}, []string{db}, silent)
		for _, in := range []ltp.ExecuteInput{attempt(3), release(3)} {
			own := in
			own.Route.Written = ""
			for _, in := range []ltp.ExecuteInput{in, own} {
				got := execute(t, blind, nil, in) // nor is a connection asked
				assert.Equal(t, ltp.ResultNotBegun, got.Result)
				assert.NotEmpty(t, got.Error)
				assert.Zero(t, got.BegunAt)
				if !in.Admitted {
					require.NotNil(t, got.Routing)
					assert.True(t, got.Routing.Unreadable)
					assert.Equal(t, ltp.Defer, got.Routing.Decision)
				}
			}
		}
	})
}

// TestNoAttemptIsAnErrorNorWritesUnadmitted, whatever the board shows, whatever the order
// database does and whatever is asked.
func TestNoAttemptIsAnErrorNorWritesUnadmitted(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		components, task := []string{db, "payments"}, time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
		b := newBoard(components...)
		states := []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering, ltp.Unstable, ltp.Unknown, "SERENE"}
		look := func() {
			for _, c := range components {
				r := seenOf(c, rapid.SampledFrom(states).Draw(rt, "state"), int64(rapid.IntRange(3, 6).Draw(rt, "epoch")))
				r.Unreadable = r.State == ltp.Unknown && rapid.Bool().Draw(rt, "blind")
				r.Since = task.Add(time.Duration(rapid.IntRange(-1, 1).Draw(rt, "since")) * time.Second)
				b.Put(r)
			}
		}
		look()
		in := attempt(rapid.SliceOfN(rapid.Int64Range(3, 6), 0, 3).Draw(rt, "given")...)
		in.Admitted = rapid.Bool().Draw(rt, "admitted")
		in.Named, in.TaskAt = rapid.SampledFrom(append([]int64{0}, in.Given...)).Draw(rt, "named"), task
		in.Route.Components = components[:rapid.IntRange(1, 2).Draw(rt, "components")]
		in.Route.Request = ltp.Request{Replay: rapid.Bool().Draw(rt, "replay"), HighRisk: rapid.Bool().Draw(rt, "risk")}
		if rapid.Bool().Draw(rt, "external") {
			in.Route.Written = ""
		}
		changes := rapid.Bool().Draw(rt, "changes")
		end := rapid.SampledFrom([]error{
			nil, unavailable(errors.New("x")), errors.New("x"), &orderdb.Error{Class: orderdb.Unknown, Err: errors.New("x")},
			&orderdb.Error{Class: orderdb.Rejected, Message: "x", Err: errors.New("x")},
		}).Draw(rt, "end")
		begun := false
		a := &activities.Orders{Board: b, DB: orders{put: func(_ context.Context, _ ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error) {
			if changes {
				look()
			}
			receipt, err := admit()
			if err != nil {
				return orderdb.Stored{}, unavailable(err)
			}
			begun = true
			f := receipt.Fence
			assert.Equal(rt, db, f.Component)
			assert.True(rt, f.State.Fit(), "%s", f.State)
			assert.True(rt, slices.Contains(in.Given, f.Epoch), "epoch %d was not given", f.Epoch)
			assert.False(rt, f.Epoch == in.Named && b.Orientation(db).Since.After(task), "epoch %d had not begun", f.Epoch)
			return orderdb.Stored{Receipt: receipt}, end
		}}}
		got, err := a.Execute(rt.Context(), in)
		require.NoError(rt, err)
		assert.True(rt, got.Result.Valid(), got.Result)
		assert.Equal(rt, begun, !got.BegunAt.IsZero())
		assert.Equal(rt, begun, slices.Contains([]ltp.Result{ltp.ResultExecuted, ltp.ResultRefused, ltp.ResultUnavailable, ltp.ResultUnknown}, got.Result))
		if !in.Admitted || got.Result == ltp.ResultNotGiven {
			require.NotNil(rt, got.Routing)
			assert.Equal(rt, in.Route.Attempt, got.Routing.Attempt)
		}
	})
}
