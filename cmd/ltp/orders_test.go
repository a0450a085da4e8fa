package main

import (
	"context"

	"strings"
	"testing"
	"time"

	"github.com/spf13/cobra"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

// TestParkedOrdersAreListedWithWhyAndSince, whatever their errors hold.
func TestParkedOrdersAreListedWithWhyAndSince(t *testing.T) {
	day := time.Date(2030, 1, 31, 12, 0, 0, 0, time.UTC)
	st := starter.Status{
		OrderID: "A2", State: ltp.Parked, Reason: ltp.ReasonParked, AcceptedAt: day,
		Parked: &ltp.Parking{Since: day.Add(time.Minute), Failures: 5, Error: "value too long\n\x1b[2Jfor <b>" + strings.Repeat("x", 200)},
	}
	list := func(state ltp.OrderState, asJSON bool) string {
		var b strings.Builder
		l := newOrderList(&b, state, asJSON)
		require.NoError(t, l.add([]starter.Status{st}))
		require.NoError(t, l.flush())
		return b.String()
	}
	table := list(ltp.Parked, false)
	assert.Contains(t, table, "ORDER  PARKED                   FAILURES  ACCEPTED                 FAILS WITH\nA2     2030-01-31 12:01:00.000  5         2030-01-31 12:00:00.000  value too long")
	assert.NotContains(t, table, "\x1b")
	assert.Len(t, strings.Split(table, "\n"), 3, "one line an order")
	assert.Less(t, len(table), 350, "an error does not fill the screen")
	assert.Contains(t, list("", false), "an operator")
	assert.Contains(t, list(ltp.Parked, true), `"parked":{"since":"2030-01-31T12:01:00Z","failures":5,"error":"value too long`)
	assert.Contains(t, list(ltp.Parked, true), "<b>", "JSON is not HTML")
}

func TestStatesMayBeGivenInSmallLetters(t *testing.T) {
	assert.Equal(t, ltp.Parked, stateOf("parked"))
	assert.Equal(t, ltp.Deferred, stateOf("Deferred"))
	assert.Empty(t, stateOf(""))
}

// TestInstructionsThatCannotBeGivenAreRefusedBeforeTemporalIsAsked, with what to do.
func TestInstructionsThatCannotBeGivenAreRefusedBeforeTemporalIsAsked(t *testing.T) {
	for line, says := range map[string]string{
		"retry":                         "name an order, or give a query with --query",
		"retry A2 --query LtpEpoch=4":   "not both",
		"retry A2 --by=":                "say who you are with --by",
		"retry A2 --yes 3":              "there is none",
		"retry A2 --component orders":   "unknown flag",
		"reject A2":                     "say why with --why",
		"reject --why sold-out":         "requires at least 1 arg",
		"reject A2 --why x --query Q":   "unknown flag",
		"reject A2 A3 --why x --by=":    "say who you are with --by",
		"list --limit -3":               "--limit",
		"list --limit 0 --state PARKED": "--limit",
	} {
		_, _, err := run(t, "", append([]string{"orders"}, strings.Fields(line)...)...)
		assert.ErrorContains(t, err, says, line)
	}
}

// TestNamedOrdersAreEachTold what became of the instruction, and the first that fails does
// not keep it from the others.
func TestNamedOrdersAreEachTold(t *testing.T) {
	i := ltp.Instruction{Do: ltp.DoRetry, By: "ann"}
	ask := instructing("retry", "Retry", &i)
	ask.one = func(_ *starter.Starter, _ context.Context, id string) error {
		if id == "A3" {
			return starter.ErrNotParked
		}
		return nil
	}
	cmd := &cobra.Command{}
	var out, fails strings.Builder
	cmd.SetOut(&out)
	cmd.SetErr(&fails)
	err := ask.named(cmd, nil, []string{"A2", "A3", "A4"})
	assert.ErrorContains(t, err, "1 of 3 orders could not be asked")
	assert.Contains(t, out.String(), "Retry of A2 requested")
	assert.Contains(t, out.String(), "Retry of A4 requested")
	assert.Contains(t, fails.String(), "A3: the order is not parked")
	assert.Equal(t, "parked", ask.kind())
}
