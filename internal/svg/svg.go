// Package svg draws charts: shapes whose texts are escaped, and round numbers for their axes.
package svg

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"
)

// Canvas collects the shapes of a picture. Lengths are in units of its viewBox.
type Canvas struct{ strings.Builder }

// Put adds what has no shape of its own here. Its texts must be escaped already.
func (c *Canvas) Put(format string, args ...any) { fmt.Fprintf(c, format+"\n", args...) }

// Line draws a line.
func (c *Canvas) Line(class string, x1, y1, x2, y2 float64) {
	c.Put(`<line class="%s" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, class, x1, x2, y1, y2)
}

// Rect draws a rectangle; title, where there is one, is read out and shown under a pointer.
func (c *Canvas) Rect(class string, x, y, w, h float64, title string) {
	if title == "" {
		c.Put(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, class, x, y, w, h)
		return
	}
	c.Put(`<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"><title>%s</title></rect>`, class, x, y, w, h, html.EscapeString(title))
}

// Text writes a text at a point; anchor is start, middle or end.
func (c *Canvas) Text(class, anchor string, x, y float64, text string) {
	c.Put(`<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>`, class, x, y, anchor, html.EscapeString(text))
}

// Path draws a path.
func (c *Canvas) Path(class, d string) { c.Put(`<path class="%s" d="%s"/>`, class, d) }

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

// Round is a round number that is at least v, and into how many round steps it is divided.
func Round(v float64) (most float64, steps int) {
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
