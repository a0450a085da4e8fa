package bulkhead_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/bulkhead"
)

func TestBulkheadRefusesWhatItHasNoRoomFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := bulkhead.New(2, 1, time.Second)
		first, err := b.Enter(t.Context())
		require.NoError(t, err)
		second, err := b.Enter(t.Context())
		require.NoError(t, err)
		assert.False(t, b.Crowded())

		begun := time.Now()
		waited := make(chan error, 1)
		go func() { _, err := b.Enter(t.Context()); waited <- err }()
		synctest.Wait()
		assert.True(t, b.Crowded())
		assert.True(t, b.Full())
		_, err = b.Enter(t.Context())
		assert.ErrorIs(t, err, bulkhead.ErrFull)
		assert.Zero(t, time.Since(begun), "what nobody can wait for is refused at once")
		assert.ErrorIs(t, <-waited, bulkhead.ErrFull)
		assert.Equal(t, time.Second, time.Since(begun))

		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, err := b.Enter(ctx); waited <- err }()
		synctest.Wait()
		cancel()
		assert.ErrorIs(t, <-waited, context.Canceled)

		go func() { _, err := b.Enter(t.Context()); waited <- err }()
		synctest.Wait()
		first()
		assert.NoError(t, <-waited)
		second()
	})
}

// TestAKeyThatIsFullBlocksNoOtherKey, and a key that is at rest is forgotten.
func TestAKeyThatIsFullBlocksNoOtherKey(t *testing.T) {
	k := bulkhead.Keyed{AtOnce: 1, Patience: time.Millisecond}
	var out sync.WaitGroup
	leave, err := k.Enter(t.Context(), "hot")
	require.NoError(t, err)
	for range 50 {
		out.Go(func() {
			_, err := k.Enter(t.Context(), "hot")
			assert.ErrorIs(t, err, bulkhead.ErrFull)
		})
	}
	out.Wait()
	other, err := k.Enter(t.Context(), "other")
	require.NoError(t, err)
	other()
	leave()
	leave, err = k.Enter(t.Context(), "hot")
	require.NoError(t, err)
	leave()
}

// TestOneKeyLeavesRoomForOthers, also where it waits with as many as may wait for it.
func TestOneKeyLeavesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := bulkhead.Divide(bulkhead.New(4, 4, time.Second))
		var hog, other []func()
		for range 3 {
			leave, err := d.Enter(t.Context(), "hog")
			require.NoError(t, err)
			hog = append(hog, leave)
		}
		waited := make(chan error, 3)
		for range 3 {
			go func() { _, err := d.Enter(t.Context(), "hog"); waited <- err }()
		}
		synctest.Wait()
		_, err := d.Enter(t.Context(), "hog")
		require.ErrorIs(t, err, bulkhead.ErrFull)
		assert.False(t, d.Crowded(), "what waits for its part takes nothing of the whole")
		leave, err := d.Enter(t.Context(), "other")
		require.NoError(t, err)
		other = append(other, leave)
		for range 3 {
			require.ErrorIs(t, <-waited, bulkhead.ErrFull)
		}
		for _, leave := range append(hog, other...) {
			leave()
		}
		all := bulkhead.Undivided(bulkhead.New(4, 0, 0))
		for range 4 {
			_, err := all.Enter(t.Context(), "hog")
			require.NoError(t, err)
		}
	})
}
