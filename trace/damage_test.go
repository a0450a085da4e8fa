package trace_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"go.temporal.io/api/temporalproto"
	"google.golang.org/protobuf/proto"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/trace"
)

// clones are copies that a test may damage.
func clones(events []*historypb.HistoryEvent) []*historypb.HistoryEvent {
	all := make([]*historypb.HistoryEvent, len(events))
	for i, e := range events {
		all[i] = proto.Clone(e).(*historypb.HistoryEvent)
	}
	return all
}

func TestDamageIsAnErrorThatNamesTheEvent(t *testing.T) {
	deferred := func() *order {
		o := newOrder("A2", day("14:30:10")).deferred("", ltp.ReasonUnstable, ltp.Unstable, 4) // events 5 to 7
		o.after(time.Minute)                                                                   // signal 8, task 9 to 11, Execute 12 and on
		return o.taken(ltp.Recovering, 5).done(ltp.Recovering, 5, time.Millisecond)
	}
	marker := func(o *order) *historypb.MarkerRecordedEventAttributes {
		return o.events[4].GetMarkerRecordedEventAttributes()
	}
	routing := func(change func(*ltp.Routing)) func(*order) {
		return func(o *order) {
			var r ltp.Routing
			if err := trace.Decode(marker(o).Details["result"], &r); err != nil {
				panic(err)
			}
			change(&r)
			marker(o).Details["result"] = payloads(r)
		}
	}
	for name, c := range map[string]struct {
		damage func(*order)
		event  int64
		says   string
	}{
		"no events":           {func(o *order) { o.events = nil }, 0, "no events"},
		"the head is missing": {func(o *order) { o.events = o.events[4:] }, 5, "event 1 is missing"},
		"an event is missing": {func(o *order) { o.events = slices.Delete(o.events, 4, 5) }, 6, "event 5 is missing"},
		"an event twice":      {func(o *order) { o.events = slices.Insert(o.events, 5, o.events[4]) }, 5, "event 6 is missing"},
		"a nil event":         {func(o *order) { o.events[6] = nil }, 7, "no time"},
		"no time":             {func(o *order) { o.events[4].EventTime = nil }, 5, "no time"},
		"no content":          {func(o *order) { o.events[4].Attributes = nil }, 5, "no content"},
		"the wrong content":   {func(o *order) { o.events[4].EventType = enumspb.EVENT_TYPE_TIMER_FIRED }, 5, "has the content of"},
		"an unknown event":    {func(o *order) { o.events[6].EventType = 4711 }, 7, "4711"},
		"an event of others": {func(o *order) {
			o.events[6] = newComponent(o.now).events[4]
			o.events[6].EventId = 7
		}, 7, "no place in the history of an order"},
		"another workflow": {func(o *order) {
			o.events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowType.Name = "Orientation"
		}, 1, "not Order"},
		"another order": {func(o *order) {
			o.events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowId = "order/A3"
		}, 1, "the order is A2, and the workflow order/A3"},
		"no order": {func(o *order) {
			o.events[0].GetWorkflowExecutionStartedEventAttributes().Input = nil
		}, 1, "missing"},
		"an unknown marker":         {func(o *order) { marker(o).MarkerName = "Else" }, 5, `marker "Else"`},
		"an unknown local activity": {func(o *order) { marker(o).Details["data"] = payloads(map[string]string{"ActivityType": "Else"}) }, 5, "LocalActivity"},
		"no result":                 {func(o *order) { delete(marker(o).Details, "result") }, 5, "missing"},
		"a result that is no JSON":  {func(o *order) { marker(o).Details["result"].Payloads[0].Data = []byte("{") }, 5, "routing"},
		"an empty routing":          {routing(func(r *ltp.Routing) { *r = ltp.Routing{} }), 5, "attempt 0 follows attempt 0"},
		"a routing too many":        {routing(func(r *ltp.Routing) { r.Attempt = 2 }), 5, "attempt 2 follows attempt 0"},
		"a replay of nothing":       {routing(func(r *ltp.Routing) { r.Replays = "A2/1" }), 5, `replays frame "A2/1"`},
		"an unknown decision":       {routing(func(r *ltp.Routing) { r.Decision = "MAYBE" }), 5, "MAYBE"},
		"an unknown state":          {routing(func(r *ltp.Routing) { r.State = "FINE" }), 5, "FINE"},
		"no reason":                 {routing(func(r *ltp.Routing) { r.Reason = "" }), 5, "why"},
		"no epoch":                  {routing(func(r *ltp.Routing) { r.Epoch = 0 }), 5, "epoch 0"},
		"woken before it slept":     {routing(func(r *ltp.Routing) { r.Woken = ltp.WokenByTimer }), 5, "woken"},
		"admitted, not executed":    {routing(func(r *ltp.Routing) { r.Decision = ltp.Execute }), 12, "of another moment"},
		"a word that is no news": {func(o *order) {
			o.events[7].GetWorkflowExecutionSignaledEventAttributes().Input = payloads(ltp.Stability{Component: "orders-db", State: ltp.Stable, Epoch: 4})
		}, 12, "nothing before it admits the order"},
		"a word that does not admit": {func(o *order) {
			o.events[7].GetWorkflowExecutionSignaledEventAttributes().Input = payloads(ltp.Stability{Component: "orders-db", State: ltp.Unstable, Epoch: 6})
		}, 12, "event 8 does not admit"},
		"a word of something else": {func(o *order) {
			o.events[7].GetWorkflowExecutionSignaledEventAttributes().Input = payloads(ltp.Stability{Component: "stock", State: ltp.Stable, Epoch: 6})
		}, 12, "nothing before it admits the order"},
		"a word that cannot be read": {func(o *order) {
			o.events[7].GetWorkflowExecutionSignaledEventAttributes().Input = nil
		}, 12, "nothing before it admits the order"},
		"another activity": {func(o *order) {
			o.events[11].GetActivityTaskScheduledEventAttributes().ActivityType.Name = "Refund"
		}, 12, "Refund"},
		"another order is executed": {func(o *order) {
			o.events[11].GetActivityTaskScheduledEventAttributes().Input = payloads(map[string]any{"order": ltp.Order{ID: "A3"}})
		}, 12, `of order "A3"`},
		"a receipt of nothing": {func(o *order) {
			o.events[13].GetActivityTaskCompletedEventAttributes().Result = payloads(map[string]any{})
		}, 14, "receipt"},
		"the end of another execution": {func(o *order) {
			o.events[13].GetActivityTaskCompletedEventAttributes().ScheduledEventId = 11
		}, 14, "event 11"},
		"no outcome": {func(o *order) {
			o.events[17].GetWorkflowExecutionCompletedEventAttributes().Result = nil
		}, 18, "outcome"},
		"an outcome that is none": {func(o *order) {
			o.events[17].GetWorkflowExecutionCompletedEventAttributes().Result = payloads(ltp.Outcome{State: ltp.Deferred})
		}, 18, "DEFERRED"},
		"an outcome that did not happen": {func(o *order) {
			o.events[17].GetWorkflowExecutionCompletedEventAttributes().Result = payloads(ltp.Outcome{State: ltp.Expired})
		}, 18, "EXPIRED after it was executed"},
		"an end that is none": {func(o *order) { o.timer() }, 19, "follows the event that closed the run"},
		"a second start": {func(o *order) {
			o.events[6] = proto.Clone(o.events[0]).(*historypb.HistoryEvent)
			o.events[6].EventId = 7
		}, 7, "starts once"},
	} {
		t.Run(name, func(t *testing.T) {
			o := deferred()
			c.damage(o)
			got, err := trace.OrderFrames(o.events)
			var damage *trace.DamageError
			if !errors.As(err, &damage) {
				t.Fatalf("got %v and %s", err, story(got))
			}
			if damage.EventID != c.event || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got event %d: %v\nwant event %d: …%s…", damage.EventID, err, c.event, c.says)
			}
		})
	}
}

func TestExecutedWithoutAnExecutionIsDamage(t *testing.T) {
	for _, state := range []ltp.OrderState{ltp.Executed, ltp.Rejected} {
		o := newOrder("A2", day("14:30:10")).deferred("", ltp.ReasonUnstable, ltp.Unstable, 4)
		o.completed(ltp.Outcome{State: state})
		if _, err := trace.OrderFrames(o.events); err == nil || !strings.Contains(err.Error(), "without an execution") {
			t.Errorf("%s: %v", state, err)
		}
	}
}

// told are the IDs of all frames, by way of either reader.
func told(events []*historypb.HistoryEvent) (frames []string, err error) {
	var all []ltp.Frame
	if events[0].GetWorkflowExecutionStartedEventAttributes().GetWorkflowType().GetName() == ltp.OrientationWorkflow {
		o, oops := trace.OrientationFrames(events)
		all, err = o.Frames, oops
	} else {
		o, oops := trace.OrderFrames(events)
		all, err = o.Frames, oops
	}
	for _, f := range all {
		frames = append(frames, f.ID)
	}
	return frames, err
}

func histories() map[string][]*historypb.HistoryEvent {
	all := map[string][]*historypb.HistoryEvent{"orientation": held().all(), "chain": chain().all(), "steered": steered().all()}
	for name, path := range paths() {
		all[name] = path.order.events
	}
	return all
}

// A history that ends early tells what it knows, and never more or less; where it
// ends in the middle of a workflow task, it is damaged.
func TestHistoryThatEndsEarlyTellsItsBeginning(t *testing.T) {
	for name, events := range histories() {
		whole := must(told(events))(t)
		for n := 1; n < len(events); n++ {
			begun, err := told(events[:n])
			if err == nil && !slices.Equal(begun, whole[:len(begun)]) {
				t.Errorf("%s, %d of %d events: %v", name, n, len(events), begun)
			}
			between := n == 1 || events[n].GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED
			if err != nil && between {
				t.Errorf("%s, %d of %d events: %v", name, n, len(events), err)
			}
		}
	}
}

func TestHistoryWithoutOneEventIsDamage(t *testing.T) {
	for name, events := range histories() {
		for i := range events[:len(events)-1] {
			if i > 0 && events[i+1].GetEventId() == 1 {
				continue // the end of a run that another follows: see TestMissingRunInTheMiddleIsDamage
			}
			if _, err := told(slices.Delete(slices.Clone(events), i, i+1)); err == nil {
				t.Errorf("%s without event %d of %d: no error", name, i+1, len(events))
			}
		}
	}
}

// garble damages an event: which, how, where, and by what.
func garble(events []*historypb.HistoryEvent, which, how, where, what byte) {
	e, other := events[int(which)%len(events)], events[int(where)%len(events)]
	switch how % 8 {
	case 0:
		e.EventType = enumspb.EventType(what % 64)
	case 1:
		e.Attributes = nil
	case 2:
		e.EventId, other.EventId = other.EventId, e.EventId
	case 3: // another event of the same place in history
		id := e.EventId
		proto.Reset(e)
		proto.Merge(e, other)
		e.EventId = id
	default:
		var all []*commonpb.Payload
		for _, p := range payloadsOf(e) {
			all = append(all, p...)
		}
		if len(all) == 0 {
			e.EventTime = nil
			return
		}
		if p := all[int(what)%len(all)]; len(p.Data) > 0 {
			p.Data[(int(where)*7+int(how))%len(p.Data)] = what
		}
	}
}

// payloadsOf are the payloads that a trace is read from.
func payloadsOf(e *historypb.HistoryEvent) (all [][]*commonpb.Payload) {
	for _, p := range []*commonpb.Payloads{
		e.GetWorkflowExecutionStartedEventAttributes().GetInput(),
		e.GetMarkerRecordedEventAttributes().GetDetails()["data"],
		e.GetMarkerRecordedEventAttributes().GetDetails()["result"],
		e.GetWorkflowExecutionSignaledEventAttributes().GetInput(),
		e.GetActivityTaskScheduledEventAttributes().GetInput(),
		e.GetActivityTaskCompletedEventAttributes().GetResult(),
		e.GetActivityTaskFailedEventAttributes().GetFailure().GetApplicationFailureInfo().GetDetails(),
		e.GetWorkflowExecutionCompletedEventAttributes().GetResult(),
		e.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetInput().GetArgs(),
	} {
		if p != nil {
			all = append(all, p.GetPayloads())
		}
	}
	for _, p := range e.GetWorkflowPropertiesModifiedEventAttributes().GetUpsertedMemo().GetFields() {
		all = append(all, []*commonpb.Payload{p})
	}
	return all
}

// Whatever happens to an event, either it is found out or no frame is missing.
func TestGarbledHistoryLosesNoFrameSilently(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	found := 0
	for name, events := range histories() {
		whole := must(told(events))(t)
		for range 200 {
			damaged := clones(events)
			how := byte(r.Uint32())
			garble(damaged, byte(r.Uint32()), how, byte(r.Uint32()), byte(r.Uint32()))
			got, err := told(damaged)
			if err != nil {
				found++
				continue
			}
			// A letter in the name of an order or a component may have changed, in every
			// frame. Beyond that, only the last routing or orientation of all can be replaced
			// by another event that fits in: nothing in history refers to it yet.
			lost := len(whole) - len(got)
			if lost < 0 || lost > 2 || lost > 0 && (how%8 != 3 || !slices.Equal(got, whole[:len(got)])) {
				t.Fatalf("%s: frames %v of %v, without an error", name, got, whole)
			}
		}
	}
	if found == 0 {
		t.Error("no damage was found out")
	}
}

// FuzzFrames damages histories as it likes. What is still read holds together, and
// can be shown.
func FuzzFrames(f *testing.F) {
	all := histories()
	names := slices.Sorted(maps.Keys(all))
	for i := range names {
		f.Add(byte(i), []byte{})
		f.Add(byte(i), []byte{4, 4, 1, 'x', 7, 5, 2, '9'})
	}
	f.Fuzz(func(t *testing.T, which byte, edits []byte) {
		events := clones(all[names[int(which)%len(names)]])
		for ; len(edits) >= 4; edits = edits[4:] {
			garble(events, edits[0], edits[1], edits[2], edits[3])
		}
		if o, err := trace.OrientationFrames(events); err == nil {
			for _, in := range trace.Incidents(o) {
				show(t, trace.NewTimeline(o, in, trace.Orders{}, in.Window()))
			}
		}
		if o, err := trace.OrderFrames(events); err == nil {
			holds(t, o)
			if err := trace.WriteOrder(new(bytes.Buffer), o, trace.Options{Width: 60}); err != nil {
				t.Error(err)
			}
		}
	})
}

func show(t testing.TB, l trace.Timeline) string {
	t.Helper()
	var b bytes.Buffer
	if err := trace.WriteTimeline(&b, l, trace.Options{}); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestHistoryExportedAsJSONIsReadBack(t *testing.T) {
	for name, events := range histories() {
		data, err := temporalproto.CustomJSONMarshalOptions{Indent: "  "}.Marshal(&historypb.History{Events: events})
		if err != nil {
			t.Fatal(err)
		}
		back := must(trace.ReadJSON(bytes.NewReader(data)))(t)
		if got, want := fmt.Sprint(must(told(back))(t)), fmt.Sprint(must(told(events))(t)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if _, err := trace.ReadJSON(strings.NewReader("{")); err == nil {
		t.Error("half a document is a history")
	}
}
