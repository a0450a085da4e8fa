package audit

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/trace"
)

// TestAClockThatIsOffIsNamedAndNeverBlamed: the same writes, by workers whose clocks are
// off. Temporal's times choose what is looked at.
func TestAClockThatIsOffIsNamedAndNeverBlamed(t *testing.T) {
	for name, c := range map[string]struct {
		ahead   time.Duration
		verdict Verdict
		by      int64 // in milliseconds
	}{
		"70 s ahead":     {70 * time.Second, NotChecked, 69_999},
		"3 s behind":     {-3 * time.Second, NotChecked, -2_996},
		"1.9 s ahead":    {1900 * time.Millisecond, Held, 0},
		"1.9 s behind":   {-1900 * time.Millisecond, Held, 0},
		"as Temporal's":  {0, Held, 0},
		"a year behind":  {-365 * 24 * time.Hour, NotChecked, -365*24*3600*1000 + 4},
		"an hour behind": {-time.Hour, NotChecked, -3600*1000 + 4},
	} {
		t.Run(name, func(t *testing.T) {
			all := good()
			for i := range all {
				all[i] = skewed(all[i], c.ahead)
			}
			a := audited(outage(), all)
			got := a.Claim(Fenced)
			assert.Equal(t, c.verdict, got.Verdict, "%s %v", got.Why, got.Breaches)
			assert.Equal(t, c.verdict, a.Claim(SafeMode).Verdict, "%v", a.Claim(SafeMode).Breaches)
			assert.EqualValues(t, 4, got.Figures["writes"], "all are looked at, whatever their clock")
			if c.by != 0 {
				assert.EqualValues(t, 4, got.Figures["clocks_disagree"])
				assert.InDelta(t, c.by, got.Figures["clocks_disagree_ms"], 20)
				assert.Contains(t, got.Why, "the clocks of 4 writes disagree by more than 2 s: the worker's clock is at least")
			}
		})
	}
}

func TestTheAuditKnowsTheLeaseOfTheBoard(t *testing.T) {
	assert.Equal(t, board.Lease, ltp.ReadingLease)
}

// TestRoutingsThatNameAPauseAreCheckedAgainstThePausesOfThatTime.
func TestRoutingsThatNameAPauseAreCheckedAgainstThePausesOfThatTime(t *testing.T) {
	change := func(ms int, paused bool) trace.Note {
		return trace.Note{At: at(ms), Kind: trace.NoteReplayControl, By: "ann", Text: ltp.ReplayControlChange{Paused: &paused}.String() + ": disk is full"}
	}
	long := []trace.Note{change(20_000, true), change(58_000, false)}
	for name, c := range map[string]struct {
		notes  []trace.Note
		gaps   []trace.Gap
		ms     int
		reason ltp.Reason
		woken  ltp.Wake
		breach string
	}{
		"paused then":                 {long, nil, 53_000, ltp.ReasonReplayPaused, ltp.WokenByTimer, ""},
		"paused, and still":           {long[:1], nil, 53_000, ltp.ReasonReplayPaused, ltp.WokenByTimer, ""},
		"resumed a moment ago":        {long, nil, 59_000, ltp.ReasonReplayPaused, ltp.WokenByTimer, ""},
		"resumed long ago":            {[]trace.Note{change(100, true), change(200, false)}, nil, 53_000, ltp.ReasonReplayPaused, ltp.WokenByTimer, "nobody had paused it"},
		"never paused":                {nil, nil, 53_000, ltp.ReasonReplayPaused, ltp.WokenByTimer, "nobody had paused it"},
		"a limit is no pause":         {[]trace.Note{{At: at(1), Kind: trace.NoteReplayControl, Text: ltp.ReplayControlChange{Rate: new(50.0)}.String()}}, nil, 53_000, ltp.ReasonReplayPaused, ltp.WokenByTimer, "nobody had paused it"},
		"before what Temporal has":    {nil, []trace.Gap{{What: "orientation of orders-db in epochs 1 to 2", Why: "gone"}}, 53_000, ltp.ReasonReplayPaused, ltp.WokenByTimer, ""},
		"admitted, though paused":     {long, nil, 53_000, ltp.ReasonRecoveryConfirmed, ltp.WokenByTimer, "as if the replay of orders-db were not paused"},
		"admitted as it was paused":   {[]trace.Note{change(52_999, true)}, nil, 53_000, ltp.ReasonRecoveryConfirmed, ltp.WokenByTimer, ""},
		"what is released goes on":    {long, nil, 53_000, ltp.ReasonRecoveryConfirmed, ltp.WokenBySignal, ""},
		"a replay that was not there": {nil, nil, 53_000, ltp.ReasonAwaitsReplay, ltp.WokenByTimer, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := outage()
			o.Notes, o.Gaps = c.notes, c.gaps
			order := placed("B1", 100)
			routed(&order, 100, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
			decision := ltp.Defer
			if c.reason == ltp.ReasonRecoveryConfirmed {
				decision = ltp.Execute
			}
			routed(&order, c.ms, c.woken, decision, c.reason, ltp.Recovering, 5)
			got := audited(o, append(good(), order)).Claim(SafeMode)
			if c.breach == "" {
				assert.NotEqual(t, Broken, got.Verdict, "%v", got.Breaches)
				return
			}
			require.Len(t, got.Breaches, 1)
			assert.Equal(t, "B1/2/response", got.Breaches[0].What)
			assert.Contains(t, got.Breaches[0].Why, c.breach)
		})
	}
}

// TestClassesAndExpeditedOrdersHaveTurnsOfTheirOwn: 520 orders of the default class were
// deferred before one that goes first.
func TestClassesAndExpeditedOrdersHaveTurnsOfTheirOwn(t *testing.T) {
	waits := func(id string, accepted, released, priority int) trace.OrderTrace {
		o := placed(id, accepted)
		o.Order.Priority = priority
		routed(&o, accepted, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
		routed(&o, released, ltp.WokenBySignal, ltp.Execute, ltp.ReasonRecoveryConfirmed, ltp.Recovering, 5)
		return o
	}
	var backlog []trace.OrderTrace
	for i := range 520 {
		backlog = append(backlog, waits(fmt.Sprintf("C%d", i), 6_000+i, 51_000+i, 0))
	}
	expedited := waits("X1", 8_000, 50_400, 0)
	expedited.Notes = []trace.Note{{At: at(20_000), Kind: trace.NoteOperator, By: "ann", Text: "asked to release the order before all others"}}
	late := waits("X1", 8_000, 50_400, 0)
	late.Notes = []trace.Note{{At: at(51_000), Kind: trace.NoteOperator, By: "ann", Text: "asked to release the order before all others"}}
	for name, c := range map[string]struct {
		last    trace.OrderTrace
		verdict Verdict
		figure  string
	}{
		"of class 1":          {waits("X1", 8_000, 50_400, 1), Held, "classes"},
		"expedited":           {expedited, Held, "expedited"},
		"expedited too late":  {late, Broken, "overtaken"},
		"of the usual class":  {waits("X1", 8_000, 50_400, 0), Broken, "overtaken"},
		"of class 1, in turn": {waits("X1", 8_000, 53_000, 1), Held, "classes"},
	} {
		t.Run(name, func(t *testing.T) {
			got := audited(outage(), append(backlog[:520:520], c.last)).Claim(FirstFirst)
			assert.Equal(t, c.verdict, got.Verdict, "%v", got.Breaches)
			assert.Positive(t, got.Figures[c.figure])
		})
	}
}

// TestALostTaskIsAccountedForByTheRows, and by nothing else.
func TestALostTaskIsAccountedForByTheRows(t *testing.T) {
	order := placed("B1", -100)
	routed(&order, -99, "", ltp.Defer, ltp.ReasonUnstable, ltp.Unstable, 4)
	order.Frames[0].At, order.Frames[1].At = at(20_001), at(20_002)
	order.Lost = []trace.LostTask{{StartedAt: at(-97), EndedAt: at(20_000)}}
	receipt := ltp.Receipt{Attempt: "B1/1", BegunAt: at(-90), Fence: ltp.Fence{Component: ltp.DefaultComponent, State: ltp.Stable, Epoch: 3, ReadAt: at(-95)}}
	for name, c := range map[string]struct {
		lost    int // when its task began
		read    bool
		epoch   int64
		verdict Verdict
	}{
		"no rows at hand":                     {-97, false, 3, NotChecked},
		"a receipt of a fence that was open":  {-97, true, 3, Held},
		"the fence was asked in an unfit one": {5_000, true, 3, Broken},
		"no such fence":                       {-97, true, 2, Broken},
	} {
		t.Run(name, func(t *testing.T) {
			o := outage()
			f := newFence(newStates(o), trace.Incidents(o)[0].Window())
			order.Lost[0].StartedAt = at(c.lost)
			f.see(order)
			if c.read {
				row := receipt
				if row.Fence.Epoch = c.epoch; c.lost > 0 {
					row.BegunAt, row.Fence.ReadAt = at(c.lost+2), at(c.lost+1)
				}
				f.judgeReceipt(order, row, time.Time{})
			}
			got := f.claim(c.read)
			assert.Equal(t, c.verdict, got.Verdict, "%s %v", got.Why, got.Breaches)
			if !c.read {
				assert.Contains(t, got.Why, "1 task gave no answer")
				return
			}
			assert.EqualValues(t, 1, got.Figures["by_receipt"])
		})
	}
}
