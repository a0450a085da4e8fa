package board

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

func TestAWatcherIsCalledOnceWhenAComponentBecomesUnfit(t *testing.T) {
	both := []string{db, "payments"}
	for name, news := range map[string]Reading{
		"unstable": seen(ltp.Unstable, 4), "unknown": seen(ltp.Unknown, 4), "a state of a later version": seen("SERENE", 4),
		"blind": unreadable(orientation(ltp.Stable, 4), time.Now(), "its observer is silent"),
	} {
		t.Run(name, func(t *testing.T) {
			b := New(nil, both, silent)
			called := 0
			stop := b.OnUnfit(both, func() { called++ })
			defer stop()
			b.Put(news)
			assert.Equal(t, 1, called)
			b.Put(news.old(-time.Millisecond))
			b.Put(news.of("payments").old(-time.Millisecond))
			assert.Equal(t, 1, called)
		})
	}
}

func TestAWatcherIsCalledForNothingElse(t *testing.T) {
	b := newBoard()
	called := 0
	stop := b.OnUnfit([]string{db}, func() { called++ })
	for i, s := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering} {
		b.Put(seen(s, int64(3+i)))
	}
	b.Put(seen(ltp.Unstable, 9).of("payments"))
	b.Put(seen(ltp.Unstable, 4)) // overtaken
	assert.Zero(t, called)

	stop()
	b.Put(seen(ltp.Unstable, 6))
	assert.Zero(t, called, "the watch has ended")
	assert.Empty(t, b.watchers, "and holds nothing")
}

// TestAWatcherMayAskTheBoard and finds what it was called for.
func TestAWatcherMayAskTheBoard(t *testing.T) {
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
		synctest.Wait() // no time passes: it is woken, it does not poll
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
		r, err := b.Wait(t.Context(), db, func(r Reading) bool { return r.Unreadable })
		require.NoError(t, err)
		assert.Equal(t, ltp.Unknown, r.State)
		assert.LessOrEqual(t, time.Since(began), Lease+Refresh)
	})
}
