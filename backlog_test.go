package ltp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// TestABacklogThatWaitedForAWorkerIsReleased: a component that takes orders releases it,
// with canaries and pace. Whatever else is going on decides itself.
func TestABacklogThatWaitedForAWorkerIsReleased(t *testing.T) {
	gathered := func(c ltp.Condition, b ltp.Backlog) (ltp.Condition, bool) {
		return c.Next(ltp.Input{Backlog: &b}, policy(), start.Add(time.Minute))
	}
	for _, s := range []ltp.State{ltp.Stable, ltp.Degraded} {
		before := at(t, s)
		c, changed := gathered(before, ltp.Backlog{Worker: "w-1", Epoch: before.Orientation.Epoch, Orders: 40, WaitedMs: 1_800_400})
		assert.True(t, changed)
		o := c.Orientation
		assert.Equal(t, ltp.Recovering, o.State)
		assert.Equal(t, before.Orientation.Epoch+1, o.Epoch)
		assert.Equal(t, "Orders waited 30m0s for a worker", o.Reason)
		assert.Equal(t, "w-1", o.Observer)
		assert.Empty(t, c.Falls, "it is no outage of the component")

		c, _ = c.Next(ltp.Input{Drained: o.Epoch}, policy(), start.Add(2*time.Minute))
		assert.Equal(t, s, c.Orientation.State)

		_, changed = gathered(before, ltp.Backlog{Epoch: before.Orientation.Epoch - 1, Orders: 40})
		assert.False(t, changed, "a release was due since")
		_, changed = gathered(before, ltp.Backlog{Epoch: before.Orientation.Epoch})
		assert.False(t, changed)
	}
	for _, s := range []ltp.State{ltp.Unknown, ltp.Unstable, ltp.Recovering} {
		_, changed := gathered(at(t, s), ltp.Backlog{Epoch: at(t, s).Orientation.Epoch, Orders: 40})
		assert.False(t, changed, s)
	}
	held := at(t, ltp.Stable)
	held, _ = held.Next(ltp.Input{Held: &ltp.Hold{By: "ann", Why: "x"}}, policy(), start)
	_, changed := gathered(held, ltp.Backlog{Epoch: held.Orientation.Epoch, Orders: 40})
	assert.False(t, changed, "held")
}

func TestALateOrderLeavesItselfToTheRelease(t *testing.T) {
	ask := ltp.Request{Backlog: true}
	for state, want := range map[ltp.State]ltp.Reason{
		ltp.Stable: ltp.ReasonBacklog, ltp.Degraded: ltp.ReasonBacklog, ltp.Recovering: ltp.ReasonRecovering,
		ltp.Unstable: ltp.ReasonUnstable, ltp.Unknown: ltp.ReasonUnknown,
	} {
		d, why := ltp.Decide(ltp.Orientation{State: state, Epoch: 1}, ask)
		assert.Equal(t, ltp.Defer, d)
		assert.Equal(t, want, why)
	}
}

// TestOnlyTheFirstRoutingIsLate: an order that was routed waits for what its routing named.
func TestOnlyTheFirstRoutingIsLate(t *testing.T) {
	p := ltp.NewProgress(ordertest.New("A2"), ltp.Execution{}, ltp.Stamp{Epoch: 3}, nil)
	now := ltp.Moment{At: start.Add(time.Minute), Task: 3, Begun: start}
	p, commands := p.Next(ltp.Event{}, now)
	assert.Equal(t, time.Minute, commands[len(commands)-1].Route.Waited)

	late := ltp.Routing{
		Attempt: 1, Request: ltp.Request{Backlog: true}, Decision: ltp.Defer, Reason: ltp.ReasonBacklog,
		Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3, Written: 3,
	}
	p, _ = p.Next(ltp.Event{Routed: &late}, now)
	assert.Equal(t, ltp.PhaseWaiting, p.Phase)
	assert.NoError(t, p.Takes(ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Recovering, Epoch: 4}))
	assert.Error(t, p.Takes(ltp.Stability{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3}))

	_, commands = p.Next(ltp.Event{Inbox: ltp.Inbox{Alarm: true}}, ltp.Moment{At: start.Add(time.Hour), Task: 9, Begun: start})
	again := commands[len(commands)-1].Route
	assert.Zero(t, again.Waited)
	assert.False(t, again.Request.Backlog)
}
