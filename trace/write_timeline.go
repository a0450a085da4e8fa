package trace

import (
	"fmt"
	"io"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/printer"
	"github.com/ltp-node/ltp/internal/words"
)

// WriteTimeline shows a timeline to people. Times are UTC; frames are numbered from
// #1 in order of time.
func WriteTimeline(w io.Writer, t Timeline, o Options) error {
	p := newWriter(o)
	p.component = t.Incident.Component
	p.summary(t)
	if frames := t.Frames(); len(frames) > 0 {
		p.number = len(fmt.Sprintf("#%d", frames[len(frames)-1].No))
	}
	p.day = t.Window.From
	for i, phase := range t.Phases {
		p.phase(i+1, phase)
	}
	p.gaps(t.Gaps)
	return p.writeTo(w)
}

func (p *writer) summary(t Timeline) {
	in := t.Incident
	status := printer.In(printer.Green, "RESOLVED")
	switch {
	case in.No == 0:
		status = nil
	case in.Open():
		status = printer.In(printer.Red, "ONGOING")
	case in.StartUp || in.Restart:
		status = nil
	}
	p.Title(printer.In(printer.Bold, "%s", in.title()), status)
	p.Paragraph(0, p.lasts(in))
	p.Space()
	p.Paragraph(2, path(in))
	p.Space()
	p.Paragraph(2, tally(t.Tally)...)
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
func (p *writer) lasts(in Incident) printer.Line {
	if in.Open() {
		return printer.Say("since %s UTC", words.Time(in.BeganAt))
	}
	p.day = in.BeganAt
	return printer.Say("%s – %s UTC, %s", words.Time(in.BeganAt), p.when(in.EndedAt), words.Lasted(in.EndedAt.Sub(in.BeganAt)))
}

// pathMost is how many states of an incident that flaps are shown, from its beginning
// and from its end.
const pathMost = 6

// path is the states of an incident, in turn.
func path(in Incident) (l printer.Line) {
	states := in.States()
	for i, s := range states {
		if i >= pathMost && i < len(states)-pathMost {
			if i == pathMost {
				l = l.Whisper(" ──▶ … %s more …", words.Count(len(states)-2*pathMost))
			}
			continue
		}
		if i > 0 {
			l = l.Whisper(" ──▶ ")
		}
		l = l.In(stateStyle(s), "%s", s)
	}
	return l
}

func tally(t Tally) []printer.Line {
	if t.Total == 0 {
		return []printer.Line{printer.Say("No order came.")}
	}
	became := words.Some(", ",
		words.Part(t.ExecutedAtOnce, "executed at once"), words.Part(t.ExecutedLater, "executed after waiting"),
		words.Part(t.Rejected, "rejected"), words.Part(t.Cancelled, "cancelled"), words.Part(t.Expired, "expired"),
		words.Part(t.Terminated, "ended by force"), words.Part(t.Waiting, "still waiting"), words.Part(t.Parked, "parked until an operator decides"), words.Part(t.Accepted, "accepted and not yet done"),
	)
	lines := []printer.Line{printer.Say("%s: %s.", words.Plural(t.Total, "order"), became)}
	if t.Deferred > 0 {
		lines = append(lines, printer.Say("%s of them deferred, %s still waiting.", words.Count(t.Deferred), words.None(t.Waiting)))
	}
	return lines
}

func (p *writer) phase(n int, phase Phase) {
	title := fmt.Sprintf("Phase %d: %s", n, phase.Name.Title())
	if phase.Failed {
		title += ", which did not hold"
	}
	p.Rule(title, words.Span(phase.BeginsAt, phase.EndsAt, p.day))
	var facts []printer.Line
	if u := phase.Under; u != nil && !phase.beginsAnew() {
		l := p.held(printer.Say("State "), u.Component, u.State, u.Epoch)
		if n == 1 {
			l = l.Say(", since %s", p.when(u.Since))
		}
		facts = append(facts, l)
	}
	if said := phase.Counts.String(); said != "" {
		facts = append(facts, printer.Say("%s", words.Clean(said)))
	} else if !phase.beginsAnew() {
		facts = append(facts, printer.Whisper("no orders"))
	}
	p.Paragraph(2, facts...)
	if len(phase.Entries) == 0 {
		return
	}
	if len(facts) > 0 {
		p.Space()
	}
	p.entries(phase)
}

func (p *writer) entries(phase Phase) {
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
			p.row(row{lines: []printer.Line{printer.Whisper("⋮ %s more %s, the last of them:", words.Count(e.Folded), like)}})
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

// entry shows an entry; brief leaves out what the entry before it said as well.
func (p *writer) entry(e Entry, brief bool) {
	switch {
	case e.Note != nil:
		p.note(*e.Note)
	case e.Parked != nil:
		l := printer.Say("order %s ", e.OrderID).In(orderStyle(ltp.Parked), "%s", ltp.Parked)
		if !brief {
			l = l.Say(" %s", afterFailures(*e.Parked))
		}
		p.row(row{at: e.At, kind: "parked", lines: []printer.Line{l}})
	case e.Ended != nil:
		l := printer.Say("order %s ", e.OrderID).In(orderStyle(e.Ended.State), "%s", e.Ended.State)
		if !brief && e.Ended.Reason != "" {
			l = l.Say(": %s", words.Clean(e.Ended.Reason))
		}
		p.row(row{at: e.At, kind: "end", lines: []printer.Line{l}})
	case len(e.Frames) == 1:
		p.orientation(e)
	default:
		p.row(row{at: e.At, no: e.Frames[0].No, kind: string(ltp.FrameRouteRequest), lines: p.routeRequestLines(e, brief)})
		lines := p.answered(*e.Frames[1].Response, brief)
		if e.Execution != nil {
			lines = append(lines, p.wrote(printer.Whisper("→ "), *e.Execution, e.Frames[1].Response))
		}
		p.row(row{no: e.Frames[1].No, kind: string(ltp.FrameRouteResponse), lines: lines})
	}
}

func (p *writer) note(n Note) {
	kind, text := "event", words.Clean(n.Text)
	switch {
	case n.Kind == NoteReplay:
		kind = "action"
	case n.By != "":
		text = words.Clean(n.By) + " " + text
	}
	p.row(row{mark: "·", at: n.At, kind: kind, style: printer.Faint, lines: []printer.Line{printer.Say("%s", text)}})
}

func (p *writer) gaps(gaps []Gap) {
	if len(gaps) == 0 {
		return
	}
	p.Rule("What is missing", words.Plural(len(gaps), "gap"))
	for _, g := range gaps {
		p.Paragraph(2, printer.Say("%s: %s", words.Clean(g.What), words.Clean(g.Why)))
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
	p := newWriter(l.options)
	p.component, p.number, p.day = l.component, len("#99999"), l.day
	p.entries(Phase{Entries: entries})
	l.day = p.day
	return p.writeTo(l.w)
}
