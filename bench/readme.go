package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/ltp-node/ltp/demo"
	"github.com/ltp-node/ltp/internal/words"
)

// Demo is one run of ltp demo, and where it ran.
type Demo struct {
	Commit  string      `json:"commit"`
	Machine Machine     `json:"machine"`
	Report  demo.Report `json:"report"`
}

// readDemo reads what ltp demo --format json printed on this machine, at this commit.
func readDemo(ctx context.Context, file string) (*Demo, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	d := &Demo{Commit: commit(ctx), Machine: machine()}
	if err := json.Unmarshal(content, &d.Report); err != nil {
		return nil, fmt.Errorf("%s is not what ltp demo --format json prints: %w", file, err)
	}
	if d.Report.Orders.Submitted == 0 {
		return nil, fmt.Errorf("%s is not what ltp demo --format json prints: it has no orders", file)
	}
	return d, nil
}

// saveReadme writes the figures in short between the marks of the README.
func (p *page) saveReadme() error {
	if p.readme == "" {
		return nil
	}
	before, err := readmeOf(p.readme)
	if err != nil {
		return err
	}
	return os.WriteFile(p.readme, []byte(merge(before, p.summary())), 0o644)
}

// readmeOf reads a README that has a place for figures.
func readmeOf(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	if s := string(content); strings.Contains(s, beginMark) && strings.Contains(s, endMark) {
		return s, nil
	}
	return "", fmt.Errorf("%s has no place for figures: put %s and %s where they are to stand", file, beginMark, endMark)
}

// summary is what README.md says of the figures.
func (p *page) summary() string {
	var w strings.Builder
	if p.Demo != nil {
		p.Demo.table(&w)
	}
	var lines, missed []string
	full := slices.DeleteFunc(slices.Clone(p.Results), func(r Result) bool { return r.Quick })
	for _, r := range full {
		if say := headlines[benchmarks[r.Number-1].name]; say != nil {
			lines = append(lines, say(r))
		}
		for _, a := range benchmarks[r.Number-1].aims(r) {
			if a.Known && !a.Held {
				missed = append(missed, fmt.Sprintf("%s: %s", benchmarks[r.Number-1].title, a.Text))
			}
		}
	}
	if len(lines) > 0 {
		first, of := full[0], "at commit "+full[0].Commit
		if slices.ContainsFunc(full, func(r Result) bool { return r.Commit != first.Commit || r.Machine != first.Machine }) {
			of = "**of several commits or machines**, the first"
		}
		fmt.Fprintf(&w, "\nBeside bare Temporal on the same server in the same run, medians (`make bench` %s on %s; [all of it](docs/benchmarks.md)):\n\n", of, first.Machine)
		for _, l := range lines {
			fmt.Fprintf(&w, "- %s\n", l)
		}
	}
	if len(missed) > 0 {
		fmt.Fprintf(&w, "\nAims that were missed:\n\n")
		for _, m := range missed {
			fmt.Fprintf(&w, "- %s\n", m)
		}
	}
	return w.String() + "\n"
}

// headlines say in a sentence what a benchmark found.
var headlines = map[string]func(Result) string{
	"stable": func(r Result) string {
		rate := measure{key: "rate", more: true}
		return fmt.Sprintf("**STABLE**: %.2f of the throughput of bare with one regular activity, %.2f of bare with a local activity, which is the limit.",
			median(r.ratios(rate, product, bareSide)), median(r.ratios(rate, product, bareLocal)))
	},
	"drain": func(r Result) string {
		return fmt.Sprintf("**A drain of 1,500** to the last commit: %.2f times as fast as bare, with %.2f of its server CPU.",
			median(r.ratios(measure{key: "seconds"}, product, bareSide)), median(r.ratios(measure{key: "server", more: true}, product, bareSide)))
	},
	"outage": func(r Result) string {
		return fmt.Sprintf("**After an outage of 45 s**: the last order was committed %.1f times sooner than by retries every 1 s to 5 s. Writes that were sent into a database that was known to be sick: %s; by the retries: %s.",
			median(r.ratios(measure{key: "last"}, withGate, retriesCapped)), number(r.median(withGate, "knowingly"), 0), number(r.median(retriesCapped, "knowingly"), 0))
	},
	"growth": func(r Result) string {
		return fmt.Sprintf("**Growth**: an order among 24,000 costs the server %.2f ms of CPU and %s events, one among 1,500 %.2f ms and %s.",
			r.median("24,000 orders", "server"), number(r.median("24,000 orders", "events"), 0), r.median("1,500 orders", "server"), number(r.median("1,500 orders", "events"), 0))
	},
}

// table is the incident in figures.
func (d *Demo) table(w *strings.Builder) {
	r := d.Report
	fmt.Fprintf(w, "\nOne run of `ltp demo` at commit %s on %s, which also runs the Temporal server, the order API, the worker, the observer and the customers:\n\n| | |\n|---|---|\n", d.Commit, d.Machine)
	row := func(what, format string, args ...any) {
		fmt.Fprintf(w, "| %s | %s |\n", what, fmt.Sprintf(format, args...))
	}
	n := words.Count[int]
	row("orders: submitted, accepted, executed, errors", "%s · %s · %s · %s", n(r.Orders.Submitted), n(r.Orders.Accepted), n(r.Orders.Executed), n(r.Orders.Errors))
	row("order database: rows, duplicates, missing, writes begun while unfit", "%s · %s · %s · %s", n(r.OrderDB.Rows), n(r.OrderDB.Duplicates), n(r.OrderDB.Missing), n(r.OrderDB.WritesBegunWhileUnfit))
	row("noticed after: a write that hangs is given 5,000 ms, then the state is published", "%s ms", words.Count(r.Outage.DetectedAfterMs))
	row(fmt.Sprintf("from RECOVERING to the last commit of the backlog (%s)", words.Plural(r.Orders.Deferred, "order")), "%s ms", words.Count(r.Recovery.DrainMs))
	for _, c := range []struct {
		what string
		cost demo.Cost
	}{{"an order executed at once", r.Cost.Stable}, {"an order deferred and replayed", r.Cost.Deferred}} {
		row(c.what, "%d events, %d state transitions, %s bytes", c.cost.Events, c.cost.Transitions, words.Count(c.cost.HistoryBytes))
	}
	for _, phase := range []struct{ name, when string }{{"stable", "before the outage"}, {"outage", "during the outage"}} {
		if l, ok := r.API[phase.name]; ok {
			row("until an order is durable, p50 and p99, "+phase.when, "%.1f ms · %.1f ms", l.AcceptP50Ms, l.AcceptP99Ms)
		}
	}
}
