package schema_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderjson/schema"
)

const shop = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"required": ["attributes"],
	"properties": {
		"id": {"pattern": "^SHOP-[0-9]+$"},
		"lines": {"items": {"properties": {
			"unit_amount_minor": {"minimum": -500},
			"attributes": {"$ref": "#/$defs/line"}}}},
		"attributes": {
			"type": "object",
			"required": ["shop"],
			"properties": {
				"shop": {"enum": ["Lisbon", "Porto"]},
				"gift": {"type": "object", "properties": {"wrap": {"type": ["string", "null"], "maxLength": 3}}, "additionalProperties": false},
				"weight": {"multipleOf": 0.01, "exclusiveMaximum": 12345678901234567890},
				"tags": {"uniqueItems": true, "maxItems": 3},
				"pay": {"anyOf": [{"const": "cash"}, {"type": "object", "required": ["card"]}]}
			}
		}
	},
	"$defs": {"line": {"type": "object", "propertyNames": {"pattern": "^[a-z]+$"}, "dependentRequired": {"lot": ["best"]}}}
}`

// order is one that satisfies shop, with the member changed or added.
func order(attributes string) string { return ordered("SHOP-1", "0", "{}", attributes) }

func ordered(id, unit, line, attributes string) string {
	return fmt.Sprintf(`{"id":%q,"lines":[{},{"unit_amount_minor":%s,"attributes":%s}],"attributes":%s}`, id, unit, line, attributes)
}

func TestOrdersThatTheSchemaDoesNotAllowAreRefusedByPointer(t *testing.T) {
	s, err := schema.Compile([]byte(shop))
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{
		order(`{"shop":"Porto"}`),
		order(`{"shop":"Lisbon","gift":{"wrap":null},"weight":1.10,"tags":[1,"1"],"pay":{"card":1}}`),
		ordered("SHOP-2", "-500", `{"lot":1,"best":2}`, `{"shop":"Porto","other":[]}`),
	} {
		if err := s.Check([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, c := range []struct{ order, field, hint string }{
		{`{"id":"SHOP-1"}`, "/attributes", "requires"},
		{`{"attributes":null}`, "/attributes", "an object, and this is null"},
		{order(`{}`), "/attributes/shop", "requires"},
		{order(`{"shop":"Faro"}`), "/attributes/shop", "'Lisbon', 'Porto'"},
		{order(`{"shop":"Porto","gift":{"wrap":7}}`), "/attributes/gift/wrap", "null or a string, and this is a number"},
		{order(`{"shop":"Porto","gift":{"wrap":"blue"}}`), "/attributes/gift/wrap", "at most 3 characters, and not 4"},
		{order(`{"shop":"Porto","gift":{"b~/":1,"c":1}}`), "/attributes/gift/b~0~1", "leave it out"},
		{order(`{"shop":"Porto","weight":0.001}`), "/attributes/weight", "multiple of 0.01"},
		{order(`{"shop":"Porto","weight":12345678901234567890}`), "/attributes/weight", "below 12345678901234567890"},
		{order(`{"shop":"Porto","tags":[1,2,1.0]}`), "/attributes/tags", "0 and 2 are the same"},
		{order(`{"shop":"Porto","pay":{"cheque":1}}`), "/attributes/pay", "one of the forms"},
		{ordered("A1", "0", "{}", `{"shop":"Porto"}`), "/id", "must match ^SHOP-"},
		{ordered("SHOP-1", "-501", "{}", `{"shop":"Porto"}`), "/lines/1/unit_amount_minor", "at least -500"},
		{ordered("SHOP-1", "0", `{"Lot":1}`, `{"shop":"Porto"}`), "/lines/1/attributes/Lot", `the name "Lot"`},
		{ordered("SHOP-1", "0", `{"Lot":1}`, `{"shop":"Porto","Lot":1}`), "", `the name "Lot"`},
		{ordered("SHOP-1", "0", `{"lot":1}`, `{"shop":"Porto"}`), "/lines/1/attributes/best", `where there is "lot"`},
		{ordered("A1", "-501", `{"lot":1}`, `{}`), "/attributes/shop", "requires"},
	} {
		for range 20 { // the validator walks maps
			var invalid *ltp.InvalidError
			if err := s.Check([]byte(c.order)); !errors.As(err, &invalid) || invalid.Field != c.field || !strings.Contains(invalid.Hint, c.hint) {
				t.Errorf("%s: %v, want %s: %s", c.order, err, c.field, c.hint)
				break
			}
		}
	}
}

// TestSchemaOfTheExamples: it takes the order that the README sends, and checks it.
func TestSchemaOfTheExamples(t *testing.T) {
	data, err := os.ReadFile("../../examples/order.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	s, err := schema.Compile(data)
	if err != nil {
		t.Fatal(err)
	}
	const order = `{"id":"A3","attributes":{"shop":"Lisbon","gift":{"wrap":true}},"lines":[{"attributes":{"lot":"L-9"}},{}]}`
	if err := s.Check([]byte(order)); err != nil {
		t.Error(err)
	}
	err = s.Check([]byte(strings.Replace(order, "L-9", "9", 1)))
	if err == nil || !strings.HasPrefix(err.Error(), "/lines/0/attributes/lot: ") {
		t.Error(err)
	}
}

func TestTheFirstElementIsNamedAndNotTheTenth(t *testing.T) {
	s, err := schema.Compile([]byte(`{"properties":{"lines":{"prefixItems":[{}],"items":{"type":"object"}}}}`))
	if err != nil {
		t.Fatal(err)
	}
	err = s.Check([]byte(`{"lines":[1,{},3` + strings.Repeat(",4", 20) + `]}`))
	if err == nil || !strings.HasPrefix(err.Error(), "/lines/2: ") {
		t.Error(err)
	}
}

func TestFilesThatASchemaRefersToAreNotLoaded(t *testing.T) {
	file := filepath.Join(t.TempDir(), "attributes.json")
	if err := os.WriteFile(file, []byte(`{"type":"object"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := schema.Compile([]byte(fmt.Sprintf(`{"properties":{"attributes":{"$ref":"file://%s"}}}`, file)))
	if err == nil || !strings.Contains(err.Error(), "put what it refers to under $defs") {
		t.Error(err)
	}
}

func TestSchemasThatCannotBeUsedAreRefusedInASentence(t *testing.T) {
	for text, says := range map[string]string{
		``:                          "not JSON",
		`{"type":`:                  "not JSON",
		`[]`:                        "a JSON object",
		`true`:                      "a JSON object",
		`{"type":"order"}`:          "/type",
		`{"required":"attributes"}`: "/required",
		`{"pattern":"("}`:           "not a JSON Schema",
		`{"$ref":"#/$defs/order"}`:  "#/$defs/order",
		`{"$ref":"#"}`:              "refers to itself",
		`{"$ref":"https://example.org/order.json"}`:                           "put what it refers to under $defs",
		`{"properties":{"attributes":{"$ref":"file:///etc/passwd"}}}`:         "put what it refers to under $defs",
		`{"properties":{"attributes":{"$ref":"attributes.json"}}}`:            "put what it refers to under $defs",
		`{"$schema":"http://json-schema.org/draft-07/schema#"}`:               "use JSON Schema 2020-12",
		`{"$schema":"https://example.org/own","properties":{"attributes":1}}`: "use JSON Schema 2020-12",
	} {
		s, err := schema.Compile([]byte(text))
		if err == nil {
			t.Errorf("%s was taken: %v", text, s)
		} else if !strings.Contains(err.Error(), says) || strings.Contains(err.Error(), "order:///") {
			t.Errorf("%s: %v, want %q", text, err, says)
		}
	}
}
