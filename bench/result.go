package main

import (
	"fmt"
	"math"
	"slices"
	"time"
)

// Figures are what was measured of one side in one round, by the keys of measures.
type Figures map[string]float64

// Round is one round: the figures of every side, and which went first.
type Round struct {
	Order []string           `json:"order"`
	Sides map[string]Figures `json:"sides"`
}

// Result is what one benchmark measured, where, and how. The figures are as they were
// measured; medians and ratios are made of them when they are shown.
type Result struct {
	Number  int       `json:"number"`
	Name    string    `json:"name"`
	Setting string    `json:"setting"`
	Quick   bool      `json:"quick,omitempty"` // too small to say how fast anything is
	At      time.Time `json:"at"`
	Seconds float64   `json:"seconds"`
	Command string    `json:"command"`
	Commit  string    `json:"commit"`
	Machine Machine   `json:"machine"`
	Rounds  []Round   `json:"rounds"`
}

// measure is one line of a table.
type measure struct {
	key, label string
	decimals   int
	// more says that more is better; the ratio then is first to second, else second to
	// first, so that above 1 is always better.
	more bool
	// count has no better and no worse: it is shown as it is.
	count bool
}

// all are a side's figures of a measure, one for each round that has it.
func (r Result) all(side, key string) (values []float64) {
	for _, round := range r.Rounds {
		if v, ok := round.Sides[side][key]; ok {
			values = append(values, v)
		}
	}
	return values
}

// sides are those that were measured, in any order.
func (r Result) sides() map[string]bool {
	sides := map[string]bool{}
	for _, round := range r.Rounds {
		for side := range round.Sides {
			sides[side] = true
		}
	}
	return sides
}

// median is NaN when nothing was measured.
func (r Result) median(side, key string) float64 { return median(r.all(side, key)) }

// ratios are those of one side to another, round by round.
func (r Result) ratios(m measure, side, to string) (values []float64) {
	for _, round := range r.Rounds {
		a, ok := round.Sides[side][m.key]
		b, both := round.Sides[to][m.key]
		if !ok || !both {
			continue
		}
		if !m.more {
			a, b = b, a
		}
		if b != 0 {
			values = append(values, a/b)
		}
	}
	return values
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 1 {
		return sorted[middle]
	}
	return (sorted[middle-1] + sorted[middle]) / 2
}

// percentileMs is the p-th part of durations, in milliseconds.
func percentileMs(d []time.Duration, p float64) float64 {
	if len(d) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(d))
	i := int(math.Ceil(p*float64(len(sorted)))) - 1
	return float64(sorted[max(i, 0)].Microseconds()) / 1000
}

// Aim is what was aimed at, and whether it was reached.
type Aim struct {
	Text string
	Held bool
	// Known is false when there are no figures, or too few.
	Known bool
}

func (a Aim) verdict() string {
	switch {
	case !a.Known:
		return "UNKNOWN"
	case a.Held:
		return "REACHED"
	}
	return "MISSED"
}

// atLeast aims at a ratio of the first side to the second.
func (r Result) atLeast(m measure, side, to string, least float64) Aim {
	ratios := r.ratios(m, side, to)
	if len(ratios) == 0 {
		return Aim{Text: m.label + ": not measured"}
	}
	v := median(ratios)
	return Aim{
		Text:  fmt.Sprintf("%s, %s: %.2f of %s (aim %.2f; rounds %.2f to %.2f)", m.label, side, v, to, least, slices.Min(ratios), slices.Max(ratios)),
		Held:  v >= least,
		Known: !r.Quick,
	}
}

// atMostOf aims at a cost of one side, as a share of another's.
func (r Result) atMostOf(m measure, side, of string, most float64) Aim {
	m.more = true // as it reads: the first to the second
	ratios := r.ratios(m, side, of)
	if len(ratios) == 0 {
		return Aim{Text: m.label + ": not measured"}
	}
	v := median(ratios)
	return Aim{
		Text:  fmt.Sprintf("%s, %s: %.2f of %s (aim %.2f at most; rounds %.2f to %.2f)", m.label, side, v, of, most, slices.Min(ratios), slices.Max(ratios)),
		Held:  v <= most,
		Known: !r.Quick,
	}
}

// atMost aims at a median of one side.
func (r Result) atMost(side string, m measure, most float64) Aim {
	v := r.median(side, m.key)
	return Aim{
		Text: fmt.Sprintf("%s, %s: %.*f (aim %g)", m.label, side, m.decimals, v, most),
		Held: v <= most, Known: !math.IsNaN(v) && !r.Quick,
	}
}

// inTurn measures the sides one after the other, as many rounds as there are to be,
// each on a server of its own; who went first goes last the next time.
func (b *bench) inTurn(sides []string, round func(side string, r *rig) (Figures, error), open func() (*rig, error)) ([]Round, error) {
	var rounds []Round
	for i := range b.rounds {
		order := slices.Clone(sides)
		if i%2 == 1 {
			slices.Reverse(order)
		}
		this := Round{Order: order, Sides: map[string]Figures{}}
		r, err := open()
		if err != nil {
			return rounds, err
		}
		r.round = i + 1
		for _, side := range order {
			figures, err := round(side, r)
			if err != nil {
				r.close()
				return rounds, fmt.Errorf("round %d, %s: %w", i+1, side, err)
			}
			this.Sides[side] = figures
		}
		r.close()
		rounds = append(rounds, this)
	}
	return rounds, nil
}
