package ltp_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ltp-node/ltp"
)

func validOrder() ltp.Order {
	return ltp.Order{
		ID: "A2", Customer: "c-17", Currency: "USD",
		Lines: []ltp.Line{{SKU: "book", Quantity: 2, UnitAmountMinor: 6000}},
	}
}

func TestOrdersThatNoStateMakesRightAreRefused(t *testing.T) {
	require.NoError(t, validOrder().Validate())
	rows := []struct {
		field string
		spoil func(*ltp.Order)
	}{
		{"id", func(o *ltp.Order) { o.ID = "" }},
		{"id", func(o *ltp.Order) { o.ID = "a/b" }},
		{"id", func(o *ltp.Order) { o.ID = "../etc" }},
		{"id", func(o *ltp.Order) { o.ID = "a b" }},
		{"id", func(o *ltp.Order) { o.ID = "ä" }},
		{"id", func(o *ltp.Order) { o.ID = "a\n" }},
		{"id", func(o *ltp.Order) { o.ID = strings.Repeat("a", 129) }},
		{"customer", func(o *ltp.Order) { o.Customer = "" }},
		{"customer", func(o *ltp.Order) { o.Customer = strings.Repeat("a", 257) }},
		{"currency", func(o *ltp.Order) { o.Currency = "usd" }},
		{"currency", func(o *ltp.Order) { o.Currency = "DOLLAR" }},
		{"currency", func(o *ltp.Order) { o.Currency = "" }},
		{"currency", func(o *ltp.Order) { o.Currency = "XXX" }},
		{"currency", func(o *ltp.Order) { o.Currency = "ZZZ" }},
		{"currency", func(o *ltp.Order) { o.Currency = "PY0" }},
		{"currency", func(o *ltp.Order) { o.Currency = "D U" }},
		{"customer", func(o *ltp.Order) { o.Customer = "a\x00b" }},
		{"customer", func(o *ltp.Order) { o.Customer = "a\xff" }},
		{"lines[0].sku", func(o *ltp.Order) { o.Lines[0].SKU = "a\nb" }},
		{"risk", func(o *ltp.Order) { o.Risk = "huge" }},
		{"lines", func(o *ltp.Order) { o.Lines = nil }},
		{"lines", func(o *ltp.Order) { o.Lines = make([]ltp.Line, 501) }},
		{"lines[0].sku", func(o *ltp.Order) { o.Lines[0].SKU = "" }},
		{"lines[0].quantity", func(o *ltp.Order) { o.Lines[0].Quantity = 0 }},
		{"lines[0].quantity", func(o *ltp.Order) { o.Lines[0].Quantity = -1 }},
		{"lines[0].quantity", func(o *ltp.Order) { o.Lines[0].Quantity = math.MaxInt64 }},
		{"lines[0].unit_amount_minor", func(o *ltp.Order) { o.Lines[0].UnitAmountMinor = -1 }},
		{"lines", func(o *ltp.Order) { o.Lines[0].Quantity, o.Lines[0].UnitAmountMinor = 1<<52, 1<<52 }},
		{"lines", func(o *ltp.Order) { o.Lines[0].Quantity, o.Lines[0].UnitAmountMinor = 1<<32, 1<<32 }},
		{"lines", func(o *ltp.Order) {
			o.Lines = []ltp.Line{{"a", 1, ltp.MaxAmountMinor}, {"b", 1, 1}}
		}},
		{"depends_on[0]", func(o *ltp.Order) { o.DependsOn = []string{"orders' OR 1=1"} }},
		{"depends_on[1]", func(o *ltp.Order) { o.DependsOn = []string{"a", "a"} }},
		{"depends_on", func(o *ltp.Order) { o.DependsOn = make([]string, 9) }},
		{"deadline", func(o *ltp.Order) { o.Deadline = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC) }},
		{"deadline", func(o *ltp.Order) {
			o.Deadline = time.Date(9999, 12, 31, 23, 59, 59, 0, time.FixedZone("", -23*3600))
		}},
		{"deadline", func(o *ltp.Order) { o.Deadline = time.Date(1, 1, 1, 0, 0, 1, 0, time.UTC) }},
	}
	for _, r := range rows {
		o := validOrder()
		r.spoil(&o)
		var invalid *ltp.InvalidError
		if assert.Truef(t, errors.As(o.Validate(), &invalid), "%s was accepted: %+v", r.field, o) {
			assert.Equal(t, r.field, invalid.Field)
			assert.NotEmpty(t, invalid.Hint)
		}
	}
}

func TestContentHashTellsRepeatFromConflict(t *testing.T) {
	o := validOrder()
	same := validOrder()
	same.DependsOn = []string{ltp.DefaultComponent} // what leaving it out means
	assert.Equal(t, o.ContentHash(), same.ContentHash())
	for name, change := range map[string]func(*ltp.Order){
		"customer": func(o *ltp.Order) { o.Customer = "c-18" },
		"quantity": func(o *ltp.Order) { o.Lines[0].Quantity++ },
		"risk":     func(o *ltp.Order) { o.Risk = ltp.HighRisk },
		"deadline": func(o *ltp.Order) { o.Deadline = start },
		"depends":  func(o *ltp.Order) { o.DependsOn = []string{"other"} },
	} {
		other := validOrder()
		change(&other)
		assert.NotEqual(t, o.ContentHash(), other.ContentHash(), name)
	}
	a, b := validOrder(), validOrder()
	a.Deadline = start
	b.Deadline = start.In(time.FixedZone("CET", 3600))
	assert.Equal(t, a.ContentHash(), b.ContentHash(), "the same moment in another zone")
}

func TestAmountIsTheSumOfTheLines(t *testing.T) {
	o := validOrder()
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
