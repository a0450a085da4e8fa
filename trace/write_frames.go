package trace

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
)

func (p *printer) orientation(e Entry) {
	o := e.Frames[0].Orientation
	change := line{}
	if e.From != "" && e.From != o.State {
		change = change.then(stateStyle(e.From), "%s", e.From).then(faint, " ──▶ ")
	}
	lines := []line{p.held(change, o.Component, o.State, o.Epoch)}
	if o.Reason != "" {
		lines = append(lines, line{{words.Clean(o.Reason), bold}})
	}
	if said := evidence(o.Evidence); said != "" {
		lines = append(lines, say("%s", said))
	}
	if o.Observer != "" {
		lines = append(lines, whisper("seen by %s", words.Clean(o.Observer)))
	}
	if o.Hold != nil && o.Hold.Freeze {
		lines = append(lines, say("intake is frozen"))
	}
	if o.Observed != "" {
		lines = append(lines, whisper("observers see %s", o.Observed))
	}
	p.row(row{mark: "●", at: e.At, no: e.Frames[0].No, kind: string(ltp.FrameOrientation), style: stateStyle(o.State), lines: lines})
}

// evidence is what was measured, as a list.
func evidence(e ltp.Evidence) string {
	var said []string
	switch {
	case e.LatencyMs > 0 && e.ThresholdMs > 0:
		said = append(said, fmt.Sprintf("latency %s ms, limit %s ms", words.Count(int(e.LatencyMs)), words.Count(int(e.ThresholdMs))))
	case e.LatencyMs > 0:
		said = append(said, fmt.Sprintf("latency %s ms", words.Count(int(e.LatencyMs))))
	}
	if e.Samples > 0 {
		said = append(said, words.Plural(e.Samples, "sample"))
	}
	if e.Definite {
		said = append(said, "definite")
	}
	for _, k := range slices.Sorted(maps.Keys(e.Facts)) {
		said = append(said, words.Clean(k)+" "+words.Clean(e.Facts[k]))
	}
	if e.Error != "" {
		said = append(said, "error: "+words.Clean(e.Error))
	}
	return strings.Join(said, ", ")
}

// asked shows a route request.
func (p *printer) asked(e Entry, brief bool) []line {
	q := e.Frames[0].Request
	lines := []line{say("order %s", e.OrderID).then(faint, " ·%s%s", glue, strings.ReplaceAll(words.Clean(e.Amount), " ", glue))}
	switch {
	case !q.Replay:
		return lines
	case e.Replays > 0:
		lines = append(lines, say("replays #%d (frame%s%s)", e.Replays, glue, q.OriginalFrameID))
	default:
		lines = append(lines, say("replays frame %s", q.OriginalFrameID))
	}
	if !brief {
		lines = append(lines, whys(*q, time.Duration(e.WaitedMs)*time.Millisecond)...)
	}
	return lines
}

// whys says why an order was deferred, for how long, and why it asks again.
func whys(q ltp.RouteRequest, waited time.Duration) (lines []line) {
	if q.Woken == ltp.WokenByFailure {
		return append(lines, whisper("was admitted, its execution failed, and it asks again"))
	}
	if q.DeferredReason != "" {
		lines = append(lines, whisper("deferred for %s", words.Clean(string(q.DeferredReason))))
	}
	if q.Woken == ltp.WokenByRetry {
		return []line{whisper("was parked for %s, until an operator asked to retry it", words.Lasted(waited))}
	}
	if p := q.Asked.Pass; q.Woken == ltp.WokenByPass && p != nil {
		return append(lines, whisper("waited %s, until %s %s", words.Lasted(waited), words.Clean(p.By), words.Clean(PassText(*p))))
	}
	by := "its own timer"
	switch q.Woken {
	case ltp.WokenByFence:
		return append(lines, whisper("was admitted, and the fence before the write routed it again"))
	case ltp.WokenBySignal:
		by = "the replay engine"
	case ltp.WokenByTurn:
		by = "its turn"
	}
	return append(lines, whisper("waited %s, woken by %s", words.Lasted(waited), by))
}

// answered shows a route response.
func (p *printer) answered(r ltp.RouteResponse, brief bool) []line {
	decided := line{{string(r.Decision), yellow}}
	if r.Admissible {
		decided[0].style = green
	}
	lines := []line{decided.then(plain, " %s", words.Clean(string(r.Reason)))}
	if brief {
		return lines
	}
	lines = append(lines, p.held(say("admissible: %t · ", r.Admissible), r.Component, r.State, r.Epoch))
	switch {
	case r.Reason != ltp.ReasonExecuteUnavailable: // the state says it
	case r.Blame == ltp.BlameOrder:
		lines = append(lines, whisper("the fault is the order's own: another order, or the probe's, took the same write path"))
	case r.Blame == ltp.BlameComponent:
		lines = append(lines, whisper("the fault is the component's: the probe's own order failed as well"))
	}
	if r.Commitment != "" {
		lines = append(lines, say("“%s”", words.Clean(r.Commitment)))
	}
	return lines
}

// wrote says how an execution ended, that followed the answer r.
func (p *printer) wrote(l line, x Execution, r *ltp.RouteResponse) line {
	message := words.Clean(x.Error)
	for _, said := range []string{"not begun: ", "unavailable: ", "outcome unknown: "} {
		message = strings.TrimPrefix(message, said) // we say that ourselves
	}
	switch x.Result {
	case "":
		if x.External() && x.StartedAt.IsZero() {
			return l.then(plain, "handed to your activity at %s, which has not answered", p.when(x.ScheduledAt))
		}
		return l.then(plain, "under way since %s", p.when(x.TaskAt))
	case ltp.ResultExecuted:
		l = l.then(green, "EXECUTED")
		took, ok := x.Wrote()
		if !ok {
			return l.then(plain, ": an earlier attempt had written it")
		}
		l = l.then(plain, " in %s", strings.ReplaceAll(words.Lasted(took), " ", glue))
		if x.slow() {
			l = l.then(plain, ", at %s,", p.when(x.CommittedAt()))
		}
		l = l.then(plain, " under ")
		if r != nil && x.Fence.Component == r.Component && x.Fence.State == r.State && x.Fence.Epoch == r.Epoch {
			return l.then(plain, "epoch%s%d", glue, r.Epoch)
		}
		return p.held(l, x.Fence.Component, x.Fence.State, x.Fence.Epoch)
	case ltp.ResultRefused:
		return l.then(red, "REFUSED").then(plain, "%s", because("", message))
	case ltp.ResultNotBegun, ltp.ResultNotGiven:
		return l.then(yellow, "no write begun").then(plain, "%s", because("", message))
	case ltp.ResultUnavailable:
		return l.then(yellow, "nothing written").then(plain, "%s", because("", message))
	case ltp.ResultWithdrawn:
		l = l.then(yellow, "not written")
		if x.Withdrawn == nil {
			return l
		}
		return l.then(plain, ": it was withdrawn before, as %s", x.Withdrawn.State)
	}
	return l.then(red, "outcome unknown").then(plain, "%s", because("", message))
}

// found says what one try to end an order found.
func (p *printer) found(w Withdrawal) line {
	l := say("to be %s", w.Asked.State)
	switch w.Found {
	case ltp.FoundUnwritten:
		return p.held(l.then(plain, ": it cannot have been written under "), w.Fence.Component, w.Fence.State, w.Fence.Epoch)
	case ltp.FoundTombstone:
		return l.then(plain, ": the order database keeps that it will never be written")
	case ltp.FoundOrder:
		return l.then(plain, ": it was written already")
	}
	if w.Error != "" {
		return l.then(plain, ": nobody can tell yet whether it was written: %s", words.Clean(w.Error))
	}
	return l.then(plain, ": nobody can tell yet whether it was written")
}
