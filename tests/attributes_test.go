package tests

import (
	"context"
	"database/sql"
	"encoding/json"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/orderdb/pgtest"
	"github.com/ltp-node/ltp/orderjson/schema"
)

// ownOrder is an order with attributes and a discount, and repeated is the same in other
// spelling. ownForm is how its attributes are kept.
const (
	ownOrder = `{"id":"own-1","customer":"c-17","currency":"USD","attributes":
		{"shop":"Lisbon","gift":{"wrap":true,"note":"for \u0041nn & <b>"},"loyalty":12345678901234567890,"weight":1.10,"far":1e300},
		"lines":[{"sku":"tea","name":"Green tea","quantity":2,"unit_amount_minor":450,"attributes":{"lot":"L-9"}},
			{"sku":"spring-sale","quantity":1,"unit_amount_minor":-500}]}`
	repeated = `{"lines":[{"attributes":{"\u006cot":"L-9"},"unit_amount_minor":450,"quantity":2,"name":"Green tea","sku":"tea"},
			{"unit_amount_minor":-500,"quantity":1,"sku":"spring-sale","attributes":null}],
		"attributes":{"far":10.0E+299,"weight":1.1,"loyalty":12345678901234567890,"gift":{"note":"for Ann \u0026 <b>","wrap":true},"shop":"Lisbon"},
		"currency":"USD","customer":"c-17","id":"own-1"}`
)

func ownForm() string {
	return `{"far":1` + strings.Repeat("0", 300) + `,"gift":{"note":"for Ann & <b>","wrap":true},"loyalty":12345678901234567890,"shop":"Lisbon","weight":1.1}`
}

// TestAttributesReachTheRowAndAreSearchableThere, on both order databases: an order is
// sent with attributes, which the operator's schema checks; the row has them, a search by
// them finds it, the same order in other spelling is a repeat, and the audit finds nothing
// wrong with the row.
func TestAttributesReachTheRowAndAreSearchableThere(t *testing.T) {
	for name, row := range map[string]struct {
		url    func(t *testing.T) string
		search string
		query  func(t *testing.T, r *rig, query string) (found int)
	}{
		"postgres": {
			func(t *testing.T) string { return pgtest.Shared(t).Database(t) },
			`SELECT count(*) FROM ltp.orders WHERE amount_minor = 400 AND body->'attributes' @> '{"gift":{"wrap":true},"loyalty":12345678901234567890}'
				AND (body #>> '{attributes,weight}')::numeric = 1.1 AND body->'lines' @> '[{"attributes":{"lot":"L-9"}}]'
				AND (body #>> '{attributes,loyalty}') = '12345678901234567890'`,
			func(t *testing.T, r *rig, query string) (found int) {
				require.NoError(t, pgtest.Connect(t, r.Orders).QueryRow(r.Ctx, query).Scan(&found))
				return found
			},
		},
		"sqlite": {
			func(*testing.T) string { return "" },
			`SELECT count(*) FROM orders WHERE amount_minor = 400 AND json_extract(body, '$.attributes.gift.wrap') = 1
				AND json_extract(body, '$.attributes.weight') = 1.1 AND json_extract(body, '$.lines[0].attributes.lot') = 'L-9'
				AND body -> '$.attributes.loyalty' = '12345678901234567890'`,
			func(t *testing.T, r *rig, query string) (found int) {
				db, err := sql.Open("sqlite", "file:"+r.Orders+"?_pragma=busy_timeout(10000)")
				require.NoError(t, err)
				defer db.Close()
				require.NoError(t, db.QueryRowContext(context.Background(), query).Scan(&found))
				return found
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRigOn(t, row.url(t))
			c := r.config()
			url := r.listen(&c)
			s, err := schema.Compile([]byte(`{"properties":{"attributes":{"properties":{"shop":{"enum":["Lisbon","Porto"]}}}}}`))
			require.NoError(t, err)
			c.CheckOrder = s.Check
			n := r.up(c)
			r.Until(n.Board, ltp.Stable)

			response, problem := do(t, "POST", url+"/orders", strings.Replace(ownOrder, "Lisbon", "Faro", 1), nil)
			assert.Equal(t, 400, response.StatusCode)
			assert.Equal(t, "/attributes/shop", problem["field"])
			response, _ = do(t, "POST", url+"/orders", ownOrder, map[string]string{"Prefer": "wait=30"})
			require.Equal(t, 201, response.StatusCode)
			assert.Equal(t, 1, row.query(t, r, row.search))
			response, _ = do(t, "POST", url+"/orders", repeated, nil)
			assert.Equal(t, 201, response.StatusCode)
			assert.Equal(t, "true", response.Header.Get("Idempotency-Replayed"))
			response, _ = do(t, "POST", url+"/orders", strings.Replace(ownOrder, "1.10", "1.11", 1), nil)
			assert.Equal(t, 422, response.StatusCode, "another attribute is another order")

			a := r.audited(0, "--orders-db", r.Orders)
			assert.Equal(t, audit.Held, a.Claim(audit.RowsAgree).Verdict, "%+v", a.Claim(audit.RowsAgree))
		})
	}
}

// TestAttributesReachAnActivityOfTheUsers: examples/execute writes what it is given.
func TestAttributesReachAnActivityOfTheUsers(t *testing.T) {
	r := newRig(t)
	s := newShop(r)
	c := r.config()
	c.Execution = fulfil
	url := r.listen(&c)
	n := r.up(c)
	r.Until(n.Board, ltp.Stable)
	s.open()
	response, _ := do(t, "POST", url+"/orders", ownOrder, nil)
	require.Less(t, response.StatusCode, 300)
	s.executed([]string{"own-1"})

	db, err := sql.Open("sqlite", "file:"+s.file+"?_pragma=busy_timeout(10000)")
	require.NoError(t, err)
	defer db.Close()
	var body string
	require.NoError(t, db.QueryRowContext(r.Ctx, "SELECT body FROM fulfilments WHERE json_extract(body, '$.attributes.shop') = 'Lisbon'").Scan(&body))
	var o ltp.Order
	require.NoError(t, json.Unmarshal([]byte(body), &o))
	assert.Equal(t, ownForm(), o.Attributes.String())
	assert.Equal(t, `{"lot":"L-9"}`, o.Lines[0].Attributes.String())
	assert.Equal(t, "Green tea", o.Lines[0].Name)
	assert.EqualValues(t, 400, o.AmountMinor())
}
