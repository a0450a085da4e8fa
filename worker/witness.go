package worker

import (
	"context"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/activities"
	"github.com/ltp-node/ltp/internal/marks"
	"github.com/ltp-node/ltp/internal/memo"
	"github.com/ltp-node/ltp/internal/visibility"
)

// witnesses is how many of the orders that ended last are looked at.
const witnesses = 50

// Witness asks the visibility store for the order that ended last of those that were
// executed on the same write path. The store is late: an order that it does not show proves
// nothing.
func Witness(store visibility.Store) activities.Witness {
	return func(ctx context.Context, activity string, since time.Time) (time.Time, error) {
		found, _, err := visibility.Listing{Store: store, PageSize: witnesses, Query: fmt.Sprintf(
			"WorkflowType='%s' AND ExecutionStatus='Completed' AND CloseTime>'%s'", ltp.OrderWorkflow, since.UTC().Format(time.RFC3339Nano),
		)}.Page(ctx, nil)
		if err != nil {
			return time.Time{}, err
		}
		for _, order := range found {
			if executed(order) && executionOf(order) == activity {
				return order.GetCloseTime().AsTime(), nil
			}
		}
		return time.Time{}, nil
	}
}

// executed reports whether an order ended by being executed.
func executed(order visibility.Execution) bool {
	state, _, err := marks.Read(order.GetSearchAttributes())
	return err == nil && order.GetStatus() == enumspb.WORKFLOW_EXECUTION_STATUS_COMPLETED && state != ltp.Rejected && state != ltp.Expired
}

// executionOf is the activity of the user's that executes an order.
func executionOf(order visibility.Execution) (activity string) {
	_, _ = memo.Read(order.GetMemo(), ltp.ExecutionMemo, &activity)
	return activity
}
