package svg

import (
	"encoding/xml"
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTextsAreEscaped(t *testing.T) {
	var c Canvas
	c.Text("tick", "end", 1, 2, `<b>&"`)
	c.Rect("one", 1, 2, 3, 4, `</title><script>`)
	require.NoError(t, xml.Unmarshal([]byte("<svg>"+c.String()+"</svg>"), new(struct{})))
	assert.NotContains(t, c.String(), "<b>")
	assert.NotContains(t, c.String(), "<script>")
}

func TestAxisHoldsWhatItIsFor(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64Range(0, 1e12).Draw(t, "v")
		most, steps := Round(v)
		assert.GreaterOrEqual(t, most, v)
		assert.LessOrEqual(t, most, max(4, 2.5*v))
		assert.Positive(t, steps)
		if most > 4 {
			assert.Zero(t, math.Mod(most, 0.5))
		}
		log := rapid.Bool().Draw(t, "log")
		s := Scale{From: 100, To: 20, Most: max(most, 10), Log: log}
		at := s.At(rapid.Float64Range(-1e13, 1e13).Draw(t, "outside"))
		assert.GreaterOrEqual(t, at, 20.0)
		assert.LessOrEqual(t, at, 100.0)
	})
	assert.Equal(t, 5.0, Scale{From: 5, To: 9}.At(3), "an axis without a length")
}

func TestStepCoversTheTime(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := time.Duration(rapid.Int64Range(0, int64(400*24*time.Hour)).Draw(t, "d"))
		most := rapid.IntRange(1, 100).Draw(t, "most")
		assert.LessOrEqual(t, d, time.Duration(most)*Step(d, most))
	})
	assert.Equal(t, 10*time.Second, Step(45*time.Second, 7))
	assert.Equal(t, 3*24*time.Hour, Step(20*24*time.Hour, 7))
}
