package ltp

import (
	"fmt"
	"slices"
	"time"
)

// ClockBound is how far the clock of a worker, or of the order database, may differ from
// Temporal's before nothing more is concluded from it.
const ClockBound = 2 * time.Second

// ReadingLease is for how long a board uses a reading: see board.Lease.
const ReadingLease = 5 * time.Second

// Times are the times of one attempt to write an order, each by the clock that it is of.
// A zero time is not known. All are compared in milliseconds, as histories keep them.
type Times struct {
	// Accepted is when the order was, Routed when the routing that admitted it was recorded.
	// Task is the start of the workflow task in which the attempt was made, or of the
	// user's activity, and Recorded its end: all by Temporal's clock.
	Accepted, Routed, Task, Recorded time.Time
	// Read is when the fence asked, Begun when the write began, Committed when it was
	// acknowledged and Ended when the attempt was over, by the worker's clock.
	Read, Begun, Committed, Ended time.Time
	// Apart says that Read is by another worker's clock than Begun and Ended are, as it is
	// where an activity of the user's writes.
	Apart bool
	// Created is the row's created_at, by the clock of the order database.
	Created time.Time
}

// TimeFault is what is wrong with the times of an attempt, or with its fence.
type TimeFault struct {
	Kind FaultKind
	What string // a clause for people
	// Clock is whose it is, of DISAGREE; By is how far it is ahead of Temporal's at the
	// least, and negative where it is behind.
	Clock string
	By    time.Duration
}

// FaultKind is what follows from a fault.
type FaultKind string

// The kinds of faults.
const (
	Breach   FaultKind = "BREACH"   // it cannot have been so, whatever a clock said
	Disagree FaultKind = "DISAGREE" // a clock differs by more than ClockBound: nothing follows from it
	Unseen   FaultKind = "UNSEEN"   // the orientations that would tell are not there
)

// The clocks that Temporal's is compared with.
const (
	WorkersClock  = "the worker's clock"
	DatabaseClock = "the order database's clock"
)

type moment struct {
	what string
	at   time.Time
}

// Check compares the times. On one clock their order is that of the attempt; another
// clock's lie between the start of the task and its record, to within ClockBound.
func (t Times) Check() (faults []TimeFault) {
	t = t.milliseconds()
	worker := []moment{{"its fence asked", t.Read}, {"its write began", t.Begun}, {"it was committed", t.Committed}, {"the answer came", t.Ended}}
	if t.Apart {
		worker = worker[1:]
	}
	for _, clock := range [][]moment{
		{{"it was accepted", t.Accepted}, {"it was routed", t.Routed}, {"that was recorded", t.Recorded}},
		{{"it was accepted", t.Accepted}, {"its task began", t.Task}, {"that was recorded", t.Recorded}},
		worker,
	} {
		clock = slices.DeleteFunc(clock, func(m moment) bool { return m.at.IsZero() })
		for i := 1; i < len(clock); i++ {
			if early := clock[i-1].at.Sub(clock[i].at); early > 0 {
				faults = append(faults, TimeFault{Kind: Breach, What: fmt.Sprintf("%s %d ms before %s", clock[i].what, early.Milliseconds(), clock[i-1].what)})
			}
		}
	}
	faults = append(faults, t.clockDiffers(WorkersClock, t.Read, t.Begun, t.Committed, t.Ended)...)
	return append(faults, t.clockDiffers(DatabaseClock, t.Created)...)
}

// clockDiffers reports a clock whose times are outside of the task by more than the bound.
func (t Times) clockDiffers(clock string, times ...time.Time) []TimeFault {
	from := t.Task
	if from.IsZero() {
		from = t.Accepted
	}
	var by time.Duration
	for _, at := range times {
		switch {
		case at.IsZero():
		case !t.Recorded.IsZero() && at.Sub(t.Recorded) > max(by, -by):
			by = at.Sub(t.Recorded)
		case !from.IsZero() && from.Sub(at) > max(by, -by):
			by = at.Sub(from)
		}
	}
	return clockFaults(clock, by)
}

// clockFaults is the fault of a clock that is ahead by so much, if that is one.
func clockFaults(clock string, by time.Duration) []TimeFault {
	if max(by, -by) <= ClockBound {
		return nil
	}
	side := "ahead of"
	if by < 0 {
		side = "behind"
	}
	what := fmt.Sprintf("%s is at least %d ms %s Temporal's", clock, max(by, -by).Milliseconds(), side)
	return []TimeFault{{Kind: Disagree, What: what, Clock: clock, By: by}}
}

// CheckRouting compares the times of a routing that rests on an epoch of a component of
// which frames were published. Task is when it was asked for. A board keeps what it has read
// for its lease: Read is before Recorded, and the epoch was in force then.
func (t Times) CheckRouting(component string, epoch int64, frames []Frame) []TimeFault {
	t = t.milliseconds()
	faults := Times{Accepted: t.Accepted, Recorded: t.Recorded}.Check()
	faults = append(faults, Times{Recorded: t.Recorded}.clockDiffers(WorkersClock, t.Read)...)
	i := slices.IndexFunc(frames, func(f Frame) bool { return f.Orientation.Component == component && f.Orientation.Epoch == epoch })
	if i < 0 {
		return faults
	}
	breach := func(format string, by time.Duration) {
		faults = append(faults, TimeFault{Kind: Breach, What: fmt.Sprintf(format, epoch, by.Milliseconds())})
	}
	published := Stamped(frames[i].At)
	if early := published.Sub(t.Recorded); !t.Recorded.IsZero() && early > 0 {
		breach("it rests on epoch %d, which was published %d ms after it", early)
	}
	if !t.Read.IsZero() {
		faults = append(faults, clockFaults(WorkersClock, min(0, t.Read.Sub(published)))...)
	}
	i = slices.IndexFunc(frames, func(f Frame) bool { return f.Orientation.Component == component && f.Orientation.Epoch > epoch })
	if i < 0 {
		return faults
	}
	over := Stamped(frames[i].At)
	if late := t.Task.Sub(over); late > ReadingLease+ClockBound {
		breach("it rests on epoch %d, which had been over for %d ms", late)
	} else {
		faults = append(faults, clockFaults(WorkersClock, max(0, t.Read.Sub(over)))...)
	}
	return faults
}

func (t Times) milliseconds() Times {
	for _, at := range []*time.Time{&t.Accepted, &t.Routed, &t.Task, &t.Recorded, &t.Read, &t.Begun, &t.Committed, &t.Ended, &t.Created} {
		*at = Stamped(*at)
	}
	return t
}

// Write is an attempt whose write began: its times, the question that its fence answered,
// the components that the order depends on, and the one that it is written to ("" where an
// activity of the user's writes).
type Write struct {
	Times
	Fence   Fence
	Asked   Request
	Gate    []string
	Written string
}

// Flight is where a write was when its component became unfit.
type Flight struct {
	Stage Stage
	// Frame is the orientation that became unfit, and Lag how long after it the write
	// began, by the worker's clock.
	Frame string
	Lag   time.Duration
}

// Stage is how far a write had come.
type Stage string

// The stages of writes.
const (
	Clear     Stage = ""           // it was not under way
	UnderWay  Stage = "UNDER_WAY"  // it had begun: nothing cuts it off
	PastFence Stage = "PAST_FENCE" // its fence had asked, and it began after that
	InDoubt   Stage = "IN_DOUBT"   // the clocks cannot tell, nor whether its fence asked after that
)

// Judge holds the write against what was published of one component, in the order of time,
// and returns all that is wrong with its times and its fence. whole is false where frames
// before the first are missing.
//
// Temporal's times decide: a fence asks within the task. One that asked in a task which
// began when a later, unfit state was published, or that names an epoch which was published
// after the task, is a breach. Where the state changed within the task, the worker's clock
// shows which came first, if it agrees with Temporal's.
func (w Write) Judge(component string, frames []Frame, whole bool) (Flight, []TimeFault) {
	faults := w.Check()
	if f := w.admits(); f != nil {
		faults = append(faults, *f)
	}
	flight, more := w.against(component, frames, whole)
	return flight, append(faults, more...)
}

// admits reports what is wrong with the fence itself: that it is not of the component that
// is written to, or does not admit what was asked.
func (w Write) admits() *TimeFault {
	f, q := w.Fence, w.Asked
	q.Failed, q.Listed, q.Backlog, q.Paused = false, false, false, nil // a fence asks of its moment only
	if f.Component != w.Written && (w.Written != "" || !slices.Contains(w.Gate, f.Component)) {
		return &TimeFault{Kind: Breach, What: fmt.Sprintf("its fence is of %q, which it is not written to", f.Component)}
	}
	o := Orientation{Component: f.Component, State: f.State, Epoch: f.Epoch}
	if q.Pass != nil { // whether it was held and seen fit stands in what was published
		o.Hold, o.Observed = &Hold{}, Healthy
	}
	if d, why := Decide(o, q); !d.Admissible() {
		return &TimeFault{Kind: Breach, What: fmt.Sprintf("its write began under %s, epoch %d, which asks to %s: %s", f.State, f.Epoch, d, why)}
	}
	return nil
}

func (w Write) against(component string, frames []Frame, whole bool) (Flight, []TimeFault) {
	t := w.milliseconds()
	if t.Read.IsZero() {
		t.Read = t.Begun
	}
	pass := w.Asked.Pass
	if w.Fence.Component != component {
		if pass != nil && pass.Component == component {
			if flight, faults, held := t.through(*pass, frames); held {
				return flight, faults
			}
		}
		return t.unfit(0, frames)
	}
	published, fault := w.named(frames, whole)
	switch {
	case fault != nil:
		return Flight{}, []TimeFault{*fault}
	case published.IsZero():
	case !t.Recorded.IsZero() && t.Recorded.Before(published):
		what := fmt.Sprintf("its fence names epoch %d, which was published %d ms after that was recorded", w.Fence.Epoch, published.Sub(t.Recorded).Milliseconds())
		return Flight{}, []TimeFault{{Kind: Breach, What: what}}
	case !t.Begun.IsZero() && t.Begun.Before(published):
		if fault := clockFaults(WorkersClock, t.Begun.Sub(published)); fault != nil {
			return Flight{Stage: InDoubt}, fault
		}
	}
	if pass.matches(component, w.Fence.Epoch) && !w.Fence.State.Fit() {
		flight, faults, held := t.through(*pass, frames)
		if !held {
			what := fmt.Sprintf("it was let through a hold in epoch %d, and while its task lasted %s was not held and observed fit", pass.Epoch, component)
			return Flight{}, []TimeFault{{Kind: Breach, What: what}}
		}
		return flight, faults
	}
	return t.unfit(w.Fence.Epoch, frames)
}

// through holds the write of an order that was let through a hold against what was
// published. held is false where the hold could not be passed at any time of its task.
func (t Times) through(p Pass, frames []Frame) (flight Flight, faults []TimeFault, held bool) {
	for i := 0; i < len(frames); i++ {
		if !p.Opens(*frames[i].Orientation) {
			continue
		}
		from := Stamped(frames[i].At)
		for i++; i < len(frames) && p.Opens(*frames[i].Orientation); i++ {
		}
		switch {
		case !t.Recorded.IsZero() && t.Recorded.Before(from):
			return flight, faults, held
		case i == len(frames) || !t.Recorded.IsZero() && t.Recorded.Before(Stamped(frames[i].At)):
			return Flight{}, nil, true
		case t.Task.After(Stamped(frames[i].At)):
		case frames[i].Orientation.State.Fit():
			flight, faults = t.unfit(p.Epoch, frames[i:])
			return flight, faults, true
		default: // the next time, if there is one within the task, may be the one that it was passed in
			flight, faults = t.inFlight(Stamped(frames[i].At), time.Time{})
			if held = true; flight.Stage != Clear {
				flight.Frame = frames[i].ID
			}
		}
	}
	return flight, faults, held
}

// named is when the epoch was published that the fence names; zero where that is not known.
func (w Write) named(frames []Frame, whole bool) (time.Time, *TimeFault) {
	f := w.Fence
	of := func(o Frame) bool { return o.Orientation.Epoch == f.Epoch }
	switch i := slices.IndexFunc(frames, of); {
	case i < 0 && !whole:
		return time.Time{}, &TimeFault{Kind: Unseen, What: fmt.Sprintf("its fence names epoch %d, which Temporal no longer has", f.Epoch)}
	case !slices.ContainsFunc(frames, func(o Frame) bool { return of(o) && o.Orientation.State == f.State }):
		return time.Time{}, &TimeFault{Kind: Breach, What: fmt.Sprintf("its fence says %s of epoch %d, and the orientation did not", f.State, f.Epoch)}
	default:
		return Stamped(frames[i].At), nil
	}
}

// unfit finds the first unfit time that a fence may have known of. A fence of the component
// has shown that epoch was not over when it asked: it cannot have asked later than that.
func (t Times) unfit(epoch int64, frames []Frame) (Flight, []TimeFault) {
	for i := 0; i < len(frames); i++ {
		f := frames[i]
		if f.Orientation.State.Fit() || f.Orientation.Epoch <= epoch {
			continue
		}
		from, to := Stamped(f.At), time.Time{}
		for i++; i < len(frames) && !frames[i].Orientation.State.Fit(); i++ {
		}
		if i < len(frames) && epoch == 0 {
			to = Stamped(frames[i].At)
		}
		within := to.IsZero() || !t.Recorded.IsZero() && t.Recorded.Before(to)
		switch {
		case !t.Recorded.IsZero() && t.Recorded.Before(from):
			return Flight{}, nil
		case t.Task.After(from) && within:
			what := fmt.Sprintf("its task began %d ms after %s (%s), and its fence asked in it", t.Task.Sub(from).Milliseconds(), f.Orientation.State, f.ID)
			return Flight{}, []TimeFault{{Kind: Breach, What: what}}
		case to.IsZero() || t.Task.Before(to):
			flight, faults := t.inFlight(from, to)
			if flight.Stage != Clear {
				flight.Frame = f.ID
				return flight, faults
			}
		}
	}
	return Flight{}, nil
}

// inFlight is, by the worker's clock, how far a write was when the component became
// unfit, and where to is set fit again, within its task.
func (t Times) inFlight(from, to time.Time) (Flight, []TimeFault) {
	lag := t.Begun.Sub(from)
	doubt := func(by time.Duration) (Flight, []TimeFault) {
		return Flight{Stage: InDoubt, Lag: lag}, clockFaults(WorkersClock, by)
	}
	switch {
	case t.Begun.IsZero(), t.clockDiffers(WorkersClock, t.Read, t.Begun, t.Ended) != nil:
		return Flight{Stage: InDoubt}, nil
	case !to.IsZero() && t.Read.After(to.Add(-ClockBound)):
		return Flight{}, nil // it asked when the component was fit again
	case t.Task.After(from):
		return doubt(t.Read.Sub(to))
	case t.Read.After(from.Add(ClockBound)):
		return doubt(t.Read.Sub(from))
	case !t.Ended.IsZero() && t.Ended.Before(from):
		return Flight{}, nil
	case lag < 0:
		return Flight{Stage: UnderWay}, nil
	}
	return Flight{Stage: PastFence, Lag: lag}, nil
}
