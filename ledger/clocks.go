package ledger

import (
	"fmt"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

// clocks are what was seen of the clocks of workers and of writes near a fall: no breach,
// and named all the same.
type clocks struct {
	disagree int           // times that no clock within ltp.ClockBound gives
	most     time.Duration // by how much, at most
	underWay int           // writes that were under way when their component became unfit
	past     int           // writes whose fence had asked before that, and that began after it
	doubt    int           // writes of which the clocks cannot tell
	// unchecked are all writes that are in doubt, or whose worker's clock is off.
	unchecked int
}

// clockLimit is how far the clock of a worker may be from Temporal's in a file. A clock that
// is set to local time is 14 hours off at most.
const clockLimit = 15 * time.Hour

// addFaults takes in what is wrong with times; what cannot have been so is a fault.
func (c *clocks) addFaults(check CheckName, orderID string, faults []ltp.TimeFault) *fault {
	for _, f := range faults {
		switch {
		case f.Kind == ltp.Breach:
			return broken(check, "order %s: %s", orderID, f.What)
		case f.Kind == ltp.Disagree && max(f.By, -f.By) > clockLimit:
			return broken(check, "order %s: %s, and no clock is more than %s off", orderID, f.What, words.Lasted(clockLimit))
		case f.Kind == ltp.Disagree:
			c.disagree++
			c.most = max(c.most, f.By, -f.By)
		}
	}
	return nil
}

func (c clocks) summary() string {
	text := "it does not run backwards, and workers' clocks agree with Temporal's"
	if c.disagree > 0 {
		text = fmt.Sprintf("it does not run backwards; %d times of workers differ from Temporal's by up to %d ms", c.disagree, c.most.Milliseconds())
	}
	if n := c.underWay + c.past + c.doubt; n > 0 {
		text += fmt.Sprintf("; %d writes met a fall: %d under way, %d past their fence, %d in doubt", n, c.underWay, c.past, c.doubt)
	}
	return text
}

// routedInTime checks the times of an answer that stands in the file at ts.
func (r *rules) routedInTime(o *ordered, ts int64, p *Response) *fault {
	late := o.asked.AskedMs - ts
	if late > 0 {
		r.late, r.latest = r.late+1, max(r.latest, late)
	}
	limit := ltp.ReadingLease + ltp.ClockBound
	switch {
	case !p.Admissible && late > 0:
		return broken(CheckTime, "order %s: its request stands %d ms before it asked", p.OrderID, late)
	case p.RecordedMs-o.asked.AskedMs > clockLimit.Milliseconds():
		return broken(CheckTime, "order %s: its answer was recorded %d ms after it asked", p.OrderID, p.RecordedMs-o.asked.AskedMs)
	case !r.alone && !p.Unreadable && late > limit.Milliseconds():
		return broken(CheckRouting, "order %s: it rests on epoch %d, which had been over for %d ms", p.OrderID, p.Epoch, late)
	}
	asked := ltp.Times{Accepted: at(o.about.AcceptedMs), Task: at(o.asked.AskedMs), Recorded: at(p.RecordedMs)}
	if f := r.clocks.addFaults(CheckRouting, p.OrderID, asked.Check()); f != nil {
		return f
	}
	read := ltp.Times{Recorded: asked.Recorded, Read: at(p.ReadMs)}
	if p.Unreadable { // its reading may be of long ago
		return r.clocks.addFaults(CheckRouting, p.OrderID, read.Check())
	}
	if read.Task = asked.Task.Add(-ltp.ReadingLease); r.alone {
		return r.clocks.addFaults(CheckRouting, p.OrderID, read.Check())
	}
	asked.Read = read.Read
	return r.clocks.addFaults(CheckRouting, p.OrderID, asked.CheckRouting(p.Component, p.Epoch, r.frames(p.Component)))
}

// attemptedInTime checks the times of an attempt, each clock's by itself, a worker's against
// Temporal's, and those of a write that began against what was published.
func (r *rules) attemptedInTime(o *ordered, p *Execution) *fault {
	t := ltp.Times{
		Accepted: at(o.about.AcceptedMs), Routed: at(o.last.RecordedMs), Task: at(p.TaskMs), Recorded: at(p.RecordedMs),
		Begun: at(p.BegunMs), Committed: at(p.CommittedMs), Ended: at(p.EndedMs), Apart: o.about.External,
	}
	if p.Fence != nil {
		t.Read = at(p.Fence.ReadMs)
	}
	if o.about.External {
		if p.done() && (p.CommittedMs != p.EndedMs || p.CommittedMs < p.BegunMs) {
			return broken(CheckExecution, "order %s was written from %d to %d, and that ended at %d", p.OrderID, p.BegunMs, p.CommittedMs, p.EndedMs)
		}
		if f := later(p.OrderID, p.TaskMs, p.ScheduledMs, p.StartedMs, p.RecordedMs); f != nil {
			return f
		}
		t.Committed, t.Ended = time.Time{}, time.Time{} // its end is the workflow's, which may have taken it in much later
	}
	if !p.begun() || r.alone {
		return r.clocks.addFaults(CheckExecution, p.OrderID, t.Check())
	}
	return r.wroteInTime(o, p, t)
}

// later checks that times of Temporal's clock follow one another; 0 is none.
func later(orderID string, times ...int64) *fault {
	times = slices.DeleteFunc(times, func(ms int64) bool { return ms == 0 })
	for i := 1; i < len(times); i++ {
		if early := times[i-1] - times[i]; early > ltp.ClockBound.Milliseconds() {
			return broken(CheckTime, "order %s: what was recorded for %d follows on %d by Temporal's clock", orderID, times[i], times[i-1])
		}
	}
	return nil
}

// wroteInTime holds a write that began against what was published. A write is not checked
// where clocks cannot tell whether its fence asked while its components were fit.
func (r *rules) wroteInTime(o *ordered, p *Execution, t ltp.Times) *fault {
	w := ltp.Write{
		Times: t,
		Fence: ltp.Fence{Component: p.Fence.Component, State: p.Fence.State, Epoch: p.Fence.Epoch, LastFit: p.Fence.LastFit, ReadAt: t.Read},
		Asked: o.asked.Asked, Gate: o.about.DependsOn, Written: o.about.written(),
	}
	unchecked := false
	for _, component := range w.Gate {
		flight, faults := w.Judge(component, r.frames(component), false)
		switch flight.Stage {
		case ltp.UnderWay:
			r.clocks.underWay++
		case ltp.PastFence:
			r.clocks.past++
		case ltp.InDoubt:
			r.clocks.doubt++
		}
		disagree := slices.ContainsFunc(faults, func(f ltp.TimeFault) bool { return f.Kind == ltp.Disagree })
		unchecked = unchecked || disagree || flight.Stage == ltp.InDoubt
		if f := r.clocks.addFaults(CheckExecution, p.OrderID, faults); f != nil {
			return f
		}
	}
	if unchecked {
		r.clocks.unchecked++
	}
	return nil
}

// withdrawnInTime checks the times of a withdrawal. Its reading may be as old as boards keep
// one.
func (r *rules) withdrawnInTime(o *ordered, p *Withdrawal) *fault {
	t := ltp.Times{Accepted: at(o.about.AcceptedMs), Task: at(p.TaskMs), Recorded: at(p.RecordedMs), Ended: at(p.EndedMs)}
	faults := t.Check()
	if p.Fence != nil && !p.Unreadable {
		faults = append(faults, ltp.Times{Task: t.Task.Add(-ltp.ReadingLease), Recorded: t.Recorded, Read: at(p.Fence.ReadMs), Ended: t.Ended}.Check()...)
	}
	return r.clocks.addFaults(CheckEnd, p.OrderID, faults)
}

// stampedInTime checks that the epoch in which the door accepted an order had begun. An epoch
// that the file does not have yet is checked at its end.
func (r *rules) stampedInTime(o Order) *fault {
	c := r.components[o.written()]
	if r.alone || c == nil || o.StampEpoch == 0 {
		return nil
	}
	if o.StampEpoch > c.epoch {
		r.ahead = append(r.ahead, o)
		return nil
	}
	i := slices.IndexFunc(c.frames, func(f ltp.Frame) bool { return f.Orientation.Epoch == o.StampEpoch })
	if i >= 0 && c.frames[i].At.Sub(at(o.AcceptedMs)) > ltp.ClockBound {
		return broken(CheckRouting, "order %s was accepted in epoch %d of %s, which had not begun", o.ID, o.StampEpoch, o.written())
	}
	return nil
}

// stampedAhead checks the orders whose epoch the file did not have. One that was accepted
// before the latest orientation cannot be of a later epoch; one that was accepted after it
// may be, since an incident may go on while it is exported.
func (r *rules) stampedAhead() *fault {
	for _, o := range r.ahead {
		c := r.components[o.written()]
		if o.StampEpoch > c.epoch && c.frames[len(c.frames)-1].At.Sub(at(o.AcceptedMs)) > ltp.ClockBound {
			return broken(CheckRouting, "order %s was accepted in epoch %d of %s, which had not begun", o.ID, o.StampEpoch, o.written())
		}
	}
	return nil
}

// frames are the orientations of a component so far.
func (r *rules) frames(component string) []ltp.Frame {
	if c := r.components[component]; c != nil {
		return c.frames
	}
	return nil
}

// at is a time of the file; zero for 0.
func at(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms).UTC()
}
