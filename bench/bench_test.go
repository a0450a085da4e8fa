package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp/internal/pglocal"
)

// TestBenchmarksCountWhatIsKnown runs all of them at a small size and holds what they
// count, and never how long anything took, against what is known of it.
func TestBenchmarksCountWhatIsKnown(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes more than a minute")
	}
	dir := t.TempDir()
	written := "# Benchmarks\n\nWritten by people.\n\n" + beginMark + "\nold\n" + endMark + "\n\n## What was found\n"
	require.NoError(t, os.WriteFile(filepath.Join(dir, "benchmarks.md"), []byte(written), 0o644))
	o, err := parse([]string{"--quick", "--out", dir})
	require.NoError(t, err)
	require.NoError(t, run(t.Context(), o, testWriter{t}))

	content, err := os.ReadFile(filepath.Join(dir, "benchmarks.json"))
	require.NoError(t, err)
	var p page
	require.NoError(t, json.Unmarshal(content, &p))
	require.Len(t, p.Results, len(benchmarks))
	for i, r := range p.Results {
		assert.Equal(t, i+1, r.Number)
		assert.Equal(t, benchmarks[i].name, r.Name)
		assert.NotEmpty(t, r.Commit)
		require.NotEmpty(t, r.Rounds, r.Name)
		for _, side := range r.Rounds[0].Order {
			assert.NotEmpty(t, r.Rounds[0].Sides[side], "%s, %s", r.Name, side)
			for key, v := range r.Rounds[0].Sides[side] {
				assert.Falsef(t, math.IsNaN(v) || math.IsInf(v, 0) || v < 0, "%s, %s, %s: %v", r.Name, side, key, v)
			}
		}
	}
	t.Run("an order stays within its budget", func(t *testing.T) {
		stable, drain := p.Results[0], p.Results[1]
		assert.LessOrEqual(t, stable.median(product, "events"), 8.0)
		assert.LessOrEqual(t, stable.median(product, "transitions"), 3.0)
		assert.Equal(t, 11.0, stable.median(bareSide, "events"))
		assert.Equal(t, 6.0, stable.median(bareLocal, "events"))
		assert.LessOrEqual(t, drain.median(product, "events"), 15.0)
		assert.LessOrEqual(t, drain.median(product, "transitions"), 5.0)
		assert.Greater(t, drain.median(bareSide, "events"), 11.0, "the signal is an event, too")
		assert.LessOrEqual(t, drain.median(bareUpdate, "events"), drain.median(product, "events"))
	})
	t.Run("rates are those of the orders that were run", func(t *testing.T) {
		for _, side := range admissionSides {
			assert.Positive(t, p.Results[2].median(side, "rate"), side)
		}
	})
	t.Run("the gate begins no write when the outage is known", func(t *testing.T) {
		outage := p.Results[3]
		assert.Zero(t, outage.median(withGate, "knowingly"))
		for _, side := range outageSides {
			assert.Equal(t, float64(quickSizes.outageOrders), outage.median(side, "executed"), side)
			assert.Zero(t, outage.median(side, "errors"), side)
		}
		for _, side := range []string{retriesCapped, retriesDefaults} {
			assert.GreaterOrEqual(t, outage.median(side, "attempts"), 1.0, side)
			assert.Greater(t, outage.median(side, "attempts"), outage.median(withGate, "attempts"), "%s: retries hammer", side)
		}
	})
	t.Run("the server is asked what it must be asked", func(t *testing.T) {
		for side, release := range map[string]string{
			product: "UpdateWorkflowExecution", bareSide: "SignalWorkflowExecution", bareUpdate: "UpdateWorkflowExecution",
		} {
			f := p.Results[5].Rounds[0].Sides[side]
			assert.InDelta(t, 1, f["frontend "+release], 0.2, side)
			assert.GreaterOrEqual(t, f["store"], 1.0, side)
		}
	})
	t.Run("the page keeps what people wrote, and has every table", func(t *testing.T) {
		page, err := os.ReadFile(filepath.Join(dir, "benchmarks.md"))
		require.NoError(t, err)
		assert.Contains(t, string(page), "Written by people.")
		assert.Contains(t, string(page), "## What was found")
		assert.NotContains(t, string(page), "old")
		for _, bm := range benchmarks {
			assert.Contains(t, string(page), ". "+bm.title+"\n")
		}
		assert.NotContains(t, string(page), "NaN")
	})
	t.Run("the picture is one", func(t *testing.T) {
		svg, err := os.ReadFile(filepath.Join(dir, "images", "benchmarks.svg"))
		require.NoError(t, err)
		wellFormed(t, svg)
		assert.Equal(t, 10, bytes.Count(svg, []byte(`class="good"`)), "one bar for each ratio")
	})
}

// TestBenchmarksOnPostgres: the counts of an order are those on SQLite, and nothing is written.
func TestBenchmarksOnPostgres(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes half a minute")
	}
	if _, err := pglocal.Binaries(); err != nil {
		t.Skip(err)
	}
	o, err := parse([]string{"--quick", "--only", "1", "--temporal", "postgres", "--workers", "2"})
	require.NoError(t, err)
	assert.Empty(t, o.out, "the page in docs is of the default")
	o.out = t.TempDir()
	require.NoError(t, run(t.Context(), o, testWriter{t}))
	content, err := os.ReadFile(filepath.Join(o.out, "benchmarks.json"))
	require.NoError(t, err)
	var p page
	require.NoError(t, json.Unmarshal(content, &p))
	require.Len(t, p.Results, 1)
	assert.LessOrEqual(t, p.Results[0].median(product, "events"), 8.0)
	assert.LessOrEqual(t, p.Results[0].median(product, "transitions"), 3.0)
	assert.Equal(t, 6.0, p.Results[0].median(bareLocal, "events"))
}

func wellFormed(t *testing.T, document []byte) {
	t.Helper()
	for d := xml.NewDecoder(bytes.NewReader(document)); ; {
		_, err := d.Token()
		if errors.Is(err, io.EOF) {
			return
		}
		require.NoError(t, err)
	}
}

// result is one with these figures of rate, a pair for each round.
func result(pairs ...[2]float64) Result {
	r := Result{Number: 1}
	for _, p := range pairs {
		r.Rounds = append(r.Rounds, Round{Sides: map[string]Figures{"product": {"rate": p[0]}, "bare": {"rate": p[1]}}})
	}
	return r
}

func TestRatiosAreOfRounds(t *testing.T) {
	rate := measure{key: "rate", label: "orders/s", more: true}
	r := result([2]float64{50, 100}, [2]float64{300, 300}, [2]float64{90, 100})
	assert.Equal(t, 90.0, r.median("product", "rate"))
	assert.Equal(t, []float64{0.5, 1, 0.9}, r.ratios(rate, "product", "bare"))
	assert.True(t, r.atLeast(rate, "product", "bare", 0.9).Held)
	assert.False(t, r.atLeast(rate, "product", "bare", 0.95).Held)
	less := rate
	less.more = false
	assert.Equal(t, []float64{2, 1, 100.0 / 90}, r.ratios(less, "product", "bare"), "less is better: above 1 is still better")
	assert.Equal(t, "UNKNOWN", Result{Number: 1}.atLeast(rate, "product", "bare", 1).verdict())
	assert.True(t, r.atMostOf(less, "product", "bare", 0.9).Held, "0.5, 1 and 0.9 of it")
	assert.False(t, r.atMostOf(less, "product", "bare", 0.8).Held)
	r.Quick = true
	assert.Equal(t, "UNKNOWN", r.atLeast(rate, "product", "bare", 0.5).verdict(), "a quick run reaches nothing")
}

func TestMedianAndPercentileAreOfTheSortedTimes(t *testing.T) {
	assert.True(t, math.IsNaN(median(nil)))
	assert.Equal(t, 2.0, median([]float64{3, 1, 2}))
	assert.Equal(t, 2.5, median([]float64{4, 1, 2, 3}))
	took := []time.Duration{3 * time.Millisecond, time.Millisecond, 2 * time.Millisecond}
	assert.Equal(t, 3.0, percentileMs(took, 0.99))
	assert.Equal(t, 2.0, percentileMs(took, 0.5))
	assert.Equal(t, 1.0, percentileMs(took, 0.01))
}

func TestPageKeepsOtherBenchmarks(t *testing.T) {
	p := &page{}
	p.put(Result{Number: 3, Command: "old"})
	p.put(Result{Number: 1})
	p.put(Result{Number: 3, Command: "new"})
	require.Len(t, p.Results, 2)
	assert.Equal(t, "new", p.Results[1].Command)
}

func TestPageKeepsWhatPeopleWrote(t *testing.T) {
	assert.Equal(t, "# Benchmarks\n\n"+beginMark+"\nnew\n"+endMark+"\n", merge("", "new\n"), "a page that is not there")
	once := merge("before\n"+beginMark+"\nold\n"+endMark+"\nafter\n", "new\n")
	assert.Equal(t, "before\n"+beginMark+"\nnew\n"+endMark+"\nafter\n", once)
	assert.Equal(t, once, merge(once, "new\n"))
}

func TestNumbersAreReadable(t *testing.T) {
	for want, v := range map[string]float64{"0": 0, "999": 999, "1,500": 1500, "24,000": 24000, "1,234,567": 1234567, "-1,500": -1500, "": math.NaN()} {
		assert.Equal(t, want, number(v, 0))
	}
	assert.Equal(t, "1,500.25", number(1500.25, 2))
}

func TestLabelOfAMetricIsFoundByItsName(t *testing.T) {
	const labels = `namespace="default",operation="SignalWorkflowExecution",service_name="frontend"`
	assert.Equal(t, "SignalWorkflowExecution", label(labels, "operation"))
	assert.Equal(t, "frontend", label(labels, "service_name"))
	assert.Equal(t, "default", label(labels, "namespace"))
	assert.Empty(t, label(labels, "name"))
}

func TestFlagsThatCannotWorkAreRefused(t *testing.T) {
	for _, args := range [][]string{{"--only", "7"}, {"--only", "x"}, {"--rounds", "0"}, {"--in-flight", "0"}, {"--in-flight", "32,x"}, {"more"}} {
		_, err := parse(args)
		assert.Error(t, err, strings.Join(args, " "))
	}
	o, err := parse([]string{"--only", "1,3", "--in-flight", "32, 64"})
	require.NoError(t, err)
	assert.Equal(t, []int{1, 3}, o.only)
	assert.Equal(t, []int{32, 64}, o.inFlight)
	assert.Equal(t, 5, o.rounds)
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(strings.TrimRight(string(p), "\n"))
	return len(p), nil
}

// TestReadmeHasTheFiguresInShort: what stands outside the marks is kept, and a README
// without marks is not written to.
func TestReadmeHasTheFiguresInShort(t *testing.T) {
	dir := t.TempDir()
	readme := filepath.Join(dir, "README.md")
	p := &page{dir: dir, readme: readme, Results: []Result{
		{Number: 1, Name: "stable", Setting: "some orders", Commit: "c0ffee", Rounds: []Round{{Sides: map[string]Figures{
			product: {"rate": 150}, bareSide: {"rate": 100}, bareLocal: {"rate": 160},
		}}}},
		{Number: 2, Name: "drain", Setting: "fewer", Quick: true},
	}}
	report := filepath.Join(dir, "demo.json")
	require.NoError(t, os.WriteFile(report, []byte(`{"orders": {"submitted": 1966, "deferred": 1533}, "recovery": {"drain_ms": 4321},
		"api": {"outage": {"accept_p50_ms": 4, "accept_p99_ms": 47.31}}}`), 0o644))
	var err error
	p.Demo, err = readDemo(t.Context(), report)
	require.NoError(t, err)

	require.NoError(t, os.WriteFile(readme, []byte("# Mine\n"), 0o644))
	require.ErrorContains(t, p.save(), "has no place for figures")
	require.NoError(t, os.WriteFile(readme, []byte("# Mine\n"+beginMark+"\nold\n"+endMark+"\nmore\n"), 0o644))
	require.NoError(t, p.save())
	content, err := os.ReadFile(readme)
	require.NoError(t, err)
	for _, want := range []string{
		"# Mine\n" + beginMark, endMark + "\nmore\n",
		"| 1,966 · 0 · 0 · 0 |", "(1,533 orders) | 4,321 ms |", "during the outage | 4.0 ms · 47.3 ms |",
		"**STABLE**: 1.50 of the throughput of bare", "0.94 of bare with a local activity",
		"`make bench` at commit c0ffee", "Aims that were missed", "STABLE path: orders/s, product: 1.50 of bare (aim 1.80",
	} {
		assert.Contains(t, string(content), want)
	}
	assert.NotContains(t, string(content), "old")
	assert.NotContains(t, string(content), "A drain of", "a quick run says nothing")

	_, err = readDemo(t.Context(), filepath.Join(dir, "benchmarks.json"))
	assert.ErrorContains(t, err, "not what ltp demo --format json prints")
}
