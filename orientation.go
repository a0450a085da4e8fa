package ltp

import "time"

// State is what we hold true of a component. The zero value is not a state;
// a component that nobody has observed is Unknown.
type State string

// The states of a component. Only Stable, Degraded and Recovering are fit to
// act under, and each of them admits different orders: see [Decide].
const (
	Unknown    State = "UNKNOWN"    // nobody observes it, or the observation is too old
	Stable     State = "STABLE"     // observed fit, and no backlog of an earlier outage waits
	Degraded   State = "DEGRADED"   // works, but slowly
	Unstable   State = "UNSTABLE"   // observed unfit, or held by an operator
	Recovering State = "RECOVERING" // observed fit again, the deferred backlog is being replayed
)

// Valid reports whether s is one of the five states.
func (s State) Valid() bool {
	switch s {
	case Unknown, Stable, Degraded, Unstable, Recovering:
		return true
	}
	return false
}

// Fit reports whether any write at all may begin while a component is in s.
func (s State) Fit() bool {
	return s == Stable || s == Degraded || s == Recovering
}

// Orientation is what we hold true of one component. It travels in the memo of
// the component's Orientation workflow; the history event that sets the memo is
// the orientation frame of the trace.
type Orientation struct {
	Component string `json:"component"`
	State     State  `json:"state"`
	// Epoch grows by one at every change of State, so that two things said
	// under the same epoch were said of the same state.
	Epoch int64 `json:"epoch"`
	// LastFit is the latest epoch in which the component was fit, which may be Epoch. An
	// Orientation that remembers nothing names the epoch before its first.
	LastFit int64 `json:"last_fit"`
	// Reason is a sentence for people: "DB Write Latency > 5000ms".
	Reason string `json:"reason"`
	// Since is when State was entered, by the clock of the Temporal server.
	Since time.Time `json:"since"`
	// Observer is who saw what Reason says; empty when nobody did.
	Observer string   `json:"observer,omitempty"`
	Evidence Evidence `json:"evidence,omitzero"`
	// Hold is set while an operator holds the component, and Observed is what its observers
	// see meanwhile: empty where nobody observes, or nobody holds.
	Hold     *Hold   `json:"hold,omitempty"`
	Observed Verdict `json:"observed,omitempty"`
}

// Verdict is an observer's conclusion from its samples.
type Verdict string

// The verdicts of an observer.
const (
	Healthy   Verdict = "HEALTHY"
	Slow      Verdict = "SLOW"
	Unhealthy Verdict = "UNHEALTHY"
)

// Valid reports whether v is one of the three verdicts.
func (v Verdict) Valid() bool { return v == Healthy || v == Slow || v == Unhealthy }

// Fit reports whether a component seen so can do its work at all.
func (v Verdict) Fit() bool { return v == Healthy || v == Slow }

// Observation is what an observer saw of a component. Observers send one when
// their verdict changes, and one whenever they take over.
type Observation struct {
	Component string  `json:"component"`
	Verdict   Verdict `json:"verdict"`
	Reason    string  `json:"reason"`
	Observer  string  `json:"observer"`
	// Term is the number of the Observe activity whose observer says this. Only the
	// latest is believed. 0 is an observer from outside, which always is.
	Term     int64    `json:"term,omitempty"`
	Evidence Evidence `json:"evidence,omitzero"`
	// At is when the observer concluded this, by its own clock.
	At time.Time `json:"at"`
}

// Evidence is what was measured. All fields are optional.
type Evidence struct {
	// LatencyMs is how long the probe's write took, or has been hanging.
	LatencyMs int64 `json:"latency_ms,omitempty"`
	// ThresholdMs is the limit that LatencyMs was held against.
	ThresholdMs int64 `json:"threshold_ms,omitempty"`
	// Samples is how many samples in a row said the same.
	Samples int `json:"samples,omitempty"`
	// Definite marks an error that needs no confirmation by further samples,
	// such as a refused connection.
	Definite bool `json:"definite,omitempty"`
	// Error is the probe's error, as the component gave it.
	Error string `json:"error,omitempty"`
	// Facts are further readings, such as "leader" or "timeline".
	Facts map[string]string `json:"facts,omitempty"`
}
