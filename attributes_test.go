package ltp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"reflect"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

func TestAttributesHaveOneForm(t *testing.T) {
	for sent, kept := range map[string]string{
		`null`: "", ` {} `: `{}`, "{\n}": `{}`,
		`{"b":1,"a":[ true , false , null ]}`:           `{"a":[true,false,null],"b":1}`,
		`{"a":{"é":[],"z":{},"":1}}`:                    `{"a":{"":1,"z":{},"é":[]}}`,
		`{"a":"\u0041\/\u00e9\ud83c\udf75<>&\u2028"}`:   `{"a":"A/é🍵<>&` + "\u2028" + `"}`,
		`{"a":"\"\\\b\f\n\r\t\u0008\u001f\u007f"}`:      `{"a":"\"\\\b\f\n\r\t\b\u001f` + "\x7f" + `"}`,
		`{"\u0061":"\ufffd"}`:                           `{"a":"` + "\ufffd" + `"}`,
		`{"a":12345678901234567890}`:                    `{"a":12345678901234567890}`,
		`{"a":9007199254740993}`:                        `{"a":9007199254740993}`,
		`{"a":[1.10,1.1,11e-1,0.0110E+2,110e-2]}`:       `{"a":[1.1,1.1,1.1,1.1,1.1]}`,
		`{"a":[1.0,1,10e-1,0.1e1]}`:                     `{"a":[1,1,1,1]}`,
		`{"a":[0,-0,0.0,-0.00e5,0e999999999999]}`:       `{"a":[0,0,0,0,0]}`,
		`{"a":[-1.50,1e3,-1E+3,1e-3,0.5,5e-1,100,120]}`: `{"a":[-1.5,1000,-1000,0.001,0.5,0.5,100,120]}`,
		`{"a":0.1234567890123456789012345678901}`:       `{"a":0.1234567890123456789012345678901}`,
		`{"a":1e399}`:  `{"a":1` + strings.Repeat("0", 399) + `}`,
		`{"a":1e-400}`: `{"a":0.` + strings.Repeat("0", 399) + `1}`,
	} {
		a, err := ltp.ParseAttributes([]byte(sent))
		if assert.NoError(t, err, sent) {
			assert.Equal(t, kept, a.String(), sent)
			assert.Equal(t, kept == "", a.IsZero(), sent)
		}
	}
	_, err := ltp.ParseAttributes([]byte(deep(ltp.MaxAttributesDepth)))
	assert.NoError(t, err)
	spaced := strings.Repeat(" ", ltp.MaxAttributes) + ofSize(ltp.MaxAttributes).String()
	_, err = ltp.ParseAttributes([]byte(spaced))
	assert.NoError(t, err, "white space does not count")
}

// deep is an object of n levels.
func deep(n int) string {
	return `{"a":` + strings.Repeat("[", n-1) + strings.Repeat("]", n-1) + "}"
}

func TestAttributesThatCannotBeKeptAreRefusedByPointer(t *testing.T) {
	for sent, c := range map[string]struct{ field, hint string }{
		``:                               {"", "not JSON"},
		`{`:                              {"", "not JSON"},
		`{"a":1}{}`:                      {"", "not JSON"},
		`{"a":01}`:                       {"", "not JSON"},
		`[]`:                             {"", "object"},
		`"a"`:                            {"", "object"},
		`7`:                              {"", "object"},
		`{"a":1,"a":1}`:                  {"/a", "once"},
		`{"a":{"b":1,"\u0062":2}}`:       {"/a/b", "once"},
		`{"a/b~":[0,{"":1,"":2}]}`:       {"/a~1b~0/1/", "once"},
		`{"a":"\ud800"}`:                 {"/a", "surrogate"},
		`{"a":["x","\ud800\u0041"]}`:     {"/a/1", "surrogate"},
		`{"a":"\udc00\ud800"}`:           {"/a", "surrogate"},
		`{"a":"\ud800x"}`:                {"/a", "surrogate"},
		`{"\ud800":1}`:                   {"", "surrogate"},
		`{"a":{"b":"x\u0000"}}`:          {"/a/b", "U+0000"},
		`{"a":{"\u0000":1}}`:             {"/a", "U+0000"},
		"{\"a\":\"\xff\"}":               {"/a", "UTF-8"},
		"{\"a\":\"\xed\xa0\x80\"}":       {"/a", "UTF-8"},
		`{"a":1e400}`:                    {"/a", "digits"},
		`{"a":[-1e131073]}`:              {"/a/0", "digits"},
		`{"a":1e-401}`:                   {"/a", "digits"},
		`{"a":1e99999999999999999999}`:   {"/a", "digits"},
		`{"a":1e-99999999999999999999}`:  {"/a", "digits"},
		deep(ltp.MaxAttributesDepth + 1): {"/a" + strings.Repeat("/0", ltp.MaxAttributesDepth-1), "levels"},
		deep(9999):                       {"/a" + strings.Repeat("/0", ltp.MaxAttributesDepth-1), "levels"},
		`{"a":"` + strings.Repeat("a", ltp.MaxAttributes) + `"}`: {"", "bytes"},
	} {
		a, err := ltp.ParseAttributes([]byte(sent))
		var invalid *ltp.InvalidError
		if assert.Truef(t, errors.As(err, &invalid), "%.80s was accepted: %v", sent, err) {
			assert.Equal(t, c.field, invalid.Field, "%.80s", sent)
			assert.Contains(t, invalid.Hint, c.hint, "%.80s", sent)
			assert.True(t, a.IsZero())
		}
	}
}

// anyJSON draws a value as JSON, and another spelling of the same.
func anyJSON(t *rapid.T, level int) (one, other string) {
	space := rapid.SampledFrom([]string{"", "", " ", "\n", "\t\r"})
	kinds := 6
	if level == 1 {
		kinds = 1
	}
	if level > 4 {
		kinds = 4
	}
	kind := rapid.IntRange(0, kinds-1).Draw(t, "kind")
	if level == 1 {
		kind = 5
	}
	switch kind {
	case 0:
		word := rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
		return word, word
	case 1:
		n, scale := rapid.Int64().Draw(t, "number"), rapid.IntRange(-30, 30).Draw(t, "scale")
		if n == 0 {
			return "0", fmt.Sprintf("-0.00e%d", scale)
		}
		return fmt.Sprintf("%de%d", n, scale), fmt.Sprintf("%d00.0E%+d", n, scale-2)
	case 2, 3:
		s := strings.ReplaceAll(rapid.String().Draw(t, "text"), "\x00", "")
		return quoted(s), escaped(s)
	case 4:
		n := rapid.IntRange(0, 4).Draw(t, "elements")
		ones, others := make([]string, n), make([]string, n)
		for i := range n {
			ones[i], others[i] = anyJSON(t, level+1)
			others[i] = space.Draw(t, "space") + others[i] + space.Draw(t, "space")
		}
		return "[" + strings.Join(ones, ",") + "]", "[" + strings.Join(others, ",") + "]"
	}
	names := rapid.SliceOfNDistinct(rapid.StringMatching(`[^\x00]{0,5}`), 0, 5, rapid.ID[string]).Draw(t, "names")
	ones, others := make([]string, len(names)), make([]string, len(names))
	for i, name := range names {
		one, other := anyJSON(t, level+1)
		ones[i], others[len(names)-1-i] = quoted(name)+":"+one, space.Draw(t, "space")+escaped(name)+" : "+other
	}
	return "{" + strings.Join(ones, ",") + "}", "{" + strings.Join(others, ",") + "}"
}

func quoted(s string) string {
	data, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// escaped is s with an escape for every character.
func escaped(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r < 0x10000 {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		r -= 0x10000
		fmt.Fprintf(&b, `\u%04X\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
	}
	return b.String() + `"`
}

// meaning is what JSON says, by encoding/json and with exact numbers: what the form of
// attributes is held against.
func meaning(t require.TestingT, data string) any {
	d := json.NewDecoder(strings.NewReader(data))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v))
	return exact(v)
}

func exact(v any) any {
	switch v := v.(type) {
	case json.Number:
		r, _ := new(big.Rat).SetString(v.String())
		return r.RatString()
	case []any:
		for i := range v {
			v[i] = exact(v[i])
		}
	case map[string]any:
		for name := range v {
			v[name] = exact(v[name])
		}
	}
	return v
}

func TestFormOfAttributesKeepsTheirMeaning(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		one, other := anyJSON(t, 1)
		a, err := ltp.ParseAttributes([]byte(one))
		require.NoError(t, err)
		require.Equal(t, meaning(t, one), meaning(t, a.String()), "the form means what was sent")
		b, err := ltp.ParseAttributes([]byte(other))
		require.NoError(t, err)
		require.Equal(t, a, b, "two spellings of the same are the same")
		again, err := ltp.ParseAttributes([]byte(a.String()))
		require.NoError(t, err)
		require.Equal(t, a, again, "the form of the form is itself")

		// By way of an order, as in histories and in the order database.
		o := ordertest.New("A2")
		o.Attributes, o.Lines[0].Attributes = a, b
		data, err := json.Marshal(o)
		require.NoError(t, err)
		var read ltp.Order
		require.NoError(t, json.Unmarshal(data, &read))
		require.Equal(t, o, read)
		require.Equal(t, o.ContentHash(), read.ContentHash())

		third, _ := anyJSON(t, 1)
		c, err := ltp.ParseAttributes([]byte(third))
		require.NoError(t, err)
		with := func(a ltp.Attributes) string { o := ordertest.New("A2"); o.Attributes = a; return o.ContentHash() }
		same := reflect.DeepEqual(meaning(t, one), meaning(t, third))
		require.Equal(t, same, a == c)
		require.Equal(t, same, with(a) == with(c), "the same hash exactly if they mean the same")
	})
}

func TestAttributesFromGo(t *testing.T) {
	type gift struct {
		Wrap string   `json:"wrap"`
		Sum  *big.Int `json:"sum,omitempty"`
	}
	sum, _ := new(big.Int).SetString("12345678901234567890", 10)
	a, err := ltp.AttributesOf(gift{"red <b>", sum})
	require.NoError(t, err)
	assert.Equal(t, `{"sum":12345678901234567890,"wrap":"red <b>"}`, a.String())
	var back gift
	require.NoError(t, a.Into(&back))
	assert.Equal(t, gift{"red <b>", sum}, back)

	a, err = ltp.AttributesOf(nil)
	require.NoError(t, err)
	assert.True(t, a.IsZero())
	require.NoError(t, a.Into(&back))
	assert.Equal(t, "red <b>", back.Wrap, "none leave it as it is")
	for _, v := range []any{[]int{1}, "text", func() {}, map[string]any{"a": make(chan int)}} {
		_, err = ltp.AttributesOf(v)
		assert.ErrorAs(t, err, new(*ltp.InvalidError), "%T", v)
	}
}

func ExampleAttributesOf() {
	attributes, err := ltp.AttributesOf(struct {
		Shop string `json:"shop"`
		Gift bool   `json:"gift"`
	}{"Lisbon", true})
	if err != nil {
		fmt.Println(err) // names the field by JSON pointer
		return
	}
	order := ltp.Order{
		ID: "A1", Customer: "c-17", Currency: "EUR", Attributes: attributes,
		Lines: []ltp.Line{
			{SKU: "book", Name: "The Waves", Quantity: 2, UnitAmountMinor: 6000},
			{SKU: "spring-sale", Quantity: 1, UnitAmountMinor: -500},
		},
	}
	fmt.Println(order.Attributes, order.AmountMinor(), order.Validate())
	// Output: {"gift":true,"shop":"Lisbon"} 11500 <nil>
}

// FuzzAttributes: nothing makes the reader panic, and what it takes means what
// encoding/json reads.
func FuzzAttributes(f *testing.F) {
	for _, seed := range []string{
		`{}`, `null`, `{"a":[1.10,-0,1e-7,{"b":"\ud83c\udf75\\"}]}`, `{"a":1,"a":2}`, `{"\ud800":"\u0000"}`, `{"a":"\ud800\u0041"}`,
		deep(33), `{"a":1e400}`, "{\"a\":\"\xff\"}", ` { "a" : [ ] , "b" : { } } `,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		a, err := ltp.ParseAttributes(data)
		if err != nil {
			if invalid := new(ltp.InvalidError); !errors.As(err, &invalid) || invalid.Hint == "" {
				t.Fatalf("refused without a word: %v", err)
			}
			return
		}
		if a.IsZero() {
			return
		}
		require.Equal(t, meaning(t, string(data)), meaning(t, a.String()))
	})
}
