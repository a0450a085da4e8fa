package simulate

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/table"
	"github.com/ltp-node/ltp/internal/words"
)

// WriteTable writes a line for each result.
func WriteTable(w io.Writer, results []Result) error {
	t := table.New(w, "scenario", "orders", "policy", "cleared", "peak/s", "write p50", "p99", "busy", "falls", "into failed db", "queries")
	for _, r := range results {
		cleared := words.Lasted(r.Cleared)
		if !r.Ended {
			cleared = "never"
		}
		t.Row(r.Scenario, words.Count(r.Orders), r.Policy, cleared, r.PeakCommitted,
			words.Lasted(r.P50), words.Lasted(r.P99), r.Busy, r.Falls, r.IntoFailed, r.Queries)
	}
	return t.Flush()
}

// shades are what a picture is drawn with, from nothing to the most.
var (
	blocks = []rune(" ▁▂▃▄▅▆▇█")
	ascii  = []rune(" .:-=+*#@")
)

const columnsOfText = 72

// WriteText draws the load over time, each result over its own time and those of a
// scenario to the same scale; plain is without any but ASCII characters.
func WriteText(w io.Writer, results []Result, plain bool) error {
	out := bufio.NewWriter(w)
	shades := blocks
	if plain {
		shades = ascii
	}
	rate, took := map[string]float64{}, map[string]float64{}
	for _, r := range results {
		for _, c := range r.shrunk(columnsOfText) {
			rate[r.Scenario], took[r.Scenario] = max(rate[r.Scenario], c.rate), max(took[r.Scenario], c.took)
		}
	}
	for _, r := range results {
		rate, took := rate[r.Scenario], took[r.Scenario]
		var states, rates, times strings.Builder
		for _, c := range r.shrunk(columnsOfText) {
			states.WriteByte(c.state[0])
			rates.WriteRune(shade(shades, c.rate/max(rate, 1)))
			times.WriteRune(shade(shades, c.took/max(took, 1)))
		}
		fmt.Fprintf(out, "\n%s, %s: %s\n", r.Scenario, r.Policy, words.Lasted(r.lasts()))
		fmt.Fprintf(out, "  state     |%s|\n", states.String())
		fmt.Fprintf(out, "  writes/s  |%s| of %.0f\n", rates.String(), rate)
		fmt.Fprintf(out, "  write ms  |%s| of %.0f\n", times.String(), took)
	}
	fmt.Fprintln(out, "\nState: R RECOVERING, S STABLE, D DEGRADED, U UNSTABLE. Times of writes are means.")
	return out.Flush()
}

func shade(shades []rune, part float64) rune {
	if part <= 0 {
		return shades[0]
	}
	return shades[1+min(int(part*float64(len(shades)-1)), len(shades)-2)]
}

// column is a part of a picture.
type column struct {
	rate  float64 // writes per second
	took  float64 // mean of their times, in ms
	state ltp.State
}

// lasts is how long there is something to show: until the last order that waited is
// executed, and a little more.
func (r Result) lasts() time.Duration {
	return min(r.Cleared+r.Cleared/10+time.Second, time.Duration(len(r.Steps))*r.Step)
}

// shrunk is the load over time in at most so many columns.
func (r Result) shrunk(most int) []column {
	steps := r.Steps[:min(len(r.Steps), int(r.lasts()/r.Step)+1)]
	n := min(most, len(steps))
	all := make([]column, n)
	for i := range all {
		from, to := i*len(steps)/n, (i+1)*len(steps)/n
		committed, took := 0, time.Duration(0)
		for _, s := range steps[from:to] {
			committed += s.Committed
			took += time.Duration(s.Committed) * s.Mean
		}
		all[i].rate = float64(committed) / (time.Duration(to-from) * r.Step).Seconds()
		if committed > 0 {
			all[i].took = ms(took / time.Duration(committed))
		}
		all[i].state = r.stateAt(time.Duration(from) * r.Step)
	}
	return all
}

// stateAt is the state in force at a time.
func (r Result) stateAt(at time.Duration) ltp.State {
	state := ltp.Recovering
	for _, s := range r.States {
		if s.At > at {
			break
		}
		state = s.State
	}
	return state
}
