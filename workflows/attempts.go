package workflows

import (
	"errors"
	"fmt"
	"strings"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
)

// setAside ends an order that has failed again and again while its component was fit,
// so that what is wrong with one order never holds up a recovery. The outcome is empty
// for an order that goes on.
//
// It is asked when the routing after an attempt has come: EXECUTE_UNAVAILABLE says that
// the component still counts as fit, in the epoch of the attempts. An outage that has
// only just been seen is another epoch, and sets nothing aside.
//
// An order that may have been written is not rejected before somebody has looked: see
// confirm.
func (o *order) setAside(ctx workflow.Context) ltp.Outcome {
	if o.confirming || o.last.Reason != ltp.ReasonExecuteUnavailable || !o.attempts.Spent(workflow.Now(ctx)) || !o.bounded(ctx) {
		return ltp.Outcome{}
	}
	failed := fmt.Sprintf("set aside after %d attempts in a row failed while %s was fit (epoch %d)", o.attempts.Failed, o.attempts.Component, o.attempts.Epoch)
	last := strings.ToValidUTF8(o.lastError[:min(len(o.lastError), 500)], "")
	switch {
	case !o.uncertain:
		return ltp.Outcome{State: ltp.Rejected, Reason: failed + "; nothing was written; the last error: " + last}
	case o.by.Own():
		return ltp.Outcome{State: ltp.Rejected, Reason: failed + fmt.Sprintf("; whether %s took effect in one of them is unknown; the last error: ", o.by.Activity) + last}
	}
	o.confirming = true // the next attempt looks instead, after the longest pause
	o.lastError = failed + "; the last error: " + last
	return ltp.Outcome{}
}

// bounded reports whether attempts are counted: of an order that came to the bound under
// code of before, from its next attempt on. It is asked only at the bound, so that no
// other order pays for the question.
func (o *order) bounded(ctx workflow.Context) bool {
	change := fmt.Sprintf("set-aside-%d", o.last.Attempt)
	return workflow.GetVersion(ctx, change, workflow.DefaultVersion, 1) != workflow.DefaultVersion
}

// confirm looks the order up in the order database, in place of one more attempt. While
// nobody can tell, the order goes on waiting.
func (o *order) confirm(ctx workflow.Context, request ltp.Request) (ltp.Outcome, error) {
	ctx = workflow.WithActivityOptions(disconnected(ctx), workflow.ActivityOptions{
		StartToCloseTimeout: executeTimeout,
		Summary:             fmt.Sprintf("%d attempts failed: is it in the order database?", o.attempts.Failed),
		RetryPolicy:         &temporal.RetryPolicy{MaximumAttempts: 1},
	})
	var a *activities.Orders
	var found activities.Confirmation
	err := workflow.ExecuteActivity(ctx, a.Confirm, activities.ExecuteInput{Order: o.Order, Request: request}).Get(ctx, &found)
	switch {
	case err != nil:
		return o.unconfirmed(err), nil
	case found.Receipt != nil:
		return ltp.Outcome{State: ltp.Executed, Receipt: found.Receipt}, nil
	}
	return ltp.Outcome{State: ltp.Rejected, Reason: "not in the order database, and " + o.lastError}, nil
}

// unconfirmed judges a look that told nothing, or found another order.
func (o *order) unconfirmed(err error) ltp.Outcome {
	var failure *temporal.ApplicationError
	if errors.As(err, &failure) && failure.Type() == activities.Rejected {
		return ltp.Outcome{State: ltp.Rejected, Reason: failure.Message()}
	}
	o.log.Info("order cannot be looked up, routing it again", "order", o.ID, "error", err)
	return ltp.Outcome{}
}
