package replay

import (
	"context"
	"sync"
	"time"

	"github.com/ltp-node/ltp/internal/visibility"
)

const (
	// sharedFor is for how long what was read serves all who ask, at least, and sharedRest
	// for how many times as long as its reading took: reading takes a tenth of the time at
	// most, however many ask. Nothing older than sharedOldest is returned.
	sharedFor, sharedRest, sharedOldest = time.Second, 10, 30 * time.Second
)

// shared is what is dear to read and may be some seconds old: whoever asks gets the
// latest reading, and one is under way at most. The zero shared is ready.
type shared[T any] struct {
	mu    sync.Mutex
	value T
	until time.Time     // until when value may be returned
	begun time.Time     // of the latest reading
	next  time.Time     // when the next may begin
	done  chan struct{} // closed when the reading under way has ended; nil for none
}

// get is the latest reading, and false where there is none before ctx ends. It begins a
// reading where one is due, which goes on when ctx has ended, for those who ask next. It
// waits only where there is nothing to tell, and not for a reading that has taken longer
// already than ctx lasts: one that hangs holds up few.
func (s *shared[T]) get(ctx context.Context, read func(context.Context) (T, error)) (value T, ok bool) {
	s.mu.Lock()
	now := time.Now()
	if s.done == nil && !now.Before(s.next) {
		s.begun, s.done = now, make(chan struct{})
		go s.read(context.WithoutCancel(ctx), read)
	}
	value, ok = s.value, now.Before(s.until)
	done, patience := s.done, visibility.Timeout
	if end, bounded := ctx.Deadline(); bounded {
		patience = end.Sub(now)
	}
	patience -= now.Sub(s.begun)
	s.mu.Unlock()
	if ok || done == nil || patience <= 0 {
		return value, ok
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.value, time.Now().Before(s.until)
}

func (s *shared[T]) read(ctx context.Context, read func(context.Context) (T, error)) {
	ctx, cancel := context.WithTimeout(ctx, visibility.Timeout)
	defer cancel()
	value, err := read(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	rest := max(sharedFor, sharedRest*now.Sub(s.begun))
	s.next = now.Add(rest)
	if err == nil {
		s.value, s.until = value, s.begun.Add(min(2*rest, sharedOldest)) // while the next is read
	}
	close(s.done)
	s.done = nil
}

// expired reports whether there is nothing to tell, and nothing is being read.
func (s *shared[T]) expired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.done == nil && !time.Now().Before(s.until)
}
