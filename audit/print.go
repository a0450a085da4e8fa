package audit

import (
	"fmt"
	"io"

	"github.com/ltp-node/ltp/internal/printer"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
)

// Mark is how a verdict is shown to people.
func (v Verdict) Mark() string {
	if v == NotChecked {
		return "NOT CHECKED"
	}
	return string(v)
}

// Write shows an audit to people. Times are UTC.
func Write(w io.Writer, a Audit, o trace.Options) error {
	p := printer.New(o.Color, o.Width)
	head(p, a)
	for _, c := range a.Claims {
		p.Claim(printer.Verdict(c.Verdict.Mark()), words.Clean(c.Says), c.lines()...)
		p.Space()
	}
	p.Paragraph(0, printer.In(printer.Bold, "Orientation"))
	for _, m := range a.Moments {
		p.Hanging(printer.Say("  %s  %s", words.Clock(m.At), m.State), 28, printer.Say("%s", m.words()))
	}
	p.Space()
	foot(p, a)
	_, err := p.WriteTo(w)
	return err
}

func head(p *printer.Printer, a Audit) {
	what := "incident"
	switch {
	case a.StartUp:
		what = "start-up"
	case a.Restart:
		what = "restart, incident"
	}
	lasted := printer.Say("since %s UTC, and going on", words.Time(a.BeganAt))
	if !a.EndedAt.IsZero() {
		lasted = printer.Say("%s – %s UTC, %s", words.Time(a.BeganAt), words.Moment(a.EndedAt, a.BeganAt), words.Lasted(a.EndedAt.Sub(a.BeganAt)))
	}
	window := "on"
	if !a.Window.To.IsZero() {
		window = "to " + words.Moment(a.Window.To, a.Window.From)
	}
	p.Paragraph(0, printer.In(printer.Bold, "Audit of %s %d of %s", what, a.Incident, words.Clean(a.Component)), lasted,
		printer.Whisper("of every order that was pending at some time from %s UTC %s", words.Time(a.Window.From), window))
	p.Space()
}

// lines are what the verdict rests on.
func (c Claim) lines() (lines []printer.Line) {
	if c.Why != "" {
		lines = append(lines, printer.Say("not checked: %s", words.Clean(c.Why)))
	}
	for _, e := range c.Evidence {
		lines = append(lines, printer.Say("%s", words.Clean(e)))
	}
	for _, b := range c.Breaches {
		lines = append(lines, printer.In(printer.Red, "%s: %s", words.Clean(b.What), words.Clean(b.Why)))
	}
	if more := c.Broken - len(c.Breaches); more > 0 {
		lines = append(lines, printer.In(printer.Red, "… and %s more", words.Count(more)))
	}
	return lines
}

// words says why an orientation was held, with its evidence in brackets.
func (m Moment) words() string {
	seen := ""
	if m.Observer != "" {
		seen = "seen by " + m.Observer
	}
	said := fmt.Sprintf("epoch %d: %s", m.Epoch, m.Reason)
	if why := words.Some(", ", trace.EvidenceText(m.Evidence), seen); why != "" {
		said += " (" + why + ")"
	}
	return words.Clean(said)
}

func foot(p *printer.Printer, a Audit) {
	for _, g := range a.Gaps {
		p.Paragraph(0, printer.In(printer.Yellow, "missing: %s: %s", words.Clean(g.What), words.Clean(g.Why)))
	}
	p.Paragraph(0, printer.In(printer.Verdict(a.Verdict.Mark()).Style(), "%s.", a.Tally()))
}

// Tally is how many claims became what, for people: "7 of 8 claims held, 1 not checked".
func (a Audit) Tally() string {
	n := map[Verdict]int{}
	for _, c := range a.Claims {
		n[c.Verdict]++
	}
	return words.Some(", ", fmt.Sprintf("%d of %d claims held", n[Held], len(a.Claims)), words.Part(n[Broken], "broken"), words.Part(n[NotChecked], "not checked"))
}
