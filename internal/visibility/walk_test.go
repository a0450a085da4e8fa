package visibility

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"
)

// store lists what it holds, newest first.
type store struct {
	held      []Execution
	anyway    bool // it lists the same page whatever is asked for, with more to come
	hangs     bool
	questions int
	most      int // listed by one question with all its pages
	full      int // pages of more than one
}

func newStore(started ...time.Time) *store {
	s := &store{}
	for i, at := range started {
		s.held = append(s.held, &workflowpb.WorkflowExecutionInfo{
			Execution: &commonpb.WorkflowExecution{WorkflowId: fmt.Sprintf("order/%06d", i)}, ExecutionTime: timestamppb.New(at),
		})
	}
	slices.SortStableFunc(s.held, func(a, b Execution) int { return Started(b).Compare(Started(a)) })
	return s
}

var asked = regexp.MustCompile(`^Waits=true AND ExecutionTime>='(.+?)' AND ExecutionTime<'(.+?)'$`)

func (s *store) ListWorkflow(ctx context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	s.questions++
	switch {
	case s.hangs:
		<-ctx.Done()
		return nil, ctx.Err()
	case s.anyway:
		return &workflowservice.ListWorkflowExecutionsResponse{Executions: slices.Clone(s.held[:min(len(s.held), int(r.GetPageSize()))]), NextPageToken: []byte("again")}, nil
	}
	q := asked.FindStringSubmatch(r.GetQuery())
	if q == nil {
		return nil, fmt.Errorf("invalid query: %s", r.GetQuery())
	}
	from, err1 := time.Parse(time.RFC3339Nano, q[1])
	to, err2 := time.Parse(time.RFC3339Nano, q[2])
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	begin, _ := slices.BinarySearchFunc(s.held, to, func(w Execution, t time.Time) int { return -cmp.Or(Started(w).Compare(t), 1) })
	end, _ := slices.BinarySearchFunc(s.held, from, func(w Execution, t time.Time) int { return -cmp.Or(Started(w).Compare(t), 1) })
	found := slices.Clone(s.held[begin:end])
	offset, _ := strconv.Atoi(string(r.GetNextPageToken()))
	upTo := min(offset+int(r.GetPageSize()), len(found))
	s.most = max(s.most, upTo)
	if upTo-offset > 1 {
		s.full++
	}
	answer := &workflowservice.ListWorkflowExecutionsResponse{Executions: found[offset:upTo]}
	if upTo < len(found) {
		answer.NextPageToken = []byte(strconv.Itoa(upTo))
	}
	return answer, nil
}

func (s *store) listing(page int) Listing {
	return Listing{Store: s, Query: "Waits=true", PageSize: page}
}

// walk walks s, and checks that slices follow each other.
func walk(t require.TestingT, s *store, page int, from time.Time) (ids []string) {
	upTo := from
	err := s.listing(page).Walk(context.Background(), from, func(slice Slice) error {
		require.True(t, slice.UpTo.After(upTo))
		for _, w := range slice.Found {
			require.False(t, Started(w).Before(upTo), "later than the slice before")
			require.True(t, Started(w).Before(slice.UpTo))
			ids = append(ids, w.GetExecution().GetWorkflowId())
		}
		upTo = slice.UpTo
		return nil
	})
	require.NoError(t, err)
	return ids
}

func (s *store) oldestFirst(from time.Time) (ids []string) {
	for _, w := range slices.Backward(s.held) {
		if !Started(w).Before(from) {
			ids = append(ids, w.GetExecution().GetWorkflowId())
		}
	}
	return ids
}

// TestEverythingIsListedOnceAndTheOldestFirst, from whichever moment on.
func TestEverythingIsListedOnceAndTheOldestFirst(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		now := time.Now().Round(0)
		ages := rapid.SliceOfN(rapid.OneOf(
			rapid.Int64Range(0, int64(time.Minute)), rapid.Int64Range(0, int64(60*24*time.Hour)), rapid.Just(int64(time.Hour)),
		), 0, 300).Draw(t, "ages")
		var started []time.Time
		for _, age := range ages {
			started = append(started, now.Add(-time.Duration(age)))
		}
		s := newStore(started...)
		var from time.Time
		if rapid.Bool().Draw(t, "goes on") {
			from = now.Add(-time.Duration(rapid.Int64Range(0, int64(2*time.Hour)).Draw(t, "from")))
		}
		got := walk(t, s, rapid.IntRange(5, 50).Draw(t, "page"), from)
		want := s.oldestFirst(from)
		assert.ElementsMatch(t, want, got)
	})
}

// TestALongBacklogIsListedSliceBySlice: never more than a page is held, nor are there many
// more questions than pages.
func TestALongBacklogIsListedSliceBySlice(t *testing.T) {
	const n = 9000
	begin := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	var started []time.Time
	for i := range n { // a burst of half of them
		at := begin.Add(time.Duration(i) * time.Millisecond / 2)
		if i > n/2 {
			at = begin.Add(time.Duration(i) * 300 * time.Millisecond)
		}
		started = append(started, at)
	}
	s := newStore(started...)
	got := walk(t, s, 1000, time.Time{})
	assert.Equal(t, s.oldestFirst(time.Time{}), got)
	assert.LessOrEqual(t, s.most, 1000)
	assert.Less(t, s.questions, 100)
}

// TestTheFirstOfABacklogAreFoundWithFewFullPages: a page is dear, the question whether there
// is anything is not, and until the first page nothing is released.
func TestTheFirstOfABacklogAreFoundWithFewFullPages(t *testing.T) {
	begin := time.Now().Add(-50 * time.Second)
	var started []time.Time
	for i := range 1500 {
		started = append(started, begin.Add(time.Duration(i)*30*time.Millisecond))
	}
	s := newStore(started...)
	first := errors.New("the first")
	err := s.listing(500).Walk(t.Context(), time.Time{}, func(slice Slice) error {
		if len(slice.Found) == 0 {
			return nil
		}
		assert.Greater(t, len(slice.Found), 100)
		return first
	})
	assert.ErrorIs(t, err, first)
	assert.Equal(t, 2, s.full, "pages listed: the first, which holds too much, and that of the first slice")
}

func TestManyOfOneMomentAreListed(t *testing.T) {
	s := newStore(slices.Repeat([]time.Time{time.Now().Add(-time.Minute)}, 3000)...)
	assert.ElementsMatch(t, s.oldestFirst(time.Time{}), walk(t, s, 500, time.Time{}))
}

// TestTheSamePageAgainAndAgainEnds, although the store says that there is more.
func TestTheSamePageAgainAndAgainEnds(t *testing.T) {
	s := newStore(slices.Repeat([]time.Time{time.Now().Add(-time.Minute)}, 60)...)
	s.anyway = true
	found := map[string]bool{}
	require.NoError(t, s.listing(500).Walk(t.Context(), time.Time{}, func(slice Slice) error {
		for _, w := range slice.Found {
			found[w.GetExecution().GetWorkflowId()] = true
		}
		return nil
	}))
	assert.Len(t, found, 60)
	assert.Less(t, s.questions, 200)
	all, err := s.listing(500).All(t.Context())
	assert.NoError(t, err)
	assert.Len(t, all, 60)
}

func TestAWalkEndsWithTheErrorOfWhoReadsIt(t *testing.T) {
	enough := errors.New("enough")
	s := newStore(time.Now().Add(-time.Hour), time.Now())
	assert.ErrorIs(t, s.listing(500).Walk(t.Context(), time.Time{}, func(Slice) error { return enough }), enough)
}

func TestAStoreThatHangsHasFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		err := (&store{hangs: true}).listing(500).Walk(t.Context(), time.Time{}, func(Slice) error { return nil })
		assert.ErrorIs(t, err, context.DeadlineExceeded)
		assert.Equal(t, Timeout, time.Since(began))
	})
}

func TestTheWidthOfTheNextSliceIsBounded(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		width := time.Duration(rapid.Int64Range(int64(finest), int64(60*365*24*time.Hour)).Draw(t, "width"))
		next := Listing{PageSize: 500}.next(width, rapid.IntRange(0, 100_000).Draw(t, "found"))
		assert.GreaterOrEqual(t, next, finest)
		assert.LessOrEqual(t, next, 4*width)
	})
}
