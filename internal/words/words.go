// Package words is how numbers, durations, times and texts are shown to people.
package words

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
)

// number is what is counted in.
type number interface{ int | int64 }

// Plural is "1 order", "1,500 orders".
func Plural[N number](n N, thing string) string { return Count(n) + " " + Noun(n, thing) }

// Noun is the thing alone: "order", "orders", "histories".
func Noun[N number](n N, thing string) string {
	stem, ies := strings.CutSuffix(thing, "y")
	switch {
	case n == 1:
		return thing
	case ies && !strings.ContainsAny(stem[len(stem)-1:], "aeou"):
		return stem + "ies"
	}
	return thing + "s"
}

// Count is n for people, with commas between the thousands: "1,500".
func Count[N number](n N) string { return Commas(strconv.FormatInt(int64(n), 10)) }

// None is n for people, or "none".
func None[N number](n N) string {
	if n == 0 {
		return "none"
	}
	return Count(n)
}

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

// Part is so many of something: "1,500 deferred". It is empty where there is none.
func Part[N number](n N, what string) string {
	if n == 0 {
		return ""
	}
	return Count(n) + " " + what
}

// Some joins the texts of which there are any.
func Some(separator string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(text string) bool { return text == "" }), separator)
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
