package ltp

import "slices"

// Decision is the answer to a route request.
type Decision string

// The decisions. Only Execute is admissible.
const (
	Execute Decision = "EXECUTE" // act now
	Defer   Decision = "DEFER"   // wait, with a commitment
	Reject  Decision = "REJECT"  // no state makes this right
	Freeze  Decision = "FREEZE"  // an operator stopped intake; what waits keeps waiting
)

// Admissible reports whether the order may act.
func (d Decision) Admissible() bool { return d == Execute }

// Reason is why a decision fell as it did: stable words for programs, not
// sentences.
type Reason string

// The reasons of decisions.
const (
	ReasonOK                 Reason = "OK"
	ReasonRecoveryConfirmed  Reason = "RECOVERY_CONFIRMED"
	ReasonPassed             Reason = "HOLD_PASSED" // an operator let this one order through a hold
	ReasonDegraded           Reason = "SYSTEM_DEGRADED"
	ReasonUnstable           Reason = "SYSTEM_UNSTABLE"
	ReasonRecovering         Reason = "SYSTEM_RECOVERING"
	ReasonUnknown            Reason = "ORIENTATION_UNKNOWN"
	ReasonExecuteUnavailable Reason = "EXECUTE_UNAVAILABLE"
	ReasonFrozen             Reason = "INTAKE_FROZEN"
	ReasonReplayPaused       Reason = "REPLAY_PAUSED" // an operator paused the replay
	ReasonAwaitsTurn         Reason = "AWAITS_TURN"   // earlier orders of its ordering key have not ended
	ReasonAwaitsReplay       Reason = "AWAITS_REPLAY" // its backstop fired while the replay releases the backlog
	ReasonBacklog            Reason = "BACKLOG"       // it waited for a worker, with many others
	ReasonAwaitsProof        Reason = "AWAITS_PROOF"  // its end was asked for, and whether it was written is not known yet
	ReasonParked             Reason = "PARKED"        // it keeps failing by its own fault while other orders commit
)

// WaitingReasons are those that an order may wait for.
func WaitingReasons() []Reason {
	return []Reason{
		ReasonDegraded, ReasonUnstable, ReasonRecovering, ReasonUnknown, ReasonExecuteUnavailable, ReasonFrozen, ReasonReplayPaused,
		ReasonAwaitsTurn, ReasonAwaitsReplay, ReasonBacklog, ReasonAwaitsProof, ReasonParked,
	}
}

// Commitment is what we promise with a DEFER.
const Commitment = "Will retry when state == STABLE"

// TurnCommitment is what we promise with a DEFER AWAITS_TURN.
const TurnCommitment = "Will retry when the orders before it have ended"

// ParkedCommitment is what we promise with a parked order.
const ParkedCommitment = "Will retry when an operator asks for it"

// Commitment is what we promise with a DEFER for this reason.
func (r Reason) Commitment() string {
	switch r {
	case ReasonAwaitsTurn:
		return TurnCommitment
	case ReasonParked:
		return ParkedCommitment
	}
	return Commitment
}

// DefersToReplay reports whether the order was deferred to the replay that is under way, which
// finds it under the epoch that it was deferred under before.
func (r Reason) DefersToReplay() bool { return r == ReasonReplayPaused || r == ReasonAwaitsReplay }

// Request is what is known of an order when it asks to be routed. It stands beside the
// answer in every routing, so that an audit can ask again.
type Request struct {
	// HighRisk orders do not act while a component is DEGRADED.
	HighRisk bool `json:"high_risk,omitempty"`
	// Replay is set when the order was deferred before.
	Replay bool `json:"replay,omitempty"`
	// Failed is set when the order was admitted and its execution failed; FailedUnder and
	// FailedEpoch name the component that the attempt was made on, and its epoch then.
	Failed      bool   `json:"failed,omitempty"`
	FailedUnder string `json:"failed_under,omitempty"`
	FailedEpoch int64  `json:"failed_epoch,omitempty"`
	// InLine is set when the order carries an ordering key and its turn has not come.
	InLine bool `json:"in_line,omitempty"`
	// Listed is set when the backstop of an order fired that the replay engine finds:
	// while the component recovers, it leaves itself to the engine's order and pace.
	Listed bool `json:"listed,omitempty"`
	// Backlog is set on the first routing of an order that waited for a worker longer than
	// LateAfter, once the worker has admitted as many of those as may go at once.
	Backlog bool `json:"backlog,omitempty"`
	// Paused are the components whose replay an operator has paused, as the router read.
	// A release does not ask: what is released goes on.
	Paused []string `json:"paused,omitempty"`
	// Pass is set when an operator lets the order through a hold.
	Pass *Pass `json:"pass,omitempty"`
}

// Decide is the decision table. It is total: a state that is not known decides
// like UNKNOWN, so that the system fails closed.
func Decide(o Orientation, r Request) (Decision, Reason) {
	decision, reason := decide(o, r)
	switch {
	case !decision.Admissible():
	case r.InLine:
		return Defer, ReasonAwaitsTurn
	case r.Backlog && o.State != Recovering:
		return Defer, ReasonBacklog
	case o.State != Recovering:
	case r.Replay && slices.Contains(r.Paused, o.Component):
		return Defer, ReasonReplayPaused
	case r.Listed:
		return Defer, ReasonAwaitsReplay
	}
	return decision, reason
}

// decide is the table for an order whose turn it is.
func decide(o Orientation, r Request) (Decision, Reason) {
	if r.Pass.Opens(o) {
		if r.HighRisk && o.stateWithoutHold() == Degraded {
			return Defer, ReasonDegraded
		}
		return Execute, ReasonPassed
	}
	if o.Hold != nil && o.Hold.Freeze {
		return Freeze, ReasonFrozen
	}
	// What just failed under this very epoch is not tried again at once: the
	// outage may not have been detected yet, and must not be hammered.
	if r.Failed && o.State.Fit() && r.FailedUnder == o.Component && r.FailedEpoch >= o.Epoch {
		return Defer, ReasonExecuteUnavailable
	}
	switch o.State {
	case Stable:
		return Execute, ReasonOK
	case Degraded:
		if r.HighRisk {
			return Defer, ReasonDegraded
		}
		return Execute, ReasonOK
	case Recovering:
		if r.Replay {
			return Execute, ReasonRecoveryConfirmed
		}
		return Defer, ReasonRecovering
	case Unstable:
		return Defer, ReasonUnstable
	}
	return Defer, ReasonUnknown
}

// Route decides for an order that depends on every component of os: the answer
// that forbids most is the answer, and it names the worst component that
// gave it. With no component at all nothing is known, and the order is deferred.
func Route(os []Orientation, r Request) (Orientation, Decision, Reason) {
	var (
		worst    Orientation
		decision = Defer
		reason   = ReasonUnknown
		rank     = -1
	)
	for _, o := range os {
		d, why := Decide(o, r)
		if n := severity(o.State, d); n > rank {
			worst, decision, reason, rank = o, d, why, n
		}
	}
	return worst, decision, reason
}

func severity(s State, d Decision) int {
	n := 0
	switch d {
	case Freeze:
		n = 20
	case Defer:
		n = 10
	}
	switch s {
	case Stable:
		return n
	case Degraded:
		return n + 1
	case Recovering:
		return n + 2
	case Unstable:
		return n + 4
	}
	return n + 3 // UNKNOWN
}
