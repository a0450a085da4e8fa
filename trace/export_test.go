package trace

import (
	"context"

	workflowpb "go.temporal.io/api/workflow/v1"
)

// Walk lists the orders of a window without reading them.
func (r *Reader) Walk(ctx context.Context, w Window, each func(*workflowpb.WorkflowExecutionInfo)) error {
	return r.walk(ctx, ordersQuery(w), func(found *workflowpb.WorkflowExecutionInfo) bool { each(found); return true })
}

// Hold sets how many bytes of frames a stream holds in memory.
func (s *FrameStream) Hold(most int) { s.most = most }
