// Package ordertest makes orders for tests.
package ordertest

import (
	"encoding/json"
	"time"

	"github.com/ltp-node/ltp"
)

// New is a valid order of an ID: the customer c-17 orders two books at 60.00 USD. Changes
// are made in turn.
func New(id string, changes ...func(*ltp.Order)) ltp.Order {
	o := ltp.Order{ID: id, Customer: "c-17", Currency: "USD", Lines: []ltp.Line{{SKU: "book", Quantity: 2, UnitAmountMinor: 6000}}}
	for _, change := range changes {
		change(&o)
	}
	return o
}

// JSON is such an order as clients send it. An empty ID is left out: the request then needs
// an Idempotency-Key.
func JSON(id string, changes ...func(*ltp.Order)) string {
	data, err := json.Marshal(struct {
		ID string `json:"id,omitempty"`
		ltp.Order
	}{id, New(id, changes...)})
	if err != nil {
		panic(err) // an order holds nothing that JSON cannot
	}
	return string(data)
}

// Customer is whose order it is.
func Customer(name string) func(*ltp.Order) { return func(o *ltp.Order) { o.Customer = name } }

// OrderingKey is the sequence in which the order waits its turn.
func OrderingKey(key string) func(*ltp.Order) { return func(o *ltp.Order) { o.OrderingKey = key } }

// DependsOn are the components that must be fit.
func DependsOn(components ...string) func(*ltp.Order) {
	return func(o *ltp.Order) { o.DependsOn = components }
}

// Priority is the class in which the order is released.
func Priority(class int) func(*ltp.Order) { return func(o *ltp.Order) { o.Priority = class } }

// HighRisk orders do not act while a component is DEGRADED.
func HighRisk(o *ltp.Order) { o.Risk = ltp.HighRisk }

// Article is the one line of the order, at an amount in the minor unit of the currency.
func Article(sku string, quantity, unitAmountMinor int64) func(*ltp.Order) {
	return func(o *ltp.Order) {
		o.Lines = []ltp.Line{{SKU: sku, Quantity: quantity, UnitAmountMinor: unitAmountMinor}}
	}
}

// Deadline is when the order ends EXPIRED if it still waits.
func Deadline(at time.Time) func(*ltp.Order) { return func(o *ltp.Order) { o.Deadline = at } }
