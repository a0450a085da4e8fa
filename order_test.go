package ltp_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

func article(sku string, quantity, unit int64) ltp.Line {
	return ltp.Line{SKU: sku, Quantity: quantity, UnitAmountMinor: unit}
}

// ofSize are attributes of n bytes.
func ofSize(n int) ltp.Attributes { return attributes(`{"a":"` + strings.Repeat("a", n-8) + `"}`) }

func attributes(text string) ltp.Attributes {
	a, err := ltp.ParseAttributes([]byte(text))
	if err != nil {
		panic(err)
	}
	return a
}

func TestDiscountsTakeTheTotalDownToZero(t *testing.T) {
	most := article("a", 1, ltp.MaxAmountMinor)
	off := article("off", 1, -ltp.MaxAmountMinor)
	for name, c := range map[string]struct {
		lines []ltp.Line
		total int64
	}{
		"some off":            {[]ltp.Line{article("a", 2, 6000), article("off", 1, -500)}, 11500},
		"all off":             {[]ltp.Line{article("a", 2, 6000), article("off", 2, -6000)}, 0},
		"the discount first":  {[]ltp.Line{off, most}, 0},
		"a total that passes": {append(append(slices.Repeat([]ltp.Line{most}, 250), slices.Repeat([]ltp.Line{off}, 249)...), article("b", 1, 0)), ltp.MaxAmountMinor},
	} {
		o := ordertest.New("A2")
		o.Lines = c.lines
		if assert.NoError(t, o.Validate(), name) {
			assert.Equal(t, c.total, o.AmountMinor(), name)
		}
	}
}

func TestAttributesOfAnOrderAndItsLinesHaveABoundTogether(t *testing.T) {
	o := ordertest.New("A2")
	o.Attributes, o.Lines[0].Attributes = ofSize(ltp.MaxAttributes), ofSize(ltp.MaxAttributes)
	require.NoError(t, o.Validate())
}

func TestOrdersThatNoStateMakesRightAreRefused(t *testing.T) {
	require.NoError(t, ordertest.New("A2").Validate())
	rows := []struct {
		field string
		spoil func(*ltp.Order)
	}{
		{"/id", func(o *ltp.Order) { o.ID = "" }},
		{"/id", func(o *ltp.Order) { o.ID = "a/b/c" }},
		{"/id", func(o *ltp.Order) { o.ID = "/b" }},
		{"/id", func(o *ltp.Order) { o.ID = "a/" }},
		{"/id", func(o *ltp.Order) { o.ID = "A/b" }},
		{"/id", func(o *ltp.Order) { o.ID = "a/" + strings.Repeat("b", ltp.MaxIDLength-1) }},
		{"/ordering_key", func(o *ltp.Order) { o.OrderingKey = "a/k" }},
		{"/ordering_key", func(o *ltp.Order) { o.OrderingKey = "/k" }},
		{"/ordering_key", func(o *ltp.Order) { o.ID, o.OrderingKey = "a/b", "k" }},
		{"/ordering_key", func(o *ltp.Order) { o.ID, o.OrderingKey = "a/b", "b/k" }},
		{"/ordering_key", func(o *ltp.Order) { o.ID, o.OrderingKey = "a/b", "a/k/l" }},
		{"/id", func(o *ltp.Order) { o.ID = "../etc" }},
		{"/id", func(o *ltp.Order) { o.ID = "a b" }},
		{"/id", func(o *ltp.Order) { o.ID = "ä" }},
		{"/id", func(o *ltp.Order) { o.ID = "a\n" }},
		{"/id", func(o *ltp.Order) { o.ID = strings.Repeat("a", 129) }},
		{"/customer", func(o *ltp.Order) { o.Customer = "" }},
		{"/customer", func(o *ltp.Order) { o.Customer = strings.Repeat("a", 257) }},
		{"/currency", func(o *ltp.Order) { o.Currency = "usd" }},
		{"/currency", func(o *ltp.Order) { o.Currency = "DOLLAR" }},
		{"/currency", func(o *ltp.Order) { o.Currency = "" }},
		{"/currency", func(o *ltp.Order) { o.Currency = "XXX" }},
		{"/currency", func(o *ltp.Order) { o.Currency = "ZZZ" }},
		{"/currency", func(o *ltp.Order) { o.Currency = "PY0" }},
		{"/currency", func(o *ltp.Order) { o.Currency = "D U" }},
		{"/customer", func(o *ltp.Order) { o.Customer = "a\x00b" }},
		{"/customer", func(o *ltp.Order) { o.Customer = "a\xff" }},
		{"/lines/0/sku", func(o *ltp.Order) { o.Lines[0].SKU = "a\nb" }},
		{"/risk", func(o *ltp.Order) { o.Risk = "huge" }},
		{"/lines", func(o *ltp.Order) { o.Lines = nil }},
		{"/lines", func(o *ltp.Order) { o.Lines = make([]ltp.Line, 501) }},
		{"/lines/0/sku", func(o *ltp.Order) { o.Lines[0].SKU = "" }},
		{"/lines/0/quantity", func(o *ltp.Order) { o.Lines[0].Quantity = 0 }},
		{"/lines/0/quantity", func(o *ltp.Order) { o.Lines[0].Quantity = -1 }},
		{"/lines/0/quantity", func(o *ltp.Order) { o.Lines[0].Quantity = math.MaxInt64 }},
		{"/lines/0/unit_amount_minor", func(o *ltp.Order) { o.Lines[0].UnitAmountMinor = -ltp.MaxAmountMinor - 1 }},
		{"/lines/0/unit_amount_minor", func(o *ltp.Order) { o.Lines[0].UnitAmountMinor = ltp.MaxAmountMinor + 1 }},
		{"/lines/0/unit_amount_minor", func(o *ltp.Order) { o.Lines[0].UnitAmountMinor = math.MinInt64 }},
		{"/lines/0/name", func(o *ltp.Order) { o.Lines[0].Name = "a\nb" }},
		{"/lines/0/name", func(o *ltp.Order) { o.Lines[0].Name = strings.Repeat("a", 257) }},
		{"/lines", func(o *ltp.Order) { o.Lines[0].UnitAmountMinor = -1 }},
		{"/lines", func(o *ltp.Order) { o.Lines = append(o.Lines, article("off", 1, -12001)) }},
		{"/lines", func(o *ltp.Order) { o.Lines[0].Quantity, o.Lines[0].UnitAmountMinor = 1<<52, 1<<52 }},
		{"/lines", func(o *ltp.Order) { o.Lines[0].Quantity, o.Lines[0].UnitAmountMinor = 1<<52, -1<<52 }},
		{"/lines", func(o *ltp.Order) { o.Lines[0].Quantity, o.Lines[0].UnitAmountMinor = 1<<32, 1<<32 }},
		{"/lines", func(o *ltp.Order) {
			o.Lines = []ltp.Line{article("a", 1, ltp.MaxAmountMinor), article("b", 1, 1)}
		}},
		{"/attributes", func(o *ltp.Order) {
			o.Attributes = ofSize(ltp.MaxAttributes)
			o.Lines = []ltp.Line{article("a", 1, 1), article("b", 1, 1)}
			o.Lines[0].Attributes, o.Lines[1].Attributes = ofSize(ltp.MaxAttributes), ofSize(8)
		}},
		{"/depends_on/0", func(o *ltp.Order) { o.DependsOn = []string{"orders' OR 1=1"} }},
		{"/depends_on/1", func(o *ltp.Order) { o.DependsOn = []string{"a", "a"} }},
		{"/depends_on", func(o *ltp.Order) { o.DependsOn = make([]string, 9) }},
		{"/deadline", func(o *ltp.Order) { o.Deadline = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"/deadline", func(o *ltp.Order) {
			o.Deadline = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -23*3600))
		}},
		{"/deadline", func(o *ltp.Order) { o.Deadline = time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC) }},
	}
	for _, r := range rows {
		o := ordertest.New("A2")
		r.spoil(&o)
		var invalid *ltp.InvalidError
		if assert.Truef(t, errors.As(o.Validate(), &invalid), "%s was accepted: %+v", r.field, o) {
			assert.Equal(t, r.field, invalid.Field)
			assert.NotEmpty(t, invalid.Hint)
		}
	}
}

func TestContentHashTellsRepeatFromConflict(t *testing.T) {
	o := ordertest.New("A2")
	same := ordertest.New("A2")
	same.DependsOn = []string{ltp.DefaultComponent} // what leaving it out means
	same.Priority = ltp.DefaultPriority
	assert.Equal(t, o.ContentHash(), same.ContentHash())
	many, sorted := ordertest.New("A2"), ordertest.New("A2")
	many.DependsOn, sorted.DependsOn = []string{"stock", "orders-db", "payments"}, []string{"orders-db", "payments", "stock"}
	assert.Equal(t, many.ContentHash(), sorted.ContentHash(), "components have no order")
	assert.Equal(t, []string{"stock", "orders-db", "payments"}, many.DependsOn, "hashing changes nothing")
	for name, change := range map[string]func(*ltp.Order){
		"customer": func(o *ltp.Order) { o.Customer = "c-18" },
		"quantity": func(o *ltp.Order) { o.Lines[0].Quantity++ },
		"risk":     func(o *ltp.Order) { o.Risk = ltp.HighRisk },
		"deadline": func(o *ltp.Order) { o.Deadline = start },
		"priority": func(o *ltp.Order) { o.Priority = 2 },
		"depends":  func(o *ltp.Order) { o.DependsOn = []string{"other"} },
		"name":     func(o *ltp.Order) { o.Lines[0].Name = "a book" },
		"discount": func(o *ltp.Order) { o.Lines = append(o.Lines, article("off", 1, -1)) },
		"own":      func(o *ltp.Order) { o.Attributes = attributes(`{"gift":true}`) },
		"own, {}":  func(o *ltp.Order) { o.Attributes = attributes(`{}`) },
		"line's":   func(o *ltp.Order) { o.Lines[0].Attributes = attributes(`{"gift":true}`) },
	} {
		other := ordertest.New("A2")
		change(&other)
		assert.NotEqual(t, o.ContentHash(), other.ContentHash(), name)
	}
	a, b := ordertest.New("A2"), ordertest.New("A2")
	a.Attributes, b.Attributes = attributes(`{"b":1.10,"a":"\u00e9"}`), attributes(` { "a" : "é", "b" : 11e-1 } `)
	assert.Equal(t, a.ContentHash(), b.ContentHash(), "attributes that mean the same")
	assert.Equal(t, "f3daf66ab1e8735f7c56eb2acb48875f", ordertest.New("A2").ContentHash()[:32], "what an order without them has always had")
	a, b = ordertest.New("A2"), ordertest.New("A2")
	a.Deadline = start
	b.Deadline = start.In(time.FixedZone("CET", 3600))
	assert.Equal(t, a.ContentHash(), b.ContentHash(), "the same moment in another zone")
}

func TestAmountIsTheSumOfTheLines(t *testing.T) {
	o := ordertest.New("A2")
	o.Lines = append(o.Lines, ltp.Line{SKU: "pen", Quantity: 3, UnitAmountMinor: 5})
	assert.EqualValues(t, 12015, o.AmountMinor())
}

func TestAmountsAreToldInTheUnitOfTheirCurrency(t *testing.T) {
	for want, amount := range map[string]struct {
		minor    int64
		currency string
	}{
		"120.00 USD": {12000, "USD"}, "0.05 EUR": {5, "EUR"}, "12000 JPY": {12000, "JPY"},
		"1.005 KWD": {1005, "KWD"}, "-0.05 ZWG": {-5, "ZWG"}, "1.00 AED": {100, "AED"},
		"7 minor units of ???": {7, "???"},
	} {
		assert.Equal(t, want, ltp.Amount(amount.minor, amount.currency))
	}
}

// TestCustomerKeyIsOfOneCustomer, and fits into the index of every visibility store.
func TestCustomerKeyIsOfOneCustomer(t *testing.T) {
	long := strings.Repeat("c", 256)
	assert.Equal(t, "Zoë & sons", ltp.CustomerKey("Zoë & sons"))
	assert.NotContains(t, ltp.CustomerKey("O'Brien"), "'")
	assert.NotEqual(t, "hmac-00", ltp.CustomerKey("hmac-00"), "nobody gets what a key made of another by their name")
	assert.NotEqual(t, ltp.CustomerKey(long), ltp.CustomerKey(long[1:]))
	assert.NotEqual(t, ltp.CustomerKey(long), ltp.CustomerKey(ltp.CustomerKey(long)), "nobody gets the key of another by their name")
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.StringN(0, -1, 256).Draw(t, "a"), rapid.StringN(0, -1, 256).Draw(t, "b")
		assert.LessOrEqual(t, len(ltp.CustomerKey(a)), 200)
		assert.Equal(t, a == b, ltp.CustomerKey(a) == ltp.CustomerKey(b))
	})
}
