package payload_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/payload"
)

// BenchmarkPayload is what one payload costs, with an order of two lines in it.
func BenchmarkPayload(b *testing.B) {
	o := ltp.Order{ID: "A1", Customer: "c-17", Currency: "EUR", Lines: []ltp.Line{
		{SKU: "tea", Name: "Tea & biscuits", Quantity: 2, UnitAmountMinor: 450}, {SKU: "book", Quantity: 1, UnitAmountMinor: 1200},
	}}
	for name, c := range map[string]converter.DataConverter{"json/sdk": converter.GetDefaultDataConverter(), "json/ltp": payload.Converter()} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := c.ToPayload(o); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	k := keysOf(b, newKey(b, "one"))
	plain := []*commonpb.Payload{payloadOf(b, o)}
	encrypted, err := k.Encode(plain)
	require.NoError(b, err)
	b.Run("encrypt", func(b *testing.B) {
		for b.Loop() {
			if _, err := k.Encode(plain); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("decrypt", func(b *testing.B) {
		for b.Loop() {
			if _, err := k.Decode(encrypted); err != nil {
				b.Fatal(err)
			}
		}
	})
}
