// Package bulkhead bounds how much of a kind is under way at once, and how much waits for
// that, so that what is over the bound costs the rest nothing.
package bulkhead

import (
	"context"
	"errors"
	"sync"
	"time"
)

// ErrFull says that as much is under way as may be, and that it stayed so.
var ErrFull = errors.New("as much is under way as may be at once")

// Bulkhead is safe for concurrent use.
type Bulkhead struct {
	running, queue chan struct{}
	patience       time.Duration
}

// New makes a bulkhead for so much at once. So much more waits, each for as long as
// patience lasts.
func New(atOnce, queue int, patience time.Duration) *Bulkhead {
	return &Bulkhead{make(chan struct{}, atOnce), make(chan struct{}, atOnce+queue), patience}
}

// Enter waits until there is room. It returns ErrFull at once where too much waits already,
// and when patience has ended, and the cause of ctx when that ends first. Where it returns
// no error, leave must be called once.
func (b *Bulkhead) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case b.queue <- struct{}{}:
	default:
		return nil, ErrFull
	}
	leave = func() { <-b.running; <-b.queue }
	select { // no timer where there is room
	case b.running <- struct{}{}:
		return leave, nil
	default:
	}
	patience := time.NewTimer(b.patience)
	defer patience.Stop()
	select {
	case b.running <- struct{}{}:
		return leave, nil
	case <-patience.C:
		err = ErrFull
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	<-b.queue
	return nil, err
}

// Full reports whether Enter would return ErrFull at once.
func (b *Bulkhead) Full() bool { return len(b.queue) == cap(b.queue) }

// Crowded reports whether something waits for room.
func (b *Bulkhead) Crowded() bool { return len(b.queue) > cap(b.running) }

// Keyed are bulkheads of one size, one for each key that something is under way of. The
// zero Keyed is of no use; it is safe for concurrent use.
type Keyed struct {
	AtOnce, Queue int
	Patience      time.Duration

	mu  sync.Mutex
	all map[string]*shared
}

type shared struct {
	*Bulkhead
	users int
}

// Enter enters the bulkhead of a key.
func (k *Keyed) Enter(ctx context.Context, key string) (leave func(), err error) {
	k.mu.Lock()
	one := k.all[key]
	if one == nil {
		if k.all == nil {
			k.all = map[string]*shared{}
		}
		one = &shared{Bulkhead: New(k.AtOnce, k.Queue, k.Patience)}
		k.all[key] = one
	}
	one.users++
	k.mu.Unlock()
	done := func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		if one.users--; one.users == 0 {
			delete(k.all, key)
		}
	}
	out, err := one.Enter(ctx)
	if err != nil {
		done()
		return nil, err
	}
	return func() { out(); done() }, nil
}

// Divided is a bulkhead of which one key takes a part at most, so that there is room for
// others. What waits for its key's part takes no room of theirs.
type Divided struct {
	*Bulkhead
	each *Keyed // nil where one key may take all
}

// Undivided is a bulkhead of which one key may take all.
func Undivided(b *Bulkhead) *Divided { return &Divided{Bulkhead: b} }

// Divide is a bulkhead of which one key takes three quarters of the room, and of what
// waits, each rounded down; but one of either at least where there is any.
func Divide(b *Bulkhead) *Divided {
	atOnce := cap(b.running)
	return &Divided{b, &Keyed{AtOnce: part(atOnce), Queue: part(cap(b.queue) - atOnce), Patience: b.patience}}
}

func part(n int) int {
	if n <= 1 {
		return n
	}
	return n * 3 / 4
}

// Enter enters the part of a key, and then the whole.
func (d *Divided) Enter(ctx context.Context, key string) (leave func(), err error) {
	if d.each == nil {
		return d.Bulkhead.Enter(ctx)
	}
	done, err := d.each.Enter(ctx, key)
	if err != nil {
		return nil, err
	}
	out, err := d.Bulkhead.Enter(ctx)
	if err != nil {
		done()
		return nil, err
	}
	return func() { out(); done() }, nil
}
