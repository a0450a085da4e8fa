package trace

import (
	"encoding/json"
	"fmt"
	"io"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/printer"
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

// writer prints what a trace is made of.
type writer struct {
	*printer.Printer
	all       bool
	component string    // that everything is about, unless it says otherwise
	number    int       // columns of the frame numbers; 0: there are none
	day       time.Time // a moment of the day that was written last
	place     *ltp.Place
}

func newWriter(o Options) *writer {
	return &writer{Printer: printer.New(o.Color, o.Width), all: o.All, place: o.Place}
}

// kinds is the width of the column that says what a row is.
const kinds = len("route_response")

// row is one row of a trace: when, which number, what kind, and lines of text.
type row struct {
	mark  string // one column before everything else
	at    time.Time
	no    int
	kind  string
	style printer.Style // of mark and kind
	lines []printer.Line
}

func (p *writer) row(r row) {
	at := ""
	if !r.at.IsZero() {
		p.turnDay(r.at)
		at = words.Clock(r.at)
	}
	head := printer.In(r.style, "%1s", r.mark).Say(" %-*s", len(words.Clock(r.at)), at)
	indent := 2 + len(words.Clock(r.at)) + 2 + kinds + 2
	if p.number > 0 {
		no := ""
		if r.no > 0 {
			no = fmt.Sprintf("#%d", r.no)
		}
		head = head.Say(" %*s", p.number, no)
		indent += 1 + p.number
	}
	p.Hanging(head.Say("  ").In(r.style, "%s", r.kind), indent, r.lines...)
}

// turnDay says which day it is, where it is another one than before.
func (p *writer) turnDay(t time.Time) {
	day := t.UTC().Format(time.DateOnly)
	if !p.day.IsZero() && day != p.day.UTC().Format(time.DateOnly) {
		p.Paragraph(2, printer.Whisper("%s UTC", day))
	}
	p.day = t
}

// when is t as people read it beside what was written last.
func (p *writer) when(t time.Time) string { return words.Moment(t, p.day) }

// writeTo writes everything at once.
func (p *writer) writeTo(w io.Writer) error {
	_, err := p.WriteTo(w)
	return err
}

// held adds what was held true of a component.
func (p *writer) held(l printer.Line, component string, s ltp.State, epoch int64) printer.Line {
	if component != p.component {
		l = l.Say("%s ", words.Clean(component))
	}
	return l.In(stateStyle(s), "%s", s).Say(", epoch%s%d", printer.Glue, epoch)
}

func stateStyle(s ltp.State) printer.Style {
	switch s {
	case ltp.Stable:
		return printer.Green
	case ltp.Degraded:
		return printer.Yellow
	case ltp.Unstable:
		return printer.Red
	case ltp.Recovering:
		return printer.Cyan
	}
	return printer.Magenta
}

func orderStyle(s ltp.OrderState) printer.Style {
	switch s {
	case ltp.Executed:
		return printer.Green
	case ltp.Accepted, ltp.Deferred, ltp.Parked:
		return printer.Yellow
	}
	return printer.Red
}
