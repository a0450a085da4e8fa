package observer_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/observer"
)

// fault is an error of a probe as a component may give it.
type fault struct{ definite bool }

func (f fault) Error() string  { return fmt.Sprintf("fault, definite: %t", f.definite) }
func (f fault) Definite() bool { return f.definite }
func (f fault) Reason() string { return "DB Out of Order" }

func took(ms int) observer.Sample {
	return observer.Sample{Latency: time.Duration(ms) * time.Millisecond}
}

func hanging(ms int) observer.Sample {
	return observer.Sample{Latency: time.Duration(ms) * time.Millisecond, Hanging: true}
}

func readOnly(s observer.Sample) observer.Sample {
	s.ReadOnly = true
	return s
}

func failed(err error) observer.Sample { return observer.Sample{Latency: time.Millisecond, Err: err} }

var noon = time.Date(2024, 5, 20, 12, 0, 0, 0, time.UTC)

// feed returns the verdict in force after each sample, and the last observation.
func feed(samples ...observer.Sample) ([]ltp.Verdict, ltp.Observation) {
	d := observer.NewDetector(observer.DefaultSettings())
	var verdicts []ltp.Verdict
	var last ltp.Observation
	for i, s := range samples {
		next, seen, changed := d.Next(s, noon.Add(time.Duration(i)*time.Second))
		if changed {
			last = seen
		}
		d = next
		verdicts = append(verdicts, d.Verdict())
	}
	return verdicts, last
}

func TestVerdictsFollowTheSamples(t *testing.T) {
	const none, healthy, slow, unhealthy = ltp.Verdict(""), ltp.Healthy, ltp.Slow, ltp.Unhealthy
	lost, refused := errors.New("connection lost"), fault{definite: true}
	good, bad := took(3), failed(lost)
	for name, tc := range map[string]struct {
		samples []observer.Sample
		want    []ltp.Verdict
		reason  string
	}{
		"healthy after two good writes": {
			[]observer.Sample{took(3), took(4)},
			[]ltp.Verdict{none, healthy}, "DB write latency normal",
		},
		"one hanging write is enough, while it hangs": {
			[]observer.Sample{took(3), took(4), hanging(4999), hanging(5000), hanging(9000)},
			[]ltp.Verdict{none, healthy, healthy, unhealthy, unhealthy}, "DB Write Latency > 5000ms",
		},
		"a write that took as long says the same afterwards": {
			[]observer.Sample{took(3), took(4), took(5000)},
			[]ltp.Verdict{none, healthy, unhealthy}, "DB Write Latency > 5000ms",
		},
		"a hanging write is enough at first sight": {
			[]observer.Sample{hanging(250), hanging(5000)},
			[]ltp.Verdict{none, unhealthy}, "DB Write Latency > 5000ms",
		},
		"a definite error needs no confirmation": {
			[]observer.Sample{took(3), took(4), failed(refused)},
			[]ltp.Verdict{none, healthy, unhealthy}, "DB Out of Order",
		},
		"nor does a wrapped one": {
			[]observer.Sample{failed(fmt.Errorf("probing: %w", refused))},
			[]ltp.Verdict{unhealthy}, "DB Out of Order",
		},
		"other errors must repeat": {
			[]observer.Sample{took(3), took(4), failed(lost), failed(lost), took(3), failed(lost), failed(lost), failed(lost)},
			[]ltp.Verdict{none, healthy, healthy, healthy, healthy, healthy, healthy, unhealthy}, "DB Write Failed",
		},
		"and say so in their own words": {
			[]observer.Sample{failed(lost), failed(lost), failed(fault{definite: false})},
			[]ltp.Verdict{none, none, unhealthy}, "DB Out of Order",
		},
		"recovery takes two good writes in a row": {
			[]observer.Sample{failed(refused), took(3), failed(lost), took(3), took(1000), took(3), took(999)},
			[]ltp.Verdict{unhealthy, unhealthy, unhealthy, unhealthy, unhealthy, unhealthy, slow}, "DB Write Latency > 500ms",
		},
		"and normal latency to be healthy": {
			[]observer.Sample{failed(refused), took(499), took(3)},
			[]ltp.Verdict{unhealthy, unhealthy, healthy}, "DB write latency normal",
		},
		"a hanging write is no sign of recovery": {
			[]observer.Sample{failed(refused), took(3), hanging(5000), took(3)},
			[]ltp.Verdict{unhealthy, unhealthy, unhealthy, unhealthy}, "DB Out of Order",
		},
		"a young hanging write says nothing": {
			[]observer.Sample{failed(refused), took(3), hanging(250), took(3)},
			[]ltp.Verdict{unhealthy, unhealthy, unhealthy, healthy}, "DB write latency normal",
		},
		"slow after three slow writes": {
			[]observer.Sample{took(3), took(4), took(500), took(499), took(500), took(2000), took(4000)},
			[]ltp.Verdict{none, healthy, healthy, healthy, healthy, healthy, slow}, "DB Write Latency > 500ms",
		},
		"quick after two quick ones": {
			[]observer.Sample{took(600), took(600), took(249), took(250), took(249), took(3)},
			[]ltp.Verdict{none, slow, slow, slow, slow, healthy}, "DB write latency normal",
		},
		"slow at first sight": {
			[]observer.Sample{took(2000), took(2000), took(2000)},
			[]ltp.Verdict{none, none, slow}, "DB Write Latency > 500ms",
		},
		"unhealthy from slow": {
			[]observer.Sample{took(600), took(600), hanging(5000)},
			[]ltp.Verdict{none, slow, unhealthy}, "DB Write Latency > 5000ms",
		},
		"unhealthy stays so between the thresholds": {
			[]observer.Sample{took(5000), took(4999), took(1000), took(2000), took(1000)},
			[]ltp.Verdict{unhealthy, unhealthy, unhealthy, unhealthy, unhealthy}, "DB Write Latency > 5000ms",
		},
		"errors between good writes add up": {
			[]observer.Sample{good, good, bad, good, bad, good, bad, good, bad, bad, good, bad},
			append(append([]ltp.Verdict{none}, slices.Repeat([]ltp.Verdict{healthy}, 10)...), unhealthy), "DB writes fail: 6 of 10",
		},
		"recovery after them takes two good writes in a row, too": {
			[]observer.Sample{bad, good, bad, good, bad, good, bad, good, bad, good, bad, good, bad, good, good},
			append(append(slices.Repeat([]ltp.Verdict{none}, 10), slices.Repeat([]ltp.Verdict{unhealthy}, 4)...), healthy), "DB write latency normal",
		},
		"what was only read says nothing good": {
			[]observer.Sample{readOnly(good), readOnly(good), readOnly(took(600)), readOnly(took(600)), readOnly(took(600))},
			[]ltp.Verdict{none, none, none, none, none}, "",
		},
		"nor that errors have ended": {
			[]observer.Sample{good, good, bad, readOnly(good), bad, readOnly(good), bad, readOnly(good), readOnly(good)},
			[]ltp.Verdict{none, healthy, healthy, healthy, healthy, healthy, unhealthy, unhealthy, unhealthy}, "DB Write Failed",
		},
		"it can condemn": {
			[]observer.Sample{good, good, readOnly(failed(refused))},
			[]ltp.Verdict{none, healthy, unhealthy}, "DB Out of Order",
		},
		"also by hanging": {
			[]observer.Sample{good, good, readOnly(hanging(5000))},
			[]ltp.Verdict{none, healthy, unhealthy}, "DB Write Latency > 5000ms",
		},
	} {
		t.Run(name, func(t *testing.T) {
			verdicts, last := feed(tc.samples...)
			assert.Equal(t, tc.want, verdicts)
			assert.Equal(t, tc.reason, last.Reason)
		})
	}
}

func TestAnObservationHoldsWhatWasMeasured(t *testing.T) {
	facts := map[string]string{"leader": "db1:5432"}
	hung := observer.Sample{Latency: 5100 * time.Millisecond, Hanging: true, Facts: facts}
	_, seen := feed(hung)
	assert.Equal(t, ltp.Observation{
		Verdict: ltp.Unhealthy, Reason: "DB Write Latency > 5000ms", At: noon,
		Evidence: ltp.Evidence{LatencyMs: 5100, ThresholdMs: 5000, Samples: 1, Facts: facts},
	}, seen)

	_, seen = feed(failed(fault{definite: true}))
	assert.Equal(t, ltp.Evidence{LatencyMs: 1, Samples: 1, Definite: true, Error: "fault, definite: true"}, seen.Evidence)

	_, seen = feed(took(700), took(600))
	assert.Equal(t, ltp.Evidence{LatencyMs: 700, ThresholdMs: 500, Samples: 2}, seen.Evidence)
}

func TestRecoveryTellsOfANewLeader(t *testing.T) {
	by := func(leader, timeline string) observer.Sample {
		s := took(3)
		s.Facts = map[string]string{"leader": leader, "timeline": timeline}
		return s
	}
	down := failed(fault{definite: true})
	for _, tc := range []struct {
		samples []observer.Sample
		want    string
	}{
		{[]observer.Sample{by("db1", "1"), by("db1", "1"), down, by("db2", "2"), by("db2", "2")}, "DB Leader elected. Latency normal."},
		{[]observer.Sample{by("vip", "1"), by("vip", "1"), down, by("vip", "2"), by("vip", "2")}, "DB Leader elected. Latency normal."},
		{[]observer.Sample{by("db1", "1"), by("db1", "1"), down, by("db1", "1"), by("db1", "1")}, "DB write latency normal"},
		{[]observer.Sample{down, by("db1", "1"), by("db1", "1")}, "DB write latency normal"},
	} {
		_, last := feed(tc.samples...)
		assert.Equal(t, tc.want, last.Reason)
	}
}

func TestSettingsThatCannotWorkAreNamed(t *testing.T) {
	require.NoError(t, observer.DefaultSettings().Validate())
	for want, change := range map[string]func(*observer.Settings){
		"interval":      func(s *observer.Settings) { s.Interval = 0 },
		"slow exit":     func(s *observer.Settings) { s.SlowExit = time.Microsecond },
		"slow latency":  func(s *observer.Settings) { s.SlowLatency = s.SlowExit },
		"fit latency":   func(s *observer.Settings) { s.FitLatency = s.SlowLatency - 1 },
		"unfit latency": func(s *observer.Settings) { s.UnfitLatency = s.FitLatency },
		"timeout":       func(s *observer.Settings) { s.Timeout = s.UnfitLatency - 1 },
		"fall":          func(s *observer.Settings) { s.Fall = 0 },
		"rise":          func(s *observer.Settings) { s.Rise = 0 },
		"window 2":      func(s *observer.Settings) { s.Window = s.Fall - 1 },
		"window -1":     func(s *observer.Settings) { s.Window = -1 },
		"window 65":     func(s *observer.Settings) { s.Window = 65 },
	} {
		s := observer.DefaultSettings()
		change(&s)
		require.ErrorContains(t, s.Validate(), want)
	}
}

func TestReasonsSpeakOfTheSubject(t *testing.T) {
	s := observer.DefaultSettings()
	s.Subject = "Payments"
	lost := failed(errors.New("lost"))
	by := func(leader string, ms int) observer.Sample {
		s := took(ms)
		s.Facts = map[string]string{"leader": leader}
		return s
	}
	d := observer.NewDetector(s)
	var said []string
	for _, sample := range slices.Concat(
		[]observer.Sample{by("a", 3), by("a", 3), by("a", 600), by("a", 600), by("a", 600), hanging(5000), by("b", 3), by("b", 3), lost, lost, lost, took(3), took(3)},
		slices.Repeat([]observer.Sample{lost, took(3)}, 6),
	) {
		next, seen, changed := d.Next(sample, noon)
		if d = next; changed {
			said = append(said, seen.Reason)
		}
	}
	assert.Equal(t, []string{
		"Payments latency normal", "Payments latency > 500ms", "Payments latency > 5000ms",
		"Payments leader elected. Latency normal.", "Payments failed", "Payments latency normal", "Payments fails: 6 of 11",
	}, said)
}

func TestTheWindowCanBeSwitchedOff(t *testing.T) {
	s := observer.DefaultSettings()
	s.Window = 0
	require.NoError(t, s.Validate())
	d := observer.NewDetector(s)
	for range 200 {
		for _, sample := range []observer.Sample{took(3), failed(errors.New("lost")), failed(errors.New("lost"))} {
			d, _, _ = d.Next(sample, noon)
		}
	}
	assert.Empty(t, d.Verdict())
}

// anySample draws a sample with a latency in milliseconds within bounds.
func anySample(from, to int) *rapid.Generator[observer.Sample] {
	return rapid.Custom(func(t *rapid.T) observer.Sample {
		s := took(rapid.IntRange(from, to).Draw(t, "ms"))
		switch rapid.IntRange(0, 9).Draw(t, "kind") {
		case 0:
			s.Err = errors.New("lost")
		case 1:
			s.Err = fault{definite: rapid.Bool().Draw(t, "definite")}
		case 2, 3:
			s.Hanging = true
		}
		s.ReadOnly = rapid.IntRange(0, 4).Draw(t, "read") == 0
		return s
	})
}

func goodWrites(from, to int) *rapid.Generator[observer.Sample] {
	return rapid.Map(rapid.IntRange(from, to), took)
}

// drawSettings draws settings whose latencies stay those of the defaults.
func drawSettings(t *rapid.T) observer.Settings {
	s := observer.DefaultSettings()
	s.Fall, s.Rise = rapid.IntRange(1, 5).Draw(t, "fall"), rapid.IntRange(1, 5).Draw(t, "rise")
	s.Window = rapid.OneOf(rapid.Just(0), rapid.IntRange(s.Fall, 64)).Draw(t, "window")
	return s
}

func TestNoVerdictOfFitnessWithoutWritesInARow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		d := observer.NewDetector(s)
		var finished []observer.Sample
		for _, sample := range rapid.SliceOfN(anySample(0, 7000), 0, 80).Draw(t, "samples") {
			before := d.Verdict()
			var changed bool
			d, _, changed = d.Next(sample, noon)
			vouches := !sample.ReadOnly && !sample.Hanging
			if vouches || sample.Err != nil || sample.Latency >= s.UnfitLatency {
				finished = append(finished, sample)
			}
			if changed != (d.Verdict() != before) {
				t.Fatalf("said %t of a change from %q to %q", changed, before, d.Verdict())
			}
			if !changed || !d.Verdict().Fit() || before.Fit() {
				continue
			}
			n, limit := s.Rise, s.FitLatency
			if d.Verdict() == ltp.Slow && before == "" {
				n, limit = min(s.Rise, s.Fall), s.UnfitLatency
			}
			if len(finished) < n {
				t.Fatalf("%s after %d samples", d.Verdict(), len(finished))
			}
			for _, last := range finished[len(finished)-n:] {
				if last.Err != nil || last.Hanging || last.ReadOnly || last.Latency >= limit {
					t.Fatalf("%s after %+v", d.Verdict(), last)
				}
			}
		}
	})
}

func TestADefiniteErrorIsUnhealthyAtOnce(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := observer.NewDetector(drawSettings(t))
		for _, sample := range rapid.SliceOfN(anySample(0, 7000), 0, 40).Draw(t, "samples") {
			d, _, _ = d.Next(sample, noon)
		}
		d, _, _ = d.Next(failed(fault{definite: true}), noon)
		if d.Verdict() != ltp.Unhealthy {
			t.Fatalf("%q after a definite error", d.Verdict())
		}
	})
}

func TestNoiseAroundOneThresholdDoesNotFlap(t *testing.T) {
	defaults := observer.DefaultSettings()
	ms := func(d time.Duration) int { return int(d.Milliseconds()) }
	for name, band := range map[string][2]int{
		"slow exit":     {0, ms(defaults.SlowLatency) - 1},
		"slow latency":  {ms(defaults.SlowExit), ms(defaults.FitLatency) - 1},
		"fit latency":   {ms(defaults.SlowLatency), ms(defaults.UnfitLatency) - 1},
		"unfit latency": {ms(defaults.FitLatency), 20_000},
	} {
		t.Run(name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				d := observer.NewDetector(drawSettings(t))
				for _, sample := range rapid.SliceOfN(anySample(0, 7000), 0, 20).Draw(t, "before") {
					d, _, _ = d.Next(sample, noon)
				}
				var said []ltp.Verdict
				for _, sample := range rapid.SliceOfN(goodWrites(band[0], band[1]), 0, 200).Draw(t, "noise") {
					var changed bool
					if d, _, changed = d.Next(sample, noon); changed {
						said = append(said, d.Verdict())
					}
				}
				// It settles, perhaps by way of one verdict between, and stays there.
				if len(said) > 2 || len(said) == 2 && said[1] == ltp.Unhealthy && said[0] == ltp.Healthy {
					t.Fatalf("flaps: %q", said)
				}
			})
		})
	}
}

// TestErrorsAddUpWithinTheWindow holds the detector against the rule as a sentence:
// Fall errors in a row, or at least Fall of the latest Window and half of them.
func TestErrorsAddUpWithinTheWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		d := observer.NewDetector(s)
		var under []bool // errors under the verdict in force
		inARow := 0
		for _, bad := range rapid.SliceOfN(rapid.Bool(), 0, 200).Draw(t, "errors") {
			sample := took(3)
			inARow++
			if bad {
				sample = failed(errors.New("lost"))
			} else {
				inARow = 0
			}
			under = append(under, bad)
			before := d.Verdict()
			var changed bool
			d, _, changed = d.Next(sample, noon)
			latest := under[max(0, len(under)-s.Window):]
			n := 0
			for _, bad := range latest {
				if bad {
					n++
				}
			}
			want := inARow >= s.Fall || s.Window > 0 && n >= s.Fall && 2*n >= s.Window
			if before != ltp.Unhealthy && (d.Verdict() == ltp.Unhealthy) != want {
				t.Fatalf("%q to %q: %d in a row, %d of %v", before, d.Verdict(), inARow, n, latest)
			}
			if changed {
				under = nil
			}
		}
	})
}

// TestFewErrorsAreNoVerdict: an error now and then, even for ever, is not an outage.
func TestFewErrorsAreNoVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d, _, _ := observer.NewDetector(observer.DefaultSettings()).Next(took(3), noon)
		d, _, _ = d.Next(took(3), noon)
		for _, pause := range rapid.SliceOfN(rapid.IntRange(2, 20), 0, 60).Draw(t, "good writes between") {
			for range pause {
				d, _, _ = d.Next(took(3), noon)
			}
			var changed bool
			if d, _, changed = d.Next(failed(errors.New("lost")), noon); changed {
				t.Fatalf("%q after one error in %d", d.Verdict(), pause+1)
			}
		}
	})
}

// TestReadsNeverMakeAComponentFit: reads that succeed may come anywhere, and change nothing.
func TestReadsNeverMakeAComponentFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		a, b := observer.NewDetector(s), observer.NewDetector(s)
		for _, sample := range rapid.SliceOfN(anySample(0, 7000), 0, 80).Draw(t, "samples") {
			for range rapid.IntRange(0, 3).Draw(t, "reads") {
				b, _, _ = b.Next(readOnly(took(rapid.IntRange(0, 4999).Draw(t, "ms"))), noon)
			}
			a, _, _ = a.Next(sample, noon)
			b, _, _ = b.Next(sample, noon)
			if a.Verdict() != b.Verdict() {
				t.Fatalf("%q, and %q with reads between", a.Verdict(), b.Verdict())
			}
		}
	})
}

func TestVerdictsDoNotDependOnTheClock(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		a, b := observer.NewDetector(s), observer.NewDetector(s)
		for _, sample := range rapid.SliceOfN(anySample(-1000, 7000), 0, 80).Draw(t, "samples") {
			jump := time.Duration(rapid.Int64().Draw(t, "jump"))
			var said, later ltp.Observation
			a, said, _ = a.Next(sample, noon)
			b, later, _ = b.Next(sample, noon.Add(jump))
			said.At, later.At = time.Time{}, time.Time{}
			if a.Verdict() != b.Verdict() || said.Reason != later.Reason {
				t.Fatalf("%q and %q", a.Verdict(), b.Verdict())
			}
		}
	})
}

func TestEveryObservationChangesTheVerdict(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := observer.NewDetector(drawSettings(t))
		said := []ltp.Verdict{""}
		for _, sample := range rapid.SliceOfN(anySample(0, 7000), 0, 80).Draw(t, "samples") {
			next, seen, changed := d.Next(sample, noon)
			if d = next; changed {
				said = append(said, seen.Verdict)
			}
		}
		if len(slices.Compact(slices.Clone(said))) != len(said) {
			t.Fatalf("repeats itself: %q", said)
		}
	})
}

// resumed is what an observer makes of samples that takes over while a verdict is in force.
func resumed(v ltp.Verdict, samples ...observer.Sample) (verdicts, sent []ltp.Verdict) {
	d := observer.NewDetector(observer.DefaultSettings()).Resume(v)
	for _, s := range samples {
		next, seen, changed := d.Next(s, noon)
		if d = next; changed {
			sent = append(sent, seen.Verdict)
		}
		verdicts = append(verdicts, d.Verdict())
	}
	return verdicts, sent
}

// TestWhoTakesOverKnowsWhatWasKnown: writes of 3 s neither make nor keep a component unfit,
// and what was unfit stays so until Rise good ones. Whoever takes over says so, too.
func TestWhoTakesOverKnowsWhatWasKnown(t *testing.T) {
	const none, healthy, slow, unhealthy = ltp.Verdict(""), ltp.Healthy, ltp.Slow, ltp.Unhealthy
	lost := failed(errors.New("lost"))
	for name, tc := range map[string]struct {
		known   ltp.Verdict
		samples []observer.Sample
		want    []ltp.Verdict
		sent    []ltp.Verdict
	}{
		"writes of 3 s after a hang": {unhealthy, slices.Repeat([]observer.Sample{took(3000)}, 5), slices.Repeat([]ltp.Verdict{unhealthy}, 5), nil},
		"nothing was known":          {none, slices.Repeat([]observer.Sample{took(3000)}, 3), []ltp.Verdict{none, none, slow}, []ltp.Verdict{slow}},
		"good writes after a hang":   {unhealthy, []observer.Sample{took(3), took(3000), took(3), took(3)}, []ltp.Verdict{unhealthy, unhealthy, unhealthy, healthy}, []ltp.Verdict{healthy}},
		"it still hangs":             {unhealthy, []observer.Sample{hanging(5000), hanging(6000)}, []ltp.Verdict{unhealthy, unhealthy}, []ltp.Verdict{unhealthy}},
		"it is still well":           {healthy, []observer.Sample{took(3), took(3), took(3)}, []ltp.Verdict{healthy, healthy, healthy}, []ltp.Verdict{healthy}},
		"errors must repeat":         {healthy, []observer.Sample{lost, lost, lost}, []ltp.Verdict{healthy, healthy, unhealthy}, []ltp.Verdict{unhealthy}},
		"it is still slow":           {slow, []observer.Sample{took(600), took(600), took(600), took(600)}, []ltp.Verdict{slow, slow, slow, slow}, []ltp.Verdict{slow}},
		"quick again":                {slow, []observer.Sample{took(3), took(3)}, []ltp.Verdict{slow, healthy}, []ltp.Verdict{healthy}},
	} {
		t.Run(name, func(t *testing.T) {
			verdicts, sent := resumed(tc.known, tc.samples...)
			assert.Equal(t, tc.want, verdicts)
			assert.Equal(t, tc.sent, sent)
		})
	}
}

// TestATakeoverOfTheUnfitNeedsRiseGoodWrites in a row, and no more.
func TestATakeoverOfTheUnfitNeedsRiseGoodWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSettings(t)
		d := observer.NewDetector(s).Resume(ltp.Unhealthy)
		good := 0
		for _, sample := range rapid.SliceOfN(goodWrites(0, 4999), 0, 60).Draw(t, "writes") {
			d, _, _ = d.Next(sample, noon)
			if good++; sample.Latency >= s.FitLatency {
				good = 0
			}
			if d.Verdict().Fit() {
				if good < s.Rise {
					t.Fatalf("%s after %d good writes", d.Verdict(), good)
				}
				return
			}
			if good >= s.Rise {
				t.Fatalf("%s after %d good writes", d.Verdict(), good)
			}
		}
	})
}
