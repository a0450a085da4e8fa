package audit

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

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
	p := printer{width: min(max(o.Width, 60), 100), color: o.Color}
	if o.Width == 0 {
		p.width = 80
	}
	p.head(a)
	for _, c := range a.Claims {
		p.claim(c)
	}
	p.states(a)
	p.foot(a)
	_, err := io.WriteString(w, p.String())
	return err
}

type printer struct {
	strings.Builder
	width int
	color bool
}

func (p *printer) paint(code, s string) string {
	if !p.color || code == "" {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (p *printer) head(a Audit) {
	what := "incident"
	switch {
	case a.StartUp:
		what = "start-up"
	case a.Restart:
		what = "restart, incident"
	}
	p.WriteString(p.paint("1", fmt.Sprintf("Audit of %s %d of %s", what, a.Incident, a.Component)) + "\n")
	if a.EndedAt.IsZero() {
		fmt.Fprintf(p, "since %s, and going on\n", stamp(a.BeganAt))
	} else {
		fmt.Fprintf(p, "%s to %s, %s\n", stamp(a.BeganAt), stamp(a.EndedAt), words.Lasted(a.EndedAt.Sub(a.BeganAt)))
	}
	p.text(0, "2", "of every order that was pending at some time from "+stamp(a.Window.From)+to(a))
	p.WriteByte('\n')
}

func to(a Audit) string {
	if a.Window.To.IsZero() {
		return " on"
	}
	return " to " + stamp(a.Window.To)
}

var marks = map[Verdict]string{Held: "32", Broken: "1;31", NotChecked: "33"}

// margin is the width of a verdict and the space after it.
const margin = 13

func (p *printer) claim(c Claim) {
	verdict := c.Verdict.Mark()
	p.WriteString(p.paint(marks[c.Verdict], verdict) + strings.Repeat(" ", margin-len(verdict)))
	p.text(margin, "1", c.Says)
	if c.Why != "" {
		p.line("", "not checked: "+c.Why)
	}
	for _, e := range c.Evidence {
		p.line("", e)
	}
	for _, b := range c.Breaches {
		p.line("31", b.What+": "+b.Why)
	}
	if more := c.Broken - len(c.Breaches); more > 0 {
		p.line("31", fmt.Sprintf("… and %s more", words.Count(more)))
	}
	p.WriteByte('\n')
}

func (p *printer) line(style, s string) {
	p.WriteString(strings.Repeat(" ", margin))
	p.text(margin, style, s)
}

// text writes said, broken at the width and indented from the second line on.
func (p *printer) text(indent int, style, s string) {
	room := p.width - indent
	var lines []string
	current := ""
	for _, word := range strings.Fields(words.Clean(s)) {
		if current != "" && utf8.RuneCountInString(current)+1+utf8.RuneCountInString(word) > room {
			lines, current = append(lines, current), ""
		}
		if current != "" {
			current += " "
		}
		current += word
	}
	for i, l := range append(lines, current) {
		if i > 0 {
			p.WriteString(strings.Repeat(" ", indent))
		}
		p.WriteString(p.paint(style, l) + "\n")
	}
}

func (p *printer) states(a Audit) {
	p.WriteString(p.paint("1", "Orientation") + "\n")
	for _, m := range a.Moments {
		fmt.Fprintf(p, "  %s  %-10s  ", m.At.UTC().Format("15:04:05.000"), m.State)
		p.text(28, "", fmt.Sprintf("epoch %d: %s%s", m.Epoch, m.Reason, m.words()))
	}
	p.WriteByte('\n')
}

// words is the evidence of an orientation, in brackets, and "" when it has none.
func (m Moment) words() string {
	var said []string
	e := m.Evidence
	if e.LatencyMs > 0 {
		s := fmt.Sprintf("%d ms", e.LatencyMs)
		if e.ThresholdMs > 0 {
			s += fmt.Sprintf(", limit %d ms", e.ThresholdMs)
		}
		said = append(said, s)
	}
	if e.Samples > 0 {
		said = append(said, fmt.Sprintf("%d in a row", e.Samples))
	}
	if e.Error != "" {
		said = append(said, e.Error)
	}
	if m.Observer != "" {
		said = append(said, "seen by "+m.Observer)
	}
	if len(said) == 0 {
		return ""
	}
	return " (" + strings.Join(said, "; ") + ")"
}

func (p *printer) foot(a Audit) {
	for _, g := range a.Gaps {
		p.text(2, "33", "missing: "+g.What+": "+g.Why)
	}
	var held, broken, open int
	for _, c := range a.Claims {
		switch c.Verdict {
		case Held:
			held++
		case Broken:
			broken++
		default:
			open++
		}
	}
	count := fmt.Sprintf("%d of %d claims held", held, len(a.Claims))
	if broken > 0 {
		count += fmt.Sprintf(", %d broken", broken)
	}
	if open > 0 {
		count += fmt.Sprintf(", %d not checked", open)
	}
	p.WriteString(p.paint(marks[a.Verdict], count+".") + "\n")
}
