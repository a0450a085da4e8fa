package ledger_test

import (
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/ledger"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

// accepted is an order that came at some time of the outage.
func accepted(at string, e ltp.Execution, s ltp.State, epoch int64, changes ...func(*ltp.Order)) *tracetest.Order {
	stamp := ltp.Stamp{Epoch: epoch, State: s}
	if e.External() {
		stamp = ltp.Stamp{}
	}
	return tracetest.New(ltp.NewProgress(ordertest.New("P1", changes...), e, stamp, nil), clock(at)).Hold(s, epoch)
}

// fails is an order whose next n attempts fail by its own fault.
func fails(at string, e ltp.Execution, r ltp.Result, n int) *tracetest.Order {
	o := accepted(at, e, ltp.Stable, 6)
	o.Cause = ltp.CauseOrder
	for range n {
		o.Writes = append(o.Writes, tracetest.Write{Result: r, Error: "value too long"})
	}
	return o
}

// parked is an order that fails until it is parked.
func parked(e ltp.Execution, r ltp.Result) *tracetest.Order {
	o := fails("14:31:00", e, r, 40)
	for o.Work(); o.Phase != ltp.PhaseParked; o.Work() {
		if o.Phase == ltp.PhaseExternal {
			o.Picks("17@till").Fails(ltp.UnavailableError, "value too long", nil)
		} else {
			o.Fires()
		}
	}
	o.Writes = nil
	return o
}

// instructed is an order to which an operator gives an instruction.
func instructed(o *tracetest.Order, do ltp.Do) *tracetest.Order {
	return o.After(time.Second).Signal(ltp.InstructionSignal, ltp.Instruction{Do: do, By: "ann", Why: "sold out"}).Work()
}

// retried is a parked order that is executed under what a later task was given.
func retried(o *tracetest.Order) *tracetest.Order {
	if instructed(o, ltp.DoRetry); o.Phase == ltp.PhaseAdmitted {
		o.Fires().Work()
	}
	return o
}

// Whatever becomes of an order, a file that says so is whole.
func TestEveryPathOfAnOrderIsWhole(t *testing.T) {
	own := ltp.Execution{Activity: "Sell", TaskQueue: "shop"}
	here := ltp.Execution{}
	for name, c := range map[string]struct {
		make func() *tracetest.Order
		ends ltp.OrderState
	}{
		"its task was lost before it was routed": {func() *tracetest.Order {
			return accepted("14:29:35", here, ltp.Stable, 3).Lose(0).Work()
		}, ltp.Executed},
		"its task was lost after it was written": {func() *tracetest.Order {
			o := accepted("14:29:35", here, ltp.Stable, 3).Lose(enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND)
			o.Row = &ltp.Receipt{
				Attempt: "P1/1", Worker: tracetest.Worker, BegunAt: o.Now, CommittedAt: o.Now, Fence: ltp.Fence{Component: "orders-db", State: ltp.Stable, Epoch: 3},
			}
			return o.After(time.Second).Work()
		}, ltp.Executed},
		"an attempt gave no answer": {func() *tracetest.Order {
			o := accepted("14:29:35", here, ltp.Stable, 3)
			o.Silent["Execute"] = 1
			return o.Work().Fires().Work()
		}, ltp.Executed},
		"a release gave no answer": {func() *tracetest.Order {
			o := accepted("14:30:10", here, ltp.Unstable, 4).Work().At(clock("14:31:00")).Hold(ltp.Stable, 6)
			o.Silent["Execute"] = 1
			return o.Release(ltp.Stable, 6).Work().Fires().Work()
		}, ltp.Executed},
		"a routing gave no answer": {func() *tracetest.Order {
			o := accepted("14:29:35", here, ltp.Stable, 3)
			o.Silent["CheckOrientation"] = 1
			return o.Work().Fires().Work()
		}, ltp.Executed},
		"woken by its backstop, and given the epoch with the next task": {func() *tracetest.Order {
			o := accepted("14:30:10", here, ltp.Unstable, 4)
			o.OfWorker = ltp.Backstop{First: 2 * time.Minute, Most: 30 * time.Minute}
			return o.Work().Fires().Hold(ltp.Stable, 6).Work().Fires().Work()
		}, ltp.Executed},
		"its cancellation waits": {func() *tracetest.Order {
			return accepted("14:29:59", here, ltp.Stable, 3).At(clock("14:30:01")).Hold(ltp.Unstable, 4).Work().Cancel("shop").Work()
		}, ltp.Deferred},
		"cancelled by a tombstone": {func() *tracetest.Order {
			o := accepted("14:29:59", here, ltp.Stable, 3).At(clock("14:30:01")).Hold(ltp.Unstable, 4).Work().Cancel("shop").Work()
			return o.At(clock("14:30:46")).Hold(ltp.Recovering, 5).Release(ltp.Recovering, 5).Work()
		}, ltp.Cancelled},
		"found to be written when it was cancelled": {func() *tracetest.Order {
			o := accepted("14:29:35", here, ltp.Stable, 3).Lose(0)
			o.Row = &ltp.Receipt{
				Attempt: "P1/1", Worker: tracetest.Worker, BegunAt: o.Now, CommittedAt: o.Now, Fence: ltp.Fence{Component: "orders-db", State: ltp.Stable, Epoch: 3},
			}
			return o.Cancel("shop").Work()
		}, ltp.Executed},
		"a tombstone was met": {func() *tracetest.Order {
			o := accepted("14:29:35", here, ltp.Stable, 3)
			o.Writes = []tracetest.Write{{Result: ltp.ResultWithdrawn, Withdrawn: &ltp.Ending{State: ltp.Rejected, Reason: "by hand"}}}
			return o.Work()
		}, ltp.Rejected},
		"refused by its own fault": {func() *tracetest.Order { return fails("14:31:00", here, ltp.ResultRefused, 1).Work() }, ltp.Rejected},
		"refused by nobody knows whose fault, and executed later": {func() *tracetest.Order {
			o := fails("14:31:00", here, ltp.ResultRefused, 1)
			o.Cause = ltp.CauseComponent
			return o.Work().Fires().Work()
		}, ltp.Executed},
		"parked": {func() *tracetest.Order { return parked(here, ltp.ResultUnavailable) }, ltp.Parked},
		"parked, nobody knows whether an attempt took effect": {func() *tracetest.Order { return parked(here, ltp.ResultUnknown) }, ltp.Parked},
		"parked, retried, and executed": {func() *tracetest.Order {
			return retried(parked(here, ltp.ResultUnavailable))
		}, ltp.Executed},
		"parked, retried, and parked again": {func() *tracetest.Order {
			o := parked(here, ltp.ResultUnavailable)
			o.Writes = fails("14:31:00", here, ltp.ResultUnavailable, 9).Writes
			for retried(o); o.Phase != ltp.PhaseParked; o.Work() {
				o.Fires()
			}
			return o
		}, ltp.Parked},
		"parked, and cancelled": {func() *tracetest.Order {
			return parked(here, ltp.ResultUnavailable).After(time.Second).Cancel("shop").Work()
		}, ltp.Cancelled},
		"parked, and rejected by an operator": {func() *tracetest.Order {
			return instructed(parked(here, ltp.ResultUnavailable), ltp.DoReject)
		}, ltp.Rejected},
		"parked, and the operator's rejection waits": {func() *tracetest.Order {
			return instructed(parked(here, ltp.ResultUnavailable).Hold(ltp.Unstable, 7).At(clock("14:40:01")), ltp.DoReject)
		}, ltp.Deferred},
		"rejected before it was parked, which is ignored": {func() *tracetest.Order {
			o := fails("14:31:00", here, ltp.ResultUnavailable, 9).Work()
			for instructed(o, ltp.DoReject); o.Phase != ltp.PhaseParked; o.Work() {
				o.Fires()
			}
			return o
		}, ltp.Parked},
		"the user's activity fails by the order's fault": {func() *tracetest.Order { return parked(own, ltp.ResultUnavailable) }, ltp.Parked},
		"and an operator rejects it": {func() *tracetest.Order {
			return instructed(parked(own, ltp.ResultUnavailable), ltp.DoReject)
		}, ltp.Rejected},
		"had its turn": {func() *tracetest.Order {
			return accepted("14:29:35", here, ltp.Stable, 3, ordertest.OrderingKey("c-17")).Work().After(time.Second).Turn().Work()
		}, ltp.Executed},
		"cancelled in line": {func() *tracetest.Order {
			return accepted("14:29:35", here, ltp.Stable, 3, ordertest.OrderingKey("c-17")).Work().After(time.Second).Cancel("shop").Work()
		}, ltp.Cancelled},
		"in several runs": {func() *tracetest.Order {
			o := accepted("14:30:10", here, ltp.Unstable, 4).Work().After(time.Second).Continue("run-2")
			return o.At(clock("14:30:46")).Hold(ltp.Recovering, 5).Release(ltp.Recovering, 5).Work()
		}, ltp.Executed},
		"by the user's activity": {func() *tracetest.Order {
			return accepted("14:29:35", own, ltp.Stable, 3).Work().Picks("17@till").After(time.Second).Returns(map[string]int{"slip": 4}).Work()
		}, ltp.Executed},
		"the user's activity runs": {func() *tracetest.Order {
			return accepted("14:29:35", own, ltp.Stable, 3).Work()
		}, ltp.Accepted},
		"the user's activity fails": {func() *tracetest.Order {
			o := accepted("14:29:35", own, ltp.Stable, 3)
			o.Cause = ltp.CauseOrder
			o.Work().After(5 * time.Second).TimesOut(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START).Work()
			o.Fires().Work().Picks("17@till").Fails(ltp.UnavailableError, "the till is closed", nil).Work()
			return o.Fires().Work().Picks("17@till").Fails(ltp.RejectedError, "no such article", nil).Work()
		}, ltp.Rejected},
		"ended by force": {func() *tracetest.Order {
			return accepted("14:30:10", here, ltp.Unstable, 4).Work().Terminate("test data")
		}, ltp.Terminated},
	} {
		t.Run(name, func(t *testing.T) {
			from := outage(t)
			found, err := trace.OrderFrames(c.make().Events)
			if err != nil {
				t.Fatal(err)
			}
			if found.State() != c.ends {
				t.Fatalf("it is %s", found.State())
			}
			from.orders = append(from.orders, trace.Found{Trace: found})
			f := export(t, from, 2)
			v := f.verify(t)
			if !v.OK || v.Counts.Ends[c.ends] == 0 {
				t.Fatalf("%v\n%s", v.Broken, f.lines[max(v.Broken.Line-1, 0)])
			}
			if p, err := ledger.VerifyProof(proof(t, f, "P1"), f.key); err != nil || p.End.State != c.ends {
				t.Errorf("its proof: %v", err)
			}
		})
	}
}
