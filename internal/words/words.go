// Package words is how numbers, durations, times and texts are shown to people.
package words

import (
	"strconv"
	"strings"
	"unicode"
)

// Plural is "1 order", "1,500 orders".
func Plural[N int | int64](n N, thing string) string {
	return Count(int(n)) + " " + Noun(int(n), thing)
}

// Noun is the thing alone: "order", "orders".
func Noun(n int, thing string) string {
	if n == 1 {
		return thing
	}
	return thing + "s"
}

// Count is n for people, with commas between the thousands: "1,500".
func Count(n int) string { return Commas(strconv.Itoa(n)) }

// Commas puts commas between the thousands of the number that a text begins with:
// "-1,500.25 USD".
func Commas(s string) string {
	from := len(s) - len(strings.TrimPrefix(s, "-"))
	end := from
	for end < len(s) && '0' <= s[end] && s[end] <= '9' {
		end++
	}
	for i := end - 3; i > from; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Part is so many of something.
type Part struct {
	N    int
	What string
}

// Some are the parts of which there are any: "3 executed", "1,500 deferred".
func Some(parts ...Part) (said []string) {
	for _, p := range parts {
		if p.N > 0 {
			said = append(said, Count(p.N)+" "+p.What)
		}
	}
	return said
}

// Clean makes text that came from outside safe to show on a terminal: one line, and
// nothing in it that moves the cursor or turns the direction of writing.
func Clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return unicode.ReplacementChar
		}
		return r
	}, s)
	return strings.Join(strings.Fields(s), " ")
}

// Cut is a line in at most width columns, 1 at least: a longer one ends with "…".
func Cut(line string, width int) string {
	if r := []rune(line); len(r) > width {
		return string(r[:width-1]) + "…"
	}
	return line
}
