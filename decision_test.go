package ltp_test

import (
	"testing"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

// TestDecisionTable is the decision table of ARCHITECTURE.md, row by row.
func TestDecisionTable(t *testing.T) {
	fresh, replay := ltp.Request{}, ltp.Request{Replay: true}
	risky, riskyReplay := ltp.Request{HighRisk: true}, ltp.Request{HighRisk: true, Replay: true}
	failed := ltp.Request{Replay: true, Failed: true, FailedUnder: "orders-db", FailedEpoch: 7}
	failedEarlier := ltp.Request{Replay: true, Failed: true, FailedUnder: "orders-db", FailedEpoch: 6}
	listed, inLine := ltp.Request{Replay: true, Listed: true}, ltp.Request{Replay: true, Listed: true, InLine: true}
	failedElsewhere := ltp.Request{Failed: true, FailedUnder: "payments", FailedEpoch: 7}
	rows := []struct {
		name     string
		state    ltp.State
		request  ltp.Request
		decision ltp.Decision
		reason   ltp.Reason
	}{
		{"stable, new", ltp.Stable, fresh, ltp.Execute, ltp.ReasonOK},
		{"stable, replay", ltp.Stable, replay, ltp.Execute, ltp.ReasonOK},
		{"stable, high risk", ltp.Stable, risky, ltp.Execute, ltp.ReasonOK},
		{"degraded, new", ltp.Degraded, fresh, ltp.Execute, ltp.ReasonOK},
		{"degraded, replay", ltp.Degraded, replay, ltp.Execute, ltp.ReasonOK},
		{"degraded, high risk", ltp.Degraded, risky, ltp.Defer, ltp.ReasonDegraded},
		{"degraded, high risk replay", ltp.Degraded, riskyReplay, ltp.Defer, ltp.ReasonDegraded},
		{"unstable, new", ltp.Unstable, fresh, ltp.Defer, ltp.ReasonUnstable},
		{"unstable, replay", ltp.Unstable, replay, ltp.Defer, ltp.ReasonUnstable},
		{"recovering, new", ltp.Recovering, fresh, ltp.Defer, ltp.ReasonRecovering},
		{"recovering, replay", ltp.Recovering, replay, ltp.Execute, ltp.ReasonRecoveryConfirmed},
		{"recovering, high risk replay", ltp.Recovering, riskyReplay, ltp.Execute, ltp.ReasonRecoveryConfirmed},
		{"recovering, woken by its backstop", ltp.Recovering, listed, ltp.Defer, ltp.ReasonAwaitsReplay},
		{"recovering, and its turn has not come", ltp.Recovering, inLine, ltp.Defer, ltp.ReasonAwaitsTurn},
		{"stable, woken by its backstop", ltp.Stable, listed, ltp.Execute, ltp.ReasonOK},
		{"degraded, woken by its backstop", ltp.Degraded, listed, ltp.Execute, ltp.ReasonOK},
		{"unstable, woken by its backstop", ltp.Unstable, listed, ltp.Defer, ltp.ReasonUnstable},
		{"unknown, new", ltp.Unknown, fresh, ltp.Defer, ltp.ReasonUnknown},
		{"unknown, replay", ltp.Unknown, replay, ltp.Defer, ltp.ReasonUnknown},
		{"no state at all", "", fresh, ltp.Defer, ltp.ReasonUnknown},
		{"a state of a later version", "SERENE", replay, ltp.Defer, ltp.ReasonUnknown},
		{"failed under this epoch, stable", ltp.Stable, failed, ltp.Defer, ltp.ReasonExecuteUnavailable},
		{"failed under this epoch, recovering", ltp.Recovering, failed, ltp.Defer, ltp.ReasonExecuteUnavailable},
		{"failed under this epoch, unstable", ltp.Unstable, failed, ltp.Defer, ltp.ReasonUnstable},
		{"failed under an earlier epoch", ltp.Stable, failedEarlier, ltp.Execute, ltp.ReasonOK},
		{"failed under another component", ltp.Stable, failedElsewhere, ltp.Execute, ltp.ReasonOK},
	}
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			decision, reason := ltp.Decide(ltp.Orientation{Component: "orders-db", State: r.state, Epoch: 7}, r.request)
			assert.Equal(t, r.decision, decision)
			assert.Equal(t, r.reason, reason)
			assert.Equal(t, decision == ltp.Execute, decision.Admissible())
		})
	}
}

func TestFreezeStopsEveryOrderInEveryState(t *testing.T) {
	for _, s := range []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering, ltp.Unstable, ltp.Unknown} {
		decision, reason := ltp.Decide(ltp.Orientation{State: s, Hold: &ltp.Hold{Freeze: true}}, ltp.Request{Replay: true})
		assert.Equal(t, ltp.Freeze, decision)
		assert.Equal(t, ltp.ReasonFrozen, reason)
		assert.False(t, decision.Admissible())
	}
}

func TestTheWorstComponentDecides(t *testing.T) {
	at := func(name string, s ltp.State) ltp.Orientation { return ltp.Orientation{Component: name, State: s} }
	_, decision, _ := ltp.Route(nil, ltp.Request{})
	assert.Equal(t, ltp.Defer, decision, "nothing known is not fit")

	o, decision, reason := ltp.Route([]ltp.Orientation{at("a", ltp.Stable), at("b", ltp.Unstable), at("c", ltp.Unknown)}, ltp.Request{})
	assert.Equal(t, "b", o.Component)
	assert.Equal(t, ltp.Defer, decision)
	assert.Equal(t, ltp.ReasonUnstable, reason)

	// A state that is worse may forbid less: the stricter answer wins.
	o, decision, reason = ltp.Route([]ltp.Orientation{at("a", ltp.Recovering), at("b", ltp.Degraded)}, ltp.Request{HighRisk: true, Replay: true})
	assert.Equal(t, "b", o.Component)
	assert.Equal(t, ltp.Defer, decision)
	assert.Equal(t, ltp.ReasonDegraded, reason)
}

var states = []ltp.State{ltp.Stable, ltp.Degraded, ltp.Recovering, ltp.Unstable, ltp.Unknown, "", "SERENE"}

func TestNeverExecuteWhileAnyComponentIsUnfit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var os []ltp.Orientation
		unfit := false
		for range rapid.IntRange(0, 4).Draw(t, "components") {
			o := ltp.Orientation{
				Component: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "component"),
				State:     rapid.SampledFrom(states).Draw(t, "state"),
				Epoch:     rapid.Int64Range(1, 5).Draw(t, "epoch"),
			}
			if rapid.IntRange(0, 9).Draw(t, "held") == 0 {
				o.Hold = &ltp.Hold{Freeze: true}
			}
			unfit = unfit || !o.State.Fit() || o.Hold != nil
			os = append(os, o)
		}
		request := ltp.Request{
			HighRisk: rapid.Bool().Draw(t, "risk"), Replay: rapid.Bool().Draw(t, "replay"),
			Failed: rapid.Bool().Draw(t, "failed"), FailedUnder: "a", FailedEpoch: rapid.Int64Range(1, 5).Draw(t, "failed epoch"),
			Listed: rapid.Bool().Draw(t, "listed"), InLine: rapid.Bool().Draw(t, "in line"),
		}
		_, decision, _ := ltp.Route(os, request)
		if (unfit || len(os) == 0) && decision.Admissible() {
			t.Fatalf("%s under %+v", decision, os)
		}
		for _, o := range os { // and it is as strict as the strictest
			if one, _ := ltp.Decide(o, request); !one.Admissible() && decision.Admissible() {
				t.Fatalf("%s although %s asks to %s", decision, o.Component, one)
			}
		}
	})
}
