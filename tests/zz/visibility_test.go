package faults

import (
	"context"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// visibility is the visibility store as an exchange shows it: well, "empty" (it shows
// nothing), "failing", "repeating" (the first page that it ever showed, again and
// again), or "late" (what it shows was true some time ago).
type visibility struct {
	mu    sync.Mutex
	mode  string
	left  int // for how many answers
	first any // the first page
	asks  atomic.Int64
}

// always is for as many answers as there will be.
const always = math.MaxInt

// lag is how late a late answer is.
const lag = 2 * time.Second

// set has the store be so for a number of answers.
func (v *visibility) set(mode string, answers int) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.mode, v.left = mode, answers
	v.asks.Store(0)
}

// sick reports whether the store does not show what there is.
func (v *visibility) sick() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.mode != ""
}

func (v *visibility) handle(ctx context.Context, call any, pass func() (any, error)) (any, error) {
	_, counts := call.(*workflowservice.CountWorkflowExecutionsRequest)
	_, lists := call.(*workflowservice.ListWorkflowExecutionsRequest)
	if !counts && !lists {
		return pass()
	}
	switch mode, first := v.now(); {
	case mode == "failing":
		return nil, status.Error(codes.Unavailable, "the visibility store is away")
	case mode == "empty" && counts:
		return &workflowservice.CountWorkflowExecutionsResponse{}, nil
	case mode == "empty":
		return &workflowservice.ListWorkflowExecutionsResponse{}, nil
	case mode == "repeating" && lists && first != nil:
		return first, nil
	case mode == "late":
		answer, err := pass()
		select {
		case <-ctx.Done():
		case <-time.After(lag):
		}
		return answer, err
	}
	answer, err := pass()
	if page, ok := answer.(*workflowservice.ListWorkflowExecutionsResponse); ok && err == nil && len(page.GetExecutions()) > 0 {
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.first == nil {
			v.first = page
		}
	}
	return answer, err
}

// now is how the store is for the next answer.
func (v *visibility) now() (mode string, first any) {
	v.asks.Add(1)
	v.mu.Lock()
	defer v.mu.Unlock()
	mode = v.mode
	if v.left--; v.left <= 0 {
		v.mode = ""
	}
	return mode, v.first
}
