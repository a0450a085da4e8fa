package simulate

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"math"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
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
	out := bufio.NewWriter(w)
	height := rowHeight*len(results) + 26
	fmt.Fprintf(out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%d" height="%d" role="img"><style>%s</style>`+"\n",
		svgWidth, height, svgWidth, height, style)
	for i := range results {
		p.row(out, p.shown[i], float64(i*rowHeight))
	}
	p.legend(out, float64(height-10))
	fmt.Fprintln(out, "</svg>")
	return out.Flush()
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
	p.rate, p.took = round(p.rate), round(p.took)
	return p
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// round is a round number that is at least v.
func round(v float64) float64 {
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, n := range []float64{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8} {
		if v <= n*unit {
			return n * unit
		}
	}
	return 10 * unit
}

func (p picture) x(at time.Duration) float64 {
	return svgLeft + (svgWidth-svgLeft-svgRight)*min(at.Seconds()/p.span.Seconds(), 1)
}

func (p picture) row(out io.Writer, r Result, y float64) {
	top, middle := y+plotTop, y+plotTop+plotHeight+plotGap
	fmt.Fprintf(out, `<text class="title" x="4" y="%.1f">%s</text>`+"\n", y+18, html.EscapeString(r.title()))
	p.states(out, r, top-6, middle+plotHeight)
	p.axis(out, top, "writes/s", trace.Count(int(p.rate)), "0")
	p.axis(out, middle, "write ms", trace.Count(int(p.took)), "0")
	var took strings.Builder
	next := "M"
	for i, s := range r.Steps {
		at := time.Duration(i) * r.Step
		if at >= p.span {
			break
		}
		x, w := p.x(at), p.x(at+r.Step)-p.x(at)
		if h := plotHeight * float64(s.Committed) / r.Step.Seconds() / p.rate; h > 0 {
			fmt.Fprintf(out, `<rect class="rate" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`+"\n", x, top+plotHeight-h, max(w-0.4, 0.6), h)
		}
		if s.IntoFailed > 0 {
			fmt.Fprintf(out, `<rect class="failed" x="%.1f" y="%.1f" width="%.1f" height="4"><title>%d writes into the failed database</title></rect>`+"\n", x, top-5, max(w, 3), s.IntoFailed)
		}
		if s.Committed == 0 {
			next = "M"
			continue
		}
		y := middle + plotHeight*(1-ms(s.Mean)/p.took)
		fmt.Fprintf(&took, "%s%.1f %.1fL%.1f %.1f", next, x, y, x+w, y)
		next = "L"
	}
	fmt.Fprintf(out, `<path class="took" d="%s"/>`+"\n", took.String())
	p.times(out, middle+plotHeight)
}

func (r Result) title() string {
	t := fmt.Sprintf("%s, %s orders, %s: cleared after %s, 99 %% of writes within %s", r.Scenario, trace.Count(int(r.Orders)), r.Policy, lasted(r.Cleared), lasted(r.P99))
	if r.Falls > 0 {
		t += fmt.Sprintf(", fell %d times", r.Falls)
	}
	return strings.Replace(t, "fell 1 times", "fell once", 1)
}

// states draws the state behind both plots.
func (p picture) states(out io.Writer, r Result, top, bottom float64) {
	for i, s := range r.States {
		end := p.span
		if i+1 < len(r.States) {
			end = r.States[i+1].At
		}
		if s.At >= p.span || s.State == ltp.Unknown {
			continue
		}
		fmt.Fprintf(out, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`+"\n",
			strings.ToLower(string(s.State)), p.x(s.At), top, max(p.x(end)-p.x(s.At), 0.5), bottom-top)
	}
}

// axis names a plot, its least and its most.
func (p picture) axis(out io.Writer, top float64, name, most, least string) {
	for _, t := range []struct {
		y    float64
		text string
	}{{top + 4, most}, {top + plotHeight/2 + 4, name}, {top + plotHeight + 4, least}} {
		fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="end">%s</text>`+"\n", svgLeft-8, t.y, t.text)
	}
	for _, y := range []float64{top, top + plotHeight} {
		fmt.Fprintf(out, `<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", svgLeft, svgWidth-svgRight, y, y)
	}
}

// times draws the axis of time.
func (p picture) times(out io.Writer, y float64) {
	fmt.Fprintf(out, `<line class="base" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`+"\n", svgLeft, svgWidth-svgRight, y, y)
	step := stepOf(p.span)
	for at := time.Duration(0); at <= p.span; at += step {
		text, anchor := "0", "middle"
		if at > 0 {
			text = lasted(at)
		}
		if at > p.span-step/3 {
			anchor = "end"
		}
		fmt.Fprintf(out, `<text x="%.1f" y="%.1f" text-anchor="%s">%s</text>`+"\n", p.x(at), y+15, anchor, text)
	}
}

// stepOf is a round time that a span holds at most eight times.
func stepOf(span time.Duration) time.Duration {
	for unit := time.Second; ; unit *= 60 {
		for _, n := range []time.Duration{1, 2, 5, 10, 20, 30} {
			if span <= 8*n*unit {
				return n * unit
			}
		}
	}
}

func (p picture) legend(out io.Writer, y float64) {
	x := svgLeft
	for _, l := range []struct{ class, text string }{
		{"rate", "writes"}, {"failed", "into the failed database"}, {"recovering", "RECOVERING"}, {"unstable", "UNSTABLE"}, {"stable", "STABLE"},
	} {
		fmt.Fprintf(out, `<rect class="%s" x="%.1f" y="%.1f" width="11" height="11"/><text x="%.1f" y="%.1f">%s</text>`+"\n", l.class, x, y-10, x+16, y, l.text)
		x += 34 + 7.2*float64(len(l.text))
	}
	fmt.Fprintf(out, `<path class="took" d="M%.1f %.1fh14"/><text x="%.1f" y="%.1f">mean of writes</text>`+"\n", x, y-4, x+19, y)
}
