// Package marks writes and reads the search attributes of orders: the index by which
// people and the replay engine find the orders that wait. The door sets them at the start
// of a workflow, and the workflow itself upserts them afterwards.
package marks

import (
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/temporal"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/payload"
)

var (
	stateAttribute     = temporal.NewSearchAttributeKeyKeyword(ltp.StateAttribute)
	componentAttribute = temporal.NewSearchAttributeKeyKeyword(ltp.ComponentAttribute)
	epochAttribute     = temporal.NewSearchAttributeKeyInt64(ltp.EpochAttribute)
	customerAttribute  = temporal.NewSearchAttributeKeyKeyword(ltp.CustomerAttribute)
	tenantAttribute    = temporal.NewSearchAttributeKeyKeyword(ltp.TenantAttribute)
	reasonAttribute    = temporal.NewSearchAttributeKeyKeyword(ltp.ReasonAttribute)
	priorityAttribute  = temporal.NewSearchAttributeKeyInt64(ltp.PriorityAttribute)
)

// Attributes turns the mark of an order that waits into an upsert; before is the mark in
// force. A component and an epoch that m does not name are unset, so that no replay finds
// the order under them. The priority is only written where it changes.
func Attributes(m, before ltp.Mark) []temporal.SearchAttributeUpdate {
	updates := []temporal.SearchAttributeUpdate{
		stateAttribute.ValueSet(string(state(m))),
		componentAttribute.ValueUnset(),
		epochAttribute.ValueUnset(),
		reasonAttribute.ValueSet(string(m.Reason)),
	}
	if m.Component != "" {
		updates[1], updates[2] = componentAttribute.ValueSet(m.Component), epochAttribute.ValueSet(m.Epoch)
	}
	if m.Priority != before.Priority {
		updates = append(updates, priorityAttribute.ValueSet(int64(m.Priority)))
	}
	return updates
}

func state(m ltp.Mark) ltp.OrderState {
	if m.Reason == ltp.ReasonParked {
		return ltp.Parked
	}
	return ltp.Deferred
}

// AtStart are the search attributes that the workflow of an order starts with, which costs
// no event: its tenant, unless that is the default one, what its customer is found by, and
// m, which is nil where the order does not wait.
func AtStart(tenant, customer string, m *ltp.Mark) temporal.SearchAttributes {
	all := []temporal.SearchAttributeUpdate{customerAttribute.ValueSet(customer)}
	if tenant != "" {
		all = append(all, tenantAttribute.ValueSet(tenant))
	}
	if m != nil {
		all = append(all, Attributes(*m, ltp.Mark{Priority: ltp.DefaultPriority})...)
	}
	return temporal.NewSearchAttributes(all...)
}

// Customer is what search attributes say that the order's customer is found by.
func Customer(sa *commonpb.SearchAttributes) (key string, err error) {
	if p, ok := sa.GetIndexedFields()[ltp.CustomerAttribute]; ok {
		if err := payload.Converter().FromPayload(p, &key); err != nil {
			return "", fmt.Errorf("search attribute %s: %w", ltp.CustomerAttribute, err)
		}
	}
	return key, nil
}

// Ended is the upsert of an order that ends otherwise than executed.
func Ended(s ltp.OrderState) temporal.SearchAttributeUpdate {
	return stateAttribute.ValueSet(string(s))
}

// Read returns the state and the mark that search attributes hold. An order that was
// never deferred, and did not end otherwise than executed, has no state; an order without
// a priority attribute has ltp.DefaultPriority.
func Read(sa *commonpb.SearchAttributes) (state ltp.OrderState, m ltp.Mark, err error) {
	m.Priority = ltp.DefaultPriority
	for name, into := range map[string]any{
		ltp.StateAttribute: &state, ltp.ComponentAttribute: &m.Component, ltp.EpochAttribute: &m.Epoch,
		ltp.ReasonAttribute: &m.Reason, ltp.PriorityAttribute: &m.Priority,
	} {
		if p, ok := sa.GetIndexedFields()[name]; ok {
			if err := payload.Converter().FromPayload(p, into); err != nil {
				return "", ltp.Mark{}, fmt.Errorf("search attribute %s: %w", name, err)
			}
		}
	}
	return state, m, nil
}

// OfTenant is the part of a query, from AND on, that finds the orders of a tenant. Those of the
// default one have none.
func OfTenant(tenant string) string {
	if tenant == "" {
		return fmt.Sprintf(" AND %s IS NULL", ltp.TenantAttribute)
	}
	return fmt.Sprintf(" AND %s='%s'", ltp.TenantAttribute, tenant)
}
