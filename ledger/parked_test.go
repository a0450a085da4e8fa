package ledger_test

import (
	"strings"
	"testing"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

// with is the outage with one order more.
func with(t *testing.T, o *tracetest.Order, change ...func(*trace.OrderTrace)) file {
	t.Helper()
	found, err := trace.OrderFrames(o.Events)
	if err != nil {
		t.Fatal(err)
	}
	for _, do := range change {
		do(&found)
	}
	from := outage(t)
	from.orders = append(from.orders, trace.Found{Trace: found})
	return export(t, from, 2)
}

// TestParkedOrderIsPendingInTheFile: it is named, counted, and drift says so.
func TestParkedOrderIsPendingInTheFile(t *testing.T) {
	f := with(t, parked(ltp.Execution{}, ltp.ResultUnavailable))
	v := f.verify(t)
	if !v.OK || v.Counts.Ends[ltp.Parked] != 1 || v.Counts.Pending != 1 || v.Counts.Parkings != 1 {
		t.Fatalf("%v, %+v", v.Broken, v.Counts)
	}
	forge := newForger(t, f)
	if p := payload[*ledger.Snapshot](forge, "P1/parking/1").Parking; p.Failures != 5 || p.Message != "value too long" || p.SinceMs == 0 {
		t.Errorf("%+v", p)
	}
	if end := payload[*ledger.Snapshot](forge, "P1/end").End; !end.Pending || end.EndedMs != 0 {
		t.Errorf("%+v", end)
	}
	if d := payload[*ledger.Snapshot](forge, "_closing").Drift; *d != 1 {
		t.Error("an order that waits for an operator is no drift")
	}
}

// TestRejectionOfAnOrderWhoseIDAnotherHas is proven by the order database itself: there is
// no tombstone.
func TestRejectionOfAnOrderWhoseIDAnotherHas(t *testing.T) {
	o := fails("14:31:00", ltp.Execution{}, ltp.ResultRefused, 1).Work()
	f := with(t, o, func(found *trace.OrderTrace) {
		w := &found.Withdrawals[0]
		w.Found, w.End, w.Error = ltp.FoundUnwritten, nil, "another order has this id"
	})
	if v := f.verify(t); !v.OK {
		t.Fatal(v.Broken)
	}
	forge := newForger(t, f)
	payload[*ledger.Snapshot](forge, "P1/withdrawal/1").Withdrawal.Message = ""
	forge.chain()
	if v := forge.verify(t); v.OK || v.Broken.Check != ledger.CheckEnd {
		t.Errorf("nothing shows that it was not written: %v", v.Broken)
	}
}

// TestForgedParkingIsNamed: what an order was parked for, who brought it back, and who
// rejected it.
func TestForgedParkingIsNamed(t *testing.T) {
	here, own := ltp.Execution{}, ltp.Execution{Activity: "Sell", TaskQueue: "shop"}
	less := func(f *forger, id string) {
		f.only(func(e ledger.Entry) bool { return e.Frame.ID != id })
		payload[*ledger.Snapshot](f, "P1/end").End.Entries--
		f.recount()
	}
	blame := func(f *forger, b ltp.FailureCause, ids ...string) {
		for _, id := range ids {
			payload[*ledger.Response](f, id).Cause = b
		}
	}
	end := func(f *forger, s ltp.OrderState) {
		payload[*ledger.Snapshot](f, "P1/end").End.State = s
		f.recount()
	}
	refused := func() *tracetest.Order { return fails("14:31:00", here, ltp.ResultRefused, 1).Work() }
	refusedOwn := func() *tracetest.Order {
		o := fails("14:31:00", own, ltp.ResultRefused, 0).Work().Picks("17@till").Fails(ltp.RejectedError, "no such article", nil)
		return o.Work()
	}
	waits := func() *tracetest.Order { return parked(here, ltp.ResultUnavailable) }
	back := func() *tracetest.Order { return retried(waits()) }
	gone := func() *tracetest.Order { return instructed(waits(), ltp.DoReject) }
	for name, c := range map[string]struct {
		order func() *tracetest.Order
		do    func(*forger)
		line  string
		check ledger.CheckName
	}{
		"parked after fewer failures": {waits, func(f *forger) { payload[*ledger.Snapshot](f, "P1/parking/1").Parking.Failures = 4 }, "P1/parking/1", ledger.CheckEnd},
		"parked after more failures":  {waits, func(f *forger) { payload[*ledger.Snapshot](f, "P1/parking/1").Parking.Failures = 6 }, "P1/parking/1", ledger.CheckEnd},
		"parked for the component's fault": {waits, func(f *forger) {
			blame(f, ltp.CauseComponent, "P1/10/response")
		}, "P1/parking/1", ledger.CheckEnd},
		"parked, and once before nobody knew": {waits, func(f *forger) { blame(f, "", "P1/8/response") }, "P1/parking/1", ledger.CheckEnd},
		"parked before it asked": {waits, func(f *forger) {
			payload[*ledger.Snapshot](f, "P1/parking/1").Parking.SinceMs -= 60_000
		}, "P1/parking/1", ledger.CheckTime},
		"blamed without a failure":       {waits, func(f *forger) { blame(f, ltp.CauseOrder, "P1/1/response") }, "P1/1/response", ledger.CheckRouting},
		"blamed on the weather":          {waits, func(f *forger) { blame(f, "WEATHER", "P1/2/response") }, "P1/2/response", ledger.CheckRouting},
		"the parking removed":            {waits, func(f *forger) { less(f, "P1/parking/1") }, "P1/end", ledger.CheckEnd},
		"said to be deferred":            {waits, func(f *forger) { end(f, ltp.Deferred) }, "P1/end", ledger.CheckEnd},
		"retried, the parking removed":   {back, func(f *forger) { less(f, "P1/parking/1") }, "P1/11", ledger.CheckReplay},
		"retried by its timer":           {back, func(f *forger) { payload[*ledger.Request](f, "P1/11").Woken = ltp.WokenByTimer }, "P1/11", ledger.CheckReplay},
		"retried, and nobody asked":      {back, func(f *forger) { less(f, "P1/note/1") }, "P1/end", ledger.CheckReplay},
		"retried, and asked to reject":   {back, func(f *forger) { payload[*ledger.Snapshot](f, "P1/note/1").Note.Kind = trace.NoteReject }, "P1/end", ledger.CheckReplay},
		"rejected, and nobody asked":     {gone, func(f *forger) { less(f, "P1/note/1") }, "P1/withdrawal/1", ledger.CheckEnd},
		"rejected by somebody else":      {gone, func(f *forger) { payload[*ledger.Snapshot](f, "P1/note/1").Note.By = "bob" }, "P1/withdrawal/1", ledger.CheckEnd},
		"rejected, and was never parked": {gone, func(f *forger) { less(f, "P1/parking/1") }, "P1/withdrawal/1", ledger.CheckEnd},
		"refused by nobody knows whose fault": {refused, func(f *forger) {
			blame(f, "", "P1/2/response")
		}, "P1/withdrawal/1", ledger.CheckEnd},
		"refused, the withdrawal removed": {refused, func(f *forger) { less(f, "P1/withdrawal/1") }, "P1/end", ledger.CheckEnd},
		"it was unavailable, and rejected": {refused, func(f *forger) {
			payload[*ledger.Snapshot](f, "P1/1/execution").Execution.Result = ltp.ResultUnavailable
		}, "P1/withdrawal/1", ledger.CheckEnd},
		"rejected for another reason": {refused, func(f *forger) {
			payload[*ledger.Snapshot](f, "P1/withdrawal/1").Withdrawal.Asked.Reason = "sold out"
		}, "P1/withdrawal/1", ledger.CheckEnd},
		"the user's activity refused it, by the component's fault": {refusedOwn, func(f *forger) {
			blame(f, ltp.CauseComponent, "P1/2/response")
		}, "P1/end", ledger.CheckEnd},
	} {
		t.Run(name, func(t *testing.T) {
			f := with(t, c.order())
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
			if v.Broken != nil && strings.Contains(v.Broken.Error(), "%!") {
				t.Error(v.Broken)
			}
		})
	}
}
