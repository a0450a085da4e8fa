package activities

import (
	"cmp"
	"sync"
	"time"

	"github.com/ltp-node/ltp"
)

// lateLimiter bounds how many orders that waited for a worker are admitted at once. It is safe
// for concurrent use.
type lateLimiter struct {
	mu       sync.Mutex
	since    time.Time // the beginning of the window
	admitted int
}

// backlog reports whether an order that waited so long must leave its turn to a release.
func (l *lateLimiter) backlog(waited, after time.Duration, now time.Time) bool {
	if waited < cmp.Or(after, ltp.LateAfter) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if now.Sub(l.since) >= ltp.LateWindow || now.Before(l.since) {
		l.since, l.admitted = now, 0
	}
	l.admitted++
	return l.admitted > ltp.LateOrders
}
