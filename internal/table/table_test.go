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

func TestALineFitsTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		width := rapid.IntRange(10, 60).Draw(t, "width")
		cells := rapid.SliceOfN(rapid.StringMatching(`[a-zäö日 ]{0,40}`), 3, 3)
		rows := rapid.SliceOfN(cells, 1, 9).Draw(t, "rows")
		table := New(&out, "one", "two", "three")
		table.rows.Style().Size.WidthMax = width
		for _, row := range rows {
			table.Row(row[0], row[1], row[2])
		}
		require.NoError(t, table.Flush())
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		require.Len(t, lines, len(rows)+1)
		for _, line := range lines {
			assert.LessOrEqual(t, text.StringWidth(line), width)
		}
	})
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
