package replay_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/replay"
)

var noon = time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)

// underWay is a reading of a component that recovers, and its replay at a pace.
func underWay(used, allowed float64) (board.Reading, *replay.Run) {
	r := board.Reading{Orientation: ltp.Orientation{Component: db, State: ltp.Recovering, Epoch: 5}}
	return r, &replay.Run{Report: &ltp.ReleaseReport{
		Phase: replay.PhaseRamp, CanariesPassed: true, Rate: used, Ceiling: allowed, At: noon.Add(-time.Second),
	}}
}

// TestWhatIsExpectedIsWhatCanBeSaid: a time where a release is under way, and none where
// nobody knows when it will be.
func TestWhatIsExpectedIsWhatCanBeSaid(t *testing.T) {
	in := func(d time.Duration) time.Time { return noon.Add(d) }
	for name, c := range map[string]struct {
		change    func(*board.Reading, **replay.Run)
		under     int64
		at        time.Time
		notBefore time.Time
	}{
		"under way":              {func(*board.Reading, **replay.Run) {}, 4, in(30 * time.Second), time.Time{}},
		"under way, in its turn": {func(*board.Reading, **replay.Run) {}, 5, in(30 * time.Second), time.Time{}},
		"an operator's limit":    {func(r *board.Reading, _ **replay.Run) { r.ReplayControl.Rate = 10 }, 4, in(5 * time.Minute), time.Time{}},
		"little is left":         {func(_ *board.Reading, run **replay.Run) { (*run).Report.Rate = 0.5 }, 4, in(2 * time.Minute), time.Time{}},
		"the canaries are on their way": {func(_ *board.Reading, run **replay.Run) {
			(*run).Report.CanariesPassed, (*run).Report.BegunAt = false, noon
		}, 4, in(24 * time.Second), time.Time{}},
		"no word of it yet": {func(_ *board.Reading, run **replay.Run) { (*run).Report = nil }, 4, time.Time{}, time.Time{}},
		"canaries that fail": {func(_ *board.Reading, run **replay.Run) {
			(*run).Report.CanariesPassed, (*run).Report.BegunAt, (*run).Report.Setbacks = false, noon, 1
		}, 4, time.Time{}, time.Time{}},
		"canaries that do not end": {func(_ *board.Reading, run **replay.Run) {
			(*run).Report.CanariesPassed, (*run).Report.BegunAt = false, noon.Add(-time.Minute)
		}, 4, time.Time{}, time.Time{}},
		"what showed up late":   {func(r *board.Reading, run **replay.Run) { r.State, r.Epoch, (*run).Settling = ltp.Stable, 6, true }, 5, in(30 * time.Second), time.Time{}},
		"deferred while stable": {func(r *board.Reading, run **replay.Run) { r.State, r.Epoch = ltp.Stable, 6 }, 6, time.Time{}, time.Time{}},
		"no release":            {func(_ *board.Reading, run **replay.Run) { *run = nil }, 4, time.Time{}, time.Time{}},
		"a silent release": {func(_ *board.Reading, run **replay.Run) {
			(*run).Report.At = noon.Add(-time.Minute)
		}, 4, time.Time{}, time.Time{}},
		"a blind release": {func(_ *board.Reading, run **replay.Run) {
			(*run).Report.Phase, (*run).Report.Ceiling = replay.PhaseUnreadable, 0
		}, 4, time.Time{}, time.Time{}},
		"paused":   {func(r *board.Reading, _ **replay.Run) { r.ReplayControl.Paused = true }, 4, time.Time{}, time.Time{}},
		"unstable": {func(r *board.Reading, _ **replay.Run) { r.State = ltp.Unstable }, 4, time.Time{}, time.Time{}},
		"degraded": {func(r *board.Reading, _ **replay.Run) { r.State = ltp.Degraded }, 4, time.Time{}, time.Time{}},
		"unknown":  {func(r *board.Reading, _ **replay.Run) { r.State = ltp.Unknown }, 4, time.Time{}, time.Time{}},
		"held": {func(r *board.Reading, _ **replay.Run) {
			r.State, r.Hold = ltp.Unstable, &ltp.Hold{Until: in(time.Hour)}
		}, 4, time.Time{}, in(time.Hour)},
		"held without an end": {func(r *board.Reading, _ **replay.Run) {
			r.State, r.Hold = ltp.Unstable, &ltp.Hold{}
		}, 4, time.Time{}, time.Time{}},
		"held until now": {func(r *board.Reading, _ **replay.Run) {
			r.State, r.Hold = ltp.Unstable, &ltp.Hold{Until: noon}
		}, 4, time.Time{}, time.Time{}},
		"held, as far as was seen": {func(r *board.Reading, _ **replay.Run) {
			r.State, r.Hold, r.Unreadable = ltp.Unknown, &ltp.Hold{Until: in(time.Hour)}, true
		}, 4, time.Time{}, time.Time{}},
	} {
		t.Run(name, func(t *testing.T) {
			r, run := underWay(100, 1000)
			c.change(&r, &run)
			got := replay.NewOutlook(r, run, replay.Took, noon).Place(3000, c.under, noon, noon)
			assert.Equal(t, ltp.Place{Ahead: 3000, ExpectedAt: c.at, NotBefore: c.notBefore}, got)
		})
	}
}

// TestMoreAheadIsNeverExpectedEarlier, a faster pace never later, and nothing in the past.
func TestMoreAheadIsNeverExpectedEarlier(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		used, allowed := rapid.Float64Range(0, 1500).Draw(t, "used"), rapid.Float64Range(0.1, 1500).Draw(t, "allowed")
		expects := func(used, allowed float64, ahead int64, canaries bool) time.Time {
			r, run := underWay(used, allowed)
			run.Report.CanariesPassed, run.Report.BegunAt = canaries, noon
			return replay.NewOutlook(r, run, replay.Took, noon).Place(ahead, 4, noon.Add(-3*time.Second), noon).ExpectedAt
		}
		ahead, more := rapid.Int64Range(0, 1e7).Draw(t, "ahead"), rapid.Int64Range(0, 1e7).Draw(t, "more")
		canaries := rapid.Bool().Draw(t, "canaries")
		at := expects(used, allowed, ahead, canaries)
		assert.False(t, at.Before(noon))
		assert.False(t, expects(used, allowed, ahead+more, canaries).Before(at))
		faster := rapid.Float64Range(0, 1500).Draw(t, "faster")
		assert.False(t, expects(used+faster, allowed, ahead, canaries).After(at))
		assert.False(t, expects(used, allowed+faster, ahead, canaries).After(at))
	})
}
