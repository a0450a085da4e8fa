package trace_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	namespacepb "go.temporal.io/api/namespace/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// temporal is a Temporal in memory.
type temporal struct {
	workflowservice.WorkflowServiceClient
	histories map[string][]*historypb.HistoryEvent // by "workflow ID run ID"; "" is the latest run
	listed    []*workflowpb.WorkflowExecutionInfo
	retention time.Duration
	broken    error

	fetching time.Duration // how long fetching a history takes

	mu      sync.Mutex
	queries []string
	busy    int
	busiest int // the most histories fetched at once
}

func (f *temporal) WorkflowService() workflowservice.WorkflowServiceClient { return f }

func (f *temporal) DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest, ...grpc.CallOption) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{Config: &namespacepb.NamespaceConfig{
		WorkflowExecutionRetentionTtl: durationpb.New(f.retention),
	}}, nil
}

// ListWorkflow gives pages of what was started in the slice that is asked for, as it
// was kept.
func (f *temporal) ListWorkflow(_ context.Context, r *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries = append(f.queries, r.GetQuery())
	found := f.find(r.GetQuery())
	from, _ := strconv.Atoi(string(r.GetNextPageToken()))
	to := min(from+int(r.GetPageSize()), len(found))
	page := &workflowservice.ListWorkflowExecutionsResponse{Executions: found[from:to]}
	if to < len(found) {
		page.NextPageToken = []byte(strconv.Itoa(to))
	}
	return page, nil
}

func (f *temporal) CountWorkflowExecutions(_ context.Context, r *workflowservice.CountWorkflowExecutionsRequest, _ ...grpc.CallOption) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	return &workflowservice.CountWorkflowExecutionsResponse{Count: int64(len(f.find(r.GetQuery())))}, nil
}

var slice = regexp.MustCompile(`ExecutionTime>='(.+?)' AND ExecutionTime<'(.+?)'`)

// find keeps to the slice of a query, and not to the rest of it.
func (f *temporal) find(query string) []*workflowpb.WorkflowExecutionInfo {
	bounds := slice.FindStringSubmatch(query)
	if bounds == nil {
		return f.listed
	}
	from, _ := time.Parse(time.RFC3339Nano, bounds[1])
	to, _ := time.Parse(time.RFC3339Nano, bounds[2])
	return slices.DeleteFunc(slices.Clone(f.listed), func(w *workflowpb.WorkflowExecutionInfo) bool {
		at := w.GetExecutionTime().AsTime()
		return at.Before(from) || !at.Before(to)
	})
}

func (f *temporal) GetWorkflowHistory(_ context.Context, id, run string, _ bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	f.busyBy(1)
	defer f.busyBy(-1)
	time.Sleep(f.fetching)
	events, ok := f.histories[id+" "+run]
	for _, w := range f.listed { // the latest run is the one that was kept last
		if run == "" && !ok && w.GetExecution().GetWorkflowId() == id {
			events = f.histories[id+" "+w.GetExecution().GetRunId()]
		}
	}
	ok = ok || len(events) > 0
	it := &iterator{events: events, err: f.broken}
	if !ok {
		it.err = serviceerror.NewNotFound("no such workflow")
	}
	return it
}

// busyBy adds to how many histories are being fetched.
func (f *temporal) busyBy(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.busy += n
	f.busiest = max(f.busiest, f.busy)
}

type iterator struct {
	events []*historypb.HistoryEvent
	err    error
}

func (i *iterator) HasNext() bool { return i.err != nil || len(i.events) > 0 }

func (i *iterator) Next() (*historypb.HistoryEvent, error) {
	if i.err != nil {
		return nil, i.err
	}
	e := i.events[0]
	i.events = i.events[1:]
	return e, nil
}

// keep makes the fake remember a run.
func (f *temporal) keep(id, run string, listed bool, events []*historypb.HistoryEvent) {
	if f.histories == nil {
		f.histories = map[string][]*historypb.HistoryEvent{}
	}
	f.histories[id+" "+run] = events
	if listed {
		f.listed = append(f.listed, &workflowpb.WorkflowExecutionInfo{
			Execution:     &commonpb.WorkflowExecution{WorkflowId: id, RunId: run},
			ExecutionTime: timestamppb.New(events[0].GetEventTime().AsTime()),
		})
	}
}

func TestOneOrderIsRead(t *testing.T) {
	f := &temporal{}
	o := deferred("A2", day("14:30:10"), ltp.Unstable, 4)
	f.keep("order/A2", "", false, o.Events)
	r := trace.NewReader(f, "default")
	got := must(r.Order(t.Context(), "A2"))(t)
	if got.State() != ltp.Deferred || got.Order.ID != "A2" {
		t.Errorf("%+v", got)
	}
	if _, err := r.Order(t.Context(), "A3"); !errors.Is(err, trace.ErrNotFound) {
		t.Errorf("an order that is not there: %v", err)
	}
	if _, err := r.Order(t.Context(), "no order"); !errors.As(err, new(*ltp.InvalidError)) {
		t.Errorf("what cannot be an order: %v", err)
	}
	f.broken = errors.New("temporal is away")
	if _, err := r.Order(t.Context(), "A2"); err == nil || !strings.Contains(err.Error(), "temporal is away") {
		t.Errorf("without Temporal: %v", err)
	}
}

func TestOrientationIsFollowedFromRunToRun(t *testing.T) {
	runs := runsOf(chain().all())
	id := "orientation/orders-db"
	for name, c := range map[string]struct {
		keep   func(*temporal)
		frames int
		gaps   int
	}{
		"all are listed": {func(f *temporal) {
			for _, i := range []int{2, 0, 1} {
				f.keep(id, fmt.Sprintf("run-%d", i+1), true, runs[i])
			}
			f.keep(id, "", false, runs[2])
		}, 6, 0},
		"the latest is not listed yet": {func(f *temporal) {
			f.keep(id, "run-1", true, runs[0])
			f.keep(id, "run-2", true, runs[1])
			f.keep(id, "run-3", false, runs[2])
			f.keep(id, "", false, runs[2])
		}, 6, 0},
		"only the first is listed": {func(f *temporal) {
			f.keep(id, "run-1", true, runs[0])
			f.keep(id, "run-2", false, runs[1])
			f.keep(id, "run-3", false, runs[2])
			f.keep(id, "", false, runs[2])
		}, 6, 0},
		"none is listed": {func(f *temporal) {
			f.keep(id, "run-1", false, runs[0])
			f.keep(id, "run-2", false, runs[1])
			f.keep(id, "", false, runs[2])
		}, 6, 0},
		"the first is gone": {func(f *temporal) {
			f.keep(id, "run-2", true, runs[1])
			f.keep(id, "run-3", true, runs[2])
			f.keep(id, "", false, runs[2])
		}, 3, 1},
	} {
		t.Run(name, func(t *testing.T) {
			f := &temporal{}
			c.keep(f)
			got := must(trace.NewReader(f, "default").Orientation(t.Context(), "orders-db"))(t)
			if len(got.Frames) != c.frames || len(got.Gaps) != c.gaps {
				t.Errorf("frames %v, gaps %v", ids(got), got.Gaps)
			}
		})
	}
	if _, err := trace.NewReader(&temporal{}, "default").Orientation(t.Context(), "orders-db"); !errors.Is(err, trace.ErrNotFound) {
		t.Errorf("a component that is not there: %v", err)
	}
}

func TestComponentsAreListed(t *testing.T) {
	f := &temporal{}
	for _, c := range []string{"stock", "orders-db", "stock"} {
		f.keep("orientation/"+c, "run", true, newComponent(day("14:00:00")).events)
	}
	got := must(trace.NewReader(f, "default").Components(t.Context()))(t)
	if !slices.Equal(got, []string{"orders-db", "stock"}) {
		t.Errorf("%v", got)
	}
}

func TestOrdersOfAWindowAreReadManyAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(time.Until(day("15:00:00"))) // the window is past
		f := &temporal{retention: 100 * 365 * 24 * time.Hour, fetching: time.Millisecond}
		for i := range 60 { // listed newest first
			id := fmt.Sprintf("A%02d", 59-i)
			o := deferred(id, day("14:30:00").Add(time.Duration(59-i)*time.Second), ltp.Unstable, 4)
			f.keep("order/"+id, "run-of-"+id, true, o.Events)
		}
		f.histories["order/A07 run-of-A07"][4] = nil // damaged
		delete(f.histories, "order/A08 run-of-A08")  // retention passed it
		o := deferred("A09", day("14:30:09"), ltp.Unstable, 4)
		f.keep("order/A09", "later", true, o.At(day("14:40:00")).Reset("later").Events)
		f.listed[len(f.listed)-1].ExecutionTime = timestamppb.New(day("14:40:00"))

		r := trace.NewReader(f, "default")
		var reported []int
		r.Progress = func(done, total int) { reported = append(reported, done*1000+total) }
		got := must(r.Orders(t.Context(), trace.Window{From: day("14:29:00"), To: day("14:45:00")}))(t)

		if len(got.Traces) != 58 || !slices.IsSortedFunc(got.Traces, func(a, b trace.OrderTrace) int { return a.AcceptedAt.Compare(b.AcceptedAt) }) {
			t.Errorf("%d orders", len(got.Traces))
		}
		var gaps []string
		for _, g := range got.Gaps {
			gaps = append(gaps, g.What+": "+g.Why)
		}
		same(t, "gaps", gaps, []string{
			"order/A07: damaged at event 5: it has no time",
			"order/A08: its retention passed while the trace was being read",
			"run run-of-A09 of order/A09: a later run of the order took its place",
		})
		if len(reported) != 61 || !slices.IsSorted(reported) || reported[60] != 61061 {
			t.Errorf("progress %v", reported)
		}
		if f.busiest != 16 {
			t.Errorf("%d histories were fetched at once", f.busiest)
		}
		want := "WorkflowType='Order' AND (ExecutionStatus='Running' OR CloseTime>='2024-05-20T14:29:00Z') AND StartTime<='2024-05-20T14:45:00Z'"
		for _, asked := range f.queries {
			if !strings.HasPrefix(asked, want+" AND ExecutionTime>=") {
				t.Errorf("asked for %s", asked)
			}
		}
	})
}

// A run that was reset counts as of the window: what came of it later is left out.
func TestResetAfterTheWindowIsNotToldInIt(t *testing.T) {
	f := &temporal{retention: 100 * 365 * 24 * time.Hour}
	first := deferred("A1", day("14:30:00"), ltp.Unstable, 4)
	f.keep("order/A1", "first", true, first.Events)
	base := deferred("A1", day("14:30:00"), ltp.Unstable, 4)
	later := base.At(day("14:40:00")).Reset("later")
	f.keep("order/A1", "later", true, later.Events)
	f.listed[1].ExecutionTime = timestamppb.New(day("14:40:00"))
	f.histories["order/A1 "] = later.Events
	both := f.listed
	for _, c := range []struct {
		to     string
		listed []*workflowpb.WorkflowExecutionInfo
		want   string
	}{
		{"14:35:00", both[:1], "[run-of-A1] 0 gaps"},
		{"14:45:00", both, "[later] 1 gaps"},
	} {
		f.listed = c.listed
		got := must(trace.NewReader(f, "default").Orders(t.Context(), trace.Window{From: day("14:29:00"), To: day(c.to)}))(t)
		var runs []string
		for _, o := range got.Traces {
			runs = append(runs, o.RunID)
		}
		if said := fmt.Sprintf("%v %d gaps", runs, len(got.Gaps)); said != c.want {
			t.Errorf("up to %s: %s, want %s", c.to, said, c.want)
		}
	}
}

// An order that continued as new is one order, however many of its runs are listed.
func TestRunsOfAnOrderAreReadAsOne(t *testing.T) {
	runs := runsOf(paths()["in several runs"].order.Events)
	both := func(list bool) *temporal {
		f := &temporal{retention: 100 * 365 * 24 * time.Hour}
		f.keep("order/A2", "run-2", true, runs[1])
		f.keep("order/A2", "run-of-A2", list, runs[0])
		f.keep("order/A2", "", false, runs[1])
		return f
	}
	for _, list := range []bool{true, false} {
		r := trace.NewReader(both(list), "default")
		got := must(r.Orders(t.Context(), trace.Window{From: day("14:29:00")}))(t)
		if len(got.Traces) != 1 || len(got.Gaps) != 0 || got.Traces[0].RunID != "run-of-A2" || len(got.Traces[0].Frames) != 6 {
			t.Errorf("first run listed %t: %d orders, gaps %v", list, len(got.Traces), got.Gaps)
		}
	}
	one := must(trace.NewReader(both(true), "default").Order(t.Context(), "A2"))(t)
	if !slices.Equal(one.Runs, []string{"run-of-A2", "run-2"}) || one.State() != ltp.Executed {
		t.Errorf("%v, %s", one.Runs, one.State())
	}
	f := &temporal{retention: 100 * 365 * 24 * time.Hour}
	f.keep("order/A2", "run-2", true, runs[1])
	f.keep("order/A2", "", false, runs[1])
	got := must(trace.NewReader(f, "default").Orders(t.Context(), trace.Window{From: day("14:29:00")}))(t)
	if len(got.Traces) != 0 || len(got.Gaps) != 1 || !strings.Contains(got.Gaps[0].Why, "run run-of-A2 is missing") {
		t.Errorf("without its first run: %+v", got)
	}
}

func TestWhatRetentionTookIsReported(t *testing.T) {
	f := &temporal{retention: 72 * time.Hour}
	now := time.Now()
	r := trace.NewReader(f, "default")
	for from, gaps := range map[time.Time]int{now.Add(-71 * time.Hour): 0, now.Add(-73 * time.Hour): 1} {
		got := must(r.Orders(t.Context(), trace.Window{From: from}))(t)
		if len(got.Gaps) != gaps {
			t.Errorf("from %s: %v", from, got.Gaps)
		}
	}
}

func TestReadingEndsWithItsContextOrTheFirstError(t *testing.T) {
	f := &temporal{broken: errors.New("temporal is away")}
	for i := range 40 {
		f.keep(fmt.Sprintf("order/A%d", i), "run", true, newOrder("A", day("14:30:00")).Events)
	}
	_, err := trace.NewReader(f, "default").Orders(t.Context(), trace.Window{From: day("14:00:00")})
	if err == nil || !strings.Contains(err.Error(), "temporal is away") {
		t.Error(err)
	}
}
