package board

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// fenced is one answer of the fence.
type fenced struct {
	ltp.Routing
	fence ltp.Fence
	err   error
}

// fence asks the fence and returns a channel with its one answer.
func fence(ctx context.Context, b *Board, components ...string) <-chan fenced {
	c := make(chan fenced, 1)
	go func() {
		r, f, err := b.Fence(ctx, asked(ltp.Request{}, components...))
		c <- fenced{r, f, err}
	}()
	synctest.Wait()
	return c
}

func TestTheFenceWaitsForAFreshReading(t *testing.T) {
	for _, now := range []struct {
		state    ltp.State
		decision ltp.Decision
	}{{ltp.Stable, ltp.Execute}, {ltp.Unstable, ltp.Defer}} {
		t.Run(string(now.state), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBoard()
				b.Put(seen(ltp.Stable, 3).old(1))
				answer := fence(t.Context(), b, db)
				assert.Empty(t, answer, "what is at hand may be out of date")

				b.Put(seen(now.state, 4))
				synctest.Wait()
				require.Len(t, answer, 1, "it is woken, it does not poll")
				got := <-answer
				require.NoError(t, got.err)
				assert.Equal(t, now.decision, got.Decision)
				assert.Equal(t, now.state, got.State)
				assert.EqualValues(t, 4, got.Epoch)
			})
		})
	}
}

// TestTheFenceAsksOnceForAllWhoComeMeanwhile: a reading that is under way was begun too
// early for those who come later, and one more serves them all.
func TestTheFenceAsksOnceForAllWhoComeMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := 0
		b := Of(func(context.Context, string) (Reading, error) {
			read++
			r := seen(ltp.Stable, int64(read))
			time.Sleep(3 * time.Millisecond)
			return r, nil
		}, []string{db}, silent)
		b.Put(seen(ltp.Stable, 0).old(1))
		first := fence(t.Context(), b, db)
		time.Sleep(time.Millisecond)
		var late []<-chan fenced
		for range 20 {
			late = append(late, fence(t.Context(), b, db))
		}
		assert.EqualValues(t, 1, (<-first).Epoch)
		for _, answer := range late {
			got := <-answer
			require.NoError(t, got.err)
			assert.Equal(t, ltp.Execute, got.Decision)
			assert.EqualValues(t, 2, got.Epoch, "what was begun before it came does not count")
		}
		synctest.Wait()
		assert.Equal(t, 2, read)
		assert.EqualValues(t, 3, (<-fence(t.Context(), b, db)).Epoch)
		synctest.Wait()
	})
}

func TestTheFenceRefusesAtOnceWhatIsKnownUnfit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.Put(seen(ltp.Unstable, 4).old(Lease))
		answer := fence(t.Context(), b, db)
		require.Len(t, answer, 1)
		got := <-answer
		require.NoError(t, got.err)
		assert.Equal(t, ltp.Defer, got.Decision)
		assert.Equal(t, ltp.Unstable, got.State)

		// One component that is known unfit is enough, whatever the others are.
		answer = fence(t.Context(), b, "payments", db)
		require.Len(t, answer, 1)
		assert.Equal(t, ltp.Defer, (<-answer).Decision)
	})
}

func TestTheFenceRefusesOnAFreshReadingThatSeesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.Put(unreadable(orientation(ltp.Stable, 3), time.Now(), "its observer is silent"))
		answer := fence(t.Context(), b, db)
		require.Len(t, answer, 1)
		got := <-answer
		require.NoError(t, got.err)
		assert.Equal(t, ltp.Defer, got.Decision)
	})
}

func TestTheFenceAdmitsNothingWhenItsContextEndsFirst(t *testing.T) {
	for name, prepare := range map[string]func(*Board){
		"never read": func(*Board) {}, "out of date": func(b *Board) { b.Put(seen(ltp.Stable, 3).old(time.Second)) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBoard()
				prepare(b)
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				defer cancel()
				got := <-fence(ctx, b, db)
				require.ErrorIs(t, got.err, context.DeadlineExceeded)
				assert.Equal(t, asked(ltp.Request{}).NotRouted(), got.Routing)
				assert.Zero(t, got.fence)
			})
		})
	}
}

// TestTheFenceAdmitsOnlyWhenEveryReadingIsFresh: a fresh reading of one component is no
// reading of another.
func TestTheFenceAdmitsOnlyWhenEveryReadingIsFresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := Of(mute, []string{db, "payments"}, silent)
		b.Put(seen(ltp.Stable, 3).old(1))
		b.Put(seen(ltp.Stable, 7).of("payments").old(1))
		answer := fence(t.Context(), b, db, "payments")
		b.Put(seen(ltp.Stable, 8).of("payments"))
		synctest.Wait()
		assert.Empty(t, answer, "nothing new is known of the first")

		b.Put(seen(ltp.Unstable, 4))
		got := <-answer
		require.NoError(t, got.err)
		assert.Equal(t, ltp.Defer, got.Decision)
		assert.Equal(t, db, got.Component)
	})
}

// TestTheFenceIsOfWhatIsWritten, whichever component decided: the epoch of that one is what
// a task must have been given.
func TestTheFenceIsOfWhatIsWritten(t *testing.T) {
	now := time.Now()
	b := Of(mute, []string{db, "payments"}, silent)
	b.now = func() time.Time { return now }
	at := func(r Reading) Reading { r.ReadAt = now; return r }
	written := at(seen(ltp.Stable, 3))
	written.LastFit = 3
	b.Put(written)
	b.Put(at(seen(ltp.Degraded, 8)).of("payments"))
	r, f, err := b.Fence(t.Context(), asked(ltp.Request{}, db, "payments"))
	require.NoError(t, err)
	assert.True(t, r.Decision.Admissible())
	assert.Equal(t, "payments", r.Component)
	assert.EqualValues(t, 8, r.Epoch)
	assert.EqualValues(t, 3, r.Written)
	assert.Equal(t, ltp.Fence{Component: db, State: ltp.Stable, Epoch: 3, LastFit: 3, ReadAt: ltp.Stamped(now)}, f)

	own := asked(ltp.Request{}, db, "payments")
	own.Written = "" // an activity of the user's writes, and nobody else knows to what
	r, f, err = b.Fence(t.Context(), own)
	require.NoError(t, err)
	assert.Zero(t, r.Written)
	assert.Equal(t, "payments", f.Component)
	assert.EqualValues(t, 8, f.Epoch)
}

// TestTheFenceRecordsWhatItWasAsked beside the answer.
func TestTheFenceRecordsWhatItWasAsked(t *testing.T) {
	now := seen(ltp.Recovering, 5)
	b := newBoard()
	b.now = func() time.Time { return now.ReadAt }
	b.Put(now)
	r, _, err := b.Fence(t.Context(), asked(ltp.Request{Replay: true}))
	require.NoError(t, err)
	assert.Equal(t, ltp.Routing{
		Attempt: 2, Woken: ltp.WokenByTimer, Request: ltp.Request{Replay: true},
		Decision: ltp.Execute, Reason: ltp.ReasonRecoveryConfirmed,
		Component: db, State: ltp.Recovering, Epoch: 5, ReadAt: ltp.Stamped(now.ReadAt), Written: 5,
	}, r)
}

// TestAFreshReadingIsOneThatWasBegunAfterTheCall, whatever it shows: also one that is unfit,
// or sees nothing.
func TestAFreshReadingIsOneThatWasBegunAfterTheCall(t *testing.T) {
	for name, now := range map[string]func() Reading{
		"stable":   func() Reading { return seen(ltp.Stable, 4) },
		"unstable": func() Reading { return seen(ltp.Unstable, 4) },
		"blind":    func() Reading { return unreadable(orientation(ltp.Stable, 4), time.Now(), "its observer is silent") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := Of(func(context.Context, string) (Reading, error) {
					r := now()
					time.Sleep(3 * time.Millisecond)
					return r, nil
				}, []string{db}, silent)
				b.Put(seen(ltp.Unstable, 3).old(1)) // known to be unfit, and yet it is asked
				began := time.Now()
				r, err := b.Fresh(t.Context(), db)
				require.NoError(t, err)
				assert.EqualValues(t, 4, r.Epoch)
				assert.False(t, r.ReadAt.Before(began))
				synctest.Wait()
			})
		})
	}
}

func TestNoFreshReadingIsMadeUpWhenItsContextEndsFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.Put(seen(ltp.Stable, 3).old(time.Second))
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		_, err := b.Fresh(ctx, db)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		assert.ErrorContains(t, err, db)
	})
}

// TestAReadingThatFailsIsNotAskedForInATightLoop: whoever waits is served by the next that
// the board makes by itself.
func TestAReadingThatFailsIsNotAskedForInATightLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := 0
		b := Of(func(context.Context, string) (Reading, error) {
			read++
			return Reading{}, errors.New("connection refused")
		}, []string{db}, silent)
		answer := fence(t.Context(), b, db)
		time.Sleep(time.Minute)
		assert.Equal(t, 1, read)
		b.Put(seen(ltp.Stable, 3))
		assert.Equal(t, ltp.Execute, (<-answer).Decision)
	})
}
