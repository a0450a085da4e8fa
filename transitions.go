package ltp

import (
	"slices"
	"sync"
	"time"
)

// CanFollow reports whether the state machine enters after from before in one step; ""
// before is that there was no orientation yet. It asks [Condition.Next] itself.
func CanFollow(before, after State) bool {
	if before == "" {
		return after == Unknown || CanFollow(Unknown, after)
	}
	return slices.Contains(successors()[before], after)
}

// successors are what every input leads to from each state, whatever was observed before,
// with and without a hold.
var successors = sync.OnceValue(func() map[State][]State {
	const epoch = 1
	now := time.Unix(1, 0)
	policy := Policy{FlapWindow: time.Hour, Grace: time.Second}
	verdicts := []Verdict{"", Healthy, Slow, Unhealthy}
	inputs := []Input{{Lost: "gone"}, {Drained: epoch}, {Failing: &FailedWrites{Epoch: epoch, Setback: true}}, {Held: &Hold{}}, {Released: &Release{}}, {Backlog: &Backlog{Epoch: epoch, Orders: 1}}}
	for _, v := range verdicts[1:] {
		inputs = append(inputs, Input{Observed: &Observation{Verdict: v}})
	}
	all := map[State][]State{}
	for _, before := range []State{Unknown, Stable, Degraded, Unstable, Recovering} {
		for _, seen := range verdicts {
			for _, hold := range []*Hold{nil, {}} {
				if hold != nil && before != Unstable {
					continue // a component that is held is unfit
				}
				for _, in := range inputs {
					c := Condition{Orientation: Orientation{State: before, Epoch: epoch, Hold: hold}, Last: Observation{Verdict: seen}}
					next, _ := c.Next(in, policy, now)
					if after := next.Orientation.State; after != before && !slices.Contains(all[before], after) {
						all[before] = append(all[before], after)
					}
				}
			}
		}
	}
	return all
})
