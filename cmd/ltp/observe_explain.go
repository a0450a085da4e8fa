package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/node"
	"github.com/ltp-node/ltp/observer"
	"github.com/ltp-node/ltp/workflows"
)

// explain says what the thresholds mean, and what they would have made of samples.
func explain(cmd *cobra.Command, f observeFlags, c node.Config) error {
	rules := observer.Rules{Settings: c.Settings, Policy: ltp.DefaultPolicy().Next(c.Policy), Drain: f.drain, Heartbeat: workflows.HeartbeatTimeout}
	out := bufio.NewWriter(cmd.OutOrStdout())
	defer out.Flush()
	var err error
	if f.as.JSON() {
		err = printJSONLine(out, map[string]any{"rules": rulesInMs(f.component, rules)})
	} else {
		err = explainRules(out, f.component, rules)
	}
	if err != nil || f.samples == "" {
		return err
	}
	from, err := openSamples(cmd, f.samples)
	if err != nil {
		return err
	}
	defer from.Close()
	sim := observer.NewSimulation(f.component, rules)
	for d, err := range sim.Run(observer.ReadRecording(from)) {
		if err != nil {
			return fmt.Errorf("--samples %s: %w", f.samples, err)
		}
		if f.as.JSON() {
			err = printJSONLine(out, d)
		} else {
			_, err = fmt.Fprintln(out, decisionLine(d))
		}
		if err != nil {
			return err
		}
	}
	if f.as.JSON() {
		return printJSONLine(out, map[string]any{"totals": sim.Totals()})
	}
	return writeTotals(out, sim.Totals())
}

func openSamples(cmd *cobra.Command, path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(cmd.InOrStdin()), nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("--samples: %w", err)
	}
	return file, nil
}

func explainRules(w io.Writer, component string, r observer.Rules) error {
	s, p := r.Settings, r.Policy
	every := func(n int) string { return words.Short(time.Duration(n) * s.Interval) }
	window := "errors between good writes are not counted (--window 0)"
	if s.Window > 0 {
		window = fmt.Sprintf("%d of the latest %d writes failed, also with good ones between: within %s (--window)", max(s.Fall, (s.Window+1)/2), s.Window, every(s.Window))
	}
	_, err := fmt.Fprintf(w, `What is held of %s, at one write every %s (--interval)

UNSTABLE, at once, when
  a write has been hanging for %s, or took as long (--unfit-latency);
  a connection is refused, or the component says that it takes no writes: with the next write, within %s;
  %d writes in a row failed otherwise: within %s (--fall), and the time that a failure takes;
  %s.
A write that hangs is given up for a new connection after %s (--timeout).

DEGRADED when %d writes in a row took %s or longer (--fall, --slow-latency), until %d in a row took less than %s (--rise, --slow-exit). Orders of high risk wait.

RECOVERING when %d writes in a row took less than %s each (--rise, --fit-latency), and the component has been observed fit for %s since (--dwell). That doubles with every fall into UNSTABLE within %s (--flap-window), up to %s (--max-dwell). Then STABLE, when the orders that waited have been replayed.

UNKNOWN when nobody observes: an observer is taken for dead after %s of silence, and another has %s to take over (--grace).

So an outage with refused connections is noticed within %s, one where writes hang after %s, and the end of either %s after it at the earliest: %s of good writes and %s of dwell.
`,
		component, words.Short(s.Interval),
		words.Short(s.UnfitLatency),
		every(1),
		s.Fall, every(s.Fall),
		window,
		words.Short(s.Timeout),
		s.Fall, words.Short(s.SlowLatency), s.Rise, words.Short(s.SlowExit),
		s.Rise, words.Short(s.FitLatency), words.Short(p.Dwell), words.Short(p.FlapWindow), words.Short(p.MaxDwell),
		words.Short(r.Heartbeat), words.Short(p.Grace),
		every(1), words.Short(s.UnfitLatency), words.Short(time.Duration(s.Rise)*s.Interval+p.Dwell), every(s.Rise), words.Short(p.Dwell),
	)
	return err
}

// rulesInMs are the rules for a program: durations in milliseconds.
func rulesInMs(component string, r observer.Rules) map[string]any {
	s, p := r.Settings, r.Policy
	return map[string]any{
		"component":   component,
		"interval_ms": s.Interval.Milliseconds(), "timeout_ms": s.Timeout.Milliseconds(),
		"unfit_latency_ms": s.UnfitLatency.Milliseconds(), "fit_latency_ms": s.FitLatency.Milliseconds(),
		"slow_latency_ms": s.SlowLatency.Milliseconds(), "slow_exit_ms": s.SlowExit.Milliseconds(),
		"fall": s.Fall, "rise": s.Rise, "window": s.Window,
		"dwell_ms": p.Dwell.Milliseconds(), "max_dwell_ms": p.MaxDwell.Milliseconds(),
		"flap_window_ms": p.FlapWindow.Milliseconds(), "grace_ms": p.Grace.Milliseconds(),
		"heartbeat_ms": r.Heartbeat.Milliseconds(), "drain_ms": r.Drain.Milliseconds(),
	}
}

func decisionLine(d observer.Decision) string {
	if d.Observation != nil {
		return verdictLine(d.Was, *d.Observation)
	}
	o := d.Orientation
	return fmt.Sprintf("%s  %s  %s → %s  epoch %d  %s", d.At.UTC().Format(stamped), o.Component, d.From, o.State, o.Epoch, plain(o.Reason))
}

func writeTotals(w io.Writer, t observer.Totals) error {
	if t.Samples == 0 {
		_, err := fmt.Fprintln(w, "\nNo sample.")
		return err
	}
	whole := t.To.Sub(t.From)
	fmt.Fprintf(w, "\n%s from %s to %s (%s)\n", words.Plural(t.Samples, "sample"), t.From.Format(stamped), t.To.Format(stamped), words.Short(whole))
	for _, state := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering, ltp.Unstable, ltp.Unknown} {
		if in := t.In[state]; in > 0 {
			fmt.Fprintf(w, "  %-10s  %12s  %6.2f %%\n", state, words.Short(in), 100*in.Seconds()/whole.Seconds())
		}
	}
	_, err := fmt.Fprintf(w, "%s, %s into UNSTABLE, %d of them within the flap window of another\n", words.Plural(t.Incidents, "incident"), words.Plural(t.Falls, "fall"), t.Flaps)
	return err
}
