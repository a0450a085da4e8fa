package svg

import (
	"fmt"
	"math"
	"time"

	"github.com/ltp-node/ltp/internal/words"
)

// The margins at the sides of a plot: the left one holds the labels of its values.
const left, right = 58.0, 14.0

// Below is the height of the labels of times under a plot.
const Below = 22.0

// Plot is an area of values over time, from 0 at its left to Span at its right.
type Plot struct {
	*Picture
	Top, Bottom float64
	// Head is how far bands reach above Top.
	Head   float64
	Span   time.Duration
	Values Values
}

// Values is an axis of values from 0, or of powers of ten from 1.
type Values struct {
	most  float64
	steps int
	log   bool
}

// UpTo is an axis of round values that holds most.
func UpTo(most float64) Values {
	most, steps := round(most)
	return Values{most: most, steps: steps}
}

// Powers is an axis of powers of ten that holds most.
func Powers(most float64) Values {
	v := Values{most: 10, steps: 1, log: true}
	for v.most < most {
		v.most, v.steps = 10*v.most, v.steps+1
	}
	return v
}

// at is the value of a step.
func (v Values) at(step int) float64 {
	if v.log {
		return math.Pow10(step)
	}
	return v.most * float64(step) / float64(v.steps)
}

// X is where a time stands.
func (p Plot) X(at time.Duration) float64 {
	return Scale{From: left, To: p.Width - right, Most: p.Span.Seconds()}.At(at.Seconds())
}

// Y is where a value stands.
func (p Plot) Y(v float64) float64 {
	return Scale{From: p.Bottom, To: p.Top, Most: p.Values.most, Log: p.Values.log}.At(v)
}

// least is the room in units of height that a label of a value takes.
const least = 14

// Axis draws the axis of values over what lies behind it, with its title above. Steps for whose
// labels there is no room have a line alone.
func (p Plot) Axis(title string) {
	p.Text("axis", "start", 2, p.Top-p.Head-12, title)
	every := 1
	for every < p.Values.steps && ((p.Bottom-p.Top)*float64(every) < least*float64(p.Values.steps) || p.Values.steps%every != 0) {
		every++
	}
	for i := range p.Values.steps + 1 {
		v := p.Values.at(i)
		y := p.Y(v)
		p.across("grid", y)
		if i%every == 0 {
			p.Text("tick", "end", left-6, y+4, amount(v))
		}
	}
}

func amount(v float64) string {
	if v == math.Trunc(v) {
		return words.Count(int(v))
	}
	return fmt.Sprintf("%.1f", v)
}

// across draws a line from one side to the other.
func (p Plot) across(class string, y float64) { p.Line(class, left, y, p.Width-right, y) }

// Base draws the line at the bottom.
func (p Plot) Base() { p.across("base", p.Bottom) }

// nearEnd is how near to a side the label of a time would cross it.
const nearEnd = 24

// Times draws the axis of time: the line at the bottom, and a label at every step from first.
func (p Plot) Times(first, step time.Duration, label func(time.Duration) string) {
	p.Base()
	for at := first; at <= p.Span; at += step {
		x := p.X(at)
		anchor := "middle"
		if x < left+nearEnd {
			anchor = "start"
		} else if x > p.Width-right-nearEnd {
			anchor = "end"
		}
		p.Line("base", x, p.Bottom, x, p.Bottom+4)
		p.Text("tick", anchor, x, p.Bottom+17, label(at))
	}
}

// Band draws a stretch of time behind the plot.
func (p Plot) Band(class string, from, to time.Duration, title string) {
	top := p.Top - p.Head
	p.Rect(class, p.X(from), top, max(p.X(to)-p.X(from), 1), p.Bottom-top, title)
}

// Bar draws a bar of height v over a stretch of time, on top of one of height base. One of no
// height is left out.
func (p Plot) Bar(class string, from, to time.Duration, base, v float64, title string) {
	if v <= 0 {
		return
	}
	x, end := p.X(from), p.X(to)
	gap := min(1, (end-x)/5)
	p.Rect(class, x, p.Y(base+v), max(end-x-gap, 0.6), p.Y(base)-p.Y(base+v), title)
}

// Level is the two points of a path that keeps the value v over a stretch of time.
func (p Plot) Level(from, to time.Duration, v float64) string {
	return fmt.Sprintf("%.1f %.1f %.1f %.1f", p.X(from), p.Y(v), p.X(to), p.Y(v))
}
