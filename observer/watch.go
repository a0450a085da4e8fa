package observer

import (
	"context"
	"time"

	"github.com/ltp-node/ltp"
)

// Status is what a watch sees at a moment.
type Status struct {
	// At is when this was so.
	At time.Time
	// Verdict is the verdict in force, empty before the first.
	Verdict ltp.Verdict
	// Sample is the newest sample. While a write hangs it says for how long.
	Sample Sample
	// Result is that of the sample, see [Settings.Result].
	Result Result
}

// Watch probes the component until ctx ends, and returns why it ended. It calls
// emit with its first verdict and with every change of it, and beat with every
// sample, which is at least once in two intervals, also while a write hangs. Both are
// called by the loop itself, one at a time, and must return soon. It goes on from last,
// the verdict of the observer before; see [Detector.Resume].
//
// One write is under way at a time. One that hangs holds nothing up but itself; it
// is given up after the timeout. A probe that ignores its context is waited for, with
// the component Unhealthy meanwhile, but not by the end of Watch, which a write under
// way outlives until its probe returns.
func Watch(ctx context.Context, p Probe, s Settings, last ltp.Verdict, emit func(ltp.Observation), beat func(Status)) error {
	if err := s.Validate(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := watch{settings: s, probe: p, emit: emit, beat: beat, detector: NewDetector(s).Resume(last), returned: make(chan Sample, 1)}
	if r, ok := p.(Reader); ok {
		w.readOnly = r.ReadOnly()
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case sample := <-w.returned:
			w.finish(ctx, sample)
		case <-timer.C:
			w.tick(ctx)
		}
		timer.Reset(w.next())
	}
}

type watch struct {
	settings Settings
	probe    Probe
	readOnly bool
	emit     func(ltp.Observation)
	beat     func(Status)
	detector Detector
	// begun is when the latest write began, hanging whether it has not returned.
	begun    time.Time
	hanging  bool
	returned chan Sample
}

func (w *watch) tick(ctx context.Context) {
	if !w.hanging {
		w.begin(ctx)
		return
	}
	select {
	case sample := <-w.returned: // it returned as the timer fired
		w.finish(ctx, sample)
	default:
		w.addSample(Sample{Latency: time.Since(w.begun), Hanging: true})
	}
}

func (w *watch) begin(ctx context.Context) {
	begun := time.Now()
	w.begun, w.hanging = begun, true
	go func() {
		ctx, cancel := context.WithTimeout(ctx, w.settings.Timeout)
		defer cancel()
		facts, err := w.probe.Probe(ctx)
		w.returned <- Sample{Latency: time.Since(begun), Err: err, Facts: facts}
	}()
}

func (w *watch) finish(ctx context.Context, s Sample) {
	w.hanging = false
	if ctx.Err() == nil { // otherwise the end of the watch ended the write
		w.addSample(s)
	}
}

func (w *watch) addSample(s Sample) {
	s.ReadOnly = w.readOnly
	now := time.Now()
	detector, seen, changed := w.detector.Next(s, now)
	w.detector = detector
	if changed {
		w.emit(seen)
	}
	w.beat(Status{At: now, Verdict: detector.Verdict(), Sample: s, Result: w.settings.Result(s)})
}

// next is how long to wait for the next write to begin, or, while one hangs, until
// it is looked at: every interval, and at the very moment it is over the limit.
func (w *watch) next() time.Duration {
	since := time.Since(w.begun)
	if !w.hanging {
		return max(w.settings.Interval-since, 0)
	}
	if left := w.settings.UnfitLatency - since; left > 0 {
		return min(w.settings.Interval, left)
	}
	return w.settings.Interval
}
