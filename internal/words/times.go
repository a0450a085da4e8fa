package words

import (
	"fmt"
	"strings"
	"time"
)

// Lasted is a duration that was measured, rounded down for people: "12 ms", "50.9 s",
// "1 min 5 s", "2 h 3 min". A smaller unit of which there is none is left out.
func Lasted(d time.Duration) string {
	switch {
	case d < time.Millisecond:
		return "under 1 ms"
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%g s", d.Truncate(100*time.Millisecond).Seconds())
	case d < time.Hour:
		return units(int(d.Minutes()), "min", int(d.Seconds())%60, "s")
	case d >= 48*time.Hour && d%(24*time.Hour) == 0:
		return fmt.Sprintf("%d days", int(d.Hours())/24)
	}
	return units(int(d.Hours()), "h", int(d.Minutes())%60, "min")
}

func units(n int, unit string, rest int, smaller string) string {
	if rest == 0 {
		return fmt.Sprintf("%d %s", n, unit)
	}
	return fmt.Sprintf("%d %s %d %s", n, unit, rest, smaller)
}

// Short is a setting to the letter, as a flag takes it: "500ms", "2m", "1h30m".
func Short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

const (
	clock = "15:04:05.000"
	stamp = time.DateOnly + " " + clock
)

// Time is a moment in UTC: "2026-11-27 14:30:05.000". It is empty for the zero time.
func Time(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(stamp)
}

// Clock is a moment of the day in UTC: "14:30:05.000".
func Clock(t time.Time) string { return t.UTC().Format(clock) }

// Moment is a moment beside others of one day: the clock, or the time where the day is another.
func Moment(t, day time.Time) string {
	if t.UTC().Format(time.DateOnly) == day.UTC().Format(time.DateOnly) {
		return Clock(t)
	}
	return Time(t)
}

// Span is a stretch of time beside others of one day: "14:30:05.000 – 14:31:05.000". A zero
// end is not reached. A stretch under 1 ms is its beginning.
func Span(from, to, day time.Time) string {
	switch {
	case to.IsZero():
		return Moment(from, day) + " – now"
	case to.Sub(from) < time.Millisecond:
		return Moment(from, day)
	}
	return Moment(from, day) + " – " + Moment(to, day)
}
