package replay

import (
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay/pace"
)

// Took is how long an order is supposed to take from its release to its end, where nobody
// says otherwise.
const Took = 500 * time.Millisecond

// silentAfter is how long a replay may be silent: its worker may be gone after that.
const silentAfter = 10 * time.Second

// Outlook is when what waits for a component is released, as far as that can be said: the
// one rule of [Plan] for operators and of the place that an order shows.
type Outlook struct {
	// Pace says when each order has its turn, counted from the beginning of the release,
	// or from the moment of the outlook where one is under way.
	Pace *pace.Forecast
	// GoesOn says that a release is under way, so that the times of Pace count from now on.
	// Without it nobody knows when they begin.
	GoesOn bool
	// Before is the epoch before which orders were deferred that the release finds.
	Before int64
	// NotBefore is when an operator's hold ends, before which nothing is released; zero
	// where none is known.
	NotBefore time.Time
}

// NewOutlook is the outlook at now, by what is held true of a component and by its replay,
// nil for none. took is how long an order takes from its release to its end. Nothing is
// released while the component is unfit, or while an operator has paused its replay; of a
// component that is DEGRADED nobody knows when it bears the orders that wait for more.
func NewOutlook(r board.Reading, run *Run, took time.Duration, now time.Time) Outlook {
	s := pace.Default()
	o := Outlook{Pace: pace.ForecastBegin(s, r.ReplayControl.Rate, took), Before: r.Epoch + 1}
	if r.Unreadable {
		return o
	}
	if r.Hold != nil && r.Hold.Until.After(now) {
		o.NotBefore = r.Hold.Until
	}
	if run == nil || r.ReplayControl.Paused || !releases(r.State) {
		return o
	}
	if r.State == ltp.Stable { // what is deferred in this epoch waits for another
		o.Before = r.Epoch
	}
	report := run.Report
	if report == nil || report.Phase == PhaseUnreadable || now.Sub(report.At) > silentAfter {
		return o
	}
	if !report.CanariesPassed && (report.Setbacks > 0 || now.Sub(report.BegunAt) > silentAfter) {
		return o // nobody knows when canaries will pass
	}
	o.GoesOn = true
	if report.CanariesPassed && report.Ceiling > 0 { // it is none just after a pause, when the ramp begins anew
		allowed := report.Ceiling
		if limit := r.ReplayControl.Rate; limit > 0 {
			allowed = min(allowed, limit)
		}
		o.Pace = pace.ForecastUnderWay(s, report.Rate, allowed, took)
	}
	return o
}

// releases reports whether what waits is released in a state.
func releases(s ltp.State) bool { return s == ltp.Recovering || s == ltp.Stable }

// Place estimates when the turn of an order comes. The order was deferred under an epoch;
// ahead is how many orders stood before it at the time at. More orders ahead never mean an
// earlier time, and the time is never before now. Times are rounded up to seconds.
func (o Outlook) Place(ahead, under int64, at, now time.Time) ltp.Place {
	p := ltp.Place{Ahead: ahead, NotBefore: o.NotBefore}
	if o.GoesOn && under < o.Before {
		turn := at.Add(o.Pace.At(ahead))
		if turn.Before(now) {
			turn = now
		}
		p.ExpectedAt = turn.Add(time.Second - 1).UTC().Truncate(time.Second)
	}
	return p
}
