package ltp

import "time"

// OutlierSlack is how much later an order must have ended than the newest that was known
// before a worker's first failed trial, to be one that was written after that trial. An
// order ends a moment after its commit; one that committed before the fault may end shortly
// after it.
const OutlierSlack = 2 * time.Second

// Outlier judges a worker whose own trials of the orders' way into a component fail. Where
// orders go on being executed all the same, other workers execute them: the fault is of
// this worker's way (a role, a cut link), and not of the component. That is the outlier
// detection of load balancers, by the worker itself.
//
// All times are Temporal's. The zero Outlier has seen no trial fail.
type Outlier struct{ since time.Time }

// Failed takes in a failed trial, and when the order ended that was executed last, as
// read before the trial was made; zero where none is known. It reports whether the worker
// fails alone: its trials failed before that order was written, and after it ended.
func (o *Outlier) Failed(executed time.Time) bool {
	if o.since.IsZero() {
		o.since = executed
		return false
	}
	return executed.Sub(o.since) > OutlierSlack
}
