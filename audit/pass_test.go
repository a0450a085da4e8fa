package audit

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// held is the outage as an operator's hold over a component that observers saw so: fit at
// first, and from 20 s on as given.
func held(then ltp.Verdict) trace.OrientationTrace {
	o := outage()
	first := *o.Frames[0].Orientation
	first.Hold, first.Observed = &ltp.Hold{By: "ann", Why: "migration"}, ltp.Healthy
	later := first
	later.Observed = then
	o.Frames[0].Orientation = &first
	second := o.Frames[0]
	second.ID, second.At, second.Orientation = second.ID+".2", at(20_000), &later
	o.Frames = append(o.Frames[:1:1], append([]ltp.Frame{second}, o.Frames[1:]...)...)
	return o
}

var pass = ltp.Pass{Component: ltp.DefaultComponent, Epoch: 4, By: "eve", Why: "one first"}

// letThrough is an order that waited, and was written at a time by a pass.
func letThrough(ms int) trace.OrderTrace {
	o := placed("B1", 5_000)
	o.Stamp = ltp.Stamp{Epoch: 4, State: ltp.Unstable}
	routed(&o, 5_001, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
	o.Passes = []trace.Pass{{Pass: pass, At: at(ms - 1)}}
	routed(&o, ms, ltp.WokenByPass, ltp.Execute, ltp.ReasonPassed, ltp.Unstable, 4).Asked.Pass = &pass
	wrote(&o, ms+1, ms+2, ms+5, ltp.Unstable, 4)
	return ended(&o, ms+7, ltp.Executed)
}

// TestAWriteThatAnOperatorLetThroughAHoldIsNoBreach, and it is counted.
func TestAWriteThatAnOperatorLetThroughAHoldIsNoBreach(t *testing.T) {
	for name, row := range map[string]struct {
		order  trace.OrderTrace
		writes int
	}{
		"by its attempt": {letThrough(10_000), 1}, "by its receipt, and by the attempt that met it": {lostWith(letThrough(10_000)), 2},
	} {
		a := audited(held(ltp.Slow), []trace.OrderTrace{row.order})
		fenced := a.Claim(Fenced)
		assert.Empty(t, fenced.Breaches, name)
		assert.EqualValues(t, row.writes, fenced.Figures["let_through_a_hold"], name)
		assert.NotEqual(t, Broken, a.Verdict, name)
	}
	safe := audited(held(ltp.Slow), []trace.OrderTrace{letThrough(10_000)}).Claim(SafeMode)
	assert.Equal(t, Held, safe.Verdict)
	assert.Contains(t, safe.Evidence, "2 orders asked under an unfit state: none was admitted but for 1, which an operator let through a hold")
	assert.Zero(t, safe.Figures["admitted_on_an_old_reading"])
}

// lostWith is an order whose attempt was lost with its worker: the next found the row.
func lostWith(o trace.OrderTrace) trace.OrderTrace {
	x := &o.Executions[0]
	receipt := *x.Receipt
	receipt.Repeated = true
	receipt.Attempt = ltp.RequestFrameID(o.Order.ID, 7)
	o.Lost = []trace.LostTask{{StartedAt: o.Frames[2].At, EndedAt: x.RecordedAt}}
	x.Receipt = &receipt
	return o
}

// TestAPassIsBelievedOnlyWithItsSignalAndItsHold.
func TestAPassIsBelievedOnlyWithItsSignalAndItsHold(t *testing.T) {
	noHold := held(ltp.Slow)
	for _, f := range noHold.Frames[:2] {
		f.Orientation.Hold = nil
	}
	unsignalled, later, ofAnother := letThrough(10_000), letThrough(10_000), letThrough(10_000)
	unsignalled.Passes = nil
	later.Passes[0].At = at(40_000)
	ofAnother.Passes[0].Epoch = 3
	for name, c := range map[string]struct {
		found trace.OrientationTrace
		order trace.OrderTrace
	}{
		"no signal gave it":            {held(ltp.Slow), unsignalled},
		"no signal, by its receipt":    {held(ltp.Slow), lostWith(unsignalled)},
		"the signal came later":        {held(ltp.Slow), later},
		"the signal names another":     {held(ltp.Slow), ofAnother},
		"nobody held it":               {noHold, letThrough(10_000)},
		"it was seen unfit":            {held(ltp.Unhealthy), letThrough(30_000)},
		"nobody saw it":                {held(""), letThrough(30_000)},
		"it was seen unfit, by a row":  {held(ltp.Unhealthy), lostWith(letThrough(30_000))},
		"nobody was asked for it ever": {outage(), letThrough(10_000)},
	} {
		assert.Equal(t, Broken, audited(c.found, []trace.OrderTrace{c.order}).Claim(Fenced).Verdict, name)
	}
}

// TestAnOrderThatWasLetThroughDoesNotEndUnwritten by a reading.
func TestAnOrderThatWasLetThroughDoesNotEndUnwritten(t *testing.T) {
	o := withdrawn(12_000, ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Unstable, Epoch: 4, LastFit: 3})
	assert.Equal(t, Held, audited(held(ltp.Slow), []trace.OrderTrace{o}).Claim(Once).Verdict)
	o.Passes = []trace.Pass{{Pass: pass, At: at(11_000)}}
	c := audited(held(ltp.Slow), []trace.OrderTrace{o}).Claim(Once)
	assert.Equal(t, Broken, c.Verdict)
	assert.Contains(t, c.Breaches[0].Why, "eve let it through a hold")
}
