// Package pace says how fast a backlog is released: a rate limiter whose rate follows what
// the releases before bear out. It starts slowly and doubles (slow start), halves on
// congestion and then grows gently (AIMD), and remembers the rate that the component
// failed at (the threshold). It is pure code over the time that it is given: it reads no
// clock, waits for nothing and knows no server. The replay engine takes a turn for each
// order; a simulation does the same against a modelled database.
package pace

import (
	"fmt"
	"math"
	"time"
)

// Settings bound how fast deferred orders are released. The zero value is not
// usable; start from [Default].
type Settings struct {
	// Canary is how many orders go first; the rest follows when they have answered.
	Canary int
	// Timeout is for how long the answer to a release is awaited. No answer in that time is
	// a setback, and for as long the release pauses after canaries that did not commit.
	Timeout time.Duration
	// Start, Floor and Ceiling are rates in orders per second. The rate doubles every
	// Double from Start up to Ceiling while all goes well. Setbacks halve it, down to
	// Floor: what any component that is fit can bear.
	Start, Floor, Ceiling float64
	Double                time.Duration
	// SlowWrite is a write that takes too long: a setback, whatever is usual. By
	// default it is what an observer calls slow.
	SlowWrite time.Duration
	// InFlight is how many orders are on their way at most: released, and not answered. It
	// bounds what is asked of a database that hangs, and slows the release down with one
	// that is slow. See Default for what it costs.
	InFlight int
	// Pass is the least pause between two sweeps.
	Pass time.Duration
	// Patience is for how long orders that were released and do not end keep the backlog
	// from being reported drained.
	Patience time.Duration
	// Settle is for how long sweeps after recovery must find nothing before they
	// end: longer than the visibility store ever lags.
	Settle time.Duration
}

// Default drains 1,500 orders in seconds and spares a database that has just come back.
// Its pace alone takes 1.8 s for them; the ceiling is beyond what one engine has been seen
// to release. InFlight is as small as lets the ceiling be reached. Simulated, the means of
// five seeds (healthy, cold-cache, relapse of package simulate; 10,000 orders):
//
//	InFlight  healthy: cleared  cold cache: cleared  p99 of writes  relapse: cleared  into the failed database
//	      32            19.5 s                128 s         467 ms            19.5 s                         0
//	      64            10.7 s                138 s         670 ms            37.1 s                        75
//	     128            10.7 s                139 s         599 ms            36.7 s                       117
//	     256            10.7 s                137 s         597 ms            40.5 s                       141
//
// 32 halves the rate of a healthy database, and so never reaches the one that fails in
// the relapse. What 128 and 256 write into a failed database is bounded by its connections.
func Default() Settings {
	return Settings{
		Canary: 8, Timeout: 5 * time.Second,
		Start: 200, Floor: 25, Ceiling: 1000, Double: 250 * time.Millisecond,
		SlowWrite: 500 * time.Millisecond,
		InFlight:  64,
		Pass:      250 * time.Millisecond, Patience: 15 * time.Second, Settle: time.Minute,
	}
}

// Validate returns an error that names the first setting that cannot work.
func (s Settings) Validate() error {
	for _, n := range []struct {
		name         string
		value, least int
	}{
		{"canary", s.Canary, 0}, {"in flight", s.InFlight, 1},
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
		{"timeout", s.Timeout}, {"double", s.Double}, {"slow write", s.SlowWrite},
		{"pass", s.Pass}, {"patience", s.Patience}, {"settle", s.Settle},
	} {
		if d.value <= 0 {
			return fmt.Errorf("%s is %s: give a duration longer than 0", d.name, d.value)
		}
	}
	return nil
}

// burst is how many turns may be taken at once.
func (s Settings) burst() float64 { return 1 + float64(s.InFlight/8) }
