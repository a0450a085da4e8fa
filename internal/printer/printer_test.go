package printer

import (
	"bytes"
	"regexp"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func printed(t require.TestingT, p *Printer) string {
	var out bytes.Buffer
	_, err := p.WriteTo(&out)
	require.NoError(t, err)
	return out.String()
}

// TestNothingIsLostOrTooWide whatever is said: every word is printed, no line is wider than
// the terminal, and colours change nothing of it.
func TestNothingIsLostOrTooWide(t *testing.T) {
	codes := regexp.MustCompile("\x1b\\[[0-9;]*m")
	rapid.Check(t, func(t *rapid.T) {
		width := rapid.IntRange(60, 100).Draw(t, "width")
		indent := rapid.IntRange(2, 40).Draw(t, "indent")
		said := rapid.SliceOfN(rapid.StringMatching(`[a-zäö日]{0,70}( [a-zäö日]{1,12}){0,20}`), 1, 5).Draw(t, "said")
		all := make([]string, 2)
		for i, color := range []bool{false, true} {
			var lines []Line
			for _, s := range said {
				lines = append(lines, Say("%s", s).In(Red, " %s", s))
			}
			p := New(color, width)
			p.Paragraph(indent, lines...)
			p.Hanging(In(Bold, "●"), indent, lines...)
			p.Claim(Held, said[0], lines...)
			all[i] = printed(t, p)
		}
		assert.Equal(t, all[0], codes.ReplaceAllString(all[1], ""))
		for line := range strings.Lines(all[0]) {
			assert.LessOrEqual(t, utf8.RuneCountInString(strings.TrimSuffix(line, "\n")), width)
		}
		letters := func(s string) string { return strings.Join(strings.Fields(s), "") }
		twice := ""
		for _, s := range said {
			twice += s + s
		}
		assert.Equal(t, letters(twice+"●"+twice+"HELD"+said[0]+twice), letters(all[0]))
	})
}

func TestClaimsStandBesideTheirVerdicts(t *testing.T) {
	p := New(false, 60)
	p.Claim(NotChecked, "No order is lost", Say("%s", "not checked: Temporal keeps what has ended for 3 days, and this is older"))
	p.Claim(Broken, "No order is executed twice")
	assert.Equal(t, ""+
		"NOT CHECKED  No order is lost\n"+
		"             not checked: Temporal keeps what has ended for\n"+
		"             3 days, and this is older\n"+
		"BROKEN       No order is executed twice\n", printed(t, p))
	p = New(true, 60)
	p.Claim(Broken, "Yes")
	assert.Equal(t, "\x1b[1;31mBROKEN\x1b[0m       \x1b[1mYes\x1b[0m\n", printed(t, p))
}

func TestHeadingsReachTheMargin(t *testing.T) {
	p := New(false, 60)
	p.Title(Say("Order A2"), Say("EXECUTED"))
	p.Rule("Phase 1", "now")
	p.Rule(strings.Repeat("long ", 11), "now")
	lines := strings.Split(printed(t, p), "\n")
	assert.Equal(t, "Order A2"+strings.Repeat(" ", 44)+"EXECUTED", lines[0])
	assert.Equal(t, "── Phase 1 "+strings.Repeat("─", 42)+" now ──", lines[2])
	assert.Equal(t, "   now", lines[5])
}

func TestGlueKeepsWordsTogether(t *testing.T) {
	p := New(false, 60)
	p.Paragraph(0, Say("%s epoch%s5", strings.Repeat("x", 54), Glue))
	assert.Equal(t, strings.Repeat("x", 54)+"\nepoch 5\n", printed(t, p))
}
