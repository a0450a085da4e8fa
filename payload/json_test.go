package payload_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/payload"
)

// TestJSONHasNoEscapesThatItNeedsNot, and those that it needs stay.
func TestJSONHasNoEscapesThatItNeedsNot(t *testing.T) {
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"HTML":                  {`<b>&"x"`, `"<b>&\"x\""`},
		"line separators":       {"a\u2028b\u2029c", "\"a\u2028b\u2029c\""},
		"control characters":    {"a\u0000\u001f\n", `"a\u0000\u001f\n"`},
		"text like an escape":   {`\u003c \\u003c`, `"\\u003c \\\\u003c"`},
		"a backslash before it": {`\<`, `"\\<"`},
		"names of fields":       {map[string]int{"<": 1}, `{"<":1}`},
		"JSON of a marshaler":   {json.RawMessage(`{"a":"\u003C\u00e9\u2028"}`), "{\"a\":\"<\\u00e9\u2028\"}"},
		"damaged text":          {"\xff<", `"\ufffd<"`},
		"nothing to do":         {"tea", `"tea"`},
	} {
		t.Run(name, func(t *testing.T) {
			p, err := payload.Converter().ToPayload(c.value)
			require.NoError(t, err)
			assert.Equal(t, c.want, string(p.GetData()))
			assert.Equal(t, converter.MetadataEncodingJSON, string(p.GetMetadata()[converter.MetadataEncoding]))
		})
	}
}

// TestPayloadsOfThisConverterAndTheSDKsReadTheSame: each reads what the other has written.
func TestPayloadsOfThisConverterAndTheSDKsReadTheSame(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.SampledFrom([]rune("<>&\\u023c8\"\u2028\u2029\n"))))
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.MapOf(text, text).Draw(t, "value")
		ours, err := payload.Converter().ToPayload(value)
		require.NoError(t, err)
		sdks, err := converter.GetDefaultDataConverter().ToPayload(value)
		require.NoError(t, err)
		assert.LessOrEqual(t, len(ours.GetData()), len(sdks.GetData()))
		var want map[string]string
		require.NoError(t, json.Unmarshal(sdks.GetData(), &want))
		for _, c := range []converter.DataConverter{payload.Converter(), converter.GetDefaultDataConverter()} {
			var a, b map[string]string
			require.NoError(t, c.FromPayload(ours, &a))
			require.NoError(t, c.FromPayload(sdks, &b))
			assert.Equal(t, want, a)
			assert.Equal(t, want, b)
		}
	})
}

// TestPayloadsThatAreNoJSONAreEncodedAsByTheSDK: bytes, protobuf and nothing are no JSON.
func TestPayloadsThatAreNoJSONAreEncodedAsByTheSDK(t *testing.T) {
	for _, value := range []any{[]byte(`\u003c`), nil} {
		ours, err := payload.Converter().ToPayload(value)
		require.NoError(t, err)
		sdks, err := converter.GetDefaultDataConverter().ToPayload(value)
		require.NoError(t, err)
		assert.True(t, proto.Equal(sdks, ours), "%v", value)
	}
}

// TestPayloadOfAnOrderIsAboutAsLongAsItsText: it is read back as the same order.
func TestPayloadOfAnOrderIsAboutAsLongAsItsText(t *testing.T) {
	sku := strings.Repeat("<", 61_000/200)
	attributes, err := ltp.ParseAttributes([]byte(`{"note":"a<b & c>d \u2028"}`))
	require.NoError(t, err)
	o := ltp.Order{ID: "A1", Customer: "<&>", Currency: "EUR", Attributes: attributes}
	for range 200 {
		o.Lines = append(o.Lines, ltp.Line{SKU: sku, Quantity: 1, UnitAmountMinor: 1})
	}
	p, err := payload.Converter().ToPayload(o)
	require.NoError(t, err)
	assert.Less(t, len(p.GetData()), 61_000+200*60, "bytes")
	var read ltp.Order
	require.NoError(t, payload.Converter().FromPayload(p, &read))
	assert.Equal(t, o, read)
	assert.Equal(t, o.ContentHash(), read.ContentHash())
}
