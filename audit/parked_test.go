package audit

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// failing is an order whose only attempt failed so, and by whose fault.
func failing(r ltp.Result, b ltp.FailureCause) trace.OrderTrace {
	o := placed("B1", -9_000)
	routed(&o, -8_999, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	failed(wrote(&o, -8_995, -8_990, -8_985, ltp.Stable, 3), r)
	routed(&o, -8_980, ltp.WokenByFailure, ltp.Defer, ltp.ReasonExecuteUnavailable, ltp.Stable, 3)
	o.Frames[len(o.Frames)-1].Response.Cause = b
	return o
}

// standing is an order that is parked.
func standing() trace.OrderTrace {
	o := failing(ltp.ResultUnavailable, ltp.CauseOrder)
	o.Parked = []ltp.Parking{{Since: at(-8_900), Failures: 5, Error: "value too long"}}
	o.Wait = ltp.Wait{Reason: ltp.ReasonParked}
	return o
}

// ruledOut is how an order ended REJECTED, for a reason and by what was found.
func ruledOut(o trace.OrderTrace, reason string, found ltp.Found) trace.OrderTrace {
	end := ltp.Ending{State: ltp.Rejected, Reason: reason}
	w := trace.Withdrawal{Asked: end, Withdrawal: ltp.Withdrawal{Found: found}, TaskAt: at(-8_800), RecordedAt: at(-8_790)}
	if found == ltp.FoundTombstone {
		w.End = &end
	}
	if found != "" {
		o.Withdrawals = []trace.Withdrawal{w}
	}
	o.Wait, o.Outcome, o.EndedAt = ltp.Wait{}, &ltp.Outcome{State: ltp.Rejected, Reason: reason}, at(-8_780)
	return o
}

func operator(o trace.OrderTrace, kind trace.NoteKind, by string) trace.OrderTrace {
	o.Notes = append(o.Notes, trace.Note{At: at(-8_850), Kind: kind, By: by, Text: "asked for something"})
	return o
}

// alone audits one order, without rows.
func alone(o trace.OrderTrace) Audit { return audited(outage(), []trace.OrderTrace{o}) }

func TestParkedOrderIsPendingAndNotLost(t *testing.T) {
	c := alone(standing()).Claim(NoneLost)
	assert.Equal(t, Held, c.Verdict)
	assert.EqualValues(t, 1, c.Figures["parked"])
	assert.Zero(t, c.Figures["deferred"])
	require.NotEmpty(t, c.Evidence)
	assert.Contains(t, c.Evidence[0], "1 parked until an operator decides")
}

// TestRejectionNeedsItsGround: a refusal by the order's own fault, or an operator's word,
// and what keeps the order from being written later.
func TestRejectionNeedsItsGround(t *testing.T) {
	external := func(o trace.OrderTrace) trace.OrderTrace {
		o.Execution = ltp.Execution{Activity: "Sell", TaskQueue: "shop"}
		return o
	}
	byAnn, noAnvils := "rejected by ann: sold out", "we sell no anvils"
	refused := failing(ltp.ResultRefused, ltp.CauseOrder)
	met := failing(ltp.ResultWithdrawn, "")
	met.Executions[0].Withdrawn = &ltp.Ending{State: ltp.Rejected}
	for name, c := range map[string]struct {
		order trace.OrderTrace
		wrong string
	}{
		"refused by its own fault":             {ruledOut(refused, noAnvils, ltp.FoundTombstone), ""},
		"refused, without a tombstone":         {ruledOut(refused, noAnvils, ""), "nothing shows that it was not written"},
		"refused, and nothing was found":       {ruledOut(refused, noAnvils, ltp.FoundNothing), "nothing shows that it was not written"},
		"refused, and nobody knows why":        {ruledOut(failing(ltp.ResultRefused, ""), noAnvils, ltp.FoundTombstone), "neither was it refused by its own fault"},
		"refused by the component's fault":     {ruledOut(failing(ltp.ResultRefused, ltp.CauseComponent), noAnvils, ltp.FoundTombstone), "neither was it refused by its own fault"},
		"it was unavailable":                   {ruledOut(failing(ltp.ResultUnavailable, ltp.CauseOrder), noAnvils, ltp.FoundTombstone), "neither was it refused by its own fault"},
		"by an operator":                       {ruledOut(operator(standing(), trace.NoteReject, "ann"), byAnn, ltp.FoundTombstone), ""},
		"by an operator, without a tombstone":  {ruledOut(operator(standing(), trace.NoteReject, "ann"), byAnn, ""), "nothing shows that it was not written"},
		"by an operator who said nothing":      {ruledOut(standing(), byAnn, ltp.FoundTombstone), "nor did an operator reject it"},
		"by an operator who wanted a retry":    {ruledOut(operator(standing(), trace.NoteRetry, "ann"), byAnn, ltp.FoundTombstone), "nor did an operator reject it"},
		"by another operator":                  {ruledOut(operator(standing(), trace.NoteReject, "bob"), byAnn, ltp.FoundTombstone), "nor did an operator reject it"},
		"by an operator, and was never parked": {ruledOut(operator(failing(ltp.ResultUnavailable, ltp.CauseOrder), trace.NoteReject, "ann"), byAnn, ltp.FoundTombstone), "nor did an operator reject it"},
		"a tombstone was met":                  {ruledOut(met, "by hand", ""), ""},
		"the user's activity refused it":       {external(ruledOut(refused, noAnvils, "")), ""},
		"the user's activity was unavailable":  {external(ruledOut(failing(ltp.ResultUnavailable, ltp.CauseOrder), noAnvils, "")), "neither was it refused by its own fault"},
	} {
		t.Run(name, func(t *testing.T) {
			got := alone(c.order).Claim(NoneLost)
			assert.EqualValues(t, 1, got.Figures["rejected"])
			if c.wrong == "" {
				assert.Equal(t, Held, got.Verdict, got.Breaches)
				return
			}
			require.Len(t, got.Breaches, 1)
			assert.Equal(t, "B1", got.Breaches[0].What)
			assert.Contains(t, got.Breaches[0].Why, c.wrong)
		})
	}
}

func TestOnlyAParkedOrderIsRetried(t *testing.T) {
	retried := func(o trace.OrderTrace) Claim {
		routed(&o, -8_000, ltp.WokenByRetry, ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
		o.Wait = ltp.Wait{}
		return alone(o).Claim(SafeMode)
	}
	assert.Equal(t, Held, retried(operator(standing(), trace.NoteRetry, "ann")).Verdict)
	broken := retried(failing(ltp.ResultUnavailable, ltp.CauseOrder))
	require.Len(t, broken.Breaches, 1)
	assert.Equal(t, "B1/3", broken.Breaches[0].What)
}
