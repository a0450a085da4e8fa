package report_test

import (
	"bytes"
	"context"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/serviceerror"
	workflowpb "go.temporal.io/api/workflow/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"google.golang.org/grpc"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/audit"
	"github.com/ltp-node/ltp/report"
	"github.com/ltp-node/ltp/trace"
)

var update = flag.Bool("update", false, "write the golden files anew")

// recorded is a Temporal that has the histories of one recorded incident.
type recorded struct {
	workflowservice.WorkflowServiceClient
	histories map[string][]*historypb.HistoryEvent // by workflow ID
}

// incident are the histories of workflows/testdata that are of one and the same
// incident: see recordIncident in tests.
var incident = []string{
	"orientation-through-an-incident", "replay-of-an-outage",
	"order-executed-at-once", "order-rejected", "order-execute-unavailable",
	"order-deferred-and-replayed", "order-cancelled", "order-expired",
}

func load(t *testing.T, names ...string) *recorded {
	t.Helper()
	r := &recorded{histories: map[string][]*historypb.HistoryEvent{}}
	for _, name := range names {
		f, err := os.Open(filepath.Join("..", "workflows", "testdata", name+".json"))
		require.NoError(t, err)
		h, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
		require.NoError(t, err)
		require.NoError(t, f.Close())
		id := h.Events[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowId()
		r.histories[id] = h.Events
	}
	return r
}

func (r *recorded) WorkflowService() workflowservice.WorkflowServiceClient { return r }

func (r *recorded) DescribeNamespace(context.Context, *workflowservice.DescribeNamespaceRequest, ...grpc.CallOption) (*workflowservice.DescribeNamespaceResponse, error) {
	return &workflowservice.DescribeNamespaceResponse{}, nil // it keeps everything
}

func (r *recorded) CountWorkflowExecutions(_ context.Context, q *workflowservice.CountWorkflowExecutionsRequest, _ ...grpc.CallOption) (*workflowservice.CountWorkflowExecutionsResponse, error) {
	return &workflowservice.CountWorkflowExecutionsResponse{Count: int64(len(r.find(q.GetQuery())))}, nil
}

func (r *recorded) ListWorkflow(_ context.Context, q *workflowservice.ListWorkflowExecutionsRequest) (*workflowservice.ListWorkflowExecutionsResponse, error) {
	return &workflowservice.ListWorkflowExecutionsResponse{Executions: r.find(q.GetQuery())}, nil
}

var (
	ofType = regexp.MustCompile(`WorkflowType='(\w+)'`)
	ofID   = regexp.MustCompile(`WorkflowId='(.+?)'`)
	bound  = regexp.MustCompile(`(StartTime|ExecutionTime|CloseTime)(<=|>=|<|>)'(.+?)'`)
)

// find understands what a trace.Reader asks.
func (r *recorded) find(query string) (found []*workflowpb.WorkflowExecutionInfo) {
	for id, events := range r.histories {
		started := events[0].GetWorkflowExecutionStartedEventAttributes()
		if m := ofType.FindStringSubmatch(query); m != nil && m[1] != started.GetWorkflowType().GetName() {
			continue
		}
		if m := ofID.FindStringSubmatch(query); m != nil && m[1] != id {
			continue
		}
		inside := true
		for _, m := range bound.FindAllStringSubmatch(query, -1) {
			at := events[0].GetEventTime().AsTime()
			if m[1] == "CloseTime" {
				at = events[len(events)-1].GetEventTime().AsTime()
			}
			limit, err := time.Parse(time.RFC3339Nano, m[3])
			if err != nil {
				panic(err)
			}
			switch c := at.Compare(limit); m[2] {
			case "<":
				inside = inside && c < 0
			case "<=":
				inside = inside && c <= 0
			case ">":
				inside = inside && c > 0
			case ">=":
				inside = inside && c >= 0
			}
		}
		if inside {
			found = append(found, &workflowpb.WorkflowExecutionInfo{
				Execution: &commonpb.WorkflowExecution{WorkflowId: id, RunId: started.GetOriginalExecutionRunId()}, ExecutionTime: events[0].GetEventTime(),
			})
		}
	}
	slices.SortFunc(found, func(a, b *workflowpb.WorkflowExecutionInfo) int { // newest first
		return b.GetExecutionTime().AsTime().Compare(a.GetExecutionTime().AsTime())
	})
	return found
}

func (r *recorded) GetWorkflowHistory(_ context.Context, id, _ string, _ bool, _ enumspb.HistoryEventFilterType) client.HistoryEventIterator {
	return &iterator{events: r.histories[id]}
}

type iterator struct {
	events []*historypb.HistoryEvent
	next   int
}

func (i *iterator) HasNext() bool { return len(i.events) == 0 || i.next < len(i.events) }

func (i *iterator) Next() (*historypb.HistoryEvent, error) {
	if len(i.events) == 0 {
		return nil, serviceerror.NewNotFound("no such workflow")
	}
	i.next++
	return i.events[i.next-1], nil
}

func build(t *testing.T, from *recorded, s audit.Scope) report.Report {
	t.Helper()
	s.Component, s.NoRows = ltp.DefaultComponent, "give --orders-db to have the order database compared"
	r, err := report.Build(t.Context(), trace.NewReader(from, "default"), s)
	require.NoError(t, err)
	return r
}

func written(t *testing.T, write func(io.Writer, report.Report) error, r report.Report) string {
	t.Helper()
	var b bytes.Buffer
	require.NoError(t, write(&b, r))
	return b.String()
}

// outage is the incident of the recording; after it, an operator held the component.
const outage = 2

// TestReportOfARecordedIncident compares both forms with what they were.
func TestReportOfARecordedIncident(t *testing.T) {
	r := build(t, load(t, incident...), audit.Scope{Incident: outage})
	for name, write := range map[string]func(io.Writer, report.Report) error{"incident.html": report.WriteHTML, "incident.md": report.WriteMarkdown} {
		got := written(t, write, r)
		path := filepath.Join("testdata", name)
		if *update {
			require.NoError(t, os.MkdirAll("testdata", 0o755))
			require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		assert.Equal(t, string(want), got, "%s is not as it was: see it in a browser, then run go test -update", name)
		again := written(t, write, build(t, load(t, incident...), audit.Scope{Incident: outage}))
		assert.Equal(t, got, again, "the same history, the same report")
	}
}

// TestReportCountsAsTheTimelineDoes: two ways to the same numbers.
func TestReportCountsAsTheTimelineDoes(t *testing.T) {
	from := load(t, incident...)
	reader := trace.NewReader(from, "default")
	for no := 1; ; no++ {
		found, err := audit.Find(t.Context(), reader, ltp.DefaultComponent, no)
		if no > 1 && err != nil {
			break
		}
		require.NoError(t, err)
		r := build(t, from, audit.Scope{Incident: no})
		orders, err := reader.Orders(t.Context(), found.Incident.Window())
		require.NoError(t, err)
		timeline := trace.NewTimeline(found.Orientation, found.Incident, orders, found.Incident.Window())
		assert.Equal(t, timeline.Tally, r.Tally)
		require.Len(t, r.Phases, len(timeline.Phases))
		for i, p := range timeline.Phases {
			assert.Equal(t, p.Name, r.Phases[i].Name)
			assert.Equal(t, p.BeginsAt, r.Phases[i].From)
			assert.Equal(t, p.Counts, r.Phases[i].Counts, p.Name)
		}
	}
}

// TestReportOfAnIncidentThatGoesOn says that it is open.
func TestReportOfAnIncidentThatGoesOn(t *testing.T) {
	from := load(t, incident[0], "order-executed-at-once", "order-still-deferred")
	id := ltp.OrientationWorkflowID(ltp.DefaultComponent)
	for i, e := range from.histories[id] { // cut when UNSTABLE has been published
		if p := e.GetWorkflowPropertiesModifiedEventAttributes(); p != nil &&
			strings.Contains(string(p.GetUpsertedMemo().GetFields()[ltp.OrientationMemo].GetData()), string(ltp.Unstable)) {
			from.histories[id] = from.histories[id][:i+1]
			break
		}
	}
	r := build(t, from, audit.Scope{})
	assert.Zero(t, r.Audit.EndedAt)
	assert.Equal(t, 1, r.Tally.Waiting)
	for _, write := range []func(io.Writer, report.Report) error{report.WriteHTML, report.WriteMarkdown} {
		said := written(t, write, r)
		assert.Contains(t, said, "The incident is open")
		assert.Contains(t, said, "1 order still waiting")
	}
}

// TestPageNeedsNothingElse: no network, no script, and well-formed.
func TestPageNeedsNothingElse(t *testing.T) {
	page := written(t, report.WriteHTML, build(t, load(t, incident...), audit.Scope{Incident: outage}))
	for _, never := range []string{"<script", "http://", "https://", "@import", "url(", " src=", "<link", "ZgotmplZ"} {
		assert.NotContains(t, page, never)
	}
	for _, svg := range regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(page, -1) {
		assert.NoError(t, xml.Unmarshal([]byte(svg), new(struct{})))
		for _, wanted := range []string{`role="img"`, "<title ", "<desc "} {
			assert.Contains(t, svg, wanted, "for those who cannot see it")
		}
		assert.NotContains(t, svg, "NaN")
		assert.NotContains(t, svg, "Inf")
	}
}

// TestWhatCameFromOutsideIsNoMarkup: IDs, reasons and names are of others.
func TestWhatCameFromOutsideIsNoMarkup(t *testing.T) {
	r := build(t, load(t, incident...), audit.Scope{Incident: outage})
	const evil = "<img src=x onerror=alert(1)>|\x1b[31m\n# x"
	r.Audit.Moments[0].Reason = evil
	r.Audit.Claims[0].Breaches = []audit.Breach{{What: evil, Why: evil}}
	page, text := written(t, report.WriteHTML, r), written(t, report.WriteMarkdown, r)
	assert.NotContains(t, page, "<img")
	assert.NotContains(t, text, "<img")
	assert.NotContains(t, page+text, "\x1b")
	assert.NotContains(t, text, "\n# x")
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "|") && strings.Contains(line, "onerror") {
			assert.Contains(t, line, `\|`)
		}
	}
}
