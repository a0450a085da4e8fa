package audit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/words"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/trace"
)

// rows holds the order database against the orders, row by row.
type rows struct {
	c     Claim
	known map[string]*known
	// receipt is called for the write of a receipt of which Temporal has no attempt.
	receipt func(trace.OrderTrace, ltp.Receipt, time.Time)
	created *created
	read    bool  // all rows were
	found   int64 // rows that were read
	// unconfirmed are rows of orders whose write had no answer, and that will be put
	// again; unexplained, rows of which nobody can say whether they should be; emptied,
	// those of which the outbox has nothing any more; erased, those of orders whose
	// customer's data was erased.
	unconfirmed, unexplained, emptied, erased int64
	// elsewhere are orders that activities of the user's execute, whatever became of them.
	elsewhere int64
	// missing, extra, differing and ghosts are what does not agree.
	missing, extra, differing, ghosts int64
}

// known is what is kept of an order.
type known struct {
	order     ltp.OrderState
	uncertain bool // a write may have happened
	elsewhere bool // an activity of the user's writes it
	seen      bool
	content   content
	written   ltp.Receipt // of its row, by Temporal; zero where it has none
	// task and recorded are the attempt that wrote the order, or found it written.
	task, recorded time.Time
	// trace is kept where a task was lost, or an attempt gave no answer.
	trace *trace.OrderTrace
}

// content is what a row must say.
type content struct {
	hash               string
	customer, currency string
	amountMinor        int64
}

func newRows(s states) rows {
	return rows{
		c: claim(RowsAgree, "The order database agrees, row by row"), known: map[string]*known{},
		created: newCreated(s), receipt: func(trace.OrderTrace, ltp.Receipt, time.Time) {},
	}
}

func (r *rows) see(t trace.OrderTrace) {
	k := knowing(t)
	r.known[t.Order.ID] = &k
}

func knowing(t trace.OrderTrace) known {
	o := t.Order
	k := known{order: t.State(), elsewhere: t.Execution.External(), content: content{o.ContentHash(), o.Customer, o.Currency, o.AmountMinor()}}
	for _, x := range t.Executions {
		switch {
		case x.Done():
			if k.task, k.recorded = x.TaskAt, x.RecordedAt; x.Receipt != nil {
				k.written = *x.Receipt
			}
			if x.Repeated() {
				k.task = t.AcceptedAt
			}
			if !k.order.Final() { // its workflow has not taken it in yet
				k.order = ltp.Executed
			}
		case x.Result == ltp.ResultUnknown:
			k.uncertain = true
		}
	}
	for _, w := range t.Withdrawals {
		if w.Found == ltp.FoundOrder && w.Receipt != nil {
			k.written, k.task, k.recorded = *w.Receipt, t.AcceptedAt, w.RecordedAt
		}
	}
	k.uncertain = k.uncertain || len(t.Lost) > 0
	if k.uncertain && !k.elsewhere {
		k.trace = &trace.OrderTrace{Order: o, Execution: t.Execution, AcceptedAt: t.AcceptedAt, Frames: t.Frames, Executions: t.Executions, Lost: t.Lost, Passes: t.Passes}
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
		if err := r.row(ctx, e, gaps, order); err != nil {
			return Claim{}, err
		}
	}
	if err := r.others(ctx, s.Rows); err != nil {
		return r.unread(ctx, err)
	}
	for id, err := range s.Rows.Ghosts(ctx, w.From, w.To) {
		if err != nil {
			return r.unread(ctx, err)
		}
		if k := r.known[id]; k == nil || k.order != ltp.Executed { // that one is missing already
			r.ghosts++
			r.c.breach(id, "it is in the outbox, and the order database has no such order")
		}
	}
	r.read = true
	return r.close(), nil
}

// others reads the rows of known orders that were not created in the window: those of
// executed ones must be there, and all others may have come at any time.
func (r *rows) others(ctx context.Context, db orderdb.Ledger) error {
	var ids []string
	for id, k := range r.known {
		switch {
		case k.seen:
		case k.elsewhere:
			r.elsewhere++
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
		if k := r.known[id]; !k.seen && k.order == ltp.Executed {
			r.missing++
			r.c.breach(id, "it was executed, and is missing in the order database")
		}
	}
	return nil
}

// unread makes of an error of the order database a claim that was not checked: what was
// read before it breaks the claim all the same.
func (r *rows) unread(ctx context.Context, err error) (Claim, error) {
	if ctx.Err() != nil {
		return Claim{}, ctx.Err()
	}
	c := r.close()
	c.unchecked("the order database cannot be read: %s", firstLine(err))
	return c, nil
}

// row holds a row that was created in the window against its order.
func (r *rows) row(ctx context.Context, e orderdb.Entry, gaps []trace.Gap, order lookUp) error {
	k := r.known[e.ID]
	if k == nil || (k.order != ltp.Executed && !k.order.Final()) {
		// It was not listed, or has gone on since.
		t, err := order(ctx, e.ID)
		var invalid *ltp.InvalidError
		var damage *trace.DamageError
		switch {
		case errors.Is(err, trace.ErrNotFound) && !e.ErasedAt.IsZero():
			r.found++
			r.erased++
			return nil
		case errors.As(err, &damage), errors.Is(err, trace.ErrNotFound) && excused(e, gaps):
			r.found++
			r.unexplained++
			return nil
		case errors.Is(err, trace.ErrNotFound), errors.As(err, &invalid):
			r.found++
			r.extra++
			r.c.breach(e.ID, "it is in the order database since %s UTC, and Temporal has no such order", words.Time(e.CreatedAt))
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

// excused reports whether one of the gaps is about the order of a row: by its name, or
// since it may have ended before Temporal's retention began.
func excused(e orderdb.Entry, gaps []trace.Gap) bool {
	id := ltp.OrderWorkflowID(e.ID)
	return slices.ContainsFunc(gaps, func(g trace.Gap) bool {
		if day, ok := strings.CutPrefix(g.What, "orders that ended before "); ok {
			before, err := time.Parse(time.DateTime+" MST", day)
			return err != nil || !e.CreatedAt.After(before.Add(ltp.ClockBound))
		}
		return g.What == id || strings.HasSuffix(g.What, " of "+id)
	})
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
		r.c.breach(e.ID, "it is in the order database since %s UTC, and Temporal has it %s", words.Time(e.CreatedAt), k.order)
		return
	}
	if why := k.differs(e); why != "" {
		r.differing++
		r.c.breach(e.ID, "%s", why)
	}
	switch {
	case !e.ErasedAt.IsZero():
		r.erased++
	case e.Outbox == 0:
		r.emptied++
	}
	r.created.see(e, k)
	if k.trace != nil && !made(*k.trace, e.Receipt) && !reflected(k.written, e.Receipt) {
		r.receipt(*k.trace, e.Receipt, k.recorded)
	}
}

// reflected reports whether Temporal has the receipt of a row, so that its write was judged.
func reflected(known, row ltp.Receipt) bool {
	return known.Attempt == row.Attempt && known.BegunAt.Equal(row.BegunAt)
}

// differs says what of a row is not as the order, and "" if nothing.
func (k *known) differs(e orderdb.Entry) string {
	var body ltp.Order
	want := k.content
	switch err := json.Unmarshal(e.Body, &body); {
	case !e.ErasedAt.IsZero():
		return k.differsErased(e)
	case err != nil:
		return "its body in the order database cannot be read: " + firstLine(err)
	case e.ContentHash != want.hash:
		return "its content hash in the order database is another"
	case body.ID != e.ID || body.ContentHash() != want.hash:
		return "its body in the order database is of another content"
	case e.Customer != want.customer:
		return "its customer in the order database is another"
	case k.amountDiffers(e) != "":
		return k.amountDiffers(e)
	case e.Outbox > 1:
		return fmt.Sprintf("the outbox has it %d times", e.Outbox)
	case e.OutboxDiffers > 0:
		return "the outbox has it with another content"
	}
	return receiptDiffers(k.written, e.Receipt)
}

// differsErased is differs for a row of which the customer's data was erased, and that of
// Temporal was not, or came again.
func (k *known) differsErased(e orderdb.Entry) string {
	switch {
	case e.ContentHash != k.content.hash:
		return "its content hash in the order database is another"
	case e.Customer != "" || e.Outbox > 0:
		return "it was erased in the order database, which has it all the same"
	case k.amountDiffers(e) != "":
		return k.amountDiffers(e)
	}
	return receiptDiffers(k.written, e.Receipt)
}

func (k *known) amountDiffers(e orderdb.Entry) string {
	if e.Currency == k.content.currency && e.AmountMinor == k.content.amountMinor {
		return ""
	}
	return fmt.Sprintf("its amount in the order database is %s, and %s was ordered",
		ltp.Amount(e.AmountMinor, e.Currency), ltp.Amount(k.content.amountMinor, k.content.currency))
}

// receiptDiffers says what of the receipt in a row is not as Temporal has it.
func receiptDiffers(want, is ltp.Receipt) string {
	switch {
	case want.Attempt == "": // nothing is known of it
		return ""
	case is.Attempt != want.Attempt:
		return fmt.Sprintf("its row says that attempt %q wrote it, and attempt %s did", is.Attempt, want.Attempt)
	case is.Fence.Epoch != want.Fence.Epoch || is.Fence.State != want.Fence.State:
		return fmt.Sprintf("its row says that it was written under %s, epoch %d, and that was %s, epoch %d",
			is.Fence.State, is.Fence.Epoch, want.Fence.State, want.Fence.Epoch)
	case !is.BegunAt.Equal(want.BegunAt.Truncate(time.Millisecond)) || !is.Fence.ReadAt.Equal(want.Fence.ReadAt.Truncate(time.Millisecond)):
		return "its row says that it was written at another time"
	}
	return ""
}

func (r *rows) close() Claim {
	c := &r.c
	c.add("%s read: %s missing, %s too many, %s differing (content hash, body, customer, amount, outbox, receipt)",
		words.Plural(r.found, "row"), words.None(r.missing), words.None(r.extra), words.None(r.differing))
	if r.ghosts > 0 {
		c.add("%s in the outbox without an order", words.Plural(r.ghosts, "row"))
	}
	if r.unconfirmed > 0 {
		c.add("%s of orders whose write had no answer and that are pending: their workflows find out when they put them again", words.Plural(r.unconfirmed, "row"))
	}
	c.Figures["rows"], c.Figures["missing"], c.Figures["extra"], c.Figures["differing"] = r.found, r.missing, r.extra, r.differing
	c.Figures["unconfirmed"], c.Figures["outbox_without_order"], c.Figures["outbox_missing"] = r.unconfirmed, r.ghosts, r.emptied
	r.created.judge(c)
	if r.emptied > 0 {
		c.unchecked("the outbox has nothing of %s: whether consumers took it out, nobody knows", words.Plural(r.emptied, "order"))
	}
	if r.erased > 0 {
		c.Figures["erased"] = r.erased
		c.unchecked("the customers' data of %s was erased, by an operator's word, and what was erased cannot be compared", words.Plural(r.erased, "order"))
	}
	if r.elsewhere > 0 {
		c.Figures["elsewhere"] = r.elsewhere
		c.unchecked("%s by activities of your own, and what those write is not read", words.Plural(r.elsewhere, "order")+" executed")
	}
	if r.unexplained > 0 {
		c.unchecked("Temporal no longer has the orders of %s, or their histories are damaged", words.Plural(r.unexplained, "row"))
	}
	return *c
}
