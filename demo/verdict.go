package demo

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/printer"
	"github.com/ltp-node/ltp/internal/table"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/trace"
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
			fmt.Sprintf("%s submitted, %s accepted, %s", words.Plural(o.Submitted, "order"), words.Count(o.Accepted), words.Plural(o.Errors, "error"))},
		{"Nothing accepted is lost", o.Pending == 0 && db.Missing == 0 && ended == o.Accepted && o.Accepted > 0,
			fmt.Sprintf("%s accepted = %s; %s pending, %s missing in the order database", words.Count(o.Accepted),
				cmp.Or(words.Some(" + ", words.Part(o.Executed, "executed"), words.Part(o.Rejected, "rejected"), words.Part(o.Cancelled, "cancelled"), words.Part(o.Expired, "expired")), "none"),
				words.None(o.Pending), words.None(db.Missing))},
		{"An order takes effect once", db.Duplicates == 0 && db.Rows == o.Executed && o.Executed > 0,
			fmt.Sprintf("%s for %s, %s", words.Plural(db.Rows, "row"), words.Plural(o.Executed, "executed order"), words.Plural(db.Duplicates, "duplicate"))},
		{"No write is begun while unfit", db.WritesBegunWhileUnfit == 0 && r.wasUnfit(),
			fmt.Sprintf("%s begun between UNSTABLE and RECOVERING%s", words.Plural(db.WritesBegunWhileUnfit, "write"), db.underWay())},
		{"First deferred, first released", moved <= page && o.Deferred > 0,
			fmt.Sprintf("no order was overtaken by more than %s", words.Plural(moved, "place"))},
		{"The trace is complete", unnamed == 0 && replays > 0 && r.flickered(),
			fmt.Sprintf("%s, %s of them without the frame they replay; %s", words.Plural(replays, "replay"), words.None(unnamed), path(r.Timeline))},
	}
}

// underWay counts writes that no news could reach any more.
func (db OrderDB) underWay() string {
	if db.WritesUnderWay == 0 {
		return ""
	}
	return fmt.Sprintf("; %s past the fence when it was published, the latest by %s", words.Plural(db.WritesUnderWay, "write"), lasted(db.LatestUnderWayMs))
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
func (r Report) WriteText(w io.Writer, o trace.Options) error {
	p := printer.New(o.Color, o.Width)
	heading := func(text string) {
		p.Space()
		p.Paragraph(0, printer.In(printer.Bold, "%s", text))
		p.Space()
	}
	heading("What happened")
	for _, e := range r.story() {
		at := ""
		if !e.at.IsZero() {
			at = words.Clock(e.at)
		}
		p.Hanging(printer.Say("  %-*s  %s", len(words.Clock(e.at)), at, e.phase), 33, printer.Say("%s", words.Clean(e.text)))
	}
	heading("What was promised, and what was measured")
	for _, v := range r.Guarantees {
		verdict := printer.Held
		if !v.Held {
			verdict = printer.Broken
		}
		p.Claim(verdict, v.Guarantee, printer.Say("%s", v.Evidence))
	}
	heading("What it cost")
	cost := func(what, format string, args ...any) {
		p.Hanging(printer.Say("  %s", what), 34, printer.Say(format, args...))
	}
	cost("an order executed at once", "%s", r.Cost.Stable)
	cost("an order deferred and replayed", "%s", r.Cost.Deferred)
	stable, outage := r.API[string(phaseStable)], r.API[string(phaseOutage)]
	cost("until an order is durable", "p50 %.1f ms, p99 %.1f ms while STABLE; p50 %.1f ms, p99 %.1f ms during the outage",
		stable.AcceptP50Ms, stable.AcceptP99Ms, outage.AcceptP50Ms, outage.AcceptP99Ms)
	if _, err := p.WriteTo(w); err != nil || r.Comparison == nil {
		return err
	}
	return r.Comparison.writeText(w)
}

func (c Cost) String() string {
	return fmt.Sprintf("%s, %s, %s of history", words.Plural(c.Events, "event"), words.Plural(c.Transitions, "state transition"), words.Plural(c.HistoryBytes, "byte"))
}

func (c Comparison) writeText(w io.Writer) error {
	fmt.Fprintln(w)
	t := table.New(w, "the same orders in the same outage", "with the gate", "retries alone")
	row := func(what string, gate, plain int) { t.Row(what, words.Count(gate), words.Count(plain)) }
	row("executed", c.Gate.Executed, c.Plain.Executed)
	row("executions that failed", c.Gate.Failed, c.Plain.Failed)
	row("executions that failed when the outage was known", c.Gate.FailedKnowingly, c.Plain.FailedKnowingly)
	row("writes that began and failed", c.Gate.FailedWrites, c.Plain.FailedWrites)
	row("writes that began and failed when the outage was known", c.Gate.FailedWritesKnowingly, c.Plain.FailedWritesKnowingly)
	t.Row("from the end to the last commit", c.Gate.lastCommit(), c.Plain.lastCommit())
	return t.Flush()
}

func (a Approach) lastCommit() string { return lasted(a.LastCommitMs) }

func lasted(ms int64) string { return words.Lasted(time.Duration(ms) * time.Millisecond) }

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
			add(Time{}, "Stability", "%s, confirmed at once", words.Plural(r.API[string(phaseStable)].Requests, "order"))
			add(r.Outage.BeganAt, "Degradation", "%s", r.Outage.Begins)
		}
		switch t.State {
		case ltp.Unstable:
			add(t.At, "Degradation", "UNSTABLE, epoch %d: %s (noticed after %s)", t.Epoch, t.Reason, lasted(r.Outage.DetectedAfterMs))
			add(Time{}, "Deferral window", "%s deferred: %q", words.Plural(r.Orders.Deferred, "order"), ltp.MessagePending)
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
				add(r.Recovery.LastCommitAt, "Resolution", "last order of the backlog committed, %s after RECOVERING", lasted(r.Recovery.DrainMs))
			}
			add(t.At, phase, "STABLE, epoch %d: %s", t.Epoch, t.Reason)
		default:
			add(t.At, "Stability", "%s, epoch %d: %s", t.State, t.Epoch, t.Reason)
		}
	}
	return lines
}
