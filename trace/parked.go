package trace

import (
	"fmt"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

// ParkedBefore are the times that the order was parked, by the index in Frames of the
// request that came of it: an operator's RETRY. The one that none came of has the index
// after the last.
func (t OrderTrace) ParkedBefore() map[int]ltp.Parking {
	before, n := map[int]ltp.Parking{}, 0
	for i := 0; i+1 < len(t.Frames) && n < len(t.Parked); i += 2 {
		if t.Frames[i].Request.Woken == ltp.WokenByRetry {
			before[i] = t.Parked[n]
			n++
		}
	}
	if n < len(t.Parked) {
		before[len(t.Frames)] = t.Parked[n]
	}
	return before
}

// afterFailures is why an order is parked: "after 5 failures: value too long, waits for an
// operator".
func afterFailures(p ltp.Parking) string {
	return fmt.Sprintf("after %s, waits for an operator", because(words.Plural(p.Failures, "failure"), words.Clean(p.Error)))
}

// Deferred reports whether the order had to wait. One that was refused by its own fault is
// answered DEFER as well, and ends at once.
func (t OrderTrace) Deferred() bool {
	for i, f := range t.Frames {
		r := f.Response
		if r == nil || r.Admissible {
			continue
		}
		if ends := i == len(t.Frames)-1 && r.Cause == ltp.CauseOrder && t.Outcome != nil && t.Outcome.State == ltp.Rejected; !ends {
			return true
		}
	}
	return false
}
