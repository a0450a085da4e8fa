package report

import (
	"fmt"
	"io"
	"strings"

	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/internal/words"
)

// WriteMarkdown writes the report as Markdown: what the pictures show stands in tables.
func WriteMarkdown(w io.Writer, r Report) error {
	d := r.document()
	b := &strings.Builder{}
	fmt.Fprintf(b, "# %s\n\n%s\n\n**%s** – %s\n\n", md(d.Title), md(d.Subtitle), d.Verdict.Mark(), md(d.VerdictText))
	heads, values := table{Right: len(d.Figures)}, []string{}
	for _, f := range d.Figures {
		heads.Head = append(heads.Head, f.Label)
		values = append(values, f.Value)
	}
	heads.Rows = [][]string{values}
	writeTable(b, heads)
	for _, s := range d.Sections {
		fmt.Fprintf(b, "%s %s\n\n", strings.Repeat("#", s.Level), md(s.Title))
		if s.Note != "" {
			fmt.Fprintf(b, "*%s*\n\n", md(s.Note))
		}
		for _, x := range s.Blocks {
			x.markdown(b)
		}
	}
	fmt.Fprintf(b, "---\n\n%s\n", md(d.Foot))
	_, err := io.WriteString(w, b.String())
	return err
}

func (x block) markdown(b *strings.Builder) {
	switch {
	case x.Table != nil:
		writeTable(b, *x.Table)
	case x.Chart != nil:
		fmt.Fprintf(b, "**%s.** %s\n\n", md(x.Chart.Title), md(x.Chart.Desc))
		writeTable(b, x.Chart.Table.folded().withBars())
	case x.List != nil:
		for _, item := range x.List {
			fmt.Fprintf(b, "- %s\n", md(item))
		}
		b.WriteByte('\n')
	case x.Claims != nil:
		for _, c := range x.Claims {
			writeClaim(b, c)
		}
	default:
		fmt.Fprintf(b, "%s\n\n", md(x.Text))
	}
}

func writeClaim(b *strings.Builder, c audit.Claim) {
	fmt.Fprintf(b, "**%s** – %s\n\n", c.Verdict.Mark(), md(c.Says))
	if c.Why != "" {
		fmt.Fprintf(b, "- not checked: %s\n", md(c.Why))
	}
	for _, e := range c.Evidence {
		fmt.Fprintf(b, "- %s\n", md(e))
	}
	for _, x := range c.Breaches {
		fmt.Fprintf(b, "- broken by %s: %s\n", md(x.What), md(x.Why))
	}
	if more := c.Broken - len(c.Breaches); more > 0 {
		fmt.Fprintf(b, "- … and %s more\n", words.Count(more))
	}
	b.WriteByte('\n')
}

func writeTable(b *strings.Builder, t table) {
	row := func(cells []string) {
		for _, c := range cells {
			fmt.Fprintf(b, "| %s ", md(c))
		}
		b.WriteString("|\n")
	}
	row(t.Head)
	for i := range t.Head {
		if i >= len(t.Head)-t.Right {
			b.WriteString("|---:")
		} else {
			b.WriteString("|---")
		}
	}
	b.WriteString("|\n")
	for _, r := range t.Rows {
		row(r)
	}
	b.WriteByte('\n')
}

// folded leaves out rows that say the same as the row before and the row after.
func (t table) folded() table {
	same := func(i, j int) bool {
		return i >= 0 && j < len(t.Rows) && strings.Join(t.Rows[i][1:], "|") == strings.Join(t.Rows[j][1:], "|")
	}
	var rows [][]string
	for i, r := range t.Rows {
		switch {
		case !same(i-1, i) || !same(i, i+1):
			rows = append(rows, r)
		case !same(i-2, i-1):
			rows = append(rows, append([]string{"⋮"}, make([]string, len(r)-1)...))
		}
	}
	t.Rows = rows
	return t
}

// withBars shows the first column of numbers as bars of text, too.
func (t table) withBars() table {
	const longest = 24
	at := len(t.Head) - t.Right
	most := 0
	for _, r := range t.Rows {
		most = max(most, number(r[at]))
	}
	var rows [][]string
	for _, r := range t.Rows {
		bar := ""
		if n := number(r[at]); most > 0 && n > 0 {
			bar = strings.Repeat("█", max(n*longest/most, 1))
		}
		rows = append(rows, append([]string{r[0], bar}, r[1:]...))
	}
	t.Head, t.Rows = append([]string{t.Head[0], ""}, t.Head[1:]...), rows
	return t
}

func number(s string) (n int) {
	for _, c := range s {
		if c >= '0' && c <= '9' {
			n = 10*n + int(c-'0')
		}
	}
	return n
}

var markdown = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "_", `\_`, "`", "\\`", "[", `\[`, "]", `\]`)

// md is text in which nothing is markup.
func md(s string) string { return markdown.Replace(words.Clean(s)) }
