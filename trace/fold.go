package trace

import (
	"fmt"
	"strings"
	"time"
)

// Told is an entry of a folded phase.
type Told struct {
	Entry
	// Alike is how many entries that say the same were left out before this one, which
	// is the last of them, and Like the number of the first.
	Alike int `json:"alike,omitempty"`
	Like  int `json:"like,omitempty"`
}

// Folded are the entries of the phase in the order of time, without those that only
// repeat: of entries that say the same, the first and the last are left. What comes
// before and after a change of the orientation is never folded together.
func (p Phase) Folded() (told []Told) {
	type group struct{ first, last, n int }
	groups := map[string]*group{}
	at := map[int]*group{} // the group that the first or last entry stands for
	for i, e := range p.Entries {
		says := e.says()
		if says == "" {
			if len(e.Frames) > 0 {
				clear(groups)
			}
			continue
		}
		g, ok := groups[says]
		if !ok {
			g = &group{first: i, last: i}
			groups[says], at[i] = g, g
		} else if g.last != g.first {
			delete(at, g.last)
		}
		g.last, g.n, at[i] = i, g.n+e.stands(), g
	}
	for i, e := range p.Entries {
		g := at[i]
		switch {
		case g == nil && e.says() != "":
			continue
		case g == nil || i == g.first:
			told = append(told, Told{Entry: e, Alike: e.alike})
		default:
			t := Told{Entry: e, Alike: g.n - 2}
			if first := p.Entries[g.first]; len(first.Frames) > 0 {
				t.Like = first.Frames[0].No
			}
			told = append(told, t)
		}
	}
	return told
}

// says is the same for entries that differ only in the order, the time and how long
// it took; empty for what is told by itself.
func (e Entry) says() string {
	switch {
	case e.Ended != nil:
		return fmt.Sprintf("%s %s", e.Ended.State, e.Ended.Reason)
	case len(e.Frames) != 2:
		return ""
	}
	q, r := e.Frames[0].Request, e.Frames[1].Response
	written := ""
	if x := e.Execution; x != nil {
		written = fmt.Sprint(x.EndedAt.IsZero(), x.Error, x.Fence.Component, x.Fence.State, x.Fence.Epoch, x.Repeated, x.slow())
		if x.Error != "" && x.Error != Unavailable {
			written += strings.Map(noDigit, x.Message) // ports and the like differ
		}
	}
	return fmt.Sprintln(q.Woken, q.DeferredReason, r.Decision, r.Reason, r.Component, r.State, r.Epoch, written, e.waited)
}

// slow is a write that took long enough to be told of by itself.
func (e Execution) slow() bool { return e.Done() && e.CommittedAt.Sub(e.BegunAt) >= time.Second }

func noDigit(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}
