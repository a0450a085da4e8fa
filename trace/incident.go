package trace

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
)

// Incident is what happened to a component from the first orientation that left
// STABLE to the STABLE that follows.
type Incident struct {
	// No is the incident's number: 1 is the oldest of the component that Temporal still
	// knows. 0 is a stretch of time that is no incident.
	No        int       `json:"no,omitempty"`
	Component string    `json:"component"`
	BeganAt   time.Time `json:"began_at"`
	// EndedAt is zero while the component has not become STABLE again.
	EndedAt time.Time `json:"ended_at,omitzero"`
	// StartUp marks the time before a component was STABLE for the first time, when it
	// was never UNSTABLE in it: no outage.
	StartUp bool `json:"start_up,omitempty"`
	// Restart marks a short time that nobody observed, as when the observers or all workers
	// were restarted: the component was seen neither UNSTABLE nor DEGRADED in it. No outage.
	Restart bool `json:"restart,omitempty"`
	// Before is the orientation that was left. It is nil when there was none, and not
	// STABLE when the trace begins in the middle of the incident.
	Before *ltp.Orientation `json:"before,omitempty"`
	// Frames are the orientation frames, from the first that is not STABLE to the
	// STABLE that ends the incident.
	Frames []ltp.Frame `json:"frames"`

	next time.Time // when the incident that follows began
}

// Open reports whether the incident is still going on.
func (i Incident) Open() bool { return i.EndedAt.IsZero() }

// restartTime is how long a restart may leave a component unobserved. What takes longer has
// deferred orders for as long, and counts as an outage.
const restartTime = time.Minute

// restart reports whether the incident is over and was a restart.
func (i Incident) restart() bool {
	if i.Open() || i.StartUp || i.EndedAt.Sub(i.BeganAt) >= restartTime {
		return false
	}
	return !slices.ContainsFunc(i.States(), func(s ltp.State) bool { return s == ltp.Unstable || s == ltp.Degraded })
}

// Lead is how much of the time before and after an incident is shown with it.
const Lead = 30 * time.Second

// Window is the time to look at: the incident with Lead before and after it, less
// where another incident is near. It is open while the incident is.
func (i Incident) Window() Window {
	w := Window{From: i.BeganAt}
	if i.Before != nil && i.Before.State == ltp.Stable {
		if w.From = i.BeganAt.Add(-Lead); i.Before.Since.After(w.From) {
			w.From = i.Before.Since
		}
	}
	if !i.Open() {
		if w.To = i.EndedAt.Add(Lead); !i.next.IsZero() && i.next.Before(w.To) {
			w.To = i.next.Add(-time.Nanosecond)
		}
	}
	return w
}

// During takes a stretch of time as if it were one incident: its Frames are those in
// the window, and its No is 0.
func (o OrientationTrace) During(w Window) Incident {
	in := Incident{Component: o.Component, BeganAt: w.From, EndedAt: w.To, Before: o.Before, Frames: []ltp.Frame{}}
	for _, f := range o.Frames {
		if f.At.Before(w.From) {
			in.Before = f.Orientation
		} else if w.Contains(f.At) {
			in.Frames = append(in.Frames, f)
		}
	}
	in.StartUp = in.Before == nil
	return in
}

// States are the states of the incident in turn, with the one that was left.
func (i Incident) States() (states []ltp.State) {
	add := func(s ltp.State) {
		if n := len(states); n == 0 || states[n-1] != s {
			states = append(states, s)
		}
	}
	if i.Before != nil {
		add(i.Before.State)
	}
	for _, f := range i.Frames {
		add(f.Orientation.State)
	}
	return states
}

// Worst is the first orientation of the worst state of the incident; false when nothing
// is known of it.
func (i Incident) Worst() (worst ltp.Orientation, ok bool) {
	severity := []ltp.State{ltp.Stable, ltp.Recovering, ltp.Degraded, ltp.Unknown, ltp.Unstable}
	all := make([]ltp.Orientation, 0, len(i.Frames)+1)
	if i.Before != nil {
		all = append(all, *i.Before)
	}
	for _, f := range i.Frames {
		all = append(all, *f.Orientation)
	}
	for _, o := range all {
		if !ok || slices.Index(severity, o.State) > slices.Index(severity, worst.State) {
			worst, ok = o, true
		}
	}
	return worst, ok
}

// Incidents splits the orientation of a component into incidents, oldest first. The
// time before a component was first STABLE counts as one.
func Incidents(o OrientationTrace) []Incident {
	var (
		all  []Incident
		open *Incident
		now  = o.Before
	)
	begin := func(at time.Time) {
		if n := len(all); n > 0 {
			all[n-1].next = at
		}
		open = &Incident{No: len(all) + 1, Component: o.Component, BeganAt: at, StartUp: now == nil, Before: now, Frames: []ltp.Frame{}}
	}
	if now != nil && now.State != ltp.Stable {
		begin(now.Since)
	}
	for _, f := range o.Frames {
		if open == nil && f.Orientation.State != ltp.Stable {
			begin(f.At)
		}
		now = f.Orientation
		if open == nil {
			continue
		}
		open.Frames = append(open.Frames, f)
		switch now.State {
		case ltp.Unstable:
			open.StartUp = false
		case ltp.Stable:
			open.EndedAt = f.At
			open.Restart = open.restart()
			all = append(all, *open)
			open = nil
		}
	}
	if open != nil {
		all = append(all, *open)
	}
	return all
}

// Latest is the incident to show when nobody asked for a certain one: the latest
// outage, or else the latest of all; false when there is none.
func Latest(incidents []Incident) (Incident, bool) {
	if len(incidents) == 0 {
		return Incident{}, false
	}
	for _, in := range slices.Backward(incidents) {
		if !in.StartUp && !in.Restart {
			return in, true
		}
	}
	return incidents[len(incidents)-1], true
}

// ErrNoIncident: the component has had no incident.
var ErrNoIncident = errors.New("it has had no incident")

// UnknownIncidentError says that there is no incident of that number.
type UnknownIncidentError struct {
	No int
	// Count is how many there are: their numbers are 1 to Count.
	Count int
}

func (e *UnknownIncidentError) Error() string {
	if e.Count == 1 {
		return fmt.Sprintf("there is no incident %d: the only one is 1 (see ltp inspect --incidents)", e.No)
	}
	return fmt.Sprintf("there is no incident %d: there are 1 to %d (see ltp inspect --incidents)", e.No, e.Count)
}

// Choose returns the incident of the number no, of all incidents of a component as
// Incidents returns them: 1 is the oldest that Temporal still knows. With 0 it is the
// Latest. The error is ErrNoIncident where there are none, or *UnknownIncidentError.
func Choose(incidents []Incident, no int) (Incident, error) {
	latest, any := Latest(incidents)
	switch {
	case !any:
		return Incident{}, ErrNoIncident
	case no == 0:
		return latest, nil
	case no < 1 || no > len(incidents):
		return Incident{}, &UnknownIncidentError{No: no, Count: len(incidents)}
	}
	return incidents[no-1], nil
}
