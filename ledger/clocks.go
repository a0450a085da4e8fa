package ledger

import (
	"fmt"
	"time"

	"github.com/ltp-node/ltp"
)

// clocks are what was seen of the clocks of workers and of writes near a fall: no breach,
// and named all the same.
type clocks struct {
	disagree int           // times that no clock within ltp.ClockBound gives
	most     time.Duration // by how much, at most
	underWay int           // writes that were under way when their component became unfit
	past     int           // writes whose fence had asked before that, and that began after it
	doubt    int           // writes of which the clocks cannot tell
}

// addFaults takes in what is wrong with times; what cannot have been so is a fault.
func (c *clocks) addFaults(check CheckName, orderID string, faults []ltp.TimeFault) *fault {
	for _, f := range faults {
		switch f.Kind {
		case ltp.Breach:
			return broken(check, "order %s: %s", orderID, f.What)
		case ltp.Disagree:
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
	times := ltp.Times{Accepted: at(o.about.AcceptedMs), Task: at(o.asked.AskedMs), Recorded: at(p.RecordedMs), Read: at(p.ReadMs)}
	if p.Unreadable || r.alone {
		return r.clocks.addFaults(CheckRouting, p.OrderID, times.Check())
	}
	if limit := ltp.ReadingLease + ltp.ClockBound; p.Admissible && late > limit.Milliseconds() {
		return broken(CheckRouting, "order %s: it rests on epoch %d, which had been over for %d ms", p.OrderID, p.Epoch, late)
	}
	return r.clocks.addFaults(CheckRouting, p.OrderID, times.CheckRouting(p.Component, p.Epoch, r.frames(p.Component)))
}

// wroteInTime holds a write that began against its times and against what was published.
func (r *rules) wroteInTime(o *ordered, p *Execution) *fault {
	w := ltp.Write{
		Times: ltp.Times{
			Accepted: at(o.about.AcceptedMs), Routed: at(o.last.RecordedMs), Task: at(p.TaskMs), Recorded: at(p.RecordedMs),
			Read: at(p.Fence.ReadMs), Begun: at(p.BegunMs), Ended: at(p.EndedMs), Apart: o.about.External,
		},
		Fence: ltp.Fence{Component: p.Fence.Component, State: p.Fence.State, Epoch: p.Fence.Epoch, LastFit: p.Fence.LastFit, ReadAt: at(p.Fence.ReadMs)},
		Asked: o.asked.Asked, Gate: o.about.DependsOn, Written: ltp.DefaultComponent,
	}
	if o.about.External { // its end is the workflow's, which may have taken it in much later
		w.Written, w.Ended = "", time.Time{}
	}
	if r.alone {
		return r.clocks.addFaults(CheckExecution, p.OrderID, w.Check())
	}
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
		if f := r.clocks.addFaults(CheckExecution, p.OrderID, faults); f != nil {
			return f
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
