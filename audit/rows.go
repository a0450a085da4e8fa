package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/trace"
)

// rows holds the order database against the orders, row by row.
type rows struct {
	c     Claim
	known map[string]*known
	found int64 // rows that were read
	// unconfirmed are rows of orders whose write had no answer, and that will be put
	// again; unexplained, rows of which nobody can say whether they should be.
	unconfirmed, unexplained int64
	// elsewhere are orders that activities of the user's executed.
	elsewhere int64
	// missing, extra and differing are what does not agree.
	missing, extra, differing int64
}

// known is what is kept of an order.
type known struct {
	order     ltp.OrderState
	uncertain bool // a write may have happened
	elsewhere bool // an activity of the user's writes it
	setAside  bool // it was rejected for failing: the order database may have it late
	seen      bool
	content   content
}

// content is what a row must say.
type content struct {
	hash               string
	customer, currency string
	amountMinor        int64
}

func newRows() rows {
	return rows{c: claim(RowsAgree, "The order database agrees, row by row"), known: map[string]*known{}}
}

func (r *rows) see(t trace.OrderTrace) {
	k := knowing(t)
	r.known[t.Order.ID] = &k
}

func knowing(t trace.OrderTrace) known {
	o := t.Order
	k := known{order: t.State(), elsewhere: t.By.Own(), setAside: t.SetAside(), content: content{o.ContentHash(), o.Customer, o.Currency, o.AmountMinor()}}
	for _, x := range t.Executions {
		switch {
		case x.Done() && !k.order.Final(): // its workflow has yet to hear of it
			k.order = ltp.Executed
		case x.Done(), x.Confirm, x.Error == trace.Rejected, x.Error == trace.Unavailable:
		default:
			k.uncertain = true
		}
	}
	return k
}

// lookUp reads one order from Temporal.
type lookUp func(ctx context.Context, orderID string) (trace.OrderTrace, error)

// claim compares. Rows that were created in the window and are not of an order that is
// known are looked up one by one: clocks differ, and listings are late. The error is of
// Temporal; that of the order database makes the claim one that was not checked.
func (r *rows) claim(ctx context.Context, s Scope, w trace.Window, gaps []trace.Gap, order lookUp) (Claim, error) {
	if s.Rows == nil {
		r.c.unchecked("%s", s.NoRows)
		return r.c, nil
	}
	for e, err := range s.Rows.Created(ctx, w.From, w.To) {
		if err != nil {
			return r.unread(ctx, err)
		}
		if err := r.row(ctx, e, len(gaps) > 0, order); err != nil {
			return Claim{}, err
		}
	}
	if err := r.others(ctx, s.Rows); err != nil {
		return r.unread(ctx, err)
	}
	return r.close(), nil
}

// others reads the rows of executed orders that were not created in the window, and
// looks for those of orders that were set aside: they may have come at any time.
func (r *rows) others(ctx context.Context, db orderdb.Ledger) error {
	var ids []string
	for id, k := range r.known {
		switch {
		case k.seen || k.order != ltp.Executed && !k.setAside:
		case k.elsewhere && k.order == ltp.Executed:
			r.elsewhere++
		case k.elsewhere:
		default:
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	for e, err := range db.Entries(ctx, ids) {
		if err != nil {
			return err
		}
		r.compare(e, r.known[e.ID])
	}
	for _, id := range ids {
		if k := r.known[id]; !k.seen && !k.setAside {
			r.missing++
			r.c.breach(id, "it was executed, and is missing in the order database")
		}
	}
	return nil
}

func (r *rows) unread(ctx context.Context, err error) (Claim, error) {
	if ctx.Err() != nil {
		return Claim{}, ctx.Err()
	}
	r.c.unchecked("the order database cannot be read: %s", told(err))
	return r.close(), nil
}

// row judges a row that was created in the window.
func (r *rows) row(ctx context.Context, e orderdb.Entry, gaps bool, order lookUp) error {
	k := r.known[e.ID]
	if k == nil || (k.order != ltp.Executed && !k.order.Final()) {
		// It was not listed, or has gone on since.
		t, err := order(ctx, e.ID)
		var invalid *ltp.InvalidError
		var damage *trace.DamageError
		switch {
		case errors.Is(err, trace.ErrNotFound) && gaps, errors.As(err, &damage):
			r.found++
			r.unexplained++
			return nil
		case errors.Is(err, trace.ErrNotFound), errors.As(err, &invalid):
			r.found++
			r.extra++
			r.c.breach(e.ID, "it is in the order database since %s, and Temporal has no such order", stamp(e.CreatedAt))
			return nil
		case err != nil:
			return fmt.Errorf("look up order %s, which is in the order database: %w", e.ID, err)
		}
		now := knowing(t)
		r.known[e.ID], k = &now, &now
	}
	r.compare(e, k)
	return nil
}

// compare holds a row against its order.
func (r *rows) compare(e orderdb.Entry, k *known) {
	if k.seen {
		r.differing++
		r.c.breach(e.ID, "it is in the order database more than once")
		return
	}
	k.seen = true
	r.found++
	switch {
	case k.order == ltp.Executed:
	case k.uncertain && !k.order.Final():
		r.unconfirmed++
	default:
		r.extra++
		r.c.breach(e.ID, "it is in the order database since %s, and Temporal has it %s", stamp(e.CreatedAt), k.order)
		return
	}
	if why := differs(e, k.content); why != "" {
		r.differing++
		r.c.breach(e.ID, "%s", why)
	}
}

// differs says what of a row is not as the order, and "" if nothing.
func differs(e orderdb.Entry, want content) string {
	var body ltp.Order
	switch err := json.Unmarshal(e.Body, &body); {
	case err != nil:
		return "its body in the order database cannot be read: " + told(err)
	case e.ContentHash != want.hash:
		return "its content hash in the order database is another"
	case body.ID != e.ID || body.ContentHash() != want.hash:
		return "its body in the order database is of another content"
	case e.Customer != want.customer:
		return "its customer in the order database is another"
	case e.Currency != want.currency || e.AmountMinor != want.amountMinor:
		return fmt.Sprintf("its amount in the order database is %s, and %s was ordered",
			ltp.Amount(e.AmountMinor, e.Currency), ltp.Amount(want.amountMinor, want.currency))
	case e.Outbox > 1:
		return fmt.Sprintf("the outbox has it %d times", e.Outbox)
	}
	return ""
}

func (r *rows) close() Claim {
	c := r.c
	c.tell("%s read: %s missing, %s too many, %s differing (content hash, body, customer, amount, outbox)",
		trace.Plural(r.found, "row"), none(r.missing), none(r.extra), none(r.differing))
	if r.unconfirmed > 0 {
		c.tell("%s of orders whose write had no answer and that are pending: told when they are put again", trace.Plural(r.unconfirmed, "row"))
	}
	c.Figures["rows"], c.Figures["missing"], c.Figures["extra"], c.Figures["differing"] = r.found, r.missing, r.extra, r.differing
	c.Figures["unconfirmed"] = r.unconfirmed
	if r.elsewhere > 0 {
		c.Figures["elsewhere"] = r.elsewhere
		c.unchecked("%s by activities of your own, and what they wrote is not read", trace.Plural(r.elsewhere, "order")+" executed")
	}
	if r.unexplained > 0 {
		c.unchecked("Temporal no longer has the orders of %s, or their histories are damaged", trace.Plural(r.unexplained, "row"))
	}
	return c
}

func none(n int64) string {
	if n == 0 {
		return "none"
	}
	return trace.Count(int(n))
}
