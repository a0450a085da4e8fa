package words

import (
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestNumbersAreWrittenWithCommasAndPlurals(t *testing.T) {
	assert.Equal(t, "0 orders", Plural(0, "order"))
	assert.Equal(t, "1 order", Plural(1, "order"))
	assert.Equal(t, "1,500 orders", Plural(int64(1500), "order"))
	assert.Equal(t, "2 histories", Plural(2, "history"))
	assert.Equal(t, "2 keys", Plural(2, "key"))
	assert.Equal(t, "none", None(0))
	assert.Equal(t, "1,500", None(1500))
	assert.Equal(t, "-1,234,567", Count(-1234567))
	assert.Equal(t, "-123", Count(-123))
	assert.Equal(t, "-1,500.2525 USD", Commas("-1500.2525 USD"))
	assert.Equal(t, "999 minor units of 1000", Commas("999 minor units of 1000"))
	assert.Equal(t, "none", Commas("none"))
}

func TestDurationsAreWrittenInTwoUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                     "under 1 ms",
		12 * time.Millisecond:                 "12 ms",
		59*time.Second + 990*time.Millisecond: "59.9 s",
		65 * time.Second:                      "1 min 5 s",
		2*time.Hour + 3*time.Minute:           "2 h 3 min",
		10*time.Second + 50*time.Millisecond:  "10 s",
		5 * time.Minute:                       "5 min",
		48 * time.Hour:                        "2 days",
		49 * time.Hour:                        "49 h",
	} {
		assert.Equal(t, want, Lasted(d))
	}
	for d, want := range map[time.Duration]string{
		0:                       "0s",
		2550 * time.Millisecond: "2.55s",
		2 * time.Minute:         "2m",
		90 * time.Minute:        "1h30m",
		time.Hour + time.Second: "1h0m1s",
		720 * time.Hour:         "720h",
	} {
		assert.Equal(t, want, Short(d))
		parsed, err := time.ParseDuration(Short(d))
		require.NoError(t, err)
		assert.Equal(t, d, parsed)
	}
}

func TestTimes(t *testing.T) {
	at := time.Date(2026, 11, 27, 23, 30, 5, 250_999_999, time.FixedZone("", 3600))
	assert.Equal(t, "2026-11-27 22:30:05.250", Time(at))
	assert.Empty(t, Time(time.Time{}))
	assert.Equal(t, "22:30:05.250", Clock(at))
	for want, to := range map[string]time.Time{
		"22:30:05.250 – now":                     {},
		"22:30:05.250":                           at.Add(time.Microsecond),
		"22:30:05.250 – 22:30:06.250":            at.Add(time.Second),
		"22:30:05.250 – 2026-11-28 00:30:05.250": at.Add(2 * time.Hour),
	} {
		assert.Equal(t, want, Span(at, to, at))
	}
}

func TestOnlyPartsThatAreThereAreSaid(t *testing.T) {
	assert.Equal(t, "1,500 executed, 1 lost", Some(", ", Part(1500, "executed"), Part(0, "rejected"), Part(int64(1), "lost")))
	assert.Empty(t, Some(", ", Part(0, "lost")))
}

func TestCutLinesFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		line, width := rapid.StringMatching(`[a-zäö日 ]{0,60}`).Draw(t, "line"), rapid.IntRange(1, 40).Draw(t, "width")
		cut := Cut(line, width)
		assert.LessOrEqual(t, utf8.RuneCountInString(cut), width)
		if utf8.RuneCountInString(line) <= width {
			assert.Equal(t, line, cut)
		}
	})
	assert.Equal(t, "permis…", Cut("permission denied", 7))
}

func TestCleanTextIsOneLineThatMovesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := Clean(rapid.String().Draw(t, "s"))
		for _, r := range s {
			assert.Truef(t, unicode.IsPrint(r), "%q", s)
		}
		assert.Equal(t, s, Clean(s))
	})
	assert.Equal(t, "a b �[2Jc", Clean("a\n\t b \x1b[2Jc "))
}
