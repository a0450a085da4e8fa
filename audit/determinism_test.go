package audit

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
)

func history(t *testing.T, name string) []*historypb.HistoryEvent {
	t.Helper()
	f, err := os.Open(filepath.Join("..", "workflows", "testdata", name+".json"))
	require.NoError(t, err)
	defer f.Close()
	h, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	require.NoError(t, err)
	return h.Events
}

// otherwise makes of a history one that this code would not have made.
func otherwise(t *testing.T, events []*historypb.HistoryEvent) []*historypb.HistoryEvent {
	t.Helper()
	for _, e := range events {
		if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
			a.ActivityType = &commonpb.ActivityType{Name: "Another"}
			return events
		}
		if about := e.GetMarkerRecordedEventAttributes().GetDetails()["data"]; about != nil { // a local activity
			of := regexp.MustCompile(`"ActivityType":"\w+"`)
			about.Payloads[0].Data = of.ReplaceAll(about.Payloads[0].Data, []byte(`"ActivityType":"Another"`))
			return events
		}
	}
	require.FailNow(t, "it schedules nothing")
	return nil
}

func TestEveryKindOfHistoryReplays(t *testing.T) {
	r := newReplays()
	r.add("order/A1", history(t, "order-executed-at-once"))
	r.add("order/A2", history(t, "order-deferred-and-replayed"))
	r.add("order/A3", history(t, "order-still-deferred"))
	r.add("order/A4", history(t, "order-executed-at-once")[:2]) // no worker has answered
	r.add("order/A5", history(t, "order-continues-as-new"))     // each run by itself
	r.add("order/A5", history(t, "order-continued"))
	r.add("orientation/orders-db", history(t, "orientation-through-an-incident"))
	r.add("replay/orders-db/5", history(t, "replay-of-an-outage"))
	c := r.claim()
	assert.Equal(t, Held, c.Verdict, "%v", c.Breaches)
	assert.EqualValues(t, 8, c.Figures["histories"])
	assert.EqualValues(t, 6, c.Figures["orders"])
	assert.Contains(t, c.Evidence[0], "8 histories replayed")
}

// TestTheFirstWorkflowThatReplaysDifferentlyIsNamed: whichever of them is done first.
func TestTheFirstWorkflowThatReplaysDifferentlyIsNamed(t *testing.T) {
	r := newReplays()
	r.add("order/A1", history(t, "order-executed-at-once"))
	r.add("order/A2", otherwise(t, history(t, "order-deferred-and-replayed")))
	r.add("order/A3", otherwise(t, history(t, "order-executed-at-once")))
	r.add("replay/orders-db/5", otherwise(t, history(t, "replay-of-an-outage")))
	c := r.claim()
	assert.Equal(t, Broken, c.Verdict)
	assert.Equal(t, 3, c.Broken)
	assert.Equal(t, "order/A2", c.Breaches[0].What)
	assert.Contains(t, c.Breaches[0].Why, "decides otherwise")
	assert.Contains(t, c.Breaches[0].Why, "Another")
}

// TestReplayWithAnotherResultBreaksTheClaim: the same commands, and another end.
func TestReplayWithAnotherResultBreaksTheClaim(t *testing.T) {
	events := history(t, "order-executed-at-once")
	last := events[len(events)-1]
	require.Equal(t, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED, last.GetEventType())
	last.GetWorkflowExecutionCompletedEventAttributes().Result.Payloads[0].Data = []byte(`{"state":"REJECTED"}`)
	assert.ErrorContains(t, Replay(events), "its result is")
}

// BenchmarkReplay is the price of one order that was deferred and replayed.
func BenchmarkReplay(b *testing.B) {
	f, err := os.Open(filepath.Join("..", "workflows", "testdata", "order-deferred-and-replayed.json"))
	require.NoError(b, err)
	h, err := client.HistoryFromJSON(f, client.HistoryJSONOptions{})
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		require.NoError(b, Replay(h.Events))
	}
}
