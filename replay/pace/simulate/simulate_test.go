package simulate

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/replay/pace"
)

func run(t *testing.T, scenario string, orders int64, policy Policy) Result {
	t.Helper()
	m, err := Scenario(scenario, orders)
	require.NoError(t, err)
	m.Policy = policy
	require.NoError(t, m.Validate())
	r, err := Run(t.Context(), m)
	require.NoError(t, err)
	require.True(t, r.Ended)
	return r
}

func TestAHealthyDatabaseIsGivenWhatTheCeilingAllows(t *testing.T) {
	r := run(t, "healthy", 10_000, Feedback)
	assert.Less(t, r.Cleared, 11*time.Second)
	assert.Less(t, r.P99, 30*time.Millisecond)
	assert.Zero(t, r.Falls)
}

func TestAColdDatabaseIsSpared(t *testing.T) {
	for _, orders := range []int64{1_500, 10_000} {
		with, without := run(t, "cold-cache", orders, Feedback), run(t, "cold-cache", orders, Fixed)
		assert.Less(t, 2*with.P50, without.P50)
		assert.Less(t, 2*with.P99, without.P99)
		assert.Less(t, with.Cleared, without.Cleared+without.Cleared/10, "and the backlog is cleared about as soon")
	}
}

// A database that fails above a rate is released to below it, because the rate of a fall
// is remembered.
func TestADatabaseThatFailsUnderLoadIsNotMadeToFailAgainAndAgain(t *testing.T) {
	with, forgetful, without := run(t, "relapse", 10_000, Feedback), run(t, "relapse", 10_000, Forgetful), run(t, "relapse", 10_000, Fixed)
	assert.LessOrEqual(t, with.Falls, 2)
	assert.LessOrEqual(t, with.IntoFailed, 2*with.Falls*pace.Default().InFlight, "those on their way, and some for those that gave no answer")
	assert.Less(t, 10*with.IntoFailed, forgetful.IntoFailed)
	assert.Less(t, 10*with.Cleared, forgetful.Cleared)
	assert.Less(t, 10*with.Cleared, without.Cleared)
}

func TestOrdersThatArriveMeanwhileJoin(t *testing.T) {
	r := run(t, "arrivals", 10_000, Feedback)
	assert.InDelta(t, 100*r.Drain.Seconds(), float64(r.Joined), 2)
	assert.Greater(t, r.Cleared, r.Drain, "they are released when the backlog is drained")
}

func TestMemoryDoesNotGrowWithTheBacklog(t *testing.T) {
	m, err := Scenario("cold-cache", 50_000)
	require.NoError(t, err)
	for _, m.Policy = range Policies {
		s := play(t.Context(), m)
		assert.Less(t, cap(s.heap), 4096)
		assert.Less(t, cap(s.pool), 8*slots)
		assert.LessOrEqual(t, len(s.series.steps), maxSteps)
	}
}

// Whatever happens, every order is executed in the end, and only once; what cannot be is
// counted as waiting.
func TestNoOrderIsLostOrMade(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, err := Scenario(rapid.SampledFrom(Scenarios).Draw(t, "scenario"), rapid.Int64Range(0, 1000).Draw(t, "orders"))
		require.NoError(t, err)
		m.Policy = rapid.SampledFrom(Policies).Draw(t, "policy")
		m.Arrivals = rapid.SampledFrom([]float64{0, 3, 200}).Draw(t, "arrivals")
		m.Limit = rapid.SampledFrom([]float64{0, 50}).Draw(t, "limit")
		m.Seed = rapid.Uint64().Draw(t, "seed")
		m.Longest = rapid.SampledFrom([]time.Duration{2 * time.Second, time.Hour}).Draw(t, "longest")
		d := &m.Database
		d.Connections = rapid.SampledFrom([]int{1, 16, 128}).Draw(t, "connections")
		d.Hangs = rapid.Bool().Draw(t, "hangs")
		d.Down = time.Duration(rapid.Int64Range(1, int64(40*time.Second)).Draw(t, "down"))
		for range rapid.IntRange(0, 3).Draw(t, "failures") {
			d.FailAt = append(d.FailAt, time.Duration(rapid.Int64Range(0, int64(20*time.Second)).Draw(t, "fails at")))
		}
		s := play(context.Background(), m)
		r := s.finish()
		s.arrived()
		assert.Equal(t, m.Orders+r.Joined+s.acted, r.Committed+s.waiting+s.joined+s.out+s.outNew)
		if r.Ended {
			assert.Zero(t, s.waiting+s.joined)
		}
		assert.LessOrEqual(t, r.Busy, d.Connections)
		assert.Zero(t, r.WhileUnfit)
	})
}

func TestTheSameModelGivesTheSameResult(t *testing.T) {
	m, err := Scenario("relapse", 3000)
	require.NoError(t, err)
	m.Arrivals = 20
	result := func(m Model) Result { return play(t.Context(), m).finish() }
	assert.Equal(t, result(m), result(m))
	other := m
	other.Seed++
	assert.NotEqual(t, result(m).Steps, result(other).Steps)
}

func TestASimulationCanBeStopped(t *testing.T) {
	m, err := Scenario("healthy", 1e9)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	_, err = Run(ctx, m)
	require.ErrorIs(t, err, context.Canceled)
}

func TestAFailureAtAMomentIsNoticedAndLivedThrough(t *testing.T) {
	for name, hangs := range map[string]bool{"refused": false, "hanging": true} {
		t.Run(name, func(t *testing.T) {
			m, err := Scenario("healthy", 5000)
			require.NoError(t, err)
			m.Database.FailAt, m.Database.Down, m.Database.Hangs = []time.Duration{2100 * time.Millisecond}, 20*time.Second, hangs
			r, err := Run(t.Context(), m)
			require.NoError(t, err)
			require.True(t, r.Ended)
			assert.Equal(t, 1, r.Failures)
			assert.Equal(t, 1, r.Falls)
			fall := r.States[1]
			assert.Equal(t, ltp.Unstable, fall.State)
			most := 300 * time.Millisecond
			if hangs {
				most = 5300 * time.Millisecond
			}
			assert.LessOrEqual(t, fall.At, 2100*time.Millisecond+most)
			assert.Positive(t, r.IntoFailed)
			assert.LessOrEqual(t, r.IntoFailed, 300)
		})
	}
}

func TestPicturesAreWellFormed(t *testing.T) {
	results := []Result{run(t, "relapse", 2000, Feedback), run(t, "relapse", 2000, Fixed), run(t, "arrivals", 10, Feedback)}
	var text, svg, table bytes.Buffer
	require.NoError(t, WriteText(&text, results, true))
	for _, c := range text.String() {
		require.Less(t, c, rune(128))
	}
	assert.Contains(t, text.String(), "|RRR")
	require.NoError(t, WriteTable(&table, results))
	assert.Equal(t, 4, strings.Count(table.String(), "\n"))
	require.NoError(t, WriteSVG(&svg, results))
	for d := xml.NewDecoder(&svg); ; {
		_, err := d.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
	}
	line, err := json.Marshal(results[0])
	require.NoError(t, err)
	var read map[string]any
	require.NoError(t, json.Unmarshal(line, &read))
	assert.InDelta(t, results[0].Cleared.Seconds()*1000, read["cleared_ms"], 0.001)
	assert.Len(t, read["series"].(map[string]any)["committed"], len(results[0].Steps))
}

func TestWhatCannotBeSimulatedIsNamed(t *testing.T) {
	_, err := Scenario("sunny", 1)
	require.ErrorContains(t, err, "use one of")
	m, err := Scenario("healthy", 1)
	require.NoError(t, err)
	for want, change := range map[string]func(*Model){
		"-1 orders":                  func(m *Model) { m.Orders = -1 },
		"a capacity of 0 writes":     func(m *Model) { m.Database.Capacity = 0 },
		"a rate of -3 orders":        func(m *Model) { m.Limit = -3 },
		`policy "none"`:              func(m *Model) { m.Policy = "none" },
		"start 200 does not lie":     func(m *Model) { m.Pace.Ceiling = 100 },
		"0 cores and 128 connection": func(m *Model) { m.Database.Cores = 0 },
	} {
		m := m
		change(&m)
		assert.ErrorContains(t, m.Validate(), want)
	}
}
