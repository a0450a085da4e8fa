package replay

import (
	"context"
	"sync"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay/pace"
)

// peakFor is for how long the fastest second is remembered: an outage is noticed some
// seconds after what it came of.
const peakFor = 15 * time.Second

// pacer gives out turns to release an order. It is safe for concurrent use.
type pacer struct {
	settings pace.Settings

	mu       sync.Mutex
	pace     *pace.Controller
	operator ltp.ReplayControl
	fastest  float64
	fastAt   time.Time
}

// newPacer paces a release of a component that failed at a rate in the one before; 0 is
// none known.
func newPacer(s pace.Settings, failureRate float64) *pacer {
	p := &pacer{settings: s, pace: pace.NewController(s, time.Now())}
	p.pace.FailedAt(failureRate)
	return p
}

// restart begins the ramp anew, as after a pause.
func (p *pacer) restart() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace = pace.NewController(p.settings, time.Now())
	p.pace.Limit(p.operator.Rate)
}

// setControl puts an operator's limit in force.
func (p *pacer) setControl(c ltp.ReplayControl) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c.Rate != p.operator.Rate {
		p.pace.Limit(c.Rate)
	}
	p.operator = c
}

// takeTurn takes a turn and returns how long to wait for it.
func (p *pacer) takeTurn() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	wait := p.pace.Next(now)
	if used := p.pace.Used(now); used >= p.fastest || now.Sub(p.fastAt) > peakFor {
		p.fastest, p.fastAt = used, now
	}
	return wait
}

func (p *pacer) report(s pace.Sample) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pace.Report(time.Now(), s)
}

// rates are how many orders were released in the last second, about, and how many may
// be.
func (p *pacer) rates() (used, allowed float64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	return p.pace.Used(now), p.pace.Rate(now)
}

// peak is the rate of the fastest second of late, and 0 if that was next to nothing: the
// release is then not why a component fails.
func (p *pacer) peak() float64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.fastest < 2*p.settings.Floor || time.Since(p.fastAt) > peakFor {
		return 0
	}
	return p.fastest
}

// turn waits for the turn of an order: until a release may go on, and then until the
// pace lets it. An operator's change meanwhile counts within a board refresh.
func (r *release) turn(ctx context.Context) error {
	now, err := r.admitted(ctx)
	if err != nil {
		return err
	}
	r.pacer.setControl(now.ReplayControl)
	wait := r.pacer.takeTurn()
	for wait > 0 {
		step := min(wait, board.Refresh)
		if err := sleep(ctx, step); err != nil {
			return err
		}
		wait -= step
		if wait <= 0 {
			break
		}
		_, before := r.pacer.rates()
		if now, err = r.admitted(ctx); err != nil {
			return err
		}
		r.pacer.setControl(now.ReplayControl)
		if _, after := r.pacer.rates(); after != before && after > 0 {
			wait = time.Duration(float64(wait) * before / after)
		}
	}
	return nil
}

// sleep returns after d, or with the error of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
