package main

import (
	"fmt"
	"slices"

	"github.com/ltp-node/ltp/internal/svg"
)

// bar is one ratio of the picture: above 1 is better than what it is held against.
type bar struct {
	label  string
	rounds []float64
	aim    float64
}

// bars are the ratios that were aimed at, of the results that are there.
func bars(results []Result) (all []bar) {
	add := func(number int, label, side, to, key string, more bool, aim float64) {
		for _, r := range results {
			if r.Number != number {
				continue
			}
			if v := r.ratios(measure{key: key, more: more}, side, to); len(v) > 0 {
				all = append(all, bar{label, v, aim})
			}
		}
	}
	add(1, "STABLE path, orders/s", product, bareSide, "rate", true, 1.8)
	add(1, "STABLE path, against a local activity", product, bareLocal, "rate", true, 0.9)
	add(1, "STABLE path, p50 start to end", product, bareSide, "p50", false, 0)
	add(2, "Drain, speed", product, bareSide, "seconds", false, 1.1)
	add(2, "Drain, against release by Update", product, bareUpdate, "seconds", false, 0.9)
	add(3, "Admission, accepted/s", starterSubmit, bareSide, "rate", true, 1)
	add(3, "Admission, over HTTP", respondAsync, bareSide, "rate", true, 1)
	add(3, "Admission, over HTTP, default wait", defaultWait, bareSide, "rate", true, 0)
	add(4, "Recovery, against retries up to 5 s", withGate, retriesCapped, "last", false, 1)
	add(4, "Recovery, against Temporal's defaults", withGate, retriesDefaults, "last", false, 1)
	return all
}

// The picture in its own units.
const (
	barLeft  = 270.0
	barRight = 720.0
	barStep  = 34.0
	barTop   = 52.0
)

const pictureStyle = `
text { font: 13px system-ui, sans-serif; }
.head { font-weight: 600; } .head, .ink { fill: #24292f; } .soft { fill: #6e7781; } .grid { stroke: #d0d7de; } .one { stroke: #24292f; stroke-width: 1.5; }
.good { fill: #54aeff; } .aim { stroke: #cf222e; stroke-width: 2; } .dot { fill: #0a3069; }
@media (prefers-color-scheme: dark) {
	.head, .ink { fill: #e6edf3; } .soft { fill: #8b949e; } .grid { stroke: #30363d; } .one { stroke: #e6edf3; } .good { fill: #1f6feb; } .dot { fill: #cae8ff; }
}`

// picture draws medians as bars, rounds as dots, aims as strokes.
func picture(results []Result) string {
	all := bars(results)
	most := 1.25
	for _, b := range all {
		most = max(most, slices.Max(b.rounds)*1.05)
	}
	most = min(most, 4) // what is further out has its number
	x := svg.Scale{From: barLeft, To: barRight, Most: most}.At
	bottom := barTop + barStep*float64(len(all))
	w := svg.Picture{
		ID: "benchmarks", Title: "What the product does, as a multiple of bare Temporal", Desc: "bar: median of the rounds; dots: rounds; stroke: what was aimed at",
		Width: 760, Height: bottom + 34, Style: pictureStyle,
	}
	w.Text("head", "start", 10, 22, "Product to bare Temporal: right of 1 is better")
	w.Text("soft", "start", 10, 40, w.Desc)
	for v := 0.0; v <= most; v += 0.5 {
		w.Line("grid", x(v), barTop, x(v), bottom)
		w.Text("soft", "middle", x(v), bottom+18, fmt.Sprintf("%.1f", v))
	}
	for i, b := range all {
		y := barTop + barStep*float64(i) + 8
		value := median(b.rounds)
		w.Text("ink", "end", barLeft-10, y+14, b.label)
		w.Rect("good", barLeft, y, x(value)-barLeft, 18, "")
		for _, v := range b.rounds {
			w.Put(`<circle class="dot" cx="%.1f" cy="%.1f" r="2.5"/>`, x(v), y+9)
		}
		if b.aim > 0 {
			w.Line("aim", x(b.aim), y-3, x(b.aim), y+21)
		}
		w.Text("ink", "start", barLeft+6, y+14, fmt.Sprintf("%.2f", value))
	}
	w.Line("one", x(1), barTop-4, x(1), bottom)
	return w.String()
}
