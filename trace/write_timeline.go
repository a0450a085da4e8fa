package trace

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

// WriteTimeline shows a timeline to people. Times are UTC; frames are numbered from
// #1 in order of time.
func WriteTimeline(w io.Writer, t Timeline, o Options) error {
	p := newPrinter(o)
	p.component = t.Incident.Component
	p.summary(t)
	if frames := t.Frames(); len(frames) > 0 {
		p.number = len(fmt.Sprintf("#%d", frames[len(frames)-1].No))
	}
	p.day = t.Window.From.UTC().Truncate(24 * time.Hour)
	for i, phase := range t.Phases {
		p.phase(i+1, phase)
	}
	p.gaps(t.Gaps)
	return p.writeTo(w)
}

func (p *printer) summary(t Timeline) {
	in := t.Incident
	status := line{{"RESOLVED", green}}
	switch {
	case in.No == 0:
		status = nil
	case in.Open():
		status = line{{"ONGOING", red}}
	case in.StartUp || in.Restart:
		status = nil
	}
	p.title(line{{in.title(), bold}}, status)
	p.paragraph(0, p.lasts(in))
	p.WriteByte('\n')
	p.paragraph(2, path(in))
	p.WriteByte('\n')
	p.paragraph(2, tally(t.Tally)...)
}

// title names an incident, with its number where it has one.
func (i Incident) title() string {
	switch {
	case i.No == 0:
		return i.Component
	case i.StartUp:
		return "Start-up of " + i.Component
	case i.Restart:
		return fmt.Sprintf("Restart, incident %d of %s", i.No, i.Component)
	}
	return fmt.Sprintf("Incident %d of %s", i.No, i.Component)
}

// lasts is when an incident began and ended, and how long it took.
func (p *printer) lasts(in Incident) line {
	began := in.BeganAt.UTC()
	if in.Open() {
		return say("since %s UTC", began.Format(time.DateOnly+" "+clock))
	}
	p.day = began.Truncate(24 * time.Hour)
	return say("%s – %s UTC, %s", began.Format(time.DateOnly+" "+clock), p.when(in.EndedAt), words.Lasted(in.EndedAt.Sub(began)))
}

// pathMost is how many states of an incident that flaps are shown, from its beginning
// and from its end.
const pathMost = 6

// path is the states of an incident, in turn.
func path(in Incident) (l line) {
	states := in.States()
	for i, s := range states {
		if i >= pathMost && i < len(states)-pathMost {
			if i == pathMost {
				l = l.then(faint, " ──▶ … %s more …", words.Count(len(states)-2*pathMost))
			}
			continue
		}
		if i > 0 {
			l = l.then(faint, " ──▶ ")
		}
		l = l.then(stateStyle(s), "%s", s)
	}
	return l
}

func tally(t Tally) []line {
	if t.Total == 0 {
		return []line{say("No order came.")}
	}
	became := some(
		part{t.ExecutedAtOnce, "executed at once"}, part{t.ExecutedLater, "executed after waiting"},
		part{t.Rejected, "rejected"}, part{t.Cancelled, "cancelled"}, part{t.Expired, "expired"},
		part{t.Terminated, "ended by force"}, part{t.Waiting, "still waiting"}, part{t.Parked, "parked until an operator decides"}, part{t.Accepted, "accepted and not yet done"},
	)
	lines := []line{say("%s: %s.", words.Plural(t.Total, "order"), strings.Join(became, ", "))}
	if t.Deferred > 0 {
		lines = append(lines, say("%s of them deferred, %s still waiting.", words.Count(t.Deferred), none(t.Waiting)))
	}
	return lines
}

type part struct {
	n    int
	what string
}

// some are the parts of which there are any.
func some(parts ...part) (said []string) {
	for _, x := range parts {
		if x.n > 0 {
			said = append(said, words.Count(x.n)+" "+x.what)
		}
	}
	return said
}

func none(n int) string {
	if n == 0 {
		return "none"
	}
	return words.Count(n)
}

var titles = map[PhaseName]string{
	StartUp: "Start-up", Stability: "Stability", Degradation: "Degradation",
	DeferralWindow: "The Deferral Window", Recovery: "Recovery", Resolution: "Resolution",
}

func (p *printer) phase(n int, phase Phase) {
	title := fmt.Sprintf("Phase %d: %s", n, titles[phase.Name])
	if phase.Failed {
		title += ", which did not hold"
	}
	when := p.when(phase.BeginsAt)
	switch {
	case phase.EndsAt.IsZero():
		when += " – now"
	case phase.EndsAt.Sub(phase.BeginsAt) >= time.Millisecond:
		when += " – " + p.when(phase.EndsAt)
	}
	p.rule(title, when)
	var facts []line
	if u := phase.Under; u != nil && !phase.beginsAnew() {
		l := p.held(say("State "), u.Component, u.State, u.Epoch)
		if n == 1 {
			l = l.then(plain, ", since %s", p.when(u.Since))
		}
		facts = append(facts, l)
	}
	if said := phase.Counts.parts(); len(said) > 0 {
		facts = append(facts, say("%s", strings.Join(said, " · ")))
	} else if !phase.beginsAnew() {
		facts = append(facts, whisper("no orders"))
	}
	p.paragraph(2, facts...)
	if len(phase.Entries) == 0 {
		return
	}
	if len(facts) > 0 {
		p.WriteByte('\n')
	}
	p.entries(phase)
}

func (p *printer) entries(phase Phase) {
	if p.all {
		for _, e := range phase.Entries {
			p.entry(e, false)
		}
		return
	}
	for _, e := range phase.Folded() {
		if e.Folded > 0 {
			like := "like the one before"
			if e.Like > 0 {
				like = fmt.Sprintf("like #%d", e.Like)
			}
			p.row(row{lines: []line{whisper("⋮ %s more %s, the last of them:", words.Count(e.Folded), like)}})
		}
		p.entry(e.Entry, e.Folded > 0)
	}
}

// beginsAnew reports whether the phase begins with an orientation, and so says itself
// under which.
func (p Phase) beginsAnew() bool {
	for _, e := range p.Entries {
		if e.Note == nil {
			return len(e.Frames) == 1 && p.Name != DeferralWindow
		}
	}
	return false
}

func (c Counts) parts() []string {
	parts := []part{
		{c.Requests, words.Noun(c.Requests, "request")}, {c.ExecutedAtOnce, "executed at once"},
	}
	reasons := slices.SortedFunc(maps.Keys(c.Deferred), func(a, b ltp.Reason) int {
		return cmp.Or(cmp.Compare(c.Deferred[b], c.Deferred[a]), cmp.Compare(a, b))
	})
	for _, r := range reasons {
		parts = append(parts, part{c.Deferred[r], "deferred " + words.Clean(string(r))})
	}
	return some(append(parts,
		part{c.Replayed, "replayed"}, part{c.DeferredAgain, "deferred again"}, part{c.Executed, "executed after waiting"},
		part{c.Rejected, "rejected"}, part{c.Failed, words.Noun(c.Failed, "execution") + " failed"},
		part{c.Parked, "parked"}, part{c.Cancelled, "cancelled"}, part{c.Expired, "expired"}, part{c.Terminated, "ended by force"})...)
}

// entry shows an entry; brief leaves out what the entry before it said as well.
func (p *printer) entry(e Entry, brief bool) {
	switch {
	case e.Note != nil:
		p.note(*e.Note)
	case e.Parked != nil:
		l := say("order %s ", e.OrderID).then(orderStyle(ltp.Parked), "%s", ltp.Parked)
		if !brief {
			l = l.then(plain, " %s", afterFailures(*e.Parked))
		}
		p.row(row{at: e.At, kind: "parked", lines: []line{l}})
	case e.Ended != nil:
		l := say("order %s ", e.OrderID).then(orderStyle(e.Ended.State), "%s", e.Ended.State)
		if !brief && e.Ended.Reason != "" {
			l = l.then(plain, ": %s", words.Clean(e.Ended.Reason))
		}
		p.row(row{at: e.At, kind: "end", lines: []line{l}})
	case len(e.Frames) == 1:
		p.orientation(e)
	default:
		p.row(row{at: e.At, no: e.Frames[0].No, kind: string(ltp.FrameRouteRequest), lines: p.asked(e, brief)})
		lines := p.answered(*e.Frames[1].Response, brief)
		if e.Execution != nil {
			lines = append(lines, p.wrote(line{{"→ ", faint}}, *e.Execution, e.Frames[1].Response))
		}
		p.row(row{no: e.Frames[1].No, kind: string(ltp.FrameRouteResponse), lines: lines})
	}
}

func (p *printer) note(n Note) {
	kind, text := "event", words.Clean(n.Text)
	switch {
	case n.Kind == NoteReplay:
		kind = "action"
	case n.By != "":
		text = words.Clean(n.By) + " " + text
	}
	p.row(row{mark: "·", at: n.At, kind: kind, style: faint, lines: []line{say("%s", text)}})
}

func (p *printer) gaps(gaps []Gap) {
	if len(gaps) == 0 {
		return
	}
	p.rule("What is missing", words.Plural(len(gaps), "gap"))
	for _, g := range gaps {
		p.paragraph(2, say("%s: %s", words.Clean(g.What), words.Clean(g.Why)))
	}
}

// Live shows entries to people as they come. Times are UTC.
type Live struct {
	w         io.Writer
	component string
	options   Options
	day       time.Time
}

// NewLive shows what Follow yields of a component.
func NewLive(w io.Writer, component string, o Options) *Live {
	return &Live{w: w, component: component, options: o}
}

// Write shows entries; of those with the same key, the first and the last, unless all
// are to be shown.
func (l *Live) Write(entries []Entry) error {
	p := newPrinter(l.options)
	p.component, p.number, p.day = l.component, len("#99999"), l.day
	p.entries(Phase{Entries: entries})
	l.day = p.day
	return p.writeTo(l.w)
}
