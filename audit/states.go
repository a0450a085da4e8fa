package audit

import (
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

// states is what was published of a component, in the order of time, all by Temporal's
// clock.
type states struct {
	component string
	frames    []ltp.Frame
	// epochs are the frames of each epoch: more than one where a hold changed.
	epochs map[int64][]ltp.Orientation
	// spans are when the component was unfit, and pauses when an operator had paused its
	// replays.
	spans, pauses []span
	// whole is false when Temporal no longer has all of it.
	whole bool
}

// span is a stretch of time; a zero to is open.
type span struct{ from, to time.Time }

// overlaps reports whether two stretches of time have a moment in common.
func (s span) overlaps(other span) bool {
	return (s.to.IsZero() || !other.from.After(s.to)) && (other.to.IsZero() || !s.from.After(other.to))
}

// within reports whether s lies in another.
func (s span) within(other span) bool {
	return !s.from.Before(other.from) && (other.to.IsZero() || !s.to.IsZero() && !s.to.After(other.to))
}

func (s span) wider(d time.Duration) span {
	s.from = s.from.Add(-d)
	if !s.to.IsZero() {
		s.to = s.to.Add(d)
	}
	return s
}

func newStates(o trace.OrientationTrace) states {
	s := states{component: o.Component, epochs: map[int64][]ltp.Orientation{}, whole: len(o.Gaps) == 0}
	if o.Before != nil {
		s.frames = append(s.frames, ltp.Frame{At: o.Before.Since, Orientation: o.Before})
	}
	s.frames = append(s.frames, o.Frames...)
	for _, f := range s.frames {
		s.epochs[f.Orientation.Epoch] = append(s.epochs[f.Orientation.Epoch], *f.Orientation)
		toggle(&s.spans, !f.Orientation.State.Fit(), f.At)
	}
	for _, n := range o.Notes {
		switch {
		case n.Kind != trace.NoteReplayControl:
		case strings.HasPrefix(n.Text, pausedReplay):
			toggle(&s.pauses, true, n.At)
		case strings.HasPrefix(n.Text, resumedReplay):
			toggle(&s.pauses, false, n.At)
		}
	}
	return s
}

// What the note of an operator's change of the ReplayControl begins with, where it pauses or resumes.
var (
	pausedReplay  = ltp.ReplayControlChange{Paused: new(true)}.String()
	resumedReplay = ltp.ReplayControlChange{Paused: new(false)}.String()
)

// toggle opens a span at t, or closes the one that is open.
func toggle(all *[]span, open bool, t time.Time) {
	n := len(*all) - 1
	switch is := n >= 0 && (*all)[n].to.IsZero(); {
	case open && !is:
		*all = append(*all, span{from: t})
	case !open && is:
		(*all)[n].to = t
	}
}

// unfitSince is the frame by which the component became unfit, if it was at t.
func (s states) unfitSince(t time.Time) (first ltp.Frame, unfit bool) {
	i := sort.Search(len(s.frames), func(i int) bool { return s.frames[i].At.After(t) }) - 1
	if i < 0 || s.frames[i].Orientation.State.Fit() {
		return first, false
	}
	for i > 0 && !s.frames[i-1].Orientation.State.Fit() {
		i--
	}
	return s.frames[i], true
}

// unfitIn reports whether the component was unfit at some time of a stretch.
func (s states) unfitIn(t span) bool { return slices.ContainsFunc(s.spans, t.overlaps) }

// outages is how often the component had become unfit by t.
func (s states) outages(t time.Time) int {
	return sort.Search(len(s.spans), func(i int) bool { return s.spans[i].from.After(t) })
}

// published reports whether a state was published of an epoch.
func (s states) published(state ltp.State, epoch int64) bool {
	return slices.ContainsFunc(s.epochs[epoch], func(o ltp.Orientation) bool { return o.State == state })
}

// Moment is one orientation frame.
type Moment struct {
	Frame    string       `json:"frame"`
	At       time.Time    `json:"at"`
	Epoch    int64        `json:"epoch"`
	State    ltp.State    `json:"state"`
	Reason   string       `json:"reason"`
	Observer string       `json:"observer,omitempty"`
	Hold     *ltp.Hold    `json:"hold,omitempty"`
	Evidence ltp.Evidence `json:"evidence,omitzero"`
}

// Stretch is a time without a fit state: from the frame that began it to the frame
// that ended it.
type Stretch struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"` // zero while it goes on
	// Frames are the first and the last unfit frame.
	Frames [2]string `json:"frames"`
}

func (c *incident) moments() []Moment {
	all := []Moment{}
	for _, f := range c.found.Incident.Frames {
		o := f.Orientation
		all = append(all, Moment{
			Frame: f.ID, At: f.At, Epoch: o.Epoch, State: o.State, Reason: o.Reason,
			Observer: o.Observer, Hold: o.Hold, Evidence: o.Evidence,
		})
	}
	return all
}

func (c *incident) unfit() []Stretch {
	all := []Stretch{}
	open := false
	for _, f := range c.found.Incident.Frames {
		switch fit := f.Orientation.State.Fit(); {
		case !fit && !open:
			all = append(all, Stretch{From: f.At, Frames: [2]string{f.ID, f.ID}})
			open = true
		case !fit:
			all[len(all)-1].Frames[1] = f.ID
		case open:
			all[len(all)-1].To = f.At
			open = false
		}
	}
	return all
}

// instability checks that the frames of the incident follow each other without a gap,
// so that its bounds are exact.
func (c *incident) instability() Claim {
	cl := claim(Instability, "The window of instability is exact")
	in := c.found.Incident
	var before ltp.Orientation
	var at time.Time
	if in.Before != nil {
		before, at = *in.Before, in.Before.Since
	}
	for _, f := range in.Frames {
		o := *f.Orientation
		switch {
		case f.At.Before(at):
			cl.breach(f.ID, "it is earlier than the frame before it")
		case o.State == before.State && o.Epoch == before.Epoch:
		case in.Before == nil && before.State == "": // the first that Temporal has
		case o.Epoch != before.Epoch+1:
			cl.breach(f.ID, "epoch %d follows epoch %d", o.Epoch, before.Epoch)
		case !ltp.CanFollow(before.State, o.State):
			cl.breach(f.ID, "no rule leads from %s to %s", before.State, o.State)
		}
		before, at = o, f.At
	}
	for _, s := range c.unfit() {
		if s.To.IsZero() {
			cl.add("unfit since %s UTC (%s), and still", words.Time(s.From), s.Frames[0])
			continue
		}
		cl.add("unfit from %s UTC (%s) to %s UTC, for %s", words.Time(s.From), s.Frames[0], words.Time(s.To), words.Lasted(s.To.Sub(s.From)))
		cl.Figures["unfit_ms"] += s.To.Sub(s.From).Milliseconds()
	}
	if len(c.unfit()) == 0 {
		cl.add("it was fit throughout")
	}
	cl.add("%s, each timed by the Temporal server", words.Plural(len(in.Frames), "orientation frame"))
	if cl.Verdict == Held {
		cl.Evidence[len(cl.Evidence)-1] += "; epochs grow by one, and every change is one that the state machine has"
	}
	cl.Figures["frames"] = int64(len(in.Frames))
	if in.Open() {
		cl.add("the incident is going on: its end is not known")
	}
	if gaps := c.found.Orientation.Gaps; len(gaps) > 0 && (in.Before == nil || in.Before.State != ltp.Stable) {
		cl.unchecked("it began before what Temporal still has (%s: %s)", gaps[0].What, gaps[0].Why)
	}
	return cl
}
