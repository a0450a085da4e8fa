package words

import (
	"testing"
	"time"
	"unicode"

	"github.com/stretchr/testify/assert"
	"pgregory.net/rapid"
)

func TestNumbers(t *testing.T) {
	assert.Equal(t, "0 orders", Plural(0, "order"))
	assert.Equal(t, "1 order", Plural(1, "order"))
	assert.Equal(t, "1,500 orders", Plural(int64(1500), "order"))
	assert.Equal(t, "-1,234,567", Count(-1234567))
	assert.Equal(t, "-123", Count(-123))
	assert.Equal(t, "-1,500.2525 USD", Commas("-1500.2525 USD"))
	assert.Equal(t, "999 minor units of 1000", Commas("999 minor units of 1000"))
	assert.Equal(t, "none", Commas("none"))
}

func TestDurations(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0:                                     "under 1 ms",
		12 * time.Millisecond:                 "12 ms",
		59*time.Second + 990*time.Millisecond: "59.9 s",
		65 * time.Second:                      "1 min 5 s",
		2*time.Hour + 3*time.Minute:           "2 h 3 min",
		48 * time.Hour:                        "2 days",
		49 * time.Hour:                        "49 h 0 min",
	} {
		assert.Equal(t, want, Lasted(d))
	}
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
