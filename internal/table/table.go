// Package table prints tables for people: columns under heads in capitals, "-" for what is
// not there, and, on a terminal, lines that are cut at its width.
package table

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/ltp-node/ltp/internal/terminal"
	"github.com/ltp-node/ltp/internal/words"
)

// Table is a table that is written when it is flushed.
type Table struct {
	columns *tabwriter.Writer
}

// New begins a table with its heads. Where w is a terminal, lines are cut at its width: the
// last column is the one that may be long.
func New(w io.Writer, heads ...string) *Table {
	if width, _, ok := terminal.Size(w); ok && width > 0 {
		w = &cutter{to: w, width: width}
	}
	t := &Table{columns: tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)}
	for i, head := range heads {
		heads[i] = strings.ToUpper(head)
	}
	t.line(heads)
	return t
}

// Row adds a line of cells, one for each head, as fmt prints them. What would move a cursor or
// a column is taken out.
func (t *Table) Row(cells ...any) {
	texts := make([]string, len(cells))
	for i, cell := range cells {
		texts[i] = cmp.Or(words.Clean(fmt.Sprint(cell)), "-")
	}
	t.line(texts)
}

func (t *Table) line(cells []string) { fmt.Fprintln(t.columns, strings.Join(cells, "\t")) }

// Flush writes the table.
func (t *Table) Flush() error { return t.columns.Flush() }

// cutter passes lines on, cut at a width in columns.
type cutter struct {
	to    io.Writer
	width int
	line  []byte
}

func (c *cutter) Write(p []byte) (int, error) {
	c.line = append(c.line, p...)
	for {
		line, rest, ended := bytes.Cut(c.line, []byte("\n"))
		if !ended {
			return len(p), nil
		}
		text := []rune(string(line))
		if len(text) > c.width {
			text = append(text[:c.width-1], '…')
		}
		if _, err := io.WriteString(c.to, string(text)+"\n"); err != nil {
			return 0, err
		}
		c.line = rest
	}
}
