package trace

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

// Options say how to show a trace to people.
type Options struct {
	// Color uses ANSI colours.
	Color bool
	// Width is how many columns the terminal has, 80 when 0. At least 60 and at most
	// 100 are used.
	Width int
	// All shows every entry, also those that only repeat. It takes the Timeline of
	// NewTimeline.
	All bool
	// Place is where a deferred order stands in the backlog, which no history has: for
	// WriteOrder. Nil says nothing of it.
	Place *ltp.Place
}

// WriteJSON writes v, such as a Timeline or an OrderTrace, as one indented JSON
// document.
func WriteJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// WriteJSONLines writes frames or incidents as JSON, each on a line of its own.
func WriteJSONLines[F ltp.Frame | Numbered | IncidentSummary](w io.Writer, frames []F) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	for _, f := range frames {
		if err := enc.Encode(f); err != nil {
			return err
		}
	}
	return nil
}

// A style is an ANSI code, or empty.
type style string

const (
	plain   style = ""
	bold    style = "1"
	faint   style = "2"
	red     style = "1;31"
	green   style = "32"
	yellow  style = "33"
	magenta style = "35"
	cyan    style = "36"
)

// span is text of one style. What came from outside must have been cleaned.
type span struct {
	text  string
	style style
}

// line is text that is wrapped where it is too long.
type line []span

func say(format string, args ...any) line { return line{{fmt.Sprintf(format, args...), plain}} }

func whisper(format string, args ...any) line { return line{{fmt.Sprintf(format, args...), faint}} }

func (l line) then(s style, format string, args ...any) line {
	return append(l, span{fmt.Sprintf(format, args...), s})
}

func (l line) width() (n int) {
	for _, s := range l {
		n += utf8.RuneCountInString(s.text)
	}
	return n
}

// glyph is one column.
type glyph struct {
	r     rune
	style style
}

// glue is a space at which no line is broken.
const glue = "\u00a0"

// wrapped is l broken between words into lines of at most width columns; a word that
// is longer is broken too.
func (l line) wrapped(width int) (lines [][]glyph) {
	var word, current []glyph
	flush := func() {
		if len(word) == 0 {
			return
		}
		if len(current) > 0 && len(current)+1+len(word) > width {
			lines, current = append(lines, current), nil
		}
		if n := len(current); n > 0 {
			space := glyph{' ', plain}
			if current[n-1].style == word[0].style {
				space.style = word[0].style
			}
			current = append(current, space)
		}
		for current = append(current, word...); len(current) > width; current = current[width:] {
			lines = append(lines, current[:width:width])
		}
		word = nil
	}
	for _, s := range l {
		for _, r := range s.text {
			if r == ' ' {
				flush()
				continue
			}
			if string(r) == glue {
				r = ' '
			}
			word = append(word, glyph{r, s.style})
		}
	}
	flush()
	if len(current) > 0 || len(lines) == 0 {
		lines = append(lines, current)
	}
	return lines
}

// printer lays text out in columns. It keeps the text until it is written at once.
type printer struct {
	bytes.Buffer
	color     bool
	all       bool
	width     int
	component string    // that everything is about, unless it says otherwise
	number    int       // columns of the frame numbers; 0: there are none
	day       time.Time // of what was written last
	place     *ltp.Place
}

func newPrinter(o Options) *printer {
	width := o.Width
	if width == 0 {
		width = 80
	}
	return &printer{color: o.Color, all: o.All, place: o.Place, width: min(max(width, 60), 100)}
}

// put writes l as it is, without a break.
func (p *printer) put(l line) {
	for _, s := range l {
		p.styled(s.style, s.text)
	}
}

func (p *printer) styled(s style, text string) {
	if !p.color || s == plain || text == "" {
		p.WriteString(text)
		return
	}
	p.WriteString("\x1b[" + string(s) + "m" + text + "\x1b[0m")
}

func (p *printer) glyphs(gs []glyph) {
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
}

// paragraph writes lines, each wrapped, behind an indent.
func (p *printer) paragraph(indent int, lines ...line) {
	for _, l := range lines {
		for _, gs := range l.wrapped(p.width - indent) {
			p.pad(indent)
			p.glyphs(gs)
			p.WriteByte('\n')
		}
	}
}

// title writes a heading with a status at the right margin.
func (p *printer) title(left, right line) {
	p.put(left)
	if len(right) > 0 {
		p.pad(max(p.width-left.width()-right.width(), 2))
		p.put(right)
	}
	p.WriteByte('\n')
}

// rule writes a heading that parts what follows from what was.
func (p *printer) rule(left, right string) {
	p.WriteByte('\n')
	fill := p.width - utf8.RuneCountInString(left) - utf8.RuneCountInString(right) - len("--  --")
	if fill < len(" - ") {
		p.put(line{{"── ", faint}, {left, bold}})
		p.WriteByte('\n')
		p.paragraph(3, say("%s", right))
		return
	}
	p.put(line{{"── ", faint}, {left, bold}, {" " + strings.Repeat("─", fill-len("  ")) + " ", faint}, {right, plain}, {" ──", faint}})
	p.WriteByte('\n')
}

// kinds is the width of the column that says what a row is.
const kinds = len("route_response")

// row is one row of a trace: when, which number, what kind, and lines of text.
type row struct {
	mark  string // one column before everything else
	at    time.Time
	no    int
	kind  string
	style style // of mark and kind
	lines []line
}

func (p *printer) row(r row) {
	if !r.at.IsZero() {
		p.turnDay(r.at)
	}
	indent := 2 + len(clock) + 2 + kinds + 2
	if p.number > 0 {
		indent += p.number + 1
	}
	first := true
	for _, l := range r.lines {
		for _, gs := range l.wrapped(p.width - indent) {
			if first {
				p.head(r)
			} else {
				p.pad(indent)
			}
			first = false
			p.glyphs(gs)
			p.WriteByte('\n')
		}
	}
}

func (p *printer) head(r row) {
	if r.mark == "" {
		r.mark = " "
	}
	p.styled(r.style, r.mark)
	p.pad(1)
	if r.at.IsZero() {
		p.pad(len(clock))
	} else {
		p.WriteString(r.at.UTC().Format(clock))
	}
	if p.number > 0 {
		no := ""
		if r.no > 0 {
			no = fmt.Sprintf("#%d", r.no)
		}
		p.pad(1 + p.number - len(no))
		p.WriteString(no)
	}
	p.pad(2)
	p.styled(r.style, r.kind)
	p.pad(kinds - utf8.RuneCountInString(r.kind) + 2)
}

// turnDay says which day it is, where it is another one than before.
func (p *printer) turnDay(t time.Time) {
	day := t.UTC().Truncate(24 * time.Hour)
	if !p.day.IsZero() && !day.Equal(p.day) {
		p.paragraph(2, whisper("%s UTC", day.Format(time.DateOnly)))
	}
	p.day = day
}

// when is t as people read it beside what was written last: the day is said where it
// is another one.
func (p *printer) when(t time.Time) string {
	t = t.UTC()
	if !p.day.IsZero() && t.Truncate(24*time.Hour).Equal(p.day) {
		return t.Format(clock)
	}
	return t.Format(time.DateOnly + " " + clock)
}

func (p *printer) pad(n int) {
	for ; n > 0; n-- {
		p.WriteByte(' ')
	}
}

// writeTo writes everything at once.
func (p *printer) writeTo(w io.Writer) error {
	_, err := w.Write(p.Bytes())
	return err
}

// held adds what was held true of a component.
func (p *printer) held(l line, component string, s ltp.State, epoch int64) line {
	if component != p.component {
		l = l.then(plain, "%s ", words.Clean(component))
	}
	return l.then(stateStyle(s), "%s", s).then(plain, ", epoch%s%d", glue, epoch)
}

func stateStyle(s ltp.State) style {
	switch s {
	case ltp.Stable:
		return green
	case ltp.Degraded:
		return yellow
	case ltp.Unstable:
		return red
	case ltp.Recovering:
		return cyan
	}
	return magenta
}

func orderStyle(s ltp.OrderState) style {
	switch s {
	case ltp.Executed:
		return green
	case ltp.Accepted, ltp.Deferred, ltp.Parked:
		return yellow
	}
	return red
}
