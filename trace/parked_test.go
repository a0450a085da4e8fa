package trace_test

import (
	"strings"
	"testing"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

// parkedOrder is an order that keeps failing by its own fault until it is parked.
func parkedOrder(t *testing.T, then ...ltp.Instruction) trace.OrderTrace {
	t.Helper()
	o := tracetest.New(ltp.NewProgress(
		ordertest.New("A2"),
		ltp.Execution{}, ltp.Stamp{Epoch: 3, State: ltp.Stable}, nil), time.Date(2024, 5, 20, 14, 0, 0, 0, time.UTC)).Hold(ltp.Stable, 3)
	o.Cause = ltp.CauseOrder
	for range ltp.ParkAfter {
		o.Writes = append(o.Writes, tracetest.Write{Result: ltp.ResultUnavailable, Error: "value too\x1b[2J long"})
	}
	for o.Work(); o.Phase != ltp.PhaseParked; o.Work() {
		o.Fires()
	}
	for _, i := range then {
		if o.After(time.Hour).Signal(ltp.InstructionSignal, i).Work(); o.Phase == ltp.PhaseAdmitted {
			o.Fires().Work()
		}
	}
	found, err := trace.OrderFrames(o.Events)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// words are what is shown of an order, in one line.
func words(t *testing.T, o trace.OrderTrace) string {
	t.Helper()
	var b strings.Builder
	if err := trace.WriteOrder(&b, o, trace.Options{Width: 100}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// TestParkedOrderSaysWhyAndWhatAnOperatorDid in the order's own story.
func TestParkedOrderSaysWhyAndWhatAnOperatorDid(t *testing.T) {
	retry := ltp.Instruction{Do: ltp.DoRetry, By: "ann", Why: "the column is wider"}
	reject := ltp.Instruction{Do: ltp.DoReject, By: "bob", Why: "sold out"}
	for name, c := range map[string]struct {
		order trace.OrderTrace
		state ltp.OrderState
		says  []string
		never string
	}{
		"parked": {parkedOrder(t), ltp.Parked, []string{
			"Order A2 PARKED", "parked after 5 failures: value too�[2J long, waits for an operator",
			"the fault is the order's own: another order, or the probe's, took the same write path",
			"pending waits for an operator: ltp orders retry A2, or ltp orders reject A2",
		}, "\x1b"},
		"retried": {parkedOrder(t, retry), ltp.Executed, []string{
			"ann asked to retry the order: the column is wider", "was parked for 1 h, until an operator asked to retry it", "EXECUTED in",
		}, "pending waits for an operator"},
		"rejected": {parkedOrder(t, reject), ltp.Rejected, []string{
			"bob asked to reject the order: sold out", "to be REJECTED: the order database keeps that it will never be written",
			"REJECTED Order Rejected rejected by bob: sold out",
		}, "pending waits for an operator"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.order.State() != c.state {
				t.Fatalf("it is %s", c.order.State())
			}
			shown := words(t, c.order)
			for _, s := range c.says {
				if !strings.Contains(shown, s) {
					t.Errorf("it does not say %q:\n%s", s, shown)
				}
			}
			if strings.Contains(shown, c.never) {
				t.Errorf("it says %q", c.never)
			}
		})
	}
}

// TestParkingsArePairedWithTheRetriesThatEndedThem, and the last is open.
func TestParkingsArePairedWithTheRetriesThatEndedThem(t *testing.T) {
	once := parkedOrder(t)
	if before := once.ParkedBefore(); len(before) != 1 || before[len(once.Frames)] != once.Parked[0] {
		t.Errorf("%v", before)
	}
	back := parkedOrder(t, ltp.Instruction{Do: ltp.DoRetry, By: "ann"})
	for i, p := range back.ParkedBefore() {
		if back.Frames[i].Request.Woken != ltp.WokenByRetry || p != back.Parked[0] {
			t.Errorf("%d: %v", i, p)
		}
	}
	if len(back.ParkedBefore()) != 1 {
		t.Error("a parking is missing")
	}
}

// TestRefusedOrderDidNotWait: it ends in the task in which it was refused.
func TestRefusedOrderDidNotWait(t *testing.T) {
	if !parkedOrder(t, ltp.Instruction{Do: ltp.DoReject, By: "bob", Why: "sold out"}).Deferred() {
		t.Error("an order that was parked has waited")
	}
	o := tracetest.New(ltp.NewProgress(
		ordertest.New("A3"),
		ltp.Execution{}, ltp.Stamp{Epoch: 3, State: ltp.Stable}, nil), time.Date(2024, 5, 20, 14, 0, 0, 0, time.UTC)).Hold(ltp.Stable, 3)
	o.Cause, o.Writes = ltp.CauseOrder, []tracetest.Write{{Result: ltp.ResultRefused, Error: "we sell no anvils"}}
	found, err := trace.OrderFrames(o.Work().Events)
	if err != nil || found.State() != ltp.Rejected || found.Deferred() {
		t.Errorf("%s, deferred %t, %v", found.State(), found.Deferred(), err)
	}
}
