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

// The size of a row, in units of the picture.
const (
	rowHeight  = 230.0
	plotTop    = 54.0
	plotHeight = 60.0
	plotGap    = 30.0
	failedHead = 6.0 // above the upper plot, for writes into the failed database
)

const style = `
svg { background: #fff; }
text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #55606e; }
.title { font-size: 14px; font-weight: 650; fill: #1b2430; } .axis { fill: #1b2430; }
.grid { stroke: #e3e7ec; } .base { stroke: #55606e; }
.rate { fill: #2a6db5; } .took { fill: none; stroke: #c2600c; stroke-width: 1.6; } .failed { fill: #b3261e; }
.recovering { fill: #d3e6fa; } .stable { fill: #d6efdc; } .degraded { fill: #fbeeb8; } .unstable { fill: #f9d3d0; }
`

// WriteSVG draws the load over time of results that are to be compared, one below the
// other, all over the same time and to the same scale; a result that lasts more than
// four times as long as the shortest is cut there.
func WriteSVG(w io.Writer, results []Result) error {
	p := newPicture(results)
	p.Picture = &svg.Picture{
		ID: "simulation", Title: "The load of a simulated recovery over time", Width: 860, Height: rowHeight*float64(len(results)) + 26, Style: style,
	}
	var said []string
	for i, r := range p.shown {
		p.row(r, rowHeight*float64(i))
		said = append(said, r.title())
	}
	p.Desc = strings.Join(said, "; ")
	p.legend(p.Height - 10)
	_, err := io.WriteString(w, p.String())
	return err
}

// picture is what its rows have in common.
type picture struct {
	*svg.Picture
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
	return p
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// plot is a plot of a row, from bottom up to top, with the states behind it.
func (p picture) plot(r Result, top, head, most float64) svg.Plot {
	plot := svg.Plot{Picture: p.Picture, Top: top, Head: head, Bottom: top + plotHeight, Span: p.span, Values: svg.UpTo(most)}
	for i, s := range r.States {
		end := p.span
		if i+1 < len(r.States) {
			end = r.States[i+1].At
		}
		if s.At < p.span && s.State != ltp.Unknown {
			plot.Band(strings.ToLower(string(s.State)), s.At, end, "")
		}
	}
	return plot
}

func (p picture) row(r Result, y float64) {
	p.Text("title", "start", 2, y+18, r.title())
	rates := p.plot(r, y+plotTop, failedHead, p.rate)
	times := p.plot(r, rates.Bottom+plotGap, 0, p.took)
	rates.Axis("writes per second")
	times.Axis("write latency, ms")
	var took strings.Builder
	next := "M"
	for i, s := range r.Steps {
		from, to := time.Duration(i)*r.Step, time.Duration(i+1)*r.Step
		if from >= p.span {
			break
		}
		rates.Bar("rate", from, to, 0, float64(s.Committed)/r.Step.Seconds(), "")
		if s.IntoFailed > 0 {
			p.Rect("failed", rates.X(from), rates.Top-5, max(rates.X(to)-rates.X(from), 3), 4, words.Plural(s.IntoFailed, "write")+" into the failed database")
		}
		if s.Committed == 0 {
			next = "M"
			continue
		}
		took.WriteString(next + times.Level(from, to, ms(s.Mean)))
		next = "L"
	}
	p.Path("took", took.String())
	rates.Base()
	times.Times(0, svg.Step(p.span, 8), func(at time.Duration) string {
		if at == 0 {
			return "0"
		}
		return words.Lasted(at)
	})
}

func (r Result) title() string {
	t := fmt.Sprintf("%s, %s, %s: cleared after %s, 99 %% of writes within %s", r.Scenario, words.Plural(r.Orders, "order"), r.Policy, words.Lasted(r.Cleared), words.Lasted(r.P99))
	if r.Falls > 0 {
		t += ", fell " + words.Plural(r.Falls, "time")
	}
	return t
}

func (p picture) legend(y float64) {
	x := 58.0
	for _, l := range []struct{ class, text string }{
		{"rate", "writes"}, {"failed", "into the failed database"}, {"recovering", "RECOVERING"}, {"unstable", "UNSTABLE"}, {"stable", "STABLE"},
	} {
		p.Rect(l.class, x, y-10, 11, 11, "")
		p.Text("tick", "start", x+16, y, l.text)
		x += 34 + 7.2*float64(len(l.text))
	}
	p.Path("took", fmt.Sprintf("M%.1f %.1fh14", x, y-4))
	p.Text("tick", "start", x+19, y, "mean of writes")
}
