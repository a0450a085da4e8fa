package trace_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	failurepb "go.temporal.io/api/failure/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
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
	if t.Outcome != nil {
		said = append(said, strings.TrimSpace(fmt.Sprintf("%s %s", t.Outcome.State, t.Outcome.Reason)))
	} else {
		said = append(said, fmt.Sprintf("now %s", t.State()))
	}
	return said
}

func execution(x trace.Execution) string {
	switch {
	case x.EndedAt.IsZero():
		return "executing"
	case x.Error == "":
		return fmt.Sprintf("executed under %s@%d", x.Fence.State, x.Fence.Epoch)
	}
	return fmt.Sprintf("%s (begun: %t): %s", x.Error, !x.BegunAt.IsZero(), x.Message)
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
	tell := func(name string, o *order, want ...string) { all[name] = path{o, want} }
	a2 := func() *order { return newOrder("A2", day("14:30:10")) }

	o := a2().routed("", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3).done(ltp.Stable, 3, 9*time.Millisecond)
	tell("executed at once", o, "A2/1 EXECUTE OK STABLE@3", "executed under STABLE@3", "EXECUTED")

	o = a2().deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.after(50*time.Second).taken(ltp.Recovering, 5).done(ltp.Recovering, 5, 9*time.Millisecond)
	tell("deferred, then released by the replay engine", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")

	o = a2().deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.after(2 * time.Minute).fires().work()
	o.routed(ltp.WokenByTimer, ltp.Execute, ltp.ReasonOK, ltp.Stable, 6).done(ltp.Stable, 6, time.Millisecond)
	tell("deferred, then woken by its timer", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE OK STABLE@6, replays A2/1 deferred for "SYSTEM_UNSTABLE", by TIMER`,
		"executed under STABLE@6", "EXECUTED")

	o = a2().deferred("", ltp.ReasonRecovering, ltp.Recovering, 5)
	o.after(time.Second).told(ltp.Recovering, 5).after(time.Second).work() // no news
	o.after(time.Minute).fires().work()
	o.deferred(ltp.WokenByTimer, ltp.ReasonUnstable, ltp.Unstable, 6)
	o.after(time.Minute).taken(ltp.Recovering, 7).fails("Unavailable", "not begun: orders-db is UNSTABLE", false, ltp.Unstable, 8, time.Millisecond)
	o.deferred(ltp.WokenByFailure, ltp.ReasonUnstable, ltp.Unstable, 8)
	o.after(time.Minute).taken(ltp.Stable, 10).done(ltp.Stable, 10, time.Millisecond)
	tell("deferred again and again", o,
		"A2/1 DEFER SYSTEM_RECOVERING RECOVERING@5",
		`A2/2 DEFER SYSTEM_UNSTABLE UNSTABLE@6, replays A2/1 deferred for "SYSTEM_RECOVERING", by TIMER`,
		`A2/3 EXECUTE RECOVERY_CONFIRMED RECOVERING@7, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"Unavailable (begun: false): not begun: orders-db is UNSTABLE",
		`A2/4 DEFER SYSTEM_UNSTABLE UNSTABLE@8, replays A2/1 deferred for "SYSTEM_UNSTABLE", by FAILURE`,
		`A2/5 EXECUTE OK STABLE@10, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under STABLE@10", "EXECUTED")

	o = a2().deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.after(time.Second).cancelAsked("shop@node-1").work().cancelled()
	tell("cancelled", o, "A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "CANCELLED")

	o = a2().deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.after(time.Second).told(ltp.Recovering, 5).cancelAsked("shop@node-1").work().cancelled()
	tell("cancelled in the moment of its release", o, "A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "CANCELLED")

	o = a2().deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.after(time.Minute).fires().work().upsert()
	o.completed(ltp.Outcome{State: ltp.Expired, Reason: "deadline passed"})
	tell("expired", o, "A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "EXPIRED deadline passed")

	o = a2().routed("", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	o.fails("Rejected", "no such article", true, ltp.Stable, 3, time.Millisecond).upsert()
	o.completed(ltp.Outcome{State: ltp.Rejected, Reason: "no such article"})
	tell("rejected", o, "A2/1 EXECUTE OK STABLE@3", "Rejected (begun: true): no such article", "REJECTED no such article")

	o = a2().routed("", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	o.fails("Unavailable", "connection refused", true, ltp.Stable, 3, time.Millisecond)
	o.deferred(ltp.WokenByFailure, ltp.ReasonExecuteUnavailable, ltp.Stable, 3)
	o.after(time.Second).fires().work()
	o.routed(ltp.WokenByTimer, ltp.Execute, ltp.ReasonOK, ltp.Stable, 3).done(ltp.Stable, 3, time.Millisecond)
	tell("unavailable while the state still said STABLE", o,
		"A2/1 EXECUTE OK STABLE@3", "Unavailable (begun: true): connection refused",
		`A2/2 DEFER EXECUTE_UNAVAILABLE STABLE@3, replays A2/1 deferred for "", by FAILURE`,
		`A2/3 EXECUTE OK STABLE@3, replays A2/1 deferred for "EXECUTE_UNAVAILABLE", by TIMER`,
		"executed under STABLE@3", "EXECUTED")

	o = a2().routed("", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	o.after(20 * time.Second)
	o.activityTimedOut(o.executes(), enumspb.TIMEOUT_TYPE_START_TO_CLOSE, nil)
	o.work()
	o.deferred(ltp.WokenByFailure, ltp.ReasonUnstable, ltp.Unstable, 4)
	tell("lost with its worker", o,
		"A2/1 EXECUTE OK STABLE@3", "LOST (begun: false): no answer from its worker in time",
		`A2/2 DEFER SYSTEM_UNSTABLE UNSTABLE@4, replays A2/1 deferred for "", by FAILURE`, "now DEFERRED")

	o = a2().routed("", ltp.Freeze, ltp.ReasonFrozen, ltp.Unstable, 4)
	tell("frozen after it was accepted", o, "A2/1 FREEZE INTAKE_FROZEN UNSTABLE@4", "now DEFERRED")

	// Several words at once: that of the latest epoch counts, the first of two.
	o = a2().deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.after(time.Second).told(ltp.Stable, 3).told(ltp.Recovering, 5).told(ltp.Stable, 6).taken(ltp.Unstable, 6)
	o.done(ltp.Stable, 6, time.Millisecond)
	tell("told many things at once", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE OK STABLE@6, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under STABLE@6", "EXECUTED")

	// A signal that arrives while Execute runs is looked at when the order waits again.
	o = a2().routed("", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	scheduled := o.executes()
	o.told(ltp.Recovering, 5).work()
	o.activityFailed(scheduled, "Unavailable", "connection refused", attempt{EndedAt: o.now})
	o.work()
	o.deferred(ltp.WokenByFailure, ltp.ReasonUnstable, ltp.Unstable, 4)
	o.attempt++
	o.done(ltp.Recovering, 5, time.Millisecond)
	tell("told while it was executed", o,
		"A2/1 EXECUTE OK STABLE@3", "Unavailable (begun: false): connection refused",
		`A2/2 DEFER SYSTEM_UNSTABLE UNSTABLE@4, replays A2/1 deferred for "", by FAILURE`,
		`A2/3 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")

	// The SDK answers for an Execute that ends after its worker: it does not know how.
	o = a2().routed("", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	o.activityFailed(o.executes(), "", "worker is now shutdown", nil)
	o.work()
	o.deferred(ltp.WokenByFailure, ltp.ReasonUnstable, ltp.Unstable, 4)
	tell("ended after its worker", o,
		"A2/1 EXECUTE OK STABLE@3", "LOST (begun: false): worker is now shutdown",
		`A2/2 DEFER SYSTEM_UNSTABLE UNSTABLE@4, replays A2/1 deferred for "", by FAILURE`, "now DEFERRED")

	// The timer rings and the word comes before a worker looks: the order looks for
	// itself first, and takes the word when it waits again.
	o = a2().deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.after(2 * time.Minute).fires()
	o.told(ltp.Recovering, 5).work()
	o.deferred(ltp.WokenByTimer, ltp.ReasonUnstable, ltp.Unstable, 4)
	o.attempt++
	o.done(ltp.Recovering, 5, time.Millisecond)
	tell("woken by its timer, and told before it could look", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 DEFER SYSTEM_UNSTABLE UNSTABLE@4, replays A2/1 deferred for "SYSTEM_UNSTABLE", by TIMER`,
		`A2/3 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")

	// What the word does not admit, the board decides: the marker is the routing.
	high := ltp.Order{ID: "A2", Customer: "c", Currency: "USD", Risk: ltp.HighRisk, Lines: []ltp.Line{{SKU: "a", Quantity: 1}}}
	o = startOrder(high, day("14:30:10")).deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.told(ltp.Degraded, 6).work()
	o.deferred(ltp.WokenBySignal, ltp.ReasonDegraded, ltp.Degraded, 6)
	o.taken(ltp.Stable, 7).done(ltp.Stable, 7, time.Millisecond)
	tell("high risk", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 DEFER SYSTEM_DEGRADED DEGRADED@6, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		`A2/3 EXECUTE OK STABLE@7, replays A2/1 deferred for "SYSTEM_DEGRADED", by SIGNAL`,
		"executed under STABLE@7", "EXECUTED")

	o = a2().routed("", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	o.executes()
	tell("being executed", o, "A2/1 EXECUTE OK STABLE@3", "executing", "now ACCEPTED")

	o = a2()
	o.events = o.events[:1]
	tell("accepted", o, "now ACCEPTED")

	o = a2().deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.terminated("test data")
	tell("ended by force", o, "A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4", "TERMINATED ended by force in Temporal: test data")

	o = inLine("A2", day("14:30:10")).routed("", ltp.Defer, ltp.ReasonAwaitsTurn, ltp.Stable, 3)
	o.upsert()
	o.timer()
	o.after(time.Second).turn().work()
	o.routed(ltp.WokenByTurn, ltp.Execute, ltp.ReasonOK, ltp.Stable, 3).done(ltp.Stable, 3, time.Millisecond)
	tell("had its turn", o,
		"A2/1 DEFER AWAITS_TURN STABLE@3",
		`A2/2 EXECUTE OK STABLE@3, replays A2/1 deferred for "AWAITS_TURN", by TURN`,
		"executed under STABLE@3", "EXECUTED")

	// Its turn comes while it waits for the component, and the signal is the routing.
	o = inLine("A2", day("14:30:10")).deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.after(time.Second).turn().work()
	o.after(time.Second).taken(ltp.Recovering, 5).done(ltp.Recovering, 5, time.Millisecond)
	tell("had its turn before the component was fit", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")

	// The replay engine has nothing to say to it while it awaits its turn.
	o = inLine("A2", day("14:30:10")).routed("", ltp.Defer, ltp.ReasonAwaitsTurn, ltp.Stable, 3)
	o.upsert()
	o.timer()
	o.after(time.Second).told(ltp.Stable, 6).work()
	o.signal(ltp.ExpediteSignal, nil).work()
	o.after(2 * time.Minute).fires().work()
	o.localActivity("Join", "run-1")
	o.routed(ltp.WokenByTimer, ltp.Defer, ltp.ReasonAwaitsTurn, ltp.Stable, 6)
	o.timer()
	o.after(time.Minute).cancelAsked("shop").work()
	o.cancelled()
	tell("in line until it was cancelled", o,
		"A2/1 DEFER AWAITS_TURN STABLE@3",
		`A2/2 DEFER AWAITS_TURN STABLE@6, replays A2/1 deferred for "AWAITS_TURN", by TIMER`, "CANCELLED")

	// A reset copies the history up to a point and goes on from there.
	o = a2().deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.history = *o.after(time.Second).told(ltp.Recovering, 5).reset("another-run")
	o.attempt++
	o.work()
	o.done(ltp.Recovering, 5, time.Millisecond)
	tell("reset", o,
		"A2/1 DEFER SYSTEM_UNSTABLE UNSTABLE@4",
		`A2/2 EXECUTE RECOVERY_CONFIRMED RECOVERING@5, replays A2/1 deferred for "SYSTEM_UNSTABLE", by SIGNAL`,
		"executed under RECOVERING@5", "EXECUTED")
	return all
}

func TestOrderFramesOfEveryPath(t *testing.T) {
	for name, path := range paths() {
		t.Run(name, func(t *testing.T) {
			got := must(trace.OrderFrames(path.order.events))(t)
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
		if !admitted[x.RequestFrameID] || executed[x.RequestFrameID] {
			t.Errorf("execution of %s: not admitted, or the second", x.RequestFrameID)
		}
		executed[x.RequestFrameID] = true
	}
	if o.State() == ltp.Executed && (len(o.Executions) == 0 || !o.Executions[len(o.Executions)-1].Done()) {
		t.Error("EXECUTED without an execution that succeeded")
	}
}

func TestFramesOfASignalAreFromItsEvent(t *testing.T) {
	o := newOrder("A2", day("14:30:10")).deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.at(day("14:31:05"))
	signalled := int64(len(o.events) + 1)
	o.taken(ltp.Recovering, 5).after(time.Second).done(ltp.Recovering, 5, time.Millisecond)
	got := must(trace.OrderFrames(o.events))(t)
	for _, f := range got.Frames[2:] {
		if !f.At.Equal(day("14:31:05")) || f.Source != (ltp.Source{WorkflowID: "order/A2", RunID: "run-of-A2", EventID: signalled}) {
			t.Errorf("frame %s is at %s, from %+v", f.ID, f.At, f.Source)
		}
	}
	if !got.AcceptedAt.Equal(day("14:30:10")) || got.EndedAt.IsZero() || got.Order.Customer != "customer-A2" {
		t.Errorf("accepted at %s, ended at %s, order %+v", got.AcceptedAt, got.EndedAt, got.Order)
	}
}

func TestWhatAnOrderIgnoresIsNoted(t *testing.T) {
	o := newOrder("A2", day("14:30:10")).deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	o.signal("refund", 1).signal(ltp.StabilitySignal, "five").cancelAsked("shop@node-1")
	o.marker("Version", nil)
	failed := o.localActivity("CheckOrientation", nil)
	failed.GetMarkerRecordedEventAttributes().Failure = &failurepb.Failure{Message: "panic"}
	got := must(trace.OrderFrames(o.events))(t)
	var kinds []trace.NoteKind
	for _, n := range got.Notes {
		kinds = append(kinds, n.Kind)
	}
	want := []trace.NoteKind{trace.NoteSignal, trace.NoteSignal, trace.NoteCancel, trace.NoteRouting}
	if !slices.Equal(kinds, want) || len(got.Frames) != 2 {
		t.Errorf("notes %v, want %v; %d frames", got.Notes, want, len(got.Frames))
	}
}

func TestRunOfAResetOrderIsItsOwn(t *testing.T) {
	o := newOrder("A2", day("14:30:10")).deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
	got := must(trace.OrderFrames(o.reset("another-run").events))(t)
	if got.RunID != "another-run" || got.Frames[0].Source.RunID != "another-run" {
		t.Errorf("run %s, frames of run %s", got.RunID, got.Frames[0].Source.RunID)
	}
	if len(got.Notes) != 1 || got.Notes[0].Kind != trace.NoteOperator {
		t.Errorf("notes: %+v", got.Notes)
	}
}

func TestRoutingOfTheEventItself(t *testing.T) {
	o := newOrder("A2", day("14:30:10")).routed("", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
	r, ok, err := trace.Routing(o.events[4])
	if !ok || err != nil || r.Reason != ltp.ReasonUnstable {
		t.Errorf("%+v, %t, %v", r, ok, err)
	}
	if _, ok, err := trace.Routing(o.events[0]); ok || err != nil {
		t.Errorf("the start of an order is a routing: %t, %v", ok, err)
	}
	o.completed(nil)
	if out, ok, err := trace.Outcome(o.events[5]); ok || err == nil {
		t.Errorf("an order without a result ended %+v, %t", out, ok)
	}
}
