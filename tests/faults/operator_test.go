package faults

import (
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

// hold has an operator hold the component.
func (w *walk) hold(h ltp.Hold) {
	w.t.Helper()
	h.By, h.Why = "ann", "a step"
	require.NoError(w.t, w.operator(ltp.HoldUpdate, h))
	w.held = true
}

// pause has an operator pause the release of orders.
func (w *walk) pause() {
	w.t.Helper()
	w.steer(true)
}

func (w *walk) resume() {
	w.t.Helper()
	w.steer(false)
}

func (w *walk) steer(paused bool) {
	w.t.Helper()
	require.NoError(w.t, w.operator(ltp.SteerUpdate, ltp.Steer{Paused: &paused, By: "ann", Why: "a step"}))
	w.paused = paused
}
