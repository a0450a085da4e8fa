package pace

import "time"

const (
	// farTimes is how many times its best a latency is far from it, unless both are
	// short: a SlowWrite by shortShare is never far.
	farTimes   = 4
	shortShare = 2
	// window is for how long a best counts, at least: what a component has become
	// slower by for good is no setback for ever.
	window = 30 * time.Second
	// smoothed is over how many of the latest writes the smooth latency is taken, about,
	// and fewest how many it takes to call it far: one outlier is not.
	smoothed, fewest = 16, 4
)

// latency is how long the writes of the releases took.
type latency struct {
	smooth      time.Duration // the latest count most; 0 is none
	n           int           // how many writes it was taken over, smoothed at most
	short       time.Duration // what is never far
	best, older time.Duration // of this window and of the one before it; 0 is none
	since       time.Duration // when this window began
}

// add takes a write and reports whether writes now take far longer than the best
// of late.
func (l *latency) add(at, write, slowWrite time.Duration) (far bool) {
	if write <= 0 {
		return false
	}
	write = min(write, maxWait)
	if gone := at - l.since; gone >= window {
		l.older, l.best, l.since = l.best, 0, at
		if gone >= 2*window {
			l.older = 0
		}
	}
	l.best = least(l.best, write)
	l.n = min(l.n+1, smoothed)
	l.smooth += (write - l.smooth) / time.Duration(l.n)
	l.short = slowWrite / shortShare
	most := max(farTimes*least(l.best, l.older), l.short)
	return l.n >= fewest && write > most && l.smooth > most
}

// rising reports whether writes take twice as long as the best of late.
func (l *latency) rising() bool { return l.smooth > max(2*least(l.best, l.older), l.short/2) }

// forget begins anew, but for the best.
func (l *latency) forget() { l.smooth, l.n = 0, 0 }

func least(a, b time.Duration) time.Duration {
	if a == 0 || (b != 0 && b < a) {
		return b
	}
	return a
}
