package ltp_test

import (
	"cmp"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/ordertest"
)

var actions = []ltp.Action{ltp.Submitting, ltp.Reading, ltp.Cancelling, ltp.Operating}

// TestRolesMayDoWhatTheyAreFor, and whoever has none may do nothing.
func TestRolesMayDoWhatTheyAreFor(t *testing.T) {
	for _, c := range []struct {
		who ltp.Identity
		may []ltp.Action
	}{
		{ltp.Identity{}, nil},
		{ltp.Identity{Role: "root"}, nil},
		{ltp.Identity{Role: ltp.CustomerRole}, []ltp.Action{ltp.Submitting, ltp.Reading, ltp.Cancelling}},
		{ltp.Identity{Role: ltp.CustomerRole, Tenant: "acme", Customer: "c-17"}, []ltp.Action{ltp.Submitting, ltp.Reading, ltp.Cancelling}},
		{ltp.Identity{Role: ltp.SupportRole}, []ltp.Action{ltp.Reading, ltp.Cancelling}},
		{ltp.Identity{Role: ltp.SupportRole, Tenant: "acme"}, []ltp.Action{ltp.Reading, ltp.Cancelling}},
		{ltp.Identity{Role: ltp.OperatorRole}, actions},
		{ltp.Identity{Role: ltp.OperatorRole, Tenant: "acme"}, actions[:3]},
		{ltp.Anybody(), actions},
	} {
		for _, a := range actions {
			assert.Equal(t, slices.Contains(c.may, a), c.who.May(a), "%+v may %s", c.who, a)
		}
	}
}

func TestCustomersOrdersStayWithinTheirBounds(t *testing.T) {
	wide := ltp.Bounds{FirstPriority: 1, Risk: true, DependsOn: []string{"payments"}}
	customer := func(b ltp.Bounds) ltp.Identity { return ltp.Identity{Role: ltp.CustomerRole, Bounds: b} }
	own := customer(wide)
	own.Customer = "c-17"
	for _, c := range []struct {
		who   ltp.Identity
		wants func(*ltp.Order)
		field string // of what is not allowed; nothing where it is empty
	}{
		{customer(ltp.Bounds{}), func(*ltp.Order) {}, ""},
		{customer(ltp.Bounds{}), func(o *ltp.Order) { o.Priority = 3 }, ""},
		{customer(ltp.Bounds{}), func(o *ltp.Order) { o.Priority = 5 }, ""},
		{customer(ltp.Bounds{}), func(o *ltp.Order) { o.Priority = 2 }, "/priority"},
		{customer(ltp.Bounds{FirstPriority: 2}), func(o *ltp.Order) { o.Priority = 2 }, ""},
		{customer(ltp.Bounds{FirstPriority: 2}), func(o *ltp.Order) { o.Priority = 1 }, "/priority"},
		{customer(ltp.Bounds{FirstPriority: 4}), func(o *ltp.Order) { o.Priority = 0 }, "/priority"},
		{customer(ltp.Bounds{FirstPriority: 4}), func(o *ltp.Order) { o.Priority = 3 }, "/priority"},
		{customer(ltp.Bounds{FirstPriority: 4}), func(o *ltp.Order) { o.Priority = 4 }, ""},
		{customer(ltp.Bounds{}), func(o *ltp.Order) { o.Risk = ltp.HighRisk }, "/risk"},
		{customer(wide), func(o *ltp.Order) { o.Risk = ltp.HighRisk }, ""},
		{customer(ltp.Bounds{}), func(o *ltp.Order) { o.DependsOn = []string{"orders-db"} }, ""},
		{customer(ltp.Bounds{}), func(o *ltp.Order) { o.DependsOn = []string{"orders-db", "payments"} }, "/depends_on/1"},
		{customer(wide), func(o *ltp.Order) { o.DependsOn = []string{"payments", "orders-db"} }, ""},
		{customer(wide), func(o *ltp.Order) { o.DependsOn = []string{"fax"} }, "/depends_on/0"},
		{own, func(*ltp.Order) {}, ""},
		{own, func(o *ltp.Order) { o.Customer = "c-18" }, "/customer"},
		{own, func(o *ltp.Order) { o.Customer = "" }, "/customer"},
		{ltp.Identity{Role: ltp.OperatorRole}, func(o *ltp.Order) { o.Priority, o.Risk, o.DependsOn = 1, ltp.HighRisk, []string{"fax"} }, ""},
	} {
		o := ordertest.New("A2")
		c.wants(&o)
		err := cmp.Or(c.who.Reaches(o), c.who.Admits(o))
		var not *ltp.ForbiddenError
		if c.field == "" {
			assert.NoError(t, err, "%+v of %+v", o, c.who)
		} else if assert.ErrorAs(t, err, &not, "%+v of %+v", o, c.who) {
			assert.Equal(t, c.field, not.Field)
		}
	}
}

func TestBoundsThatNoOrderCouldTellAreRefused(t *testing.T) {
	for _, b := range []ltp.Bounds{{FirstPriority: -1}, {FirstPriority: 6}, {DependsOn: []string{"Payments"}}, {DependsOn: []string{""}}} {
		assert.Error(t, b.Validate(), "%+v", b)
	}
	assert.NoError(t, ltp.Bounds{FirstPriority: 5, DependsOn: []string{"payments"}}.Validate())
}

var (
	anyTenant = rapid.OneOf(rapid.Just(""), rapid.StringMatching(`[a-z0-9][a-z0-9-]{0,31}`))
	anyOwn    = rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._:-]{0,94}`), rapid.StringMatching(`[a/.]{0,5}`), rapid.String())
)

// TestFullIDsAreOneTenantsAlone: whatever clients send, two tenants never come to the same
// order or ordering key, each finds its own again, and none that of another.
func TestFullIDsAreOneTenantsAlone(t *testing.T) {
	kept := 0
	rapid.Check(t, func(t *rapid.T) {
		a, b := ltp.Identity{Tenant: anyTenant.Draw(t, "a")}, ltp.Identity{Tenant: anyTenant.Draw(t, "b")}
		one, two := ordertest.New("A2"), ordertest.New("A2")
		one.ID, two.ID = anyOwn.Draw(t, "one's id"), anyOwn.Draw(t, "two's id")
		one.OrderingKey, two.OrderingKey = anyOwn.Draw(t, "one's key"), anyOwn.Draw(t, "two's key")
		full, err := a.Full(one)
		if (err == nil) != (one.Validate() == nil && !strings.ContainsRune(one.ID+one.OrderingKey, '/')) &&
			len(ltp.FullID(a.Tenant, one.ID)) <= ltp.MaxIDLength && len(ltp.FullID(a.Tenant, one.OrderingKey)) <= ltp.MaxIDLength {
			t.Fatalf("%v, and the order without a tenant is %v", err, one.Validate())
		}
		var invalid *ltp.InvalidError
		if err != nil {
			if !errors.As(err, &invalid) || invalid.Field != "/id" && invalid.Field != "/ordering_key" {
				t.Fatal(err)
			}
			return
		}
		kept++
		if err := full.Validate(); err != nil {
			t.Fatalf("what is kept is not valid: %v", err)
		}
		if own, ok := a.Own(full.ID); !ok || own != one.ID {
			t.Fatalf("%q is called %q", one.ID, own)
		}
		if full.ContentHash() != one.ContentHash() {
			t.Fatal("the tenant counts as content")
		}
		if a.Tenant == b.Tenant {
			return
		}
		if _, ok := b.Own(full.ID); ok {
			t.Fatalf("%q is of %q, too", full.ID, b.Tenant)
		}
		if other, err := b.Full(two); err == nil && (other.ID == full.ID || other.OrderingKey != "" && other.OrderingKey == full.OrderingKey) {
			t.Fatalf("%q and %q meet at %q", a.Tenant, b.Tenant, other.ID)
		}
	})
	assert.NotZero(t, kept)
}

// TestLinesOfABoundCustomerAreTheirOwn: whatever two callers of one tenant send, a customer's
// ordering key is no other customer's, and the same every time.
func TestLinesOfABoundCustomerAreTheirOwn(t *testing.T) {
	customer := rapid.OneOf(rapid.SampledFrom([]string{"", "c-17", "c-1", "7.alice", "é c"}), rapid.StringN(1, 20, 80))
	key := rapid.OneOf(rapid.SampledFrom([]string{"alice", "c.alice", "7.alice"}), rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._:-]{0,90}`))
	rapid.Check(t, func(t *rapid.T) {
		a, b := ltp.Identity{Tenant: anyTenant.Draw(t, "tenant"), Customer: customer.Draw(t, "a")}, ltp.Identity{Customer: customer.Draw(t, "b")}
		b.Tenant = a.Tenant
		o := ordertest.New("A2")
		o.OrderingKey = key.Draw(t, "key")
		one, err := a.Full(o)
		if err != nil {
			return // too long
		}
		if err := one.Validate(); err != nil {
			t.Fatalf("what is kept is not valid: %v", err)
		}
		if again, _ := a.Full(o); again.OrderingKey != one.OrderingKey {
			t.Fatal("another line the next time")
		}
		if tenant, _ := ltp.SplitID(one.OrderingKey); tenant != a.Tenant {
			t.Fatalf("%q is of another tenant", one.OrderingKey)
		}
		if o.OrderingKey = key.Draw(t, "another key"); rapid.Bool().Draw(t, "forged") {
			_, o.OrderingKey, _ = strings.Cut("/"+one.OrderingKey, "/"+strings.TrimSuffix(ltp.FullID(a.Tenant, "x"), "x"))
		}
		if a.Customer == b.Customer || a.Customer == "" {
			return
		}
		if two, err := b.Full(o); err == nil && two.OrderingKey == one.OrderingKey {
			t.Fatalf("%q and %q stand in one line", a.Customer, b.Customer)
		}
	})
	_, err := ltp.Identity{Customer: "c-17"}.Full(func() ltp.Order {
		o := ordertest.New("A2")
		o.OrderingKey = strings.Repeat("k", 102)
		return o
	}())
	assert.ErrorContains(t, err, "at most 101 characters")
}

// TestAnIncompleteIdentityIsRefused: whoever vouches for somebody names it all.
func TestAnIncompleteIdentityIsRefused(t *testing.T) {
	for _, c := range []struct {
		tenant, role, customer string
		bound                  bool
		field                  string
	}{
		{"acme", "customer", "c-17", true, ""}, {"acme", "customer", "", false, ""}, {"acme", "support", "", true, ""}, {"-", "operator", "", true, ""},
		{"", "operator", "", true, "tenant"}, {"Acme", "customer", "c-17", true, "tenant"}, {"ltp-probe", "support", "", true, "tenant"}, {"acme/x", "support", "", true, "tenant"},
		{"acme", "", "", true, "role"}, {"acme", "Customer", "c-17", true, "role"}, {"acme", "admin", "", true, "role"},
		{"acme", "customer", "", true, "customer"}, {"acme", "operator", "c-17", true, "customer"}, {"acme", "customer", "a\x00b", true, "customer"},
	} {
		who, err := ltp.NewIdentity(c.tenant, ltp.Role(c.role), c.customer, c.bound)
		var invalid *ltp.InvalidError
		if c.field == "" {
			assert.NoError(t, err, "%+v", c)
			assert.Equal(t, strings.Trim(c.tenant, "-"), who.Tenant)
			assert.Equal(t, c.customer, who.Customer)
			assert.True(t, who.Known)
		} else if assert.ErrorAs(t, err, &invalid, "%+v", c) {
			assert.Equal(t, c.field, invalid.Field)
			assert.Zero(t, who)
		}
	}
}

func TestTenantNamesAreValidated(t *testing.T) {
	for name, ok := range map[string]bool{
		"": true, "acme": true, "a-1": true, "0": true, "ltp": true, "ltp-probe": false, strings.Repeat("a", 32): true,
		"Acme": false, "-a": false, "a/b": false, "a.b": false, "a b": false, "é": false, strings.Repeat("a", 33): false,
	} {
		assert.Equal(t, ok, ltp.ValidTenant(name) == nil, "%q", name)
	}
	require.NoError(t, ltp.ValidID("acme/A2"))
	assert.Error(t, ltp.ValidOwnID("", "acme/A2"))
	assert.Error(t, ltp.ValidID("/A2"))
	assert.Error(t, ltp.ValidID("acme/A/2"))
	for _, word := range []string{"note", "parking", "withdrawal"} { // acme/note/1 is a note of the order acme
		assert.Error(t, ltp.ValidID("acme/"+word))
		assert.NoError(t, ltp.ValidID(word))
	}
	assert.NoError(t, ltp.ValidOwnID("acme", strings.Repeat("a", ltp.MaxIDLength-len("acme/"))))
	assert.Error(t, ltp.ValidOwnID("acme", strings.Repeat("a", ltp.MaxIDLength-len("acme/")+1)))
}
