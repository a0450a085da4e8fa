package replay

import "time"

// The phases of a release, for people.
const (
	PhaseCanary = "CANARY" // a few orders go first, and their end is awaited
	PhaseRamp   = "RAMP"   // orders are released at the pace
	PhaseSweep  = "SWEEP"  // everything found has its signal; what shows up late is looked for
	PhasePaused = "PAUSED" // an operator holds the release
	PhaseSettle = "SETTLE" // the backlog is drained; what shows up late is looked for
	PhaseBlind  = "BLIND"  // nothing is released without sight of the orientation, or of Temporal
)

// ReleaseReport is what a Release did, and its heartbeat while it runs. What tells of
// the moment is in the heartbeat only.
type ReleaseReport struct {
	// Released is how many orders took the signal, Passes how many sweeps were begun.
	Released int `json:"released"`
	Passes   int `json:"passes"`
	// MovedOn says that Release stopped because the orientation is no longer what
	// it was asked to serve; what still waits is somebody else's.
	MovedOn bool `json:"moved_on,omitempty"`
	// Setbacks are the orders, of those that were watched to their end, that did not
	// commit in time or were deferred again.
	Setbacks int `json:"setbacks,omitempty"`

	Phase string `json:"phase,omitempty"`
	// Rate is how many orders were released in the last second, about; Ceiling is what
	// the pace and the operator allow at this moment.
	Rate    float64 `json:"rate,omitempty"`
	Ceiling float64 `json:"ceiling,omitempty"`
	// Remaining is how many orders are left, as the visibility store counted them, less
	// those that have had their signal since.
	Remaining int64 `json:"remaining,omitempty"`
	// Oldest is when the oldest order still listed was started.
	Oldest time.Time `json:"oldest,omitzero"`
	// Found is how many orders without a signal the sweep under way has found, or the
	// last one.
	Found int `json:"found,omitempty"`
	// BegunAt is when the release began, At when it said all this.
	BegunAt time.Time `json:"begun_at,omitzero"`
	At      time.Time `json:"at,omitzero"`
	// Warm says that the canaries have come back. Next is where a sweep goes on after a
	// crash: orders of the usual class that were started before had their turn. Those
	// whose signal failed are found by the sweep that follows.
	Warm bool      `json:"warm,omitempty"`
	Next time.Time `json:"next,omitzero"`
}

// Add adds what another Release did.
func (r *ReleaseReport) Add(other ReleaseReport) {
	r.Released += other.Released
	r.Passes += other.Passes
	r.Setbacks += other.Setbacks
	r.MovedOn = r.MovedOn || other.MovedOn
}

// done is what stays true of a release that has ended.
func (r ReleaseReport) done() ReleaseReport {
	return ReleaseReport{Released: r.Released, Passes: r.Passes, MovedOn: r.MovedOn, Setbacks: r.Setbacks}
}
