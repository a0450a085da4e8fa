package canonical_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ltp-node/ltp/ledger/canonical"
)

func TestEveryValueHasOneCanonicalForm(t *testing.T) {
	type inner struct {
		Zero int `json:"zero"`
		Gone int `json:"gone,omitempty"`
	}
	for name, c := range map[string]struct {
		value any
		want  string
	}{
		"keys are sorted": {map[string]any{"b": 1, "a": 2, "B": 3, "_": 4, "a1": 5}, `{"B":3,"_":4,"a":2,"a1":5,"b":1}`},
		"keys of structs are sorted": {struct {
			Z inner  `json:"z"`
			A *int   `json:"a"`
			M string `json:"m,omitempty"`
		}{}, `{"a":null,"z":{"zero":0}}`},
		"no HTML escaping":            {"<b> & </b>", `"<b> & </b>"`},
		"line separators as they are": {"a\u2028b\u2029c", "\"a\u2028b\u2029c\""},
		"short escapes":               {"\b\f\n\r\t\"\\/", `"\b\f\n\r\t\"\\/"`},
		"other controls in small hex": {"\x00\x0b\x1f\x7f", "\"\\u0000\\u000b\\u001f\x7f\""},
		"beyond the basic plane":      {"\U0001F4E6é", "\"\U0001F4E6é\""},
		"the replacement character":   {"\uFFFD", "\"\uFFFD\""},
		"whole floats":                {[]any{1.0, 0.0, math.Copysign(0, -1), 100.0, json.Number("5.0"), json.Number("1e3")}, `[1,0,0,100,5,1000]`},
		"floats as in ECMAScript":     {[]float64{0.1, 1e-6, 1e-7, 1.5e-10, 0.01, 1234.5678}, `[0.1,0.000001,1e-7,1.5e-10,0.01,1234.5678]`},
		"the largest integers":        {[]int64{canonical.MaxInteger, -canonical.MaxInteger}, `[9007199254740991,-9007199254740991]`},
		"nothing":                     {nil, `null`},
		"empty":                       {[]any{[]any{}, map[string]any{}, "", false}, `[[],{},"",false]`},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := canonical.Marshal(c.value)
			if err != nil || string(got) != c.want {
				t.Errorf("got %s, %v, want %s", got, err, c.want)
			}
			if !json.Valid(got) {
				t.Errorf("%s is no JSON", got)
			}
		})
	}
}

func TestWhatReadersDisagreeOnIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		value any
		path  string
	}{
		"an integer of 2^53":       {map[string]any{"a": []any{0, int64(1) << 53}}, "a.1"},
		"a negative one":           {-(int64(1) << 53), ""},
		"an unsigned one":          {uint64(1) << 63, ""},
		"a whole float":            {1e300, ""},
		"a number":                 {json.Number("9007199254740993"), ""},
		"a number beyond all":      {json.Number("1e400"), ""},
		"no number":                {math.NaN(), ""},
		"infinity":                 {math.Inf(1), ""},
		"text that is not UTF-8":   {map[string]any{"why": "a\xff"}, "why"},
		"half of a surrogate":      {"\xed\xa0\x80", ""},
		"a key that is a number":   {map[string]any{"12": 1}, ""},
		"a key that is not ASCII":  {map[string]any{"é": 1}, ""},
		"a key that sets the type": {map[string]any{"__proto__": 1}, ""},
		"a function":               {map[string]any{"f": func() {}}, "f"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := canonical.Marshal(c.value)
			var e *canonical.Error
			if !errors.As(err, &e) || e.Path != c.path {
				t.Errorf("got %s, %v", got, err)
			}
		})
	}
}

// unmarshal decodes data into v, and refuses data that is not the canonical form of
// what v then holds: also fields that v does not know, and keys that come twice.
func unmarshal(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the value")
	}
	return canonical.Check(data, v)
}

func TestAnyOtherFormIsRefused(t *testing.T) {
	if err := unmarshal([]byte(`{"a":1,"b":["x",0.5,null]}`), new(any)); err != nil {
		t.Error(err)
	}
	for _, other := range []string{
		`{"b":1,"a":2}`, `{"a":1,"a":1}`, `{ "a":1}`, `{"a":1} `, `{"a":1}{}`, `{"a":1.0}`, `{"a":1e1}`, `{"a":-0}`, `{"a":"\/"}`,
		`{"a":"\u0041"}`, `{"a":"\u2028"}`, `{"a":"\ud800"}`, `{"a":"\u0008"}`, `{"a":"\u003c"}`, "{\"a\":\"\xff\"}", `{"a":9007199254740993}`, `{"1":1}`, ``,
	} {
		if err := unmarshal([]byte(other), new(any)); err == nil {
			t.Errorf("%s was taken", other)
		}
	}
	var known struct {
		A int `json:"a"`
	}
	for _, other := range []string{`{"A":1}`, `{"a":1,"b":2}`, `{}`} {
		if err := unmarshal([]byte(other), &known); err == nil {
			t.Errorf("%s was taken", other)
		}
	}
}

// FuzzCanonical: what is written once is written the same for ever.
func FuzzCanonical(f *testing.F) {
	for _, seed := range []string{`{"b":[1.0,"\u2028<\b"],"a":{"":null}}`, `"\ud83d\ude00"`, `[1e-7,-0,5E2]`, "\"\xff\"", `{"__proto__":{}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := json.NewDecoder(bytes.NewReader(data))
		d.UseNumber()
		var v any
		if d.Decode(&v) != nil {
			return
		}
		once, err := canonical.Marshal(v)
		if err != nil {
			return
		}
		var again any
		if err := unmarshal(once, &again); err != nil {
			t.Fatalf("%s does not round-trip: %v", once, err)
		}
		var by any // any JSON reader understands the same
		if err := json.Unmarshal(once, &by); err != nil {
			t.Fatal(err)
		}
		if twice, err := canonical.Marshal(by); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("%s, then %s, %v", once, twice, err)
		}
	})
}

func TestTextIsReadBackAsItWasWritten(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "s")
		data, err := canonical.Marshal(map[string]string{"s": s})
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(data, &got); err != nil || got["s"] != strings.ToValidUTF8(s, "\uFFFD") {
			t.Fatalf("%q became %q, %v", s, got["s"], err)
		}
	})
}
