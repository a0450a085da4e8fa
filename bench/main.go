// Command bench measures what the gate costs and what it saves, against bare Temporal
// on the same server in the same run, and writes docs/benchmarks.md.
//
// What is compared ran a moment apart on one machine, so that the ratios mean
// something where the figures themselves do not. Sides take turns at being first.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ltp-node/ltp/replay/pace"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	o, err := parse(os.Args[1:])
	if err == nil {
		err = run(ctx, o, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "Error:", err)
		os.Exit(1)
	}
}

// options are the flags, checked.
type options struct {
	only    []int // numbers of benchmarks; empty is all
	rounds  int
	quick   bool
	durable bool
	out     string // directory of the page; empty writes nothing
	readme  string // where the figures stand in short; empty writes nothing
	demo    string // a report of ltp demo, whose figures are put there; no benchmark is run
	profile string // directory of profiles; empty takes none
	// inFlight are bounds of what is in flight, to be compared; empty runs benchmarks.
	inFlight []int
	serve    []string // further arguments of the server
	// temporal is where Temporal and the orders are kept: sqlite or postgres.
	temporal string
	workers  int
	command  string
}

func parse(args []string) (options, error) {
	o := options{command: strings.Join(append([]string{"go run ./bench"}, args...), " ")}
	var only, inFlight string
	f := flag.NewFlagSet("bench", flag.ExitOnError)
	f.StringVar(&only, "only", "", "run these benchmarks alone, such as 1,3; the page keeps the others")
	f.IntVar(&o.rounds, "rounds", 5, "how often each pair is measured")
	f.BoolVar(&o.quick, "quick", false, "one round of a few orders each: shows whether it works, not how fast")
	f.BoolVar(&o.durable, "durable", false, "have Temporal's SQLite sync every commit, as ltp dev does (default: as ltp demo)")
	f.StringVar(&o.out, "out", "docs", "where benchmarks.md, benchmarks.json and images/benchmarks.svg go; empty for nowhere")
	f.StringVar(&o.readme, "readme", "README.md", "the file that has the figures in short, between two marks; with another --out nothing is written there")
	f.StringVar(&o.demo, "demo", "", "a file that ltp demo --format json printed, whose figures are to stand in the README; no benchmark is run")
	f.StringVar(&o.profile, "profile", "", "write CPU profiles of both sides of a drain to this directory")
	f.StringVar(&inFlight, "in-flight", "", "compare drains of the product with so many releases in flight, such as 32,64,128,256; nothing else is run or written")
	f.StringVar(&o.temporal, "temporal", "sqlite", "where Temporal's server and the order database keep their data: sqlite or postgres")
	f.IntVar(&o.workers, "workers", 1, "how many workers each side has, in this one process")
	f.Func("server-arg", "further argument of the embedded server (repeatable)", func(s string) error {
		o.serve = append(o.serve, s)
		return nil
	})
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if f.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	var err error
	if o.only, err = numbers(only, len(benchmarks)); err != nil {
		return o, fmt.Errorf("--only %s: %w", only, err)
	}
	if o.inFlight, err = numbers(inFlight, maxInFlight); err != nil {
		return o, fmt.Errorf("--in-flight %s: %w", inFlight, err)
	}
	switch {
	case o.temporal != "sqlite" && o.temporal != "postgres":
		return o, fmt.Errorf("--temporal %s: use sqlite or postgres", o.temporal)
	case o.temporal == "postgres" && o.durable:
		return o, errors.New("--durable is about SQLite: Postgres syncs every commit")
	case o.workers < 1:
		return o, fmt.Errorf("--workers %d: use 1 or more", o.workers)
	}
	if (o.temporal != "sqlite" || o.workers > 1) && o.out == "docs" {
		o.out = "" // the page is of the default
	}
	if o.quick {
		o.rounds = 1
	}
	switch {
	case o.demo != "" && o.out != "docs":
		return o, errors.New("--demo is for the README, which has the figures of the default alone: leave out --out, --temporal and --workers")
	case o.out != "docs" || o.quick:
		o.readme = ""
	}
	if o.rounds < 1 {
		return o, fmt.Errorf("--rounds %d: use 1 or more", o.rounds)
	}
	return o, nil
}

// maxInFlight is the largest bound that may be compared.
const maxInFlight = 10_000

// numbers are those of a list, each from 1 to most.
func numbers(list string, most int) (all []int, err error) {
	if list == "" {
		return nil, nil
	}
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 || n > most {
			return nil, fmt.Errorf("use numbers from 1 to %d", most)
		}
		all = append(all, n)
	}
	return all, nil
}

// benchmark is one question and how it is answered. Its number is its place.
type benchmark struct {
	name, title string
	// sides are what is compared, as columns of the table. The ratios are those of the
	// first to each of its rivals.
	sides, rivals []string
	measures      []measure
	// aims holds the figures against what was aimed at.
	aims func(Result) []Aim
	// run measures, and reports as it goes.
	run func(ctx context.Context, b *bench) ([]Round, error)
	// setting describes what is run.
	setting func(sizes) string
}

var benchmarks = []benchmark{stableBenchmark, drainBenchmark, admissionBenchmark, outageBenchmark, growthBenchmark, serverBenchmark}

// bench is a run under way.
type bench struct {
	options
	sizes
	progress io.Writer
	began    time.Time
	doing    string
	pace     pace.Settings
}

// report prints progress.
func (b *bench) report(format string, args ...any) {
	fmt.Fprintf(b.progress, "%5.0fs  %s: %s\n", time.Since(b.began).Seconds(), b.doing, fmt.Sprintf(format, args...))
}

// run runs the benchmarks, and writes each result to the page as soon as it is there.
func run(ctx context.Context, o options, progress io.Writer) error {
	b := &bench{options: o, sizes: fullSizes, progress: progress, began: time.Now(), pace: pace.Default()}
	if o.quick {
		b.sizes = quickSizes
	}
	if len(o.inFlight) > 0 {
		return b.compareInFlight(ctx)
	}
	page, err := openPage(o.out, o.readme)
	if err != nil {
		return err
	}
	if o.demo != "" {
		if page.Demo, err = readDemo(ctx, o.demo); err != nil {
			return err
		}
		return page.save()
	}
	for i, bm := range benchmarks {
		number := i + 1
		if len(o.only) > 0 && !slices.Contains(o.only, number) {
			continue
		}
		b.doing = fmt.Sprintf("%d %s", number, bm.name)
		b.report("%s", bm.setting(b.sizes))
		begun := time.Now()
		rounds, err := bm.run(ctx, b)
		if err != nil {
			return fmt.Errorf("benchmark %d (%s): %w", number, bm.name, err)
		}
		page.put(Result{
			Number: number, Name: bm.name, Setting: bm.setting(b.sizes), Quick: o.quick,
			At: begun.UTC().Truncate(time.Second), Seconds: time.Since(begun).Seconds(),
			Command: o.command, Commit: commit(ctx), Machine: machine(), Rounds: rounds,
		})
		if err := page.save(); err != nil {
			return err
		}
	}
	summarise(progress, page.Results, o.only)
	if o.out != "" {
		fmt.Fprintf(progress, "\nThe page: %s\n", page.path("benchmarks.md"))
	}
	return nil
}

// summarise prints which aims were reached.
func summarise(w io.Writer, results []Result, only []int) {
	fmt.Fprintln(w)
	for _, r := range results {
		if len(only) > 0 && !slices.Contains(only, r.Number) {
			continue
		}
		bm := benchmarks[r.Number-1]
		fmt.Fprintf(w, "%d %s\n", r.Number, bm.title)
		for _, a := range bm.aims(r) {
			fmt.Fprintf(w, "    %-7s %s\n", a.verdict(), a.Text)
		}
	}
}
