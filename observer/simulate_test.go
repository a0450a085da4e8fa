package observer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/observer"
)

func rules() observer.Rules {
	return observer.Rules{
		Settings: observer.DefaultSettings(), Policy: ltp.DefaultPolicy(),
		Drain: 5 * time.Second, Heartbeat: 10 * time.Second,
	}
}

// every is a stretch of equal samples, four a second, from an offset to another.
func every(from, to time.Duration, s observer.Sample) []observer.Recorded {
	var all []observer.Recorded
	for at := from; at < to; at += 250 * time.Millisecond {
		all = append(all, observer.Recorded{At: noon.Add(at), Sample: s})
	}
	return all
}

func all(samples []observer.Recorded) iter.Seq2[observer.Recorded, error] {
	return func(yield func(observer.Recorded, error) bool) {
		for _, s := range samples {
			if !yield(s, nil) {
				return
			}
		}
	}
}

// play returns what is decided, as lines, and the totals.
func play(t *testing.T, r observer.Rules, samples iter.Seq2[observer.Recorded, error]) ([]string, observer.Totals) {
	t.Helper()
	sim := observer.NewSimulation("orders-db", r)
	var lines []string
	for d, err := range sim.Run(samples) {
		require.NoError(t, err)
		at := d.At.Sub(noon).Seconds()
		if d.Observation != nil {
			lines = append(lines, fmt.Sprintf("%.2f %s > %s: %s", at, d.Was, d.Observation.Verdict, d.Observation.Reason))
		} else {
			lines = append(lines, fmt.Sprintf("%.2f %s > %s@%d: %s", at, d.From, d.Orientation.State, d.Orientation.Epoch, d.Orientation.Reason))
		}
	}
	return lines, sim.Totals()
}

func TestAnIncidentIsSimulated(t *testing.T) {
	const s = time.Second
	samples := slices.Concat(
		every(0, 60*s, took(3)),
		every(60*s, 65*s, hanging(1000)),
		every(65*s, 105*s, hanging(5000)),
		every(105*s, 180*s, took(3)),
	)
	lines, totals := play(t, rules(), all(samples))
	assert.Equal(t, []string{
		"0.25  > HEALTHY: DB write latency normal",
		"0.25 UNKNOWN > RECOVERING@2: DB write latency normal",
		"5.25 RECOVERING > STABLE@3: Deferred backlog drained",
		"65.00 HEALTHY > UNHEALTHY: DB Write Latency > 5000ms",
		"65.00 STABLE > UNSTABLE@4: DB Write Latency > 5000ms",
		"105.25 UNHEALTHY > HEALTHY: DB write latency normal",
		"107.25 UNSTABLE > RECOVERING@5: DB write latency normal",
		"112.25 RECOVERING > STABLE@6: Deferred backlog drained",
	}, lines)
	assert.Equal(t, observer.Totals{
		Samples: len(samples), From: noon, To: noon.Add(179*s + 750*time.Millisecond),
		In: map[ltp.State]time.Duration{
			ltp.Unknown: 250 * time.Millisecond, ltp.Recovering: 10 * s,
			ltp.Stable: 59*s + 750*time.Millisecond + 67*s + 500*time.Millisecond, ltp.Unstable: 42*s + 250*time.Millisecond,
		},
		Incidents: 1, Falls: 1,
	}, totals)
	encoded, err := json.Marshal(totals)
	require.NoError(t, err)
	assert.JSONEq(t, fmt.Sprintf(`{"samples":%d,"from":"2024-05-20T12:00:00Z","to":"2024-05-20T12:02:59.75Z","incidents":1,"falls":1,"flaps":0,
		"in_ms":{"UNKNOWN":250,"RECOVERING":10000,"STABLE":127250,"UNSTABLE":42250}}`, len(samples)), string(encoded))
}

func TestFlapsMakeTheSimulatedDwellGrow(t *testing.T) {
	const s = time.Second
	refused := failed(fault{definite: true})
	samples := every(0, 10*s, took(3))
	for i := range 3 {
		begin := time.Duration(10+30*i) * s
		samples = append(samples, every(begin, begin+s, refused)...)
		samples = append(samples, every(begin+s, begin+30*s, took(3))...)
	}
	lines, totals := play(t, rules(), all(samples))
	var recovering []string
	for _, l := range lines {
		if strings.Contains(l, "> RECOVERING") {
			recovering = append(recovering, l[:strings.Index(l, " ")])
		}
	}
	assert.Equal(t, []string{"0.25", "13.25", "45.25", "79.25"}, recovering, "after 2, 4 and 8 s")
	assert.Equal(t, 3, totals.Falls)
	assert.Equal(t, 2, totals.Flaps)
	assert.Equal(t, 3, totals.Incidents)
}

func TestASilenceInARecordingIsUnknown(t *testing.T) {
	const s = time.Second
	lines, totals := play(t, rules(), all(slices.Concat(every(0, 10*s, took(3)), every(25*s, 30*s, took(3)), every(60*s, 70*s, took(3)))))
	assert.Equal(t, []string{
		"5.25 RECOVERING > STABLE@3: Deferred backlog drained",
		"49.75 STABLE > UNKNOWN@4: No sample for 20s",
		"60.25  > HEALTHY: DB write latency normal",
		"60.25 UNKNOWN > RECOVERING@5: DB write latency normal",
		"65.25 RECOVERING > STABLE@6: Deferred backlog drained",
	}, lines[2:], "15 s are not silence enough, 30 s are, and the next observer knows nothing")
	assert.Equal(t, 10*s+500*time.Millisecond+250*time.Millisecond, totals.In[ltp.Unknown])
}

// TestARecordingDecidesAsItDidLive: a watch is recorded, and the simulation of the
// recording comes to the same verdicts at the same times.
func TestARecordingDecidesAsItDidLive(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		writes := rapid.SliceOfN(rapid.IntRange(0, 7000), 1, 40).Draw(rt, "ms")
		ends := rapid.SliceOfN(rapid.SampledFrom([]error{nil, nil, nil, errors.New("lost\n\"quoted\""), fault{definite: true}, fault{}}), 40, 40).Draw(rt, "ends")
		synctest.Test(t, func(t *testing.T) {
			var recording bytes.Buffer
			recorder := observer.NewRecorder(&recording)
			c := &component{write: func(ctx context.Context, n int) error {
				if err := hang(ctx, time.Duration(writes[n%len(writes)])*time.Millisecond); err != nil {
					return err
				}
				return ends[n%len(ends)]
			}}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			var live []ltp.Observation
			_ = observer.Watch(ctx, c, observer.DefaultSettings(), "", func(o ltp.Observation) { live = append(live, o) }, func(s observer.Status) {
				require.NoError(t, recorder.Record(s.At, s.Sample))
			})
			require.NoError(t, recorder.Flush())
			time.Sleep(time.Minute)

			var simulated []ltp.Observation
			for d, err := range observer.NewSimulation("", rules()).Run(observer.ReadRecording(&recording)) {
				require.NoError(t, err)
				if d.Observation != nil {
					simulated = append(simulated, *d.Observation)
				}
			}
			for i := range live {
				live[i].At = live[i].At.UTC().Truncate(time.Millisecond)
			}
			require.Equal(t, live, simulated)
		})
	})
}

func TestARecordingIsReadBack(t *testing.T) {
	var written strings.Builder
	recorder := observer.NewRecorder(&written)
	samples := []observer.Sample{
		{Latency: 3*time.Millisecond + 900*time.Microsecond, Facts: map[string]string{"leader": "db1:5432", "timeline": "4"}},
		{Latency: 5 * time.Second, Hanging: true, ReadOnly: true},
		{Latency: time.Millisecond, Err: fault{definite: true}},
		{Latency: -time.Second, Err: errors.New("")},
	}
	for i, s := range samples {
		at := noon.Add(time.Duration(i) * 250 * time.Millisecond)
		if i == 3 {
			at = noon.Add(-time.Hour) // the clock was set back
		}
		require.NoError(t, recorder.Record(at, s))
	}
	require.NoError(t, recorder.Flush())
	assert.Equal(t, `{"at":"2024-05-20T12:00:00.000Z","latency_ms":3,"facts":{"leader":"db1:5432","timeline":"4"}}
{"at":"2024-05-20T12:00:00.250Z","latency_ms":5000,"hanging":true,"read_only":true}
{"at":"2024-05-20T12:00:00.500Z","latency_ms":1,"error":"fault, definite: true","definite":true,"reason":"DB Out of Order"}
{"at":"2024-05-20T12:00:00.500Z","latency_ms":0,"error":"(an error without words)"}
`, written.String())

	var back []observer.Recorded
	for r, err := range observer.ReadRecording(strings.NewReader(written.String())) {
		require.NoError(t, err)
		back = append(back, r)
	}
	require.Len(t, back, 4)
	assert.Equal(t, observer.Recorded{At: noon, Sample: observer.Sample{Latency: 3 * time.Millisecond, Facts: samples[0].Facts}}, back[0])
	assert.Equal(t, samples[1], back[1].Sample)
	var f observer.Fault
	require.ErrorAs(t, back[2].Err, &f)
	assert.True(t, f.Definite())
	assert.Equal(t, "DB Out of Order", f.Reason())
	assert.False(t, errors.As(back[3].Err, &f))
}

func TestWhatIsNoRecordingIsNamedByItsLine(t *testing.T) {
	const good = `{"at":"2024-05-20T12:00:00.000Z","latency_ms":3}` + "\n"
	for want, text := range map[string]string{
		"line 2: not a sample":                       good + "{\n",
		"line 1: not a sample":                       "\n" + good,
		"line 3: not a sample: json: unknown field":  good + good + `{"at":"2024-05-20T12:00:00.000Z","latency":3}`,
		"line 2: not a sample: unexpected EOF":       good + `{"at":"2024-05-20T12:00:0`,
		"line 1: more than one sample":               strings.TrimSpace(good) + good,
		`line 1: at "" is no time`:                   `{"latency_ms":3}`,
		`line 1: at "yesterday" is no time`:          `{"at":"yesterday","latency_ms":3}`,
		"line 1: latency_ms -1":                      `{"at":"2024-05-20T12:00:00.000Z","latency_ms":-1}`,
		"line 1: definite or reason":                 `{"at":"2024-05-20T12:00:00.000Z","latency_ms":1,"definite":true}`,
		"line 2: 2024-05-20T11:59:59.999Z is before": good + `{"at":"2024-05-20T11:59:59.999Z","latency_ms":3}`,
		"line 2: longer than":                        good + strings.Repeat("x", 2<<20),
		"after line 1: broken pipe":                  "",
	} {
		var from = func() iter.Seq2[observer.Recorded, error] {
			if text != "" {
				return observer.ReadRecording(strings.NewReader(text))
			}
			return observer.ReadRecording(&broken{strings.NewReader(good)})
		}()
		var failed error
		for _, err := range observer.NewSimulation("orders-db", rules()).Run(from) {
			failed = err
		}
		require.ErrorContains(t, failed, want)
	}
}

// broken is a reader that fails where it would end.
type broken struct{ r *strings.Reader }

func (b *broken) Read(p []byte) (int, error) {
	if b.r.Len() == 0 {
		return 0, errors.New("broken pipe")
	}
	return b.r.Read(p)
}

func (b *broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

func TestARecordingThatCannotBeWrittenSaysSo(t *testing.T) {
	recorder := observer.NewRecorder(&broken{})
	require.ErrorContains(t, recorder.Record(noon, took(3)), "disk full")
	require.ErrorContains(t, recorder.Record(noon, took(3)), "disk full")
	require.ErrorContains(t, recorder.Flush(), "disk full")
}

// BenchmarkSimulation is the price of a sample: a month at four a second is 10
// million.
func BenchmarkSimulation(b *testing.B) {
	var recording bytes.Buffer
	recorder := observer.NewRecorder(&recording)
	s := took(3)
	s.Facts = map[string]string{"database": "postgres", "leader": "10.0.0.1:5432", "timeline": "4"}
	for i := range b.N {
		_ = recorder.Record(noon.Add(time.Duration(i)*250*time.Millisecond), s)
	}
	_ = recorder.Flush()
	b.ReportAllocs()
	b.ResetTimer()
	for _, err := range observer.NewSimulation("orders-db", rules()).Run(observer.ReadRecording(&recording)) {
		if err != nil {
			b.Fatal(err)
		}
	}
}
