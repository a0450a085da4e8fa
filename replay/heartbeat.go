package replay

import (
	"context"
	"errors"
	"sync"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/ltp-node/ltp"
)

// The phases of a release, for people.
const (
	PhaseCanary     = "CANARY" // a few orders go first, and their outcome is awaited
	PhaseRamp       = "RAMP"   // orders are released at the pace
	PhaseSweep      = "SWEEP"  // everything found is released; what shows up late is looked for
	PhasePaused     = "PAUSED" // an operator holds the release
	PhaseSettle     = "SETTLE" // the backlog is drained; what shows up late is looked for
	PhaseUnreadable = "BLIND"  // the orientation cannot be read, or Temporal takes no heartbeat: nothing is released
)

// progress is how far a release is. It is safe for concurrent use.
type progress struct {
	mu  sync.Mutex
	now ltp.ReleaseReport
	// counted is how many orders were left when so many had been answered.
	counted, answered int64
}

// update changes what is reported.
func (p *progress) update(change func(*ltp.ReleaseReport)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	change(&p.now)
}

// report is what is known at this moment.
func (p *progress) report() ltp.ReleaseReport {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// stage is what the release does now, where nothing keeps it from that.
func (p *progress) stage(phase string) {
	p.update(func(r *ltp.ReleaseReport) { r.Phase = phase })
}

// left takes a count of the orders that are left. What was answered since is taken off.
func (p *progress) left(n, answered int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counted, p.answered = n, answered
	if n == 0 {
		p.now.Oldest = time.Time{}
	}
}

func (p *progress) remaining(answered int64) int64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return max(p.counted-(answered-p.answered), 0)
}

// report is how far the release is at this moment.
func (r *release) report() ltp.ReleaseReport {
	report := r.progress.report()
	report.At = time.Now().UTC()
	report.Remaining = r.progress.remaining(r.answered.Load())
	report.Rate, report.Ceiling = r.pacer.rates()
	report.CanariesPassed = r.canariesPassed.Load()
	switch now := r.reading(); {
	case !r.serves(now) || r.lease.lost():
		report.Phase, report.Ceiling = PhaseUnreadable, 0
	case now.ReplayControl.Paused:
		report.Phase, report.Ceiling = PhasePaused, 0
	}
	return report
}

// heartbeat renews the lease and reports how far the release is, until ctx ends. A
// cancellation arrives with the heartbeat by the SDK, which ends activityCtx.
func (r *release) heartbeat(ctx, activityCtx context.Context, stop context.CancelCauseFunc) {
	tick := time.NewTicker(heartbeatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		report := r.report()
		if err := r.lease.renew(ctx, r.Client, r.token, report); err != nil {
			stop(err)
			return
		}
		activity.RecordHeartbeat(activityCtx, report)
		if r.Meter != nil {
			r.Meter.Replaying(r.in.Component, report)
		}
	}
}

const (
	// surveyEvery is the least time between two counts of what is left, and surveyPaused
	// during a pause; surveyShare is how many times as long as a count took it is at least:
	// one of millions is dear.
	surveyEvery  = 2 * time.Second
	surveyPaused = 5 * time.Second
	surveyShare  = 20
)

// survey counts what is left, so that the report is true also while nothing is released.
func (r *release) survey(ctx context.Context) {
	for r.awaitServing(ctx) == nil {
		begun, every := time.Now(), surveyEvery
		if r.reading().ReplayControl.Paused {
			every = surveyPaused
			r.paused.Store(true)
			r.findOldest(ctx)
		}
		_, _ = r.count(ctx)
		if sleep(ctx, max(every, surveyShare*time.Since(begun))) != nil {
			return
		}
	}
}

// count counts the orders that are left.
func (r *release) count(ctx context.Context) (int64, error) {
	answered := r.answered.Load()
	n, err := r.backlog.count(ctx)
	if err == nil {
		r.progress.left(n, answered)
	}
	return n, err
}

// errEnough ends a walk that has shown what was looked for.
var errEnough = errors.New("enough")

// findOldest looks up the oldest order that is left. While the store does not answer, the
// report names the one found last.
func (r *release) findOldest(ctx context.Context) {
	_ = r.backlog.walk(ctx, everything, time.Time{}, func(p page) error {
		if len(p.orders) == 0 {
			return nil
		}
		r.progress.update(func(report *ltp.ReleaseReport) { report.Oldest = p.orders[0].started })
		return errEnough
	})
}
