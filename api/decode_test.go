package api

import (
	"encoding/json"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ltp-node/ltp"
)

// with is an order with one member more.
func with(member string) string { return strings.TrimSuffix(order("A2"), "}") + "," + member + "}" }

// lined is an order with the one line.
func lined(line string) string {
	return `{"customer":"c","currency":"USD","lines":[{"sku":"a","quantity":1,"unit_amount_minor":1},` + line + `]}`
}

func TestBodiesThatAreNoOrderAreRefusedByField(t *testing.T) {
	for name, c := range map[string]struct {
		body, field, hint string
		kind              *kind
	}{
		"empty":                  {"", "", "empty", invalidJSON},
		"blank":                  {" \r\n\t", "", "empty", invalidJSON},
		"not JSON":               {"id=A2", "", "byte 1", invalidJSON},
		"cut off":                {order("A2")[:40], "", "byte 40", invalidJSON},
		"trailing data":          {order("A2") + "x", "", "after top-level value", invalidJSON},
		"two documents":          {order("A2") + "\n" + order("A3"), "", "after top-level value", invalidJSON},
		"trailing comma":         {`{"id":"A2",}`, "", "byte", invalidJSON},
		"byte order mark":        {"\ufeff" + order("A2"), "", "byte 1", invalidJSON},
		"not UTF-8":              {with(`"risk":"` + "\xff" + `"`), "", "UTF-8", invalidJSON},
		"an array":               {"[" + order("A2") + "]", "", "object", invalidJSON},
		"null":                   {"null", "", "object", invalidJSON},
		"a string":               {`"A2"`, "", "object", invalidJSON},
		"nested too deep":        {`{"id":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}", "", "depth", invalidJSON},
		"nested":                 {with(`"note":{"a":[1]}`), "note", "there is no such field", invalidOrder},
		"unknown field":          {with(`"amount":1`), "amount", "there is no such field", invalidOrder},
		"other capitals":         {with(`"Risk":"high"`), "Risk", "there is no such field", invalidOrder},
		"unknown field of line":  {lined(`{"sku":"b","price":1}`), "lines[1].price", "there is no such field", invalidOrder},
		"long unknown field":     {with(`"` + strings.Repeat("ю", 9999) + `":1`), strings.Repeat("ю", 50) + "…", "there is no such field", invalidOrder},
		"repeated field":         {with(`"customer":"d"`), "customer", "once", invalidOrder},
		"repeated, escaped":      {with(`"\u0063ustomer":"d"`), "customer", "once", invalidOrder},
		"repeated field of line": {lined(`{"sku":"b","quantity":1,"quantity":9}`), "lines[1].quantity", "once", invalidOrder},
		"number for text":        {with(`"risk":1`), "risk", "string", invalidOrder},
		"number for id":          {`{"id":7}`, "id", "string", invalidOrder},
		"empty id":               {`{"id":""}`, "id", "leave the field out", invalidOrder},
		"bad id":                 {order("-A2"), "id", "letters, digits", invalidOrder},
		"text for number":        {lined(`{"sku":"b","quantity":"2"}`), "lines[1].quantity", "whole number", invalidOrder},
		"fraction":               {lined(`{"sku":"b","quantity":1.5}`), "lines[1].quantity", "whole number", invalidOrder},
		"fraction of nothing":    {lined(`{"sku":"b","quantity":2.0}`), "lines[1].quantity", "whole number", invalidOrder},
		"exponent":               {lined(`{"sku":"b","quantity":1e2}`), "lines[1].quantity", "whole number", invalidOrder},
		"beyond int64":           {lined(`{"sku":"b","unit_amount_minor":9223372036854775808}`), "lines[1].unit_amount_minor", "9007199254740991", invalidOrder},
		"beyond 2^53":            {lined(`{"sku":"b","quantity":1,"unit_amount_minor":9007199254740992}`), "lines[1].unit_amount_minor", "9007199254740991", invalidOrder},
		"negative":               {lined(`{"sku":"b","quantity":-1}`), "lines[1].quantity", "whole number", invalidOrder},
		"object for array":       {with(`"depends_on":{}`), "depends_on", "array", invalidOrder},
		"array for object":       {lined(`[]`), "lines[1]", "object", invalidOrder},
		"line of nothing":        {lined(`null`), "lines[1].sku", "name the article", invalidOrder},
		"component of nothing":   {with(`"depends_on":[null]`), "depends_on[0]", "small letters", invalidOrder},
		"no lines":               {`{"customer":"c","currency":"USD"}`, "lines", "at least one", invalidOrder},
		"half a surrogate pair":  {with(`"risk":"\ud800"`), "risk", "surrogate", invalidOrder},
		"priority 0":             {with(`"priority":0`), "priority", "from 1", invalidOrder},
		"priority 6":             {with(`"priority":6`), "priority", "to 5", invalidOrder},
		"priority in words":      {with(`"priority":"high"`), "priority", "whole number", invalidOrder},
		"half a priority":        {with(`"priority":1.5`), "priority", "whole number", invalidOrder},
		"empty ordering key":     {with(`"ordering_key":""`), "ordering_key", "leave the field out", invalidOrder},
		"bad ordering key":       {with(`"ordering_key":"c 17"`), "ordering_key", "letters, digits", invalidOrder},
		"long ordering key":      {with(`"ordering_key":"` + strings.Repeat("k", 129) + `"`), "ordering_key", "at most 128", invalidOrder},
		"number as ordering key": {with(`"ordering_key":17`), "ordering_key", "string", invalidOrder},
		"deadline in words":      {with(`"deadline":"tomorrow"`), "deadline", "RFC 3339", invalidOrder},
		"deadline as number":     {with(`"deadline":1716215400`), "deadline", "RFC 3339", invalidOrder},
		"deadline without zone":  {with(`"deadline":"2030-01-31T12:00:00"`), "deadline", "RFC 3339", invalidOrder},
		"deadline in year 10000": {with(`"deadline":"9999-12-31T23:59:59-23:00"`), "deadline", "years", invalidOrder},
		"deadline in year -1":    {with(`"deadline":"0000-01-01T00:00:00+23:00"`), "deadline", "years", invalidOrder},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			got := ask(t, handler(d), request("POST", "/orders", c.body, "Content-Type", "", "Content-Type", "application/json"))
			got.wants(t, 400, c.kind)
			if got.Field != c.field || !strings.Contains(got.Detail, c.hint) {
				t.Errorf("field %q, want %q; %q does not say %q", got.Field, c.field, got.Detail, c.hint)
			}
			if d.starts() != 0 {
				t.Error("the order was accepted")
			}
		})
	}
}

func TestOrderIsReadAsItWasWritten(t *testing.T) {
	o, p := decodeOrder([]byte(` {"id":"A2","customer":"Łódź \"7\"","currency":"PLN","risk":"high",
		"depends_on":["orders-db","stock"],"deadline":"2030-01-31T12:00:00.5+02:00","priority":5,"ordering_key":"c-17",
		"lines":[{"unit_amount_minor":9007199254740991,"quantity":1,"sku":"\ud83c\udf75"}]} `))
	if p != nil {
		t.Fatal(p.Detail)
	}
	data, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"id":"A2","customer":"Łódź \"7\"","currency":"PLN","lines":[{"sku":"🍵","quantity":1,"unit_amount_minor":9007199254740991}],` +
		`"risk":"high","depends_on":["orders-db","stock"],"deadline":"2030-01-31T10:00:00.5Z","priority":5,"ordering_key":"c-17"}`
	if string(data) != want {
		t.Errorf("read  %s\nwrote %s", data, want)
	}
}

func TestNullCountsAsLeftOut(t *testing.T) {
	bare, _ := decodeOrder([]byte(order("")))
	o, p := decodeOrder([]byte(strings.TrimSuffix(order(""), "}") + `,"id":null,"risk":null,"depends_on":null,"deadline":null,"priority":null,"ordering_key":null}`))
	if p != nil || o.ContentHash() != bare.ContentHash() {
		t.Errorf("read %+v, %v", o, p)
	}
}

func TestBodyMustBeDeclaredAsJSON(t *testing.T) {
	for name, c := range map[string]struct {
		header []string
		code   int
	}{
		"plain":        {[]string{"Content-Type", "application/json"}, 202},
		"charset":      {[]string{"Content-Type", "Application/JSON; charset=utf-8"}, 202},
		"identity":     {[]string{"Content-Type", "application/json", "Content-Encoding", "identity"}, 202},
		"none":         {nil, 415},
		"form":         {[]string{"Content-Type", "application/x-www-form-urlencoded"}, 415},
		"text":         {[]string{"Content-Type", "text/plain"}, 415},
		"another JSON": {[]string{"Content-Type", "application/problem+json"}, 415},
		"garbage":      {[]string{"Content-Type", ";"}, 415},
		"compressed":   {[]string{"Content-Type", "application/json", "Content-Encoding", "gzip"}, 415},
	} {
		t.Run(name, func(t *testing.T) {
			d := newDesk()
			r := request("POST", "/orders", order("A2"), append([]string{"Content-Type", "", "Prefer", "respond-async"}, c.header...)...)
			got := ask(t, handler(d), r)
			if c.code == 202 {
				got.wants(t, 202, nil)
				return
			}
			got.wants(t, 415, unsupportedMediaType)
			if got.Header.Get("Accept-Post") != "application/json" || d.starts() != 0 {
				t.Errorf("Accept-Post: %q; %d orders accepted", got.Header.Get("Accept-Post"), d.starts())
			}
		})
	}
}

func TestBodyHasABound(t *testing.T) {
	padded := func(n int) string { return order("A2") + strings.Repeat(" ", n-len(order("A2"))) }
	d := newDesk()
	h := handler(d)
	ask(t, h, request("POST", "/orders", padded(MaxBody+1))).wants(t, 413, bodyTooLarge)
	if d.starts() != 0 {
		t.Error("the order was accepted")
	}
	ask(t, h, request("POST", "/orders", padded(MaxBody), "Prefer", "respond-async")).wants(t, 202, nil)
}

func TestBodyThatBreaksOffStartsNothing(t *testing.T) {
	d := newDesk()
	r := request("POST", "/orders", order("A2"))
	r.Body = io.NopCloser(iotest.TimeoutReader(iotest.HalfReader(strings.NewReader(order("A2")))))
	ask(t, handler(d), r).wants(t, 400, invalidJSON)
	if d.starts() != 0 {
		t.Error("the order was accepted")
	}
}

// FuzzDecode holds the decoder against encoding/json: whatever it accepts reads the
// same there, and nothing makes it panic.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		order("A2"), order(""), with(`"risk":"high","depends_on":["a","b"],"deadline":"2030-01-31T12:00:00Z"`),
		with(`"risk":null`), lined(`{}`), lined(`null`), "{}", "null", "[]", `{"id":"A2","id":"A3"}`, `{"ID":"A2"}`,
		`{"lines":[[]]}`, `{"lines":[{"quantity":1e9}]}`, `{"customer":"\ud800"}`, `{"deadline":"9999-12-31T23:59:59-23:00"}`,
		"{\"id\":\"\xff\"}", "\ufeff{}", `{"id":"A2"}{}`, `{"id":"A2",}`, `{"quantity":` + "-0}", strings.Repeat("[", 99),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		o, p := decodeOrder(data)
		if p != nil {
			if p.Detail == "" || p.Title == "" {
				t.Errorf("refused without a word: %+v", p)
			}
			return
		}
		var reference ltp.Order
		if err := json.Unmarshal(data, &reference); err != nil {
			t.Fatalf("accepts what encoding/json refuses: %v", err)
		}
		if o.Validate() == nil && o.ContentHash() != reference.ContentHash() {
			t.Errorf("reads %+v, encoding/json %+v", o, reference)
		}
	})
}
