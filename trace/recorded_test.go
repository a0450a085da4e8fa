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
	all["order-continued"] = slices.Concat(all["order-continues-as-new"], all["order-continued"])
	delete(all, "order-continues-as-new") // alone, it is an order of which a run is missing
	return all
}

// Every path of an order has a recorded history, which reads like this.
// The whole story of each is in testdata/recorded.txt.
func TestRecordedHistoriesTellEveryPath(t *testing.T) {
	reads := map[string][]string{
		"order-executed-at-once":               {"/1 EXECUTE OK STABLE", "EXECUTED"},
		"order-deferred-and-replayed":          {"/1 DEFER SYSTEM_UNSTABLE", "/2 EXECUTE RECOVERY_CONFIRMED", "by SIGNAL", "EXECUTED"},
		"order-deferred-twice":                 {"/1 DEFER", "/2 ", "DEFER SYSTEM_UNSTABLE", "EXECUTED"},
		"order-cancelled":                      {"/1 DEFER", "CANCELLED"},
		"order-expired":                        {"/1 DEFER", "EXPIRED"},
		"order-rejected":                       {"/1 EXECUTE", "REFUSED (begun: true): we sell no anvils", "REJECTED"},
		"order-execute-unavailable":            {"UNAVAILABLE", "by FAILURE", "EXECUTED"},
		"order-still-deferred":                 {"now DEFERRED"},
		"order-announced-to-webhooks":          {"/1 DEFER SYSTEM_UNSTABLE", "by SIGNAL", "EXECUTED"},
		"order-woken-by-its-backstop":          {"by TIMER", "EXECUTED"},
		"order-frozen-and-released":            {"/1 FREEZE INTAKE_FROZEN", "EXECUTED"},
		"order-of-high-risk-while-degraded":    {"/1 DEFER SYSTEM_DEGRADED", "EXECUTED"},
		"order-of-two-components":              {"EXECUTED"},
		"order-routed-blind":                   {"/1 DEFER ORIENTATION_UNKNOWN", "EXECUTED"},
		"order-worker-lost-after-its-write":    {"withdrawn: ORDER", "EXECUTED"},
		"order-with-its-turn":                  {"/1 DEFER AWAITS_TURN STABLE", `for "AWAITS_TURN", by TURN`, "EXECUTED"},
		"order-first-in-line":                  {"/1 DEFER SYSTEM_UNSTABLE", "EXECUTED"},
		"order-in-line":                        {"/1 DEFER SYSTEM_UNSTABLE", "DEFER AWAITS_TURN", "by TURN", "EXECUTED"},
		"order-not-put-in-line":                {"/1 DEFER AWAITS_TURN", "/2 DEFER AWAITS_TURN", "by TIMER", "EXECUTED"},
		"order-continued":                      {"EXECUTED"},
		"order-cancelled-by-a-tombstone":       {"withdrawn: TOMBSTONE", "CANCELLED"},
		"order-of-a-lost-task":                 {"EXECUTED"},
		"order-of-a-new-epoch":                 {"by SIGNAL", "EXECUTED"},
		"order-released-by-hand":               {"by SIGNAL", "EXECUTED"},
		"order-whose-cancellation-waits":       {"withdrawn: NOTHING", "now DEFERRED"},
		"order-own-activity":                   {"/1 EXECUTE OK STABLE", "executed under STABLE", "EXECUTED"},
		"order-own-activity-replayed":          {"/1 DEFER SYSTEM_UNSTABLE", "by SIGNAL", "EXECUTED"},
		"order-own-activity-not-taken":         {"NOT_BEGUN (begun: false): no worker on shop", "UNAVAILABLE (begun: true): the till is closed", "EXECUTED"},
		"order-parked":                         {"UNAVAILABLE (begun: true)", "DEFER EXECUTE_UNAVAILABLE", "by RETRY", "REJECTED rejected by ann: no such article"},
		"order-let-through-a-hold":             {"/1 DEFER SYSTEM_UNSTABLE", "/2 EXECUTE HOLD_PASSED UNSTABLE", "by PASS", "executed under UNSTABLE", "EXECUTED"},
		"order-let-through-at-once":            {"/1 EXECUTE HOLD_PASSED UNSTABLE", "EXECUTED"},
		"order-let-through-in-vain":            {"/2 EXECUTE HOLD_PASSED", "REFUSED (begun: true): not yet", "/3 DEFER SYSTEM_UNSTABLE", "withdrawn: NOTHING", "withdrawn: TOMBSTONE", "CANCELLED"},
		"order-deferred-by-a-pause":            {"/2 DEFER REPLAY_PAUSED RECOVERING", "/3 EXECUTE RECOVERY_CONFIRMED", "by SIGNAL", "EXECUTED"},
		"order-left-to-the-replay":             {"/2 DEFER AWAITS_REPLAY RECOVERING", "EXECUTE RECOVERY_CONFIRMED", "by SIGNAL", "EXECUTED"},
		"orientation-through-an-incident":      {"UNSTABLE", "HOLD: ann", "RELEASE: bob", "STABLE"},
		"orientation-observed-under-a-hold":    {"HOLD: ann", "UNSTABLE", "RELEASE: ann", "STABLE"},
		"orientation-steered":                  {"STEER: ann paused the replay: the cache is cold", "STEER: bob resumed the replay, at most 50 orders/s: it is warm"},
		"orientation-steered-continues-as-new": {"STEER: ann paused the replay"},
		"orientation-steered-continued":        {"STEER: ann resumed the replay: it is warm"},
		"orientation-observer-lost":            {"handed over", "no observer took over in time", "UNKNOWN: ", "STABLE"},
		"orientation-through-a-relapse":        {"UNSTABLE", "RECOVERING"},
		"orientation-degraded":                 {"DEGRADED"},
		"orientation-continued":                {},
		"orientation-continues-as-new":         {},
		"orientation-begun-again":              {},
		"orientation-cancelled":                {"the orientation workflow ended"},
	}
	histories := recorded(t)
	var all strings.Builder
	names := []string{}
	for name := range histories {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasPrefix(name, "replay-") || strings.HasPrefix(name, "sequence-") || strings.HasPrefix(name, "delivery-") {
			var damage *trace.DamageError
			if _, err := trace.OrderFrames(histories[name]); !errors.As(err, &damage) {
				t.Errorf("%s: read as an order: %v", name, err)
			}
			continue
		}
		want, ok := reads[name]
		if !ok {
			t.Errorf("%s: nobody says what it should tell", name)
		}
		delete(reads, name)
		said := strings.Join(storyOf(t, name, histories[name]), "\n")
		for _, words := range want {
			if !strings.Contains(said, words) {
				t.Errorf("%s does not tell %q:\n%s", name, words, said)
			}
		}
		fmt.Fprintf(&all, "# %s\n%s\n\n", name, said)
	}
	for name := range reads {
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
		if strings.HasPrefix(name, "replay-") || strings.HasPrefix(name, "sequence-") || strings.HasPrefix(name, "delivery-") {
			continue
		}
		for i := range events[:len(events)-1] {
			if i > 0 && events[i+1].GetEventId() == 1 {
				continue
			}
			_, err := frameIDs(slices.Delete(slices.Clone(events), i, i+1))
			if damage := (*trace.DamageError)(nil); !errors.As(err, &damage) || damage.EventID == 0 {
				t.Errorf("%s without event %d: %v", name, i+1, err)
			}
		}
	}
}
