package ltp

import "time"

// ReplayInput is the input of the Replay workflow: the recovery whose backlog is replayed.
type ReplayInput struct {
	Component string `json:"component"`
	Epoch     int64  `json:"epoch"`
	// Drain says that the component is RECOVERING and becomes STABLE when the backlog is
	// drained. Without it, the component is STABLE or DEGRADED already.
	Drain bool `json:"drain,omitempty"`
}

// ReleaseInput is the input of the Release activity: the orders that were deferred under
// an epoch before Epoch are released, for as long as the component is in that epoch and
// fit.
type ReleaseInput struct {
	Component string `json:"component"`
	Epoch     int64  `json:"epoch"`
	// Settle sweeps on, less and less often, until nothing has been found for long enough.
	// Without it, Release ends as soon as the backlog is drained.
	Settle bool `json:"settle,omitempty"`
}

// ReleaseReport is the result of the Release activity, and its heartbeat while it runs.
// The fields from Phase on describe the moment, and are in the heartbeat only.
type ReleaseReport struct {
	// Released is how many orders were released, whatever became of them; Passes is how
	// many sweeps were begun.
	Released int `json:"released"`
	Passes   int `json:"passes"`
	// MovedOn says that Release stopped because the orientation is no longer the one that
	// it was to serve. What still waits is left to the release of a later epoch.
	MovedOn bool `json:"moved_on,omitempty"`
	// Setbacks are the orders that the component deferred again after an attempt that
	// failed, and those that gave no answer in time.
	Setbacks int `json:"setbacks,omitempty"`

	Phase string `json:"phase,omitempty"`
	// Rate is how many orders were released in the last second, about; Ceiling is what
	// the pace and the operator allow at this moment.
	Rate    float64 `json:"rate,omitempty"`
	Ceiling float64 `json:"ceiling,omitempty"`
	// Remaining is how many orders are left, as the visibility store counted them, less
	// those that were released since.
	Remaining int64 `json:"remaining,omitempty"`
	// Oldest is when the oldest order still listed was started.
	Oldest time.Time `json:"oldest,omitzero"`
	// Found is how many orders to release the sweep under way has found, or the last one.
	Found int `json:"found,omitempty"`
	// BegunAt is when the release began, and At when this report was made.
	BegunAt time.Time `json:"begun_at,omitzero"`
	At      time.Time `json:"at,omitzero"`
	// CanariesPassed says that the canaries have committed. Next is where a sweep goes on
	// after a crash: orders of the usual class that were started before it had their turn.
	// Those of them that are still to be released are found by the sweep that follows.
	CanariesPassed bool      `json:"canaries_passed,omitempty"`
	Next           time.Time `json:"next,omitzero"`
}

// Add adds what another Release did.
func (r *ReleaseReport) Add(other ReleaseReport) {
	r.Released += other.Released
	r.Passes += other.Passes
	r.Setbacks += other.Setbacks
	r.MovedOn = r.MovedOn || other.MovedOn
}

// Done is what stays true of a release that has ended.
func (r ReleaseReport) Done() ReleaseReport {
	return ReleaseReport{Released: r.Released, Passes: r.Passes, MovedOn: r.MovedOn, Setbacks: r.Setbacks}
}
