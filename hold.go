package ltp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// MaxHolds is how many operators may hold a component at once.
const MaxHolds = 16

// Hold is an operator's word. It wins over every observation until released. Where several
// operators hold a component, it is all of theirs: Freeze if any freezes, By and Why of all.
type Hold struct {
	By    string    `json:"by"`
	Why   string    `json:"why"`
	Since time.Time `json:"since"`
	// Freeze also stops intake: new orders are refused with a clear answer,
	// and what waits keeps waiting.
	Freeze bool `json:"freeze,omitempty"`
	// Until is when the hold ends by itself; zero is that it does not.
	Until time.Time `json:"until,omitzero"`
	// Joined are the single holds where there are several, in the order of their beginning.
	Joined []Hold `json:"joined,omitempty"`
}

// Release ends a Hold.
type Release struct {
	By  string `json:"by"`
	Why string `json:"why"`
	// All ends the holds of everybody. Without it, where several hold, one ends their own.
	All bool `json:"all,omitempty"`
}

// Holds are the single holds on a component: none where h is nil.
func (h *Hold) Holds() []Hold {
	switch {
	case h == nil:
		return nil
	case len(h.Joined) > 0:
		return h.Joined
	}
	return []Hold{*h}
}

// joinHolds are several holds as one, and nil when there are none.
func joinHolds(holds []Hold) *Hold {
	switch len(holds) {
	case 0:
		return nil
	case 1:
		return &holds[0]
	}
	all := Hold{Joined: holds, Since: holds[0].Since, Until: holds[0].Until}
	by, why := make([]string, len(holds)), make([]string, len(holds))
	for i, h := range holds {
		by[i], why[i] = h.By, h.Why
		all.Since = earlier(all.Since, h.Since)
		all.Freeze = all.Freeze || h.Freeze
		switch {
		case all.Until.IsZero() || h.Until.IsZero():
			all.Until = time.Time{}
		case h.Until.After(all.Until):
			all.Until = h.Until
		}
	}
	all.By, all.Why = joinNames(by), strings.Join(why, "; ")
	return &all
}

// joinNames joins names: "ann, bob and eve".
func joinNames(names []string) string {
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " and " + names[last]
}

// String is who holds and why, for people: "ann: migration; bob: a leak".
func (h Hold) String() string {
	var all []string
	for _, one := range h.Holds() {
		all = append(all, one.By+": "+one.Why)
	}
	return strings.Join(all, "; ")
}

// Validate says what makes the hold impossible at now while others are in force, and nil
// when nothing does.
func (h Hold) Validate(others *Hold, now time.Time) error {
	switch {
	case isBlank(h.By) || isBlank(h.Why):
		return errors.New("say who holds the component and why")
	case !h.Until.IsZero() && !h.Until.After(now):
		return fmt.Errorf("the hold would end at %s, which is past", clock(h.Until))
	case len(others.Without(h.By)) >= MaxHolds:
		return fmt.Errorf("%d operators hold the component already", MaxHolds)
	}
	return nil
}

// Without are the single holds of everybody else.
func (h *Hold) Without(by string) []Hold {
	return slices.DeleteFunc(slices.Clone(h.Holds()), func(one Hold) bool { return one.By == by })
}

// Validate says why the release of what is held cannot be, and nil when it can.
func (r Release) Validate(h *Hold) error {
	switch {
	case isBlank(r.By) || isBlank(r.Why):
		return errors.New("say who releases the component and why")
	case h == nil:
		return errors.New("it is not held")
	case !r.ends(h):
		return fmt.Errorf("several hold it (%s), and %s is none of them: end their holds with --all", h, r.By)
	}
	return nil
}

// ends reports whether the release ends a hold of h.
func (r Release) ends(h *Hold) bool {
	all := h.Holds()
	return len(all) > 0 && (r.All || len(all) == 1 || len(h.Without(r.By)) < len(all))
}

// remaining are the holds that the release leaves.
func (r Release) remaining(h *Hold) []Hold {
	if r.All || len(h.Holds()) == 1 {
		return nil
	}
	return h.Without(r.By)
}

// clock is a moment of the day for people: "15:00 UTC".
func clock(t time.Time) string {
	t = t.UTC()
	if t.Second() == 0 {
		return t.Format("15:04 UTC")
	}
	return t.Format("15:04:05 UTC")
}

func (c *Condition) hold(h Hold, now time.Time) {
	h.Since, h.Joined = now, nil
	c.FitSince = time.Time{}
	if c.Orientation.State != Unstable {
		c.enter(Unstable, "", now)
	}
	holds := slices.Clone(c.Orientation.Hold.Holds())
	if i := slices.IndexFunc(holds, func(one Hold) bool { return one.By == h.By }); i >= 0 {
		holds[i] = h
	} else {
		holds = append(holds, h)
	}
	c.heldBy(holds)
}

// heldBy has the component held by one hold or more.
func (c *Condition) heldBy(holds []Hold) {
	o := &c.Orientation
	o.Hold = joinHolds(holds)
	o.Reason = "Held by " + o.Hold.String()
	o.Evidence, o.Observer, o.Observed = Evidence{}, "", c.Last.Verdict
}

// release ends holds, by an operator's word.
func (c *Condition) release(r Release, now time.Time) {
	if r.ends(c.Orientation.Hold) {
		c.endHolds(r.remaining(c.Orientation.Hold), fmt.Sprintf("Released by %s: %s", r.By, r.Why), now)
	}
}

// HoldEnds is when the next hold ends by itself, and false when none will.
func (c Condition) HoldEnds() (end time.Time, due bool) {
	for _, h := range c.Orientation.Hold.Holds() {
		if !h.Until.IsZero() && (!due || h.Until.Before(end)) {
			end, due = h.Until, true
		}
	}
	return end, due
}

// expireHolds ends the holds whose time has come.
func (c *Condition) expireHolds(now time.Time) {
	if end, due := c.HoldEnds(); !due || now.Before(end) {
		return
	}
	var left, over []Hold
	for _, h := range c.Orientation.Hold.Holds() {
		if h.Until.IsZero() || now.Before(h.Until) {
			left = append(left, h)
		} else {
			over = append(over, h)
		}
	}
	last := over[len(over)-1]
	c.endHolds(left, fmt.Sprintf("The hold of %s ended at %s", last.By, clock(last.Until)), now)
}

// endHolds lets the holds that are left decide, and without one the observation in force. The
// end of a hold stands in for the dwell; where nobody observes, the state is UNKNOWN.
func (c *Condition) endHolds(left []Hold, said string, now time.Time) {
	if len(left) > 0 {
		c.heldBy(left)
		return
	}
	c.Orientation.Hold, c.Orientation.Observed = nil, ""
	switch {
	case c.Last.Verdict == "":
		c.enter(Unknown, said, now)
	case c.Last.Verdict.Fit():
		c.enter(Recovering, said, now)
	default:
		c.Orientation.Reason = c.Last.Reason
		c.Orientation.Evidence, c.Orientation.Observer = c.Last.Evidence, c.Last.Observer
	}
}

// isBlank reports whether a text says nothing.
func isBlank(s string) bool { return strings.TrimSpace(s) == "" }
