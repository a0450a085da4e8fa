package tests

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// recordSteering pauses a replay before it begins, has an order woken by its backstop
// meanwhile, and resumes it at a rate; and has a steered Orientation continue as new.
func recordSteering(t *testing.T) {
	r := newRig(t, anonymous)
	c := r.config()
	c.Backstop = ltp.Backstop{First: 3 * time.Second, Most: time.Minute}
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	r.Decided(r.Submit("R1"))
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Paused: new(true), By: "ann", Why: "the cache is cold"}))
	end()
	recovery := r.Until(n.Board, ltp.Recovering).Epoch
	r.awaitRouting("R1", ltp.ReasonReplayPaused, 0)
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Paused: new(false), Rate: new(50.0), By: "bob", Why: "it is warm"}))
	r.Ended("R1")
	r.save("order-deferred-by-a-pause", ltp.OrderWorkflowID("R1"), "")
	r.Until(n.Board, ltp.Stable)
	r.replayed(recovery)
	r.save("orientation-steered", ltp.OrientationWorkflowID(ltp.DefaultComponent), "")
}

// recordLeft has the backstop of an order ring while the replay goes slowly.
func recordLeft(t *testing.T) {
	r := newRig(t, anonymous)
	c := r.config()
	c.Backstop = ltp.Backstop{First: 3 * time.Second, Most: time.Minute}
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Rate: new(ltp.MinRate), By: "ann", Why: "the cache is cold"}))
	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	for i := range 12 {
		r.Decided(r.Submit(fmt.Sprintf("R%02d", i)))
	}
	end()
	r.awaitRouting("R11", ltp.ReasonAwaitsReplay, 0)
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Rate: new(0.0), By: "ann", Why: "it is warm"}))
	r.Ended("R11")
	r.save("order-left-to-the-replay", ltp.OrderWorkflowID("R11"), "")
}

// recordSteeredLongLife has a paused Orientation continue as new, and resumes it then.
func recordSteeredLongLife(t *testing.T) {
	r := newRig(t, anonymous, shortHistories)
	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	id, first := ltp.OrientationWorkflowID(ltp.DefaultComponent), r.orientationRun()
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Paused: new(true), By: "ann", Why: "the cache is cold"}))
	for r.orientationRun() == first {
		require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Rate: new(50.0), By: "bob", Why: "gently"}))
	}
	require.NoError(t, r.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Paused: new(false), By: "ann", Why: "it is warm"}))
	r.save("orientation-steered-continues-as-new", id, first)
	r.save("orientation-steered-continued", id, r.orientationRun())
}
