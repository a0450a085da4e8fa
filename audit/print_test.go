package audit

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

func shown(t *testing.T, a Audit, o trace.Options) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, Write(&b, a, o))
	return b.String()
}

func TestAnAuditIsShownToPeople(t *testing.T) {
	all := good()
	all[1] = ended(&all[1], 50_521, ltp.Terminated)
	all[1].Outcome.Reason = "ended by force: \x1b[31mred\n" + strings.Repeat("long ", 40)
	a := audited(outage(), all, trace.Gap{What: "order/A9", Why: "damaged at event 7"})
	said := shown(t, a, trace.Options{Width: 80})
	for _, expected := range []string{
		"Audit of incident 1 of orders-db", "2024-05-20 14:30:05.000 – 14:31:05.000 UTC, 1 min",
		"BROKEN       No accepted order is lost", "A2: ended by force", "NOT CHECKED  No order is executed twice",
		"HELD         The window of instability is exact", "UNSTABLE", "missing: order/A9: damaged at event 7",
		"1 of 8 claims held, 1 broken, 6 not checked.",
	} {
		assert.Contains(t, said, expected)
	}
	assert.NotContains(t, said, "\x1b")
	for line := range strings.Lines(said) {
		assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimRight(line, "\n")), 80, line)
	}
	assert.Contains(t, shown(t, a, trace.Options{Width: 80, Color: true}), "\x1b[1;31mBROKEN\x1b[0m")
	open := outage()
	open.Frames = open.Frames[:1]
	assert.Contains(t, shown(t, audited(open, nil), trace.Options{}), "and going on")
}
