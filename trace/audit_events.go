package trace

import (
	"context"

	historypb "go.temporal.io/api/history/v1"
)

// Events fetches the events of one run of a workflow, or returns ErrNotFound.
func (r *Reader) Events(ctx context.Context, workflowID, runID string) ([]*historypb.HistoryEvent, error) {
	return r.history(ctx, workflowID, runID)
}

// Runs cuts the events of OrientationHistory into the runs that they are of.
func Runs(events []*historypb.HistoryEvent) [][]*historypb.HistoryEvent { return splitRuns(events) }
