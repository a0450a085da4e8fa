package ltp_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
)

// TestStatesFollowEachOtherAsTheStateMachineLeads: the whole table.
func TestStatesFollowEachOtherAsTheStateMachineLeads(t *testing.T) {
	states := []ltp.State{ltp.Unknown, ltp.Stable, ltp.Degraded, ltp.Unstable, ltp.Recovering}
	for before, after := range map[ltp.State][]ltp.State{
		"":             {ltp.Unknown, ltp.Recovering, ltp.Unstable},
		ltp.Unknown:    {ltp.Recovering, ltp.Unstable},
		ltp.Unstable:   {ltp.Recovering, ltp.Unknown},
		ltp.Recovering: {ltp.Stable, ltp.Degraded, ltp.Unstable, ltp.Unknown},
		ltp.Stable:     {ltp.Degraded, ltp.Unstable, ltp.Unknown, ltp.Recovering},
		ltp.Degraded:   {ltp.Stable, ltp.Unstable, ltp.Unknown, ltp.Recovering},
		"GONE":         {},
	} {
		var can []ltp.State
		for _, s := range states {
			if ltp.CanFollow(before, s) {
				can = append(can, s)
			}
		}
		assert.ElementsMatch(t, after, can, "after %q", before)
	}
}
