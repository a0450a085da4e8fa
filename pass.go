package ltp

import (
	"errors"
	"fmt"
)

// Pass lets one order through an operator's hold, as a canary. It is good for the hold on
// one component, for as long as the component stays in one epoch and its observers call it
// fit, and for one attempt: whatever comes of that, the pass is spent. A hold that freezes
// intake is passed, too.
//
// It reaches the order as a signal, which stands in its history before anything acts on
// it. An attempt that was lost with its worker may use it once more.
type Pass struct {
	Component string `json:"component"`
	// Epoch is that of the component which the operator saw held.
	Epoch int64  `json:"epoch"`
	By    string `json:"by"`
	Why   string `json:"why"`
}

// Validate says what makes the pass impossible, and nil when nothing does.
func (p Pass) Validate() error {
	switch {
	case p.Component == "" || p.Epoch < 1:
		return errors.New("name the component that is held, and its epoch")
	case isBlank(p.By) || isBlank(p.Why):
		return errors.New("say who lets the order through and why")
	}
	return nil
}

// Opens reports whether the pass lets its order act though o says that the component is
// unfit: an operator holds it, and what observers see meanwhile would let orders act.
func (p *Pass) Opens(o Orientation) bool { return p.matches(o.Component, o.Epoch) && o.Passable() }

// matches reports whether the pass is for an epoch of a component.
func (p *Pass) matches(component string, epoch int64) bool {
	return p != nil && p.Component == component && p.Epoch == epoch
}

// Passable reports whether one order may be let through a hold: it is the hold alone that
// keeps orders from acting. Nobody observing is no ground to let one through.
func (o Orientation) Passable() bool {
	return o.Hold != nil && o.State == Unstable && o.Observed.Fit()
}

// stateWithoutHold is what the component would be without the hold, for an order that is let
// through.
func (o Orientation) stateWithoutHold() State {
	if o.Observed == Slow {
		return Degraded
	}
	return Stable
}

// String is what the pass does, as a clause for people: "let the order through the hold of
// orders-db in epoch 7".
func (p Pass) String() string {
	return fmt.Sprintf("let the order through %s in epoch %d", p.Hold(), p.Epoch)
}

// Hold names what the pass is for: "the hold of orders-db".
func (p Pass) Hold() string { return "the hold of " + p.Component }
