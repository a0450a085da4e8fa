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
	name, status := "Incident of ", line{{"RESOLVED", green}}
	switch {
	case in.Open():
		status = line{{"ONGOING", red}}
	case in.StartUp:
		status = nil
	}
	if in.StartUp {
		name = "Start-up of "
	}
	p.title(line{{name + in.Component, bold}}, status)
	began := in.BeganAt.UTC()
	if in.Open() {
		p.paragraph(0, say("since %s UTC", began.Format(time.DateOnly+" "+clock)))
	} else {
		p.day = began.Truncate(24 * time.Hour)
		p.paragraph(0, say("%s – %s UTC, %s", began.Format(time.DateOnly+" "+clock), p.when(in.EndedAt), lasted(in.EndedAt.Sub(began))))
	}
	p.WriteByte('\n')
	p.paragraph(2, path(in))
	p.WriteByte('\n')
	p.paragraph(2, tally(t.Tally)...)
}

// path is the states of an incident, in turn.
func path(in Incident) (l line) {
	var last ltp.State
	add := func(s ltp.State) {
		if s == last {
			return
		}
		if last != "" {
			l = l.then(faint, " ──▶ ")
		}
		l, last = l.then(stateStyle(s), "%s", s), s
	}
	if in.Before != nil {
		add(in.Before.State)
	}
	for _, f := range in.Frames {
		add(f.Orientation.State)
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
		part{t.Terminated, "ended by force"}, part{t.Waiting, "still waiting"}, part{t.Accepted, "accepted and not yet done"},
	)
	lines := []line{say("%s: %s.", plural(t.Total, "order"), strings.Join(became, ", "))}
	if t.Deferred > 0 {
		lines = append(lines, say("%s of them deferred, %s still waiting.", count(t.Deferred), none(t.Waiting)))
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
			said = append(said, count(x.n)+" "+x.what)
		}
	}
	return said
}

func none(n int) string {
	if n == 0 {
		return "none"
	}
	return count(n)
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
	if u := phase.Under; u != nil && (len(phase.Entries) == 0 || len(phase.Entries[0].Frames) != 1) {
		l := p.held(say("State "), u.Component, u.State, u.Epoch)
		if n == 1 {
			l = l.then(plain, ", since %s", p.when(u.Since))
		}
		facts = append(facts, l)
	}
	if said := phase.Counts.parts(); len(said) > 0 {
		facts = append(facts, say("%s", strings.Join(said, " · ")))
	} else if len(phase.Entries) == 0 {
		facts = append(facts, whisper("no orders"))
	}
	p.paragraph(2, facts...)
	if len(phase.Entries) == 0 {
		return
	}
	if len(facts) > 0 {
		p.WriteByte('\n')
	}
	for _, e := range phase.Folded() {
		if e.Alike > 0 {
			like := "like the one before"
			if e.Like > 0 {
				like = fmt.Sprintf("like #%d", e.Like)
			}
			p.row(row{lines: []line{whisper("⋮ %s more %s, the last of them:", count(e.Alike), like)}})
		}
		p.entry(e.Entry, e.Alike > 0)
	}
}

func (c Counts) parts() []string {
	parts := []part{
		{c.Requests, noun(c.Requests, "request")}, {c.ExecutedAtOnce, "executed at once"},
	}
	reasons := slices.SortedFunc(maps.Keys(c.Deferred), func(a, b ltp.Reason) int {
		return cmp.Or(cmp.Compare(c.Deferred[b], c.Deferred[a]), cmp.Compare(a, b))
	})
	for _, r := range reasons {
		parts = append(parts, part{c.Deferred[r], "deferred " + clean(string(r))})
	}
	return some(append(parts,
		part{c.Replayed, "replayed"}, part{c.DeferredAgain, "deferred again"}, part{c.Executed, "executed after waiting"},
		part{c.Rejected, "rejected"}, part{c.Failed, noun(c.Failed, "execution") + " failed"},
		part{c.Cancelled, "cancelled"}, part{c.Expired, "expired"}, part{c.Terminated, "ended by force"})...)
}

// entry shows an entry; brief leaves out what the entry before it said as well.
func (p *printer) entry(e Entry, brief bool) {
	switch {
	case e.Note != nil:
		p.note(*e.Note)
	case e.Ended != nil:
		l := say("order %s ", e.OrderID).then(orderStyle(e.Ended.State), "%s", e.Ended.State)
		if !brief && e.Ended.Reason != "" {
			l = l.then(plain, ": %s", clean(e.Ended.Reason))
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

func (p *printer) orientation(e Entry) {
	o := e.Frames[0].Orientation
	change := line{}
	if e.From != "" && e.From != o.State {
		change = change.then(stateStyle(e.From), "%s", e.From).then(faint, " ──▶ ")
	}
	lines := []line{p.held(change, o.Component, o.State, o.Epoch)}
	if o.Reason != "" {
		lines = append(lines, line{{clean(o.Reason), bold}})
	}
	if said := evidence(o.Evidence); said != "" {
		lines = append(lines, say("%s", said))
	}
	if o.Observer != "" {
		lines = append(lines, whisper("seen by %s", clean(o.Observer)))
	}
	if o.Hold != nil && o.Hold.Freeze {
		lines = append(lines, say("intake is frozen"))
	}
	p.row(row{mark: "●", at: e.At, no: e.Frames[0].No, kind: string(ltp.FrameOrientation), style: stateStyle(o.State), lines: lines})
}

// evidence is what was measured, as a list.
func evidence(e ltp.Evidence) string {
	var said []string
	switch {
	case e.LatencyMs > 0 && e.ThresholdMs > 0:
		said = append(said, fmt.Sprintf("latency %s ms, limit %s ms", count(int(e.LatencyMs)), count(int(e.ThresholdMs))))
	case e.LatencyMs > 0:
		said = append(said, fmt.Sprintf("latency %s ms", count(int(e.LatencyMs))))
	}
	if e.Samples > 0 {
		said = append(said, plural(e.Samples, "sample"))
	}
	if e.Definite {
		said = append(said, "definite")
	}
	for _, k := range slices.Sorted(maps.Keys(e.Facts)) {
		said = append(said, clean(k)+" "+clean(e.Facts[k]))
	}
	if e.Error != "" {
		said = append(said, "error: "+clean(e.Error))
	}
	return strings.Join(said, ", ")
}

// asked tells of a route request.
func (p *printer) asked(e Entry, brief bool) []line {
	q := e.Frames[0].Request
	lines := []line{say("order %s", e.OrderID).then(faint, " ·%s%s", glue, strings.ReplaceAll(clean(e.Amount), " ", glue))}
	switch {
	case !q.Replay:
		return lines
	case e.Replays > 0:
		lines = append(lines, say("replays #%d (frame%s%s)", e.Replays, glue, q.OriginalFrameID))
	default:
		lines = append(lines, say("replays frame %s", q.OriginalFrameID))
	}
	if !brief {
		lines = append(lines, whys(*q, time.Duration(e.WaitedMs)*time.Millisecond)...)
	}
	return lines
}

// whys tells why an order was deferred, for how long, and why it asks again.
func whys(q ltp.RouteRequest, waited time.Duration) (lines []line) {
	if q.Woken == ltp.WokenByFailure {
		return append(lines, whisper("its execution failed, and it asks again"))
	}
	if q.DeferredReason != "" {
		lines = append(lines, whisper("deferred for %s", clean(string(q.DeferredReason))))
	}
	by := "its own timer"
	if q.Woken == ltp.WokenBySignal {
		by = "the replay engine"
	}
	return append(lines, whisper("waited %s, woken by %s", lasted(waited), by))
}

// answered tells of a route response.
func (p *printer) answered(r ltp.RouteResponse, brief bool) []line {
	lines := []line{line{{string(r.Decision), decisionStyle(r.Decision)}}.then(plain, " %s", clean(string(r.Reason)))}
	if brief {
		return lines
	}
	lines = append(lines, p.held(say("admissible: %t · ", r.Admissible), r.Component, r.State, r.Epoch))
	if r.Commitment != "" {
		lines = append(lines, say("“%s”", clean(r.Commitment)))
	}
	return lines
}

// wrote tells how an execution ended, that followed the answer r.
func (p *printer) wrote(l line, x Execution, r *ltp.RouteResponse) line {
	message := clean(x.Message)
	for _, said := range []string{"not begun: ", "unavailable: ", "outcome unknown: "} {
		message = strings.TrimPrefix(message, said) // we say that ourselves
	}
	switch {
	case x.EndedAt.IsZero():
		return l.then(plain, "under way since %s", p.when(x.ScheduledAt))
	case x.Done() && x.Repeated:
		return l.then(green, "EXECUTED").then(plain, ": an earlier attempt had written it")
	case x.Done():
		l = l.then(green, "EXECUTED").then(plain, " in %s under ", strings.ReplaceAll(lasted(x.CommittedAt.Sub(x.BegunAt)), " ", glue))
		if r != nil && x.Fence == (ltp.Fence{Component: r.Component, State: r.State, Epoch: r.Epoch}) {
			return l.then(plain, "epoch%s%d", glue, r.Epoch)
		}
		return p.held(l, x.Fence.Component, x.Fence.State, x.Fence.Epoch)
	case x.Error == Rejected:
		return l.then(red, "REJECTED").then(plain, "%s", because("", message))
	case x.Error == Unavailable && x.BegunAt.IsZero():
		return l.then(yellow, "no write begun").then(plain, "%s", because("", message))
	case x.Error == Unavailable:
		return l.then(yellow, "nothing written").then(plain, "%s", because("", message))
	case x.Error == Lost, x.Error == OutcomeUnknown:
		return l.then(red, "outcome unknown").then(plain, "%s", because("", message))
	}
	return l.then(red, "failed").then(plain, " with %s", because(clean(string(x.Error)), message))
}

func (p *printer) note(n Note) {
	kind, text := "event", clean(n.Text)
	switch {
	case n.Kind == NoteReplay:
		kind = "action"
	case n.By != "":
		text = clean(n.By) + " " + text
	}
	p.row(row{mark: "·", at: n.At, kind: kind, style: faint, lines: []line{say("%s", text)}})
}

func (p *printer) gaps(gaps []Gap) {
	if len(gaps) == 0 {
		return
	}
	p.rule("What is missing", plural(len(gaps), "gap"))
	for _, g := range gaps {
		p.paragraph(2, say("%s: %s", clean(g.What), clean(g.Why)))
	}
}

// WriteOrder shows one order's frames to people. Times are UTC.
func WriteOrder(w io.Writer, t OrderTrace, o Options) error {
	p := newPrinter(o)
	p.orderTitle(t)
	rows := p.orderRows(t)
	slices.SortStableFunc(rows, func(a, b []row) int { return a[0].at.Compare(b[0].at) })
	for _, group := range rows {
		for i, r := range group {
			if i > 0 {
				r.at = time.Time{}
			}
			p.row(r)
		}
	}
	switch t.State() {
	case ltp.Deferred:
		p.row(row{kind: "pending", style: yellow, lines: []line{say("“%s”", ltp.Commitment)}})
	case ltp.Accepted:
		p.row(row{kind: "pending", style: yellow, lines: []line{say("%s", t.State().Message())}})
	}
	return p.writeTo(w)
}

func (p *printer) orderTitle(t OrderTrace) {
	o, state := t.Order, t.State()
	p.title(line{{"Order " + o.ID, bold}}, line{{string(state), orderStyle(state)}})
	facts := say("%s for %s, depends on %s", clean(amount(o)), clean(o.Customer), clean(strings.Join(o.Components(), ", ")))
	if o.Risk != "" {
		facts = facts.then(plain, ", %s risk", clean(string(o.Risk)))
	}
	p.paragraph(0, facts)
	accepted := say("accepted %s UTC", t.AcceptedAt.UTC().Format(time.DateOnly+" "+clock))
	p.day = t.AcceptedAt.UTC().Truncate(24 * time.Hour)
	if !o.Deadline.IsZero() {
		accepted = accepted.then(plain, ", to be done by %s", p.when(o.Deadline))
	}
	p.paragraph(0, accepted)
	if t.Outcome != nil {
		p.paragraph(0, say("ended %s, after %s", p.when(t.EndedAt), lasted(t.EndedAt.Sub(t.AcceptedAt))))
	}
	p.WriteByte('\n')
}

// orderRows are the rows of an order, those together that belong to one event.
func (p *printer) orderRows(t OrderTrace) (rows [][]row) {
	rows = append(rows, []row{{at: t.AcceptedAt, kind: "accepted", lines: []line{say("%s", ltp.MessagePending)}}})
	for _, e := range orderEntries(t, Window{}) {
		if len(e.Frames) != 2 {
			continue
		}
		q := e.Frames[0].Request
		asked := []line{{{e.Frames[0].ID, bold}}}
		if q.Replay {
			asked[0] = asked[0].then(plain, " replays frame %s", q.OriginalFrameID)
			asked = append(asked, whys(*q, time.Duration(e.WaitedMs)*time.Millisecond)...)
		}
		rows = append(rows, []row{
			{at: e.At, kind: string(ltp.FrameRouteRequest), lines: asked},
			{at: e.At, kind: string(ltp.FrameRouteResponse), lines: p.answered(*e.Frames[1].Response, false)},
		})
	}
	for _, x := range t.Executions {
		lines := []line{p.wrote(nil, x, nil)}
		began, fence := x.BegunAt, p.held(nil, x.Fence.Component, x.Fence.State, x.Fence.Epoch)
		switch {
		case began.IsZero():
		case x.Done():
			lines = append(lines, whisper("begun %s, committed %s", p.when(began), p.when(x.CommittedAt)))
		default:
			lines = append(lines, append(whisper("begun %s under ", p.when(began)), fence...))
		}
		if x.Worker != "" {
			lines = append(lines, whisper("by %s", clean(x.Worker)))
		}
		rows = append(rows, []row{{at: x.ScheduledAt, kind: "execute", lines: lines}})
	}
	for _, n := range t.Notes {
		rows = append(rows, []row{{mark: "·", at: n.At, kind: "event", style: faint, lines: []line{say("%s", strings.TrimSpace(clean(n.By)+" "+clean(n.Text)))}}})
	}
	if t.Outcome != nil {
		end := line{{string(t.Outcome.State), orderStyle(t.Outcome.State)}}.then(plain, " %s", t.Outcome.State.Message())
		lines := []line{end}
		if t.Outcome.Reason != "" {
			lines = append(lines, say("%s", clean(t.Outcome.Reason)))
		}
		rows = append(rows, []row{{mark: "●", at: t.EndedAt, kind: "end", style: orderStyle(t.Outcome.State), lines: lines}})
	}
	return rows
}
