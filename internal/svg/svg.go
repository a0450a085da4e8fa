// Package svg draws charts: documents of shapes, plots of values over time, and round numbers
// for their axes.
package svg

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"
)

// Picture is a document. Lengths are in units of its viewBox.
type Picture struct {
	Width, Height float64
	// ID is unique on the page that the picture is part of.
	ID string
	// Title and Desc are read out.
	Title, Desc string
	// Style is the style sheet of a picture that is a file of its own. Without, the picture is
	// part of a page that has one.
	Style string

	shapes strings.Builder
}

// String is the document. Where it is wider than its place, it shrinks.
func (p *Picture) String() string {
	file, style := "", ""
	if p.Style != "" {
		file = fmt.Sprintf(` xmlns="http://www.w3.org/2000/svg" width="%.0f" height="%.0f"`, p.Width, p.Height)
		style = "<style>\nsvg { max-width: 100%; height: auto; }\n" + strings.TrimSpace(p.Style) + "\n</style>\n"
	}
	return fmt.Sprintf(`<svg viewBox="0 0 %.0f %.0f"%s role="img" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>
%s%s</svg>`, p.Width, p.Height, file, p.ID, p.ID, p.ID, html.EscapeString(p.Title), p.ID, html.EscapeString(p.Desc), style, p.shapes.String())
}

// Put adds what has no shape of its own here. Its texts must be escaped already.
func (p *Picture) Put(format string, args ...any) { fmt.Fprintf(&p.shapes, format+"\n", args...) }

// Line draws a line.
func (p *Picture) Line(class string, x1, y1, x2, y2 float64) {
	p.Put(`<line class="%s" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, class, x1, x2, y1, y2)
}

// Rect draws a rectangle; title, where there is one, is read out and shown under a pointer.
func (p *Picture) Rect(class string, x, y, w, h float64, title string) {
	if title == "" {
		p.Put(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, class, x, y, w, h)
		return
	}
	p.Put(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`, class, x, y, w, h, html.EscapeString(title))
}

// Text writes a text at a point; anchor is start, middle or end.
func (p *Picture) Text(class, anchor string, x, y float64, text string) {
	p.Put(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, x, y, anchor, html.EscapeString(text))
}

// Path draws a path.
func (p *Picture) Path(class, d string) { p.Put(`<path class="%s" d="%s"/>`, class, d) }

// Scale is where values from 0 to Most stand on an axis that goes from From to To. What lies
// outside stands at its ends.
type Scale struct {
	From, To, Most float64
	// Log is for powers of ten from 1.
	Log bool
}

// At is where a value stands.
func (s Scale) At(v float64) float64 {
	part := 0.0
	switch {
	case s.Most <= 0:
	case s.Log:
		part = math.Log10(max(v, 1)) / math.Log10(s.Most)
	default:
		part = v / s.Most
	}
	return s.From + (s.To-s.From)*min(max(part, 0), 1)
}

// round is a round number that is at least v, and into how many round steps it is divided.
func round(v float64) (most float64, steps int) {
	if v <= 4 {
		return 4, 4
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []struct {
		times float64
		steps int
	}{{1, 5}, {2, 4}, {2.5, 5}, {4, 4}, {5, 5}, {8, 4}, {10, 5}} {
		if v <= n.times*unit && (unit > 1 || n.times*unit == math.Trunc(n.times*unit)) {
			return n.times * unit, n.steps
		}
	}
	return 10 * unit, 5
}

var steps = []time.Duration{
	10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 200 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

// Step is the shortest round time of which at most `most` cover d.
func Step(d time.Duration, most int) time.Duration {
	for _, s := range steps {
		if d <= time.Duration(most)*s {
			return s
		}
	}
	days := time.Duration(1)
	for d > time.Duration(most)*days*24*time.Hour {
		days++
	}
	return days * 24 * time.Hour
}
