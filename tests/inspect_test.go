package tests

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// inspect starts ltp inspect against the rig's Temporal.
func (r *rig) inspect(args ...string) *process {
	r.T.Helper()
	return r.Command(append([]string{"inspect"}, args...)...)
}

// shows is what ltp inspect prints; it must end well.
func (r *rig) shows(args ...string) string {
	r.T.Helper()
	p := r.inspect(args...)
	require.Zerof(r.T, p.Wait(), "%s\n%s", p, p.Stderr.String())
	return p.Stdout.String()
}

// refuses is what ltp inspect says when it cannot do what is asked.
func (r *rig) refuses(args ...string) string {
	r.T.Helper()
	p := r.inspect(args...)
	assert.Equal(r.T, 1, p.Wait(), p)
	assert.Empty(r.T, p.Stdout.String(), p)
	return p.Stderr.String()
}

// frames are the lines of JSON, which are numbered from 1 and in order of time; an answer
// stands behind its request.
func frames(t *testing.T, lines string) (all []trace.Numbered) {
	t.Helper()
	var last time.Time
	for line := range strings.Lines(lines) {
		var f trace.Numbered
		require.NoError(t, json.Unmarshal([]byte(line), &f), line)
		switch {
		case f.Response != nil:
			assert.Equal(t, all[len(all)-1].ID, f.Response.RequestFrameID, line)
		case f.At.Before(last):
			assert.Fail(t, "it comes too late", line)
		default:
			last = f.At
		}
		all = append(all, f)
		assert.Equal(t, len(all), f.No)
	}
	return all
}

// TestAnIncidentIsShownLiveAfterwardsAndWithoutWorkers looks at one incident in every way, while it goes on, afterwards, and
// with every worker down.
func TestAnIncidentIsShownLiveAfterwardsAndWithoutWorkers(t *testing.T) {
	r := newRig(t)
	assert.Contains(t, r.refuses(), "start a worker or an observer")

	n := r.up(r.config())
	r.Until(n.Board, ltp.Stable)
	live := r.inspect("--follow", "--all")
	live.Says(&live.Stderr, `orders-db is STABLE.* Ctrl-C ends`)
	r.Submit("A1")
	r.Ended("A1")
	live.Says(&live.Stdout, `order A1 [^\n]*\n[^\n]*EXECUTE OK(\n[^\n]*)+→ EXECUTED in`)

	end := r.Outage()
	r.Until(n.Board, ltp.Unstable)
	live.Says(&live.Stdout, `STABLE ──▶ UNSTABLE`)
	r.Decided(r.Submit("A2"))
	live.Says(&live.Stdout, `order A2 [^\n]*\n[^\n]*DEFER SYSTEM_UNSTABLE`)
	assert.Contains(t, r.shows(), "ONGOING")
	ofOrder := r.inspect("A2", "--follow", "--format", "jsonl")
	ofOrder.Says(&ofOrder.Stdout, `"decision":"DEFER"`)
	for i := range 20 {
		r.Decided(r.Submit(fmt.Sprintf("B%02d", i)))
	}
	end()
	r.Ended("A2")
	assert.Zero(t, ofOrder.Wait(), "it ends with its order: %s", ofOrder.Stderr.String())
	assert.Contains(t, ofOrder.Stdout.String(), `"decision":"EXECUTE"`)
	for i := range 20 {
		r.Ended(fmt.Sprintf("B%02d", i))
	}
	live.Says(&live.Stdout, `order A2 [^\n]*\n[^\n]*replays #\d+ \(frame A2/1\)`)
	r.Until(n.Board, ltp.Stable)
	live.Says(&live.Stdout, `RECOVERING ──▶ STABLE`)
	live.Interrupt()
	assert.Zero(t, live.Cmd.ProcessState.ExitCode(), "Ctrl-C is a good end: %s", live.Stderr.String())

	n.Stop() // nobody works any more, and it is all there
	r.listsIncidents()
	r.choosesIncidents()
	r.choosesTimes()
	r.showsFrames()
	assert.NotContains(t, r.shows(), "\x1b[", "no colour where there is no terminal")
}

func (r *rig) listsIncidents() {
	r.T.Helper()
	var listed []trace.IncidentSummary
	require.NoError(r.T, json.Unmarshal([]byte(r.shows("--incidents", "--format", "json")), &listed))
	require.Len(r.T, listed, 2)
	assert.Equal(r.T, 1, listed[0].No)
	assert.True(r.T, listed[0].StartUp)
	assert.Equal(r.T, 2, listed[1].No)
	assert.Equal(r.T, ltp.Unstable, listed[1].Worst)
	assert.Equal(r.T, []ltp.State{ltp.Stable, ltp.Unstable, ltp.Recovering, ltp.Stable}, listed[1].States)
	assert.Positive(r.T, listed[1].DurationMs)
	assert.Len(r.T, strings.Split(strings.TrimSpace(r.shows("--incidents", "--format", "jsonl")), "\n"), 2)
	text := r.shows("--incidents")
	assert.Contains(r.T, text, "start-up")
	assert.Contains(r.T, text, listed[1].Reason)
}

func (r *rig) choosesIncidents() {
	r.T.Helper()
	assert.Equal(r.T, r.shows("--incident", "2"), r.shows(), "the last outage is shown where none is named")
	assert.Contains(r.T, r.shows("--incident", "1"), "Start-up of orders-db")
	assert.Contains(r.T, r.refuses("--incident", "3"), "there are 1 to 2")
	assert.Contains(r.T, r.refuses("--incident", "-1"), "numbered from 1")
	assert.Contains(r.T, r.refuses("--component", "payments"), "there is orders-db")
	assert.Contains(r.T, r.refuses("A2", "--incident", "1"), "does not go with an order")
	assert.Contains(r.T, r.refuses("--follow", "--format", "json"), "jsonl")

	folded, all := r.shows(), r.shows("--all")
	assert.Regexp(r.T, `⋮ \d+ more like #`, folded)
	assert.Less(r.T, strings.Count(folded, "order B"), 20)
	assert.NotContains(r.T, all, "⋮")
	for i := range 20 {
		assert.Contains(r.T, all, fmt.Sprintf("order B%02d ", i))
	}
}

func (r *rig) choosesTimes() {
	r.T.Helper()
	outage := r.outageOf()
	from, to := outage.BeganAt, outage.EndedAt
	text := r.shows("--since", "1h")
	assert.Contains(r.T, text, "order A1 ")
	assert.NotContains(r.T, text, "What is missing")
	during := r.shows("--since", from.Format(time.RFC3339Nano), "--until", to.Format(time.RFC3339Nano))
	assert.NotContains(r.T, during, "order A1 ", "it came before")
	assert.Contains(r.T, during, "order A2 ")
	assert.Contains(r.T, r.shows("--since", "400d"), "Temporal keeps what has ended for", "what retention took is said")
	assert.Contains(r.T, r.refuses("--since", "2h", "--until", "3h"), "is not after")
	assert.Contains(r.T, r.refuses("--until", "2h"), "--since")
	assert.Contains(r.T, r.refuses("--since", "yesterday"), "2h or 3d")
	assert.Contains(r.T, r.refuses("--since", "2999-01-01T00:00:00Z"), "has not come")
}

func (r *rig) outageOf() trace.Incident {
	r.T.Helper()
	o, err := r.Reader().Orientation(r.Ctx, ltp.DefaultComponent)
	require.NoError(r.T, err)
	outage, err := trace.Choose(trace.Incidents(o), 0)
	require.NoError(r.T, err)
	return outage
}

func (r *rig) showsFrames() {
	r.T.Helper()
	lines := frames(r.T, r.shows("--format", "jsonl"))
	var whole trace.Timeline
	require.NoError(r.T, json.Unmarshal([]byte(r.shows("--format", "json")), &whole))
	assert.Equal(r.T, whole.Frames(), lines, "the stream has the frames of the document")
	assert.Equal(r.T, 21, whole.Tally.Deferred)
	decisions := map[ltp.Decision]int{}
	for _, f := range lines {
		if f.Response != nil {
			decisions[f.Response.Decision]++
		}
	}
	assert.GreaterOrEqual(r.T, decisions[ltp.Defer], 21)
	assert.GreaterOrEqual(r.T, decisions[ltp.Execute], 22)
	assert.Contains(r.T, r.shows("A2"), "deferred for SYSTEM_UNSTABLE")
}
