package board

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// newBoard is a board on which is only what a test puts there.
func newBoard() *Board { return Of(mute, []string{db}, silent) }

func mute(context.Context, string) (Reading, error) { return Reading{}, errors.New("nobody answers") }

// seen is a reading of this moment.
func seen(s ltp.State, epoch int64) Reading {
	return Reading{Orientation: orientation(s, epoch), ReadAt: time.Now()}
}

// of is r, read of another component.
func (r Reading) of(component string) Reading {
	r.Component = component
	return r
}

// old is r, read earlier.
func (r Reading) old(age time.Duration) Reading {
	r.ReadAt = r.ReadAt.Add(-age)
	return r
}

func TestWhatHasNotBeenReadIsUnknown(t *testing.T) {
	r := newBoard().Orientation(db)
	assert.Equal(t, ltp.Unknown, r.State)
	assert.Equal(t, db, r.Component)
	assert.True(t, r.Blind)
}

func TestAReadingIsUsedForItsLeaseAndNotLonger(t *testing.T) {
	b := newBoard()
	r := seen(ltp.Stable, 3)
	b.Put(r)
	now := r.ReadAt
	b.now = func() time.Time { return now }

	now = r.ReadAt.Add(Lease)
	assert.Equal(t, r, b.Orientation(db))

	now = r.ReadAt.Add(Lease + 1)
	late := b.Orientation(db)
	assert.Equal(t, ltp.Unknown, late.State)
	assert.True(t, late.Blind)
	assert.EqualValues(t, 3, late.Epoch, "the epoch stays known")
	assert.Equal(t, r.ReadAt, late.ReadAt)
	_, decision, reason := b.Route([]string{db}, ltp.Request{})
	assert.Equal(t, ltp.Defer, decision)
	assert.Equal(t, ltp.ReasonUnknown, reason)
}

func TestAnAnswerThatWasOvertakenIsIgnored(t *testing.T) {
	first := seen(ltp.Unstable, 5)
	after := func(r Reading, d time.Duration) Reading { return r.old(-d) }
	rows := []struct {
		name  string
		then  Reading
		taken bool
	}{
		{"of the same state, read later", after(seen(ltp.Unstable, 5), time.Millisecond), true},
		{"of a later epoch, read later", after(seen(ltp.Recovering, 6), time.Millisecond), true},
		{"of the same state, asked for earlier", seen(ltp.Unstable, 5).old(time.Second), false},
		{"of a later epoch, asked for earlier", seen(ltp.Stable, 6).old(time.Second), false},
		{"of an earlier epoch, although asked for later", after(seen(ltp.Stable, 4), time.Second), false},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			b := newBoard()
			b.Put(first)
			b.Put(row.then)
			if row.taken {
				assert.Equal(t, row.then, b.Orientation(db))
			} else {
				assert.Equal(t, first, b.Orientation(db))
			}
		})
	}
}

// An answer takes a lease at most: an earlier epoch that was asked for after that is
// that of a workflow that Temporal forgot or reset, and nothing else will ever come.
func TestAWorkflowThatWasStartedOverIsReadAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.Put(seen(ltp.Stable, 57))
		time.Sleep(Lease)
		b.Put(seen(ltp.Stable, 2))
		assert.EqualValues(t, 57, b.Orientation(db).Epoch, "it may still be an answer that was overtaken")
		time.Sleep(time.Nanosecond)
		b.Put(seen(ltp.Stable, 2))
		assert.EqualValues(t, 2, b.Orientation(db).Epoch)
		assert.Equal(t, ltp.Stable, b.Orientation(db).State)
	})
}

func TestLosingSightReplacesAFitState(t *testing.T) {
	b := newBoard()
	b.Put(seen(ltp.Stable, 3))
	b.Put(blind(orientation(ltp.Stable, 3), time.Now(), "its observer is silent"))
	assert.Equal(t, ltp.Unknown, b.Orientation(db).State)
}

func TestRouteTellsOfTheComponentThatDecided(t *testing.T) {
	b := New(nil, []string{db, "payments"}, silent)
	b.Put(seen(ltp.Stable, 3))
	both := []string{db, "payments"}

	r, decision, reason := b.Route(both, ltp.Request{})
	assert.Equal(t, "payments", r.Component, "never read")
	assert.True(t, r.Blind)
	assert.Equal(t, ltp.Defer, decision)
	assert.Equal(t, ltp.ReasonUnknown, reason)

	payments := seen(ltp.Unstable, 8).of("payments")
	b.Put(payments)
	r, decision, reason = b.Route(both, ltp.Request{})
	assert.Equal(t, payments, r)
	assert.Equal(t, ltp.Defer, decision)
	assert.Equal(t, ltp.ReasonUnstable, reason)

	r, decision, _ = b.Route([]string{db}, ltp.Request{})
	assert.Equal(t, db, r.Component)
	assert.Equal(t, ltp.Execute, decision)
}

func TestNewsOfUnfitnessIsToldOnce(t *testing.T) {
	both := []string{db, "payments"}
	for name, news := range map[string]Reading{
		"unstable": seen(ltp.Unstable, 4), "unknown": seen(ltp.Unknown, 4), "a state of a later version": seen("SERENE", 4),
		"blind": blind(orientation(ltp.Stable, 4), time.Now(), "its observer is silent"),
	} {
		t.Run(name, func(t *testing.T) {
			b := New(nil, both, silent)
			told := 0
			stop := b.OnUnfit(both, func() { told++ })
			defer stop()
			b.Put(news)
			assert.Equal(t, 1, told)
			b.Put(news.old(-time.Millisecond))
			b.Put(news.of("payments").old(-time.Millisecond))
			assert.Equal(t, 1, told)
		})
	}
}

func TestOnlyNewsOfUnfitnessIsTold(t *testing.T) {
	b := newBoard()
	told := 0
	stop := b.OnUnfit([]string{db}, func() { told++ })
	for i, s := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering} {
		b.Put(seen(s, int64(3+i)))
	}
	b.Put(seen(ltp.Unstable, 9).of("payments"))
	b.Put(seen(ltp.Unstable, 4)) // overtaken
	assert.Zero(t, told)

	stop()
	b.Put(seen(ltp.Unstable, 6))
	assert.Zero(t, told, "the watch has ended")
	assert.Empty(t, b.watchers, "and holds nothing")
}

// TestTheNewsMayAskTheBoard: whoever is told may look at once, and finds the news.
func TestTheNewsMayAskTheBoard(t *testing.T) {
	b := newBoard()
	b.Put(seen(ltp.Stable, 3))
	var found ltp.State
	var stop func()
	stop = b.OnUnfit([]string{db}, func() {
		found = b.Orientation(db).State
		stop()
	})
	b.Put(seen(ltp.Unstable, 4))
	assert.Equal(t, ltp.Unstable, found)
}

func TestWaitReturnsWhatFits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		fits := func(r Reading) bool { return r.Epoch == 5 }
		var got atomic.Pointer[Reading]
		go func() {
			r, err := b.Wait(t.Context(), db, fits)
			assert.NoError(t, err)
			got.Store(&r)
		}()
		b.Put(seen(ltp.Stable, 4))
		synctest.Wait()
		assert.Nil(t, got.Load())
		five := seen(ltp.Unstable, 5)
		b.Put(five)
		synctest.Wait() // no time passes: it is told, it does not poll
		require.NotNil(t, got.Load())
		assert.Equal(t, five, *got.Load())

		r, err := b.Wait(t.Context(), db, fits)
		require.NoError(t, err)
		assert.Equal(t, five, r, "what is there is not waited for")
	})
}

func TestWaitEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := newBoard().Wait(ctx, db, func(Reading) bool { return false })
	require.ErrorIs(t, err, context.Canceled)
}

func TestWaitNoticesThatAReadingGrewOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.Put(seen(ltp.Stable, 3))
		began := time.Now()
		r, err := b.Wait(t.Context(), db, func(r Reading) bool { return r.Blind })
		require.NoError(t, err)
		assert.Equal(t, ltp.Unknown, r.State)
		assert.LessOrEqual(t, time.Since(began), Lease+Refresh)
	})
}

// fence asks the fence and returns a channel with its one answer.
func fence(ctx context.Context, b *Board, components ...string) <-chan fenced {
	c := make(chan fenced, 1)
	go func() {
		r, decision, err := b.Fence(ctx, components, ltp.Request{})
		c <- fenced{r, decision, err}
	}()
	synctest.Wait()
	return c
}

type fenced struct {
	Reading
	decision ltp.Decision
	err      error
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
				require.Len(t, answer, 1, "it is told, it does not poll")
				got := <-answer
				require.NoError(t, got.err)
				assert.Equal(t, now.decision, got.decision)
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
		asked := 0
		b := Of(func(context.Context, string) (Reading, error) {
			asked++
			r := seen(ltp.Stable, int64(asked))
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
			assert.Equal(t, ltp.Execute, got.decision)
			assert.EqualValues(t, 2, got.Epoch, "what was begun before it came does not count")
		}
		synctest.Wait()
		assert.Equal(t, 2, asked)
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
		assert.Equal(t, ltp.Defer, got.decision)
		assert.Equal(t, ltp.Unstable, got.State)

		// One component that is known unfit is enough, whatever the others are.
		answer = fence(t.Context(), b, "payments", db)
		require.Len(t, answer, 1)
		assert.Equal(t, ltp.Defer, (<-answer).decision)
	})
}

func TestTheFenceRefusesOnAFreshReadingThatSeesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoard()
		b.Put(blind(orientation(ltp.Stable, 3), time.Now(), "its observer is silent"))
		answer := fence(t.Context(), b, db)
		require.Len(t, answer, 1)
		got := <-answer
		require.NoError(t, got.err)
		assert.Equal(t, ltp.Defer, got.decision)
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
				assert.Equal(t, ltp.Defer, got.decision)
			})
		})
	}
}

// TestTheFenceAdmitsOnlyWhenEveryReadingIsFresh: what is fresh of one component does not
// speak for another.
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
		assert.Equal(t, ltp.Defer, got.decision)
		assert.Equal(t, db, got.Component)
	})
}
