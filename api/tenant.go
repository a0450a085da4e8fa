package api

import (
	"context"
	"iter"
	"net/http"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/starter"
)

// tenancy are the orders that who reaches, under the IDs that their tenant gives them. The
// order of another tenant is not there: the very same look-up finds nothing. One of another
// customer, where who is bound to one, is said not to be there by the same look-up that
// finds it.
type tenancy struct {
	all Orders
	who ltp.Identity
}

func (t tenancy) full(own string) string { return ltp.FullID(t.who.Tenant, own) }

// fullID is an order of the caller's as commands and Temporal call it, for logs.
func fullID(r *http.Request, own string) string { return ltp.FullID(callerOf(r).Tenant, own) }

// bound returns starter.ErrNotFound for an order that is not of the customer that who is
// bound to.
func (t tenancy) bound(ctx context.Context, full string) error {
	if t.who.Customer == "" {
		return nil
	}
	return t.all.OfCustomer(ctx, full, t.who.Customer)
}

// own is a status as its reader.
func (t tenancy) own(st starter.Status) starter.Status {
	st.OrderID, _ = t.who.Own(st.OrderID)
	return st
}

func (t tenancy) Submit(ctx context.Context, o ltp.Order) (starter.Submission, error) {
	return t.withFullOrder(ctx, o, t.all.Submit)
}

func (t tenancy) Repeat(ctx context.Context, o ltp.Order) (starter.Submission, error) {
	return t.withFullOrder(ctx, o, t.all.Repeat)
}

// withFullOrder does something with an order as the node keeps it.
func (t tenancy) withFullOrder(ctx context.Context, o ltp.Order, do func(context.Context, ltp.Order) (starter.Submission, error)) (starter.Submission, error) {
	full, err := t.who.Full(o)
	if err != nil {
		return starter.Submission{}, err
	}
	sub, err := do(ctx, full)
	sub.OrderID = o.ID
	return sub, err
}

func (t tenancy) Await(ctx context.Context, sub starter.Submission) (starter.Status, error) {
	sub.OrderID = t.full(sub.OrderID)
	st, err := t.all.Await(ctx, sub)
	return t.own(st), err
}

func (t tenancy) Get(ctx context.Context, orderID string) (starter.Status, error) {
	full := t.full(orderID)
	if err := t.bound(ctx, full); err != nil {
		return starter.Status{}, err
	}
	st, err := t.all.Get(ctx, full)
	return t.own(st), err
}

// Place counts the orders of all tenants: they stand in one backlog.
func (t tenancy) Place(ctx context.Context, st starter.Status) *ltp.Place {
	st.OrderID = t.full(st.OrderID)
	return t.all.Place(ctx, st)
}

func (t tenancy) OfCustomer(ctx context.Context, orderID, customer string) error {
	return t.all.OfCustomer(ctx, t.full(orderID), customer)
}

func (t tenancy) Changes(ctx context.Context, orderID string) iter.Seq2[starter.Status, error] {
	return func(yield func(starter.Status, error) bool) {
		full := t.full(orderID)
		if err := t.bound(ctx, full); err != nil {
			yield(starter.Status{}, err)
			return
		}
		for st, err := range t.all.Changes(ctx, full) {
			if !yield(t.own(st), err) {
				return
			}
		}
	}
}

func (t tenancy) Cancel(ctx context.Context, orderID string) error {
	full := t.full(orderID)
	if err := t.bound(ctx, full); err != nil {
		return err
	}
	return t.all.Cancel(ctx, full)
}

// List lists the orders of the filter that who reaches. It returns an *ltp.ForbiddenError
// for a filter that names another customer than who is bound to.
func (t tenancy) List(ctx context.Context, f starter.Filter) (starter.Page, error) {
	f.Tenant, f.AllTenants = t.who.Tenant, false
	if t.who.Customer != "" {
		if f.Customer != "" && f.Customer != t.who.Customer {
			return starter.Page{}, &ltp.ForbiddenError{Field: "customer", Hint: "this key lists the orders of its own customer alone: leave it out"}
		}
		f.Customer = t.who.Customer
	}
	page, err := t.all.List(ctx, f)
	mine := page.Orders[:0:0]
	for _, st := range page.Orders {
		if _, ok := t.who.Own(st.OrderID); ok { // whatever the index says
			mine = append(mine, t.own(st))
		}
	}
	page.Orders = mine
	return page, err
}
