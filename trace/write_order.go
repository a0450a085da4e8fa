package trace

import (
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/printer"
	"github.com/ltp-node/ltp/internal/words"
)

// WriteOrder shows one order's frames to people. Times are UTC.
func WriteOrder(w io.Writer, t OrderTrace, o Options) error {
	p := newWriter(o)
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
		p.row(row{kind: "pending", style: printer.Yellow, lines: append([]printer.Line{p.waiting(t)}, p.placed(t.Order.ID)...)})
	case ltp.Parked:
		p.row(row{kind: "pending", style: printer.Yellow, lines: []printer.Line{printer.Say("waits for an operator: ltp orders retry %s, or ltp orders reject %s", t.Order.ID, t.Order.ID)}})
	case ltp.Accepted:
		p.row(row{kind: "pending", style: printer.Yellow, lines: []printer.Line{printer.Say("%s", t.State().Message())}})
	}
	return p.writeTo(w)
}

func (p *writer) orderTitle(t OrderTrace) {
	o, state := t.Order, t.State()
	p.Title(printer.In(printer.Bold, "Order %s", o.ID), printer.In(orderStyle(state), "%s", state))
	facts := printer.Say("%s for %s, depends on %s", words.Commas(words.Clean(amount(o))), words.Clean(o.Customer), words.Clean(strings.Join(o.Gate(t.Execution), ", ")))
	if o.Risk != "" {
		facts = facts.Say(", %s risk", words.Clean(string(o.Risk)))
	}
	p.Paragraph(0, facts)
	accepted := printer.Say("accepted %s UTC", words.Time(t.AcceptedAt))
	p.day = t.AcceptedAt
	if !o.Deadline.IsZero() {
		accepted = accepted.Say(", to be done by %s", p.when(o.Deadline))
	}
	p.Paragraph(0, accepted)
	if t.Outcome != nil {
		p.Paragraph(0, printer.Say("ended %s, after %s", p.when(t.EndedAt), words.Lasted(t.EndedAt.Sub(t.AcceptedAt))))
	}
	p.Space()
}

// orderRows are the rows of an order, those together that belong to one event.
func (p *writer) orderRows(t OrderTrace) (rows [][]row) {
	rows = append(rows, []row{{at: t.AcceptedAt, kind: "accepted", lines: []printer.Line{printer.Say("%s", ltp.MessagePending)}}})
	for _, e := range orderEntries(t, Window{}) {
		if len(e.Frames) != 2 {
			continue
		}
		q := e.Frames[0].Request
		asked := []printer.Line{printer.In(printer.Bold, "%s", e.Frames[0].ID)}
		if q.Replay {
			asked[0] = asked[0].Say(" replays frame %s", q.OriginalFrameID)
			asked = append(asked, whys(*q, time.Duration(e.WaitedMs)*time.Millisecond)...)
		}
		rows = append(rows, []row{
			{at: e.At, kind: string(ltp.FrameRouteRequest), lines: asked},
			{at: e.At, kind: string(ltp.FrameRouteResponse), lines: p.answered(*e.Frames[1].Response, false)},
		})
	}
	for _, x := range t.Executions {
		lines := []printer.Line{p.wrote(nil, x, nil)}
		began, fence := x.BegunAt, p.held(nil, x.Fence.Component, x.Fence.State, x.Fence.Epoch)
		switch {
		case began.IsZero(), x.Running():
		case x.Done():
			lines = append(lines, printer.Whisper("begun %s, committed %s", p.when(began), p.when(x.CommittedAt())))
		default:
			lines = append(lines, append(printer.Whisper("begun %s under ", p.when(began)), fence...))
		}
		if x.Worker != "" {
			lines = append(lines, printer.Whisper("by %s", words.Clean(x.Worker)))
		}
		rows = append(rows, []row{{at: executionAt(t, x), kind: "execute", lines: lines}})
	}
	for _, one := range t.Parked {
		rows = append(rows, []row{{at: one.Since, kind: "parked", style: printer.Yellow, lines: []printer.Line{printer.Say("%s", afterFailures(one))}}})
	}
	for _, w := range t.Withdrawals {
		rows = append(rows, []row{{at: w.RecordedAt, kind: "withdraw", lines: []printer.Line{p.found(w)}}})
	}
	for _, l := range t.Lost {
		text := printer.Say("a workflow task was lost (%s): what was done in it is in no history", words.Clean(l.Cause))
		if l.Worker != "" {
			text = text.Whisper(" by %s", words.Clean(l.Worker))
		}
		rows = append(rows, []row{{mark: "·", at: l.EndedAt, kind: "event", style: printer.Faint, lines: []printer.Line{text}}})
	}
	for _, n := range t.Notes {
		rows = append(rows, []row{{mark: "·", at: n.At, kind: "event", style: printer.Faint, lines: []printer.Line{printer.Say("%s", strings.TrimSpace(words.Clean(n.By)+" "+words.Clean(n.Text)))}}})
	}
	if t.Outcome != nil {
		end := printer.In(orderStyle(t.Outcome.State), "%s", t.Outcome.State).Say(" %s", t.Outcome.State.Message())
		lines := []printer.Line{end}
		if t.Outcome.Reason != "" {
			lines = append(lines, printer.Say("%s", words.Clean(t.Outcome.Reason)))
		}
		rows = append(rows, []row{{mark: "●", at: t.EndedAt, kind: "end", style: orderStyle(t.Outcome.State), lines: lines}})
	}
	return rows
}

// waiting says what an order waits for.
func (p *writer) waiting(t OrderTrace) printer.Line {
	if t.Wait.Reason == ltp.ReasonAwaitsProof {
		return printer.Say("is to end, and waits for proof that it was not written, for which %s must be fit", words.Clean(t.Wait.Component))
	}
	last := t.Frames[len(t.Frames)-1]
	return printer.Say("waits for %s, asked last at %s", words.Clean(last.Response.Component), p.when(t.Frames[len(t.Frames)-2].At))
}

// placed is where an order stands in the backlog, where that is known. A place counts orders of
// its tenant alone.
func (p *writer) placed(orderID string) []printer.Line {
	place := p.place
	if place == nil {
		return nil
	}
	text := printer.Say("about %s before it", words.Plural(place.Ahead, "order"))
	if tenant, _ := ltp.SplitID(orderID); tenant != "" {
		text = printer.Say("about %s of %s before it", words.Plural(place.Ahead, "order"), words.Clean(tenant))
	}
	switch {
	case !place.ExpectedAt.IsZero():
		text = text.Say(", expected in its turn at %s", p.when(place.ExpectedAt))
	case !place.NotBefore.IsZero():
		text = text.Say(", held until %s at least", p.when(place.NotBefore))
	}
	return []printer.Line{text}
}

// executionAt is where an execution stands: not before the routing that it followed.
func executionAt(t OrderTrace, x Execution) time.Time {
	for _, f := range t.Frames {
		if f.ID == x.RequestFrameID && f.At.After(x.TaskAt) {
			return f.At
		}
	}
	return x.TaskAt
}
