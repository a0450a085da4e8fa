package main

import (
	"fmt"
	"html"
	"slices"
	"strings"
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
	pictureWidth = 760
	barLeft      = 270.0
	barRight     = 720.0
	barStep      = 34.0
	barTop       = 52.0
)

// picture draws medians as bars, rounds as dots, aims as strokes.
func picture(results []Result) string {
	all := bars(results)
	most := 1.25
	for _, b := range all {
		most = max(most, slices.Max(b.rounds)*1.05)
	}
	most = min(most, 4) // what is further out has its number
	x := func(v float64) float64 { return barLeft + (barRight-barLeft)*min(v, most)/most }
	bottom := barTop + barStep*float64(len(all))
	var w strings.Builder
	put := func(format string, args ...any) { fmt.Fprintf(&w, format+"\n", args...) }
	put(`<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %.0f" role="img" font-family="system-ui, sans-serif" font-size="13">`, pictureWidth, bottom+34)
	put(`<title>What the product does, as a multiple of bare Temporal</title>`)
	put(`<style>.ink{fill:#24292f}.soft{fill:#6e7781}.grid{stroke:#d0d7de}.one{stroke:#24292f;stroke-width:1.5}.good{fill:#54aeff}.aim{stroke:#cf222e;stroke-width:2}.dot{fill:#0a3069}
@media (prefers-color-scheme: dark){.ink{fill:#e6edf3}.soft{fill:#8b949e}.grid{stroke:#30363d}.one{stroke:#e6edf3}.good{fill:#1f6feb}.dot{fill:#cae8ff}}</style>`)
	put(`<text class="ink" x="10" y="22" font-weight="600">Product to bare Temporal: right of 1 is better</text>`)
	put(`<text class="soft" x="10" y="40">bar: median of the rounds; dots: rounds; stroke: what was aimed at</text>`)
	for v := 0.0; v <= most; v += 0.5 {
		put(`<line class="grid" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x(v), x(v), barTop, bottom)
		put(`<text class="soft" x="%.1f" y="%.1f" text-anchor="middle">%.1f</text>`, x(v), bottom+18, v)
	}
	for i, b := range all {
		y := barTop + barStep*float64(i) + 8
		value := median(b.rounds)
		put(`<text class="ink" x="%.1f" y="%.1f" text-anchor="end">%s</text>`, barLeft-10, y+14, html.EscapeString(b.label))
		put(`<rect class="good" x="%.1f" y="%.1f" width="%.1f" height="18" rx="2"/>`, barLeft, y, x(value)-barLeft)
		for _, v := range b.rounds {
			put(`<circle class="dot" cx="%.1f" cy="%.1f" r="2.5"/>`, x(v), y+9)
		}
		if b.aim > 0 {
			put(`<line class="aim" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x(b.aim), x(b.aim), y-3, y+21)
		}
		put(`<text class="ink" x="%.1f" y="%.1f">%.2f</text>`, barLeft+6, y+14, value)
	}
	put(`<line class="one" x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f"/>`, x(1), x(1), barTop-4, bottom)
	put(`</svg>`)
	return w.String()
}
