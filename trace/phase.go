package trace

import (
	"slices"
	"time"

	"github.com/ltp-node/ltp"
)

// Phase is a part of an incident, in the order of a postmortem.
type Phase struct {
	Name PhaseName `json:"name"`
	// BeginsAt and EndsAt bound the phase; each ends where the next begins.
	BeginsAt time.Time `json:"begins_at"`
	EndsAt   time.Time `json:"ends_at,omitzero"`
	// Failed marks a recovery that was overtaken by the next fall.
	Failed bool `json:"failed,omitempty"`
	// Under is the orientation in force when the phase began; nil when it is not known.
	Under   *ltp.Orientation `json:"under,omitempty"`
	Counts  Counts           `json:"counts"`
	Entries []Entry          `json:"entries,omitempty"`
}

// PhaseName names a phase: stable words for programs.
type PhaseName string

// The phases. An incident that flaps has some of them several times.
const (
	StartUp        PhaseName = "START_UP"        // before the component was first STABLE
	Stability      PhaseName = "STABILITY"       // before the incident
	Degradation    PhaseName = "DEGRADATION"     // from leaving STABLE to being unfit
	DeferralWindow PhaseName = "DEFERRAL_WINDOW" // unfit: orders wait
	Recovery       PhaseName = "RECOVERY"        // fit again, and nothing replayed yet
	Resolution     PhaseName = "RESOLUTION"      // from the first replay on
)

// Counts are of what happened in a phase.
type Counts struct {
	// Requests are orders that asked for the first time.
	Requests int `json:"requests"`
	// Deferred are orders that began to wait, by reason, and DeferredAgain those that
	// asked and went on waiting.
	Deferred      map[ltp.Reason]int `json:"deferred,omitempty"`
	DeferredAgain int                `json:"deferred_again,omitempty"`
	// Replayed are requests of orders that had waited.
	Replayed int `json:"replayed"`
	// ExecutedAtOnce and Executed were admitted in this phase and written: those that
	// never waited, and those that did.
	ExecutedAtOnce int `json:"executed_at_once"`
	Executed       int `json:"executed"`
	// Failed are executions that were refused, found the component unavailable, or were
	// lost, and Parked the orders that began to wait for an operator.
	Failed     int `json:"failed"`
	Parked     int `json:"parked"`
	Rejected   int `json:"rejected"`
	Cancelled  int `json:"cancelled"`
	Expired    int `json:"expired"`
	Terminated int `json:"terminated"`
}

// phases cuts the entries, which are in order of time, where the orientation changes
// and where replaying begins.
func phases(in Incident, w Window, entries []Entry) []Phase {
	c := cutter{under: in.Before}
	c.open(firstPhase(in), w.From)
	for i := range entries {
		e := &entries[i]
		if len(e.Frames) == 1 {
			c.turn(e)
		} else if c.name() == Recovery && len(e.Frames) > 0 && e.replay() && e.Frames[1].Response.Admissible {
			c.open(Resolution, e.At)
		}
		p := &c.phases[len(c.phases)-1]
		p.Entries = append(p.Entries, *e)
		p.Counts.add(*e, e.count())
		if len(e.Frames) == 1 {
			c.under = e.Frames[0].Orientation
			if c.name() == Degradation && !c.under.State.Fit() {
				c.open(DeferralWindow, e.At)
			}
		}
	}
	c.phases[len(c.phases)-1].EndsAt = w.To
	return c.phases
}

func firstPhase(in Incident) PhaseName {
	switch {
	case in.StartUp:
		return StartUp
	case in.Before == nil, in.Before.State == ltp.Degraded:
		return Degradation
	case in.Before.State == ltp.Stable:
		return Stability
	case in.Before.State == ltp.Recovering:
		return Recovery
	}
	return DeferralWindow
}

// cutter cuts phases.
type cutter struct {
	phases []Phase
	under  *ltp.Orientation
}

func (c *cutter) name() PhaseName {
	return c.phases[len(c.phases)-1].Name
}

func (c *cutter) open(name PhaseName, at time.Time) {
	if n := len(c.phases); n > 0 {
		c.phases[n-1].EndsAt = at
	}
	c.phases = append(c.phases, Phase{Name: name, BeginsAt: at, Under: c.under})
}

// prompt is how soon the orientation changes after what makes it change.
const prompt = 250 * time.Millisecond

// openWithCause opens a phase that an orientation frame begins, and takes into it the
// notes immediately before, which say what led to it.
func (c *cutter) openWithCause(name PhaseName, at time.Time) {
	before := &c.phases[len(c.phases)-1]
	n := len(before.Entries)
	for n > 0 && before.Entries[n-1].Note != nil && before.Entries[n-1].Note.Kind != NoteReplay && at.Sub(before.Entries[n-1].At) < prompt {
		n--
	}
	causes := slices.Clone(before.Entries[n:])
	before.Entries = before.Entries[:n]
	if len(causes) > 0 {
		at = causes[0].At
	}
	c.open(name, at)
	c.phases[len(c.phases)-1].Entries = causes
}

// turn opens the phase that an orientation frame belongs to.
func (c *cutter) turn(e *Entry) {
	now := c.name()
	switch state := e.Frames[0].Orientation.State; {
	case now == StartUp && state != ltp.Stable:
	case now == StartUp:
		c.open(Stability, e.At)
	case state == ltp.Stable, state == ltp.Degraded && now == Recovery:
		if now != Resolution {
			c.open(Resolution, e.At)
		}
	case state == ltp.Recovering:
		c.openWithCause(Recovery, e.At)
	case state == ltp.Degraded && now == Resolution:
	case !state.Fit() && now == DeferralWindow:
	default: // it fell
		stood := c.under != nil && c.under.State == ltp.Stable // of a window that holds several incidents
		for i := len(c.phases) - 1; i >= 0 && !stood && (c.phases[i].Name == Recovery || c.phases[i].Name == Resolution); i-- {
			c.phases[i].Failed = true
		}
		if now != Degradation {
			c.openWithCause(Degradation, e.At)
		}
	}
}

func (e Entry) replay() bool {
	switch e.Frames[0].Request.Woken {
	case ltp.WokenBySignal, ltp.WokenByTimer, ltp.WokenByTurn, ltp.WokenByRetry, ltp.WokenByPass:
		return true
	}
	return false
}

// add counts n entries with the key of e.
func (c *Counts) add(e Entry, n int) {
	if e.Parked != nil {
		c.Parked += n
	}
	if e.Ended != nil {
		switch e.Ended.State {
		case ltp.Cancelled:
			c.Cancelled += n
		case ltp.Expired:
			c.Expired += n
		case ltp.Rejected:
			c.Rejected += n
		case ltp.Executed:
			c.Executed += n
		default:
			c.Terminated += n
		}
	}
	if len(e.Frames) != 2 {
		return
	}
	if e.Frames[0].Request.Attempt == 1 {
		c.Requests += n
	}
	if e.replay() {
		c.Replayed += n
	}
	if r := e.Frames[1].Response; !r.Admissible {
		if e.replay() {
			c.DeferredAgain += n
			return
		}
		if c.Deferred == nil {
			c.Deferred = map[ltp.Reason]int{}
		}
		c.Deferred[r.Reason] += n
	}
	switch x := e.Execution; {
	case x == nil || x.Running():
	case x.Done() && e.waited:
		c.Executed += n
	case x.Done():
		c.ExecutedAtOnce += n
	default:
		c.Failed += n
	}
}
