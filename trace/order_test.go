package trace_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/trace"
	"github.com/ltp-node/ltp/trace/tracetest"
)

// story is a trace in short: the routings, the executions and the end.
func story(t trace.OrderTrace) []string {
	var said []string
	for i := 0; i+1 < len(t.Frames); i += 2 {
		q, r := t.Frames[i].Request, t.Frames[i+1].Response
		s := fmt.Sprintf("%s %s %s %s@%d", t.Frames[i].ID, r.Decision, r.Reason, r.State, r.Epoch)
		if q.Replay {
			s += fmt.Sprintf(", replays %s deferred for %q, by %s", q.OriginalFrameID, q.DeferredReason, q.Woken)
		}
		said = append(said, s)
		for _, x := range t.Executions {
			if x.RequestFrameID == t.Frames[i].ID {
				said = append(said, execution(x))
			}
		}
	}
	for _, w := range t.Withdrawals {
		said = append(said, "withdrawn: "+string(w.Found))
	}
	if t.Outcome != nil {
		said = append(said, strings.TrimSpace(fmt.Sprintf("%s %s", t.Outcome.State, t.Outcome.Reason)))
	} else {
		said = append(said, fmt.Sprintf("now %s", t.State()))
	}
	return said
}

func execution(x trace.Execution) string {
	switch {
	case x.Running():
		return "executing"
	case x.Repeated():
		return "executed before"
	case x.Done():
		return fmt.Sprintf("executed under %s@%d", x.Fence.State, x.Fence.Epoch)
	}
	return fmt.Sprintf("%s (begun: %t): %s", x.Result, !x.BegunAt.IsZero(), x.Error)
}

// paths are orders on every path that an order can take.
func paths() map[string]struct {
	order *order
	want  []string
} {
	type path = struct {
		order *order
		want  []string
	}
	all := map[string]path{}
	is := func(name string, o *order, want ...string) { all[name] = path{o, want} }
	start := day("14:30:10")
	a2 := func() *order { return newOrder("A2", start) }
	down := func() *order { return deferred("A2", start, ltp.Unstable, 4) }

	is("executed at once", a2().Work(), "A2/1 EXECUTE OK STABLE@3", "executed under STABLE@3", "EXECUTED")

	is("deferred, then released by the replay engine", released(down().After(50*time.Second), ltp.Recovering, 5),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")

	is("deferred, then released by a signal", down().After(50*time.Second).Hold(ltp.Recovering, 5).Stability(ltp.Recovering, 5).Work(),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")

	// The backstop finds a newer epoch than the order was given: the next task writes.
	is("deferred, then woken by its timer", down().Fires().Hold(ltp.Stable, 6).Work().Fires().Work(),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE OK STABLE@6, replays A2/1 deferred for "SYSTEM_UNSTABLE", by TIMER`,
		"executed under STABLE@6", "EXECUTED")

	o := deferred("A2", start, ltp.Recovering, 5)
	o.After(time.Second).Stability(ltp.Recovering, 5).After(time.Second).Work() // says nothing that it did not know
	o.After(time.Minute).Fires().Hold(ltp.Unstable, 6).Work()
	o.Writes = []tracetest.Write{{Result: ltp.ResultNotBegun, Error: "not begun: the time for one attempt is up"}}
	released(o.After(time.Minute), ltp.Recovering, 7)
	is("deferred again and again", released(o.After(time.Minute), ltp.Stable, 10),
		"A2/1 DEFER SYSTEM_RECOVERING RECOVERING@5",
		`A2/2 DEFER SYSTEM_UNSTABLE UNSTABLE@6, replays A2/1 deferred for "SYSTEM_RECOVERING", by TIMER`,
		`A2/3 EXECUTE RECOVERY_CONFIRMED RECOVERING@7, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"NOT_BEGUN (begun: false): not begun: the time for one attempt is up",
		`A2/4 DEFER EXECUTE_UNAVAILABLE RECOVERING@7, replays A2/1 deferred for "SYSTEM_UNSTABLE", by FAILURE`,
		`A2/5 EXECUTE OK STABLE@10, replays A2/1 deferred for "EXECUTE_UNAVAILABLE", by SIGNAL`,
		"executed under STABLE@10", "EXECUTED")

	is("released and found unfit again", released(down().After(time.Minute).Release(ltp.Recovering, 5), ltp.Unstable, 6),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 DEFER SYSTEM_UNSTABLE UNSTABLE@6, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`, "now DEFERRED")

	is("cancelled", down().After(time.Second).Cancel("shop@node-1").Work(),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "withdrawn: UNWRITTEN", "CANCELLED")

	o = down().After(time.Second).Hold(ltp.Recovering, 5).Release(ltp.Recovering, 5).Cancel("shop@node-1").Work()
	is("cancelled in the moment of its release", o, "A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "withdrawn: TOMBSTONE", "CANCELLED")

	// It was accepted while a write might begin: only the order database can tell.
	o = a2().Hold(ltp.Unstable, 4).Work().Cancel("shop@node-1").Work()
	is("its cancellation waits", o, "A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "withdrawn: NOTHING", "now DEFERRED")

	o = a2().Hold(ltp.Unstable, 4).Work().Cancel("shop@node-1").Work()
	is("cancelled when it could be", o.After(time.Minute).Hold(ltp.Recovering, 5).Release(ltp.Recovering, 5).Work(),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "withdrawn: NOTHING", "withdrawn: TOMBSTONE", "CANCELLED")

	due := ordertest.New("A2")
	due.Deadline = start.Add(time.Minute)
	is("expired", accepted(due, start, ltp.Unstable, 4).Work().Fires().Work(),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "withdrawn: UNWRITTEN", "EXPIRED deadline passed before the order could be executed")

	o = a2()
	o.Writes = []tracetest.Write{{Result: ltp.ResultRefused, Error: "no such article"}}
	is("rejected", o.Work(), "A2/1 EXECUTE OK STABLE@3", "REFUSED (begun: true): no such article",
		`A2/2 DEFER EXECUTE_UNAVAILABLE STABLE@3, replays A2/1 deferred for "", by FAILURE`,
		"withdrawn: TOMBSTONE", "REJECTED no such article")

	o = a2()
	o.Writes = []tracetest.Write{{Result: ltp.ResultUnavailable, Error: "connection refused"}}
	is("unavailable while the state still said STABLE", o.Work().Fires().Work(),
		"A2/1 EXECUTE OK STABLE@3", "UNAVAILABLE (begun: true): connection refused",
		`A2/2 DEFER EXECUTE_UNAVAILABLE STABLE@3, replays A2/1 deferred for "", by FAILURE`,
		`A2/3 EXECUTE OK STABLE@3, replays A2/1 deferred for "EXECUTE_UNAVAILABLE", by TIMER`,
		"executed under STABLE@3", "EXECUTED")

	o = a2()
	o.Silent["Execute"] = 1
	is("an attempt without an answer", o.Work().Fires().Work(),
		"A2/1 EXECUTE OK STABLE@3", "UNKNOWN (begun: false): the attempt gave no answer: it panicked",
		`A2/2 DEFER EXECUTE_UNAVAILABLE STABLE@3, replays A2/1 deferred for "", by FAILURE`,
		`A2/3 EXECUTE OK STABLE@3, replays A2/1 deferred for "EXECUTE_UNAVAILABLE", by TIMER`,
		"executed before", "EXECUTED")

	o = a2()
	o.Lose(0).After(time.Second).Work()
	is("lost with its worker", o, "A2/1 EXECUTE OK STABLE@3", "executed under STABLE@3", "EXECUTED")

	o = a2()
	o.Lose(enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNHANDLED_COMMAND)
	o.Row = &ltp.Receipt{Attempt: "A2/1", Worker: tracetest.Worker, BegunAt: o.Now, CommittedAt: o.Now, Fence: ltp.Fence{Component: "orders-db", State: ltp.Stable, Epoch: 3}}
	is("written in a task that was lost", o.Work(), "A2/1 EXECUTE OK STABLE@3", "executed before", "EXECUTED")

	o = a2()
	o.Beats = 2
	is("a worker that asks for more time", o.Work(), "A2/1 EXECUTE OK STABLE@3", "executed under STABLE@3", "EXECUTED")

	// The attempt of a lost task had written it, which its cancellation finds out.
	o = down().Hold(ltp.Recovering, 5)
	o.Lose(0)
	o.Row = &ltp.Receipt{Attempt: "A2/2", Worker: tracetest.Worker, BegunAt: o.Now, CommittedAt: o.Now, Fence: ltp.Fence{Component: "orders-db", State: ltp.Recovering, Epoch: 5}}
	is("found to be written when it was cancelled", o.Cancel("shop").Work(), "A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "withdrawn: ORDER", "EXECUTED")

	o = a2()
	o.Unreadable = true
	is("routed blind", o.Work(), "A2/1 DEFER ORIENTATION_UNKNOWN UNKNOWN@0", "now DEFERRED")

	o = a2()
	o.Silent["CheckOrientation"] = 1
	is("not routed", o.Work().Fires().Work(),
		"A2/1 DEFER ORIENTATION_UNKNOWN UNKNOWN@0",
		`A2/2 EXECUTE OK STABLE@3, replays A2/1 deferred for "ORIENTATION_UNKNOWN", by TIMER`, "executed under STABLE@3", "EXECUTED")

	o = a2().Hold(ltp.Unstable, 4)
	frozen := o.Board["orders-db"]
	frozen.Hold = &ltp.Hold{By: "ann", Why: "a leak", Freeze: true}
	o.Board["orders-db"] = frozen
	is("frozen after it was accepted", o.Work(), "A2/1 FREEZE INTAKE_FROZEN UNSTABLE@4", "now DEFERRED")

	// What is said of epochs that are over, or that are not fit, still wakes: the fence asks.
	o = down().After(time.Second).Stability(ltp.Stable, 3).Stability(ltp.Recovering, 5).Stability(ltp.Stable, 6).Hold(ltp.Stable, 6).Work()
	is("many signals at once", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE OK STABLE@6, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under STABLE@6", "EXECUTED")

	// The fence finds a newer epoch than the one that was named.
	o = down().After(time.Second).Stability(ltp.Recovering, 5).Hold(ltp.Stable, 6).Work().Fires().Work()
	is("released under an epoch that it was not given", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE OK STABLE@6, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under STABLE@6", "EXECUTED")

	// Between the routing and the write it became unfit.
	o = down().Fires().Hold(ltp.Stable, 6).Work().Fires().Hold(ltp.Unstable, 7).Work()
	is("admitted, and the fence found it unfit", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE OK STABLE@6, replays A2/1 deferred for "SYSTEM_UNSTABLE", by TIMER`,
		`A2/3 DEFER SYSTEM_UNSTABLE UNSTABLE@7, replays A2/1 deferred for "SYSTEM_UNSTABLE", by FENCE`, "now DEFERRED")

	is("woken by its timer and a signal at once", down().Fires().Stability(ltp.Recovering, 5).Hold(ltp.Recovering, 5).Work(),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")

	high := ordertest.New("A2")
	high.Risk = ltp.HighRisk
	o = released(accepted(high, start, ltp.Unstable, 4).Work().After(time.Second), ltp.Degraded, 6)
	is("high risk", released(o.After(time.Second), ltp.Stable, 7),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 DEFER SYSTEM_DEGRADED DEGRADED@6, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		`A2/3 EXECUTE OK STABLE@7, replays A2/1 deferred for "SYSTEM_DEGRADED", by SIGNAL`,
		"executed under STABLE@7", "EXECUTED")

	o = down()
	o.Paused = []string{"orders-db"}
	is("deferred by a pause", o.Fires().Hold(ltp.Recovering, 5).Work(),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 DEFER REPLAY_PAUSED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by TIMER`, "now DEFERRED")

	is("accepted", a2(), "now ACCEPTED")

	is("ended by force", down().Terminate("test data"), "A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "TERMINATED ended by force in Temporal: test data")

	is("had its turn", inLine("A2", start, ltp.Stable, 3).After(time.Second).Turn().Work(),
		"A2/1 DEFER AWAITS_TURN STABLE@3",
		`A2/2 EXECUTE OK STABLE@3, replays A2/1 deferred for "AWAITS_TURN", by TURN`,
		"executed under STABLE@3", "EXECUTED")

	o = inLine("A2", start, ltp.Unstable, 4).After(time.Second).Turn().Work()
	is("had its turn before the component was fit", released(o.After(time.Second), ltp.Recovering, 5),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")

	o = inLine("A2", start, ltp.Stable, 3).After(time.Second).Stability(ltp.Stable, 6).Hold(ltp.Stable, 6).Work()
	o.Signal(ltp.ExpediteSignal).Work().Fires().Work()
	is("in line until it was cancelled", o.After(time.Minute).Cancel("shop").Work(),
		"A2/1 DEFER AWAITS_TURN STABLE@3",
		`A2/2 DEFER AWAITS_TURN STABLE@6, replays A2/1 deferred for "AWAITS_TURN", by TIMER`, "CANCELLED")

	is("by the user's activity", external("A2", start, ltp.Stable, 3).After(time.Second).Picks("17@till").Returns(map[string]int{"slip": 4}).Work(),
		"A2/1 EXECUTE OK STABLE@3", "executed under STABLE@3", "EXECUTED")

	is("the user's activity runs", external("A2", start, ltp.Stable, 3), "A2/1 EXECUTE OK STABLE@3", "executing", "now ACCEPTED")

	o = external("A2", start, ltp.Stable, 3).After(5 * time.Second).TimesOut(enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START).Work()
	o.Fires().Work().Picks("17@till").Fails(ltp.UnavailableError, "the till is closed", nil).Stability(ltp.Stable, 4).Work()
	is("the user's activity fails", o.Fires().Work().Picks("17@till").Returns(nil).Work(),
		"A2/1 EXECUTE OK STABLE@3", "NOT_BEGUN (begun: false): no worker on shop took it in time",
		`A2/2 DEFER EXECUTE_UNAVAILABLE STABLE@3, replays A2/1 deferred for "", by FAILURE`,
		`A2/3 EXECUTE OK STABLE@3, replays A2/1 deferred for "EXECUTE_UNAVAILABLE", by TIMER`,
		"UNAVAILABLE (begun: true): the till is closed",
		`A2/4 DEFER EXECUTE_UNAVAILABLE STABLE@3, replays A2/1 deferred for "EXECUTE_UNAVAILABLE", by FAILURE`,
		`A2/5 EXECUTE OK STABLE@3, replays A2/1 deferred for "EXECUTE_UNAVAILABLE", by SIGNAL`,
		"executed under STABLE@3", "EXECUTED")

	is("parked", parkedByItself(), parkedStory("now PARKED")...)

	o = parkedByItself().After(time.Hour).Signal(ltp.InstructionSignal, ltp.Instruction{Do: ltp.DoReject, By: "ann", Why: "no such article"}).Work()
	is("parked, and rejected by an operator", o, parkedStory("withdrawn: TOMBSTONE", "REJECTED rejected by ann: no such article")...)

	o = parkedByItself().After(time.Hour).Signal(ltp.InstructionSignal, ltp.Instruction{Do: ltp.DoRetry, By: "ann"}).Work()
	is("parked, and retried", o, parkedStory(
		fmt.Sprintf(`A2/%d EXECUTE OK STABLE@3, replays A2/1 deferred for "EXECUTE_UNAVAILABLE", by RETRY`, 2*ltp.ParkAfter+1),
		"executed under STABLE@3", "EXECUTED")...)

	o = a2()
	o.Cause, o.Writes = ltp.CauseComponent, []tracetest.Write{{Result: ltp.ResultRefused, Error: "closed"}}
	is("refused, as all are", o.Work(), "A2/1 EXECUTE OK STABLE@3", "REFUSED (begun: true): closed",
		`A2/2 DEFER EXECUTE_UNAVAILABLE STABLE@3, replays A2/1 deferred for "", by FAILURE`, "now DEFERRED")

	o = down().Fires().Work()
	is("in several runs", released(o.After(time.Second).Continue("run-2").After(time.Second), ltp.Recovering, 5),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 DEFER SYSTEM_UNSTABLE UNSTABLE@4, replays A2/1 deferred for "SYSTEM_UNSTABLE", by TIMER`,
		`A2/3 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")

	// A reset copies the history up to a point and goes on from there.
	is("reset", down().After(time.Second).Hold(ltp.Recovering, 5).Stability(ltp.Recovering, 5).Reset("another-run").Work(),
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")
	return all
}

// parkedByItself is an order that keeps failing by its own fault until it is parked.
func parkedByItself() *tracetest.Order {
	o := newOrder("A2", day("14:30:10"))
	o.Cause = ltp.CauseOrder
	for range ltp.ParkAfter {
		o.Writes = append(o.Writes, tracetest.Write{Result: ltp.ResultUnavailable, Error: "disk full"})
	}
	for o.Work(); o.Phase != ltp.PhaseParked; o.Work() {
		o.Fires()
	}
	return o
}

// parkedStory is the story of such an order, and what follows.
func parkedStory(then ...string) []string {
	said := []string{"A2/1 EXECUTE OK STABLE@3"}
	reason := ""
	for n := 1; n < 2*ltp.ParkAfter; n += 2 {
		said = append(said, "UNAVAILABLE (begun: true): disk full",
			fmt.Sprintf(`A2/%d DEFER EXECUTE_UNAVAILABLE STABLE@3, replays A2/1 deferred for %q, by FAILURE`, n+1, reason))
		reason = "EXECUTE_UNAVAILABLE"
		if n < 2*ltp.ParkAfter-1 {
			said = append(said, fmt.Sprintf(`A2/%d EXECUTE OK STABLE@3, replays A2/1 deferred for %q, by TIMER`, n+2, reason))
		}
	}
	return append(said, then...)
}

func TestOrderFramesOfEveryPath(t *testing.T) {
	for name, path := range paths() {
		t.Run(name, func(t *testing.T) {
			got := must(trace.OrderFrames(path.order.Events))(t)
			if !slices.Equal(story(got), path.want) {
				t.Errorf("got\n  %s\nwant\n  %s", strings.Join(story(got), "\n  "), strings.Join(path.want, "\n  "))
			}
			holds(t, got)
		})
	}
}

// holds checks what is true of every trace.
func holds(t testing.TB, o trace.OrderTrace) {
	t.Helper()
	admitted := map[string]bool{}
	if len(o.Frames)%2 != 0 {
		t.Fatalf("%d frames are not requests with their responses", len(o.Frames))
	}
	for i := 0; i < len(o.Frames); i += 2 {
		q, r, n := o.Frames[i], o.Frames[i+1], i/2+1
		if q.Type != ltp.FrameRouteRequest || q.Request == nil || q.Request.Attempt != n || q.ID != ltp.RequestFrameID(o.Order.ID, n) {
			t.Errorf("frame %d is not request %d: %+v", i, n, q)
		}
		if r.Type != ltp.FrameRouteResponse || r.Response == nil || r.Response.RequestFrameID != q.ID || r.ID != ltp.ResponseFrameID(o.Order.ID, n) {
			t.Errorf("frame %d does not answer request %d: %+v", i+1, n, r)
		}
		if r.Response.Admissible != (r.Response.Decision == ltp.Execute) || r.Response.Admissible == (r.Response.Commitment != "") {
			t.Errorf("response %d: admissible %t goes with neither %s nor commitment %q", n, r.Response.Admissible, r.Response.Decision, r.Response.Commitment)
		}
		admitted[q.ID] = r.Response.Admissible
	}
	executed := map[string]bool{}
	for _, x := range o.Executions {
		if !admitted[x.RequestFrameID] && x.Result != ltp.ResultUnknown || executed[x.RequestFrameID] {
			t.Errorf("execution of %s: not admitted, or the second", x.RequestFrameID)
		}
		executed[x.RequestFrameID] = true
		if x.RecordedAt.Before(x.TaskAt) != x.Running() {
			t.Errorf("execution of %s: recorded %s, in a task of %s", x.RequestFrameID, x.RecordedAt, x.TaskAt)
		}
	}
	found := len(o.Withdrawals) > 0 && o.Withdrawals[len(o.Withdrawals)-1].Found == ltp.FoundOrder
	if o.State() == ltp.Executed && !found && (len(o.Executions) == 0 || !o.Executions[len(o.Executions)-1].Done()) {
		t.Error("EXECUTED without an execution that succeeded")
	}
}

// A routing that the fence made is of the marker of Execute, whose task asked for it.
func TestFramesOfAReleaseAreOfItsExecute(t *testing.T) {
	o := deferred("A2", day("14:30:10"), ltp.Unstable, 4).At(day("14:31:05"))
	o.Writes = []tracetest.Write{{Result: ltp.ResultExecuted, Took: 3 * time.Second}}
	released(o, ltp.Recovering, 5)
	got := must(trace.OrderFrames(o.Events))(t)
	x := got.Executions[0]
	for i, f := range got.Frames[2:] {
		if f.Source != x.Source || f.Source.RunID != "run-of-A2" || !f.At.Equal([]time.Time{day("14:31:05"), x.RecordedAt}[i]) {
			t.Errorf("frame %s is at %s, from %+v", f.ID, f.At, f.Source)
		}
	}
	if took, ok := x.Wrote(); !ok || took < 2*time.Second || !x.TaskAt.Equal(day("14:31:05")) || x.Worker != tracetest.Worker {
		t.Errorf("%+v", x)
	}
	if !slices.Equal(x.Given, []int64{4, 5}) || x.Receipt.Attempt != "A2/2" {
		t.Errorf("given %v, receipt %+v", x.Given, x.Receipt)
	}
	if !got.AcceptedAt.Equal(day("14:30:10")) || got.EndedAt.IsZero() || got.Order.Customer != "c-17" || got.Stamp.Epoch != 4 {
		t.Errorf("accepted at %s, ended at %s, order %+v", got.AcceptedAt, got.EndedAt, got.Order)
	}
}

// A lost task is named with its worker: only the row can tell what was done in it.
func TestLostTasksAreNamed(t *testing.T) {
	got := must(trace.OrderFrames(paths()["written in a task that was lost"].order.Events))(t)
	if len(got.Lost) != 1 || got.Lost[0].Cause != "UnhandledCommand" || got.Lost[0].Worker != "4711@node-1" || got.Lost[0].Source.EventID != 4 {
		t.Errorf("%+v", got.Lost)
	}
	got = must(trace.OrderFrames(paths()["lost with its worker"].order.Events))(t)
	if len(got.Lost) != 1 || got.Lost[0].Cause != "TIMED_OUT" || got.Lost[0].EndedAt.Sub(got.Lost[0].StartedAt) != 10*time.Second {
		t.Errorf("%+v", got.Lost)
	}
}

func TestRunsOfAnOrderAreOneTrace(t *testing.T) {
	o := paths()["in several runs"].order
	got := must(trace.OrderFrames(o.Events))(t)
	if got.RunID != "run-of-A2" || !slices.Equal(got.Runs, []string{"run-of-A2", "run-2"}) || !got.AcceptedAt.Equal(day("14:30:10")) {
		t.Errorf("run %s of %v, accepted at %s", got.RunID, got.Runs, got.AcceptedAt)
	}
	if got.Frames[2].Source.RunID != "run-of-A2" || got.Frames[4].Source.RunID != "run-2" {
		t.Errorf("%+v", got.Frames)
	}
	runs := runsOf(o.Events)
	for name, events := range map[string][]*historypb.HistoryEvent{"the first": runs[1], "the last": runs[0]} {
		var damage *trace.DamageError
		if _, err := trace.OrderFrames(events); !errors.As(err, &damage) || !strings.Contains(err.Error(), "is missing") {
			t.Errorf("without %s run: %v", name, err)
		}
	}
}

func TestWhatAnOrderIgnoresIsNoted(t *testing.T) {
	o := deferred("A2", day("14:30:10"), ltp.Unstable, 4)
	o.Signal("refund", 1).Signal(ltp.StabilitySignal, "five").Cancel("shop@node-1").Marker("Version")
	o.Silent["Withdraw"] = 1
	o.Work()
	got := must(trace.OrderFrames(o.Events))(t)
	var kinds []trace.NoteKind
	for _, n := range got.Notes {
		kinds = append(kinds, n.Kind)
	}
	want := []trace.NoteKind{trace.NoteSignal, trace.NoteSignal, trace.NoteCancel}
	if !slices.Equal(kinds, want) || len(got.Frames) != 2 || got.Wait.Reason != ltp.ReasonAwaitsProof {
		t.Errorf("notes %v, want %v; %d frames", got.Notes, want, len(got.Frames))
	}
}

func TestRunOfAResetOrderIsItsOwn(t *testing.T) {
	o := deferred("A2", day("14:30:10"), ltp.Unstable, 4)
	got := must(trace.OrderFrames(o.Reset("another-run").Events))(t)
	if got.RunID != "another-run" || got.Frames[0].Source.RunID != "another-run" {
		t.Errorf("run %s, frames of run %s", got.RunID, got.Frames[0].Source.RunID)
	}
	if len(got.Notes) != 1 || got.Notes[0].Kind != trace.NoteOperator || len(got.Lost) != 0 {
		t.Errorf("notes: %+v, lost: %+v", got.Notes, got.Lost)
	}
}

func TestRoutingIsReadFromASingleEvent(t *testing.T) {
	o := released(deferred("A2", day("14:30:10"), ltp.Unstable, 4), ltp.Recovering, 5)
	var reasons []ltp.Reason
	for _, e := range o.Events {
		r, ok, err := trace.Routing(e)
		if err != nil {
			t.Errorf("event %d: %v", e.GetEventId(), err)
		}
		if ok {
			reasons = append(reasons, r.Reason)
		}
	}
	if !slices.Equal(reasons, []ltp.Reason{ltp.ReasonUnstable, ltp.ReasonRecoveryConfirmed}) {
		t.Errorf("%v", reasons)
	}
	end := o.Events[len(o.Events)-1]
	if out, ok, err := trace.Outcome(end); !ok || err != nil || out.State != ltp.Executed {
		t.Errorf("%+v, %t, %v", out, ok, err)
	}
	end.GetWorkflowExecutionCompletedEventAttributes().Result = nil
	if out, ok, err := trace.Outcome(end); ok || err == nil {
		t.Errorf("an order without a result ended %+v, %t", out, ok)
	}
}

// TestUpdatesOfTwoRunsMayHaveOneEventID: events are numbered anew in each run of an order.
func TestUpdatesOfTwoRunsMayHaveOneEventID(t *testing.T) {
	same := 0
	for others := range 20 {
		o := deferred("A2", day("14:30:10"), ltp.Unstable, 4).After(time.Second).Release(ltp.Recovering, 5).Work() // in vain: its worker has not read of that
		o.After(time.Second).Continue("run-2").After(time.Second)
		for range others {
			o.Signal("none of ours")
		}
		released(o, ltp.Recovering, 5)
		var updates []int64
		for _, e := range o.Events {
			if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED {
				updates = append(updates, e.GetEventId())
			}
		}
		if len(updates) > 1 && updates[0] == updates[len(updates)-1] {
			same++
		}
		got, err := trace.OrderFrames(o.Events)
		if err != nil {
			t.Fatalf("Updates at events %d: %v", updates, err)
		}
		if got.State() != ltp.Executed {
			t.Errorf("%s", got.State())
		}
	}
	if same == 0 {
		t.Error("no two Updates had one event ID")
	}
}
