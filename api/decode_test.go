package api

import (
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

// with is an order with one member more.
func with(member string) string {
	return strings.TrimSuffix(ordertest.JSON("A2"), "}") + "," + member + "}"
}

// lined is an order with the one line.
func lined(line string) string {
	return `{"customer":"c","currency":"USD","lines":[{"sku":"a","quantity":1,"unit_amount_minor":1},` + line + `]}`
}

func TestBodiesThatAreNoOrderAreRefusedByField(t *testing.T) {
	for name, c := range map[string]struct {
		body, field, hint string
		kind              *kind
	}{
		"empty":                   {"", "", "empty", invalidJSON},
		"blank":                   {" \r\n\t", "", "empty", invalidJSON},
		"not JSON":                {"id=A2", "", "byte 1", invalidJSON},
		"cut off":                 {ordertest.JSON("A2")[:40], "", "byte 40", invalidJSON},
		"trailing data":           {ordertest.JSON("A2") + "x", "", "after top-level value", invalidJSON},
		"two documents":           {ordertest.JSON("A2") + "\n" + ordertest.JSON("A3"), "", "after top-level value", invalidJSON},
		"trailing comma":          {`{"id":"A2",}`, "", "byte", invalidJSON},
		"byte order mark":         {"\ufeff" + ordertest.JSON("A2"), "", "byte 1", invalidJSON},
		"not UTF-8":               {with(`"risk":"` + "\xff" + `"`), "", "UTF-8", invalidJSON},
		"an array":                {"[" + ordertest.JSON("A2") + "]", "", "object", invalidJSON},
		"null":                    {"null", "", "object", invalidJSON},
		"a string":                {`"A2"`, "", "object", invalidJSON},
		"nested too deep":         {`{"id":` + strings.Repeat("[", 20000) + strings.Repeat("]", 20000) + "}", "", "depth", invalidJSON},
		"nested":                  {with(`"note":{"a":[1]}`), "/note", "there is no such field", invalidOrder},
		"unknown field":           {with(`"amount":1`), "/amount", "there is no such field", invalidOrder},
		"other capitals":          {with(`"Risk":"high"`), "/Risk", "there is no such field", invalidOrder},
		"unknown field of line":   {lined(`{"sku":"b","price":1}`), "/lines/1/price", "there is no such field", invalidOrder},
		"long unknown field":      {with(`"` + strings.Repeat("ю", 9999) + `":1`), "/" + strings.Repeat("ю", 49) + "…", "there is no such field", invalidOrder},
		"repeated field":          {with(`"customer":"d"`), "/customer", "once", invalidOrder},
		"repeated, escaped":       {with(`"\u0063ustomer":"d"`), "/customer", "once", invalidOrder},
		"repeated field of line":  {lined(`{"sku":"b","quantity":1,"quantity":9}`), "/lines/1/quantity", "once", invalidOrder},
		"number for text":         {with(`"risk":1`), "/risk", "string", invalidOrder},
		"number for id":           {`{"id":7}`, "/id", "string", invalidOrder},
		"empty id":                {`{"id":""}`, "/id", "leave the field out", invalidOrder},
		"bad id":                  {ordertest.JSON("-A2"), "/id", "letters, digits", invalidOrder},
		"text for number":         {lined(`{"sku":"b","quantity":"2"}`), "/lines/1/quantity", "whole number", invalidOrder},
		"fraction":                {lined(`{"sku":"b","quantity":1.5}`), "/lines/1/quantity", "whole number", invalidOrder},
		"fraction of nothing":     {lined(`{"sku":"b","quantity":2.0}`), "/lines/1/quantity", "whole number", invalidOrder},
		"exponent":                {lined(`{"sku":"b","quantity":1e2}`), "/lines/1/quantity", "whole number", invalidOrder},
		"beyond int64":            {lined(`{"sku":"b","unit_amount_minor":9223372036854775808}`), "/lines/1/unit_amount_minor", "9007199254740991", invalidOrder},
		"beyond 2^53":             {lined(`{"sku":"b","quantity":1,"unit_amount_minor":9007199254740992}`), "/lines/1/unit_amount_minor", "9007199254740991", invalidOrder},
		"negative":                {lined(`{"sku":"b","quantity":-1}`), "/lines/1/quantity", "whole number", invalidOrder},
		"a line below 0":          {lined(`{"sku":"b","quantity":1,"unit_amount_minor":-2}`), "/lines", "total is -1", invalidOrder},
		"attributes in a list":    {with(`"attributes":[1]`), "/attributes", "object", invalidOrder},
		"attribute twice":         {with(`"attributes":{"gift":{"a/b":1,"a\u002fb":1}}`), "/attributes/gift/a~1b", "once", invalidOrder},
		"half a surrogate in one": {lined(`{"sku":"b","attributes":{"note":["\udc00"]}}`), "/lines/1/attributes/note/0", "surrogate", invalidOrder},
		"U+0000 in one":           {with(`"attributes":{"note":"a\u0000"}`), "/attributes/note", "U+0000", invalidOrder},
		"number beyond databases": {with(`"attributes":{"n":1e131073}`), "/attributes/n", "digits", invalidOrder},
		"attributes too large":    {with(`"attributes":{"n":"` + strings.Repeat("n", ltp.MaxAttributes) + `"}`), "/attributes", "at most 32768", invalidOrder},
		"object for array":        {with(`"depends_on":{}`), "/depends_on", "array", invalidOrder},
		"array for object":        {lined(`[]`), "/lines/1", "object", invalidOrder},
		"line of nothing":         {lined(`null`), "/lines/1/sku", "name the article", invalidOrder},
		"component of nothing":    {with(`"depends_on":[null]`), "/depends_on/0", "small letters", invalidOrder},
		"no lines":                {`{"customer":"c","currency":"USD"}`, "/lines", "at least one", invalidOrder},
		"half a surrogate pair":   {with(`"risk":"\ud800"`), "/risk", "surrogate", invalidOrder},
		"priority 0":              {with(`"priority":0`), "/priority", "from 1", invalidOrder},
		"priority 6":              {with(`"priority":6`), "/priority", "to 5", invalidOrder},
		"priority in words":       {with(`"priority":"high"`), "/priority", "whole number", invalidOrder},
		"half a priority":         {with(`"priority":1.5`), "/priority", "whole number", invalidOrder},
		"empty ordering key":      {with(`"ordering_key":""`), "/ordering_key", "leave the field out", invalidOrder},
		"bad ordering key":        {with(`"ordering_key":"c 17"`), "/ordering_key", "letters, digits", invalidOrder},
		"long ordering key":       {with(`"ordering_key":"` + strings.Repeat("k", 129) + `"`), "/ordering_key", "at most 128", invalidOrder},
		"number as ordering key":  {with(`"ordering_key":17`), "/ordering_key", "string", invalidOrder},
		"deadline in words":       {with(`"deadline":"tomorrow"`), "/deadline", "RFC 3339", invalidOrder},
		"deadline as number":      {with(`"deadline":1716215400`), "/deadline", "RFC 3339", invalidOrder},
		"deadline without zone":   {with(`"deadline":"2030-01-31T12:00:00"`), "/deadline", "RFC 3339", invalidOrder},
		"deadline in year 1":      {with(`"deadline":"0001-01-01T00:00:00Z"`), "/deadline", "years", invalidOrder},
		"deadline a day off":      {with(`"deadline":"2030-01-31T12:00:00+24:00"`), "/deadline", "RFC 3339", invalidOrder},
		"deadline with a comma":   {with(`"deadline":"2030-01-31T12:00:00,5Z"`), "/deadline", "RFC 3339", invalidOrder},
		"deadline in year 10000":  {with(`"deadline":"9999-12-31T23:59:59-23:00"`), "/deadline", "years", invalidOrder},
		"deadline in year -1":     {with(`"deadline":"0000-01-01T00:00:00+23:00"`), "/deadline", "years", invalidOrder},
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

// TestOrdersThatTheOperatorsCheckRefusesAreInvalid: the check is asked of the body as it
// was sent, of orders that can be read, and before anything is accepted.
func TestOrdersThatTheOperatorsCheckRefusesAreInvalid(t *testing.T) {
	d := newDesk()
	var asked []string
	h := New(Config{Starter: d, Check: func(body []byte) error {
		asked = append(asked, string(body))
		if strings.Contains(string(body), "gift") {
			return nil
		}
		return &ltp.InvalidError{Field: "/attributes/gift", Hint: "the schema of orders requires this field"}
	}})
	got := ask(t, h, request("POST", "/orders", " "+ordertest.JSON("A2"), "Prefer", "respond-async"))
	got.wants(t, 400, invalidOrder)
	if got.Field != "/attributes/gift" || !strings.HasPrefix(got.Detail, "/attributes/gift: the schema") || d.starts() != 0 {
		t.Errorf("%q: %q; %d orders accepted", got.Field, got.Detail, d.starts())
	}
	ask(t, h, request("POST", "/orders", with(`"attributes":{"gift":true}`), "Prefer", "respond-async")).wants(t, 202, nil)
	ask(t, h, request("POST", "/orders", with(`"attributes":{"gift":1,"gift":2}`), "Prefer", "respond-async")).wants(t, 400, invalidOrder)
	if len(asked) != 2 || asked[0] != " "+ordertest.JSON("A2") {
		t.Errorf("asked of %q", asked)
	}
	if o := d.accepted["A2"]; o.Attributes.String() != `{"gift":true}` {
		t.Errorf("accepted %+v", o)
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
			r := request("POST", "/orders", ordertest.JSON("A2"), append([]string{"Content-Type", "", "Prefer", "respond-async"}, c.header...)...)
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
	padded := func(n int) string { return ordertest.JSON("A2") + strings.Repeat(" ", n-len(ordertest.JSON("A2"))) }
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
	r := request("POST", "/orders", ordertest.JSON("A2"))
	r.Body = io.NopCloser(iotest.TimeoutReader(iotest.HalfReader(strings.NewReader(ordertest.JSON("A2")))))
	ask(t, handler(d), r).wants(t, 400, invalidJSON)
	if d.starts() != 0 {
		t.Error("the order was accepted")
	}
}
