// Package reload is hot reloading by polling: it keeps what was made of files, and makes it
// anew when they have changed:
// who changes them need not tell us, and no timer, signal or watch of a file system can miss
// it.
package reload

import (
	"sync"
	"sync/atomic"
	"time"
)

// Source looks at files. seen is another where anything about them is, be they usable or
// not; use makes a value of what was seen.
type Source[T any] func() (seen string, use func() (T, error))

// Value is what was last made of files that were of use. It is safe for concurrent use.
type Value[T any] struct {
	source Source[T]
	every  time.Duration
	notify func(T, error)
	inUse  atomic.Pointer[T]
	failed atomic.Pointer[error] // of the last look; nil where what it saw is in use

	mu   sync.Mutex
	seen string
	at   time.Time
}

// New looks at the files, and returns an error where they are of no use. Value.Current
// looks again where the last look is every or more ago. notify is called when the files have
// changed: with what is in use from now on, or with why they are of no use.
func New[T any](source Source[T], every time.Duration, notify func(T, error)) (*Value[T], error) {
	v := &Value[T]{source: source, every: every, notify: notify, at: time.Now()}
	seen, use := source()
	made, err := use()
	if err != nil {
		return nil, err
	}
	v.seen = seen
	v.inUse.Store(&made)
	return v, nil
}

// Current is what the files hold or, while they are of no use, what they held. While
// another call looks at them it is what they held: a file system that hangs holds up one
// call alone.
func (v *Value[T]) Current() T {
	if v.mu.TryLock() {
		defer v.mu.Unlock()
		if now := time.Now(); now.Sub(v.at) >= v.every {
			v.at = now
			v.readAgain()
		}
	}
	return *v.inUse.Load()
}

// Stale looks as Current does, and returns why what the files hold is of no use while what
// they held is in use. It is nil where what they hold is in use.
func (v *Value[T]) Stale() error {
	v.Current()
	if failed := v.failed.Load(); failed != nil {
		return *failed
	}
	return nil
}

func (v *Value[T]) readAgain() {
	seen, use := v.source()
	if seen == v.seen {
		return
	}
	v.seen = seen
	made, err := use()
	if err == nil {
		v.inUse.Store(&made)
		v.failed.Store(nil)
	} else {
		v.failed.Store(&err)
	}
	v.notify(made, err)
}
