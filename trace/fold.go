package trace

import (
	"fmt"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
)

// Folded is an entry of a folded phase.
type Folded struct {
	Entry
	// Folded is how many entries of the same key were left out before this one, which is
	// the last of them, and Like the number of the first.
	Folded int `json:"folded,omitempty"`
	Like   int `json:"like,omitempty"`
}

// Folded are the entries of the phase in the order of time, without those that only
// repeat: of entries with the same key, the first and the last are left. What comes
// before and after a change of the orientation is never folded together.
func (p Phase) Folded() (all []Folded) {
	type group struct{ first, last, n int }
	groups := map[string]*group{}
	at := map[int]*group{} // the group that the first or last entry stands for
	for i, e := range p.Entries {
		key := e.groupKey()
		if key == "" {
			if len(e.Frames) > 0 {
				clear(groups)
			}
			continue
		}
		g, ok := groups[key]
		if !ok {
			g = &group{first: i, last: i}
			groups[key], at[i] = g, g
		} else if g.last != g.first {
			delete(at, g.last)
		}
		g.last, g.n, at[i] = i, g.n+e.count(), g
	}
	for i, e := range p.Entries {
		g := at[i]
		switch {
		case g == nil && e.groupKey() != "":
			continue
		case g == nil || i == g.first:
			all = append(all, Folded{Entry: e, Folded: e.folded})
		default:
			f := Folded{Entry: e, Folded: g.n - 2}
			if first := p.Entries[g.first]; len(first.Frames) > 0 {
				f.Like = first.Frames[0].No
			}
			all = append(all, f)
		}
	}
	return all
}

// groupKey is the same for entries that differ only in the order, the time and how long
// it took; empty for what is shown by itself.
func (e Entry) groupKey() string {
	switch {
	case e.Parked != nil:
		return fmt.Sprintf("%s %d %s", ltp.Parked, e.Parked.Failures, strings.Map(noDigit, e.Parked.Error))
	case e.Ended != nil:
		return fmt.Sprintf("%s %s", e.Ended.State, e.Ended.Reason)
	case len(e.Frames) != 2:
		return ""
	}
	q, r := e.Frames[0].Request, e.Frames[1].Response
	written := ""
	if x := e.Execution; x != nil {
		written = fmt.Sprint(x.Result, x.BegunAt.IsZero(), x.Fence.Component, x.Fence.State, x.Fence.Epoch, x.Repeated(), x.slow())
		if x.Result == ltp.ResultRefused || x.Result == ltp.ResultUnknown {
			written += strings.Map(noDigit, x.Error) // ports and the like differ
		}
	}
	if p := q.Asked.Pass; p != nil {
		written += fmt.Sprint(" ", p.By, ": ", p.Why)
	}
	return fmt.Sprintln(q.Woken, q.DeferredReason, r.Decision, r.Reason, r.Component, r.State, r.Epoch, written, e.waited)
}

// slow is a write that took long enough to be shown by itself.
func (e Execution) slow() bool {
	took, ok := e.Wrote()
	return ok && took >= time.Second
}

func noDigit(r rune) rune {
	if r >= '0' && r <= '9' {
		return -1
	}
	return r
}
