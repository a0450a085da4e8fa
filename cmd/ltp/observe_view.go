package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/terminal"
	"github.com/ltp-node/ltp/observer"
)

// observerView shows what an observer does: a line for every change, which stays, and
// on a terminal one below them that shows how it is now. It is safe for concurrent
// use.
type observerView struct {
	component string
	terminal  bool
	log       *slog.Logger

	mu       sync.Mutex
	w        io.Writer
	painted  bool
	watches  int // that run now; more than one for a moment at most
	verdict  ltp.Verdict
	newest   observer.Status
	who      map[string]string // the newest facts of whoFacts
	minute   []timed           // latencies of the last minute
	results  map[observer.Result]int
	summedUp time.Time
}

type timed struct {
	at      time.Time
	latency time.Duration
}

const (
	paintEvery = 250 * time.Millisecond
	// mostLatencies bounds what a minute holds, for intervals that are very short.
	mostLatencies = 10_000
)

func newObserverView(w io.Writer, component string, log *slog.Logger) *observerView {
	return &observerView{
		w: w, component: component, terminal: terminal.Is(w), log: log,
		who: map[string]string{}, results: map[observer.Result]int{},
	}
}

// Write writes what is to stay, such as a line of the log.
func (v *observerView) Write(p []byte) (int, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.wipe()
	return v.w.Write(p)
}

func (v *observerView) wipe() {
	if v.painted {
		fmt.Fprint(v.w, "\r\x1b[K")
		v.painted = false
	}
}

// stay writes a line that stays.
func (v *observerView) stay(line string) { fmt.Fprintln(v, line) }

func (v *observerView) active(now bool) {
	v.mu.Lock()
	words := "is no longer observed from here"
	if now {
		v.watches++
		v.verdict, v.summedUp = "", time.Now()
		words = "is observed from here"
	} else if v.watches--; v.watches > 0 {
		v.mu.Unlock()
		return
	}
	v.mu.Unlock()
	v.stay(fmt.Sprintf("%s  %s  %s", time.Now().UTC().Format(stamped), v.component, words))
	v.log.Info("observer", "component", v.component, "active", now)
}

func (v *observerView) said(o ltp.Observation) {
	o.Component = v.component
	v.mu.Lock()
	was := v.verdict
	v.verdict = o.Verdict
	v.mu.Unlock()
	v.stay(verdictLine(was, o))
	v.log.Info("verdict", "component", v.component, "from", was, "to", o.Verdict, "reason", o.Reason,
		"latency_ms", o.Evidence.LatencyMs, "threshold_ms", o.Evidence.ThresholdMs, "samples", o.Evidence.Samples,
		"definite", o.Evidence.Definite, "error", o.Evidence.Error,
		"leader", o.Evidence.Facts["leader"], "timeline", o.Evidence.Facts["timeline"])
}

func (v *observerView) saw(now observer.Status) {
	changes, attrs := v.keep(now)
	if changes != "" {
		v.stay(fmt.Sprintf("%s  %s  %s", now.At.UTC().Format(stamped), v.component, changes))
		v.log.Info("leader", attrs...)
	}
	if summary := v.sumUp(now.At); summary != nil {
		v.log.Info("samples", summary...)
	}
}

// keep remembers a sample and returns which facts of whoFacts are others than before.
func (v *observerView) keep(now observer.Status) (changes string, attrs []any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.newest = now
	if now.Result != "" {
		v.results[now.Result]++
	}
	if !now.Sample.Hanging {
		v.minute = append(v.latest(now.At), timed{now.At, now.Sample.Latency})
	}
	var said []string
	attrs = []any{"component", v.component}
	for _, name := range whoFacts {
		value, before := now.Sample.Facts[name], v.who[name]
		if value == "" || value == before {
			continue
		}
		v.who[name] = value
		if before != "" {
			said = append(said, fmt.Sprintf("%s %s → %s", fact(name), plain(before), plain(value)))
			attrs = append(attrs, name, value, name+"_before", before)
		}
	}
	return strings.Join(said, ", "), attrs
}

// latest are the latencies of the last minute.
func (v *observerView) latest(now time.Time) []timed {
	old := 0
	for old < len(v.minute) && (now.Sub(v.minute[old].at) > time.Minute || len(v.minute)-old >= mostLatencies) {
		old++
	}
	return slices.Delete(v.minute, 0, old)
}

// sumUp returns what the last minute held, once a minute.
func (v *observerView) sumUp(now time.Time) []any {
	v.mu.Lock()
	defer v.mu.Unlock()
	if now.Sub(v.summedUp) < time.Minute {
		return nil
	}
	v.summedUp = now
	attrs := []any{"component", v.component, "verdict", v.newest.Verdict, "p99_ms", v.p99(now).Milliseconds()}
	for _, r := range observer.Results {
		attrs = append(attrs, string(r), v.results[r])
	}
	clear(v.results)
	return attrs
}

// p99 is the nearest rank of the writes of the last minute that have returned.
func (v *observerView) p99(now time.Time) time.Duration {
	v.minute = v.latest(now)
	if len(v.minute) == 0 {
		return 0
	}
	all := make([]time.Duration, len(v.minute))
	for i, l := range v.minute {
		all[i] = l.latency
	}
	slices.Sort(all)
	return all[(len(all)*99+99)/100-1]
}

// live paints how it is now on a terminal until ctx ends.
func (v *observerView) live(ctx context.Context, orientation func() ltp.Orientation) {
	if !v.terminal {
		return
	}
	tick := time.NewTicker(paintEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			v.mu.Lock()
			v.wipe()
			v.mu.Unlock()
			return
		case <-tick.C:
			v.paint(orientation(), time.Now())
		}
	}
}

func (v *observerView) paint(now ltp.Orientation, at time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	line := []rune(v.line(now, at))
	if width, _, ok := terminal.Size(v.w); ok && len(line) >= width {
		line = line[:max(width-1, 0)] // a line that wraps cannot be wiped
	}
	fmt.Fprintf(v.w, "\r\x1b[K%s", string(line))
	v.painted = true
}

// line is how it is now.
func (v *observerView) line(now ltp.Orientation, at time.Time) string {
	said := []string{v.component}
	if v.watches == 0 {
		said = append(said, "stands by")
	} else {
		verdict := string(v.verdict)
		if verdict == "" {
			verdict = "no verdict yet"
		}
		said = append(said, "active", verdict)
		if who := whoWords(maps.Clone(v.who)); who != "" {
			said = append(said, who)
		}
		said = append(said, fmt.Sprintf("%s, p99 %d ms", sampleWords(v.newest.Sample), v.p99(at).Milliseconds()))
	}
	return strings.Join(append(said, fmt.Sprintf("%s epoch %d", now.State, now.Epoch)), "  ")
}
