package simulate

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/svg"
	"github.com/ltp-node/ltp/internal/words"
)

// The size of a picture, in its own units.
const (
	svgWidth, rowHeight = 860, 210
	svgLeft, svgRight   = 64.0, 16.0
	plotTop, plotHeight = 40.0, 56.0
	plotGap             = 20.0
)

const style = `
svg { background: #fff; }
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #55606e; }
.title { font-size: 14px; font-weight: 650; fill: #1b2430; }
.grid { stroke: #e3e7ec; } .base { stroke: #55606e; }
.rate { fill: #2a6db5; } .took { fill: none; stroke: #c2600c; stroke-width: 1.6; } .failed { fill: #b3261e; }
.recovering { fill: #d3e6fa; } .stable { fill: #d6efdc; } .degraded { fill: #fbeeb8; } .unstable { fill: #f9d3d0; }
`

// WriteSVG draws the load over time of results that are to be compared, one below the
// other, all over the same time and to the same scale; a result that lasts more than
// four times as long as the shortest is cut there.
func WriteSVG(w io.Writer, results []Result) error {
	p := newPicture(results)
	var out svg.Canvas
	height := rowHeight*len(results) + 26
	out.Put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img"><style>%s</style>`,
		svgWidth, height, svgWidth, height, style)
	for i := range results {
		p.row(&out, p.shown[i], float64(i*rowHeight))
	}
	p.legend(&out, float64(height-10))
	out.Put("</svg>")
	_, err := io.WriteString(w, out.String())
	return err
}

// picture is what its rows have in common.
type picture struct {
	shown      []Result // with steps that are wide enough to be seen
	span       time.Duration
	rate, took float64 // the most of all rows
}

// maxBars is how many steps a picture shows.
const maxBars = 200

func newPicture(results []Result) picture {
	p := picture{rate: 1, took: 1}
	for _, r := range results {
		if lasts := r.lasts(); p.span == 0 || lasts < p.span {
			p.span = lasts
		}
	}
	longest := time.Duration(0)
	for _, r := range results {
		longest = max(longest, r.lasts())
	}
	p.span = min(longest, 4*p.span)
	for _, r := range results {
		for p.span/r.Step > maxBars {
			r = r.coarser()
		}
		p.shown = append(p.shown, r)
		for _, s := range r.Steps {
			p.rate = max(p.rate, float64(s.Committed)/r.Step.Seconds())
			p.took = max(p.took, ms(s.Mean))
		}
	}
	p.rate, _ = svg.Round(p.rate)
	p.took, _ = svg.Round(p.took)
	return p
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (p picture) x(at time.Duration) float64 {
	return svg.Scale{From: svgLeft, To: svgWidth - svgRight, Most: p.span.Seconds()}.At(at.Seconds())
}

func (p picture) row(out *svg.Canvas, r Result, y float64) {
	top, middle := y+plotTop, y+plotTop+plotHeight+plotGap
	out.Text("title", "start", 4, y+18, r.title())
	p.states(out, r, top-6, middle+plotHeight)
	p.axis(out, top, "writes/s", words.Count(int(p.rate)), "0")
	p.axis(out, middle, "write ms", words.Count(int(p.took)), "0")
	var took strings.Builder
	next := "M"
	for i, s := range r.Steps {
		at := time.Duration(i) * r.Step
		if at >= p.span {
			break
		}
		x, w := p.x(at), p.x(at+r.Step)-p.x(at)
		if h := plotHeight * float64(s.Committed) / r.Step.Seconds() / p.rate; h > 0 {
			out.Rect("rate", x, top+plotHeight-h, max(w-0.4, 0.6), h, "")
		}
		if s.IntoFailed > 0 {
			out.Rect("failed", x, top-5, max(w, 3), 4, words.Plural(s.IntoFailed, "write")+" into the failed database")
		}
		if s.Committed == 0 {
			next = "M"
			continue
		}
		y := middle + plotHeight*(1-ms(s.Mean)/p.took)
		fmt.Fprintf(&took, "%s%.1f %.1fL%.1f %.1f", next, x, y, x+w, y)
		next = "L"
	}
	out.Path("took", took.String())
	p.times(out, middle+plotHeight)
}

func (r Result) title() string {
	t := fmt.Sprintf("%s, %s orders, %s: cleared after %s, 99 %% of writes within %s", r.Scenario, words.Count(int(r.Orders)), r.Policy, lasted(r.Cleared), lasted(r.P99))
	if r.Falls > 0 {
		t += ", fell " + words.Plural(r.Falls, "time")
	}
	return t
}

// states draws the state behind both plots.
func (p picture) states(out *svg.Canvas, r Result, top, bottom float64) {
	for i, s := range r.States {
		end := p.span
		if i+1 < len(r.States) {
			end = r.States[i+1].At
		}
		if s.At >= p.span || s.State == ltp.Unknown {
			continue
		}
		out.Rect(strings.ToLower(string(s.State)), p.x(s.At), top, max(p.x(end)-p.x(s.At), 0.5), bottom-top, "")
	}
}

// axis names a plot, its least and its most.
func (p picture) axis(out *svg.Canvas, top float64, name, most, least string) {
	for _, t := range []struct {
		y    float64
		text string
	}{{top + 4, most}, {top + plotHeight/2 + 4, name}, {top + plotHeight + 4, least}} {
		out.Text("tick", "end", svgLeft-8, t.y, t.text)
	}
	for _, y := range []float64{top, top + plotHeight} {
		out.Line("grid", svgLeft, y, svgWidth-svgRight, y)
	}
}

// times draws the axis of time.
func (p picture) times(out *svg.Canvas, y float64) {
	out.Line("base", svgLeft, y, svgWidth-svgRight, y)
	step := svg.Step(p.span, 8)
	for at := time.Duration(0); at <= p.span; at += step {
		text, anchor := "0", "middle"
		if at > 0 {
			text = lasted(at)
		}
		if at > p.span-step/3 {
			anchor = "end"
		}
		out.Text("tick", anchor, p.x(at), y+15, text)
	}
}

func (p picture) legend(out *svg.Canvas, y float64) {
	x := svgLeft
	for _, l := range []struct{ class, text string }{
		{"rate", "writes"}, {"failed", "into the failed database"}, {"recovering", "RECOVERING"}, {"unstable", "UNSTABLE"}, {"stable", "STABLE"},
	} {
		out.Rect(l.class, x, y-10, 11, 11, "")
		out.Text("tick", "start", x+16, y, l.text)
		x += 34 + 7.2*float64(len(l.text))
	}
	out.Path("took", fmt.Sprintf("M%.1f %.1fh14", x, y-4))
	out.Text("tick", "start", x+19, y, "mean of writes")
}
