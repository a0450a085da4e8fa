package ledger_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

// underAHold is the third incident, with one order more, while observers saw the component so.
func underAHold(t *testing.T, seen ltp.Verdict, o *tracetest.Order) file {
	t.Helper()
	found, err := trace.OrderFrames(o.Events)
	if err != nil {
		t.Fatal(err)
	}
	from := outage(t)
	for _, f := range from.components[ltp.DefaultComponent].Frames {
		if f.Orientation.Epoch == 7 {
			f.Orientation.Observed = seen
		}
	}
	from.orders = append(from.orders, trace.Found{Trace: found})
	return export(t, from, 3)
}

// held is an order that waits since it came under the hold.
func held() *tracetest.Order {
	o := accepted("14:40:10", ltp.Execution{}, ltp.Unstable, 7)
	now := o.Board[ltp.DefaultComponent]
	now.Hold, now.Observed = &ltp.Hold{By: "ann", Why: "a leak", Freeze: true}, ltp.Healthy
	o.Board[ltp.DefaultComponent] = now
	return o.Work()
}

// letThrough is one that an operator lets through.
func letThrough(o *tracetest.Order) *tracetest.Order {
	pass := ltp.Pass{Component: ltp.DefaultComponent, Epoch: 7, By: "eve", Why: "one first"}
	return o.After(time.Second).Signal(ltp.PassSignal, pass).Work()
}

// spent is one whose attempt by its pass failed, and that was cancelled then.
func spent() *tracetest.Order {
	o := held()
	o.Writes = []tracetest.Write{{Result: ltp.ResultUnavailable, Error: "disk full"}}
	return letThrough(o).After(time.Second).Cancel("ann").Work().At(clock("14:41:01")).Hold(ltp.Recovering, 8).Fires().Work()
}

// TestAnOrderThatWasLetThroughAHoldIsWhole: also where its pass was spent.
func TestAnOrderThatWasLetThroughAHoldIsWhole(t *testing.T) {
	for name, row := range map[string]struct {
		order *tracetest.Order
		state ltp.OrderState
	}{
		"executed":  {letThrough(held()), ltp.Executed},
		"cancelled": {spent(), ltp.Cancelled},
		"with the order itself": {func() *tracetest.Order {
			o := accepted("14:40:10", ltp.Execution{}, ltp.Unstable, 7)
			o.Board[ltp.DefaultComponent] = held().Board[ltp.DefaultComponent]
			return letThrough(o)
		}(), ltp.Executed},
	} {
		f := underAHold(t, ltp.Healthy, row.order)
		v := f.verify(t)
		if !v.OK || row.order.Phase != ltp.PhaseEnded || v.Counts.Ends[row.state] == 0 {
			t.Errorf("%s: %s, %v, %+v", name, row.order.Phase, v.Broken, v.Counts)
			continue
		}
		all := strings.Join(f.said(), "\n")
		for _, want := range []string{`"pass":{"by":"eve","component":"orders-db","epoch":7,"why":"one first"}`, `"kind":"PASS"`, `"observed":"HEALTHY"`, "HOLD_PASSED"} {
			if !strings.Contains(all, want) {
				t.Errorf("%s: the file does not say %s", name, want)
			}
		}
	}
}

// said are the lines of the file.
func (f file) said() (lines []string) {
	for _, l := range f.lines {
		lines = append(lines, string(l))
	}
	return lines
}

// TestAForgedPassIsNamed: nobody gave it, or what it opened was no hold over a component
// that was seen fit.
func TestAForgedPassIsNamed(t *testing.T) {
	less := func(f *forger, id string) {
		f.only(func(e ledger.Entry) bool { return e.Frame.ID != id })
		payload[*ledger.Snapshot](f, "P1/end").End.Entries--
		f.recount()
	}
	through := func() *tracetest.Order { return letThrough(held()) }
	pass := func(f *forger) *ltp.Pass { return payload[*ledger.Request](f, "P1/2").Asked.Pass }
	for name, c := range map[string]struct {
		order func() *tracetest.Order
		do    func(*forger)
		line  string
		check ledger.CheckName
	}{
		"nobody gave it":            {through, func(f *forger) { less(f, "P1/note/1") }, "P1/end", ledger.CheckReplay},
		"somebody else gave it":     {through, func(f *forger) { pass(f).By = "bob" }, "P1/end", ledger.CheckReplay},
		"for another reason":        {through, func(f *forger) { pass(f).Why = "because" }, "P1/end", ledger.CheckReplay},
		"it is not named":           {through, func(f *forger) { payload[*ledger.Request](f, "P1/2").Asked.Pass = nil }, "P1/2", ledger.CheckReplay},
		"of another epoch":          {through, func(f *forger) { pass(f).Epoch = 6 }, "P1/2/response", ledger.CheckDecision},
		"woken by its timer":        {through, func(f *forger) { payload[*ledger.Request](f, "P1/2").Woken = ltp.WokenByTimer }, "P1/2", ledger.CheckReplay},
		"the component was unfit":   {through, func(f *forger) { seen(f, ltp.Unhealthy) }, "P1/2/response", ledger.CheckDecision},
		"nobody observed":           {through, func(f *forger) { seen(f, "") }, "P1/2/response", ledger.CheckDecision},
		"it was not held":           {through, func(f *forger) { payload[*ledger.Orientation](f, "orders-db@7").Held.Hold = nil }, "P1/1/response", ledger.CheckDecision},
		"ended by a reading though": {spent, func(f *forger) { unwritten(f) }, "P1/withdrawal/1", ledger.CheckEnd},
	} {
		t.Run(name, func(t *testing.T) {
			f := underAHold(t, ltp.Healthy, c.order())
			if v := f.verify(t); !v.OK {
				t.Fatal(v.Broken)
			}
			forge := newForger(t, f)
			c.do(forge)
			forge.chain()
			v := forge.verify(t)
			if v.OK || v.Broken.Check != c.check || v.Broken.Line != int64(forge.last(c.line)+1) {
				t.Errorf("%v, want %s at %s", v.Broken, c.check, c.line)
			}
		})
	}
}

func seen(f *forger, v ltp.Verdict) { payload[*ledger.Orientation](f, "orders-db@7").Held.Observed = v }

// unwritten has the first withdrawal conclude from a reading that nothing was written.
func unwritten(f *forger) {
	payload[*ledger.Snapshot](f, "P1/withdrawal/1").Withdrawal.Found = ltp.FoundUnwritten
}
