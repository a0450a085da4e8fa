// Package words is how numbers, durations and texts are shown to people.
package words

import (
	"fmt"
	"strconv"
	"strings"
	"time"
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

// Lasted is a duration for people: "12 ms", "50.9 s", "1 min 5 s", "2 h 3 min".
func Lasted(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
	return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
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
