// Package table prints tables for people by go-pretty: columns under heads in capitals, and "-"
// for what is not there; and sheets, which are the names and values of one thing. On a
// terminal that is too narrow, cells are broken between words, the widest first: nothing is
// lost.
package table

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ltp-node/ltp/internal/terminal"
	"github.com/ltp-node/ltp/internal/words"
)

// gap is how many spaces stand between columns.
const gap = 2

// style has no lines.
func style() table.Style {
	s := table.StyleDefault
	s.Box = table.BoxStyle{PaddingRight: strings.Repeat(" ", gap)}
	s.Options = table.OptionsNoBordersAndSeparators
	s.Format.Header = text.FormatUpper
	return s
}

// Table is a table that is written when it is flushed.
type Table struct {
	to   io.Writer
	rows table.Writer
	// fit is the width of the terminal, 0 where there is none, and widths are those of the
	// columns.
	fit    int
	widths []int
}

// New begins a table with its heads.
func New(w io.Writer, heads ...string) *Table {
	t := begin(w)
	row := make(table.Row, len(heads))
	for i, head := range heads {
		row[i] = head
		t.widen(i, head)
	}
	t.rows.AppendHeader(row)
	return t
}

func begin(w io.Writer) *Table {
	t := &Table{to: w, rows: table.NewWriter()}
	t.rows.SetStyle(style())
	t.rows.SuppressTrailingSpaces()
	if width, _, ok := terminal.Size(w); ok {
		t.fit = width
	}
	return t
}

// widen makes room for a cell of a column.
func (t *Table) widen(column int, cell string) {
	for len(t.widths) <= column {
		t.widths = append(t.widths, 0)
	}
	t.widths[column] = max(t.widths[column], text.StringWidth(cell))
}

// narrowest is the least width of a column that cells are broken for.
const narrowest = 6

// columns has the widest columns give way until a line fits.
func (t *Table) columns() []table.ColumnConfig {
	line := 0
	for _, w := range t.widths {
		line += w + gap
	}
	for line -= gap; line > t.fit; line-- {
		widest := slices.Index(t.widths, slices.Max(t.widths))
		if t.widths[widest] <= narrowest {
			break
		}
		t.widths[widest]--
	}
	var all []table.ColumnConfig
	for i, w := range t.widths {
		all = append(all, table.ColumnConfig{Number: i + 1, WidthMax: w, WidthMaxEnforcer: text.WrapSoft})
	}
	return all
}

// Row adds a line of cells, one for each head, as fmt prints them. What would move a cursor or
// a column is taken out.
func (t *Table) Row(cells ...any) {
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		said := cmp.Or(words.Clean(fmt.Sprint(cell)), "-")
		t.widen(i, said)
		row[i] = said
	}
	t.rows.AppendRow(row)
}

// Flush writes the table.
func (t *Table) Flush() error {
	if t.fit > 0 {
		t.rows.SetColumnConfigs(t.columns())
	}
	_, err := fmt.Fprintln(t.to, t.rows.Render())
	return err
}

// Sheet is the names and values of one thing, in lines under a head.
type Sheet struct {
	head  string
	lines *Table
}

// NewSheet begins a sheet.
func NewSheet(w io.Writer, head string) *Sheet { return &Sheet{head, begin(w)} }

// Add adds a line; without a value there is none. What would move a cursor is taken out.
func (s *Sheet) Add(name, format string, args ...any) {
	if value := words.Clean(fmt.Sprintf(format, args...)); value != "" {
		name = "  " + name
		s.lines.widen(0, name)
		s.lines.widen(1, value)
		s.lines.rows.AppendRow(table.Row{name, value})
	}
}

// Flush writes the sheet.
func (s *Sheet) Flush() error {
	if _, err := fmt.Fprintln(s.lines.to, words.Clean(s.head)); err != nil || s.lines.rows.Length() == 0 {
		return err
	}
	return s.lines.Flush()
}
