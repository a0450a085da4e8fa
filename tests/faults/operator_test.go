package faults

import (
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// hold has an operator hold the component.
func (w *walk) hold(h ltp.Hold) {
	w.T.Helper()
	h.By, h.Why = "ann", "a step"
	require.NoError(w.T, w.Operator(ltp.HoldUpdate, h))
	w.held = true
}

// pause has an operator pause the release of orders.
func (w *walk) pause() {
	w.T.Helper()
	w.steer(true)
}

func (w *walk) resume() {
	w.T.Helper()
	w.steer(false)
}

func (w *walk) steer(paused bool) {
	w.T.Helper()
	require.NoError(w.T, w.Operator(ltp.ReplayControlUpdate, ltp.ReplayControlChange{Paused: &paused, By: "ann", Why: "a step"}))
	w.paused = paused
}
