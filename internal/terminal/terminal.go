// Package terminal says whether somebody looks at a stream, and how much fits.
package terminal

import (
	"os"

	"golang.org/x/term"
)

// Is reports whether a stream, such as os.Stdout, is a terminal.
func Is(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Size is that of a terminal in columns and lines. ok is false for what is none, or does not
// say.
func Size(stream any) (columns, lines int, ok bool) {
	f, is := stream.(*os.File)
	if !is {
		return 0, 0, false
	}
	columns, lines, err := term.GetSize(int(f.Fd()))
	return columns, lines, err == nil
}
