// Package erase erases what the node keeps of the customer of one order that has ended: in
// the order database, and then in Temporal.
//
// It is deletion. A key for each order that could be destroyed would have to be kept where
// orders are accepted in an outage, which is Temporal alone.
//
// What stays is that the order was there: its id, its content hash, amount and receipt, and
// times in the order database, so that a repeat is recognised and nothing is written twice.
// Every step may be repeated, and a call that was cut short is completed by the next one.
package erase

import (
	"context"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/internal/memo"
	"github.com/ltp-node/ltp/orderdb"
	"github.com/ltp-node/ltp/starter"
	"github.com/ltp-node/ltp/trace"
)

// Order is what Temporal has of an order that is to be erased.
type Order struct {
	ID string
	// State is how it ended; empty where Temporal has nothing of it any more. What follows
	// is empty then, too.
	State ltp.OrderState
	// ContentHash distinguishes it from another order of the same ID.
	ContentHash string
	// Activity of the user's executed it, in place of the order database; mostly empty.
	Activity    string
	OrderingKey string
	// Delivering says that messages of it to webhooks are under way. They are given up.
	Delivering bool
	// Incidents are those whose export has the order now and will lack it.
	Incidents           []trace.Incident
	AcceptedAt, EndedAt time.Time
}

// OpenError says that an order has not ended.
type OpenError struct {
	ID    string
	State ltp.OrderState
}

// Error is one sentence with what to do.
func (e *OpenError) Error() string {
	do := "ltp orders cancel " + e.ID + " ends it"
	if e.State == ltp.Parked {
		do = "ltp orders retry or ltp orders reject has it end"
	}
	return fmt.Sprintf("order %s is %s: it can be erased when it has ended, and %s", e.ID, e.State, do)
}

// Tombstone is the state of the tombstone that is left in the order database for an order
// that ended in a state; empty for one that was executed. One that was ended by force is
// never to be written either.
func Tombstone(s ltp.OrderState) ltp.OrderState {
	switch s {
	case ltp.Cancelled, ltp.Expired, ltp.Rejected:
		return s
	case ltp.Terminated:
		return ltp.Cancelled
	}
	return ""
}

// Look reads what Temporal has of an order. An order that it has nothing of is no error: it
// may have been erased there, or its retention has passed. An order that has not ended is an
// [*OpenError].
func Look(ctx context.Context, c client.Client, namespace, id string) (Order, error) {
	o := Order{ID: id}
	st, err := starter.New(c).Get(ctx, id)
	switch {
	case errors.Is(err, starter.ErrNotFound):
		return o, nil
	case err != nil:
		return Order{}, err
	case !st.State.Final():
		return Order{}, &OpenError{ID: id, State: st.State}
	}
	o.State, o.AcceptedAt, o.EndedAt = st.State, st.AcceptedAt, st.EndedAt
	workflowID := ltp.OrderWorkflowID(id)
	d, err := c.DescribeWorkflowExecution(ctx, workflowID, "")
	if err != nil {
		return Order{}, fmt.Errorf("look up order %s: %w", id, err)
	}
	for field, into := range map[string]*string{ltp.ContentMemo: &o.ContentHash, ltp.ExecutionMemo: &o.Activity} {
		if _, err := memo.Read(d.GetWorkflowExecutionInfo().GetMemo(), field, into); err != nil {
			return Order{}, fmt.Errorf("order %s: %w", id, err)
		}
	}
	first, err := firstEvent(ctx, c, workflowID, d.GetWorkflowExecutionInfo().GetExecution().GetRunId())
	if err != nil {
		return Order{}, fmt.Errorf("read the history of order %s: %w", id, err)
	}
	var p ltp.Progress
	if err := trace.Decode(first.GetInput(), &p); err != nil {
		return Order{}, fmt.Errorf("read the history of order %s: %w", id, err)
	}
	o.OrderingKey = p.Order.OrderingKey
	if o.Incidents, err = incidents(ctx, trace.NewReader(c, namespace), p.Order.Gate(p.Execution), st.AcceptedAt, st.EndedAt); err != nil {
		return Order{}, err
	}
	delivery, err := c.DescribeWorkflowExecution(ctx, ltp.DeliveryWorkflowID(id), "")
	if err != nil && !errors.As(err, new(*serviceerror.NotFound)) {
		return Order{}, fmt.Errorf("look for the deliveries of %s: %w", id, err)
	}
	o.Delivering = delivery.GetWorkflowExecutionInfo().GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_RUNNING
	return o, nil
}

// incidents are those of the components that an order was pending in.
func incidents(ctx context.Context, r *trace.Reader, components []string, accepted, ended time.Time) (all []trace.Incident, err error) {
	for _, component := range components {
		o, err := r.Orientation(ctx, component)
		if errors.Is(err, trace.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("look for the incidents of %s: %w", component, err)
		}
		for _, in := range trace.Incidents(o) {
			if w := in.Window(); !ended.Before(w.From) && (w.To.IsZero() || !accepted.After(w.To)) {
				all = append(all, in)
			}
		}
	}
	return all, nil
}

// ErrNoRow says that the order database has nothing of an order that it should have.
var ErrNoRow = errors.New("the order was executed, and the order database has nothing of it")

// Rows erases what the order database has of an order. by and why are kept there. elsewhere
// says that it has nothing of the order, which an activity of the user's executed. It returns
// [orderdb.ErrNotFound] for an order that neither Temporal nor the order database knows, and
// [ErrNoRow] where the order database is probably another one.
func Rows(ctx context.Context, db orderdb.DB, o Order, by, why string) (erased orderdb.Erased, elsewhere bool, err error) {
	e := orderdb.Erasure{ID: o.ID, ContentHash: o.ContentHash, By: by, Why: why}
	if o.Activity == "" {
		e.Tombstone = Tombstone(o.State)
	}
	erased, err = db.Erase(ctx, e)
	switch {
	case !errors.Is(err, orderdb.ErrNotFound):
		return erased, false, err
	case o.Activity != "":
		return orderdb.Erased{}, true, nil
	case o.State != "":
		return orderdb.Erased{}, false, fmt.Errorf("%s: %w", o.ID, ErrNoRow)
	}
	return orderdb.Erased{}, false, err
}
