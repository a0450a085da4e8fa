package observer

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"time"

	"github.com/ltp-node/ltp"
)

// Detector is the hysteresis: what must be remembered of the samples so far. It is
// a value; [Detector.Next] returns the one that follows. A detector that has seen
// nothing has no verdict but one that it resumes, and says one first when Fall or Rise is
// reached.
type Detector struct {
	settings Settings
	verdict  ltp.Verdict
	// inherited says that the verdict is another observer's, and that this one has yet to
	// say its own.
	inherited bool
	// failed, slow, good and quick count the latest samples in a row that were each
	// of it: an error, SlowLatency or longer, under FitLatency, under SlowExit.
	failed, slow, good, quick int
	// recent are the latest samples under this verdict, up to Window of them: a bit
	// each, 1 for an error, the newest lowest. seen is how many.
	recent uint64
	seen   int
	// slowest is the longest of the good samples in a row.
	slowest time.Duration
	// facts are those of the latest write that was taken while fit.
	facts map[string]string
}

// NewDetector returns a detector without a verdict. The settings must be valid.
func NewDetector(s Settings) Detector { return Detector{settings: s} }

// Resume is the detector of an observer that takes over while a verdict is in force: it
// takes as many samples to leave it as it would have taken the observer before. The first
// verdict is reported also where it is the same. An empty verdict changes nothing.
func (d Detector) Resume(v ltp.Verdict) Detector {
	d.verdict, d.inherited = v, v != ""
	return d
}

// Verdict is the verdict in force, empty before the first.
func (d Detector) Verdict() ltp.Verdict { return d.verdict }

// The reasons of observations of a database that are not about one error or
// threshold.
const (
	ReasonNormal    = "DB write latency normal"
	ReasonNewLeader = "DB Leader elected. Latency normal."
)

// Next is the rule: the detector that follows d when s was seen at now, and, if
// the verdict is another than before, the observation to tell. It has neither
// Component nor Observer.
func (d Detector) Next(s Sample, now time.Time) (Detector, ltp.Observation, bool) {
	s.Latency = max(s.Latency, 0)
	hung := s.Latency >= d.settings.UnfitLatency
	switch {
	case s.Hanging && !hung: // it may still return in time
		return d, ltp.Observation{}, false
	case s.ReadOnly && s.Err == nil && !hung: // says nothing about writing
		return d, ltp.Observation{}, false
	}
	d.count(s, hung)

	switch {
	case hung:
		return d.enter(ltp.Unhealthy, d.settings.overReason(d.settings.UnfitLatency), s, d.settings.UnfitLatency, 1, now)
	case definite(s.Err):
		return d.enter(ltp.Unhealthy, d.settings.reason(s.Err), s, 0, 1, now)
	case d.failed >= d.settings.Fall:
		return d.enter(ltp.Unhealthy, d.settings.reason(s.Err), s, 0, d.failed, now)
	case d.verdict != ltp.Unhealthy && d.oftenFailed():
		return d.enter(ltp.Unhealthy, fmt.Sprintf("%s: %d of %d", d.settings.subjectReason("DB writes fail", "fails"), d.errors(), d.seen), s, 0, d.errors(), now)
	case !d.verdict.Fit() && d.good >= d.settings.Rise:
		if d.slowest >= d.settings.SlowLatency {
			s.Latency = d.slowest
			return d.enter(ltp.Slow, d.settings.overReason(d.settings.SlowLatency), s, d.settings.SlowLatency, d.good, now)
		}
		return d.enter(ltp.Healthy, d.recovered(s), s, d.settings.FitLatency, d.good, now)
	case d.verdict != ltp.Unhealthy && d.slow >= d.settings.Fall:
		return d.enter(ltp.Slow, d.settings.overReason(d.settings.SlowLatency), s, d.settings.SlowLatency, d.slow, now)
	case d.verdict == ltp.Slow && d.quick >= d.settings.Rise:
		return d.enter(ltp.Healthy, d.settings.normalReason(), s, d.settings.SlowExit, d.quick, now)
	case d.inherited && d.verdict == ltp.Healthy && d.good >= d.settings.Rise:
		return d.enter(ltp.Healthy, d.settings.normalReason(), s, d.settings.FitLatency, d.good, now)
	}
	d.recordFacts(s)
	return d, ltp.Observation{}, false
}

func (d *Detector) count(s Sample, hung bool) {
	took := func(n int, within bool) int {
		if within && s.Err == nil && !hung {
			return n + 1
		}
		return 0
	}
	d.slow = took(d.slow, s.Latency >= d.settings.SlowLatency)
	d.good = took(d.good, s.Latency < d.settings.FitLatency)
	d.quick = took(d.quick, s.Latency < d.settings.SlowExit)
	if d.slowest = max(d.slowest, s.Latency); d.good <= 1 {
		d.slowest = s.Latency
	}
	d.recent <<= 1
	if s.Err == nil {
		d.failed = 0
	} else {
		d.failed++
		d.recent |= 1
	}
	d.recent &= 1<<d.settings.Window - 1
	d.seen = min(d.seen+1, d.settings.Window)
}

// errors counts those among the recent samples.
func (d Detector) errors() int { return bits.OnesCount64(d.recent) }

func (d Detector) oftenFailed() bool {
	return d.settings.Window > 0 && d.errors() >= max(d.settings.Fall, (d.settings.Window+1)/2)
}

// enter changes the verdict, unless it is in force already and has been reported.
func (d Detector) enter(v ltp.Verdict, reason string, s Sample, limit time.Duration, samples int, now time.Time) (Detector, ltp.Observation, bool) {
	if d.verdict == v && !d.inherited {
		d.recordFacts(s)
		return d, ltp.Observation{}, false
	}
	d.verdict, d.inherited, d.recent, d.seen = v, false, 0, 0
	d.recordFacts(s)
	o := ltp.Observation{Verdict: v, Reason: reason, At: now, Evidence: ltp.Evidence{
		LatencyMs:   s.Latency.Milliseconds(),
		ThresholdMs: limit.Milliseconds(),
		Samples:     samples,
		Definite:    definite(s.Err),
		Facts:       maps.Clone(s.Facts),
	}}
	if s.Err != nil {
		o.Evidence.Error = s.Err.Error()
	}
	return d, o, true
}

// recordFacts keeps who took a write, to tell after an outage whether it is another.
func (d *Detector) recordFacts(s Sample) {
	if s.Err == nil && !s.Hanging && d.verdict.Fit() {
		d.facts = s.Facts
	}
}

func (d Detector) recovered(s Sample) string {
	for _, fact := range []string{"leader", "timeline"} {
		if before := d.facts[fact]; before != "" && s.Facts[fact] != "" && s.Facts[fact] != before {
			return d.settings.subjectReason(ReasonNewLeader, "leader elected. Latency normal.")
		}
	}
	return d.settings.normalReason()
}

// subjectReason is what is said of a database, or of the subject.
func (s Settings) subjectReason(database, other string) string {
	if s.Subject == "" {
		return database
	}
	return s.Subject + " " + other
}

func (s Settings) normalReason() string { return s.subjectReason(ReasonNormal, "latency normal") }

func (s Settings) overReason(limit time.Duration) string {
	return fmt.Sprintf("%s > %dms", s.subjectReason("DB Write Latency", "latency"), limit.Milliseconds())
}

func definite(err error) bool {
	var f Fault
	return errors.As(err, &f) && f.Definite()
}

func (s Settings) reason(err error) string {
	var f Fault
	if errors.As(err, &f) && f.Reason() != "" {
		return f.Reason()
	}
	return s.subjectReason("DB Write Failed", "failed")
}
