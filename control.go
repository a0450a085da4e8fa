package ltp

import "time"

// What stands in the histories of Orientation workflows and of the observers that they
// keep.

// OrientationInput begins, or continues, a component's orientation.
type OrientationInput struct {
	Component string `json:"component"`
	Policy    Policy `json:"policy"`
	// Epoch is the last epoch of an earlier workflow of this component, so that epochs
	// keep growing. Where none is remembered it is 0, and epochs begin at the time, in
	// seconds since 1970: so those of an earlier workflow are all smaller.
	Epoch int64 `json:"epoch,omitempty"`
	// Held and ReplayControl are what operators said of the component while an earlier workflow
	// of it ran, which somebody ended.
	Held          *Hold         `json:"held,omitempty"`
	ReplayControl ReplayControl `json:"steering,omitzero"`
	// Continued is what the previous run knew, Term the last term that it gave to an
	// observer, and Applied the ids of the latest Updates of operators that were carried
	// out. Only continue-as-new sets them.
	Continued *Condition `json:"continued,omitempty"`
	Term      int64      `json:"term,omitempty"`
	Applied   []string   `json:"applied,omitempty"`
}

// ObserveInput names the component to observe.
type ObserveInput struct {
	Component string `json:"component"`
	// Term is carried by every observation, so that one which arrives after another
	// observer has been asked to take over is distinguished from the other's; see
	// [Observation].
	Term int64 `json:"term,omitempty"`
	// LastVerdict is the one in force, which the observer goes on from; empty without one.
	LastVerdict Verdict `json:"last_verdict,omitempty"`
}

// Heartbeat is the newest thing seen of a component: what the Observe activity
// heartbeats, and so what Temporal UI shows of it.
type Heartbeat struct {
	At        time.Time `json:"at"`
	Verdict   Verdict   `json:"verdict,omitempty"`
	LatencyMs int64     `json:"latency_ms"`
	// Leader and Timeline are who took the probe's write, where that is known.
	Leader   string `json:"leader,omitempty"`
	Timeline string `json:"timeline,omitempty"`
	Observer string `json:"observer"`
}

// Handover is how Observe ends in good order.
type Handover struct {
	Observer string    `json:"observer"`
	Why      string    `json:"why"`
	At       time.Time `json:"at"`
}
