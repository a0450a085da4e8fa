package observer

import (
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"time"

	"github.com/ltp-node/ltp"
)

// Rules are what a [Simulation] decides by.
type Rules struct {
	Settings Settings
	Policy   ltp.Policy
	// Drain is how long the replay of a backlog is taken to last.
	Drain time.Duration
	// Heartbeat is how long an observer may be silent before it is taken for dead; the
	// Grace of the policy begins then.
	Heartbeat time.Duration
}

// Decision is what would have been decided at a moment. One of the two is set.
type Decision struct {
	At time.Time `json:"at"`
	// Observation is a verdict, Was the one before it, empty for the first.
	Observation *ltp.Observation `json:"observation,omitempty"`
	Was         ltp.Verdict      `json:"was,omitempty"`
	// Orientation is a change of state, From the state before it.
	Orientation *ltp.Orientation `json:"orientation,omitempty"`
	From        ltp.State        `json:"from,omitempty"`
}

// Totals are what a recording comes to.
type Totals struct {
	Samples int       `json:"samples"`
	From    time.Time `json:"from"`
	To      time.Time `json:"to"`
	// In is the time spent in each state; in JSON in_ms, in milliseconds.
	In map[ltp.State]time.Duration `json:"-"`
	// Incidents are the times that STABLE was left. The start is none.
	Incidents int `json:"incidents"`
	// Falls are those into UNSTABLE; Flaps those of them that made a dwell longer.
	Falls int `json:"falls"`
	Flaps int `json:"flaps"`
}

// MarshalJSON writes the totals with in_ms.
func (t Totals) MarshalJSON() ([]byte, error) {
	type plain Totals
	in := map[ltp.State]int64{}
	for state, d := range t.In {
		in[state] = d.Milliseconds()
	}
	return json.Marshal(struct {
		plain
		In map[ltp.State]int64 `json:"in_ms"`
	}{plain(t), in})
}

// Simulation plays recorded samples through the detector and the state machine, by
// the times of the samples: no clock is read, and the same recording and rules give
// the same decisions. What a recording cannot tell is taken to be so: a backlog
// drains within Drain, observations arrive at once, no operator holds anything, and
// a silence of the recording is one of the observers.
type Simulation struct {
	rules     Rules
	detector  Detector
	condition ltp.Condition
	drained   time.Time // when the backlog of this RECOVERING is; zero without one
	since     time.Time // up to when the time in a state is counted
	totals    Totals
	out       []Decision
}

// NewSimulation returns a simulation of a component that nobody has observed yet.
// The rules must be valid.
func NewSimulation(component string, r Rules) *Simulation {
	return &Simulation{
		rules: r, detector: NewDetector(r.Settings), condition: ltp.NewCondition(component, 0, time.Time{}),
		totals: Totals{In: map[ltp.State]time.Duration{}},
	}
}

// Run yields what the samples lead to, in order. It ends with the first error of the
// samples. It may be run once.
func (s *Simulation) Run(samples iter.Seq2[Recorded, error]) iter.Seq2[Decision, error] {
	return func(yield func(Decision, error) bool) {
		for seen, err := range samples {
			if err != nil {
				yield(Decision{}, err)
				return
			}
			s.addSample(seen)
			for _, d := range s.out {
				if !yield(d, nil) {
					return
				}
			}
			s.out = s.out[:0]
		}
	}
}

// Totals are those of the samples so far.
func (s *Simulation) Totals() Totals {
	t := s.totals
	t.In = maps.Clone(t.In)
	return t
}

func (s *Simulation) addSample(seen Recorded) {
	if s.totals.Samples == 0 {
		s.totals.From, s.totals.To, s.since = seen.At, seen.At, seen.At
		s.condition.Orientation.Since = seen.At
	}
	s.advance(seen.At)
	s.totals.Samples++
	s.totals.To = seen.At
	was := s.detector.Verdict()
	detector, observation, changed := s.detector.Next(seen.Sample, seen.At)
	if s.detector = detector; !changed {
		return
	}
	observation.Component = s.condition.Orientation.Component
	s.out = append(s.out, Decision{At: seen.At, Observation: &observation, Was: was})
	s.apply(ltp.Input{Observed: &observation}, seen.At)
}

// advance lets happen what is due before or at the time of the next sample, in order.
func (s *Simulation) advance(to time.Time) {
	for {
		at, in, due := s.due(to)
		if !due {
			break
		}
		s.apply(in, at)
	}
	s.count(to)
}

func (s *Simulation) due(to time.Time) (at time.Time, in ltp.Input, due bool) {
	sooner := func(t time.Time, what ltp.Input) {
		if !t.After(to) && (!due || t.Before(at)) {
			at, in, due = t, what, true
		}
	}
	if end, dwells := s.condition.DwellEnds(s.rules.Policy); dwells {
		sooner(end, ltp.Input{})
	}
	if !s.drained.IsZero() {
		sooner(s.drained, ltp.Input{Drained: s.condition.Orientation.Epoch})
	}
	if s.condition.Last.Verdict != "" {
		silence := s.rules.Heartbeat + s.rules.Policy.Grace
		if gone := s.totals.To.Add(silence); gone.Before(to) {
			sooner(gone, ltp.Input{Lost: fmt.Sprintf("No sample for %s", silence)})
		}
	}
	return at, in, due
}

func (s *Simulation) apply(in ltp.Input, at time.Time) {
	before := s.condition.Orientation
	s.count(at)
	next, changed := s.condition.Next(in, s.rules.Policy, at)
	s.condition = next
	if in.Lost != "" {
		s.detector = NewDetector(s.rules.Settings) // whoever observes next knows nothing
	}
	if !changed {
		return
	}
	now := next.Orientation
	s.drained = time.Time{}
	if now.State == ltp.Recovering {
		s.drained = at.Add(s.rules.Drain)
	}
	if before.State == ltp.Stable {
		s.totals.Incidents++
	}
	if now.State == ltp.Unstable {
		s.totals.Falls++
		if s.flapped(at) {
			s.totals.Flaps++
		}
	}
	s.out = append(s.out, Decision{At: at, Orientation: &now, From: before.State})
}

// flapped reports whether another fall than that of now is remembered.
func (s *Simulation) flapped(now time.Time) bool {
	recent := 0
	for _, fall := range s.condition.Falls {
		if now.Sub(fall) < s.rules.Policy.FlapWindow {
			recent++
		}
	}
	return recent > 1
}

// count adds the time up to at to that of the state in force.
func (s *Simulation) count(at time.Time) {
	if d := at.Sub(s.since); d > 0 {
		s.totals.In[s.condition.Orientation.State] += d
		s.since = at
	}
}
