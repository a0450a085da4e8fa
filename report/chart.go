package report

import (
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/ltp-node/ltp/internal/svg"
	"github.com/ltp-node/ltp/internal/words"
)

// chart is a picture, and the same as a table.
type chart struct {
	Title string
	*svg.Picture
	Legend []legend
	Table  table
}

// SVG is the picture for a page.
func (c chart) SVG() template.HTML { return template.HTML(c.String()) } //nolint:gosec // every text in it is escaped

// legend is what a colour means; Class is its CSS class.
type legend struct{ Class, Text string }

// picture is one with room for plots, as wide as the page.
func picture(id, title string, height float64) *svg.Picture {
	return &svg.Picture{ID: id, Title: title, Width: 760, Height: height}
}

// plot is a plot of the incident, from bottom up to top, with its states behind it.
func (r Report) plot(p *svg.Picture, top, head, bottom float64, values svg.Values) svg.Plot {
	plot := svg.Plot{Picture: p, Top: top, Head: head, Bottom: bottom, Span: r.Series.To.Sub(r.Series.From), Values: values}
	for _, b := range r.bands() {
		plot.Band("band "+strings.ToLower(b.State), r.after(b.From), r.after(b.To), fmt.Sprintf("%s from %s to %s", b.State, words.Clock(b.From), words.Clock(b.To)))
	}
	return plot
}

// after is a time after the beginning of the series.
func (r Report) after(t time.Time) time.Duration { return t.Sub(r.Series.From) }

// names says the states above a plot, where there is room.
func (r Report) names(p svg.Plot) {
	for _, b := range r.bands() {
		if x, w := p.X(r.after(b.From)), p.X(r.after(b.To))-p.X(r.after(b.From)); w > float64(len(b.State))*7.6 {
			p.Text("state", "middle", x+w/2, p.Top-10, b.State)
		}
	}
}

// times draws the axis of time of a plot.
func (r Report) times(p svg.Plot) {
	step := max(time.Second, svg.Step(p.Span, 7))
	format := time.TimeOnly
	switch {
	case step >= 24*time.Hour:
		format = "01-02"
	case step >= time.Minute:
		format = "15:04"
	}
	first := r.Series.From.Add(step - 1).Truncate(step)
	p.Times(r.after(first), step, func(at time.Duration) string { return r.Series.From.Add(at).UTC().Format(format) })
}

// bar draws a bar for a step of the series, on top of one of height base.
func (r Report) bar(p svg.Plot, class string, b Bucket, base, v float64) {
	p.Bar(class, r.after(b.At), r.after(b.At.Add(r.Series.Step)), base, v, "")
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
	c := picture("arrivals", "Orders accepted per second, and the state", 254)
	most := s.most(func(b Bucket) float64 { return s.rate(b.Arrived) })
	p := r.plot(c, 50, 26, c.Height-svg.Below, svg.UpTo(most))
	r.names(p)
	p.Axis("orders accepted per second")
	total, deferred := 0, 0
	for _, b := range s.Buckets {
		total, deferred = total+b.Arrived, deferred+b.Deferred
		r.bar(p, "one", b, 0, s.rate(b.Arrived-b.Deferred))
		r.bar(p, "two", b, s.rate(b.Arrived-b.Deferred), s.rate(b.Deferred))
	}
	r.times(p)
	c.Desc = fmt.Sprintf("%s accepted over %s, at most %.1f a second. %s of them were deferred when they came.",
		words.Plural(total, "order"), words.Lasted(s.To.Sub(s.From)), most, words.Count(deferred))
	return chart{
		Title: "Orders kept coming, under every state", Picture: c,
		Legend: append([]legend{{"one", "admitted when they came"}, {"two", "deferred when they came"}}, r.bandLegend()...),
		Table:  s.table([]string{"accepted", "deferred"}, func(b Bucket) []string { return []string{words.Count(b.Arrived), words.Count(b.Deferred)} }),
	}
}

func (r Report) backlog() chart {
	s := r.Series
	c := picture("backlog", "Deferred orders waiting", 190)
	most := s.most(func(b Bucket) float64 { return float64(b.Backlog) })
	p := r.plot(c, 24, 0, c.Height-svg.Below, svg.UpTo(most))
	p.Axis("orders waiting")
	area := "M" + p.Level(0, 0, 0)
	for _, b := range s.Buckets {
		area += "L" + p.Level(r.after(b.At), r.after(b.At.Add(s.Step)), float64(b.Backlog))
	}
	c.Path("area", area+"L"+p.Level(p.Span, p.Span, 0)+"Z")
	r.times(p)
	c.Desc = fmt.Sprintf("At most %s waited at a time.", words.Plural(int(most), "order"))
	if r.Waits.Pending > 0 {
		c.Desc += fmt.Sprintf(" %s still waiting.", are(r.Waits.Pending))
	}
	return chart{
		Title: "The deferred backlog, and how it drained", Picture: c,
		Legend: append([]legend{{"area", "deferred orders"}}, r.bandLegend()...),
		Table:  s.table([]string{"waiting, at most"}, func(b Bucket) []string { return []string{words.Count(b.Backlog)} }),
	}
}

func (r Report) executions() chart {
	s := r.Series
	c := picture("executions", "Orders executed per second, and write latency", 330)
	most := s.most(func(b Bucket) float64 { return s.rate(b.Executed) })
	p := r.plot(c, 24, 0, 150, svg.UpTo(most))
	p.Axis("orders executed per second")
	for _, b := range s.Buckets {
		r.bar(p, "one", b, 0, s.rate(b.Executed))
	}
	p.Base()
	slowest := s.most(func(b Bucket) float64 { return float64(b.Slowest) })
	q := r.plot(c, 190, 0, c.Height-svg.Below, svg.Powers(slowest))
	q.Axis("write latency, ms (each line is ten times the one below)")
	total := 0
	for _, b := range s.Buckets {
		total += b.Executed
		if b.Executed == 0 {
			continue
		}
		from, to := q.X(r.after(b.At)), q.X(r.after(b.At.Add(s.Step)))
		x, half := (from+to)/2, min(to-from, 6)/2
		c.Line("range", x, q.Y(float64(b.Median)), x, q.Y(float64(b.Slowest)))
		c.Rect("two", x-half, q.Y(float64(b.Median))-1.5, 2*half, 3, "")
	}
	r.times(q)
	c.Desc = fmt.Sprintf("%s executed, at most %.1f a second. The slowest write that was acknowledged took %s ms.", words.Plural(total, "order"), most, words.Count(int(slowest)))
	return chart{
		Title: "Executions, and how long their writes took", Picture: c,
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
	c := picture("waits", "Waiting times of deferred orders", 190)
	most := 0
	for _, n := range w.Bins {
		most = max(most, n)
	}
	span := time.Duration(len(w.Bins)) * w.BinWidth
	p := svg.Plot{Picture: c, Top: 24, Bottom: c.Height - svg.Below, Span: span, Values: svg.UpTo(float64(most))}
	p.Axis("orders")
	t := table{Head: []string{"waited", "orders"}, Right: 1}
	for i, n := range w.Bins {
		from, to := time.Duration(i)*w.BinWidth, time.Duration(i+1)*w.BinWidth
		between := waited(from) + " to " + waited(to)
		p.Bar("one", from, to, 0, float64(n), fmt.Sprintf("%s: %d", between, n))
		t.Rows = append(t.Rows, []string{between, words.Count(n)})
	}
	p.Times(0, svg.Step(span, 7), waited)
	c.Desc = fmt.Sprintf("Half of %s waited up to %s, 99 percent up to %s, the longest %s.", words.Plural(w.Orders, "order"), words.Lasted(w.P50), words.Lasted(w.P99), words.Lasted(w.Max))
	return chart{Title: "How long a confirmation took", Picture: c,
		Legend: []legend{{"one", "orders, by the time from deferral to commit"}}, Table: t}
}

// waited is a bound of a bar of waits.
func waited(d time.Duration) string {
	if d == 0 {
		return "0"
	}
	return words.Lasted(d)
}

// table is a series in said, a row for each step.
func (s Series) table(head []string, cells func(Bucket) []string) table {
	t := table{Head: append([]string{"from (UTC)"}, head...), Right: len(head)}
	for _, b := range s.Buckets {
		t.Rows = append(t.Rows, append([]string{b.At.UTC().Format(time.TimeOnly)}, cells(b)...))
	}
	return t
}
