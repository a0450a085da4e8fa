package activities

import (
	"context"
	"sync"
)

// trials shares a trial of a write path among all who ask at the same time. Each gets the outcome
// of one that was begun after it asked, so it says something about what came before.
type trials struct {
	mu        sync.Mutex
	now, next *trial
}

type trial struct {
	done chan struct{}
	err  error
}

// wait waits for a trial that begins now or later.
func (t *trials) wait(ctx context.Context, try func(context.Context) error) error {
	t.mu.Lock()
	mine := t.next
	if mine == nil {
		mine = &trial{done: make(chan struct{})}
		t.next = mine
		if t.now == nil {
			t.begin(try)
		}
	}
	t.mu.Unlock()
	select {
	case <-mine.done:
		return mine.err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// begin begins the next trial. It does not end with whoever asked first.
func (t *trials) begin(try func(context.Context) error) {
	now := t.next
	t.now, t.next = now, nil
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), causeWithin)
		defer cancel()
		now.err = try(ctx)
		close(now.done)
		t.mu.Lock()
		defer t.mu.Unlock()
		if t.now = nil; t.next != nil {
			t.begin(try)
		}
	}()
}
