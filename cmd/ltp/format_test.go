package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/starter"
)

// withoutFormat are the commands that show no result, or a text that is no document.
var withoutFormat = map[string]string{
	"ltp dev": "runs", "ltp worker": "runs", "ltp api": "runs", "ltp codec": "runs",
	"ltp man": "writes pages", "ltp payload-key": "prints a line of a file of keys",
}

func TestEveryCommandThatShowsAResultHasAFormat(t *testing.T) {
	var walk func(*cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, sub := range cmd.Commands() {
			walk(sub)
		}
		path := cmd.CommandPath()
		if cmd.HasSubCommands() || !cmd.Runnable() || cmd.Name() == "help" || strings.HasPrefix(path, "ltp completion") {
			return
		}
		f := cmd.Flags().Lookup("format")
		if why := withoutFormat[path]; why != "" {
			assert.Nil(t, f, "%s %s", path, why)
			return
		}
		if assert.NotNil(t, f, path) {
			as, ok := f.Value.(*format)
			require.True(t, ok, path)
			assert.Contains(t, f.Usage, as.choice(), path)
			assert.Equal(t, "human", f.DefValue, path)
		}
	}
	walk(root())
}

func TestAFormatThatIsNoneIsRefused(t *testing.T) {
	for command, choice := range map[string]string{
		"orders get A1": "use human or json", "inspect": "use human, json or jsonl", "version": "use human or json",
	} {
		_, _, err := run(t, "", append(strings.Fields(command), "--format", "xml")...)
		assert.ErrorContains(t, err, choice, command)
	}
}

func TestWhatIsMadeIsPrintedAsJSON(t *testing.T) {
	dir := t.TempDir()
	for command, field := range map[string]string{
		"setup --orders-db " + dir + "/o.db":                                 "made",
		"trace keygen --key " + dir + "/trace.key":                           "public_key",
		"keys create --keys " + dir + "/api.keys --role support --name desk": "secret",
		"webhooks secret --ed25519":                                          "public_key",
		"version":                                                            "go",
	} {
		out, _, err := run(t, "", append(strings.Fields(command), "--format", "json")...)
		require.NoError(t, err, command)
		var made map[string]any
		require.NoError(t, json.Unmarshal([]byte(out), &made), command)
		assert.NotEmpty(t, made[field], command)
	}
}

func TestAnOrderIsShownToPeople(t *testing.T) {
	at := time.Date(2030, 1, 31, 14, 30, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		st   starter.Status
		want string
	}{
		"executed": {starter.Status{OrderID: "A1", State: ltp.Executed, Message: "Order Confirmed", AcceptedAt: at, EndedAt: at.Add(time.Second),
			Receipt: &ltp.Receipt{Worker: "host/7", CommittedAt: at.Add(time.Second), Fence: ltp.Fence{Component: "orders-db", State: ltp.Stable, Epoch: 4}}}, `
A1 is EXECUTED: Order Confirmed
  accepted    2030-01-31 14:30:00.000 UTC
  committed   2030-01-31 14:30:01.000 UTC
  written by  host/7, under epoch 4 of orders-db (STABLE)
  ended       2030-01-31 14:30:01.000 UTC
`},
		"deferred": {starter.Status{OrderID: "A2", State: ltp.Deferred, Message: "Order Received - Pending Confirmation", Reason: ltp.ReasonUnstable, Component: "orders-db", Epoch: 5, AcceptedAt: at,
			Priority: 2, CancelRequested: true, Backlog: &ltp.Place{Ahead: 14, ExpectedAt: at.Add(time.Minute)}}, `
A2 is DEFERRED: Order Received - Pending Confirmation
  accepted   2030-01-31 14:30:00.000 UTC
  waits for  orders-db: SYSTEM_UNSTABLE, epoch 5
  place      14 orders of its tenant before it
  expected   2030-01-31 14:31:00.000 UTC
  priority   2
  cancelled  requested; it ends CANCELLED, or EXECUTED if it turns out to have been written
`},
		"parked": {starter.Status{OrderID: "A3", State: ltp.Parked, Message: "Order Received - Pending Confirmation", Reason: ltp.ReasonParked, AcceptedAt: at,
			Parked: &ltp.Parking{Since: at, Failures: 3, Error: "value too long\nfor type"}}, `
A3 is PARKED: Order Received - Pending Confirmation
  accepted   2030-01-31 14:30:00.000 UTC
  waits for  an operator: ltp orders retry A3, or ltp orders reject A3
  parked     2030-01-31 14:30:00.000 UTC, after 3 failures by its own fault, with: value too long for type
`},
	} {
		var text strings.Builder
		writeStatus(&text, c.st)
		assert.Equal(t, c.want[1:], text.String(), name)
	}
}

func TestAnOrientationIsShownToPeople(t *testing.T) {
	since := time.Date(2030, 1, 31, 14, 30, 0, 0, time.UTC)
	o := shownOrientation{
		Orientation: ltp.Orientation{Component: "orders-db", State: ltp.Unstable, Epoch: 5, Reason: "held by ann: migration", Since: since, Observed: ltp.Healthy,
			Hold: &ltp.Hold{By: "ann", Why: "migration", Since: since, Freeze: true, Until: since.Add(time.Hour)}},
		ReplayControl: ltp.ReplayControl{Paused: true, Pause: ltp.Attribution{By: "bob", Why: "cold cache", Since: since}},
		Policy:        ltp.DefaultPolicy(),
		at:            since.Add(12 * time.Second),
	}
	var text strings.Builder
	o.write(&text)
	assert.Equal(t, `orders-db is UNSTABLE, epoch 5, since 14:30:00 UTC (`+words.Lasted(12*time.Second)+` ago): held by ann: migration
  held      by ann, since 2030-01-31 14:30:00.000 UTC, until 2030-01-31 15:30:00.000 UTC, new orders are refused: migration
  observed  HEALTHY
  replay    PAUSED, by bob, 14:30:00 UTC (`+words.Lasted(12*time.Second)+` ago): cold cache
  policy    dwell 2s, max dwell 2m, flap window 10m, grace 10s
`, text.String())
}

func TestALineOfTheReplayIsBrokenBetweenWords(t *testing.T) {
	assert.Equal(t, []string{"  one   line", "held by ann: the", "    migration of", "    orders"},
		wrapped([]string{"  one   line", "held by ann: the migration of orders"}, 20))
}
