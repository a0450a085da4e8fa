package main

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/replay"
)

// replayView shows the status of a replay: once, or again and again in place.
type replayView struct {
	w        io.Writer
	terminal bool
	json     bool
	lines    int // that the last picture took
}

func (v *replayView) show(all []replayStatus, again bool) error {
	if v.json {
		for _, s := range all {
			if err := printJSONLine(v.w, s); err != nil {
				return err
			}
		}
		return nil
	}
	var picture []string
	for _, s := range all {
		picture = append(picture, v.picture(s, again)...)
	}
	if v.terminal {
		if v.lines > 0 {
			fmt.Fprintf(v.w, "\x1b[%dA\x1b[J", v.lines)
		}
		v.lines = len(picture)
	}
	_, err := fmt.Fprintln(v.w, strings.Join(picture, "\n"))
	return err
}

// picture is the status of a component as it is shown.
func (v *replayView) picture(s replayStatus, again bool) []string {
	lines := s.lines()
	if !v.terminal {
		return lines
	}
	if again { // a line that the terminal wraps could not be painted over
		lines = wrapped(lines, look(v.w).Width)
	}
	if look(v.w).Color {
		lines[0] = strings.Replace(lines[0], string(s.State), colourOf(s.State)+string(s.State)+"\x1b[0m", 1)
	}
	return lines
}

// lines are the status for people.
func (s replayStatus) lines() []string {
	seen := shownOrientation{Unreadable: s.Unreadable, at: s.At}
	seen.Component, seen.State, seen.Epoch, seen.Since, seen.Reason = s.Component, s.State, s.Epoch, s.Since, s.Reason
	all := []string{seen.head()}
	if s.Replay != nil {
		all = append(all, s.replaying()...)
	} else {
		all = append(all, s.waiting()...)
	}
	for _, line := range controlWords(s.ReplayControl, s.At) {
		all = append(all, "  "+line)
	}
	return all
}

// replaying shows a release under way.
func (s replayStatus) replaying() (all []string) {
	say := func(format string, args ...any) { all = append(all, "  "+fmt.Sprintf(format, args...)) }
	r := s.Replay.Report
	if r == nil {
		say("%s begins: no word of it yet", s.Replay.WorkflowID)
	} else {
		total := int64(r.Released) + r.Remaining
		say("%-8s %s  %s of %s released, %s left", r.Phase, bar(r.Released, int(max(total, 1)), 30),
			words.Count(r.Released), words.Count(int(total)), words.Count(int(r.Remaining)))
		rate := fmt.Sprintf("%.0f orders/s", r.Rate)
		if r.Ceiling > 0 {
			rate += fmt.Sprintf(", at most %.0f now", r.Ceiling)
		}
		say("rate     %s; %s", rate, s.left())
		if !r.Oldest.IsZero() && r.Remaining > 0 {
			say("oldest   accepted %s", ago(r.Oldest, s.At))
		}
		say("so far   %s and %s since %s", words.Plural(r.Passes, "sweep"), words.Plural(r.Setbacks, "setback"), ago(r.BegunAt, s.At))
		if silent := s.At.Sub(r.At); silent > 10*time.Second && !r.At.IsZero() {
			say("silent   no report for %s: is a worker up?", words.Lasted(silent.Round(time.Second)))
		}
	}
	if s.Replay.Settling {
		say("%s has drained the backlog, and looks for what shows up late", s.Replay.WorkflowID)
	}
	if s.Replay.Attempt > 1 {
		say("attempt  %d; the one before ended: %s", s.Replay.Attempt, s.Replay.LastError)
	}
	return all
}

// left is about how long the rest takes.
func (s replayStatus) left() string {
	switch r := s.Replay; {
	case r.Report.Phase == replay.PhasePaused:
		return "paused: the rest waits"
	case r.LeftSeconds > 0:
		left := time.Duration(r.LeftSeconds * float64(time.Second))
		return fmt.Sprintf("about %s left, until %s UTC", words.Lasted(left.Round(time.Second)), s.At.Add(left).Format(time.TimeOnly))
	}
	return "no estimate yet"
}

// waiting shows what waits when nothing is replayed, and what for.
func (s replayStatus) waiting() (all []string) {
	if s.Waiting == 0 {
		return []string{"  Nothing is replayed, and no order waits."}
	}
	var why []string
	for _, reason := range slices.SortedFunc(maps.Keys(s.Reasons), func(a, b ltp.Reason) int {
		return cmp.Or(cmp.Compare(s.Reasons[b], s.Reasons[a]), cmp.Compare(a, b))
	}) {
		why = append(why, fmt.Sprintf("%s %s", words.Count(int(s.Reasons[reason])), reason))
	}
	all = append(all, fmt.Sprintf("  Nothing is replayed. Waiting: %s (%s).", words.Plural(s.Waiting, "order"), strings.Join(why, ", ")))
	if s.Next != nil {
		all = append(all, fmt.Sprintf("  First in turn: %s, accepted %s.", s.Next.OrderID, ago(s.Next.AcceptedAt, s.At)))
	}
	switch {
	case s.State == ltp.Recovering:
		all = append(all, "  No release runs: is a worker up? Each order also looks by itself, at the latest when its longest backstop fires.")
	case s.State.Fit():
		all = append(all, "  Each order looks at the state again when its backstop fires.")
	default:
		all = append(all, "  They are released when the state is RECOVERING: ltp replay plan shows how.")
	}
	return all
}

// wrapped are lines that fit, each broken between words; what follows the first is indented.
func wrapped(lines []string, width int) (all []string) {
	const indent = "    "
	for _, line := range lines {
		if text.StringWidth(line) <= width {
			all = append(all, line)
			continue
		}
		begin := ""
		for part := range strings.SplitSeq(text.WrapSoft(line, width-len(indent)), "\n") {
			all = append(all, begin+strings.TrimRight(part, " "))
			begin = indent
		}
	}
	return all
}
