package ltp_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

// ms is a moment in milliseconds after orders-db became UNSTABLE.
func ms(n int) time.Time {
	return time.Date(2024, 5, 20, 14, 30, 5, 0, time.UTC).Add(time.Duration(n) * time.Millisecond)
}

// flicker is STABLE@3, UNSTABLE@4 at 0, UNKNOWN@5 at 20 s, RECOVERING@6 at 50 s, STABLE@7 at 60 s.
func flicker() (frames []ltp.Frame) {
	for _, o := range []struct {
		at    int
		state ltp.State
		epoch int64
		id    string
	}{
		{-3_600_000, ltp.Stable, 3, "orders-db@3"}, {0, ltp.Unstable, 4, "orders-db@4"}, {20_000, ltp.Unknown, 5, "orders-db@5"},
		{50_000, ltp.Recovering, 6, "orders-db@6"}, {60_000, ltp.Stable, 7, "orders-db@7"},
	} {
		frames = append(frames, ltp.Frame{ID: o.id, At: ms(o.at), Orientation: &ltp.Orientation{
			Component: ltp.DefaultComponent, State: o.state, Epoch: o.epoch, Since: ms(o.at),
		}})
	}
	return frames
}

// written is a write whose task began at task: it asked, began and ended by a clock that
// is so far ahead, in milliseconds, and was recorded.
func written(task, read, begun, ended, recorded, ahead int, s ltp.State, epoch int64) ltp.Write {
	return ltp.Write{
		Times: ltp.Times{
			Accepted: ms(task - 5), Routed: ms(recorded), Task: ms(task), Recorded: ms(recorded),
			Read: ms(read + ahead), Begun: ms(begun + ahead), Ended: ms(ended + ahead),
		},
		Fence:   ltp.Fence{Component: ltp.DefaultComponent, State: s, Epoch: epoch, ReadAt: ms(read + ahead)},
		Asked:   ltp.Request{Replay: s == ltp.Recovering},
		Gate:    []string{ltp.DefaultComponent},
		Written: ltp.DefaultComponent,
	}
}

func TestTheTimesOfAnAttemptAreInOrder(t *testing.T) {
	good := written(100, 101, 102, 110, 111, 0, ltp.Stable, 3).Times
	good.Created = ms(103)
	for name, c := range map[string]struct {
		change func(*ltp.Times)
		kind   ltp.FaultKind
		what   string
		by     time.Duration
	}{
		"as it should be":  {func(*ltp.Times) {}, "", "", 0},
		"nothing is known": {func(t *ltp.Times) { *t = ltp.Times{} }, "", "", 0},
		"all in one millisecond": {func(t *ltp.Times) {
			t.Accepted, t.Routed, t.Task, t.Recorded, t.Read, t.Begun, t.Ended, t.Created = ms(1), ms(1), ms(1), ms(1), ms(1), ms(1), ms(1), ms(1)
		}, "", "", 0},
		"routed before it was accepted":     {func(t *ltp.Times) { t.Routed = ms(94) }, ltp.Breach, "it was routed 1 ms before it was accepted", 0},
		"recorded before it was routed":     {func(t *ltp.Times) { t.Routed = ms(112) }, ltp.Breach, "that was recorded 1 ms before it was routed", 0},
		"a task before the acceptance":      {func(t *ltp.Times) { t.Task = ms(94) }, ltp.Breach, "its task began 1 ms before it was accepted", 0},
		"begun before the fence asked":      {func(t *ltp.Times) { t.Read = ms(105) }, ltp.Breach, "its write began 3 ms before its fence asked", 0},
		"an answer before it began":         {func(t *ltp.Times) { t.Ended = ms(101) }, ltp.Breach, "the answer came 1 ms before its write began", 0},
		"the fence asked after the answer":  {func(t *ltp.Times) { t.Begun, t.Read = time.Time{}, ms(111) }, ltp.Breach, "the answer came 1 ms before its fence asked", 0},
		"another worker's fence asked":      {func(t *ltp.Times) { t.Read, t.Apart = ms(105), true }, "", "", 0},
		"committed a year later":            {func(t *ltp.Times) { t.Ended = t.Ended.AddDate(1, 0, 0) }, ltp.Disagree, ltp.WorkersClock, 365*24*time.Hour - time.Millisecond},
		"begun long before the acceptance":  {func(t *ltp.Times) { t.Read, t.Begun = ms(-3_000), ms(-2_999) }, ltp.Disagree, ltp.WorkersClock, -3100 * time.Millisecond},
		"begun before it, no task is known": {func(t *ltp.Times) { t.Task, t.Read, t.Begun = time.Time{}, ms(-3_000), ms(-2_999) }, ltp.Disagree, ltp.WorkersClock, -3095 * time.Millisecond},
		"a clock just within the bound":     {func(t *ltp.Times) { t.Read, t.Begun = ms(-1_900), ms(-1_899) }, "", "", 0},
		"a row that was moved":              {func(t *ltp.Times) { t.Created = ms(20_000) }, ltp.Disagree, ltp.DatabaseClock, 19_889 * time.Millisecond},
		"a row, not recorded yet":           {func(t *ltp.Times) { t.Created, t.Recorded = ms(20_000), time.Time{} }, "", "", 0},
	} {
		t.Run(name, func(t *testing.T) {
			times := good
			c.change(&times)
			faults := times.Check()
			if c.kind == "" {
				assert.Empty(t, faults)
				return
			}
			require.Len(t, faults, 1)
			assert.Equal(t, c.kind, faults[0].Kind)
			assert.Contains(t, faults[0].What, c.what)
			assert.Equal(t, c.by, faults[0].By)
		})
	}
}

// TestAFenceIsHeldAgainstWhatWasPublished, by Temporal's times wherever they tell.
func TestAFenceIsHeldAgainstWhatWasPublished(t *testing.T) {
	for name, c := range map[string]struct {
		write  ltp.Write
		change func(*ltp.Write)
		stage  ltp.Stage
		lag    int
		kind   ltp.FaultKind
		what   string
	}{
		"long before":                          {write: written(-900, -899, -898, -890, -889, 0, ltp.Stable, 3)},
		"ended just before":                    {write: written(-900, -899, -898, -10, 5, 0, ltp.Stable, 3)},
		"under way":                            {write: written(-15, -14, -10, 4_000, 4_001, 0, ltp.Stable, 3), stage: ltp.UnderWay},
		"past its fence":                       {write: written(-15, -2, 7, 4_000, 4_001, 0, ltp.Stable, 3), stage: ltp.PastFence, lag: 7},
		"its clock is 1 s ahead":               {write: written(-15, -2, 7, 4_000, 4_001, 1_000, ltp.Stable, 3), stage: ltp.PastFence, lag: 1_007},
		"asked in a task of the unfit time":    {write: written(1, 3, 9, 20, 21, 0, ltp.Stable, 3), kind: ltp.Breach, what: "its task began 1 ms after UNSTABLE (orders-db@4)"},
		"the same, whatever its clock says":    {write: written(1, 3, 9, 20, 21, -1_000, ltp.Stable, 3), kind: ltp.Breach, what: "its task began 1 ms after UNSTABLE"},
		"an old epoch, though it is fit again": {write: written(55_000, 55_001, 55_002, 55_003, 55_004, 0, ltp.Stable, 3), kind: ltp.Breach, what: "its task began 55000 ms after UNSTABLE"},
		"asked 3 s after it, by its clock alone": {write: written(-15, 3_000, 3_001, 4_000, 4_001, 0, ltp.Stable, 3), stage: ltp.InDoubt, lag: 3_001,
			kind: ltp.Disagree, what: "at least 3000 ms ahead"},
		"an epoch that comes later":           {write: written(-15, -14, -10, -5, -4, 0, ltp.Recovering, 6), kind: ltp.Breach, what: "published 50004 ms after"},
		"an epoch that began within its task": {write: written(49_000, 50_100, 50_101, 50_110, 50_111, 0, ltp.Recovering, 6)},
		"begun 3 s before its own epoch":      {write: written(45_000, 47_000, 47_001, 50_110, 50_111, 0, ltp.Recovering, 6), stage: ltp.InDoubt, kind: ltp.Disagree, what: "at least 2999 ms behind"},
		"released":                            {write: written(50_100, 50_101, 50_102, 50_110, 50_111, 0, ltp.Recovering, 6)},
		"a state that the epoch did not have": {write: written(-15, -14, -10, -5, -4, 0, ltp.Degraded, 3), kind: ltp.Breach, what: "the orientation did not"},
		"an unfit state":                      {write: written(100, 101, 102, 103, 104, 0, ltp.Unstable, 4), kind: ltp.Breach, what: "asks to DEFER: SYSTEM_UNSTABLE"},
		"RECOVERING on a first attempt":       {write: written(50_100, 50_101, 50_102, 50_110, 50_111, 0, ltp.Recovering, 6), change: func(w *ltp.Write) { w.Asked.Replay = false }, kind: ltp.Breach, what: "asks to DEFER: SYSTEM_RECOVERING"},
		"its turn has not come":               {write: written(-900, -899, -898, -890, -889, 0, ltp.Stable, 3), change: func(w *ltp.Write) { w.Asked.InLine = true }, kind: ltp.Breach, what: "AWAITS_TURN"},
		"of the component that it only names": {write: written(-900, -899, -898, -890, -889, 0, ltp.Stable, 3), change: func(w *ltp.Write) { w.Fence.Component, w.Gate = "payments", []string{"payments"} }, kind: ltp.Breach, what: `its fence is of "payments"`},
		"of another, by an activity of one's own": {write: written(-900, -899, -898, -890, -889, 0, ltp.Stable, 3), change: func(w *ltp.Write) {
			w.Written, w.Fence.Component = "", "payments"
		}, kind: ltp.Breach, what: `its fence is of "payments"`},
		"fenced by another component, unfit here": {write: written(5_000, 5_001, 5_002, 5_003, 5_004, 0, ltp.Stable, 77), change: func(w *ltp.Write) {
			w.Written, w.Gate, w.Fence.Component = "", []string{"payments", ltp.DefaultComponent}, "payments"
		}, kind: ltp.Breach, what: "its task began 5000 ms after UNSTABLE"},
		"fenced by another component, fit again": {write: written(49_999, 50_001, 50_002, 50_003, 50_004, 0, ltp.Stable, 77), change: func(w *ltp.Write) {
			w.Written, w.Gate, w.Fence.Component = "", []string{"payments", ltp.DefaultComponent}, "payments"
		}},
		"failed under an earlier epoch, and asked anew": {write: written(50_100, 50_101, 50_102, 50_110, 50_111, 0, ltp.Recovering, 6), change: func(w *ltp.Write) {
			w.Asked = ltp.Request{Replay: true, Failed: true, FailedUnder: ltp.DefaultComponent, FailedEpoch: 6, Listed: true, Paused: []string{ltp.DefaultComponent}}
		}},
		"its fence does not say when it asked": {write: written(-15, -2, 3_001, 4_000, 4_001, 0, ltp.Stable, 3), change: func(w *ltp.Write) { w.Read = time.Time{} },
			stage: ltp.InDoubt, lag: 3_001, kind: ltp.Disagree, what: "at least 3001 ms ahead"},
		"recorded before, by a clock that is ahead": {write: written(-15, -14, -10, -6, -5, 1_000, ltp.Stable, 3)},
		"fenced by another component, asked while unfit by its clock": {write: written(10_000, 10_001, 10_002, 50_010, 50_011, 0, ltp.Stable, 77), change: func(w *ltp.Write) {
			w.Written, w.Gate, w.Fence.Component = "", []string{"payments", ltp.DefaultComponent}, "payments"
		}, stage: ltp.InDoubt, lag: 10_002, kind: ltp.Disagree, what: "at least 39999 ms behind"},
		"in the very millisecond": {write: written(0, 1, 2, 20, 21, 0, ltp.Stable, 3), change: func(w *ltp.Write) { w.Task = w.Task.Add(900 * time.Microsecond) },
			stage: ltp.PastFence, lag: 2},
		"lost: nobody knows when it ended": {write: written(-15, -2, 7, 4_000, 4_001, 0, ltp.Stable, 3), change: func(w *ltp.Write) { w.Recorded, w.Routed, w.Ended = time.Time{}, time.Time{}, time.Time{} },
			stage: ltp.PastFence, lag: 7},
		"its clock is 70 s ahead": {write: written(-15, -2, 7, 4_000, 4_001, 70_000, ltp.Stable, 3), stage: ltp.InDoubt, kind: ltp.Disagree, what: "at least 69999 ms ahead"},
	} {
		t.Run(name, func(t *testing.T) {
			if c.change != nil {
				c.change(&c.write)
			}
			flight, faults := c.write.Judge(ltp.DefaultComponent, flicker(), true)
			assert.Equal(t, c.stage, flight.Stage, "%v", faults)
			if c.stage == ltp.PastFence || c.kind == ltp.Disagree && c.lag > 0 {
				assert.Equal(t, time.Duration(c.lag)*time.Millisecond, flight.Lag)
				assert.Equal(t, "orders-db@4", flight.Frame)
			}
			if c.kind == "" {
				assert.Empty(t, faults)
				return
			}
			require.Len(t, faults, 1)
			assert.Equal(t, c.kind, faults[0].Kind)
			assert.Contains(t, faults[0].What, c.what)
		})
	}
}

func TestAnEpochThatIsGoneIsUnseen(t *testing.T) {
	_, faults := written(-900, -899, -898, -890, -889, 0, ltp.Stable, 2).Judge(ltp.DefaultComponent, flicker(), false)
	require.Len(t, faults, 1)
	assert.Equal(t, ltp.Unseen, faults[0].Kind)
}

func TestARoutingRestsOnWhatWasPublished(t *testing.T) {
	for name, c := range map[string]struct {
		read, recorded int
		epoch          int64
		kind           ltp.FaultKind
		what           string
	}{
		"read within the lease":       {-4_000, 100, 3, "", ""},
		"read after it was recorded":  {2_200, 100, 4, ltp.Disagree, "2100 ms ahead"},
		"read before it was said":     {-2_100, 100, 4, ltp.Disagree, "2100 ms behind"},
		"read after it was over":      {22_100, 24_000, 4, ltp.Disagree, "2100 ms ahead"},
		"read as it ended":            {21_900, 24_000, 4, "", ""},
		"over for the lease":          {20_000, 27_000, 4, "", ""},
		"over for longer":             {20_000, 27_011, 4, ltp.Breach, "over for 7001 ms"},
		"the same, says its clock":    {-70_000, 27_011, 3, ltp.Breach, "over for 27001 ms"},
		"recorded before it was said": {-1, -1, 4, ltp.Breach, "published 1 ms after"},
		"an epoch nobody knows":       {-1, -1, 99, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			times := ltp.Times{Accepted: ms(-5_000), Task: ms(c.recorded - 10), Recorded: ms(c.recorded), Read: ms(c.read)}
			faults := times.CheckRouting(ltp.DefaultComponent, c.epoch, flicker())
			if c.kind == "" {
				assert.Empty(t, faults)
				return
			}
			require.Len(t, faults, 1, "%v", faults)
			assert.Equal(t, c.kind, faults[0].Kind)
			assert.Contains(t, faults[0].What, c.what)
		})
	}
}

// TestNoClockMakesOrHidesABreach: shift the worker's clock by anything. What Temporal's
// times prove stays proven; a shift beyond the bound, and beyond the time that the task
// took besides, is always found out, and one within it never blames anybody.
func TestNoClockMakesOrHidesABreach(t *testing.T) {
	breaches := func(faults []ltp.TimeFault) (n int) {
		for _, f := range faults {
			if f.Kind == ltp.Breach {
				n++
			}
		}
		return n
	}
	frames := flicker()
	rapid.Check(t, func(t *rapid.T) {
		task := rapid.IntRange(-20_000, 70_000).Draw(t, "task")
		before := rapid.IntRange(0, 500).Draw(t, "before it asked")
		begins := rapid.IntRange(0, 500).Draw(t, "before it began")
		takes := rapid.IntRange(0, 8_000).Draw(t, "write")
		after := rapid.IntRange(0, 500).Draw(t, "before it was recorded")
		ahead := rapid.IntRange(-100_000, 100_000).Draw(t, "ahead")
		if rapid.Bool().Draw(t, "slightly") {
			ahead %= 3_000
		}
		read := task + before
		begun, ended := read+begins, read+begins+takes
		state, epoch, honest := ltp.Stable, int64(3), true
		for _, f := range frames { // the fence shows the latest fit epoch, though that may be over
			if f.At.After(ms(read)) {
				continue
			}
			if honest = f.Orientation.State.Fit(); honest {
				state, epoch = f.Orientation.State, f.Orientation.Epoch
			}
		}
		exact := written(task, read, begun, ended, ended+after, 0, state, epoch)
		skewed := written(task, read, begun, ended, ended+after, ahead, state, epoch)
		_, is := exact.Judge(ltp.DefaultComponent, frames, true)
		flight, faults := skewed.Judge(ltp.DefaultComponent, frames, true)
		assert.Equal(t, breaches(is), breaches(faults), "%v, and %v", is, faults)
		bound := int(ltp.ClockBound.Milliseconds())
		switch {
		case ahead > bound+after, ahead < -bound-before:
			assert.Len(t, skewed.Check(), 1, "a clock that is off is found out")
			assert.Contains(t, []ltp.Stage{ltp.Clear, ltp.InDoubt}, flight.Stage, "and shows no flight")
		case ahead >= -bound && ahead <= bound:
			assert.Empty(t, skewed.Check(), "a clock within the bound is believed")
			if honest {
				assert.Empty(t, faults)
			}
		}
	})
}
