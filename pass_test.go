package ltp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

// heldAt is a component that is held in an epoch, and what observers see meanwhile.
func heldAt(epoch int64, seen ltp.Verdict) ltp.Orientation {
	return ltp.Orientation{Component: "orders-db", State: ltp.Unstable, Epoch: epoch, Hold: &ltp.Hold{By: "ann", Why: "migration"}, Observed: seen}
}

func passAt(epoch int64) *ltp.Pass {
	return &ltp.Pass{Component: "orders-db", Epoch: epoch, By: "ann", Why: "one first"}
}

func letThrough(epoch int64) ltp.Inbox { return ltp.Inbox{Pass: passAt(epoch)} }

// TestAPassOpensAHoldAndNothingElse: row by row.
func TestAPassOpensAHoldAndNothingElse(t *testing.T) {
	frozen := heldAt(7, ltp.Healthy)
	frozen.Hold.Freeze = true
	fault := heldAt(7, ltp.Healthy)
	fault.Hold = nil
	blind := heldAt(7, ltp.Healthy)
	blind.State = ltp.Unknown
	other := heldAt(7, ltp.Healthy)
	other.Component = "payments"
	stable := ltp.Orientation{Component: "orders-db", State: ltp.Stable, Epoch: 7}
	for name, row := range map[string]struct {
		o        ltp.Orientation
		change   func(*ltp.Request)
		decision ltp.Decision
		reason   ltp.Reason
	}{
		"held, seen fit":              {heldAt(7, ltp.Healthy), nil, ltp.Execute, ltp.ReasonPassed},
		"held and frozen, seen fit":   {frozen, nil, ltp.Execute, ltp.ReasonPassed},
		"held, seen slow":             {heldAt(7, ltp.Slow), nil, ltp.Execute, ltp.ReasonPassed},
		"held, seen slow, high risk":  {heldAt(7, ltp.Slow), func(r *ltp.Request) { r.HighRisk = true }, ltp.Defer, ltp.ReasonDegraded},
		"held, and not its turn":      {heldAt(7, ltp.Healthy), func(r *ltp.Request) { r.InLine = true }, ltp.Defer, ltp.ReasonAwaitsTurn},
		"held, seen unfit":            {heldAt(7, ltp.Unhealthy), nil, ltp.Defer, ltp.ReasonUnstable},
		"held, and nobody observes":   {heldAt(7, ""), nil, ltp.Defer, ltp.ReasonUnstable},
		"held in the epoch before":    {heldAt(6, ltp.Healthy), nil, ltp.Defer, ltp.ReasonUnstable},
		"held again, in a later one":  {heldAt(8, ltp.Healthy), nil, ltp.Defer, ltp.ReasonUnstable},
		"unfit without a hold":        {fault, nil, ltp.Defer, ltp.ReasonUnstable},
		"the reader is blind":         {blind, nil, ltp.Defer, ltp.ReasonUnknown},
		"another component is held":   {other, nil, ltp.Defer, ltp.ReasonUnstable},
		"fit: it is routed as always": {stable, nil, ltp.Execute, ltp.ReasonOK},
	} {
		r := ltp.Request{Replay: true, Pass: passAt(7)}
		if row.change != nil {
			row.change(&r)
		}
		decision, reason := ltp.Decide(row.o, r)
		assert.Equal(t, row.decision, decision, name)
		assert.Equal(t, row.reason, reason, name)
		r.Pass = nil
		if decision, _ = ltp.Decide(row.o, r); row.o.Hold != nil {
			assert.NotEqual(t, ltp.Execute, decision, "%s: without the pass it waits", name)
		}
	}
}

// TestWhatObserversSeeUnderAHoldIsPublished, in the same epoch, and is forgotten with them.
func TestWhatObserversSeeUnderAHoldIsPublished(t *testing.T) {
	c := holds(at(t, ltp.Stable), ltp.Hold{By: "ann", Why: "migration"}, start)
	epoch := c.Orientation.Epoch
	assert.True(t, c.Orientation.Passable(), "it was seen fit before")
	for _, row := range []struct {
		in      ltp.Input
		seen    ltp.Verdict
		changed bool
	}{
		{saw(ltp.Healthy), ltp.Healthy, false},
		{saw(ltp.Unhealthy), ltp.Unhealthy, true},
		{ltp.Input{Held: &ltp.Hold{By: "bob", Why: "a leak"}}, ltp.Unhealthy, true},
		{saw(ltp.Slow), ltp.Slow, true},
		{ltp.Input{Lost: "gone"}, "", true},
		{ltp.Input{Lost: "gone"}, "", false},
		{saw(ltp.Healthy), ltp.Healthy, true},
	} {
		var changed bool
		c, changed = c.Next(row.in, policy(), start)
		assert.Equal(t, row.changed, changed, "%+v", row.in)
		assert.Equal(t, row.seen, c.Orientation.Observed)
		assert.Equal(t, row.seen.Fit(), c.Orientation.Passable())
		assert.Equal(t, epoch, c.Orientation.Epoch)
	}
	c, _ = c.Next(ltp.Input{Released: &ltp.Release{By: "ann", Why: "done", All: true}}, policy(), start)
	assert.Empty(t, c.Orientation.Observed, "the state says it again")
	assert.False(t, c.Orientation.Passable())
}

// TestAPassIsGoodForOneAttempt: the fence routes with it, under its epoch; when that fails,
// the order waits again, and nothing of the pass is left but that it was given.
func TestAPassIsGoodForOneAttempt(t *testing.T) {
	l := deferredUnder(t, 4).task(time.Second, letThrough(5))
	in := l.last().Execute
	require.NotNil(t, in)
	assert.Equal(t, ltp.WokenByPass, in.Route.Woken)
	assert.Equal(t, passAt(5), in.Route.Request.Pass)
	assert.Equal(t, []int64{4, 5}, in.Given)
	assert.EqualValues(t, 5, in.Named, "nobody but the signal names it")

	r := ltp.Routing{Attempt: 2, Woken: ltp.WokenByPass, Request: in.Route.Request, Component: "orders-db", State: ltp.Unstable, Epoch: 5, Written: 5, Decision: ltp.Execute, Reason: ltp.ReasonPassed}
	l.executed(ltp.Attempt{Result: ltp.ResultUnavailable, Routing: &r, Error: "disk full"})
	assert.Nil(t, l.last().Route.Request.Pass)
	l.routed(ltp.Unstable, 5)
	l.waits(ltp.ReasonUnstable)
	assert.True(t, l.p.Passed)
	l.task(time.Minute, ltp.Inbox{Alarm: true})
	assert.Nil(t, l.last().Route.Request.Pass, "its backstop is no pass")
}

// TestAPassThatComesWithTheOrderIsUsedAtOnce: no worker was there before.
func TestAPassThatComesWithTheOrderIsUsedAtOnce(t *testing.T) {
	l := live(t, accepted()).next(ltp.Event{Inbox: letThrough(3)})
	in := l.last().Execute
	require.NotNil(t, in)
	assert.Empty(t, in.Route.Woken)
	assert.Equal(t, 1, in.Route.Attempt)
	assert.Equal(t, passAt(3), in.Route.Request.Pass)
	l.executed(ltp.Attempt{Result: ltp.ResultExecuted, Receipt: inDatabase.Receipt, Routing: &ltp.Routing{Attempt: 1, Decision: ltp.Execute}})
	l.ends(ltp.Executed)
}

// TestAPassKeepsItsAttemptOverTheNextTask: under an epoch that the task was not given, the
// next one writes, by the same pass.
func TestAPassKeepsItsAttemptOverTheNextTask(t *testing.T) {
	l := live(t, accepted()).next(ltp.Event{}).routed(ltp.Unstable, 5)
	l.next(ltp.Event{Inbox: letThrough(5)}) // in the very task that routed it
	in := l.last().Execute
	assert.Equal(t, []int64{3}, in.Given)
	r := ltp.Routing{Attempt: 2, Request: in.Route.Request, Component: "orders-db", State: ltp.Unstable, Epoch: 5, Written: 5, Decision: ltp.Execute, Reason: ltp.ReasonPassed}
	l.executed(ltp.Attempt{Result: ltp.ResultNotGiven, Routing: &r})
	assert.Equal(t, ltp.PhaseAdmitted, l.p.Phase)
	l.task(ltp.Yield, ltp.Inbox{Alarm: true})
	in = l.last().Execute
	assert.Equal(t, passAt(5), in.Route.Request.Pass)
	assert.Contains(t, in.Given, int64(5))
}

// TestAnOrderThatWasLetThroughEndsByATombstoneOnly, whatever became of its pass, and also
// where the end was asked for before the pass was used.
func TestAnOrderThatWasLetThroughEndsByATombstoneOnly(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		l := deferredUnder(rt, 4)
		in := letThrough(4)
		in.Cancelled = rapid.Bool().Draw(rt, "cancelled with it")
		l.task(time.Second, in)
		if !in.Cancelled {
			l.executed(ltp.Attempt{Result: rapid.SampledFrom([]ltp.Result{ltp.ResultUnavailable, ltp.ResultUnknown}).Draw(rt, "result"),
				Routing: &ltp.Routing{Attempt: 2, Component: "orders-db", State: ltp.Unstable, Epoch: 4, Written: 4, Decision: ltp.Execute}})
			l.routed(ltp.Unstable, 4)
			if rapid.Bool().Draw(rt, "continued as new") {
				l.p = l.p.Continued()
			}
			l.task(time.Minute, ltp.Inbox{Cancelled: true})
		}
		require.NotNil(rt, l.last().Withdraw)
		assert.True(rt, l.last().Withdraw.Passed)
		l.withdrawn(ltp.Withdrawal{Found: ltp.FoundNothing, Fence: ltp.Fence{Component: "orders-db", State: ltp.Unstable, Epoch: 4}})
		l.waits(ltp.ReasonAwaitsProof)
	})
	l := deferredUnder(t, 4).task(time.Second, ltp.Inbox{Cancelled: true})
	assert.False(t, l.last().Withdraw.Passed, "any other order ends at once")
}

// TestAPassIsNoUseToAnOrderThatDoesNotWait: one that is parked stays so, and one that is
// admitted goes on as it was.
func TestAPassIsNoUseToAnOrderThatDoesNotWait(t *testing.T) {
	p := accepted()
	p.Phase, p.Wait = ltp.PhaseParked, ltp.Wait{Reason: ltp.ReasonParked}
	l := live(t, p).next(ltp.Event{Inbox: letThrough(3)})
	assert.Equal(t, ltp.PhaseParked, l.p.Phase)
	assert.NotNil(t, l.last().Wait)
}

// frame is what was published of orders-db, so many seconds after the start.
func frame(second int, o ltp.Orientation) ltp.Frame {
	return ltp.Frame{ID: "f", At: start.Add(time.Duration(second) * time.Second), Orientation: &o}
}

// TestAWriteByAPassIsHeldAgainstTheHold: it is no breach where the component was held and
// seen fit while the task lasted, and one everywhere else.
func TestAWriteByAPassIsHeldAgainstTheHold(t *testing.T) {
	sec := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	stable := ltp.Orientation{Component: "orders-db", State: ltp.Stable, Epoch: 6}
	recovering := ltp.Orientation{Component: "orders-db", State: ltp.Recovering, Epoch: 8}
	again := heldAt(9, ltp.Healthy)
	history := []ltp.Frame{
		frame(0, stable), frame(10, heldAt(7, ltp.Healthy)), frame(20, heldAt(7, ltp.Unhealthy)), frame(30, heldAt(7, ltp.Slow)),
		frame(40, recovering), frame(50, again),
	}
	for name, row := range map[string]struct {
		from, to, begun int
		pass            *ltp.Pass
		breach          bool
		stage           ltp.Stage
	}{
		"while it was seen fit":                    {12, 13, 12, passAt(7), false, ltp.Clear},
		"without a pass":                           {12, 13, 12, nil, true, ltp.Clear},
		"by a pass of another epoch":               {12, 13, 12, passAt(6), true, ltp.Clear},
		"while it was seen unfit":                  {22, 23, 22, passAt(7), true, ltp.Clear},
		"while it was seen slow":                   {32, 33, 32, passAt(7), false, ltp.Clear},
		"under way when it was seen unfit":         {18, 22, 19, passAt(7), false, ltp.UnderWay},
		"begun after it was seen unfit":            {18, 22, 21, passAt(7), false, ltp.PastFence},
		"under way when the hold ended":            {38, 42, 39, passAt(7), false, ltp.Clear},
		"under way when it was held again":         {38, 52, 39, passAt(7), false, ltp.UnderWay},
		"after the hold had ended":                 {42, 43, 42, passAt(7), true, ltp.Clear},
		"through the next hold":                    {52, 53, 52, passAt(7), true, ltp.Clear},
		"over a time of being seen unfit, at last": {18, 33, 32, passAt(7), false, ltp.Clear},
	} {
		w := ltp.Write{
			Times:   ltp.Times{Accepted: start, Task: sec(row.from), Recorded: sec(row.to), Read: sec(row.begun), Begun: sec(row.begun), Ended: sec(row.to)},
			Fence:   ltp.Fence{Component: "orders-db", State: ltp.Unstable, Epoch: 7},
			Asked:   ltp.Request{Replay: true, Pass: row.pass},
			Written: "orders-db", Gate: []string{"orders-db"},
		}
		if row.begun == 21 {
			w.Read = sec(19)
		}
		flight, faults := w.Judge("orders-db", history, true)
		broke := false
		for _, f := range faults {
			broke = broke || f.Kind == ltp.Breach
		}
		assert.Equal(t, row.breach, broke, "%s: %+v", name, faults)
		if !row.breach {
			assert.Equal(t, row.stage, flight.Stage, "%s: %+v", name, flight)
		}
	}
}

// TestAWriteThroughTheHoldOfAnotherComponent is no breach of that one's, by the pass only.
func TestAWriteThroughTheHoldOfAnotherComponent(t *testing.T) {
	held := heldAt(7, ltp.Healthy)
	held.Component = "payments"
	w := ltp.Write{
		Times: ltp.Times{Accepted: start, Task: start.Add(time.Second), Recorded: start.Add(2 * time.Second), Read: start.Add(time.Second), Begun: start.Add(time.Second)},
		Fence: ltp.Fence{Component: "orders-db", State: ltp.Stable, Epoch: 3}, Written: "orders-db", Gate: []string{"orders-db", "payments"},
	}
	_, faults := w.Judge("payments", []ltp.Frame{frame(0, held)}, true)
	require.Len(t, faults, 1)
	assert.Equal(t, ltp.Breach, faults[0].Kind)
	w.Asked.Pass = &ltp.Pass{Component: "payments", Epoch: 7, By: "ann", Why: "one first"}
	_, faults = w.Judge("payments", []ltp.Frame{frame(0, held)}, true)
	assert.Empty(t, faults)
}
