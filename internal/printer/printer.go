// Package printer lays texts out for people who read them on a terminal: lines in colours,
// wrapped at its width, headings, and verdicts with what they rest on. Tables are those of
// package table.
package printer

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// Printer keeps what is printed until it is written at once.
type Printer struct {
	out   bytes.Buffer
	color bool
	width int
}

// New is a printer for lines of so many columns, 80 when 0. At least 60 and at most 100 are
// used. Without color there is no ANSI code in them.
func New(color bool, width int) *Printer {
	if width == 0 {
		width = 80
	}
	return &Printer{color: color, width: min(max(width, 60), 100)}
}

// WriteTo writes everything at once.
func (p *Printer) WriteTo(w io.Writer) (int64, error) { return p.out.WriteTo(w) }

// Space prints an empty line.
func (p *Printer) Space() { p.out.WriteByte('\n') }

// Paragraph prints lines, each wrapped, behind an indent.
func (p *Printer) Paragraph(indent int, lines ...Line) {
	for _, l := range lines {
		for _, gs := range l.wrapped(p.width - indent) {
			p.pad(indent)
			p.glyphs(gs)
		}
	}
}

// Hanging prints lines, each wrapped, beside a head: they begin in the column indent, to the
// right of the head.
func (p *Printer) Hanging(head Line, indent int, lines ...Line) {
	first := true
	for _, l := range lines {
		for _, gs := range l.wrapped(p.width - indent) {
			if first {
				p.put(head)
				p.pad(indent - head.width())
			} else {
				p.pad(indent)
			}
			first = false
			p.glyphs(gs)
		}
	}
}

// Title prints a heading, with a status at the right margin where there is one.
func (p *Printer) Title(left, right Line) {
	p.put(left)
	if len(right) > 0 {
		p.pad(max(p.width-left.width()-right.width(), 2))
		p.put(right)
	}
	p.Space()
}

// Rule prints a heading that parts what follows from what was.
func (p *Printer) Rule(left, right string) {
	p.Space()
	head := Whisper("── ").In(Bold, "%s", left)
	if fill := p.width - utf8.RuneCountInString(left) - utf8.RuneCountInString(right) - len("--  --"); fill >= len(" - ") {
		head = head.Whisper(" %s ", strings.Repeat("─", fill-len("  "))).Say("%s", right).Whisper(" ──")
		right = ""
	}
	p.put(head)
	p.Space()
	if right != "" {
		p.Paragraph(3, Say("%s", right))
	}
}

// Verdict is what became of a claim.
type Verdict string

// The verdicts.
const (
	Held       Verdict = "HELD"
	Broken     Verdict = "BROKEN"
	NotChecked Verdict = "NOT CHECKED"
)

// Style is how a verdict is shown.
func (v Verdict) Style() Style {
	switch v {
	case Held:
		return Green
	case Broken:
		return Red
	}
	return Yellow
}

// Claim prints a verdict, the claim beside it, and what it rests on below.
func (p *Printer) Claim(v Verdict, claim string, lines ...Line) {
	p.Hanging(In(v.Style(), "%s", v), len(NotChecked)+2, append([]Line{In(Bold, "%s", claim)}, lines...)...)
}

// put prints l as it is, without a break.
func (p *Printer) put(l Line) {
	for _, s := range l {
		p.styled(s.style, s.text)
	}
}

func (p *Printer) styled(s Style, text string) {
	if !p.color || s == Plain || text == "" {
		p.out.WriteString(text)
		return
	}
	p.out.WriteString("\x1b[" + string(s) + "m" + text + "\x1b[0m")
}

// glyphs prints a line that was wrapped.
func (p *Printer) glyphs(gs []glyph) {
	for len(gs) > 0 {
		n := 1
		for n < len(gs) && gs[n].style == gs[0].style {
			n++
		}
		var text strings.Builder
		for _, g := range gs[:n] {
			text.WriteRune(g.r)
		}
		p.styled(gs[0].style, text.String())
		gs = gs[n:]
	}
	p.Space()
}

func (p *Printer) pad(n int) { p.out.WriteString(strings.Repeat(" ", max(n, 0))) }
