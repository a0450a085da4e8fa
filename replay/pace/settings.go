// Package pace says how fast a backlog is released. It is pure code over the time
// that it is given: it reads no clock, waits for nothing and knows no server. The
// replay engine turns its turns into signals; a simulation plays them against a
// modelled database.
package pace

import (
	"fmt"
	"math"
	"time"
)

// Settings bound how fast deferred orders are released. The zero value is not
// usable; start from [Default].
type Settings struct {
	// Canary is how many orders go first; the rest follows when they have ended, or
	// after CanaryWait while the component still counts as fit.
	Canary     int
	CanaryWait time.Duration
	// Start, Floor and Ceiling are rates in orders per second. The rate doubles every
	// Double from Start up to Ceiling while all goes well. Setbacks halve it, down to
	// Floor: what any component that is fit can bear.
	Start, Floor, Ceiling float64
	Double                time.Duration
	// SlowWrite is a write that takes too long: a setback, whatever is usual. By
	// default it is what an observer calls slow.
	SlowWrite time.Duration
	// Every PilotEvery-th order is a pilot, and Pilots of them may be on their way at
	// once: what is released and has not ended stays below PilotEvery*(Pilots+1), so
	// that a slow database slows the release down, and no order overtakes many others.
	PilotEvery, Pilots int
	// Parallel is how many signals are under way at once.
	Parallel int
	// Pass is the least pause between two sweeps.
	Pass time.Duration
	// Patience is for how long orders that were released and do not end hold back
	// the word that the backlog is drained.
	Patience time.Duration
	// Settle is for how long sweeps after recovery must find nothing before they
	// end: longer than the visibility store ever lags.
	Settle time.Duration
}

// Default drains 1,500 orders in seconds and spares a database that has just come
// back. Its ceiling is beyond what one engine has been seen to release: the pilots
// bound what is on its way, and setbacks what a slower database is asked for.
func Default() Settings {
	return Settings{
		Canary: 8, CanaryWait: 5 * time.Second,
		Start: 200, Floor: 25, Ceiling: 1000, Double: 250 * time.Millisecond,
		SlowWrite:  500 * time.Millisecond,
		PilotEvery: 32, Pilots: 4,
		Parallel: 32,
		Pass:     250 * time.Millisecond, Patience: 15 * time.Second, Settle: 15 * time.Second,
	}
}

// Validate returns an error that names the first setting that cannot work.
func (s Settings) Validate() error {
	for _, n := range []struct {
		name         string
		value, least int
	}{
		{"canary", s.Canary, 0}, {"pilot every", s.PilotEvery, 1}, {"pilots", s.Pilots, 1}, {"parallel", s.Parallel, 1},
	} {
		if n.value < n.least {
			return fmt.Errorf("%s is %d: give %d or more", n.name, n.value, n.least)
		}
	}
	for _, r := range []struct {
		name  string
		value float64
	}{{"start", s.Start}, {"floor", s.Floor}, {"ceiling", s.Ceiling}} {
		if !(r.value > 0) || math.IsInf(r.value, 1) {
			return fmt.Errorf("%s is %g orders a second: give a rate above 0", r.name, r.value)
		}
	}
	switch {
	case s.Floor > s.Ceiling:
		return fmt.Errorf("floor %g is above ceiling %g: no rate lies between them", s.Floor, s.Ceiling)
	case s.Start < s.Floor || s.Start > s.Ceiling:
		return fmt.Errorf("start %g does not lie between floor %g and ceiling %g", s.Start, s.Floor, s.Ceiling)
	}
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"canary wait", s.CanaryWait}, {"double", s.Double}, {"slow write", s.SlowWrite},
		{"pass", s.Pass}, {"patience", s.Patience}, {"settle", s.Settle},
	} {
		if d.value <= 0 {
			return fmt.Errorf("%s is %s: give a duration longer than 0", d.name, d.value)
		}
	}
	return nil
}

// InFlight is the most orders that are released and have not ended.
func (s Settings) InFlight() int { return s.PilotEvery * (s.Pilots + 1) }

// burst is how many turns may be taken at once.
func (s Settings) burst() float64 { return 1 + float64(s.Parallel/4) }
