package trace_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// TestAnOrderThatWaitsIsShownWithItsPlace, where that is known.
func TestAnOrderThatWaitsIsShownWithItsPlace(t *testing.T) {
	one := must(trace.OrderFrames(deferred("A2", day("14:30:10"), "UNSTABLE", 4).Events))(t)
	for want, place := range map[string]*ltp.Place{
		"waits for orders-db, asked last at 14:30:10.000\n":                    nil,
		"about 1 order before it\n":                                            {Ahead: 1},
		"about 1,312 orders before it, expected in its turn at 14:30:31.000\n": {Ahead: 1312, ExpectedAt: day("14:30:31")},
		"about 0 orders before it, held until 15:00:00.000 at least\n":         {NotBefore: day("15:00:00")},
	} {
		var b bytes.Buffer
		require.NoError(t, trace.WriteOrder(&b, one, trace.Options{Place: place, Width: 100}))
		assert.Contains(t, b.String(), want)
	}
	one.Order.ID = "acme/A2"
	var b bytes.Buffer
	require.NoError(t, trace.WriteOrder(&b, one, trace.Options{Place: &ltp.Place{Ahead: 2}, Width: 100}))
	assert.Contains(t, b.String(), "about 2 orders of acme before it\n")
}
