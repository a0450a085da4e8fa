package audit

import (
	"slices"
	"strings"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// unjust says why an order should not have ended REJECTED, and "" when it should: a rule of
// the business refused it by its own fault, or an operator rejected it while it was parked,
// and the order database keeps that it will never be written.
func unjust(t trace.OrderTrace) string {
	if met(t) { // it ended so before, in a task that was lost
		return ""
	}
	switch {
	case !refused(t) && !rejected(t):
		return "neither was it refused by its own fault nor did an operator reject it"
	case !t.Execution.External() && !slices.ContainsFunc(t.Withdrawals, neverWritten):
		return "nothing shows that it was not written"
	}
	return ""
}

// met reports whether a tombstone that rejects the order was found, and not made.
func met(t trace.OrderTrace) bool {
	for _, x := range t.Executions {
		if x.Withdrawn != nil && x.Withdrawn.State == ltp.Rejected {
			return true
		}
	}
	return slices.ContainsFunc(t.Withdrawals, func(w trace.Withdrawal) bool {
		return w.Asked.State != ltp.Rejected && w.End != nil && w.End.State == ltp.Rejected
	})
}

// neverWritten reports whether a withdrawal shows that the order will never be written: by a
// tombstone, or since another order has its key.
func neverWritten(w trace.Withdrawal) bool {
	return w.Found == ltp.FoundTombstone || w.Found == ltp.FoundUnwritten && w.Error != ""
}

// refused reports whether the last attempt was refused, and that was the order's own fault.
func refused(t trace.OrderTrace) bool {
	frames, executions := len(t.Frames), len(t.Executions)
	if frames < 2 || executions == 0 {
		return false
	}
	q, a := t.Frames[frames-2].Request, t.Frames[frames-1].Response
	return t.Executions[executions-1].Result == ltp.ResultRefused && q.Woken == ltp.WokenByFailure && a.Cause == ltp.CauseOrder
}

// rejected reports whether the order was parked last, and who it says rejected it did.
func rejected(t trace.OrderTrace) bool {
	if _, parked := t.ParkedBefore()[len(t.Frames)]; !parked {
		return false
	}
	reason := t.Outcome.Reason
	return slices.ContainsFunc(t.Notes, func(n trace.Note) bool {
		return n.Kind == trace.NoteReject && strings.HasPrefix(reason, "rejected by "+n.By+": ")
	})
}

// retriedUnparked is the request of an order that was woken as one that an operator
// retries, and was not parked; "" when there is none.
func retriedUnparked(t trace.OrderTrace) string {
	parked := t.ParkedBefore()
	for i := 0; i+1 < len(t.Frames); i += 2 {
		if _, ok := parked[i]; !ok && t.Frames[i].Request.Woken == ltp.WokenByRetry {
			return t.Frames[i].ID
		}
	}
	return ""
}
