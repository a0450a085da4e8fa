package trace

import (
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/printer"
	"github.com/ltp-node/ltp/internal/words"
)

func (p *writer) orientation(e Entry) {
	o := e.Frames[0].Orientation
	var change printer.Line
	if e.From != "" && e.From != o.State {
		change = change.In(stateStyle(e.From), "%s", e.From).Whisper(" ──▶ ")
	}
	lines := []printer.Line{p.held(change, o.Component, o.State, o.Epoch)}
	if o.Reason != "" {
		lines = append(lines, printer.In(printer.Bold, "%s", words.Clean(o.Reason)))
	}
	if said := EvidenceText(o.Evidence); said != "" {
		lines = append(lines, printer.Say("%s", said))
	}
	if o.Observer != "" {
		lines = append(lines, printer.Whisper("seen by %s", words.Clean(o.Observer)))
	}
	if o.Hold != nil && o.Hold.Freeze {
		lines = append(lines, printer.Say("intake is frozen"))
	}
	if o.Observed != "" {
		lines = append(lines, printer.Whisper("observers see %s", o.Observed))
	}
	p.row(row{mark: "●", at: e.At, no: e.Frames[0].No, kind: string(ltp.FrameOrientation), style: stateStyle(o.State), lines: lines})
}

// routeRequestLines shows a route request.
func (p *writer) routeRequestLines(e Entry, brief bool) []printer.Line {
	q := e.Frames[0].Request
	lines := []printer.Line{printer.Say("order %s", e.OrderID).Whisper(" ·%s%s", printer.Glue, strings.ReplaceAll(words.Commas(words.Clean(e.Amount)), " ", printer.Glue))}
	switch {
	case !q.Replay:
		return lines
	case e.Replays > 0:
		lines = append(lines, printer.Say("replays #%d (frame%s%s)", e.Replays, printer.Glue, q.OriginalFrameID))
	default:
		lines = append(lines, printer.Say("replays frame %s", q.OriginalFrameID))
	}
	if !brief {
		lines = append(lines, whys(*q, time.Duration(e.WaitedMs)*time.Millisecond)...)
	}
	return lines
}

// whys says why an order was deferred, for how long, and why it asks again.
func whys(q ltp.RouteRequest, waited time.Duration) (lines []printer.Line) {
	if q.Woken == ltp.WokenByFailure {
		return append(lines, printer.Whisper("was admitted, its execution failed, and it asks again"))
	}
	if q.DeferredReason != "" {
		lines = append(lines, printer.Whisper("deferred for %s", words.Clean(string(q.DeferredReason))))
	}
	if q.Woken == ltp.WokenByRetry {
		return []printer.Line{printer.Whisper("was parked for %s, until an operator asked to retry it", words.Lasted(waited))}
	}
	if p := q.Asked.Pass; q.Woken == ltp.WokenByPass && p != nil {
		return append(lines, printer.Whisper("waited %s, until %s %s", words.Lasted(waited), words.Clean(p.By), words.Clean(PassText(*p))))
	}
	by := "its own timer"
	switch q.Woken {
	case ltp.WokenByFence:
		return append(lines, printer.Whisper("was admitted, and the fence before the write routed it again"))
	case ltp.WokenBySignal:
		by = "the replay engine"
	case ltp.WokenByTurn:
		by = "its turn"
	}
	return append(lines, printer.Whisper("waited %s, woken by %s", words.Lasted(waited), by))
}

// answered shows a route response.
func (p *writer) answered(r ltp.RouteResponse, brief bool) []printer.Line {
	style := printer.Yellow
	if r.Admissible {
		style = printer.Green
	}
	lines := []printer.Line{printer.In(style, "%s", r.Decision).Say(" %s", words.Clean(string(r.Reason)))}
	if brief {
		return lines
	}
	lines = append(lines, p.held(printer.Say("admissible: %t · ", r.Admissible), r.Component, r.State, r.Epoch))
	switch {
	case r.Reason != ltp.ReasonExecuteUnavailable: // the state says it
	case r.Cause == ltp.CauseOrder:
		lines = append(lines, printer.Whisper("the fault is the order's own: another order, or the probe's, took the same write path"))
	case r.Cause == ltp.CauseComponent:
		lines = append(lines, printer.Whisper("the fault is the component's: the probe's own order failed as well"))
	}
	if r.Commitment != "" {
		lines = append(lines, printer.Say("“%s”", words.Clean(r.Commitment)))
	}
	return lines
}

// wrote says how an execution ended, that followed the answer r.
func (p *writer) wrote(l printer.Line, x Execution, r *ltp.RouteResponse) printer.Line {
	message := words.Clean(x.Error)
	for _, said := range []string{"not begun: ", "unavailable: ", "outcome unknown: "} {
		message = strings.TrimPrefix(message, said) // we say that ourselves
	}
	switch x.Result {
	case "":
		if x.External() && x.StartedAt.IsZero() {
			return l.Say("handed to your activity at %s, which has not answered", p.when(x.ScheduledAt))
		}
		return l.Say("under way since %s", p.when(x.TaskAt))
	case ltp.ResultExecuted:
		l = l.In(printer.Green, "EXECUTED")
		took, ok := x.Wrote()
		if !ok {
			return l.Say(": an earlier attempt had written it")
		}
		l = l.Say(" in %s", strings.ReplaceAll(words.Lasted(took), " ", printer.Glue))
		if x.slow() {
			l = l.Say(", at %s,", p.when(x.CommittedAt()))
		}
		l = l.Say(" under ")
		if r != nil && x.Fence.Component == r.Component && x.Fence.State == r.State && x.Fence.Epoch == r.Epoch {
			return l.Say("epoch%s%d", printer.Glue, r.Epoch)
		}
		return p.held(l, x.Fence.Component, x.Fence.State, x.Fence.Epoch)
	case ltp.ResultRefused:
		return l.In(printer.Red, "REFUSED").Say("%s", because("", message))
	case ltp.ResultNotBegun, ltp.ResultNotGiven:
		return l.In(printer.Yellow, "no write begun").Say("%s", because("", message))
	case ltp.ResultUnavailable:
		return l.In(printer.Yellow, "nothing written").Say("%s", because("", message))
	case ltp.ResultWithdrawn:
		l = l.In(printer.Yellow, "not written")
		if x.Withdrawn == nil {
			return l
		}
		return l.Say(": it was withdrawn before, as %s", x.Withdrawn.State)
	}
	return l.In(printer.Red, "outcome unknown").Say("%s", because("", message))
}

// found says what one try to end an order found.
func (p *writer) found(w Withdrawal) printer.Line {
	l := printer.Say("to be %s", w.Asked.State)
	switch w.Found {
	case ltp.FoundUnwritten:
		return p.held(l.Say(": it cannot have been written under "), w.Fence.Component, w.Fence.State, w.Fence.Epoch)
	case ltp.FoundTombstone:
		return l.Say(": the order database keeps that it will never be written")
	case ltp.FoundOrder:
		return l.Say(": it was written already")
	}
	if w.Error != "" {
		return l.Say(": nobody can tell yet whether it was written: %s", words.Clean(w.Error))
	}
	return l.Say(": nobody can tell yet whether it was written")
}
