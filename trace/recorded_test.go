package trace_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp/trace"
)

// recorded are histories of real runs, by name: those that the replay tests of the
// workflows use.
func recorded(t *testing.T) map[string][]*historypb.HistoryEvent {
	t.Helper()
	files := must(filepath.Glob(filepath.Join("..", "workflows", "testdata", "*.json")))(t)
	all := map[string][]*historypb.HistoryEvent{}
	for _, path := range files {
		f := must(os.Open(path))(t)
		all[strings.TrimSuffix(filepath.Base(path), ".json")] = must(trace.ReadJSON(f))(t)
		_ = f.Close()
	}
	return all
}

// Every way that the issue of the trace names has a recorded history, which tells this.
// The whole story of each is in testdata/recorded.txt.
func TestRecordedHistoriesTellEveryPath(t *testing.T) {
	tells := map[string][]string{
		"order-executed-at-once":            {"/1 EXECUTE OK STABLE", "EXECUTED"},
		"order-deferred-and-replayed":       {"/1 DEFER SYSTEM_UNSTABLE", "/2 EXECUTE RECOVERY_CONFIRMED", "by SIGNAL", "EXECUTED"},
		"order-deferred-twice":              {"/1 DEFER", "/2 ", "DEFER SYSTEM_UNSTABLE", "EXECUTED"},
		"order-cancelled":                   {"/1 DEFER", "CANCELLED"},
		"order-expired":                     {"/1 DEFER", "EXPIRED"},
		"order-rejected":                    {"/1 EXECUTE", "Rejected (begun: true): we sell no anvils", "REJECTED"},
		"order-execute-unavailable":         {"Unavailable", "by FAILURE", "EXECUTED"},
		"order-still-deferred":              {"now DEFERRED"},
		"order-woken-by-its-backstop":       {"by TIMER", "EXECUTED"},
		"order-frozen-and-released":         {"/1 FREEZE INTAKE_FROZEN", "EXECUTED"},
		"order-of-high-risk-while-degraded": {"/1 DEFER SYSTEM_DEGRADED", "EXECUTED"},
		"order-of-two-components":           {"EXECUTED"},
		"order-routed-blind":                {"/1 DEFER ORIENTATION_UNKNOWN", "EXECUTED"},
		"order-worker-lost-after-its-write": {"LOST", "by FAILURE", "EXECUTED"},
		"orientation-through-an-incident":   {"UNSTABLE", "HOLD: ann", "RELEASE: bob", "STABLE"},
		"orientation-observer-lost":         {"handed over", "no observer took over in time", "UNKNOWN: ", "STABLE"},
		"orientation-through-a-relapse":     {"UNSTABLE", "RECOVERING"},
		"orientation-degraded":              {"DEGRADED"},
		"orientation-continued":             {},
		"orientation-continues-as-new":      {},
		"orientation-begun-again":           {},
		"orientation-cancelled":             {"the orientation workflow ended"},
	}
	histories := recorded(t)
	var all strings.Builder
	names := []string{}
	for name := range histories {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, "replay-") {
			var damage *trace.DamageError
			if _, err := trace.OrderFrames(histories[name]); !errors.As(err, &damage) {
				t.Errorf("%s: read as an order: %v", name, err)
			}
			continue
		}
		want, ok := tells[name]
		if !ok {
			t.Errorf("%s: nobody says what it should tell", name)
		}
		delete(tells, name)
		said := strings.Join(storyOf(t, name, histories[name]), "\n")
		for _, words := range want {
			if !strings.Contains(said, words) {
				t.Errorf("%s does not tell %q:\n%s", name, words, said)
			}
		}
		fmt.Fprintf(&all, "# %s\n%s\n\n", name, said)
	}
	for name := range tells {
		t.Errorf("%s is not recorded", name)
	}
	golden(t, "recorded.txt", []byte(all.String()))
}

func storyOf(t *testing.T, name string, events []*historypb.HistoryEvent) (said []string) {
	t.Helper()
	if strings.HasPrefix(name, "order-") {
		o := must(trace.OrderFrames(events))(t)
		holds(t, o)
		return story(o)
	}
	o := must(trace.OrientationFrames(events))(t)
	for _, f := range o.Frames {
		said = append(said, fmt.Sprintf("%s %s: %s", f.ID, f.Orientation.State, f.Orientation.Reason))
	}
	for _, n := range o.Notes {
		said = append(said, fmt.Sprintf("%s: %s %s", n.Kind, n.By, n.Text))
	}
	for _, g := range o.Gaps {
		said = append(said, "GAP "+g.What)
	}
	return said
}

// One event less, and a recorded history is damaged: the error names where.
func TestRecordedHistoryWithoutOneEventIsDamage(t *testing.T) {
	for name, events := range recorded(t) {
		if strings.HasPrefix(name, "replay-") {
			continue
		}
		for i := range events[:len(events)-1] {
			if i > 0 && events[i+1].GetEventId() == 1 {
				continue
			}
			_, err := told(slices.Delete(slices.Clone(events), i, i+1))
			if damage := (*trace.DamageError)(nil); !errors.As(err, &damage) || damage.EventID == 0 {
				t.Errorf("%s without event %d: %v", name, i+1, err)
			}
		}
	}
}
