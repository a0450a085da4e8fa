package ltp

import (
	"crypto/sha256"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A tenant has orders, ordering keys and Idempotency-Keys of its own: what is one tenant's,
// no other can see, change or be in the way of. What a client calls an order is its own ID,
// such as "A2"; the node keeps it under its full ID, "acme/A2" of the tenant acme. The
// default tenant has no name, and its full IDs are the own ones. Ordering keys are kept in
// the same way. A full ID has at most MaxIDLength characters, so that a sequence of the
// longest fits into what Temporal keeps of a workflow at once.

// MaxTenantLength is the most characters of a tenant's name.
const MaxTenantLength = 32

var tenantPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)

// ownPrefix begins names that are ours: the probe's orders are called ltp-probe/….
const ownPrefix = "ltp-"

// ValidTenant returns an *InvalidError when name cannot name a tenant. The empty name is
// that of the default tenant.
func ValidTenant(name string) error {
	if strings.HasPrefix(name, ownPrefix) {
		return &InvalidError{"tenant", "names that begin with " + ownPrefix + " are taken: use another one"}
	}
	if name != "" && (len(name) > MaxTenantLength || !tenantPattern.MatchString(name)) {
		return &InvalidError{"tenant", fmt.Sprintf("use at most %d small letters, digits and -, and begin with a letter or digit", MaxTenantLength)}
	}
	return nil
}

// FullID is the full ID of what the tenant calls own: an order, or an ordering key.
func FullID(tenant, own string) string {
	if tenant == "" {
		return own
	}
	return tenant + "/" + own
}

// SplitID is the tenant of a full ID, and what the tenant calls it.
func SplitID(full string) (tenant, own string) {
	if tenant, own, found := strings.Cut(full, "/"); found {
		return tenant, own
	}
	return "", full
}

// Role is what whoever shows a key is there for.
type Role string

// The roles.
const (
	CustomerRole Role = "customer" // submits, reads, lists and cancels orders, within the Bounds of the tenant
	SupportRole  Role = "support"  // reads, lists and cancels orders
	OperatorRole Role = "operator" // does everything; of the default tenant, without bounds
)

// Action is something that a request does.
type Action string

// The actions, in words that a sentence can hold.
const (
	Submitting Action = "submit orders"
	Reading    Action = "read orders" // list and follow them, too
	Cancelling Action = "cancel orders"
	Operating  Action = "see what operators see" // of the node: of all tenants
)

// Identity is who makes a request. The zero Identity may do nothing.
type Identity struct {
	// Tenant is whose orders it reaches; empty is the default tenant.
	Tenant string
	Role   Role
	// Customer is the one customer whose orders it reaches; empty is all of the tenant's.
	Customer string
	// Known says that it has shown a key: nobody is known where none is asked for.
	Known bool
	// Name says in logs whose key it is.
	Name string
	// Expires is when it ends: what waits or streams for it ends then. Zero is never.
	Expires time.Time
	// Bounds are those of its tenant's customers.
	Bounds Bounds
}

// Anybody is whoever makes a request where nobody is asked who they are.
func Anybody() Identity { return Identity{Role: OperatorRole} }

// May reports whether the identity may do this at all. An operator of a tenant does
// everything within the tenant, and is not one of the node.
func (i Identity) May(a Action) bool {
	switch i.Role {
	case OperatorRole:
		return a != Operating || i.Tenant == ""
	case CustomerRole:
		return a == Submitting || a == Reading || a == Cancelling
	case SupportRole:
		return a == Reading || a == Cancelling
	}
	return false
}

// Bounds are what the customers of a tenant may ask for. The zero Bounds let them ask for
// nothing that would be at the cost of others.
type Bounds struct {
	// FirstPriority is the first class that their orders may have; 0 is DefaultPriority.
	FirstPriority int `json:"first_priority,omitempty"`
	// Risk says that they may class orders as HighRisk.
	Risk bool `json:"risk,omitempty"`
	// DependsOn are the components that their orders may name, besides DefaultComponent.
	DependsOn []string `json:"depends_on,omitempty"`
}

// Validate returns an *InvalidError for bounds that no order could tell.
func (b Bounds) Validate() error {
	if b.FirstPriority < 0 || b.FirstPriority > LastPriority {
		return &InvalidError{"first_priority", fmt.Sprintf("use 1, which is released first, to %d, or leave it out", LastPriority)}
	}
	for _, c := range b.DependsOn {
		if ValidComponent(c) != nil {
			return &InvalidError{"depends_on", fmt.Sprintf("%q names no component", c)}
		}
	}
	return nil
}

// ForbiddenError says what of an order, or of another request, is not allowed to who made it.
type ForbiddenError struct {
	Field string // as that of an InvalidError
	Hint  string // a sentence
}

func (e *ForbiddenError) Error() string { return e.Field + ": " + e.Hint }

// NoTenant names the default tenant, whose name is empty, to those for whom a name that is
// missing must not mean it: see NewIdentity.
const NoTenant = "-"

// Validate returns an *InvalidError for an identity that nobody can have.
func (i Identity) Validate() error {
	if err := ValidTenant(i.Tenant); err != nil {
		return err
	}
	switch {
	case i.Role != CustomerRole && i.Role != SupportRole && i.Role != OperatorRole:
		return &InvalidError{"role", "use customer, support or operator"}
	case i.Customer == "":
		return nil
	case i.Role != CustomerRole:
		return &InvalidError{"customer", "only a key of the role customer can be one customer's"}
	}
	return ValidCustomer(i.Customer)
}

// NewIdentity is the identity of whom an issuer of tokens or a proxy vouches for. The tenant is
// NoTenant or a name; a customer is named wherever bound says that customers are. It returns
// an *InvalidError for whatever is missing or unknown: what was forgotten lets nobody in.
func NewIdentity(tenant string, role Role, customer string, bound bool) (Identity, error) {
	switch {
	case tenant == "":
		return Identity{}, &InvalidError{"tenant", "name the tenant; the default one is called " + NoTenant}
	case tenant == NoTenant:
		tenant = ""
	}
	if bound && role == CustomerRole && customer == "" {
		return Identity{}, &InvalidError{"customer", "name the customer"}
	}
	i := Identity{Tenant: tenant, Role: role, Customer: customer, Known: true}
	if err := i.Validate(); err != nil {
		return Identity{}, err
	}
	return i, nil
}

// Reaches returns a *ForbiddenError for an order of another customer than the one whom the
// identity is bound to.
func (i Identity) Reaches(o Order) error {
	if i.Customer != "" && o.Customer != i.Customer {
		return &ForbiddenError{"/customer", fmt.Sprintf("this key submits orders of the customer %q alone", i.Customer)}
	}
	return nil
}

// Admits returns a *ForbiddenError for an order that the identity reaches and may not submit,
// since it is beyond the Bounds.
func (i Identity) Admits(o Order) error {
	if i.Tenant == "" && i.Role == OperatorRole {
		return nil
	}
	first := i.Bounds.FirstPriority
	if first == 0 {
		first = DefaultPriority
	}
	switch {
	case o.Priority != 0 && o.Priority < first:
		return &ForbiddenError{"/priority", fmt.Sprintf("this key submits orders of the priorities %d to %d, or without one", first, LastPriority)}
	case o.Priority == 0 && DefaultPriority < first:
		return &ForbiddenError{"/priority", fmt.Sprintf("this key submits orders of the priorities %d to %d: name one", first, LastPriority)}
	case o.Risk == HighRisk && !i.Bounds.Risk:
		return &ForbiddenError{"/risk", "this key submits no orders of high risk: leave it out"}
	}
	for n, c := range o.DependsOn {
		if c != DefaultComponent && !slices.Contains(i.Bounds.DependsOn, c) {
			return &ForbiddenError{fmt.Sprintf("/depends_on/%d", n), "this key submits no orders that depend on this component: leave it out"}
		}
	}
	return nil
}

// Full is the order as the node keeps it: its ID and its ordering key are full ones. It
// returns an *InvalidError where the order already has such, which no client may choose, or has
// an ordering key in the form of a bound customer's while the identity is bound to none.
func (i Identity) Full(o Order) (Order, error) {
	if err := ValidOwnID(i.Tenant, o.ID); err != nil {
		return Order{}, within("/", err)
	}
	o.ID = FullID(i.Tenant, o.ID)
	if o.OrderingKey != "" {
		if err := validOwn("/ordering_key", i.Tenant, i.keyPrefix(), o.OrderingKey); err != nil {
			return Order{}, err
		}
		if i.Customer == "" && linePattern.MatchString(o.OrderingKey) {
			return Order{}, &InvalidError{"/ordering_key", "keys that begin with c. and 24 hexadecimal digits are those of customers with keys of their own: use another one"}
		}
		o.OrderingKey = FullID(i.Tenant, i.keyPrefix()+o.OrderingKey)
	}
	return o, nil
}

// linePattern is what line returns of a customer.
var linePattern = regexp.MustCompile(`^c\.[0-9a-f]{24}\.`)

// keyPrefix begins the ordering keys of an identity that is bound to a customer, so that no
// other customer can stand in that customer's lines, or hold them up. It holds a hash, since a
// customer may be called what a key may not hold.
func (i Identity) keyPrefix() string {
	if i.Customer == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(i.Customer))
	return fmt.Sprintf("c.%x.", sum[:12])
}

// Own is what the identity calls the order of a full ID, and false where that is of another
// tenant.
func (i Identity) Own(full string) (own string, ok bool) {
	tenant, own := SplitID(full)
	return own, tenant == i.Tenant
}
