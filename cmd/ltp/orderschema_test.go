package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestOrdersOfFilesAreReadAsTheAPIReadsThem: what the API refuses, the command refuses,
// before it looks for a Temporal.
func TestOrdersOfFilesAreReadAsTheAPIReadsThem(t *testing.T) {
	const lines = `"customer":"c","currency":"USD","lines":[{"sku":"a","quantity":1,"unit_amount_minor":1}]`
	for order, says := range map[string]string{
		`{"id":"CL1","ID":"CL2",` + lines + `}`:                       "/ID: there is no such field",
		`{"id":"CL1","id":"CL2",` + lines + `}`:                       "/id: give each field once",
		`{"id":"CL1","risk":"\ud800",` + lines + `}`:                  "/risk: ",
		`{"id":"CL1","attributes":{"a":{"b":1,"b":2}},` + lines + `}`: "/attributes/a/b: give each field once",
		`{"id":"CL1",` + lines + `}{"id":"CL2"}`:                      "nothing after it",
		strings.Repeat(" ", 64<<10) + `{"id":"CL1",` + lines + `}`:    "split it",
		`{"id":"CL1","attributes":{"shop":"Faro"},` + lines + `}`:     "/attributes/shop: ",
		`{"id":"CL1",` + lines + `}`:                                  "/attributes: the schema of orders requires",
	} {
		schema := filepath.Join(t.TempDir(), "order.schema.json")
		require.NoError(t, os.WriteFile(schema, []byte(`{"required":["attributes"],"properties":{"attributes":{"properties":{"shop":{"const":"Lisbon"}}}}}`), 0o600))
		_, _, err := run(t, order, "orders", "submit", "--order-schema", schema)
		if assert.Error(t, err, order) {
			assert.Contains(t, err.Error(), says)
		}
	}
}

// TestSchemaThatCannotBeUsedKeepsTheNodeFromStarting: a bad schema is reported before
// anything runs.
func TestSchemaThatCannotBeUsedKeepsTheNodeFromStarting(t *testing.T) {
	bad := filepath.Join(t.TempDir(), "order.schema.json")
	require.NoError(t, os.WriteFile(bad, []byte(`{"properties":{"attributes":{"$ref":"https://example.org/a.json"}}}`), 0o600))
	for _, command := range []string{"api", "dev", "orders submit"} {
		_, _, err := run(t, "", append(strings.Fields(command), "--order-schema", bad)...)
		if assert.Error(t, err, command) {
			assert.Contains(t, err.Error(), "--order-schema "+bad+": it refers to https://example.org/a.json", command)
		}
		_, _, err = run(t, "", append(strings.Fields(command), "--order-schema", bad+".missing")...)
		if assert.Error(t, err, command) {
			assert.Contains(t, err.Error(), "--order-schema: open", command)
		}
	}
}
