package tests

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/tests/child"
	"github.com/ltp-node/ltp/tests/harness"
)

// terminal is where somebody types ltp commands: one state directory.
type terminal struct {
	t        *testing.T
	stateDir string
	env      []string
}

func newTerminal(t *testing.T) *terminal {
	return &terminal{t: t, stateDir: filepath.Join(t.TempDir(), "state"), env: child.Environment(t)}
}

func (c *terminal) start(args ...string) *process {
	c.t.Helper()
	return launch(c.t, c.env, harness.Binary(c.t), append(args, "--state-dir", c.stateDir)...)
}

// run runs a command to its end, which must be good, and returns what it printed.
func (c *terminal) run(args ...string) string {
	c.t.Helper()
	p := c.start(args...)
	require.Zerof(c.t, p.Wait(), "%s\n%s", p, p.Stderr.String())
	return p.Stdout.String()
}

// completes is what the shell is given for a line whose last word is begun.
func (c *terminal) completes(line ...string) string {
	c.t.Helper()
	p := launch(c.t, c.env, harness.Binary(c.t), append([]string{"__complete", "--state-dir", c.stateDir}, line...)...)
	require.Zero(c.t, p.Wait(), p)
	return p.Stdout.String()
}

// refused runs a command that must fail, and returns what it says to a person.
func (c *terminal) refused(args ...string) string {
	c.t.Helper()
	p := c.start(args...)
	assert.Equal(c.t, 1, p.Wait(), p)
	assert.Empty(c.t, p.Stdout.String(), p)
	said := p.Stderr.String()
	assert.Regexp(c.t, `(?m)^ltp: .+$`, said, p)
	assert.NotContains(c.t, said, "goroutine ", p)
	assert.NotContains(c.t, said, "Usage:", p)
	return said
}

// status runs a command that prints where an order is.
func (c *terminal) status(args ...string) (st starter.Status) {
	c.t.Helper()
	require.NoError(c.t, json.Unmarshal([]byte(c.run(append(args, "--format", "json")...)), &st))
	return st
}

func (c *terminal) orientation(args ...string) (o ltp.Orientation) {
	c.t.Helper()
	require.NoError(c.t, json.Unmarshal([]byte(c.run(append(append([]string{"orientation"}, args...), "--format", "json")...)), &o))
	return o
}

// file is an order in a file.
func (c *terminal) file(id string) string {
	path := filepath.Join(c.t.TempDir(), id+".json")
	require.NoError(c.t, os.WriteFile(path, []byte(ordertest.JSON(id)), 0o600))
	return path
}

// deserted checks that no process, neither ours nor the server's, uses the state
// directory any more.
func (c *terminal) deserted() {
	c.t.Helper()
	for _, name := range []string{"lock", "server.lock"} {
		file, err := os.Open(filepath.Join(c.stateDir, name))
		require.NoError(c.t, err)
		assert.NoErrorf(c.t, syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB), "somebody still has %s", name)
		require.NoError(c.t, file.Close())
	}
}

// TestATerminalSessionSubmitsFollowsAndLooksBack is a session at a terminal: ltp dev in one window, the rest in
// another, and a look back after ltp dev has ended.
func TestATerminalSessionSubmitsFollowsAndLooksBack(t *testing.T) {
	c := newTerminal(t)
	assert.Contains(t, c.refused("orders", "get", "A1"), "ltp dev", "there is nothing yet, and it says what to do")

	dev := c.start("dev", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ui-port", "0", "--dwell", "300ms")
	api := dev.Says(&dev.Stdout, `Order API\s+(http://\S+)`)[1]
	admin := dev.Says(&dev.Stdout, `Operators\s+(http://\S+)`)[1]
	ui := dev.Says(&dev.Stdout, `Temporal UI\s+(http://\S+)`)[1]
	dev.Says(&dev.Stdout, `orientation release( --state-dir .+)? --why`)
	page, err := http.Get(ui)
	require.NoError(t, err)
	require.NoError(t, page.Body.Close())
	assert.Equal(t, http.StatusOK, page.StatusCode, "Temporal UI is there")
	assert.Contains(t, c.refused("demo", "--exit"), "ltp dev", "the state directory is in use, and it says by what")

	require.Eventually(t, func() bool { return c.orientation("get").State == ltp.Stable }, patience, 100*time.Millisecond)

	// An order is executed at once.
	assert.Equal(t, ltp.Executed, c.status("orders", "submit", "-f", c.file("A1"), "--wait", "1m").State)
	response, body := do(t, "GET", api+"/orders/A1", "", nil)
	assert.Equal(t, http.StatusOK, response.StatusCode)
	assert.Equal(t, "EXECUTED", body["state"], "the API says the same")

	// A hold needs a reason; then orders wait.
	assert.Contains(t, c.refused("orientation", "hold"), "--why")
	assert.Contains(t, c.refused("orientation", "release"), "--why")
	held := c.orientation("hold", "--why", "schema migration", "--by", "ann")
	assert.Equal(t, ltp.Unstable, held.State)
	require.NotNil(t, held.Hold)
	assert.Equal(t, "ann", held.Hold.By)
	require.Eventually(t, func() bool {
		_, body := look(t, admin+"/orientation/"+ltp.DefaultComponent)
		return body["state"] == "UNSTABLE" // the worker's board has read it
	}, patience, 20*time.Millisecond)
	st := c.status("orders", "submit", "-f", c.file("A2"), "--wait", "1m")
	assert.Equal(t, ltp.Deferred, st.State)
	assert.Equal(t, ltp.Commitment, st.Commitment)
	assert.Equal(t, ltp.Deferred, c.status("orders", "submit", "-f", c.file("A3"), "--wait", "1m").State)
	assert.Equal(t, ltp.Deferred, c.status("orders", "get", "A3").State)

	// The shell completes what there is.
	require.Eventually(t, func() bool { return strings.Contains(c.completes("orders", "release", "A"), "A3\tDEFERRED") }, patience, 100*time.Millisecond)
	assert.NotContains(t, c.completes("orders", "release", "A"), "A1", "it has ended")
	assert.Contains(t, c.completes("orders", "get", ""), "A1\tEXECUTED")
	assert.NotContains(t, c.completes("orders", "cancel", ""), "A1", "it has ended")
	assert.NotContains(t, c.completes("orders", "cancel", "A3", ""), "A3", "it was named")
	assert.Contains(t, c.completes("orientation", "hold", "--component", ""), ltp.DefaultComponent)
	assert.Regexp(t, `(?m)^\d+\t.* UNSTABLE$`, c.completes("inspect", "--incident", ""))

	// One is cancelled; who asks for what is not there reads so.
	assert.Contains(t, c.run("orders", "cancel", "A3"), "A3")
	require.Eventually(t, func() bool { return c.status("orders", "get", "A3").State == ltp.Cancelled }, patience, 100*time.Millisecond)
	assert.Contains(t, c.refused("orders", "cancel", "A3"), "has ended")
	assert.Contains(t, c.refused("orders", "get", "B9"), "no such order: B9")
	assert.Contains(t, c.refused("orders", "cancel", "B9"), "no such order: B9")
	assert.Contains(t, c.refused("inspect", "B9"), "no order B9")
	assert.Contains(t, c.refused("orientation", "get", "payments"), "no such component: payments")
	assert.Contains(t, c.refused("orders", "list", "--state", "LOST"), "DEFERRED")
	assert.Contains(t, c.refused("inspect", "--format", "xml"), "jsonl")

	released := c.orientation("release", "--why", "done", "--by", "bob")
	assert.Equal(t, ltp.Recovering, released.State)
	require.Eventually(t, func() bool { return c.status("orders", "get", "A2").State == ltp.Executed }, patience, 100*time.Millisecond)
	assert.Contains(t, c.refused("orientation", "release", "--why", "again"), "not held")
	require.Eventually(t, func() bool { return c.orientation("get").State == ltp.Stable }, patience, 100*time.Millisecond)

	require.Eventually(t, func() bool { return len(c.listed("EXECUTED")) == 2 }, patience, 100*time.Millisecond)
	assert.ElementsMatch(t, []string{"A1", "A2"}, c.listed("EXECUTED"))
	assert.ElementsMatch(t, []string{"A3"}, c.listed("CANCELLED"))
	assert.Contains(t, c.run("orders", "list"), "A2")
	during := c.looksBack()

	dev.Interrupt()
	assert.Zero(t, dev.Cmd.ProcessState.ExitCode(), "Ctrl-C is a good end: %s", dev.Stderr.String())
	c.deserted()

	// Afterwards everything is still there; whoever looks starts the server on the
	// data, and stops it.
	assert.Equal(t, during, c.looksBack(), "the same story")
	assert.Equal(t, ltp.Executed, c.status("orders", "get", "A2").State)
	assert.Contains(t, c.refused("inspect", "B9"), "no order B9")
	assert.Equal(t, ltp.Unknown, c.orientation("get").State, "nobody observes")
	c.deserted()
}

// listed are the IDs that a listing shows.
func (c *terminal) listed(state string) (ids []string) {
	c.t.Helper()
	for line := range strings.Lines(c.run("orders", "list", "--format", "json", "--state", state)) {
		var st starter.Status
		require.NoError(c.t, json.Unmarshal([]byte(line), &st))
		ids = append(ids, st.OrderID)
	}
	return ids
}

// looksBack inspects the incident and an order of it, and returns their frames.
func (c *terminal) looksBack() (frames string) {
	c.t.Helper()
	timeline := c.run("inspect")
	for _, expected := range []string{"UNSTABLE", "RECOVERING", "STABLE", "schema migration", "ann"} {
		assert.Contains(c.t, timeline, expected)
	}
	story := c.run("inspect", "A2")
	for _, expected := range []string{"A2", "DEFER", string(ltp.ReasonUnstable), "EXECUTE"} {
		assert.Contains(c.t, story, expected)
	}
	assert.NotContains(c.t, story, "\x1b[", "no colour where there is no terminal")
	frames = c.run("inspect", "A2", "--format", "jsonl")
	var last ltp.Frame
	for line := range strings.Lines(frames) {
		require.NoError(c.t, json.Unmarshal([]byte(line), &last))
	}
	require.NotNil(c.t, last.Response)
	assert.True(c.t, last.Response.Admissible)
	return frames
}

// TestKilledDevLeavesItsDataInOrder: whoever comes next finds what was accepted, and
// no process of the one that was killed.
func TestKilledDevLeavesItsDataInOrder(t *testing.T) {
	c := newTerminal(t)
	dev := c.start("dev", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ui-port", "0")
	dev.Says(&dev.Stdout, `orientation release( --state-dir .+)? --why`)
	c.status("orders", "submit", "-f", c.file("K1"))
	dev.Kill()
	assert.Equal(t, "K1", c.status("orders", "get", "K1").OrderID)
	c.deserted()
	again := c.start("dev", "--api", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--ui-port", "0")
	again.Says(&again.Stdout, `orientation release( --state-dir .+)? --why`)
	require.Eventually(t, func() bool { return c.status("orders", "get", "K1").State == ltp.Executed }, patience, 100*time.Millisecond)
}

// TestDemoEndsWellOnlyIfEveryGuaranteeHeld: ltp demo --format json prints the contract and nothing else, and ends well
// only if every guarantee held.
func TestDemoEndsWellOnlyIfEveryGuaranteeHeld(t *testing.T) {
	c := newTerminal(t)
	demo := c.start("demo", "--format", "json", "--exit", "--orders", "60", "--outage", "9s", "--ui-port", "0")
	assert.Zero(t, demo.Wait(), demo.Stderr.String())

	out := json.NewDecoder(strings.NewReader(demo.Stdout.String()))
	var report map[string]any
	require.NoError(t, out.Decode(&report))
	require.ErrorIs(t, out.Decode(&struct{}{}), io.EOF, "exactly one JSON object")
	for key, fields := range map[string][]string{
		"orders":   {"submitted", "accepted", "errors", "deferred", "executed", "rejected", "cancelled", "expired", "pending"},
		"order_db": {"rows", "duplicates", "missing", "writes_begun_while_unfit", "writes_under_way"},
		"outage":   {"fault", "begins", "ends", "began_at", "ended_at", "detected_after_ms"},
		"recovery": {"recovering_at", "first_commit_at", "last_commit_at", "drain_ms", "stable_at"},
		"cost":     {"stable", "deferred"},
		"api":      {"stable", "outage", "recovery", "resolution"},
	} {
		for _, field := range fields {
			assert.Contains(t, report[key], field, key)
		}
	}
	orders, db := report["orders"].(map[string]any), report["order_db"].(map[string]any)
	assert.Zero(t, orders["errors"])
	assert.Zero(t, orders["pending"])
	assert.Equal(t, orders["accepted"], orders["executed"])
	assert.Equal(t, orders["executed"], db["rows"])
	assert.Zero(t, db["duplicates"])
	assert.Zero(t, db["missing"])
	assert.Zero(t, db["writes_begun_while_unfit"])
	var states []any
	for _, transition := range report["timeline"].([]any) {
		states = append(states, transition.(map[string]any)["state"])
	}
	assert.Subset(t, states, []any{"STABLE", "UNSTABLE", "RECOVERING"})
	assert.Equal(t, "STABLE", states[len(states)-1])
	c.deserted()
	assert.Contains(t, c.run("inspect"), "UNSTABLE", "the incident can be looked at afterwards")
	c.deserted()
}
