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
	updatepb "go.temporal.io/api/update/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

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
	// Events 2 to 4 are the first task, 5 the marker of its routing, 6 and 7 upsert and
	// timer; 8 to 10 the second, 11 the Update, 12 the marker of Execute, 13 the answer.
	build := func() *order {
		return released(deferred("A2", day("14:30:10"), ltp.Unstable, 4).After(time.Minute), ltp.Recovering, 5)
	}
	marker := func(o *order, id int) *historypb.MarkerRecordedEventAttributes {
		return o.Events[id-1].GetMarkerRecordedEventAttributes()
	}
	routing := func(change func(*ltp.Routing)) func(*order) {
		return func(o *order) {
			var r ltp.Routing
			if err := trace.Decode(marker(o, 5).Details["result"], &r); err != nil {
				panic(err)
			}
			change(&r)
			marker(o, 5).Details["result"] = payloads(r)
		}
	}
	attempt := func(change func(*ltp.Attempt)) func(*order) {
		return func(o *order) {
			var x ltp.Attempt
			if err := trace.Decode(marker(o, 12).Details["result"], &x); err != nil {
				panic(err)
			}
			change(&x)
			marker(o, 12).Details["result"] = payloads(x)
		}
	}
	outcome := func(out any) func(*order) {
		return func(o *order) {
			o.Events[13].GetWorkflowExecutionCompletedEventAttributes().Result = payloads(out)
		}
	}
	name := func(id int, activity string) func(*order) {
		return func(o *order) { marker(o, id).Details["data"] = payloads(map[string]string{"ActivityType": activity}) }
	}
	without := func(id int) func(*order) { // and nobody would know
		return func(o *order) {
			o.Events = slices.Delete(o.Events, id-1, id)
			for i, e := range o.Events {
				e.EventId = int64(i + 1)
				if i+1 > 9 && id <= 7 {
					bump(e, 9)
				}
			}
		}
	}
	for name, c := range map[string]struct {
		damage func(*order)
		event  int64
		says   string
	}{
		"no events":           {func(o *order) { o.Events = nil }, 0, "no events"},
		"the head is missing": {func(o *order) { o.Events = o.Events[4:] }, 5, "event 1 is missing"},
		"an event is missing": {func(o *order) { o.Events = slices.Delete(o.Events, 4, 5) }, 6, "event 5 is missing"},
		"an event twice":      {func(o *order) { o.Events = slices.Insert(o.Events, 5, o.Events[4]) }, 5, "event 6 is missing"},
		"a nil event":         {func(o *order) { o.Events[6] = nil }, 7, "no time"},
		"no time":             {func(o *order) { o.Events[4].EventTime = nil }, 5, "no time"},
		"no content":          {func(o *order) { o.Events[4].Attributes = nil }, 5, "no content"},
		"the wrong content":   {func(o *order) { o.Events[4].EventType = enumspb.EVENT_TYPE_TIMER_FIRED }, 5, "has the content of"},
		"an unknown event":    {func(o *order) { o.Events[6].EventType = 4711 }, 7, "4711"},
		"an event of others": {func(o *order) {
			o.Events[6] = newComponent(o.Now).events[4]
			o.Events[6].EventId = 7
		}, 7, "nothing asks for an upsert of the memo"},
		"another workflow": {func(o *order) {
			o.Events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowType.Name = "Orientation"
		}, 1, "not Order"},
		"another order": {func(o *order) {
			o.Events[0].GetWorkflowExecutionStartedEventAttributes().WorkflowId = "order/A3"
		}, 1, "the order is A2, and the workflow order/A3"},
		"no order": {func(o *order) {
			o.Events[0].GetWorkflowExecutionStartedEventAttributes().Input = nil
		}, 1, "missing"},
		"an order in the middle of things": {func(o *order) {
			o.Events[0].GetWorkflowExecutionStartedEventAttributes().Input = payloads(ltp.Progress{Order: o.Order, Phase: ltp.PhaseWaiting, Attempt: 3})
		}, 1, "begins WAITING"},
		"a run before": {func(o *order) {
			o.Events[0].GetWorkflowExecutionStartedEventAttributes().ContinuedExecutionRunId = "run-0"
		}, 1, "run run-0 is missing"},

		"an unknown marker":          {func(o *order) { marker(o, 5).MarkerName = "Else" }, 5, `marker "Else"`},
		"an unknown local activity":  {name(5, "Else"), 5, "Else"},
		"an Execute without a cause": {name(5, "Execute"), 5, "CheckOrientation was due"},
		"a routing without a cause":  {name(12, "CheckOrientation"), 12, "Execute was due"},
		"no result":                  {func(o *order) { delete(marker(o, 5).Details, "result") }, 5, "missing"},
		"a result that is no JSON":   {func(o *order) { marker(o, 5).Details["result"].Payloads[0].Data = []byte("{") }, 5, "routing"},
		"an empty routing":           {routing(func(r *ltp.Routing) { *r = ltp.Routing{} }), 5, "attempt 0 is answered"},
		"a routing too many":         {routing(func(r *ltp.Routing) { r.Attempt = 2 }), 5, "attempt 2 is answered"},
		"an unknown decision":        {routing(func(r *ltp.Routing) { r.Decision = "MAYBE" }), 5, "MAYBE"},
		"an unknown state":           {routing(func(r *ltp.Routing) { r.State = "FINE" }), 5, "FINE"},
		"no reason":                  {routing(func(r *ltp.Routing) { r.Reason = "" }), 5, "why"},
		"no epoch":                   {routing(func(r *ltp.Routing) { r.Epoch = 0 }), 5, "epoch 0"},
		"of something else":          {routing(func(r *ltp.Routing) { r.Component = "stock" }), 5, "does not depend on stock"},
		"another request":            {routing(func(r *ltp.Routing) { r.Request.Replay = true }), 5, "another request"},
		"woken before it slept":      {routing(func(r *ltp.Routing) { r.Woken = ltp.WokenByTimer }), 5, "woken"},
		"admitted, not executed":     {routing(func(r *ltp.Routing) { r.Decision, r.Written = ltp.Execute, 4 }), 6, "Execute was due"},

		"a mark without a cause":  {routing(func(r *ltp.Routing) { r.Decision, r.Written = ltp.Execute, 9 }), 6, "nothing asks for an upsert"},
		"no marker":               {without(5), 5, "CheckOrientation was due"},
		"no mark":                 {without(6), 7, "an upsert of search attributes is missing"},
		"no timer":                {without(7), 7, "the timer is missing"},
		"no Update":               {without(11), 11, "nothing asks for Execute"},
		"no Execute":              {without(12), 12, "the order has no answer"},
		"no answer":               {without(13), 13, "the answer to the Update is missing"},
		"an Update of others":     {func(o *order) { accepted := o.Events[10]; request(accepted).Name = "hold" }, 10, `"hold"`},
		"an Update of no content": {func(o *order) { request(o.Events[10]).Args = nil }, 10, "the release"},
		"an Update of old": {func(o *order) {
			request(o.Events[10]).Args = payloads(ltp.Stability{Component: "orders-db", State: ltp.Stable, Epoch: 4})
		}, 10, "waits for something else"},
		"a release of another epoch": {func(o *order) {
			request(o.Events[10]).Args = payloads(ltp.Stability{Component: "orders-db", State: ltp.Stable, Epoch: 9})
		}, 0, ""}, // which the fence need not have met: an audit says so

		"a result that is none":      {attempt(func(x *ltp.Attempt) { x.Result = "FINE" }), 12, "FINE"},
		"a receipt of nothing":       {attempt(func(x *ltp.Attempt) { x.Receipt = nil }), 12, "receipt"},
		"no routing by the fence":    {attempt(func(x *ltp.Attempt) { x.Routing = nil }), 12, "routing is missing"},
		"another number":             {attempt(func(x *ltp.Attempt) { x.Routing.Attempt = 3 }), 12, "attempt 3 is answered"},
		"the user's activity":        {attempt(func(x *ltp.Attempt) { x.Result = ltp.ResultAdmitted }), 12, "is not executed so"},
		"an attempt that failed":     {attempt(func(x *ltp.Attempt) { x.Result = ltp.ResultUnavailable }), 13, "the order has no answer"},
		"an attempt that is refused": {attempt(func(x *ltp.Attempt) { x.Result = ltp.ResultRefused }), 13, "the order has no answer"},
		"another receipt":            {attempt(func(x *ltp.Attempt) { x.Receipt.Attempt = "A2/1" }), 14, "ended EXECUTED"},

		"no outcome":                     {outcome(nil), 14, "outcome"},
		"an outcome that is none":        {outcome(ltp.Outcome{State: ltp.Deferred}), 14, "DEFERRED"},
		"an outcome that did not happen": {outcome(ltp.Outcome{State: ltp.Expired}), 14, "by what came before it ended EXECUTED"},
		"an end that is none":            {func(o *order) { o.Cancel("shop") }, 15, "follows the event that closed the run"},
		"a second start": {func(o *order) {
			o.Events[6] = proto.Clone(o.Events[0]).(*historypb.HistoryEvent)
			o.Events[6].EventId = 7
		}, 7, "starts once"},
	} {
		t.Run(name, func(t *testing.T) {
			o := build()
			c.damage(o)
			got, err := trace.OrderFrames(o.Events)
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
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

// bump makes an event, before which one was taken out, one of the workflow task that was
// completed at id.
func bump(e *historypb.HistoryEvent, id int64) {
	m := e.ProtoReflect()
	field := m.WhichOneof(m.Descriptor().Oneofs().ByName("attributes"))
	if by := field.Message().Fields().ByName("workflow_task_completed_event_id"); by != nil {
		m.Mutable(field).Message().Set(by, protoreflect.ValueOfInt64(id))
	}
}

func request(e *historypb.HistoryEvent) *updatepb.Input {
	return e.GetWorkflowExecutionUpdateAcceptedEventAttributes().GetAcceptedRequest().GetInput()
}

// What nobody asked for, or what the order could not have come to, is damage.
func TestEndThatTheMachineDidNotReachIsDamage(t *testing.T) {
	for name, out := range map[string]ltp.Outcome{
		"executed": {State: ltp.Executed}, "rejected": {State: ltp.Rejected}, "expired": {State: ltp.Expired},
	} {
		o := deferred("A2", day("14:30:10"), ltp.Unstable, 4)
		end := &historypb.HistoryEvent{EventId: 8, EventTime: o.Events[6].EventTime, EventType: enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_COMPLETED}
		end.Attributes = &historypb.HistoryEvent_WorkflowExecutionCompletedEventAttributes{
			WorkflowExecutionCompletedEventAttributes: &historypb.WorkflowExecutionCompletedEventAttributes{WorkflowTaskCompletedEventId: 4, Result: payloads(out)}}
		if _, err := trace.OrderFrames(append(o.Events, end)); err == nil || !strings.Contains(err.Error(), "nothing asks for the end") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// frameIDs are the IDs of all frames, by way of either reader.
func frameIDs(events []*historypb.HistoryEvent) (frames []string, err error) {
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
	all := map[string][]*historypb.HistoryEvent{"orientation": held().all(), "chain": chain().all(), "steered": controlled().all()}
	for name, path := range paths() {
		all[name] = path.order.Events
	}
	return all
}

// A history that ends early yields what it holds, no more and no less; where it
// ends in the middle of a workflow task, it is damaged.
func TestHistoryThatEndsEarlyTellsItsBeginning(t *testing.T) {
	for name, events := range histories() {
		whole := must(frameIDs(events))(t)
		for n := 1; n < len(events); n++ {
			begun, err := frameIDs(events[:n])
			if err == nil && !slices.Equal(begun, whole[:len(begun)]) {
				t.Errorf("%s, %d of %d events: %v", name, n, len(events), begun)
			}
			asksForMore := events[n-1].GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_COMPLETED // both are written at once
			between := n == 1 || events[n].GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED && !asksForMore
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
			if _, err := frameIDs(slices.Delete(slices.Clone(events), i, i+1)); err == nil {
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
		whole := must(frameIDs(events))(t)
		for range 60 {
			damaged := clones(events)
			how := byte(r.Uint32())
			garble(damaged, byte(r.Uint32()), how, byte(r.Uint32()), byte(r.Uint32()))
			got, err := frameIDs(damaged)
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
		if got, want := fmt.Sprint(must(frameIDs(back))(t)), fmt.Sprint(must(frameIDs(events))(t)); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if _, err := trace.ReadJSON(strings.NewReader("{")); err == nil {
		t.Error("half a document is a history")
	}
}
