package trace_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/converter"
	"google.golang.org/protobuf/proto"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

var slow = ltp.Evidence{LatencyMs: 5012, ThresholdMs: 5000, Samples: 3}

// stable is a component that has just become STABLE for the first time.
func stable(at time.Time) *component {
	c := newComponent(at)
	c.after(300*time.Millisecond).seen("observer-1", ltp.Healthy, "DB write latency normal")
	c.enters(ltp.Recovering, "DB write latency normal")
	c.replays()
	c.after(time.Second).drained()
	return c
}

// ids are the frames of a trace in short.
func ids(o trace.OrientationTrace) (said []string) {
	for _, f := range o.Frames {
		said = append(said, fmt.Sprintf("%s %s", f.ID, f.Orientation.State))
	}
	return said
}

// said are the notes of a trace, without those of the replay engine.
func said(o trace.OrientationTrace) (texts []string) {
	for _, n := range o.Notes {
		if n.Kind != trace.NoteReplay {
			texts = append(texts, strings.Join(strings.Fields(string(n.Kind)+" "+n.By+" "+n.Text), " "))
		}
	}
	return texts
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n  %s\nwant\n  %s", what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
	}
}

func TestOrientationFramesOfAnOutage(t *testing.T) {
	c := stable(day("14:00:00"))
	c.at(day("14:30:05"))
	c.falls("observer-1", "DB Write Latency > 5000ms", slow)
	c.at(day("14:30:58"))
	c.seen("observer-1", ltp.Healthy, "DB leader elected, latency normal")
	c.after(2 * time.Second).fires().work()
	c.enters(ltp.Recovering, "DB leader elected, latency normal")
	replay := c.replays()
	c.after(5 * time.Second).drained()
	c.replayed(replay, "replay/orders-db/5", 1500, 3)

	got := must(trace.OrientationFrames(c.all()))(t)
	same(t, "frames", ids(got), []string{
		"orders-db@1 UNKNOWN", "orders-db@2 RECOVERING", "orders-db@3 STABLE",
		"orders-db@4 UNSTABLE", "orders-db@5 RECOVERING", "orders-db@6 STABLE",
	})
	fall := got.Frames[3]
	if !fall.At.Equal(c.publishedAt(4)) || fall.Orientation.Evidence.LatencyMs != 5012 || fall.Source.RunID != "run-1" || fall.Source.EventID == 0 {
		t.Errorf("the fall: %+v", fall)
	}
	same(t, "notes", said(got), []string{
		"OBSERVER observer-1 observes, and sees HEALTHY: DB write latency normal",
		"OBSERVER observer-1 sees HEALTHY: DB leader elected, latency normal",
	})
	last := got.Notes[len(got.Notes)-1]
	if last.Text != "replay/orders-db/5 released 1,500 orders in 3 sweeps" {
		t.Errorf("the replay's end: %q", last.Text)
	}
}

// publishedAt is when the orientation of an epoch was published.
func (c *component) publishedAt(epoch int) time.Time {
	for _, e := range c.all() {
		if e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED {
			if epoch--; epoch == 0 {
				return e.GetEventTime().AsTime()
			}
		}
	}
	return time.Time{}
}

// held is a component that an operator holds, freezes and lets go.
func held() *component {
	c := stable(day("14:00:00"))
	c.at(day("15:00:00"))
	hold := ltp.Hold{By: "ada", Why: "migration"}
	c.update(ltp.HoldUpdate, hold)
	c.Hold = &hold
	c.enters(ltp.Unstable, "Held by ada: migration").updated()
	c.after(time.Minute)
	hold = ltp.Hold{By: "ada", Why: "it takes long", Freeze: true}
	c.update(ltp.HoldUpdate, hold)
	c.Hold, c.Reason = &hold, "Held by ada: it takes long"
	c.publishes().updated()
	c.after(time.Minute).update(ltp.ReleaseUpdate, ltp.Release{By: "bob", Why: "done"})
	c.Hold = nil
	c.enters(ltp.Recovering, "Released by bob: done").updated()
	c.replays()
	c.drained()
	return c
}

func TestOperatorsWordIsInTheTrace(t *testing.T) {
	got := must(trace.OrientationFrames(held().all()))(t)
	same(t, "frames", ids(got)[3:], []string{
		"orders-db@4 UNSTABLE", "orders-db@4.2 UNSTABLE", "orders-db@5 RECOVERING", "orders-db@6 STABLE",
	})
	same(t, "notes", said(got)[1:], []string{
		"HOLD ada held the component: migration",
		"HOLD ada held the component and froze intake: it takes long",
		"RELEASE bob released the component: done",
	})
	if h := got.Frames[4].Orientation.Hold; h == nil || !h.Freeze {
		t.Errorf("the second hold: %+v", h)
	}
}

// changesControl is an operator's change of the ReplayControl, and what it leads to.
func (c *component) changesControl(s *ltp.ReplayControl, w ltp.ReplayControlChange) *component {
	*s = s.Next(w, c.now)
	p, err := converter.GetDefaultDataConverter().ToPayload(*s)
	if err != nil {
		panic(err)
	}
	c.update(ltp.ReplayControlUpdate, w)
	c.memo(ltp.ReplayControlMemo, p)
	return c.updated()
}

// controlled is a component whose replay an operator pauses, limits and resumes, over two
// runs.
func controlled() *component {
	c := stable(day("14:00:00"))
	c.at(day("15:00:00")).falls("observer-1", "DB Write Latency > 5000ms", slow)
	c.after(time.Minute).enters(ltp.Recovering, "latency normal")
	c.replays()
	var s ltp.ReplayControl
	c.after(time.Second).changesControl(&s, ltp.ReplayControlChange{Paused: new(true), By: "ada", Why: "cold cache"})
	c.after(time.Minute).continues("run-2")
	c.after(time.Minute).changesControl(&s, ltp.ReplayControlChange{Rate: new(50.0), By: "bob", Why: "gently"})
	c.after(time.Minute).changesControl(&s, ltp.ReplayControlChange{Paused: new(false), Rate: new(0.0), By: "ada", Why: "it is warm"})
	c.after(time.Minute).drained()
	return c
}

func TestAReplayControlIsTheOperatorsNoteAndNoOrientation(t *testing.T) {
	got := must(trace.OrientationFrames(controlled().all()))(t)
	same(t, "frames", ids(got)[3:], []string{"orders-db@4 UNSTABLE", "orders-db@5 RECOVERING", "orders-db@6 STABLE"})
	var notes []string
	for _, n := range got.Notes {
		if n.Kind == trace.NoteReplayControl {
			notes = append(notes, n.By+" "+n.Text)
		}
	}
	same(t, "notes", notes, []string{
		"ada paused the replay: cold cache",
		"bob limited the replay to 50 orders/s: gently",
		"ada resumed the replay, without a limit: it is warm",
	})
	in := trace.Incidents(got)
	if shown := show(t, trace.NewTimeline(got, in[len(in)-1], trace.Orders{}, in[len(in)-1].Window())); !strings.Contains(shown, "ada paused the replay: cold cache") {
		t.Error(shown)
	}
}

// A word that the run before carried out, and that Temporal says to the next as well,
// leads to nothing there.
func TestAWordThatIsSaidAgainToTheNextRunIsToldOnce(t *testing.T) {
	c := held()
	before := must(trace.OrientationFrames(c.all()))(t)
	c.applied = []string{"update-1"}
	c.continues("run-2").update(ltp.HoldUpdate, ltp.Hold{By: "ada", Why: "migration"}).updated()
	got := must(trace.OrientationFrames(c.all()))(t)
	same(t, "frames", ids(got), ids(before))
	same(t, "notes", said(got), said(before))

	c.applied = nil
	c.continues("run-3").update(ltp.HoldUpdate, ltp.Hold{By: "ada", Why: "migration"}).updated()
	if _, err := trace.OrientationFrames(c.all()); !errors.As(err, new(*trace.DamageError)) {
		t.Errorf("a word that led to nothing: %v", err)
	}
}

func TestAReplayControlThatNobodyAskedForIsDamage(t *testing.T) {
	c := stable(day("14:00:00"))
	c.changesControl(new(ltp.ReplayControl), ltp.ReplayControlChange{Paused: new(true), By: "ada", Why: "cold cache"})
	if _, err := trace.OrientationFrames(c.all()); err != nil {
		t.Fatal(err)
	}
	n := len(c.events) // accepted, memo, completed
	for name, events := range map[string][]*historypb.HistoryEvent{
		"without the word":      renumbered(c.events[:n-3], c.events[n-2:]),
		"without what it did":   renumbered(c.events[:n-2], c.events[n-1:]),
		"an orientation for it": renumbered(c.events[:n-2], []*historypb.HistoryEvent{c.enters(ltp.Unstable, "slow").events[n], c.events[n-1]}),
	} {
		if _, err := trace.OrientationFrames(events); !errors.As(err, new(*trace.DamageError)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestEpochsBeginWhereTheFirstOrientationSays, where nothing is remembered, and only by one
// that says nothing is known.
func TestEpochsBeginWhereTheFirstOrientationSays(t *testing.T) {
	begins := func(s ltp.State) (trace.OrientationTrace, error) {
		c := &component{history: history{id: "orientation/orders-db", run: "run-1", now: day("14:00:00")}}
		c.started(ltp.OrientationWorkflow, "", map[string]any{"component": "orders-db", "policy": ltp.DefaultPolicy()})
		c.work()
		c.Orientation = ltp.Orientation{Component: "orders-db", Epoch: 1_700_000_000}
		c.enters(s, "as the test says")
		c.watches()
		return trace.OrientationFrames(c.all())
	}
	got := must(begins(ltp.Unknown))(t)
	same(t, "frames", ids(got), []string{"orders-db@1700000001 UNKNOWN"})
	if len(got.Gaps) > 0 {
		t.Errorf("gaps: %v", got.Gaps)
	}
	if _, err := begins(ltp.Stable); !errors.As(err, new(*trace.DamageError)) {
		t.Errorf("it began as STABLE: %v", err)
	}
}

// TestAPolicyIsTheOperatorsNoteAndNoOrientation, and one that nobody asked for is damage.
func TestAPolicyIsTheOperatorsNoteAndNoOrientation(t *testing.T) {
	p, err := converter.GetDefaultDataConverter().ToPayload(ltp.DefaultPolicy())
	if err != nil {
		t.Fatal(err)
	}
	c := stable(day("14:00:00"))
	before := must(trace.OrientationFrames(c.all()))(t)
	c.after(time.Minute).update(ltp.PolicyUpdate, ltp.PolicyChange{Dwell: new(30 * time.Second), By: "ada", Why: "it flaps"})
	c.memo(ltp.PolicyMemo, p).updated()
	got := must(trace.OrientationFrames(c.all()))(t)
	same(t, "frames", ids(got), ids(before))
	same(t, "notes", said(got)[len(said(before)):], []string{"POLICY ada set dwell 30s: it flaps"})

	c.memo(ltp.PolicyMemo, p)
	if _, err := trace.OrientationFrames(c.all()); !errors.As(err, new(*trace.DamageError)) {
		t.Errorf("a policy that nobody asked for: %v", err)
	}
}

// TestAHoldThatEndsByItselfIsPublishedWithoutAnOperator, and none that lasts is.
func TestAHoldThatEndsByItselfIsPublishedWithoutAnOperator(t *testing.T) {
	for until, ok := range map[string]bool{"14:30:00": true, "15:30:00": false} {
		c := stable(day("14:00:00"))
		c.falls("observer-1", "DB Write Latency > 5000ms", slow)
		c.update(ltp.HoldUpdate, ltp.Hold{By: "ada", Why: "migration", Until: day(until)})
		c.Hold, c.Reason = &ltp.Hold{By: "ada", Why: "migration", Until: day(until)}, "Held by ada: migration"
		c.publishes().updated()
		if notes := said(must(trace.OrientationFrames(c.all()))(t)); !strings.HasPrefix(notes[len(notes)-1], "HOLD ada held the component until 2024-05-20 "+until+" UTC: migration") {
			t.Errorf("the notes: %q", notes)
		}
		c.at(day("14:30:00")).fires().work()
		c.Hold, c.Reason = nil, "DB Write Latency > 5000ms"
		c.publishes()
		got, err := trace.OrientationFrames(c.all())
		if ok && (err != nil || got.Frames[len(got.Frames)-1].ID != "orders-db@4.3") || !ok && !errors.As(err, new(*trace.DamageError)) {
			t.Errorf("until %s: %v, %v", until, ids(got), err)
		}
	}
}

// TestFailedWritesThatCountAreNoted, with what the database said.
func TestFailedWritesThatCountAreNoted(t *testing.T) {
	report := func(epoch int64) ltp.FailedWrites {
		return ltp.FailedWrites{Component: "orders-db", Worker: "worker-1", Epoch: epoch, Orders: []ltp.FailedWrite{
			{Order: "A1", Code: "42501", Error: "permission denied for table orders"},
		}}
	}
	c := stable(day("14:00:00"))
	n := len(said(must(trace.OrientationFrames(c.all()))(t)))
	c.signal(ltp.FailingSignal, report(c.Epoch))
	c.work()
	c.signal(ltp.FailingSignal, report(c.Epoch-1))
	c.work()
	got := must(trace.OrientationFrames(c.all()))(t)
	same(t, "notes", said(got)[n:], []string{"FAILING worker-1 1 order failed: permission denied for table orders (42501)"})
}

// renumbered are events as if nothing had been taken out.
func renumbered(parts ...[]*historypb.HistoryEvent) (all []*historypb.HistoryEvent) {
	for i, e := range slices.Concat(parts...) {
		e = proto.Clone(e).(*historypb.HistoryEvent)
		e.EventId = int64(i + 1)
		all = append(all, e)
	}
	return all
}

func TestLostObserversAndTakeoversAreInTheTrace(t *testing.T) {
	c := stable(day("14:00:00"))
	c.at(day("14:10:00"))
	c.activityTimedOut(c.watching, enumspb.TIMEOUT_TYPE_HEARTBEAT, map[string]string{"observer": "observer-1"})
	c.work()
	c.watches()
	c.after(time.Second).seen("observer-2", ltp.Healthy, "DB write latency normal")
	c.after(time.Hour)
	c.activityDone(c.watching, map[string]string{"observer": "observer-2", "why": "its worker stopped"})
	c.work()
	c.watches()
	c.after(10 * time.Second)
	c.activityTimedOut(c.watching, enumspb.TIMEOUT_TYPE_SCHEDULE_TO_START, nil)
	c.work()
	c.enters(ltp.Unknown, "No observer took over within 10s")
	c.watches()
	c.after(time.Minute).seen("observer-2", ltp.Healthy, "DB write latency normal")
	c.enters(ltp.Recovering, "DB write latency normal")

	got := must(trace.OrientationFrames(c.all()))(t)
	same(t, "frames", ids(got)[3:], []string{"orders-db@4 UNKNOWN", "orders-db@5 RECOVERING"})
	same(t, "notes", said(got)[1:], []string{
		"LOST observer-1 is lost: its heartbeats stopped",
		"OBSERVER observer-2 took over from observer-1, and sees HEALTHY: DB write latency normal",
		"LOST observer-2 handed over: its worker stopped",
		"LOST no observer took over in time",
		"OBSERVER observer-2 is back, and sees HEALTHY: DB write latency normal",
	})
}

// chain is a component whose orientation goes through three runs.
func chain() *component {
	c := stable(day("14:00:00"))
	c.at(day("20:00:00")).continues("run-2")
	c.seen("observer-1", ltp.Healthy, "DB write latency normal")
	c.falls("observer-1", "DB Write Latency > 5000ms", slow)
	c.after(time.Minute).continues("run-3")
	c.after(time.Minute).seen("observer-1", ltp.Healthy, "ok")
	c.enters(ltp.Recovering, "ok")
	c.drained()
	return c
}

func (c *component) at(t time.Time) *component { c.history.at(t); return c }

func TestOrientationIsReadOverAllItsRuns(t *testing.T) {
	c := chain()
	got := must(trace.OrientationFrames(c.all()))(t)
	same(t, "frames", ids(got), []string{
		"orders-db@1 UNKNOWN", "orders-db@2 RECOVERING", "orders-db@3 STABLE",
		"orders-db@4 UNSTABLE", "orders-db@5 RECOVERING", "orders-db@6 STABLE",
	})
	if got.Before != nil || len(got.Gaps) > 0 || got.Frames[3].Source.RunID != "run-2" || got.Frames[4].Source.RunID != "run-3" {
		t.Errorf("before %+v, gaps %v, frames %+v", got.Before, got.Gaps, got.Frames[3:5])
	}
}

// runsOf are the events of c, run by run.
func runsOf(events []*historypb.HistoryEvent) (runs [][]*historypb.HistoryEvent) {
	for _, e := range events {
		if e.GetEventId() == 1 {
			runs = append(runs, nil)
		}
		runs[len(runs)-1] = append(runs[len(runs)-1], e)
	}
	return runs
}

func TestRunsThatRetentionTookAreReported(t *testing.T) {
	runs := runsOf(chain().all())
	got := must(trace.OrientationFrames(slices.Concat(runs[1], runs[2])))(t)
	same(t, "frames", ids(got), []string{"orders-db@4 UNSTABLE", "orders-db@5 RECOVERING", "orders-db@6 STABLE"})
	if got.Before == nil || got.Before.State != ltp.Stable || got.Before.Epoch != 3 {
		t.Errorf("before: %+v", got.Before)
	}
	if len(got.Gaps) != 1 || got.Gaps[0].What != "orientation of orders-db in epochs 1 to 3" {
		t.Errorf("gaps: %v", got.Gaps)
	}
}

func TestMissingRunInTheMiddleIsDamage(t *testing.T) {
	runs := runsOf(chain().all())
	for name, events := range map[string][]*historypb.HistoryEvent{
		"the second": slices.Concat(runs[0], runs[2]),
		"the end":    slices.Concat(runs[0][:len(runs[0])-1], runs[1]),
		"order":      slices.Concat(runs[1], runs[0]),
		"twice":      slices.Concat(runs[0], runs[0]),
	} {
		_, err := trace.OrientationFrames(events)
		if damage := new(trace.DamageError); !errors.As(err, &damage) || damage.EventID != 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOrientationBegunAnewGoesOnWithItsEpochs(t *testing.T) {
	c := stable(day("14:00:00"))
	c.at(day("15:00:00")).terminated("new policy")
	c.runs, c.history = append(c.runs, c.events...), history{id: c.id, run: "run-2", now: day("15:00:10")}
	c.started(ltp.OrientationWorkflow, "", map[string]any{"component": "orders-db", "epoch": c.Epoch})
	c.work()
	c.State = ""
	c.enters(ltp.Unknown, "never observed")

	got := must(trace.OrientationFrames(c.all()))(t)
	same(t, "frames", ids(got)[2:], []string{"orders-db@3 STABLE", "orders-db@4 UNKNOWN"})
	same(t, "notes", said(got)[1:], []string{"OPERATOR ops@desk ended the orientation workflow by force: new policy"})
	if !got.EndedAt.IsZero() || len(got.Gaps) > 0 {
		t.Errorf("ended at %s, gaps %v", got.EndedAt, got.Gaps)
	}

	second := runsOf(c.all())[1]
	got = must(trace.OrientationFrames(second))(t)
	if len(got.Gaps) != 1 || got.Gaps[0].What != "orientation of orders-db in epochs 1 to 3" {
		t.Errorf("gaps without the first workflow: %v", got.Gaps)
	}
}

func TestFramesOfAResetRunAreToldOnce(t *testing.T) {
	c := stable(day("14:00:00"))
	base := c.history.reset("run-2")
	c.at(day("14:10:00")).falls("observer-1", "slow", slow)
	c.terminated("reset")
	c.runs = append(c.runs, c.events...)
	c.history = *base
	c.at(day("14:10:01")).work()
	c.State, c.Epoch = ltp.Stable, 3
	c.falls("observer-1", "still slow", slow)

	got := must(trace.OrientationFrames(c.all()))(t)
	same(t, "frames", ids(got), []string{
		"orders-db@1 UNKNOWN", "orders-db@2 RECOVERING", "orders-db@3 STABLE", "orders-db@4 UNSTABLE", "orders-db@4.2 UNSTABLE",
	})
	same(t, "notes", said(got)[1:], []string{
		"OPERATOR ops@desk ended the orientation workflow by force: reset",
		"OPERATOR the workflow was reset to this point in Temporal: try again",
	})
}

func TestMissingOrientationIsDamage(t *testing.T) {
	c := stable(day("14:00:00"))
	c.Epoch++
	c.enters(ltp.Unstable, "slow")
	_, err := trace.OrientationFrames(c.all())
	damage := new(trace.DamageError)
	if !errors.As(err, &damage) || damage.EventID != int64(len(c.events)) || !strings.Contains(err.Error(), "an orientation is missing") {
		t.Error(err)
	}
}
