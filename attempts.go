package ltp

import "time"

// When an order that keeps failing is set aside, so that it does not go on for ever
// while its component is fit for all others.
const (
	// MaxAttempts is how many attempts in a row must have failed in one epoch. With the
	// pauses between them (1 s, doubling to 2 min) that takes 4.5 to 7.5 minutes; less
	// only where the backstop was set shorter than that, which bounds the pauses.
	MaxAttempts = 10
	// MinFailing is for how long they must have failed, whatever woke the order between
	// them: an outage that no observer sees for a minute sets nothing aside.
	MinFailing = 2 * time.Minute
)

// Attempts counts the executions of an order that failed in a row while its component
// counted as fit in one and the same epoch. One that the fence did not let begin, or
// that no worker took, is none.
type Attempts struct {
	Component string
	Epoch     int64
	Failed    int
	// First is when the first of them had failed.
	First time.Time
}

// Routed forgets what failed in an epoch that is over.
func (a *Attempts) Routed(component string, epoch int64) {
	if a.Component != component || a.Epoch != epoch {
		*a = Attempts{Component: component, Epoch: epoch}
	}
}

// Fail counts an attempt that was admitted by the latest routing.
func (a *Attempts) Fail(at time.Time) {
	if a.Failed == 0 {
		a.First = at
	}
	a.Failed++
}

// Spent reports whether the order is to be set aside. The routing after the last
// attempt must have found the component fit, and in the same epoch: ReasonExecuteUnavailable
// says so.
func (a Attempts) Spent(now time.Time) bool {
	return a.Failed >= MaxAttempts && now.Sub(a.First) >= MinFailing
}
