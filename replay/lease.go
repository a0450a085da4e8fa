package replay

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
)

const (
	// heartbeatEvery is how often a release renews its lease and reports how far it is.
	heartbeatEvery = time.Second
	// answerTimeout is how long Temporal may take to answer.
	answerTimeout = 3 * time.Second
	// leaseShare is the share of the heartbeat timeout that a lease lasts: the rest is
	// for the releases that are sent just then.
	leaseShare = 2
	// heartbeatTimeout is that of an activity that has none of its own.
	heartbeatTimeout = 10 * time.Second
)

// errReplaced ends a release whose place another attempt has taken, or may take now.
var errReplaced = errors.New("another attempt has taken the place of this one")

// lease makes sure that two releases of one component cannot run, also where a process
// was frozen. Temporal appoints the next attempt when no heartbeat has arrived for the
// heartbeat timeout; what was frozen and thaws does not know that, and would go on beside
// its successor, and after it. The SDK's own heartbeats are no help: it sends
// them in the background, and does not report which of them arrived.
//
// So each attempt also heartbeats by itself and waits for the answer. Temporal accepts
// the heartbeat of the attempt in force only; one that was accepted was begun before it
// was accepted, so that no other attempt begins within the heartbeat timeout from then.
// No order is released unless that is less than half of it ago. A release of an earlier
// epoch is ended by the board, whose readings have a lease of their own.
type lease struct {
	lasts time.Duration

	mu    sync.Mutex
	since time.Time // when the latest heartbeat that was accepted was begun
}

// newLease is held as soon as a heartbeat was accepted.
func newLease(info activity.Info) *lease {
	lasts := info.HeartbeatTimeout
	if lasts <= 0 {
		lasts = heartbeatTimeout
	}
	return &lease{lasts: lasts / leaseShare}
}

// held reports whether this attempt is certain to be the one in force.
func (l *lease) held() bool {
	age, ok := l.age()
	return ok && age < l.lasts
}

// lost reports whether the lease was held and ran out.
func (l *lease) lost() bool {
	age, ok := l.age()
	return ok && age >= l.lasts
}

// renewedSince reports whether Temporal took a heartbeat that was begun after t.
func (l *lease) renewedSince(t time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.since.After(t)
}

// age is how old the lease is, and false when there was none yet.
func (l *lease) age() (time.Duration, bool) {
	l.mu.Lock()
	since := l.since
	l.mu.Unlock()
	now := time.Now()
	// While a machine sleeps, only the clock on its wall goes on.
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0))), !since.IsZero()
}

// renew heartbeats the report. It returns errReplaced when the attempt is no longer the
// one in force; whatever else goes wrong only leaves the lease to run out.
func (l *lease) renew(ctx context.Context, c client.Client, token []byte, report ltp.ReleaseReport) error {
	asking, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	begun := time.Now()
	err := c.RecordActivityHeartbeat(asking, token, report)
	switch {
	case err == nil:
		l.mu.Lock()
		l.since = begun
		l.mu.Unlock()
		return nil
	case errors.As(err, new(*serviceerror.NotFound)), errors.Is(err, activity.ErrActivityPaused), errors.Is(err, activity.ErrActivityReset):
		return errReplaced
	}
	return nil
}
