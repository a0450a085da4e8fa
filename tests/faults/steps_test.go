package faults

import "github.com/ltp-node/ltp"

// step is a fault or a repair.
type step struct {
	name string
	do   func()
}

// choose picks one of the steps that are possible now. The more is broken, the rather
// it is a repair.
func (w *walk) choose() step {
	faults, repairs := w.possible()
	all := faults
	if w.random.IntN(5) < len(repairs)+1 && len(repairs) > 0 {
		all = repairs
	}
	return all[w.random.IntN(len(all))]
}

// possible are the steps that can be taken, by what is wrong already.
func (w *walk) possible() (faults, repairs []step) {
	fault := func(name string, do func()) { faults = append(faults, step{name, do}) }
	repair := func(name string, do func()) { repairs = append(repairs, step{name, do}) }
	for i, u := range w.units {
		name := u.kind + " " + number(i)
		switch {
		case u.p == nil && w.down: // a process that starts needs Temporal
		case u.p == nil:
			repair(name+" starts", func() { u.p = u.start() })
		case u.frozen:
			repair(name+" thaws", func() { u.p.Thaw(); u.frozen = false })
		default:
			often := 1
			if u.kind == "worker" { // in the middle of attempts
				often = 2
			}
			for range often {
				fault(name+" is killed", func() { u.p.Kill(); u.p = nil })
				fault(name+" freezes", func() { w.freeze(u) })
			}
		}
	}
	for range 3 { // what all this is about comes more often
		if w.unlock == nil {
			fault("the order database takes no writes", func() { w.unlock = w.noWrites() })
		} else {
			repair("the order database takes writes", func() { w.unlock(); w.unlock = nil })
		}
	}
	if w.down {
		for range 3 {
			repair("Temporal comes back", func() { w.comesBack(); w.down = false })
		}
		return faults, repairs
	}
	if w.stray == nil {
		fault("an observer that sees nothing joins", w.strays)
	} else {
		repair("the observer that sees nothing leaves", w.leaves)
	}
	fault("Temporal is killed", func() { w.KillServer(); w.down = true })
	fault("Temporal is stopped and comes back", func() { _ = w.Server.Stop(); w.comesBack() })
	fault("old and false signals", w.storm)
	// The store is not ill for long: what it hides for longer than a release looks for
	// late orders waits for its backstop.
	for _, mode := range []string{"empty", "failing", "repeating", "late"} {
		fault("the visibility store is "+mode+" for some answers", func() { w.store.set(mode, 4) })
	}
	if w.working("worker") > 0 { // somebody carries out what an operator wants
		w.operators(fault, repair)
	}
	if w.pg != nil {
		w.ofPostgres(fault, repair)
	}
	return faults, repairs
}

// operators are the steps of an operator.
func (w *walk) operators(fault, repair func(name string, do func())) {
	if w.held {
		repair("an operator releases", func() { w.Release(); w.held = false })
	} else {
		fault("an operator holds", func() { w.hold(ltp.Hold{}) })
		fault("an operator holds and freezes the intake", func() { w.hold(ltp.Hold{Freeze: true}) })
	}
	if w.paused {
		repair("an operator resumes the release", w.resume)
	} else {
		fault("an operator pauses the release", w.pause)
	}
}
