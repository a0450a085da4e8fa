package trace

import "time"

// Count is n for people: "1,500".
func Count(n int) string { return count(n) }

// Plural is "1 order", "1,500 orders".
func Plural[N int | int64](n N, thing string) string { return plural(int(n), thing) }

// Noun is the word alone: "order", "orders".
func Noun(n int, thing string) string { return noun(n, thing) }

// Lasted is a duration for people: "12 ms", "50.9 s", "1 min 5 s", "2 h 3 min".
func Lasted(d time.Duration) string { return lasted(d) }

// Clean makes text that came from outside safe to show on a terminal: one line, and
// nothing in it that moves the cursor or turns the direction of writing.
func Clean(s string) string { return clean(s) }
