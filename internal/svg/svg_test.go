package svg

import (
	"encoding/xml"
	"math"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestTextsAreEscaped(t *testing.T) {
	p := Picture{Title: `</title><script>`, Desc: `<b>&"`, Style: "text { fill: #000; }"}
	p.Text("tick", "end", 1, 2, `<b>&"`)
	p.Rect("one", 1, 2, 3, 4, `</title><script>`)
	require.NoError(t, xml.Unmarshal([]byte(p.String()), new(struct{})))
	assert.NotContains(t, p.String(), "<b>")
	assert.NotContains(t, p.String(), "<script>")
}

func TestAxisEndsAboveTheLargestValue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := rapid.Float64Range(0, 1e12).Draw(t, "v")
		most, steps := round(v)
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
		powers := Powers(v)
		assert.GreaterOrEqual(t, powers.most, v)
		assert.InDelta(t, powers.most, powers.at(powers.steps), 1e-9*powers.most)
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
	assert.Equal(t, 50*time.Millisecond, Step(300*time.Millisecond, 7))
	assert.Equal(t, 3*24*time.Hour, Step(20*24*time.Hour, 7))
}

// TestPlotStaysInItsPicture whatever its values and times: shapes, and the room of labels.
func TestPlotStaysInItsPicture(t *testing.T) {
	number := regexp.MustCompile(` (x|y|x1|x2|y1|y2)="([^"]*)"`)
	label := regexp.MustCompile(`class="tick" x="52.0" y="([^"]*)"`)
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.Float64Range(0, 1e9).Draw(t, "most")
		span := time.Duration(rapid.Int64Range(0, int64(90*24*time.Hour)).Draw(t, "span"))
		values := UpTo(most)
		if rapid.Bool().Draw(t, "powers") {
			values = Powers(most)
		}
		c := &Picture{Width: 760, Height: 190, ID: "one"}
		p := Plot{Picture: c, Top: 40, Head: 10, Bottom: 40 + rapid.Float64Range(30, 128).Draw(t, "height"), Span: span, Values: values}
		at := func(name string) time.Duration {
			return time.Duration(rapid.Int64Range(0, int64(2*span)).Draw(t, name))
		}
		p.Band("band", at("from"), at("to"), "")
		p.Axis("orders")
		p.Bar("one", at("bar"), at("end"), 0, rapid.Float64Range(0, 2e9).Draw(t, "v"), "")
		p.Path("area", "M"+p.Level(at("level"), at("its end"), most))
		p.Times(0, Step(span, 7), time.Duration.String)
		require.NoError(t, xml.Unmarshal([]byte(c.String()), new(struct{})))
		for _, found := range number.FindAllStringSubmatch(c.String(), -1) {
			n, err := strconv.ParseFloat(found[2], 64)
			require.NoError(t, err)
			assert.GreaterOrEqual(t, n, 0.0)
			assert.LessOrEqual(t, n, map[byte]float64{'x': 760, 'y': 190}[found[1][0]])
		}
		last := math.Inf(1)
		for _, found := range label.FindAllStringSubmatch(c.String(), -1) {
			y, err := strconv.ParseFloat(found[1], 64)
			require.NoError(t, err)
			assert.GreaterOrEqual(t, last-y, least-0.1, "labels do not touch")
			last = y
		}
	})
}
