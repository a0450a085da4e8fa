package table

import (
	"bytes"
	"strings"
	"testing"

	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestColumnsStandUnderTheirHeads(t *testing.T) {
	var out bytes.Buffer
	table := New(&out, "order", "state", "why")
	table.Row("A1", "PARKED", "permission\tdenied\nfor \x1b[31mtable")
	table.Row("a-longer-id", "", 3)
	table.Row("日本", "日本語", "x")
	require.NoError(t, table.Flush())
	assert.Equal(t, ""+
		"ORDER        STATE   WHY\n"+
		"A1           PARKED  permission denied for �[31mtable\n"+
		"a-longer-id  -       3\n"+
		"日本         日本語  x\n", out.String())
}

func TestALineFitsTheTerminalAndLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		width := rapid.IntRange(3*narrowest+2*gap, 80).Draw(t, "width")
		cells := rapid.SliceOfN(rapid.StringMatching(`[a-zäö日 ]{0,60}`), 3, 3)
		rows := rapid.SliceOfN(cells, 1, 9).Draw(t, "rows")
		table := New(&out, "one", "two", "three")
		table.fit = width
		letters := map[rune]int{}
		for _, row := range rows {
			table.Row(row[0], row[1], row[2])
			for _, r := range strings.Join(row, "") {
				letters[r]++
			}
		}
		require.NoError(t, table.Flush())
		_, body, _ := strings.Cut(out.String(), "\n")
		for _, r := range body {
			letters[r]--
		}
		for r, n := range letters {
			if r != ' ' && r != '\n' && r != '-' && n != 0 {
				t.Errorf("%d of %q are missing:\n%s", n, r, out.String())
			}
		}
		for line := range strings.Lines(out.String()) {
			assert.LessOrEqual(t, text.StringWidth(strings.TrimSuffix(line, "\n")), width)
		}
	})
}

func TestACellIsBrokenBetweenWords(t *testing.T) {
	var out bytes.Buffer
	table := New(&out, "order", "state", "accepted")
	table.fit = 40
	table.Row("order-with-a-rather-long-name", "DEFERRED", "2030-01-31 14:30:00.000")
	require.NoError(t, table.Flush())
	assert.Equal(t, ""+
		"ORDER           STATE     ACCEPTED\n"+
		"order-with-a-r  DEFERRED  2030-01-31\n"+
		"ather-long-nam            14:30:00.000\n"+
		"e\n", out.String())
}

func TestASheetHasItsValuesBelowEachOther(t *testing.T) {
	var out bytes.Buffer
	sheet := NewSheet(&out, "A1 is\nPARKED")
	sheet.Add("accepted", "%d", 7)
	sheet.Add("detail", "%s", "")
	sheet.Add("waits for", "an\x1b[31m operator")
	require.NoError(t, sheet.Flush())
	assert.Equal(t, "A1 is PARKED\n  accepted   7\n  waits for  an�[31m operator\n", out.String())

	out.Reset()
	require.NoError(t, NewSheet(&out, "nothing").Flush())
	assert.Equal(t, "nothing\n", out.String())
}
