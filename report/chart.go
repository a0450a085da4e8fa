package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"strings"
	"time"

	"github.com/ltp-node/ltp/internal/svg"
	"github.com/ltp-node/ltp/internal/words"
)

// chart is a picture, and the same as a table.
type chart struct {
	ID, Title string
	// Desc says in words what the picture shows.
	Desc   string
	SVG    template.HTML
	Legend []legend
	Table  table
}

// legend is what a colour means; Class is its CSS class.
type legend struct{ Class, Text string }

// The size of a picture, in its own units.
const (
	width  = 760
	left   = 58.0
	right  = 14.0
	labels = 22.0 // below the plot, for times
)

// canvas is an SVG with an axis of time.
type canvas struct {
	svg.Canvas
	height   float64
	from, to time.Time
}

func (c *canvas) x(t time.Time) float64 {
	return svg.Scale{From: left, To: width - right, Most: c.to.Sub(c.from).Seconds()}.At(t.Sub(c.from).Seconds())
}

// plot is an area with an axis of its own: from bottom up to top.
type plot struct {
	*canvas
	top, bottom float64
	values      svg.Scale
	steps       int // of the axis
}

func (p plot) y(v float64) float64 { return p.values.At(v) }

// area is a plot for values up to most, without anything in it.
func (c *canvas) area(top, bottom, most float64) plot {
	p := plot{canvas: c, top: top, bottom: bottom, values: svg.Scale{From: bottom, To: top}}
	p.values.Most, p.steps = svg.Round(most)
	return p
}

// logArea has an axis in powers of ten, from 1 ms.
func (c *canvas) logArea(top, bottom, most float64) plot {
	p := plot{canvas: c, top: top, bottom: bottom, values: svg.Scale{From: bottom, To: top, Most: 10, Log: true}}
	for p.values.Most < most {
		p.values.Most *= 10
	}
	return p
}

// axis draws the axis of values over what lies behind it.
func (p plot) axis(title string, y float64) {
	p.Text("axis", "start", 2, y, title)
	if p.values.Log {
		for v := 1.0; v <= p.values.Most; v *= 10 {
			p.rule(v, words.Count(int(v)))
		}
		return
	}
	for i := range p.steps + 1 {
		v := p.values.Most * float64(i) / float64(p.steps)
		p.rule(v, amountOf(v))
	}
}

func (p plot) rule(v float64, label string) {
	y := p.y(v)
	p.across("grid", y)
	p.Text("tick", "end", left-6, y+4, label)
}

// across draws a line from one side to the other.
func (c *canvas) across(class string, y float64) { c.Line(class, left, y, width-right, y) }

func amountOf(v float64) string {
	if v == math.Trunc(v) {
		return words.Count(int(v))
	}
	return fmt.Sprintf("%.1f", v)
}

// states draws the bands behind a plot, from y to its bottom.
func (p plot) states(bands []Band, y float64) {
	for _, b := range bands {
		x, w := p.x(b.From), p.x(b.To)-p.x(b.From)
		p.Rect("band "+strings.ToLower(b.State), x, y, max(w, 1), p.bottom-y,
			fmt.Sprintf("%s from %s to %s", b.State, b.From.UTC().Format(clock), b.To.UTC().Format(clock)))
	}
}

// names says the states above the plot, where there is room.
func (p plot) names(bands []Band, y float64) {
	for _, b := range bands {
		if x, w := p.x(b.From), p.x(b.To)-p.x(b.From); w > float64(len(b.State))*7.6 {
			p.Text("state", "middle", x+w/2, y, b.State)
		}
	}
}

// times draws the axis of time below y.
func (c *canvas) times(y float64) {
	step := svg.Step(c.to.Sub(c.from), 7)
	format := "15:04:05"
	switch {
	case step >= 24*time.Hour:
		format = "01-02"
	case step >= time.Minute:
		format = "15:04"
	}
	c.across("base", y)
	for t := c.from.Truncate(step); !t.After(c.to); t = t.Add(step) {
		if t.Before(c.from) {
			continue
		}
		x := c.x(t)
		anchor := "middle"
		if x < left+24 {
			anchor = "start"
		} else if x > width-right-24 {
			anchor = "end"
		}
		c.Line("base", x, y, x, y+4)
		c.Text("tick", anchor, x, y+17, t.UTC().Format(format))
	}
}

func (c *canvas) picture(id, title, desc string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %.0f" role="img" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>
%s</svg>`, width, c.height, id, id, id, html.EscapeString(title), id, html.EscapeString(desc), c.String())) //nolint:gosec // every text in it is escaped
}

// bar draws a bar for a step of the series, on top of one that ends at base.
func (p plot) bar(s Series, b Bucket, class string, base, v float64) {
	if v <= 0 {
		return
	}
	x, end := p.x(b.At), p.x(b.At.Add(s.Step))
	gap := min(1, (end-x)/5)
	p.Rect(class, x, p.y(base+v), max(end-x-gap, 0.6), p.y(base)-p.y(base+v), "")
}

func (r Report) canvas(height float64) *canvas {
	return &canvas{height: height, from: r.Series.From, to: r.Series.To}
}

func (s Series) most(of func(Bucket) float64) (most float64) {
	for _, b := range s.Buckets {
		most = max(most, of(b))
	}
	return most
}

// rate is n in a step, as a number in a second.
func (s Series) rate(n int) float64 { return float64(n) / s.Step.Seconds() }

func (r Report) bandLegend() (all []legend) {
	seen := map[string]bool{}
	for _, b := range r.bands() {
		if !seen[b.State] {
			seen[b.State] = true
			all = append(all, legend{"band " + strings.ToLower(b.State), b.State})
		}
	}
	return all
}

func (r Report) arrivals() chart {
	s := r.Series
	c := r.canvas(250)
	most := s.most(func(b Bucket) float64 { return s.rate(b.Arrived) })
	p := c.area(46, c.height-labels, most)
	p.states(r.bands(), 20)
	p.names(r.bands(), 36)
	p.axis("orders accepted per second", 12)
	total, deferred := 0, 0
	for _, b := range s.Buckets {
		total, deferred = total+b.Arrived, deferred+b.Deferred
		p.bar(s, b, "one", 0, s.rate(b.Arrived-b.Deferred))
		p.bar(s, b, "two", s.rate(b.Arrived-b.Deferred), s.rate(b.Deferred))
	}
	c.times(c.height - labels)
	desc := fmt.Sprintf("%s accepted over %s, at most %.1f a second. %s of them were deferred when they came.",
		words.Plural(total, "order"), words.Lasted(s.To.Sub(s.From)), most, words.Count(deferred))
	return chart{
		ID: "arrivals", Title: "Orders kept coming, under every state", Desc: desc, SVG: c.picture("arrivals", "Orders accepted per second, and the state", desc),
		Legend: append([]legend{{"one", "admitted when they came"}, {"two", "deferred when they came"}}, r.bandLegend()...),
		Table:  s.table([]string{"accepted", "deferred"}, func(b Bucket) []string { return []string{words.Count(b.Arrived), words.Count(b.Deferred)} }),
	}
}

func (r Report) backlog() chart {
	s := r.Series
	c := r.canvas(190)
	most := s.most(func(b Bucket) float64 { return float64(b.Backlog) })
	p := c.area(24, c.height-labels, most)
	p.states(r.bands(), p.top)
	p.axis("orders waiting", 12)
	area := &strings.Builder{}
	fmt.Fprintf(area, "M%.1f %.1f", left, p.bottom)
	for _, b := range s.Buckets {
		fmt.Fprintf(area, "L%.1f %.1fL%.1f %.1f", p.x(b.At), p.y(float64(b.Backlog)), p.x(b.At.Add(s.Step)), p.y(float64(b.Backlog)))
	}
	fmt.Fprintf(area, "L%.1f %.1fZ", float64(width)-right, p.bottom)
	c.Path("area", area.String())
	c.times(c.height - labels)
	desc := fmt.Sprintf("At most %s waited at a time.", words.Plural(int(most), "order"))
	if r.Waits.Pending > 0 {
		desc += fmt.Sprintf(" %s still waiting.", are(r.Waits.Pending))
	}
	return chart{
		ID: "backlog", Title: "The deferred backlog, and how it drained", Desc: desc, SVG: c.picture("backlog", "Deferred orders waiting", desc),
		Legend: append([]legend{{"area", "deferred orders"}}, r.bandLegend()...),
		Table:  s.table([]string{"waiting, at most"}, func(b Bucket) []string { return []string{words.Count(b.Backlog)} }),
	}
}

func (r Report) executions() chart {
	s := r.Series
	c := r.canvas(330)
	most := s.most(func(b Bucket) float64 { return s.rate(b.Executed) })
	p := c.area(24, 150, most)
	p.states(r.bands(), p.top)
	p.axis("orders executed per second", 12)
	for _, b := range s.Buckets {
		p.bar(s, b, "one", 0, s.rate(b.Executed))
	}
	c.across("base", p.bottom)
	slowest := s.most(func(b Bucket) float64 { return float64(b.Slowest) })
	q := c.logArea(190, c.height-labels, slowest)
	q.states(r.bands(), q.top)
	q.axis("write latency, ms (each line is ten times the one below)", 178)
	total := 0
	for _, b := range s.Buckets {
		total += b.Executed
		if b.Executed == 0 {
			continue
		}
		x, half := (q.x(b.At)+q.x(b.At.Add(s.Step)))/2, min(q.x(b.At.Add(s.Step))-q.x(b.At), 6)/2
		c.Line("range", x, q.y(float64(b.Median)), x, q.y(float64(b.Slowest)))
		c.Rect("two", x-half, q.y(float64(b.Median))-1.5, 2*half, 3, "")
	}
	c.times(c.height - labels)
	desc := fmt.Sprintf("%s executed, at most %.1f a second. The slowest write that was acknowledged took %s ms.", words.Plural(total, "order"), most, words.Count(int(slowest)))
	return chart{
		ID: "executions", Title: "Executions, and how long their writes took", Desc: desc, SVG: c.picture("executions", "Orders executed per second, and write latency", desc),
		Legend: append([]legend{{"one", "executed"}, {"two", "median write"}, {"range", "up to the slowest"}}, r.bandLegend()...),
		Table: s.table([]string{"executed", "median ms", "slowest ms"}, func(b Bucket) []string {
			if b.Executed == 0 {
				return []string{"0", "", ""}
			}
			return []string{words.Count(b.Executed), fmt.Sprint(b.Median), fmt.Sprint(b.Slowest)}
		}),
	}
}

func (r Report) waitsChart() chart {
	w := r.Waits
	c := &canvas{height: 190}
	most := 0
	for _, n := range w.Bins {
		most = max(most, n)
	}
	p := c.area(24, c.height-labels, float64(most))
	p.axis("orders", 12)
	t := table{Head: []string{"waited", "orders"}, Right: 1}
	span := (width - left - right) / float64(max(len(w.Bins), 1))
	every := (len(w.Bins) + 8) / 9
	for i, n := range w.Bins {
		x := left + span*float64(i)
		from, to := time.Duration(i)*w.BinWidth, time.Duration(i+1)*w.BinWidth
		if n > 0 {
			p.Rect("one", x+1, p.y(float64(n)), max(span-2, 0.6), p.bottom-p.y(float64(n)), fmt.Sprintf("%s: %d", between(from, to), n))
		}
		if i%every == 0 {
			p.Text("tick", "middle", x, p.bottom+17, short(from))
		}
		t.Rows = append(t.Rows, []string{between(from, to), words.Count(n)})
	}
	c.across("base", p.bottom)
	desc := fmt.Sprintf("Half of %s waited up to %s, 99 percent up to %s, the longest %s.", words.Plural(w.Orders, "order"), words.Lasted(w.P50), words.Lasted(w.P99), words.Lasted(w.Max))
	return chart{ID: "waits", Title: "How long a confirmation took", Desc: desc, SVG: c.picture("waits", "Waiting times of deferred orders", desc),
		Legend: []legend{{"one", "orders, by the time from deferral to commit"}}, Table: t}
}

func between(from, to time.Duration) string { return short(from) + " to " + short(to) }

// short is a round duration.
func short(d time.Duration) string {
	switch {
	case d < time.Second && d > 0:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%g s", d.Seconds())
	case d < time.Hour && d%time.Minute == 0:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < time.Hour:
		return fmt.Sprintf("%d:%02d min", int(d.Minutes()), int(d.Seconds())%60)
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d:%02d h", int(d.Hours()), int(d.Minutes())%60)
}

// table is a series in said, a row for each step.
func (s Series) table(head []string, cells func(Bucket) []string) table {
	t := table{Head: append([]string{"from (UTC)"}, head...), Right: len(head)}
	for _, b := range s.Buckets {
		t.Rows = append(t.Rows, append([]string{b.At.UTC().Format("15:04:05")}, cells(b)...))
	}
	return t
}
