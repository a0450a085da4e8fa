package workflows_test

import (
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/log"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/workflows"
)

// nondeterministic is how the SDK marks an error of a workflow that does not do what
// its history says.
const nondeterministic = "[TMPRL1100]"

// anotherEnd is how the SDK says that a workflow would not have ended, and has.
const anotherEnd = "replay workflow doesn't return the same result as the last event"

var quiet = log.NewStructuredLogger(slog.New(slog.DiscardHandler))

// recorded are the histories of real runs: see TestRecordHistories in tests.
func recorded(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.json"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func load(t *testing.T, file string) *historypb.History {
	t.Helper()
	f, err := os.Open(file)
	require.NoError(t, err)
	defer f.Close()
	h, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	require.NoError(t, err)
	return h
}

// TestRecordedHistoriesReplay: what waits since an earlier version goes on under this
// one. When it fails after a release, gate the change with workflow.GetVersion.
func TestRecordedHistoriesReplay(t *testing.T) {
	for _, file := range recorded(t) {
		t.Run(name(file), func(t *testing.T) {
			assert.NoError(t, workflows.Replayer().ReplayWorkflowHistoryFromJSONFile(quiet, file))
		})
	}
}

// TestEveryRecordingIsThere: whatever TestRecordHistories lets happen is replayed here.
func TestEveryRecordingIsThere(t *testing.T) {
	sources, err := filepath.Glob(filepath.Join("..", "tests", "record*_test.go"))
	require.NoError(t, err)
	var want []string
	for _, source := range sources {
		code, err := os.ReadFile(source)
		require.NoError(t, err)
		for _, saved := range regexp.MustCompile(`\.save\("([a-z-]+)"`).FindAllSubmatch(code, -1) {
			want = append(want, string(saved[1]))
		}
	}
	require.NotEmpty(t, want)
	var there []string
	for _, file := range recorded(t) {
		there = append(there, name(file))
	}
	assert.Subset(t, there, want)
}

// TestEveryWorkflowIsRecorded: no workflow is changed without a history to replay.
func TestEveryWorkflowIsRecorded(t *testing.T) {
	types := map[string]int{}
	for _, file := range recorded(t) {
		types[load(t, file).Events[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowType().GetName()]++
	}
	for _, workflowType := range []string{ltp.OrderWorkflow, ltp.OrientationWorkflow, ltp.ReplayWorkflow, ltp.SequenceWorkflow, ltp.DeliveryWorkflow} {
		assert.Positive(t, types[workflowType], workflowType)
	}
}

// TestChangedHistoriesDoNotReplay holds the other tests of this file to account: a
// workflow that did something else than what is recorded would be found out.
func TestChangedHistoriesDoNotReplay(t *testing.T) {
	for _, file := range recorded(t) {
		tried := map[string]int{} // of a long history, the first of each
		for i, e := range load(t, file).Events {
			change, doing := changes(e)
			if change == nil || tried[doing] == 10 {
				continue
			}
			tried[doing]++
			t.Run(name(file)+"/"+doing, func(t *testing.T) {
				h := load(t, file)
				change, _ := changes(h.Events[i])
				change()
				err := workflows.Replayer().ReplayWorkflowHistory(quiet, h)
				if err == nil && onlyCancelled(h.Events[i+1:]) {
					return
				}
				require.Error(t, err)
				if !strings.Contains(err.Error(), anotherEnd) { // it waits for its last local activity
					assert.ErrorContains(t, err, nondeterministic)
				}
			})
		}
	}
}

// onlyCancelled reports whether all that is left is a run's end by cancellation, which the
// SDK does not compare with what the workflow does.
func onlyCancelled(rest []*historypb.HistoryEvent) bool {
	return len(rest) == 1 && rest[0].GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCELED
}

func name(file string) string { return strings.TrimSuffix(filepath.Base(file), ".json") }

// changes returns what makes of an event one that another workflow would have caused,
// or nil for an event that no workflow causes.
func changes(e *historypb.HistoryEvent) (change func(), doing string) {
	another := &commonpb.ActivityType{Name: "Another"}
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED:
		a := e.GetActivityTaskScheduledEventAttributes()
		return func() { a.ActivityType = another }, "schedules " + a.GetActivityType().GetName()
	case enumspb.EVENT_TYPE_SIGNAL_EXTERNAL_WORKFLOW_EXECUTION_INITIATED:
		a := e.GetSignalExternalWorkflowExecutionInitiatedEventAttributes()
		return func() { a.SignalName = "another" }, "signals " + a.GetSignalName()
	case enumspb.EVENT_TYPE_START_CHILD_WORKFLOW_EXECUTION_INITIATED:
		a := e.GetStartChildWorkflowExecutionInitiatedEventAttributes()
		return func() { a.WorkflowType = &commonpb.WorkflowType{Name: "Another"} }, "starts " + a.GetWorkflowType().GetName()
	case enumspb.EVENT_TYPE_TIMER_STARTED, enumspb.EVENT_TYPE_MARKER_RECORDED,
		enumspb.EVENT_TYPE_UPSERT_WORKFLOW_SEARCH_ATTRIBUTES, enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED:
		return func() {
			e.EventType = enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED
			e.Attributes = &historypb.HistoryEvent_WorkflowExecutionSignaledEventAttributes{
				WorkflowExecutionSignaledEventAttributes: &historypb.WorkflowExecutionSignaledEventAttributes{SignalName: "another"},
			}
		}, "leaves a " + e.GetEventType().String()
	}
	return nil, ""
}
