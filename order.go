package ltp

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/bits"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Bounds of an order.
const (
	// MaxAmountMinor is the largest amount and the largest quantity, 2^53-1: what
	// every JSON reader can hold exactly. A discount may be as much below 0.
	MaxAmountMinor = 1<<53 - 1
	MaxLines       = 500
	MaxIDLength    = 128 // of a full ID: see FullID
	maxTextLength  = 256
	maxComponents  = 8
)

// Risk classes an order. The zero value is normal risk.
type Risk string

// HighRisk orders do not act while a component is DEGRADED.
const HighRisk Risk = "high"

// Order is what a customer asks for. Amounts are in the minor unit of Currency
// (cents for USD).
type Order struct {
	// ID names the order everywhere, and makes a repeat of it safe. It is a full ID: with
	// the tenant before it, unless that is the default one.
	ID       string `json:"id"`
	Customer string `json:"customer"`
	// Currency is three capital letters, ISO 4217.
	Currency string `json:"currency"`
	Lines    []Line `json:"lines"`
	Risk     Risk   `json:"risk,omitempty"`
	// DependsOn are the components that must be fit; empty is DefaultComponent.
	DependsOn []string `json:"depends_on,omitempty"`
	// Deadline is when an order that still waits ends EXPIRED; zero is never.
	Deadline time.Time `json:"deadline,omitzero"`
	// Priority is the class in which a deferred order is released, as Temporal counts:
	// 1 goes first, 5 last; 0 is DefaultPriority.
	Priority int `json:"priority,omitempty"`
	// OrderingKey, such as the customer's number, puts orders in line: of those with the
	// same key, none acts before all that were acknowledged earlier have ended. It is of the
	// order's tenant, as the ID is.
	OrderingKey string `json:"ordering_key,omitempty"`
	// Attributes are whatever else the order is to carry.
	Attributes Attributes `json:"attributes,omitzero"`
}

// DefaultPriority is the class of an order that names none; LastPriority the last.
const (
	DefaultPriority = 3
	LastPriority    = 5
)

// Class is the order's priority: never 0.
func (o Order) Class() int {
	if o.Priority == 0 {
		return DefaultPriority
	}
	return o.Priority
}

// Line is one article of an order, or a discount on it.
type Line struct {
	SKU string `json:"sku"`
	// Name is what people call the article.
	Name     string `json:"name,omitempty"`
	Quantity int64  `json:"quantity"`
	// UnitAmountMinor is below 0 for a discount. The order's total never is.
	UnitAmountMinor int64      `json:"unit_amount_minor"`
	Attributes      Attributes `json:"attributes,omitzero"`
}

// Components are the components that the order depends on by its own word: never none.
func (o Order) Components() []string {
	if len(o.DependsOn) == 0 {
		return []string{DefaultComponent}
	}
	return o.DependsOn
}

// Gate are the components that must be fit before e executes the order: what the order
// names and, where the order database executes it, what is written to.
func (o Order) Gate(e Execution) []string {
	written := e.Written()
	all := o.Components()
	if written == "" || slices.Contains(all, written) {
		return all
	}
	return append([]string{written}, all...)
}

// AmountMinor is the sum of the lines in the minor unit of the currency. It is
// exact for an order that Validate accepts.
func (o Order) AmountMinor() int64 {
	var sum int64
	for _, l := range o.Lines {
		sum += l.Quantity * l.UnitAmountMinor
	}
	return sum
}

// ContentHash is the same for two orders exactly if they ask for the same, in hex: a
// default that is written out is as one that is left out, components have no order, and
// attributes count by what they mean. The tenant does not count: a tenant's orders have the
// hashes that they have without one.
// The deadline counts to the microsecond, what order databases keep.
func (o Order) ContentHash() string {
	_, o.ID = SplitID(o.ID)
	_, o.OrderingKey = SplitID(o.OrderingKey)
	o.DependsOn = slices.Sorted(slices.Values(o.Components()))
	if o.Priority == DefaultPriority {
		o.Priority = 0
	}
	o.Deadline = o.Deadline.UTC().Truncate(time.Microsecond)
	data, err := json.Marshal(o)
	if err != nil {
		panic(err) // an Order holds nothing that JSON cannot: see Validate for years
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// InvalidError says which field of an order cannot be accepted, and what to do.
type InvalidError struct {
	// Field of an order is a JSON pointer (RFC 6901), such as "/lines/2/quantity", and
	// empty for the order itself; of anything else it is a name.
	Field string
	Hint  string // a sentence
}

func (e *InvalidError) Error() string {
	if e.Field == "" {
		return e.Hint
	}
	return e.Field + ": " + e.Hint
}

var (
	idPattern        = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:-]*$`)
	componentPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]{0,62}$`)
)

// ValidID returns an *InvalidError when full cannot be the full ID of an order.
func ValidID(full string) error {
	tenant, own := SplitID(full)
	if own != full && (tenant == "" || ValidTenant(tenant) != nil) {
		return &InvalidError{"id", "before the / of an id stands its tenant, in small letters, digits and -"}
	}
	return ValidOwnID(tenant, own)
}

// ValidOwnID returns an *InvalidError when the tenant can call no order so: what clients
// send holds no tenant.
func ValidOwnID(tenant, own string) error { return validOwn("id", tenant, "", own) }

// validOwn is ValidOwnID for what the field holds, where the node puts something before it.
func validOwn(field, tenant, before, own string) error {
	most := MaxIDLength - len(FullID(tenant, before))
	switch {
	case own == "":
		return &InvalidError{field, "give the order an id"}
	case len(own) > most:
		return &InvalidError{field, fmt.Sprintf("use at most %d characters", most)}
	case !idPattern.MatchString(own):
		return &InvalidError{field, "use letters, digits and . _ : - only, and begin with a letter or digit"}
	case tenant != "" && before == "" && slices.Contains(entryWords, own):
		return &InvalidError{field, fmt.Sprintf("choose another: %q is a word of the trace", own)}
	}
	return nil
}

// entryWords are what entries of an exported trace are called by: "acme/note/1" is the first
// note of the order acme, and would be the first request of an order of the tenant acme.
var entryWords = []string{"note", "parking", "withdrawal"}

// ValidComponent returns an *InvalidError when name cannot name a component.
func ValidComponent(name string) error {
	if !componentPattern.MatchString(name) {
		return &InvalidError{"component", "use at most 63 small letters, digits, . and -, and begin with a letter or digit"}
	}
	return nil
}

// ValidCustomer returns an *InvalidError when nobody can be called so.
func ValidCustomer(name string) error {
	switch {
	case name == "":
		return &InvalidError{"customer", "say whose order this is"}
	case !plainText(name):
		return &InvalidError{"customer", plainTextHint}
	}
	return nil
}

// longestCustomerKey is less than what any visibility store keeps of a keyword.
const longestCustomerKey = 200

// What keys begin with that are no names: a hash, and what payload.Keys make of one.
const (
	hashedCustomer = "sha256-"
	keyedCustomer  = "hmac-"
)

// CustomerKey is what the orders of a customer are found by: the customer as it is, or the
// hash of one that is longer than an index can hold, or that visibility stores cannot be
// asked for: they differ in how quotes and backslashes are escaped in a query. No two
// customers have the same.
func CustomerKey(customer string) string {
	if len(customer) <= longestCustomerKey && !strings.HasPrefix(customer, hashedCustomer) && !strings.HasPrefix(customer, keyedCustomer) && !strings.ContainsAny(customer, `'"\`+"`") {
		return customer
	}
	return fmt.Sprintf("%s%x", hashedCustomer, sha256.Sum256([]byte(customer)))
}

// Validate returns an *InvalidError for the first thing that makes the order
// impossible in any state of the system, and nil when it can be accepted.
func (o Order) Validate() error {
	if err := ValidID(o.ID); err != nil {
		return within("/", err)
	}
	if err := ValidCustomer(o.Customer); err != nil {
		return within("/", err)
	}
	switch {
	case o.Risk != "" && o.Risk != HighRisk:
		return &InvalidError{"/risk", `leave it out, or say "high"`}
	case len(o.Lines) == 0:
		return &InvalidError{"/lines", "order at least one article"}
	case len(o.Lines) > MaxLines:
		return &InvalidError{"/lines", fmt.Sprintf("order at most %d lines", MaxLines)}
	case len(o.DependsOn) > maxComponents:
		return &InvalidError{"/depends_on", fmt.Sprintf("name at most %d components", maxComponents)}
	case o.Priority < 0 || o.Priority > LastPriority:
		return &InvalidError{"/priority", fmt.Sprintf("use 1, which is released first, to %d, or leave it out", LastPriority)}
	}
	if o.OrderingKey != "" {
		tenant, _ := SplitID(o.ID)
		of, own := SplitID(o.OrderingKey)
		if o.OrderingKey != FullID(tenant, own) {
			return &InvalidError{"/ordering_key", fmt.Sprintf("the order is of the tenant %q, and its ordering key of %q: write the same before the / of both", tenant, of)}
		}
		if err := validOwn("/ordering_key", tenant, "", own); err != nil {
			return err
		}
	}
	if _, ok := decimals(o.Currency); !ok {
		return &InvalidError{"/currency", "use a currency of ISO 4217 in capital letters, such as USD"}
	}
	if year := o.Deadline.UTC().Year(); !o.Deadline.IsZero() && (year < 1970 || year > 9999) {
		return &InvalidError{"/deadline", "use a time between the years 1970 and 9999"}
	}
	seen := map[string]bool{}
	for i, c := range o.DependsOn {
		field := fmt.Sprintf("/depends_on/%d", i)
		if err := ValidComponent(c); err != nil {
			return &InvalidError{field, "use small letters, digits, . and -"}
		}
		if seen[c] {
			return &InvalidError{field, "name each component once"}
		}
		seen[c] = true
	}
	return o.validateLines()
}

func (o Order) validateLines() error {
	total, attributes := int64(0), len(o.Attributes.text)
	for i, l := range o.Lines {
		field := fmt.Sprintf("/lines/%d/", i)
		switch {
		case l.SKU == "":
			return &InvalidError{field + "sku", "name the article"}
		case !plainText(l.SKU):
			return &InvalidError{field + "sku", plainTextHint}
		case !plainText(l.Name):
			return &InvalidError{field + "name", plainTextHint}
		case l.Quantity < 1 || l.Quantity > MaxAmountMinor:
			return &InvalidError{field + "quantity", fmt.Sprintf("use a whole number from 1 to %d", int64(MaxAmountMinor))}
		case l.UnitAmountMinor < -MaxAmountMinor || l.UnitAmountMinor > MaxAmountMinor:
			return &InvalidError{field + "unit_amount_minor", fmt.Sprintf("use a whole number from %d to %d", int64(-MaxAmountMinor), int64(MaxAmountMinor))}
		}
		unit := l.UnitAmountMinor
		if hi, lo := bits.Mul64(uint64(l.Quantity), uint64(max(unit, -unit))); hi != 0 || lo > MaxAmountMinor {
			return &InvalidError{"/lines", fmt.Sprintf("a line exceeds %d minor units: split the order", int64(MaxAmountMinor))}
		}
		total += l.Quantity * unit // 500 lines of 2^53 stay below 2^63
		attributes += len(l.Attributes.text)
	}
	switch {
	case total > MaxAmountMinor:
		return &InvalidError{"/lines", fmt.Sprintf("the order's total exceeds %d minor units: split the order", int64(MaxAmountMinor))}
	case total < 0:
		return &InvalidError{"/lines", fmt.Sprintf("the order's total is %d minor units: discounts may take it down to 0", total)}
	case attributes > MaxAllAttributes:
		return &InvalidError{"/attributes", fmt.Sprintf("the attributes of the order and its lines have %d bytes together: send at most %d", attributes, MaxAllAttributes)}
	}
	return nil
}

const plainTextHint = "use at most 256 bytes of text in UTF-8, without control characters"

// plainText reports whether every order database can keep s as it is.
func plainText(s string) bool {
	return len(s) <= maxTextLength && utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// OrderState is where an order is.
type OrderState string

// The states of an order. Accepted, Deferred and Parked are pending; the others are
// final.
const (
	Accepted  OrderState = "ACCEPTED"  // promised, not yet deferred or done
	Deferred  OrderState = "DEFERRED"  // waits for a component
	Parked    OrderState = "PARKED"    // keeps failing by its own fault while others commit: waits for an operator
	Executed  OrderState = "EXECUTED"  // in the order database
	Rejected  OrderState = "REJECTED"  // refused by a rule of the business, or by an operator
	Cancelled OrderState = "CANCELLED" // by the customer, before it acted
	Expired   OrderState = "EXPIRED"   // its deadline passed, before it acted
	// Terminated orders were ended by force in Temporal, against which nothing here
	// can protect them: the order database shows whether they acted.
	Terminated OrderState = "TERMINATED"
)

// Final reports whether the order will never change again.
func (s OrderState) Final() bool {
	switch s {
	case Executed, Rejected, Cancelled, Expired, Terminated:
		return true
	}
	return false
}

// What users read.
const (
	MessagePending    = "Order Received - Pending Confirmation"
	MessageConfirmed  = "Order Confirmed"
	MessageRejected   = "Order Rejected"
	MessageCancelled  = "Order Cancelled"
	MessageExpired    = "Order Expired"
	MessageTerminated = "Order Ended By Operator - Ask Support"
)

// Message is what a customer reads of an order in this state.
func (s OrderState) Message() string {
	switch s {
	case Executed:
		return MessageConfirmed
	case Rejected:
		return MessageRejected
	case Cancelled:
		return MessageCancelled
	case Expired:
		return MessageExpired
	case Terminated:
		return MessageTerminated
	}
	return MessagePending
}
