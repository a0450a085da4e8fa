package table

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestColumnsStandUnderTheirHeads(t *testing.T) {
	var out bytes.Buffer
	table := New(&out, "order", "state", "why")
	table.Row("A1", "PARKED", "permission\tdenied\nfor \x1b[31mtable")
	table.Row("a-longer-id", "", 3)
	require.NoError(t, table.Flush())
	assert.Equal(t, ""+
		"ORDER        STATE   WHY\n"+
		"A1           PARKED  permission denied for �[31mtable\n"+
		"a-longer-id  -       3\n", out.String())
}

func TestLinesFitTheTerminal(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		width := rapid.IntRange(1, 40).Draw(t, "width")
		text := rapid.SliceOfN(rapid.StringMatching(`[a-zäö日 ]{0,60}`), 1, 9).Draw(t, "lines")
		c := &cutter{to: &out, width: width}
		whole := strings.Join(text, "\n") + "\n"
		for len(whole) > 0 { // as a writer gets it, in pieces
			n := min(len(whole), rapid.IntRange(1, 30).Draw(t, "n"))
			_, err := c.Write([]byte(whole[:n]))
			require.NoError(t, err)
			whole = whole[n:]
		}
		lines := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
		require.Len(t, lines, len(text))
		for i, line := range lines {
			assert.LessOrEqual(t, utf8.RuneCountInString(line), width)
			if utf8.RuneCountInString(text[i]) <= width {
				assert.Equal(t, text[i], line)
			}
		}
	})
}
