package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/trace"
)

// at is a moment of the incident, in milliseconds after UNSTABLE was published.
func at(ms int) time.Time {
	return time.Date(2024, 5, 20, 14, 30, 5, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
}

// The incident: STABLE@3, UNSTABLE@4 at 0, RECOVERING@5 at 50 s, STABLE@6 at 60 s.
func outage() trace.OrientationTrace {
	before := ltp.Orientation{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3, Since: at(-3_600_000)}
	o := trace.OrientationTrace{Component: ltp.DefaultComponent, Before: &before}
	add(&o, 0, ltp.Unstable, 4, "DB Write Latency > 5000ms")
	add(&o, 50_000, ltp.Recovering, 5, "DB leader elected, latency normal")
	add(&o, 60_000, ltp.Stable, 6, "Deferred backlog drained")
	return o
}

func add(o *trace.OrientationTrace, ms int, s ltp.State, epoch int64, reason string) {
	o.Frames = append(o.Frames, ltp.Frame{
		ID: fmt.Sprintf("%s@%d", o.Component, epoch), Type: ltp.FrameOrientation, At: at(ms),
		Orientation: &ltp.Orientation{Component: o.Component, State: s, Epoch: epoch, Reason: reason, Since: at(ms)},
	})
}

// placed is an order that was accepted, and nothing else.
func placed(id string, ms int) trace.OrderTrace {
	return trace.OrderTrace{AcceptedAt: at(ms), Stamp: ltp.Stamp{Epoch: 3}, Order: ordertest.New(id)}
}

// routed adds a routing, as the order's machine asks.
func routed(t *trace.OrderTrace, ms int, woken ltp.Wake, d ltp.Decision, why ltp.Reason, s ltp.State, epoch int64) *ltp.RouteRequest {
	n := len(t.Frames)/2 + 1
	q := &ltp.RouteRequest{OrderID: t.Order.ID, Attempt: n, Woken: woken, Replay: n > 1}
	q.Asked = ltp.Request{Replay: n > 1, InLine: why == ltp.ReasonAwaitsTurn, Listed: why == ltp.ReasonAwaitsReplay}
	if why == ltp.ReasonReplayPaused {
		q.Asked.Paused = []string{ltp.DefaultComponent}
	}
	if woken == ltp.WokenByFailure {
		before := t.Frames[len(t.Frames)-1].Response
		q.Asked.Failed, q.Asked.FailedUnder, q.Asked.FailedEpoch = true, before.Component, before.Epoch
	}
	a := &ltp.RouteResponse{
		OrderID: t.Order.ID, RequestFrameID: ltp.RequestFrameID(t.Order.ID, n), Admissible: d.Admissible(), Decision: d, Reason: why,
		Component: ltp.DefaultComponent, State: s, Epoch: epoch, ReadAt: at(ms),
	}
	t.Frames = append(t.Frames,
		ltp.Frame{ID: a.RequestFrameID, Type: ltp.FrameRouteRequest, At: at(ms), Request: q},
		ltp.Frame{ID: ltp.ResponseFrameID(t.Order.ID, n), Type: ltp.FrameRouteResponse, At: at(ms + 1), Response: a})
	return q
}

// wrote adds an execution of the latest routing, in the task of that, whose fence asked
// and whose write was begun and acknowledged.
func wrote(t *trace.OrderTrace, read, begun, committed int, s ltp.State, epoch int64) *trace.Execution {
	n := len(t.Frames)
	task := at(read - 1)
	if n > 0 && len(t.Executions) == 0 { // as late as the marker of the task
		t.Frames[n-1].At = at(committed + 1)
		if task = t.Frames[n-2].At; task.After(at(read)) {
			task = at(read - 1)
		}
	}
	attempt := ltp.Attempt{
		Result: ltp.ResultExecuted, BegunAt: at(begun), EndedAt: at(committed),
		Fence: ltp.Fence{Component: ltp.DefaultComponent, State: s, Epoch: epoch, ReadAt: at(read)},
	}
	attempt.Receipt = &ltp.Receipt{
		Attempt: ltp.RequestFrameID(t.Order.ID, n/2), BegunAt: attempt.BegunAt, CommittedAt: attempt.EndedAt, Fence: attempt.Fence,
	}
	t.Executions = append(t.Executions, trace.Execution{
		RequestFrameID: attempt.Receipt.Attempt, Attempt: attempt, TaskAt: task, RecordedAt: at(committed + 1),
	})
	return &t.Executions[len(t.Executions)-1]
}

// failed makes an execution one that did not write, or of which nobody knows.
func failed(x *trace.Execution, r ltp.Result) { x.Result, x.Receipt = r, nil }

// skewed is an order whose worker's clock is so far ahead.
func skewed(t trace.OrderTrace, ahead time.Duration) trace.OrderTrace {
	for _, f := range t.Frames {
		if f.Response != nil {
			f.Response.ReadAt = f.Response.ReadAt.Add(ahead)
		}
	}
	for i := range t.Executions {
		x := &t.Executions[i]
		for _, at := range []*time.Time{&x.BegunAt, &x.EndedAt, &x.Fence.ReadAt, &x.Receipt.BegunAt, &x.Receipt.CommittedAt, &x.Receipt.Fence.ReadAt} {
			*at = at.Add(ahead)
		}
	}
	return t
}

func ended(t *trace.OrderTrace, ms int, s ltp.OrderState) trace.OrderTrace {
	t.Outcome, t.EndedAt = &ltp.Outcome{State: s}, at(ms)
	return *t
}

// withdrawn is an order that came while the component was unfit and was cancelled in a task
// that began then, by a reading.
func withdrawn(ms int, f ltp.Fence) trace.OrderTrace {
	o := placed("B1", 5_000)
	o.Stamp = ltp.Stamp{Epoch: 4, State: ltp.Unstable}
	routed(&o, 5_001, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
	o.Withdrawals = []trace.Withdrawal{{
		Asked: ltp.Ending{State: ltp.Cancelled}, Withdrawal: ltp.Withdrawal{Found: ltp.FoundUnwritten, Fence: f}, TaskAt: at(ms), RecordedAt: at(ms + 1),
	}}
	return ended(&o, ms+2, ltp.Cancelled)
}

// good are orders on the usual paths: executed at once, deferred and replayed, in
// flight when the state changed.
func good() []trace.OrderTrace {
	a := placed("A1", -10_000)
	routed(&a, -9_999, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	wrote(&a, -9_995, -9_990, -9_985, ltp.Stable, 3)
	b := placed("A2", 5_000)
	routed(&b, 5_000, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
	routed(&b, 50_500, ltp.WokenBySignal, ltp.Execute, ltp.ReasonRecoveryConfirmed, ltp.Recovering, 5)
	wrote(&b, 50_505, 50_510, 50_520, ltp.Recovering, 5)
	c := placed("A3", -20)
	routed(&c, -19, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	wrote(&c, -15, -10, 4_000, ltp.Stable, 3) // under way
	d := placed("A4", -10)
	routed(&d, -9, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
	wrote(&d, -2, 7, 4_000, ltp.Stable, 3) // past the fence
	return []trace.OrderTrace{ended(&a, -9_984, ltp.Executed), ended(&b, 50_521, ltp.Executed), ended(&c, 4_001, ltp.Executed), ended(&d, 4_001, ltp.Executed)}
}

func audited(o trace.OrientationTrace, orders []trace.OrderTrace, gaps ...trace.Gap) Audit {
	in := trace.Incidents(o)
	c := newCase(Found{Orientation: o, Incident: in[len(in)-1], Number: len(in)})
	for _, t := range orders {
		c.see(t)
	}
	c.gaps = gaps
	return c.close(claim(Deterministic, ""), claim(RowsAgree, ""))
}

func TestAnIncidentAsItShouldBeHolds(t *testing.T) {
	a := audited(outage(), good())
	for _, c := range a.Claims {
		assert.Equal(t, Held, c.Verdict, "%s: %s %v", c.Name, c.Why, c.Breaches)
	}
	assert.Equal(t, Held, a.Verdict)
	fence := a.Claim(Fenced).Figures
	assert.EqualValues(t, 4, fence["writes"])
	assert.EqualValues(t, 1, fence["under_way"])
	assert.EqualValues(t, 1, fence["past_the_fence"])
	assert.EqualValues(t, 7, fence["latest_past_the_fence_ms"])
	assert.EqualValues(t, 2, fence["in_flight_committed"])
	assert.EqualValues(t, 4, a.Claim(NoneLost).Figures["executed"])
	require.Len(t, a.Unfit, 1)
	assert.Equal(t, Stretch{From: at(0), To: at(50_000), Frames: [2]string{"orders-db@4", "orders-db@4"}}, a.Unfit[0])
}

// TestEveryClaimCanBreak breaks one thing at a time, and names what broke.
func TestEveryClaimCanBreak(t *testing.T) {
	one := func(change func(*trace.OrderTrace)) func(*trace.OrientationTrace, []trace.OrderTrace) []trace.OrderTrace {
		return func(_ *trace.OrientationTrace, all []trace.OrderTrace) []trace.OrderTrace {
			change(&all[1])
			return all
		}
	}
	fresh := func(make func() trace.OrderTrace) func(*trace.OrientationTrace, []trace.OrderTrace) []trace.OrderTrace {
		return func(_ *trace.OrientationTrace, all []trace.OrderTrace) []trace.OrderTrace { return append(all, make()) }
	}
	for name, test := range map[string]struct {
		change func(*trace.OrientationTrace, []trace.OrderTrace) []trace.OrderTrace
		claim  Name
		what   string
		why    string
	}{
		"an order ended by force": {one(func(o *trace.OrderTrace) { *o = ended(o, 50_521, ltp.Terminated) }), NoneLost, "A2", ""},
		"two executions took effect": {one(func(o *trace.OrderTrace) { wrote(o, 50_525, 50_530, 50_540, ltp.Recovering, 5) }),
			Once, "A2", "2 executions took effect"},
		"it was cancelled, and took effect": {one(func(o *trace.OrderTrace) { *o = ended(o, 50_521, ltp.Cancelled) }), Once, "A2", "it ended CANCELLED, and an execution took effect"},
		"cancelled unwritten, and it may have been written": {fresh(func() trace.OrderTrace {
			o := placed("B1", -10)
			routed(&o, -9, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
			o.Frames[0].At, o.Frames[1].At = at(10), at(11)
			o.Withdrawals = []trace.Withdrawal{{Asked: ltp.Ending{State: ltp.Cancelled}, Withdrawal: ltp.Withdrawal{
				Found: ltp.FoundUnwritten, Fence: ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Unstable, Epoch: 4, LastFit: 3}}}}
			return ended(&o, 21, ltp.Cancelled)
		}), Once, "B1", "under which a write can have begun"},
		"cancelled unwritten, by a reading that was over": {fresh(func() trace.OrderTrace {
			return withdrawn(55_000, ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Unstable, Epoch: 4, LastFit: 3})
		}), Once, "B1", "a write can have begun in epoch 5"},
		"a write whose task began after the state was published": {fresh(func() trace.OrderTrace {
			o := placed("B1", 1)
			routed(&o, 2, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
			wrote(&o, 3, 9, 20, ltp.Stable, 3)
			return ended(&o, 21, ltp.Executed)
		}), Fenced, "B1", "its task began 2 ms after UNSTABLE (orders-db@4)"},
		"the same, by a worker whose clock is a second behind": {fresh(func() trace.OrderTrace {
			o := placed("B1", 1)
			routed(&o, 2, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
			wrote(&o, 3, 9, 20, ltp.Stable, 3)
			return skewed(ended(&o, 21, ltp.Executed), -time.Second)
		}), Fenced, "B1", "its task began 2 ms after UNSTABLE"},
		"a write that its receipt alone accounts for, while unfit": {fresh(func() trace.OrderTrace {
			o := placed("B1", -10)
			routed(&o, -9, "", ltp.Defer, ltp.ReasonUnknown, ltp.Unknown, 3)
			o.Frames[1].Response.Unreadable = true
			o.Lost = []trace.LostTask{{StartedAt: at(5_000), EndedAt: at(15_000)}}
			routed(&o, 50_500, ltp.WokenBySignal, ltp.Execute, ltp.ReasonRecoveryConfirmed, ltp.Recovering, 5)
			r := wrote(&o, 50_505, 50_510, 50_520, ltp.Recovering, 5).Receipt
			r.Repeated, r.BegunAt, r.Fence = true, at(5_010), ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3, ReadAt: at(5_005)}
			return ended(&o, 50_521, ltp.Executed)
		}), Fenced, "B1", "its task began 5000 ms after UNSTABLE"},
		"a write that a cancellation met, while unfit": {fresh(func() trace.OrderTrace {
			o := withdrawn(51_000, ltp.Fence{})
			o.Frames, o.Lost = nil, []trace.LostTask{{StartedAt: at(5_001), EndedAt: at(15_000)}}
			o.Withdrawals[0].Found, o.Withdrawals[0].Receipt = ltp.FoundOrder, &ltp.Receipt{
				Attempt: "B1/1", Repeated: true, BegunAt: at(5_010), Fence: ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3, ReadAt: at(5_005)},
			}
			return ended(&o, 51_002, ltp.Executed)
		}), Fenced, "B1", "its task began 5001 ms after UNSTABLE"},
		"recorded before it was routed":      {one(func(o *trace.OrderTrace) { o.Frames[3].At = at(50_600) }), Fenced, "A2", "that was recorded 79 ms before it was routed"},
		"begun before its fence asked":       {one(func(o *trace.OrderTrace) { o.Executions[0].Fence.ReadAt = at(50_511) }), Fenced, "A2", "its write began 1 ms before its fence asked"},
		"a write behind another component's": {one(func(o *trace.OrderTrace) { o.Executions[0].Fence.Component = "payments" }), Fenced, "A2", `its fence is of "payments"`},
		"RECOVERING on a first attempt": {fresh(func() trace.OrderTrace {
			o := placed("B1", 51_000)
			wrote(&o, 51_005, 51_010, 51_020, ltp.Recovering, 5).RequestFrameID = "B1/1"
			return ended(&o, 51_021, ltp.Executed)
		}), Fenced, "B1", "asks to DEFER: SYSTEM_RECOVERING"},
		"a write under a fence that was shut":  {one(func(o *trace.OrderTrace) { o.Executions[0].Fence.State = ltp.Unstable }), Fenced, "A2", "asks to DEFER"},
		"a write under a state that never was": {one(func(o *trace.OrderTrace) { o.Executions[0].Fence.State = ltp.Stable }), Fenced, "A2", "the orientation did not"},
		"a write that failed and was begun while unfit": {one(func(o *trace.OrderTrace) {
			x := wrote(o, 50_525, 50_526, 50_527, ltp.Recovering, 5)
			x.Fence.State, x.Fence.Epoch = ltp.Stable, 3
			failed(x, ltp.ResultUnavailable)
		}), Fenced, "A2", "its task began 50524 ms after UNSTABLE"},
		"a write between two unfit states, whose fence knew the first": {func(o *trace.OrientationTrace, all []trace.OrderTrace) []trace.OrderTrace {
			*o = trace.OrientationTrace{Component: o.Component, Before: o.Before}
			add(o, 0, ltp.Unstable, 4, "")
			add(o, 10_000, ltp.Unknown, 5, "")
			add(o, 50_000, ltp.Recovering, 6, "")
			add(o, 60_000, ltp.Stable, 7, "")
			b := placed("B1", -10)
			routed(&b, -9, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
			b.Frames[1].At = at(-8)
			wrote(&b, 9_000, 10_005, 10_020, ltp.Stable, 3).TaskAt = at(8_999)
			return []trace.OrderTrace{all[0], ended(&b, 10_021, ltp.Executed)}
		}, Fenced, "B1", "its task began 8999 ms after UNSTABLE"},
		"an epoch is skipped": {func(o *trace.OrientationTrace, all []trace.OrderTrace) []trace.OrderTrace {
			o.Frames[2].Orientation.Epoch = 9
			return all
		}, Instability, "orders-db@6", "epoch 9 follows epoch 5"},
		"a transition that no rule has": {func(o *trace.OrientationTrace, all []trace.OrderTrace) []trace.OrderTrace {
			o.Frames[1].Orientation.State = ltp.Degraded
			return append(all[:1], all[2:]...)
		}, Instability, "orders-db@5", "no rule leads from UNSTABLE to DEGRADED"},
		"time runs backwards": {func(o *trace.OrientationTrace, all []trace.OrderTrace) []trace.OrderTrace {
			o.Frames[1].At = at(-5)
			return all
		}, Instability, "orders-db@5", "earlier"},
		"an order admitted under an unfit state": {one(func(o *trace.OrderTrace) {
			a := o.Frames[1].Response
			a.Decision, a.Admissible, a.Reason = ltp.Execute, true, ltp.ReasonOK
		}), SafeMode, "A2/1/response", "the decision table says DEFER SYSTEM_UNSTABLE"},
		"an answer that says another thing than it decides": {one(func(o *trace.OrderTrace) { o.Frames[1].Response.Admissible = true }),
			SafeMode, "A2/1/response", "admissible is true"},
		"an answer with another reason": {one(func(o *trace.OrderTrace) { o.Frames[1].Response.Reason = ltp.ReasonDegraded }), SafeMode, "A2/1/response", "decision table"},
		"an answer on a state that never was": {one(func(o *trace.OrderTrace) {
			a := o.Frames[1].Response
			a.State, a.Decision, a.Admissible, a.Reason = ltp.Stable, ltp.Execute, true, ltp.ReasonOK
		}), SafeMode, "A2/1/response", "the orientation did not"},
		"a new order admitted while the backlog drains": {fresh(func() trace.OrderTrace {
			o := placed("B1", 51_000)
			routed(&o, 51_000, "", ltp.Execute, ltp.ReasonRecoveryConfirmed, ltp.Recovering, 5)
			return o
		}), SafeMode, "B1/1/response", "DEFER SYSTEM_RECOVERING"},
		"a new order left to the replay": {fresh(func() trace.OrderTrace {
			o := placed("B1", 51_000)
			routed(&o, 51_000, "", ltp.Defer, ltp.ReasonAwaitsReplay, ltp.Recovering, 5)
			return o
		}), SafeMode, "B1/1/response", "DEFER SYSTEM_RECOVERING"},
		"paused, and nobody had paused it": {fresh(func() trace.OrderTrace {
			o := placed("B1", 100)
			routed(&o, 100, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
			routed(&o, 50_010, ltp.WokenByTimer, ltp.Defer, ltp.ReasonReplayPaused, ltp.Recovering, 5)
			return o
		}), SafeMode, "B1/2/response", "nobody had paused it"},
		"left to a replay that had not listed it": {fresh(func() trace.OrderTrace {
			o := placed("B1", 100)
			routed(&o, 100, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
			routed(&o, 50_010, ltp.WokenByTimer, ltp.Defer, ltp.ReasonAwaitsReplay, ltp.Recovering, 5).Asked.Listed = false
			return o
		}), SafeMode, "B1/2/response", "the decision table says EXECUTE RECOVERY_CONFIRMED"},
		"left to a replay that was over long ago": {fresh(func() trace.OrderTrace {
			o := placed("B1", 100)
			routed(&o, 100, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
			routed(&o, 70_000, ltp.WokenByTimer, ltp.Defer, ltp.ReasonAwaitsReplay, ltp.Recovering, 5)
			return o
		}), SafeMode, "B1/2/response", "epoch 5, which had been over for 10000 ms"},
		"routed by an orientation of the future": {fresh(func() trace.OrderTrace {
			o := placed("B1", -100)
			routed(&o, -99, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
			return o
		}), SafeMode, "B1/1/response", "published 98 ms after it"},
		"a freeze that nobody ordered": {one(func(o *trace.OrderTrace) {
			a := o.Frames[1].Response
			a.Decision, a.Reason = ltp.Freeze, ltp.ReasonFrozen
		}), SafeMode, "A2/1/response", "DEFER SYSTEM_UNSTABLE"},
		"tried again at once under the epoch that it failed under": {fresh(func() trace.OrderTrace {
			o := placed("B1", -100)
			routed(&o, -99, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
			routed(&o, -50, ltp.WokenByFailure, ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
			return o
		}), SafeMode, "B1/2/response", "EXECUTE_UNAVAILABLE"},
		"an order released long before its turn": {func(_ *trace.OrientationTrace, all []trace.OrderTrace) []trace.OrderTrace {
			for i := range 600 {
				o := placed(fmt.Sprintf("C%d", i), 6_000+i)
				routed(&o, 6_000+i, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
				released := 51_000 + i
				if i == 599 {
					released = 50_400
				}
				routed(&o, released, ltp.WokenBySignal, ltp.Execute, ltp.ReasonRecoveryConfirmed, ltp.Recovering, 5)
				all = append(all, o)
			}
			return all
		}, FirstFirst, "overtaking", "600 places"},
	} {
		t.Run(name, func(t *testing.T) {
			o := outage()
			a := audited(o, test.change(&o, good()))
			a = audited(o, test.change(&o, good()))
			assert.Equal(t, Broken, a.Verdict)
			for _, c := range a.Claims {
				if c.Name != test.claim {
					assert.NotEqual(t, Broken, c.Verdict, "%s: %v", c.Name, c.Breaches)
					continue
				}
				require.Equal(t, Broken, c.Verdict)
				require.NotEmpty(t, c.Breaches)
				assert.Equal(t, test.what, c.Breaches[0].What)
				assert.Contains(t, c.Breaches[0].Why, test.why)
			}
		})
	}
}

// TestWhatIsLegitimateBreaksNothing: paths that look alarming, and hold.
func TestWhatIsLegitimateBreaksNothing(t *testing.T) {
	for name, order := range map[string]func() trace.OrderTrace{
		"put again after an unknown outcome": func() trace.OrderTrace {
			o := placed("B1", -100)
			routed(&o, -99, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
			failed(wrote(&o, -95, -90, 0, ltp.Stable, 3), ltp.ResultUnknown)
			routed(&o, 100, ltp.WokenByFailure, ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
			routed(&o, 50_500, ltp.WokenBySignal, ltp.Execute, ltp.ReasonRecoveryConfirmed, ltp.Recovering, 5)
			wrote(&o, 50_505, 50_510, 50_520, ltp.Recovering, 5).Receipt = &ltp.Receipt{Attempt: "B1/1", Repeated: true, BegunAt: at(-90), CommittedAt: at(50_520)}
			return ended(&o, 50_521, ltp.Executed)
		},
		"a worker that could not see": func() trace.OrderTrace {
			o := placed("B1", -100)
			routed(&o, -99, "", ltp.Defer, ltp.ReasonUnknown, ltp.Unknown, 3)
			o.Frames[1].Response.Unreadable = true
			return o
		},
		"in line until its turn": func() trace.OrderTrace {
			o := placed("B1", -100)
			routed(&o, -99, "", ltp.Defer, ltp.ReasonAwaitsTurn, ltp.Stable, 3)
			o.Order.OrderingKey = "c-17"
			return o
		},
		"left to the replay by its backstop": func() trace.OrderTrace {
			o := placed("B1", 100)
			routed(&o, 100, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
			routed(&o, 50_010, ltp.WokenByTimer, ltp.Defer, ltp.ReasonAwaitsReplay, ltp.Recovering, 5)
			routed(&o, 50_500, ltp.WokenBySignal, ltp.Execute, ltp.ReasonRecoveryConfirmed, ltp.Recovering, 5)
			wrote(&o, 50_505, 50_510, 50_520, ltp.Recovering, 5)
			return ended(&o, 50_521, ltp.Executed)
		},
		"cancelled unwritten": func() trace.OrderTrace {
			return withdrawn(20_000, ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Unstable, Epoch: 4, LastFit: 3})
		},
		"a task was lost long before": func() trace.OrderTrace {
			o := placed("B1", -10_000)
			o.Lost = []trace.LostTask{{StartedAt: at(-9_000), EndedAt: at(-8_000)}}
			return o
		},
		"a task was lost long after": func() trace.OrderTrace {
			o := placed("B1", 70_000)
			o.Lost = []trace.LostTask{{StartedAt: at(70_001), EndedAt: at(75_000)}}
			return o
		},
		"still waiting": func() trace.OrderTrace {
			o := placed("B1", 100)
			routed(&o, 100, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
			return o
		},
		"not yet routed": func() trace.OrderTrace { return placed("B1", 100) },
		"of another component, by an activity of one's own": func() trace.OrderTrace {
			o := placed("B1", 100)
			o.Order.DependsOn, o.Execution = []string{"payments"}, ltp.Execution{Activity: "Ship", TaskQueue: "ship"}
			routed(&o, 100, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 77)
			return o
		},
	} {
		t.Run(name, func(t *testing.T) {
			a := audited(outage(), append(good(), order()))
			for _, c := range a.Claims {
				assert.Equal(t, Held, c.Verdict, "%s: %s %v", c.Name, c.Why, c.Breaches)
			}
		})
	}
}

// TestWhatCannotBeCheckedIsNotHeld names why.
func TestWhatCannotBeCheckedIsNotHeld(t *testing.T) {
	lost := func() trace.OrderTrace {
		o := placed("B1", -100)
		routed(&o, -99, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
		o.Frames[1].At = at(-98)
		o.Lost = []trace.LostTask{{StartedAt: at(-97), EndedAt: at(20_000)}}
		return o
	}
	gap := trace.Gap{What: "order/A9", Why: "damaged at event 7"}
	for name, test := range map[string]struct {
		audit   Audit
		why     string
		unknown []Name
	}{
		"a history is damaged": {audited(outage(), good(), gap), "order/A9: damaged at event 7",
			[]Name{NoneLost, Once, Fenced, SafeMode, Deterministic, FirstFirst, RowsAgree}},
		"a task was lost with its worker": {audited(outage(), append(good(), lost())), "1 task gave no answer about the time of an unfit state", []Name{Fenced}},
		"a task was lost a second before the fall": {audited(outage(), append(good(), func() trace.OrderTrace {
			o := lost()
			o.Lost[0].EndedAt = at(-1_000)
			return o
		}())), "1 task gave no answer about the time of an unfit state", []Name{Fenced}},
		"a fence names an epoch that is gone": {audited(func() trace.OrientationTrace {
			o := outage()
			o.Gaps = []trace.Gap{{What: "orientation of orders-db in epochs 1 to 2", Why: "gone"}}
			return o
		}(), append(good(), func() trace.OrderTrace {
			o := placed("B1", -10_000)
			routed(&o, -9_999, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 2)
			wrote(&o, -9_995, -9_990, -9_985, ltp.Stable, 2)
			return ended(&o, -9_980, ltp.Executed)
		}())), "gone", []Name{Fenced, SafeMode, Deterministic}},
		"an attempt gave no answer": {audited(outage(), append(good(), func() trace.OrderTrace {
			o := lost()
			o.Lost, o.Executions = nil, []trace.Execution{{RequestFrameID: "B1/1", Attempt: ltp.NoAnswer(), TaskAt: at(-97), RecordedAt: at(5_000)}}
			return o
		}())), "1 task gave no answer", []Name{Fenced}},
		"an activity of one's own is under way": {audited(outage(), append(good(), func() trace.OrderTrace {
			o := lost()
			o.Execution = ltp.Execution{Activity: "Ship", TaskQueue: "ship"}
			o.Lost, o.Executions = nil, []trace.Execution{{RequestFrameID: "B1/1", TaskAt: at(-97), ScheduledAt: at(-96)}}
			return o
		}())), "nobody knows when, or whether, 1 execution", []Name{Fenced}},
		"an order was executed, and no write is known": {audited(outage(), append(good(), func() trace.OrderTrace {
			o := placed("B1", 100)
			return ended(&o, 200, ltp.Executed)
		}())), "1 order executed of which no write is known", []Name{Fenced}},
		"the orientation is not whole": {audited(func() trace.OrientationTrace {
			o := outage()
			o.Before = &ltp.Orientation{Component: o.Component, State: ltp.Degraded, Epoch: 3, Since: at(-10)}
			o.Gaps = []trace.Gap{{What: "orientation of orders-db in epochs 1 to 3", Why: "gone"}}
			return o
		}(), good()[1:2]), "gone", []Name{Fenced, SafeMode, Instability, Deterministic}},
	} {
		t.Run(name, func(t *testing.T) {
			assert.Equal(t, NotChecked, test.audit.Verdict)
			var open []Name
			for _, c := range test.audit.Claims {
				if c.Verdict != Held {
					assert.Equal(t, NotChecked, c.Verdict, "%s %v", c.Name, c.Breaches)
					assert.Contains(t, c.Why, test.why, c.Name)
					open = append(open, c.Name)
				}
			}
			assert.ElementsMatch(t, test.unknown, open)
		})
	}
}

// TestABreachIsToldEvenWhereSomethingIsMissing: what is missing excuses nothing.
func TestABreachIsToldEvenWhereSomethingIsMissing(t *testing.T) {
	all := good()
	all[1] = ended(&all[1], 50_521, ltp.Terminated)
	a := audited(outage(), all, trace.Gap{What: "order/A9", Why: "damaged"})
	assert.Equal(t, Broken, a.Claim(NoneLost).Verdict)
	assert.Equal(t, Broken, a.Verdict)
}

func TestAnOpenIncidentSaysSo(t *testing.T) {
	o := outage()
	o.Frames = o.Frames[:1]
	all := good()[:1]
	b := placed("B1", 100)
	routed(&b, 100, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
	a := audited(o, append(all, b))
	assert.Equal(t, Held, a.Verdict)
	assert.True(t, a.EndedAt.IsZero())
	assert.Contains(t, a.Claim(Instability).Evidence[0], "and still")
	assert.EqualValues(t, 1, a.Claim(NoneLost).Figures["deferred"])
}

// TestOrdersOfOneKeyThatActAtOnceBreakAClaim, unless one had ended before the other began.
func TestOrdersOfOneKeyThatActAtOnceBreakAClaim(t *testing.T) {
	for name, c := range map[string]struct {
		second, third string // ordering keys; the first order has c-17 and acts from 100 to 200
		begins        int    // the second
		want          string // who broke the claim
	}{
		"one after the other": {"c-17", "c-17", 201, ""},
		"at once":             {"c-17", "c-18", 199, "B2"},
		"another key":         {"c-18", "", 150, ""},
	} {
		t.Run(name, func(t *testing.T) {
			orders := good()
			acts := func(id, key string, from, to int) {
				o := placed(id, from-1000)
				o.Order.OrderingKey = key
				routed(&o, from, "", ltp.Execute, ltp.ReasonOK, ltp.Stable, 3)
				wrote(&o, from, from, to-1, ltp.Stable, 3)
				orders = append(orders, ended(&o, to, ltp.Executed))
			}
			acts("B2", c.second, -10_000+c.begins, -10_000+300)
			acts("B1", "c-17", -10_000+100, -10_000+200)
			acts("B3", c.third, -10_000+301, -10_000+400)
			first := audited(outage(), orders).Claim(FirstFirst)
			if c.want == "" {
				assert.Equal(t, Held, first.Verdict, "%v", first.Breaches)
				assert.Positive(t, first.Figures["ordering_keys"])
				return
			}
			require.Len(t, first.Breaches, 1)
			assert.Equal(t, Breach{What: c.want, Why: "it acted while order B1 of the same ordering key had not ended"}, first.Breaches[0])
		})
	}
}

func TestOvertakenCountsPlaces(t *testing.T) {
	taken := func(released ...int) (all []turn) {
		for i, r := range released {
			all = append(all, turn{at(i), at(1000 + r)})
		}
		return all
	}
	assert.Equal(t, 0, overtaken(taken(0, 1, 2, 3)))
	assert.Equal(t, 0, overtaken(taken(5, 5, 5)), "at once is in turn")
	assert.Equal(t, 3, overtaken(taken(1, 2, 3, 0)))
	assert.Equal(t, 1, overtaken(taken(3, 0, 1, 2)))
}
