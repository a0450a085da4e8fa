// Package table prints tables for people by go-pretty: columns under heads in capitals, "-"
// for what is not there, and, on a terminal, lines that are cut at its width; and sheets,
// which are the names and values of one thing.
package table

import (
	"cmp"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ltp-node/ltp/internal/terminal"
	"github.com/ltp-node/ltp/internal/words"
)

// style has two spaces between columns, and no lines.
func style() table.Style {
	s := table.StyleDefault
	s.Box = table.BoxStyle{PaddingRight: "  ", UnfinishedRow: "…"}
	s.Options = table.OptionsNoBordersAndSeparators
	s.Format.Header = text.FormatUpper
	return s
}

// Table is a table that is written when it is flushed.
type Table struct {
	to   io.Writer
	rows table.Writer
}

// New begins a table with its heads. Where w is a terminal, lines are cut at its width: the
// last column is the one that may be long.
func New(w io.Writer, heads ...string) *Table {
	t := begin(w)
	if width, _, ok := terminal.Size(w); ok && width > 0 {
		t.rows.Style().Size.WidthMax = width
	}
	row := make(table.Row, len(heads))
	for i, head := range heads {
		row[i] = head
	}
	t.rows.AppendHeader(row)
	return t
}

func begin(w io.Writer) *Table {
	t := &Table{to: w, rows: table.NewWriter()}
	t.rows.SetStyle(style())
	t.rows.SuppressTrailingSpaces()
	return t
}

// Row adds a line of cells, one for each head, as fmt prints them. What would move a cursor or
// a column is taken out.
func (t *Table) Row(cells ...any) {
	row := make(table.Row, len(cells))
	for i, cell := range cells {
		row[i] = cmp.Or(words.Clean(fmt.Sprint(cell)), "-")
	}
	t.rows.AppendRow(row)
}

// Flush writes the table.
func (t *Table) Flush() error {
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
		s.lines.rows.AppendRow(table.Row{"  " + name, value})
	}
}

// Flush writes the sheet.
func (s *Sheet) Flush() error {
	if _, err := fmt.Fprintln(s.lines.to, words.Clean(s.head)); err != nil || s.lines.rows.Length() == 0 {
		return err
	}
	return s.lines.Flush()
}
