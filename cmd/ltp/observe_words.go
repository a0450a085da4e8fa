package main

import (
	"fmt"
	"strings"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/observer"
)

// stamped is how ltp observe prints times: UTC, to the millisecond.
const stamped = "2006-01-02T15:04:05.000Z"

// verdictLine is a change of verdict as one line.
func verdictLine(was ltp.Verdict, o ltp.Observation) string {
	if was == "" {
		was = "no verdict"
	}
	return fmt.Sprintf("%s  %s  %s → %s  %s  %s", o.At.UTC().Format(stamped), o.Component, was, o.Verdict, plain(o.Reason), evidenceWords(o.Evidence))
}

// evidenceWords are "(5000 ms, limit 5000 ms, 1 sample; leader db1:5432, timeline 3)".
func evidenceWords(e ltp.Evidence) string {
	said := []string{fmt.Sprintf("%d ms", e.LatencyMs)}
	if e.ThresholdMs > 0 {
		said = append(said, fmt.Sprintf("limit %d ms", e.ThresholdMs))
	}
	said = append(said, words.Plural(e.Samples, "sample"))
	if e.Definite {
		said = append(said, "definite")
	}
	return "(" + words.Some("; ", strings.Join(said, ", "), plain(e.Error), whoWords(e.Facts)) + ")"
}

// whoFacts are the facts whose change is shown even where the verdict stays.
var whoFacts = []string{"leader", "timeline", "patroni_leader", "patroni_timeline"}

// whoWords are "leader db1:5432, timeline 3".
func whoWords(facts map[string]string) string {
	var said []string
	for _, name := range whoFacts {
		if value := facts[name]; value != "" {
			said = append(said, fact(name)+" "+plain(value))
		}
	}
	return strings.Join(said, ", ")
}

func fact(name string) string { return strings.ReplaceAll(name, "_", " ") }

// sampleWords are "3 ms", "hanging for 5000 ms", "error after 1 ms: …".
func sampleWords(s observer.Sample) string {
	ms := s.Latency.Milliseconds()
	switch {
	case s.Hanging:
		return fmt.Sprintf("hanging for %d ms", ms)
	case s.Err != nil:
		return fmt.Sprintf("error after %d ms: %s", ms, plain(s.Err.Error()))
	}
	return fmt.Sprintf("%d ms", ms)
}

// plain is text from outside on one line of a terminal.
func plain(s string) string { return words.Cut(words.Clean(s), 300) }
