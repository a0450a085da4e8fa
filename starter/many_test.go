package starter

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"pgregory.net/rapid"

	"github.com/ltp-node/ltp"
)

func TestQueryStaysAmongWaitingOrders(t *testing.T) {
	q, err := Selector{Query: "A=1 OR B=2", State: ltp.Deferred, Component: "payments", Before: time.Unix(0, 0)}.query()
	require.NoError(t, err)
	assert.Equal(t, "WorkflowType='Order' AND ExecutionStatus='Running' AND LtpState='DEFERRED' AND LtpComponent='payments' AND StartTime <= '1970-01-01T00:00:00Z' AND (A=1 OR B=2)", q)

	q, err = Selector{State: ltp.Parked}.query()
	require.NoError(t, err)
	assert.Equal(t, "WorkflowType='Order' AND ExecutionStatus='Running' AND LtpState='PARKED'", q)

	for _, good := range []string{"", "A='it''s )'", "(A=1) OR (B=2 AND (C=3))", "`A`=1"} {
		assert.NoError(t, checkQuery(good), good)
	}
	for _, bad := range []string{
		"A=1) OR (B=2", "A=1 OR (B=2", "A=1)", "A='1", `A="1`, `A='1\'`, "A=1 -- ", "A=1; B", "A=1 # B",
		"A=1 /* ( */ ) OR (1=1 /* ) */", "A='\\') OR (B='",
	} {
		var invalid *ltp.InvalidError
		assert.ErrorAs(t, checkQuery(bad), &invalid, bad)
	}
	for _, w := range []Selector{{State: ltp.Executed}, {Component: "a' OR '1'='1"}} {
		_, err := w.query()
		assert.ErrorAs(t, err, new(*ltp.InvalidError))
	}
}

// TestNoQueryLeavesItsParentheses: whatever is let through, the parenthesis that is
// opened before it is the one that closes after it, by another way of counting.
func TestNoQueryLeavesItsParentheses(t *testing.T) {
	piece := rapid.SampledFrom([]string{"a", "=", "1", " ", "(", ")", "'", "''", `\`, `"`, "`", " OR ", "--", "/*", "*/", "#", ";"})
	rapid.Check(t, func(t *rapid.T) {
		q := strings.Join(rapid.SliceOfN(piece, 0, 16).Draw(t, "query"), "")
		if checkQuery(q) != nil {
			return
		}
		rest, depth := "("+q+")", 0
		for rest != "" {
			c := rest[0]
			rest = rest[1:]
			switch c {
			case '(':
				depth++
			case ')':
				if depth--; depth == 0 && rest != "" {
					t.Fatalf("%q closes before its end", q)
				}
			case '\'', '"', '`':
				_, after, closed := strings.Cut(rest, string(c))
				if !closed {
					t.Fatalf("%q leaves a quotation open", q)
				}
				rest = after
			}
		}
		if depth != 0 {
			t.Fatalf("%q does not close", q)
		}
	})
}

// listing is a Temporal whose visibility store is late: it shows more with every sweep.
type listing struct {
	client.Client
	shows [][]string // by sweep
	fails map[string]error

	mu     sync.Mutex
	sweep  int
	asked  map[string]int
	atOnce atomic.Int32
	most   atomic.Int32
	each   func(id string)
}

func (l *listing) ListWorkflow(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	shown := l.shows[min(l.sweep, len(l.shows)-1)]
	from := 0
	if len(r.NextPageToken) > 0 {
		_, _ = fmt.Sscan(string(r.NextPageToken), &from)
	}
	to := min(from+int(r.PageSize), len(shown))
	page := &workflowservice.ListWorkflowExecutionsResponse{}
	for _, id := range shown[from:to] {
		page.Executions = append(page.Executions, &workflowpb.WorkflowExecutionInfo{Execution: &commonpb.WorkflowExecution{WorkflowId: ltp.OrderWorkflowID(id)}})
	}
	if to < len(shown) {
		page.NextPageToken = []byte(fmt.Sprint(to))
	} else {
		l.sweep++
	}
	return page, nil
}

func (l *listing) CancelWorkflow(ctx context.Context, workflowID, _ string) error {
	l.most.Store(max(l.most.Load(), l.atOnce.Add(1)))
	defer l.atOnce.Add(-1)
	select {
	case <-time.After(time.Millisecond):
	case <-ctx.Done():
		return ctx.Err()
	}
	id, _ := ltp.OrderID(workflowID)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.asked[id]++; l.each != nil {
		l.each(id)
	}
	return l.fails[id]
}

func (l *listing) DescribeWorkflowExecution(context.Context, string, string) (*workflowservice.DescribeWorkflowExecutionResponse, error) {
	return &workflowservice.DescribeWorkflowExecutionResponse{}, nil
}

func ids(n int) (all []string) {
	for i := range n {
		all = append(all, fmt.Sprintf("m-%04d", i))
	}
	return all
}

func TestManyAsksEachOnceHoweverLateTheListing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := ids(1500)
		l := &listing{asked: map[string]int{}, shows: [][]string{all[:700], all[:700], all[:700], all[300:], all}, fails: map[string]error{
			"m-0003": serviceerror.NewNotFound("gone"), "m-0004": errors.New("no"),
		}}
		var pages []Tally
		tally, err := New(l).CancelMany(t.Context(), Selector{}, 2000, func(t Tally) { pages = append(pages, t) })
		require.NoError(t, err)
		assert.Equal(t, 1500, tally.Asked)
		assert.Equal(t, 1498, tally.Done)
		assert.Equal(t, 1, tally.Ended)
		assert.Equal(t, 1, tally.Failed)
		assert.Len(t, tally.Failures, 1)
		assert.Len(t, l.asked, 1500)
		for id, n := range l.asked {
			assert.Equal(t, 1, n, id)
		}
		assert.EqualValues(t, atOnce, l.most.Load())
		assert.NotEmpty(t, pages)
	})
}

func TestManyStopsAtTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &listing{asked: map[string]int{}, shows: [][]string{ids(700)}}
		tally, err := New(l).CancelMany(t.Context(), Selector{}, 600, nil)
		require.ErrorIs(t, err, ErrMore)
		assert.Equal(t, 600, tally.Asked)
		assert.Len(t, l.asked, 600)
	})
}

func TestManyThatIsInterruptedSaysHowFarItCame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		l := &listing{asked: map[string]int{}, shows: [][]string{ids(1500)}}
		l.each = func(string) {
			if len(l.asked) == 640 {
				cancel()
			}
		}
		tally, err := New(l).CancelMany(ctx, Selector{}, 2000, nil)
		require.ErrorIs(t, err, context.Canceled)
		assert.Equal(t, len(l.asked), tally.Done)
		assert.Zero(t, tally.Failed, "what was interrupted did not fail")
		assert.Less(t, tally.Asked, 700)
	})
}
