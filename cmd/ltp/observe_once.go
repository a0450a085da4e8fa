package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/observer"
)

// The exit statuses of ltp observe --once, besides 0 for a component that is fit.
const (
	exitUnfit      exitCode = 1
	exitCannotTell exitCode = 2
)

// observeOnce looks until there is a first verdict and prints it.
func (a *app) observeOnce(cmd *cobra.Command, f observeFlags, s observer.Settings) error {
	at, _ := f.where(a)
	probe, err := f.open(at)
	if err != nil {
		return cannotTell(cmd, err)
	}
	defer probe.Close()
	patience := firstVerdict(s)
	ctx, cancel := context.WithTimeout(cmd.Context(), patience)
	defer cancel()
	var seen ltp.Observation
	var newest observer.Sample
	err = observer.Watch(ctx, probe, s, "", func(o ltp.Observation) {
		if seen.Verdict == "" {
			seen = o
		}
		cancel()
	}, func(now observer.Status) { newest = now.Sample })
	switch {
	case seen.Verdict != "":
	case cmd.Context().Err() != nil:
		return cannotTell(cmd, fmt.Errorf("interrupted before %s had a verdict", f.component))
	case ctx.Err() == nil:
		return cannotTell(cmd, err)
	default:
		return cannotTell(cmd, fmt.Errorf("%s has no verdict within %s; its newest sample: %s", f.component, words.Short(patience), sampleWords(newest)))
	}
	seen.Component, seen.Observer = f.component, "ltp observe --once"
	if f.as.JSON() {
		err = printJSONLine(cmd.OutOrStdout(), seen)
	} else {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s  %s  %s  %s\n", f.component, seen.Verdict, plain(seen.Reason), evidenceWords(seen.Evidence))
	}
	if err != nil {
		return cannotTell(cmd, err)
	}
	if !seen.Verdict.Fit() {
		return exitUnfit
	}
	return nil
}

// firstVerdict is how long a verdict may take: a write that hangs, or several that
// fail, and a second for connecting.
func firstVerdict(s observer.Settings) time.Duration {
	return s.UnfitLatency + time.Duration(s.Fall+s.Rise)*s.Interval + time.Second
}

// cannotTell says why there is no answer, with a status that is none.
func cannotTell(cmd *cobra.Command, err error) error {
	fmt.Fprintln(cmd.ErrOrStderr(), "ltp:", err)
	return exitCannotTell
}
