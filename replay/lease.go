package replay

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
)

const (
	// beatEvery is how often a release renews its lease and says how far it is.
	beatEvery = time.Second
	// beatTimeout is how long Temporal may take to answer.
	beatTimeout = 3 * time.Second
	// leaseShare is the share of the heartbeat timeout that a lease lasts: the rest is
	// for the signals that are under way when it ends.
	leaseShare = 2
	// heartbeatTimeout is that of an activity which does not tell its own.
	heartbeatTimeout = 10 * time.Second
)

// errReplaced ends a release whose place another attempt has taken, or may take now.
var errReplaced = errors.New("another attempt has taken the place of this one")

// lease makes sure that two releases of one component cannot run, also where a process
// was frozen. Temporal appoints the next attempt when it has heard no heartbeat for the
// heartbeat timeout; what was frozen and thaws knows nothing of that, and would signal
// on, beside its successor and after it. The SDK's own heartbeats are no help: it sends
// them in the background, and does not say which of them arrived.
//
// So each attempt also heartbeats by itself and waits for the answer. Temporal accepts
// the heartbeat of the attempt in force only; one that was accepted was begun before it
// was accepted, so that no other attempt begins within the heartbeat timeout from then.
// No signal is sent unless that is less than half of it ago. A release of an earlier
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
func (l *lease) renew(ctx context.Context, c client.Client, token []byte, report ReleaseReport) error {
	asking, cancel := context.WithTimeout(ctx, beatTimeout)
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
