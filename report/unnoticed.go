package report

import (
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// signs are what showed an outage before UNSTABLE was published: the sample that did, and
// writes of orders that failed or hung, by no fault of their own, while none succeeded any
// more.
type signs struct {
	published time.Time // zero where nothing was: not UNSTABLE, or an operator held it
	sample    time.Time // when it began
	lastGood  time.Time // when the latest write began that succeeded
	failed    []time.Time
}

func newSigns(in trace.Incident) (s signs) {
	for _, f := range in.Frames {
		if o := f.Orientation; o.State == ltp.Unstable {
			if o.Hold == nil {
				s.published = f.At
				s.sample = f.At.Add(-time.Duration(o.Evidence.LatencyMs) * time.Millisecond)
			}
			return s
		}
	}
	return s
}

// see takes in an attempt; own says that it failed by the order's own fault.
func (s *signs) see(x trace.Execution, own bool) {
	begun := within(x, x.BegunAt)
	if x.BegunAt.IsZero() || !begun.Before(s.published) {
		return
	}
	switch {
	case x.Done() && !committed(x).After(s.published):
		if begun.After(s.lastGood) {
			s.lastGood = begun
		}
	case !own && x.Result != ltp.ResultWithdrawn:
		s.failed = append(s.failed, begun)
	}
}

// unnoticed is from the first of the signs that lasted until UNSTABLE was published.
func (s *signs) unnoticed() Unnoticed {
	if s.published.IsZero() {
		return Unnoticed{}
	}
	u := Unnoticed{From: s.sample, What: "the sample that showed it"}
	for _, t := range s.failed {
		if t.After(s.lastGood) && t.Before(u.From) {
			u.From, u.What = t, "the first write that failed or hung"
		}
	}
	u.For = s.published.Sub(u.From)
	return u
}
