package ltp

import (
	"fmt"
	"hash/fnv"
	"time"
)

// Backstop is how long a deferred order waits for a signal until it looks again by
// itself: First, doubling each time it was needed up to Most, spread by a quarter to
// both sides. The zero value is DefaultBackstop.
type Backstop struct {
	First time.Duration `json:"first"`
	Most  time.Duration `json:"most"`
}

// DefaultBackstop is 10 minutes, doubling to 30: most outages, and the drains after them, are
// over before, and a wake costs half as much again as all else that a deferred order does.
// It is not recorded, so a change of it is a change of workflow code under waiting orders.
func DefaultBackstop() Backstop { return Backstop{First: 10 * time.Minute, Most: 30 * time.Minute} }

// Bounds of a backstop. A shorter one would be a poll; a longer one would leave an
// order that no signal reached waiting for days.
const (
	MinBackstop = time.Second
	MaxBackstop = 24 * time.Hour
)

// Validate says what is wrong with a backstop.
func (b Backstop) Validate() error {
	switch {
	case b == Backstop{}:
		return nil
	case b.First < MinBackstop:
		return fmt.Errorf("backstop %s is too short: use at least %s", b.First, MinBackstop)
	case b.Most < b.First:
		return fmt.Errorf("max backstop %s is shorter than the backstop %s", b.Most, b.First)
	case b.Most > MaxBackstop:
		return fmt.Errorf("max backstop %s is too long: use at most %s", b.Most, MaxBackstop)
	}
	return nil
}

// OrDefault is b, or DefaultBackstop for the zero value.
func (b Backstop) OrDefault() Backstop {
	if b == (Backstop{}) {
		return DefaultBackstop()
	}
	return b
}

// Doubled is first doubled n times, and at most most.
func Doubled(first, most time.Duration, n int) time.Duration {
	d := first
	for ; n > 0 && d < most; n-- {
		d *= 2
	}
	return min(d, most)
}

// jittered spreads d by a quarter to both sides, the same way at every replay of the
// history.
func jittered(d time.Duration, orderID string, attempt int) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(RequestFrameID(orderID, attempt)))
	spread := int64(d) / 2
	return d - time.Duration(spread/2) + time.Duration(spread*int64(h.Sum32()%1024)/1024)
}
