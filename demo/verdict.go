package demo

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
)

// page is how far an order may be overtaken: a page of the listing.
const page = 500

// judge holds the guarantees against the figures. Where there was nothing to hold them
// against, such as no order or no outage, they are not held.
func (r *Report) judge(records []record) {
	o, db := r.Orders, r.OrderDB
	ended := o.Executed + o.Rejected + o.Cancelled + o.Expired
	replays, unnamed := countReplays(records)
	moved := overtaken(records)
	r.Guarantees = []Verdict{
		{"Nobody read an error", o.Errors == 0 && o.Submitted > 0,
			fmt.Sprintf("%d orders submitted, %d accepted, %d errors", o.Submitted, o.Accepted, o.Errors)},
		{"Nothing accepted is lost", o.Pending == 0 && db.Missing == 0 && ended == o.Accepted && o.Accepted > 0,
			fmt.Sprintf("%d accepted = %d executed + %d rejected + %d cancelled + %d expired; %d pending, %d missing in the order database",
				o.Accepted, o.Executed, o.Rejected, o.Cancelled, o.Expired, o.Pending, db.Missing)},
		{"An order takes effect once", db.Duplicates == 0 && db.Rows == o.Executed && o.Executed > 0,
			fmt.Sprintf("%d rows for %d executed orders, %d duplicates", db.Rows, o.Executed, db.Duplicates)},
		{"No write is begun while unfit", db.WritesBegunWhileUnfit == 0 && r.wasUnfit(),
			fmt.Sprintf("%d writes begun between UNSTABLE and RECOVERING%s", db.WritesBegunWhileUnfit, db.underWay())},
		{"First deferred, first released", moved <= page && o.Deferred > 0,
			fmt.Sprintf("no order was overtaken by more than %d places", moved)},
		{"The trace is complete", unnamed == 0 && replays > 0 && r.flickered(),
			fmt.Sprintf("%d replays, %d of them without the frame they replay; %s", replays, unnamed, path(r.Timeline))},
	}
}

// underWay counts writes that no news could reach any more.
func (db OrderDB) underWay() string {
	if db.WritesUnderWay == 0 {
		return ""
	}
	return fmt.Sprintf("; %d were past the fence when it was published, the latest by %d ms", db.WritesUnderWay, db.LatestUnderWayMs)
}

// countReplays counts the replays, and those that do not name the frame that they
// replay.
func countReplays(records []record) (replays, unnamed int) {
	for _, rec := range records {
		for _, f := range rec.trace.Frames {
			if f.Request == nil || !f.Request.Replay {
				continue
			}
			replays++
			if f.Request.OriginalFrameID != ltp.RequestFrameID(rec.answer.orderID, 1) {
				unnamed++
			}
		}
	}
	return replays, unnamed
}

// wasUnfit reports whether the component was known to be unfit at any time.
func (r *Report) wasUnfit() bool {
	return slices.ContainsFunc(r.Timeline, func(t Transition) bool { return t.State == ltp.Unstable })
}

// flickered reports whether the timeline ends as the incident does.
func (r *Report) flickered() bool {
	return strings.HasSuffix(path(r.Timeline), "STABLE → UNSTABLE → RECOVERING → STABLE")
}

func path(timeline []Transition) string {
	states := make([]string, len(timeline))
	for i, t := range timeline {
		states[i] = string(t.State)
	}
	return strings.Join(states, " → ")
}

// WriteText writes the report for people: the timeline in the phases of the
// postmortem, the figures, and a verdict for each guarantee.
func (r Report) WriteText(w io.Writer, colour bool) error {
	b := &strings.Builder{}
	paint := func(code, s string) string {
		if !colour {
			return s
		}
		return "\x1b[" + code + "m" + s + "\x1b[0m"
	}
	fmt.Fprintf(b, "\n%s\n\n", paint("1", "What happened"))
	for _, e := range r.story() {
		at := "            "
		if !e.at.IsZero() {
			at = e.at.UTC().Format("15:04:05.000")
		}
		fmt.Fprintf(b, "  %s  %-16s %s\n", at, e.phase, e.text)
	}
	fmt.Fprintf(b, "\n%s\n\n", paint("1", "What was promised, and what was measured"))
	for _, v := range r.Guarantees {
		mark := paint("32", "held  ")
		if !v.Held {
			mark = paint("31;1", "BROKEN")
		}
		fmt.Fprintf(b, "  %s  %-32s %s\n", mark, v.Guarantee, v.Evidence)
	}
	stable, outage := r.API[string(phaseStable)], r.API[string(phaseOutage)]
	fmt.Fprintf(b, `
%s

  an order executed at once       %d events, %d state transitions, %d bytes of history
  an order deferred and replayed  %d events, %d state transitions, %d bytes of history
  until an order is durable       p50 %.1f ms, p99 %.1f ms while STABLE; p50 %.1f ms, p99 %.1f ms during the outage
`, paint("1", "What it cost"),
		r.Cost.Stable.Events, r.Cost.Stable.Transitions, r.Cost.Stable.HistoryBytes,
		r.Cost.Deferred.Events, r.Cost.Deferred.Transitions, r.Cost.Deferred.HistoryBytes,
		stable.AcceptP50Ms, stable.AcceptP99Ms, outage.AcceptP50Ms, outage.AcceptP99Ms)
	if c := r.Comparison; c != nil {
		fmt.Fprintf(b, "\n%s\n\n", paint("1", "The same orders in the same outage"))
		fmt.Fprintf(b, "  %-34s %14s %14s\n", "", "with the gate", "retries alone")
		for _, row := range []struct {
			what        string
			gate, plain any
		}{
			{"executed", c.Gate.Executed, c.Plain.Executed},
			{"executions that failed", c.Gate.Failed, c.Plain.Failed},
			{"  when the outage was known", c.Gate.FailedKnowingly, c.Plain.FailedKnowingly},
			{"writes that began and failed", c.Gate.FailedWrites, c.Plain.FailedWrites},
			{"  when the outage was known", c.Gate.FailedWritesKnowingly, c.Plain.FailedWritesKnowingly},
			{"from the end to the last commit, ms", c.Gate.LastCommitMs, c.Plain.LastCommitMs},
		} {
			fmt.Fprintf(b, "  %-37s %11v %14v\n", row.what, row.gate, row.plain)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

type storyLine struct {
	at    time.Time
	phase string
	text  string
}

// story is the timeline in the phases of the postmortem.
func (r Report) story() []storyLine {
	var lines []storyLine
	add := func(at Time, phase, format string, args ...any) {
		lines = append(lines, storyLine{at.Time, phase, fmt.Sprintf(format, args...)})
	}
	shown := false
	for _, t := range r.Timeline {
		if !shown && t.At.After(r.Outage.BeganAt.Time) {
			shown = true
			add(Time{}, "Stability", "%d orders, confirmed at once", r.API[string(phaseStable)].Requests)
			add(r.Outage.BeganAt, "Degradation", "%s", r.Outage.Begins)
		}
		switch t.State {
		case ltp.Unstable:
			add(t.At, "Degradation", "UNSTABLE, epoch %d: %s (noticed after %d ms)", t.Epoch, t.Reason, r.Outage.DetectedAfterMs)
			add(Time{}, "Deferral window", "%d orders deferred: %q", r.Orders.Deferred, ltp.MessagePending)
			add(r.Outage.EndedAt, "Recovery", "%s", r.Outage.Ends)
		case ltp.Recovering:
			phase := "Recovery"
			if !shown {
				phase = "Stability"
			}
			add(t.At, phase, "RECOVERING, epoch %d: %s", t.Epoch, t.Reason)
		case ltp.Stable:
			phase := "Resolution"
			if !shown {
				phase = "Stability"
			} else {
				add(r.Recovery.FirstCommitAt, "Resolution", "first deferred order committed")
				add(r.Recovery.LastCommitAt, "Resolution", "last order of the backlog committed, %d ms after RECOVERING", r.Recovery.DrainMs)
			}
			add(t.At, phase, "STABLE, epoch %d: %s", t.Epoch, t.Reason)
		default:
			add(t.At, "Stability", "%s, epoch %d: %s", t.State, t.Epoch, t.Reason)
		}
	}
	return lines
}
