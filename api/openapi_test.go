package api

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/contract"
	"github.com/ltp-node/ltp/internal/ordertest"
	"github.com/ltp-node/ltp/orderjson/schema"
	"github.com/ltp-node/ltp/starter"
)

// shape is what these tests read of a schema.
type shape struct {
	Properties map[string]shape `json:"properties"`
	Items      *shape           `json:"items"`
	Enum       []string         `json:"enum"`
	Pattern    string           `json:"pattern"`
	Minimum    *int64           `json:"minimum"`
	Maximum    *int64           `json:"maximum"`
	MinLength  int              `json:"minLength"`
	MaxLength  int              `json:"maxLength"`
	MaxItems   int              `json:"maxItems"`
}

// described is what these tests read of the contract.
type described struct {
	Paths map[string]map[string]struct {
		Responses  map[string]answered `json:"responses"`
		Parameters []struct {
			Name   string `json:"name"`
			Schema shape  `json:"schema"`
		} `json:"parameters"`
	} `json:"paths"`
	Components struct {
		Schemas   map[string]shape    `json:"schemas"`
		Responses map[string]answered `json:"responses"`
		Examples  map[string]struct {
			Summary string          `json:"summary"`
			Value   json.RawMessage `json:"value"`
		} `json:"examples"`
	} `json:"components"`
}

// answered is an answer of the contract, with the examples that each media type has.
type answered struct {
	Content map[string]struct {
		Examples map[string]any `json:"examples"`
	} `json:"content"`
}

func documentOf(t *testing.T, contract []byte) (d described) {
	t.Helper()
	var whole struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	require.NoError(t, json.Unmarshal(contract, &whole))
	for _, item := range whole.Paths {
		delete(item, "parameters") // of all operations of a path
	}
	paths, err := json.Marshal(whole)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(paths, &d))
	var rest struct {
		Components any `json:"components"`
	}
	rest.Components = &d.Components
	require.NoError(t, json.Unmarshal(contract, &rest))
	return d
}

func TestContractIsServed(t *testing.T) {
	got := ask(t, handler(newDesk()), request("GET", "/openapi.json", ""))
	got.wants(t, 200, nil)
	assert.Equal(t, string(OpenAPI()), got.text)
	got = ask(t, operated(observed(ltp.Stable)), request("GET", "/openapi.json", ""))
	got.wants(t, 200, nil)
	assert.Equal(t, string(AdminOpenAPI()), got.text)
}

// TestContractHasEveryRoute, and none that is not served.
func TestContractHasEveryRoute(t *testing.T) {
	of := func(file string) (served []string) {
		source, err := os.ReadFile(file)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\b[as]\.(?:handle|mux\.Handle)\("([A-Z]+ /[^"]*)"`).FindAllStringSubmatch(string(source), -1) {
			served = append(served, m[1])
		}
		assert.NotEmpty(t, served)
		return served
	}
	assert.ElementsMatch(t, slices.Concat(of("surface.go"), of("api.go")), agreed.Routes())
	assert.ElementsMatch(t, slices.Concat(of("surface.go"), of("admin.go")), agreedAdmin.Routes())
}

// TestContractHasEveryProblem with its title and its status, and no other.
func TestContractHasEveryProblem(t *testing.T) {
	problemsOf(t, documentOf(t, OpenAPI()), customers)
	problemsOf(t, documentOf(t, AdminOpenAPI()), operators)
}

func problemsOf(t *testing.T, d described, to audience) {
	var registered []string
	known := map[string]*kind{}
	for _, k := range kinds {
		if k.to&to == 0 {
			continue
		}
		registered = append(registered, k.path())
		known[k.name] = k
		var example problem
		require.NoError(t, json.Unmarshal(d.Components.Examples[k.name].Value, &example), k.name)
		assert.Equal(t, k.withDetail(example.Detail), &problem{Type: example.Type, Title: example.Title, Status: example.Status, Detail: example.Detail}, k.name)
		assert.Equal(t, k.title, d.Components.Examples[k.name].Summary)
	}
	assert.ElementsMatch(t, registered, d.Components.Schemas["Problem"].Properties["type"].Enum)

	answers := slices.Collect(maps.Values(d.Components.Responses))
	status := map[string]bool{}
	for path, item := range d.Paths {
		for method, o := range item {
			for code, a := range o.Responses {
				answers = append(answers, a)
				for name := range a.Content["application/problem+json"].Examples {
					require.Contains(t, known, name)
					assert.Equal(t, strconv.Itoa(known[name].status), code, "%s %s: %s", method, path, name)
				}
			}
		}
	}
	for _, a := range answers {
		for name := range a.Content["application/problem+json"].Examples {
			status[name] = true
		}
	}
	for name := range known {
		assert.True(t, status[name], "no answer of the contract is %s", name)
	}
}

// TestContractNamesTheFieldsOfEveryType that the API reads or writes.
func TestContractNamesTheFieldsOfEveryType(t *testing.T) {
	all, admins := documentOf(t, OpenAPI()).Components.Schemas, documentOf(t, AdminOpenAPI()).Components.Schemas
	for name, c := range map[string]struct {
		of    any
		apart []string // what users do not see
	}{
		"Order": {ltp.Order{}, nil}, "Line": {ltp.Line{}, nil}, "OrderStatus": {starter.Status{}, []string{"parked"}},
		"Receipt": {ltp.Receipt{}, nil}, "Place": {ltp.Place{}, nil}, "Fence": {ltp.Fence{}, nil}, "OrderPage": {page{}, nil}, "Problem": {problem{}, []string{"missing"}},
		"OrderEvent": {ltp.WebhookBody{}, nil},
	} {
		assert.ElementsMatch(t, slices.Collect(maps.Keys(all[name].Properties)), fields(reflect.TypeOf(c.of), c.apart), name)
	}
	for name, c := range map[string]struct {
		of    any
		apart []string // what is of orders
	}{
		"Orientation": {orientation{}, nil}, "Said": {ltp.Attribution{}, nil}, "Workers": {board.Workers{}, nil},
		"Problem": {problem{}, []string{"field", "id", "state"}},
	} {
		assert.ElementsMatch(t, slices.Collect(maps.Keys(admins[name].Properties)), fields(reflect.TypeOf(c.of), c.apart), name)
	}
	o := admins["Orientation"].Properties
	for name, of := range map[string]any{"evidence": ltp.Evidence{}, "hold": ltp.Hold{}, "steering": ltp.ReplayControl{}} {
		assert.ElementsMatch(t, slices.Collect(maps.Keys(o[name].Properties)), fields(reflect.TypeOf(of), nil), name)
	}
}

// fields are the names that a struct has in JSON, but for those apart.
func fields(t reflect.Type, apart []string) (names []string) {
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, fields(f.Type, apart)...)
		case f.IsExported() && !slices.Contains(apart, name):
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names) // since shadows that of what is embedded
}

// TestContractHasEveryWord that a state, a decision, a reason or a verdict can be.
func TestContractHasEveryWord(t *testing.T) {
	all, admins := documentOf(t, OpenAPI()).Components.Schemas, documentOf(t, AdminOpenAPI()).Components.Schemas
	assert.Equal(t, all["State"].Enum, admins["State"].Enum)
	for typed, enum := range map[string][]string{
		"OrderState": all["OrderState"].Enum, "State": all["State"].Enum, "Verdict": admins["Orientation"].Properties["observed"].Enum,
		"Decision": all["OrderStatus"].Properties["decision"].Enum, "Reason": all["OrderStatus"].Properties["reason"].Enum,
	} {
		assert.ElementsMatch(t, wordsOf(t, typed), enum, typed)
	}
	var currencies []string
	for i := range 26 * 26 * 26 {
		code := string([]byte{'A' + byte(i/676), 'A' + byte(i/26%26), 'A' + byte(i%26)})
		if (ltp.Order{ID: "A1", Customer: "c", Currency: code, Lines: []ltp.Line{{SKU: "a", Quantity: 1}}}).Validate() == nil {
			currencies = append(currencies, code)
		}
	}
	assert.Equal(t, currencies, all["Currency"].Enum)
}

// TestContractHasEveryWebhook about an order, and no other.
func TestContractHasEveryWebhook(t *testing.T) {
	var d struct {
		Webhooks map[string]any `json:"webhooks"`
	}
	require.NoError(t, json.Unmarshal(OpenAPI(), &d))
	var events []string
	for _, e := range ltp.WebhookEvents() {
		events = append(events, string(e))
	}
	assert.ElementsMatch(t, append(events, string(ltp.WebhookTest)), wordsOf(t, "WebhookEvent"))
	assert.ElementsMatch(t, events, slices.Collect(maps.Keys(d.Webhooks)))
	assert.ElementsMatch(t, events, documentOf(t, OpenAPI()).Components.Schemas["OrderEvent"].Properties["type"].Enum)
}

// wordsOf are the constants of a type of the root package.
func wordsOf(t *testing.T, typed string) (all []string) {
	t.Helper()
	files, err := filepath.Glob("../*.go")
	require.NoError(t, err)
	for _, file := range files {
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, 0)
		require.NoError(t, err)
		ast.Inspect(f, func(n ast.Node) bool {
			v, ok := n.(*ast.ValueSpec)
			if !ok {
				return true
			}
			if of, ok := v.Type.(*ast.Ident); ok && of.Name == typed && len(v.Values) == 1 {
				if word, ok := v.Values[0].(*ast.BasicLit); ok && word.Kind == token.STRING {
					said, err := strconv.Unquote(word.Value)
					require.NoError(t, err)
					all = append(all, said)
				}
			}
			return true
		})
	}
	return all
}

// TestBoundsOfTheContractAreThoseOfTheAPI.
func TestBoundsOfTheContractAreThoseOfTheAPI(t *testing.T) {
	d := documentOf(t, OpenAPI())
	all := d.Components.Schemas
	order, line := all["Order"].Properties, all["Line"].Properties
	assert.Equal(t, ltp.MaxLines, order["lines"].MaxItems)
	for _, id := range []shape{all["OrderID"], order["id"], order["ordering_key"]} {
		assert.Equal(t, ltp.MaxIDLength, id.MaxLength)
		assert.Equal(t, all["OrderID"].Pattern, id.Pattern)
	}
	assert.Equal(t, int64(ltp.LastPriority), *order["priority"].Maximum)
	assert.Equal(t, int64(ltp.MaxAmountMinor), *line["quantity"].Maximum)
	assert.Equal(t, int64(ltp.MaxAmountMinor), *line["unit_amount_minor"].Maximum)
	assert.Equal(t, int64(-ltp.MaxAmountMinor), *line["unit_amount_minor"].Minimum)
	for _, p := range d.Paths["/orders"]["get"].Parameters {
		if p.Name == "page_size" {
			assert.Equal(t, int64(starter.MaxPage), *p.Schema.Maximum)
		}
	}
	for _, bound := range []int{ltp.MaxAttributes, ltp.MaxAllAttributes, ltp.MaxAttributesDepth} {
		assert.Contains(t, string(OpenAPI()), fmt.Sprintf(" %d ", bound))
	}
	assert.Contains(t, string(OpenAPI()), fmt.Sprintf("more than %d bytes", MaxBody))
}

// TestAPIAndContractHaveTheSameEdges: what is just within is accepted by both, and what is
// just beyond by neither.
func TestAPIAndContractHaveTheSameEdges(t *testing.T) {
	list := func(n int, one func(i int) string) string {
		all := make([]string, n)
		for i := range all {
			all[i] = one(i)
		}
		return "[" + strings.Join(all, ",") + "]"
	}
	tea := func(int) string { return `{"sku":"tea","quantity":1}` }
	component := func(i int) string { return fmt.Sprintf(`"c-%d"`, i) }
	field := func(name, value string) string {
		o := map[string]json.RawMessage{"customer": []byte(`"c"`), "currency": []byte(`"USD"`), "lines": []byte(list(1, tea))}
		o[name] = []byte(value)
		body, err := json.Marshal(o)
		require.NoError(t, err)
		return string(body)
	}
	ofLine := func(member string) string { return field("lines", `[{"sku":"a","quantity":1,`+member+`}]`) }
	text := func(n int) string { return `"` + strings.Repeat("x", n) + `"` }
	for within, beyond := range map[string]string{
		field("id", text(128)):                                      field("id", text(129)),
		field("id", `"A._:-z"`):                                     field("id", `"A/z"`),
		field("id", "null"):                                         field("id", `""`),
		field("customer", text(256)):                                field("customer", text(257)),
		field("customer", `"Łódź \"7\""`):                           field("customer", `"a\u0007b"`),
		field("customer", `"\u00a0"`):                               field("customer", `"\u0085"`),
		field("customer", `" "`):                                    field("customer", `""`),
		field("currency", `"ZWG"`):                                  field("currency", `"ZWL"`),
		field("lines", list(500, tea)):                              field("lines", list(501, tea)),
		field("lines", list(1, tea)):                                field("lines", "[]"),
		field("risk", `"high"`):                                     field("risk", `"low"`),
		field("risk", "null"):                                       field("customer", "null"),
		field("depends_on", list(8, component)):                     field("depends_on", list(9, component)),
		field("depends_on", `["`+strings.Repeat("a", 63)+`"]`):      field("depends_on", `["`+strings.Repeat("a", 64)+`"]`),
		field("depends_on", "[]"):                                   field("depends_on", `["a","a"]`),
		field("priority", "1"):                                      field("priority", "0"),
		field("priority", "5"):                                      field("priority", "6"),
		field("ordering_key", text(128)):                            field("ordering_key", text(129)),
		field("deadline", `"2030-01-31T12:00:00.5+23:59"`):          field("deadline", `"2030-01-31T12:00:00.5+24:00"`),
		field("deadline", `"2028-02-29T12:00:00Z"`):                 field("deadline", `"2030-02-29T12:00:00Z"`),
		field("attributes", "{}"):                                   field("attributes", "[]"),
		field("attributes", `{"a":[1.5e3,null,"b"]}`):               field("note", `"b"`),
		ofLine(`"name":` + text(256)):                               ofLine(`"name":` + text(257)),
		ofLine(`"name":""`):                                         ofLine(`"name":"a\nb"`),
		ofLine(`"attributes":{"a":1}`):                              ofLine(`"note":{"a":1}`),
		ofLine(`"unit_amount_minor":9007199254740991`):              ofLine(`"unit_amount_minor":9007199254740992`),
		ofLine(`"unit_amount_minor":null`):                          ofLine(`"unit_amount_minor":"1"`),
		field("lines", `[{"sku":"a","quantity":9007199254740991}]`): field("lines", `[{"sku":"a","quantity":9007199254740992}]`),
		field("lines", `[{"sku":"a","quantity":1,"unit_amount_minor":9007199254740991},{"sku":"b","quantity":1,"unit_amount_minor":-9007199254740991}]`): field("lines", `[{"sku":"b","quantity":1,"unit_amount_minor":-9007199254740992}]`),
	} {
		ask(t, handler(newDesk()), request("POST", "/orders", within, "Prefer", "respond-async")).wants(t, 202, nil)
		refused := request("POST", "/orders", beyond, "Prefer", "respond-async")
		assert.Falsef(t, agreed.Accepts(refused, []byte(beyond)), "the contract accepts %.200s", beyond)
		ask(t, handler(newDesk()), refused).wants(t, 400, invalidOrder)
	}
}

// TestExamplesOfTheContractAreReal: orders are accepted, and answers are what the API
// answers.
func TestExamplesOfTheContractAreReal(t *testing.T) {
	examples := documentOf(t, OpenAPI()).Components.Examples
	for _, name := range []string{"order", "order-in-line"} {
		h := New(Config{Starter: newDesk(), Board: observed(ltp.Stable)})
		ask(t, h, request("POST", "/orders", string(examples[name].Value), "Prefer", "respond-async")).wants(t, 202, nil)
	}
	for _, name := range []string{"executed", "deferred", "waiting", "cancelled", "cancel-requested"} {
		var st starter.Status
		require.NoError(t, json.Unmarshal(examples[name].Value, &st))
		d := newDesk()
		d.put(st.OrderID, st)
		d.place = st.Backlog
		assert.JSONEq(t, string(examples[name].Value), ask(t, handler(d), request("GET", "/orders/"+st.OrderID, "")).text, name)
	}
	result := starter.Status{State: ltp.Executed, Receipt: &ltp.Receipt{BegunAt: acceptedAt, CommittedAt: acceptedAt, Fence: ltp.Fence{Component: "orders-db", State: ltp.Stable, Epoch: 3}, Result: []byte(`{"of":{"the":["user's"]}}`)}}
	d := newDesk()
	d.put("A1", result)
	d.page = starter.Page{Orders: []starter.Status{d.status["A1"]}}
	ask(t, handler(d), request("GET", "/orders/A1", "")).wants(t, 200, nil)
	ask(t, handler(d), request("GET", "/orders", "")).wants(t, 200, nil)
	admins := documentOf(t, AdminOpenAPI()).Components.Examples
	for name, c := range map[string]struct {
		value json.RawMessage
		into  any
	}{
		"list": {examples["list"].Value, &page{}}, "orientation": {admins["orientation"].Value, &orientation{}}, "orientations": {admins["orientations"].Value, &orientations{}},
	} {
		require.NoError(t, json.Unmarshal(c.value, c.into))
		again, err := json.Marshal(c.into)
		require.NoError(t, err)
		assert.JSONEq(t, string(c.value), string(again), name)
	}
}

// orientations are the answer of GET /orientation.
type orientations struct {
	Components []orientation `json:"components"`
	Workers    board.Workers `json:"workers"`
}

// TestEveryExceptionToTheContractIsNeeded: the contract accepts the request, and the API cannot.
func TestEveryExceptionToTheContractIsNeeded(t *testing.T) {
	twice := request("POST", "/orders", ordertest.JSON(""), "Idempotency-Key", "k", "Idempotency-Key", "l")
	empty := request("POST", "/orders", ordertest.JSON(""))
	empty.Header["Idempotency-Key"] = []string{""}
	needed := map[string]*http.Request{
		"a body that breaks off":                             request("POST", "/orders", ordertest.JSON("A2")),
		"a field twice":                                      request("POST", "/orders", with(`"customer":"d"`)),
		"a whole number with a fraction or an exponent":      request("POST", "/orders", lined(`{"sku":"b","quantity":2.0}`)),
		"text of more bytes than characters":                 request("POST", "/orders", strings.Replace(ordertest.JSON(""), "c-17", "c-"+strings.Repeat("ж", 200), 1)),
		"a total out of bounds":                              request("POST", "/orders", lined(`{"sku":"b","quantity":9007199254740991,"unit_amount_minor":2}`)),
		"a deadline out of bounds":                           request("POST", "/orders", with(`"deadline":"1969-12-31T12:00:00Z"`)),
		"attributes out of bounds":                           request("POST", "/orders", with(`"attributes":{"a":"`+strings.Repeat("x", ltp.MaxAttributes)+`"}`)),
		"a query that cannot be read":                        request("GET", "/orders?page_size=1&a=%zz", ""),
		"a parameter twice":                                  request("GET", "/orders?state=DEFERRED&state=DEFERRED", ""),
		"an unknown parameter":                               request("GET", "/orders?customer_id=c-17", ""),
		"an id that stands for an Idempotency-Key":           request("POST", "/orders", ordertest.JSON("key-02f7f00480d9e68745357e38233a7a4d")),
		"a page token that is not of this listing":           request("GET", "/orders?page_token=AAAA", ""),
		"a header twice":                                     twice,
		"an empty header":                                    empty,
		"an order that the operator's schema does not allow": request("POST", "/orders", strings.Replace(ordertest.JSON(""), "c-17", "d-17", 1)),
	}
	own, err := schema.Compile([]byte(`{"properties": {"customer": {"pattern": "^c"}}}`))
	require.NoError(t, err)
	h := New(Config{Starter: newDesk(), Board: observed(ltp.Stable), Check: own.Check})
	for name, r := range needed {
		sent, err := io.ReadAll(r.Body)
		require.NoError(t, err)
		r.Body = io.NopCloser(bytes.NewReader(sent))
		if name == "a body that breaks off" {
			r.Body = io.NopCloser(iotest.TimeoutReader(bytes.NewReader(sent)))
		}
		assert.True(t, agreed.Accepts(r, sent), "%s: the contract refuses it by itself", name)
		got := ask(t, h, r)
		assert.Equal(t, 400, got.StatusCode, name)
		if falls := contract.Falls(got.Detail, r.URL.RawQuery, sent); assert.NotNil(t, falls, name) {
			assert.Equal(t, name, falls.Name, got.Detail)
		}
	}
	for _, e := range contract.Beyond {
		assert.Contains(t, needed, e.Name, "no request needs this exception")
	}
}

// TestAPIAndContractAgreeOnEveryOrder: they accept the same orders and refuse the same,
// but for what the exceptions name.
func TestAPIAndContractAgreeOnEveryOrder(t *testing.T) {
	values := map[string][]string{
		"id":           {`"A2"`, `null`, `""`, `"-a"`, `7`, `"a b"`},
		"customer":     {`"c-17"`, `"Łódź"`, `""`, `null`, `5`, `"\u0000"`, `"\ud800"`, `"a\tb"`},
		"currency":     {`"USD"`, `"JPY"`, `"usd"`, `"XXX"`, `null`, `""`, `1`},
		"risk":         {`"high"`, `null`, `""`, `"low"`, `true`},
		"depends_on":   {`["orders-db"]`, `[]`, `null`, `["a","b"]`, `["a","a"]`, `["A"]`, `[null]`, `{}`, `[1]`},
		"deadline":     {`"2030-01-31T12:00:00Z"`, `null`, `"2030-13-31T12:00:00Z"`, `"2030-01-31t12:00:00z"`, `"0000-01-01T00:00:00+23:00"`, `"2030-06-30T23:59:60Z"`, `""`, `1`},
		"priority":     {`1`, `3`, `5`, `null`, `0`, `6`, `-1`, `1.0`, `1.5`, `"1"`, `1e0`},
		"ordering_key": {`"c-17"`, `null`, `""`, `"c 17"`, `17`},
		"attributes":   {`{}`, `{"a":{"b":[1,"x",null,true]}}`, `null`, `[]`, `"x"`, `{"a":1,"a":2}`, `{"a":"\u0000"}`},
		"note":         {`1`},
	}
	lineValues := map[string][]string{
		"sku":               {`"tea"`, `"茶"`, `""`, `null`, `1`, `"\u0085"`},
		"name":              {`"Assam"`, `""`, `null`, `1`, `"\n"`},
		"quantity":          {`1`, `9007199254740991`, `9007199254740992`, `0`, `-1`, `null`, `2.0`, `1.5`, `"1"`, `1e2`, `9223372036854775808`},
		"unit_amount_minor": {`450`, `0`, `-1`, `null`, `9007199254740991`, `-9007199254740991`, `-9007199254740992`, `1.5`, `"1"`, `[]`},
		"attributes":        {`{"a":1}`, `null`, `[]`, `1`},
		"price":             {`1`},
	}
	h := handler(newDesk())
	outcomes := map[int]int{}
	rapid.Check(t, func(t *rapid.T) {
		// Every field is left out, good (the first of its values) or anything.
		object := func(values map[string][]string, needed ...string) []string {
			var members []string
			for _, name := range slices.Sorted(maps.Keys(values)) {
				odds := rapid.IntRange(0, 19).Draw(t, name+"'s odds")
				switch {
				case odds == 0 || odds < 8 && !slices.Contains(needed, name):
				case odds < 18:
					if name != "note" && name != "price" {
						members = append(members, strconv.Quote(name)+":"+values[name][0])
					}
				default:
					members = append(members, strconv.Quote(name)+":"+rapid.SampledFrom(values[name]).Draw(t, name))
				}
			}
			return members
		}
		members := object(values, "customer", "currency")
		var lines []string
		for range rapid.IntRange(0, 3).Draw(t, "lines") {
			lines = append(lines, "{"+strings.Join(object(lineValues, "sku", "quantity"), ",")+"}")
		}
		members = append(members, `"lines":[`+strings.Join(lines, ",")+`]`)
		w, err := exchange(h, request("POST", "/orders", "{"+strings.Join(rapid.Permutation(members).Draw(t, "members"), ",")+"}", "Prefer", "respond-async"))
		outcomes[w.Code]++
		if err != nil {
			t.Fatal(err)
		}
	})
	assert.NotZero(t, outcomes[202], "%v", outcomes)
	assert.NotZero(t, outcomes[400], "%v", outcomes)
}
