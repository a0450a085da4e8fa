package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/ltp-node/ltp/internal/words"
)

// page is docs/benchmarks.md and what it is made of: results, of which a run replaces
// those that it has.
type page struct {
	dir, readme string
	Demo        *Demo    `json:"demo,omitempty"`
	Results     []Result `json:"results"`
}

// openPage reads the results that are there. An empty dir is a page of this run alone,
// which is not kept.
func openPage(dir, readme string) (*page, error) {
	p := &page{dir: dir, readme: readme}
	if readme != "" {
		if _, err := readmeOf(readme); err != nil { // before anything is measured
			return nil, err
		}
	}
	if dir == "" {
		return p, nil
	}
	content, err := os.ReadFile(p.path("benchmarks.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(content, p)
	}
	if err != nil {
		return nil, fmt.Errorf("the results so far cannot be read: %w", err)
	}
	return p, nil
}

func (p *page) path(name string) string { return filepath.Join(p.dir, name) }

// put adds a result in its place.
func (p *page) put(r Result) {
	p.Results = slices.DeleteFunc(p.Results, func(old Result) bool { return old.Number == r.Number })
	p.Results = append(p.Results, r)
	slices.SortFunc(p.Results, func(a, b Result) int { return a.Number - b.Number })
}

// save writes the figures, the picture and the page. On the page, what stands outside
// the marks is people's and is kept.
func (p *page) save() error {
	if p.dir == "" {
		return nil
	}
	if err := os.MkdirAll(p.path("images"), 0o755); err != nil {
		return err
	}
	figures, err := json.MarshalIndent(p, "", " ")
	if err != nil {
		return err
	}
	before, _ := os.ReadFile(p.path("benchmarks.md"))
	return errors.Join(
		os.WriteFile(p.path("benchmarks.json"), append(figures, '\n'), 0o644),
		os.WriteFile(p.path("images/benchmarks.svg"), []byte(picture(p.Results)), 0o644),
		os.WriteFile(p.path("benchmarks.md"), []byte(merge(string(before), tables(p.Results))), 0o644),
		p.saveReadme(),
	)
}

// The marks around what is written by this program.
const (
	beginMark = "<!-- make bench writes from here -->"
	endMark   = "<!-- to here -->"
)

// merge puts the tables between the marks of a page.
func merge(before, tables string) string {
	head, rest, ok := strings.Cut(before, beginMark)
	_, tail, closed := strings.Cut(rest, endMark)
	if !ok || !closed {
		head, tail = "# Benchmarks\n\n", "\n"
	}
	return head + beginMark + "\n" + tables + endMark + tail
}

// tables are the results as Markdown.
func tables(results []Result) string {
	var w strings.Builder
	fmt.Fprintf(&w, "\n![What the product does, as a multiple of bare Temporal](images/benchmarks.svg)\n")
	for _, r := range results {
		bm := benchmarks[r.Number-1]
		fmt.Fprintf(&w, "\n## %d. %s\n\n%s.\n", r.Number, bm.title, sentence(r.Setting))
		if r.Quick {
			fmt.Fprintf(&w, "\n**A quick run: too small to say how fast anything is.**\n")
		}
		fmt.Fprintln(&w)
		bm.table(&w, r)
		if aims := bm.aims(r); len(aims) > 0 {
			fmt.Fprintln(&w)
			for _, a := range aims {
				fmt.Fprintf(&w, "- %s: %s\n", a.verdict(), a.Text)
			}
		}
		fmt.Fprintf(&w, "\n`%s` at commit %s on %s, in %.0f s, on %s.\n", r.Command, r.Commit, r.At.Format("2006-01-02 15:04 MST"), r.Seconds, r.Machine)
	}
	return w.String() + "\n"
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// table writes medians of the rounds, and the median of their ratios.
func (bm benchmark) table(w *strings.Builder, r Result) {
	head := append([]string{"median of " + words.Plural(len(r.Rounds), "round")}, bm.columns(r)...)
	for _, rival := range bm.rivals {
		head = append(head, "to "+rival, "rounds")
	}
	row := func(cells []string) { fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | ")) }
	row(head)
	row(append([]string{"---"}, slices.Repeat([]string{"---:"}, len(head)-1)...))
	for _, m := range bm.lines(r) {
		cells := []string{m.label}
		for _, side := range bm.columns(r) {
			cells = append(cells, number(r.median(side, m.key), m.decimals))
		}
		for _, rival := range bm.rivals {
			cells = append(cells, ratioCells(r, m, bm.sides[0], rival)...)
		}
		row(cells)
	}
}

// ratioCells are a ratio and from where to where it went.
func ratioCells(r Result, m measure, side, to string) []string {
	m.more = true // as it reads: the first to the second
	ratios := r.ratios(m, side, to)
	if len(ratios) == 0 {
		return []string{"", ""}
	}
	return []string{number(median(ratios), 2), number(slices.Min(ratios), 2) + " to " + number(slices.Max(ratios), 2)}
}

// columns are the sides that were measured: those of a quick run have other names.
func (bm benchmark) columns(r Result) (columns []string) {
	measured := r.sides()
	for _, side := range bm.sides {
		if measured[side] {
			columns = append(columns, side)
			delete(measured, side)
		}
	}
	var others []string
	for side := range measured {
		others = append(others, side)
	}
	slices.SortFunc(others, func(a, b string) int {
		if len(a) != len(b) {
			return len(a) - len(b)
		}
		return strings.Compare(a, b)
	})
	return append(columns, others...)
}

// lines are the measures; where a benchmark names none, whatever was counted, the most
// first.
func (bm benchmark) lines(r Result) []measure {
	if len(bm.measures) > 0 {
		return bm.measures
	}
	most := map[string]float64{}
	for _, round := range r.Rounds {
		for _, f := range round.Sides {
			for key, v := range f {
				most[key] = max(most[key], v)
			}
		}
	}
	var lines []measure
	for key, v := range most {
		if v >= 0.05 {
			lines = append(lines, measure{key: key, label: key, decimals: 2, count: true})
		}
	}
	slices.SortFunc(lines, func(a, b measure) int {
		kindA, _, _ := strings.Cut(a.key, " ")
		kindB, _, _ := strings.Cut(b.key, " ")
		if kindA != kindB {
			return strings.Compare(kindA, kindB)
		}
		if most[a.key] != most[b.key] {
			if most[a.key] > most[b.key] {
				return -1
			}
			return 1
		}
		return strings.Compare(a.key, b.key)
	})
	return lines
}

// number is a figure with thousands set apart, and empty when it is none.
func number(v float64, decimals int) string {
	if math.IsNaN(v) {
		return ""
	}
	return words.Commas(fmt.Sprintf("%.*f", decimals, v))
}
