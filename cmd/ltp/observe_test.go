package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/observer"
)

// run runs ltp in this process.
func run(t *testing.T, stdin string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	var out, said bytes.Buffer
	cmd := root()
	cmd.SetIn(strings.NewReader(stdin))
	cmd.SetOut(&out)
	cmd.SetErr(&said)
	cmd.SetArgs(append(args, "--state-dir", t.TempDir()))
	err = cmd.ExecuteContext(t.Context())
	return out.String(), said.String(), err
}

func TestFlagsThatCannotWorkAreNamed(t *testing.T) {
	for args, want := range map[string]string{
		"--fit-latency 300ms":                           "--fit-latency 300ms must not be shorter than --slow-latency 500ms",
		"--unfit-latency 1s":                            "--unfit-latency 1s must be longer than --fit-latency 1s",
		"--timeout 1s":                                  "--timeout 1s must not be shorter than --unfit-latency 5s",
		"--window 2":                                    "--window 2 must be at least --fall 3, or 0 to switch it off",
		"--window 65":                                   "--window 65 must be at most 64",
		"--max-dwell 1s":                                "--max-dwell 1s is shorter than --dwell 2s",
		"--flap-window 0s":                              "--flap-window 0s must be longer than 0",
		"--component payments":                          "say with --url where payments is",
		"--component a/b":                               "--component: ",
		"--url x.db --orders-db y.db":                   "give one of them",
		"--component payments --orders-db x":            "say with --url where payments is",
		"--once --explain":                              "give one of them",
		"--format json":                                 "--format json is for --once and --explain",
		"--samples x":                                   "--samples is for --explain",
		"--once --record x":                             "leave --once and --explain out",
		"--explain --drain -1s":                         "--drain -1s is negative",
		"--url http://127.0.0.1:1 --patroni db1:8008":   "http://host:8008 of each member",
		"--explain --samples /nonexistent.jsonl":        "--samples: open /nonexistent.jsonl",
		"--url http://127.0.0.1:1 --orders-sql main.go": "--orders-sql is for an order database",
		"--orders-sql main.go":                          "--orders-sql, line ",
		"--orders-sql /dev/null":                        "--orders-sql /dev/null is empty: ",
		"--once --orders-sql /nonexistent.sql":          "--orders-sql: open ",
	} {
		_, _, err := run(t, "", append([]string{"observe"}, strings.Fields(args)...)...)
		if args == "--once --explain" || strings.HasPrefix(args, "--once") {
			assert.Equal(t, exitCannotTell, err, args)
			continue
		}
		require.ErrorContains(t, err, want, args)
	}
}

func TestOnceSaysWhatItSaw(t *testing.T) {
	var answer atomic.Pointer[http.HandlerFunc]
	answers := func(f http.HandlerFunc) { answer.Store(&f) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*answer.Load())(w, r) }))
	defer server.Close()
	once := func(args ...string) (string, string, error) {
		return run(t, "", append([]string{"observe", "--once", "--component", "payments", "--url", server.URL}, args...)...)
	}
	answers(func(http.ResponseWriter, *http.Request) {})
	stdout, stderr, err := once()
	require.NoError(t, err)
	assert.Regexp(t, `^payments  (HEALTHY|SLOW)  Health endpoint latency .+  \(\d+ ms, limit \d+ ms, 2 samples\)\n$`, stdout)
	assert.Empty(t, stderr)

	answers(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	stdout, stderr, err = once("--format", "json")
	assert.Equal(t, exitUnfit, err)
	assert.Empty(t, stderr)
	var seen ltp.Observation
	require.NoError(t, json.Unmarshal([]byte(stdout), &seen))
	assert.Equal(t, ltp.Unhealthy, seen.Verdict)
	assert.Equal(t, "Health endpoint says 503", seen.Reason)
	assert.Equal(t, "payments", seen.Component)

	// Neither enough errors in a row nor enough good answers: there is no verdict.
	var asked atomic.Int32
	answers(func(w http.ResponseWriter, _ *http.Request) {
		if asked.Add(1)%2 == 0 {
			w.WriteHeader(http.StatusNotFound)
		}
	})
	stdout, stderr, err = once("--window", "0", "--interval", "10ms", "--unfit-latency", "1500ms", "--timeout", "1500ms")
	assert.Equal(t, exitCannotTell, err)
	assert.Empty(t, stdout)
	assert.Contains(t, stderr, "payments has no verdict within 2.55s; its newest sample: ")

	for _, args := range [][]string{{"--url", "ftp://u:s3cret@db"}, {"--no-such-flag"}, {"--fall", "x"}} {
		stdout, stderr, err = run(t, "", append([]string{"observe", "--once"}, args...)...)
		assert.Equal(t, exitCannotTell, err, args)
		assert.Empty(t, stdout)
		assert.NotEmpty(t, stderr)
		assert.NotContains(t, stderr, "s3cret")
	}
}

const outage = `{"at":"2024-05-20T14:29:59.750Z","latency_ms":3,"facts":{"leader":"db1:5432","timeline":"3"}}
{"at":"2024-05-20T14:30:00.000Z","latency_ms":3,"facts":{"leader":"db1:5432","timeline":"3"}}
{"at":"2024-05-20T14:30:05.000Z","latency_ms":4750,"hanging":true}
{"at":"2024-05-20T14:30:05.250Z","latency_ms":5000,"hanging":true}
{"at":"2024-05-20T14:30:06.000Z","latency_ms":1,"error":"connection refused","definite":true,"reason":"DB Connection Refused"}
{"at":"2024-05-20T14:30:10.000Z","latency_ms":3,"facts":{"leader":"db2:5432","timeline":"4"}}
{"at":"2024-05-20T14:30:10.250Z","latency_ms":3,"facts":{"leader":"db2:5432","timeline":"4"}}
{"at":"2024-05-20T14:30:20.250Z","latency_ms":3,"facts":{"leader":"db2:5432","timeline":"4"}}
`

func TestExplainTellsWhatSamplesWouldHaveLedTo(t *testing.T) {
	stdout, _, err := run(t, outage, "observe", "--explain", "--samples", "-", "--drain", "3s")
	require.NoError(t, err)
	_, decided, found := strings.Cut(stdout, "2s of dwell.\n")
	require.True(t, found, stdout)
	assert.Equal(t, `2024-05-20T14:30:00.000Z  orders-db  no verdict → HEALTHY  DB write latency normal  (3 ms, limit 1000 ms, 2 samples; leader db1:5432, timeline 3)
2024-05-20T14:30:00.000Z  orders-db  UNKNOWN → RECOVERING  epoch 2  DB write latency normal
2024-05-20T14:30:03.000Z  orders-db  RECOVERING → STABLE  epoch 3  Deferred backlog drained
2024-05-20T14:30:05.250Z  orders-db  HEALTHY → UNHEALTHY  DB Write Latency > 5000ms  (5000 ms, limit 5000 ms, 1 sample)
2024-05-20T14:30:05.250Z  orders-db  STABLE → UNSTABLE  epoch 4  DB Write Latency > 5000ms
2024-05-20T14:30:10.250Z  orders-db  UNHEALTHY → HEALTHY  DB Leader elected. Latency normal.  (3 ms, limit 1000 ms, 2 samples; leader db2:5432, timeline 4)
2024-05-20T14:30:12.250Z  orders-db  UNSTABLE → RECOVERING  epoch 5  DB Leader elected. Latency normal.
2024-05-20T14:30:15.250Z  orders-db  RECOVERING → STABLE  epoch 6  Deferred backlog drained

8 samples from 2024-05-20T14:29:59.750Z to 2024-05-20T14:30:20.250Z (20.5s)
  STABLE             7.25s   35.37 %
  RECOVERING            6s   29.27 %
  UNSTABLE              7s   34.15 %
  UNKNOWN            250ms    1.22 %
1 incident, 1 fall into UNSTABLE, 0 of them within the flap window of another
`, decided)

	stdout, _, err = run(t, outage, "observe", "--explain", "--samples", "-", "--dwell", "1m", "--format", "json")
	require.NoError(t, err)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	assert.Contains(t, lines[0], `"dwell_ms":60000`)
	assert.Contains(t, lines[len(lines)-1], `"incidents":1`)
	assert.NotContains(t, stdout, `"epoch":5`, "a dwell of a minute has not ended")
	for _, l := range lines {
		assert.True(t, json.Valid([]byte(l)), l)
	}

	_, _, err = run(t, outage+"{}\n", "observe", "--explain", "--samples", "-")
	require.ErrorContains(t, err, "line 9")
}

// saw is a sample of a healthy database at a time.
func saw(at time.Time, leader, timeline string) observer.Status {
	return observer.Status{At: at, Verdict: ltp.Healthy, Result: observer.ResultGood, Sample: observer.Sample{
		Latency: 3 * time.Millisecond, Facts: map[string]string{"leader": leader, "timeline": timeline},
	}}
}

func TestEveryChangeIsALine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out, logged bytes.Buffer
		v := newObserverView(&out, "orders-db", slog.New(slog.NewTextHandler(&logged, nil)))
		v.active(true)
		for range 241 { // a minute
			v.saw(saw(time.Now(), "db1:5432", "3"))
			time.Sleep(250 * time.Millisecond)
		}
		v.said(ltp.Observation{Verdict: ltp.Healthy, Reason: "DB write latency normal", At: time.Now(), Evidence: ltp.Evidence{
			LatencyMs: 3, ThresholdMs: 1000, Samples: 2, Facts: map[string]string{"leader": "db1:5432", "timeline": "3"},
		}})
		v.saw(saw(time.Now(), "db2:5432", "4"))
		v.said(ltp.Observation{Verdict: ltp.Unhealthy, Reason: "DB Is Read-Only", At: time.Now(), Evidence: ltp.Evidence{
			LatencyMs: 1, Samples: 1, Definite: true, Error: "ERROR: cannot\n\x1b[31mwrite",
		}})
		v.active(false)
		assert.Equal(t, `2000-01-01T00:00:00.000Z  orders-db  is observed from here
2000-01-01T00:01:00.250Z  orders-db  no verdict → HEALTHY  DB write latency normal  (3 ms, limit 1000 ms, 2 samples; leader db1:5432, timeline 3)
2000-01-01T00:01:00.250Z  orders-db  leader db1:5432 → db2:5432, timeline 3 → 4
2000-01-01T00:01:00.250Z  orders-db  HEALTHY → UNHEALTHY  DB Is Read-Only  (1 ms, 1 sample, definite; ERROR: cannot �[31mwrite)
2000-01-01T00:01:00.250Z  orders-db  is no longer observed from here
`, out.String())
		assert.Contains(t, logged.String(), "msg=samples component=orders-db verdict=HEALTHY p99_ms=3 good=241 slow=0 error=0 hung=0")
		assert.Contains(t, logged.String(), "msg=leader component=orders-db leader=db2:5432 leader_before=db1:5432 timeline=4 timeline_before=3")
		assert.Contains(t, logged.String(), "msg=verdict component=orders-db from=HEALTHY to=UNHEALTHY")
	})
}

func TestTheLiveLineStaysBelowWhatStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		v := newObserverView(&out, "orders-db", slog.New(slog.DiscardHandler))
		v.terminal = true
		now := ltp.Orientation{State: ltp.Stable, Epoch: 5}
		assert.Equal(t, "orders-db  stands by  STABLE epoch 5", v.line(now, time.Now()))
		v.active(true)
		for i := range 100 {
			s := saw(time.Now(), "db1:5432", "3")
			s.Sample.Latency = time.Duration(i+1) * time.Millisecond
			v.saw(s)
		}
		assert.Equal(t, "orders-db  active  no verdict yet  leader db1:5432, timeline 3  100 ms, p99 99 ms  STABLE epoch 5", v.line(now, time.Now()))
		v.said(ltp.Observation{Verdict: ltp.Healthy})
		v.saw(observer.Status{At: time.Now(), Sample: observer.Sample{Latency: 1250 * time.Millisecond, Hanging: true}})
		assert.Contains(t, v.line(now, time.Now()), "HEALTHY  leader db1:5432, timeline 3  hanging for 1250 ms, p99 99 ms")
		time.Sleep(2 * time.Minute)
		assert.Contains(t, v.line(now, time.Now()), "p99 0 ms", "of the last minute")

		out.Reset()
		v.paint(now, time.Now())
		v.stay("a line")
		v.paint(now, time.Now())
		line := v.line(now, time.Now())
		assert.Equal(t, "\r\x1b[K"+line+"\r\x1b[Ka line\n\r\x1b[K"+line, out.String())
	})
}

func TestARecordingIsContinuedAndNeverTorn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "samples.jsonl")
	at := time.Date(2024, 5, 20, 14, 30, 0, 0, time.UTC)
	for i := range 2 {
		r, err := openRecording(path)
		require.NoError(t, err)
		require.NoError(t, r.record(saw(at.Add(time.Duration(i)*time.Second), "db1", "3")))
		require.NoError(t, r.close())
	}
	file, err := os.Open(path)
	require.NoError(t, err)
	defer file.Close()
	n := 0
	for _, err := range observer.ReadRecording(file) {
		require.NoError(t, err)
		n++
	}
	assert.Equal(t, 2, n)

	require.NoError(t, os.WriteFile(path, []byte(`{"at":"2024-05-20T14:30:00.0`), 0o600))
	_, err = openRecording(path)
	require.ErrorContains(t, err, "ends within a line")
}

func TestAFailedRecordingIsToldOnce(t *testing.T) {
	r := &recording{to: observer.NewRecorder(fails{})}
	require.Error(t, r.record(saw(time.Now(), "db1", "3")))
	require.NoError(t, r.record(saw(time.Now(), "db1", "3")))
}

type fails struct{}

func (fails) Write([]byte) (int, error) { return 0, errors.New("disk full") }
