// Package tracetest builds histories of orders for tests: it runs the order's machine
// against a board and an order database that the test sets, and writes the events that a
// Temporal server would.
package tracetest

import (
	"fmt"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/payload"
)

// Order is an order in a world that the test changes between workflow tasks.
type Order struct {
	// Events are those of all runs, oldest first.
	Events []*historypb.HistoryEvent
	// Now is the time of the next event. Each workflow task takes a millisecond and what
	// is done in it.
	Now time.Time
	// Progress is what the order knows.
	ltp.Progress
	// Board is what workers hold true of components; Paused those whose replay is paused.
	Board  map[string]ltp.Orientation
	Paused []string
	// Stale is what the board still holds true of its component for the next routing; a
	// fence reads anew.
	Stale *ltp.Orientation
	// Cause is whose fault the failures of attempts are found to be.
	Cause ltp.FailureCause
	// OfWorker is the backstop of the worker that routes it; zero is the default.
	OfWorker ltp.Backstop
	// Unreadable workers have no orientation that they trust.
	Unreadable bool
	// Writes are what comes of the next writes. After them, orders are executed.
	Writes []Write
	// Row is set where the order stands in the order database.
	Row *ltp.Receipt
	// Silent local activities, by name, give no answer: so many of the next.
	Silent map[string]int
	// Beats is how often the next local activity makes the worker ask for more time.
	Beats int
	// Run is the run, the first of which is "run-of-" and the order's ID.
	Run string

	id        string
	from      int // the events of earlier runs
	clock     time.Time
	started   int64
	completed int64
	batch     []*historypb.HistoryEvent
	inbox     ltp.Inbox
	update    *ltp.Stability
	released  *ltp.Stability
	answer    *ltp.Answer
	timer     timer
	timers    int
	carriesOn string // the run that follows when the order waits
	job       ltp.Job
	scheduled int64
	begun     time.Time
	returned  func(ended time.Time) ltp.Attempt
	then      func()
}

type timer struct {
	id    string
	at    time.Time
	fired bool
	event *historypb.HistoryEvent // while it is not in history
}

// Write is what comes of one attempt to write: a Result that begins a write, or NOT_BEGUN.
type Write struct {
	Result ltp.Result
	Error  string
	Took   time.Duration
	// Withdrawn is the tombstone that was met.
	Withdrawn *ltp.Ending
}

// New accepts an order.
func New(p ltp.Progress, at time.Time) *Order {
	o := &Order{
		Progress: p, Now: at, Board: map[string]ltp.Orientation{}, Silent: map[string]int{}, Cause: ltp.CauseOrder,
		Run: "run-of-" + p.Order.ID, id: ltp.OrderWorkflowID(p.Order.ID),
	}
	o.start("")
	return o
}

func (o *Order) start(continued string) {
	o.add(&historypb.WorkflowExecutionStartedEventAttributes{
		WorkflowType: &commonpb.WorkflowType{Name: ltp.OrderWorkflow}, WorkflowId: o.id,
		OriginalExecutionRunId: o.Run, FirstExecutionRunId: "run-of-" + o.Order.ID, ContinuedExecutionRunId: continued, Input: Payloads(o.Progress),
	})
}

// Hold sets what is held true of orders-db.
func (o *Order) Hold(s ltp.State, epoch int64) *Order {
	return o.HoldOf(ltp.DefaultComponent, s, epoch)
}

// HoldOf sets what is held true of a component.
func (o *Order) HoldOf(component string, s ltp.State, epoch int64) *Order {
	fit := o.Board[component].LastFit
	if s.Fit() {
		fit = epoch
	} else if fit == 0 {
		fit = epoch - 1
	}
	o.Board[component] = ltp.Orientation{Component: component, State: s, Epoch: epoch, LastFit: fit}
	return o
}

// At moves the clock.
func (o *Order) At(t time.Time) *Order { o.Now = t; return o }

// After moves the clock on.
func (o *Order) After(d time.Duration) *Order { return o.At(o.Now.Add(d)) }

// Work is a workflow task.
func (o *Order) Work() *Order {
	o.begin("4711@node-1")
	o.clock = later(o.clock, o.Now)
	o.released, o.update = o.update, nil
	if o.released != nil {
		o.accept(*o.released)
	}
	switch {
	case o.Phase == ltp.PhaseWaiting && o.started < 4 && o.from > 0: // continued
		o.setTimer(o.WakeAt)
	case o.Phase == ltp.PhaseExternal && o.returned != nil:
		x := o.returned(o.clock)
		o.returned = nil
		o.next(ltp.Event{Executed: &x})
	}
	o.gather()
	if o.carriesOn != "" && o.Phase == ltp.PhaseWaiting {
		o.continueAsNew()
		return o
	}
	o.complete()
	return o
}

// Lose is a workflow task whose worker gives no answer that counts.
func (o *Order) Lose(cause enumspb.WorkflowTaskFailedCause) *Order {
	o.begin("4711@node-1")
	if cause == enumspb.WORKFLOW_TASK_FAILED_CAUSE_UNSPECIFIED {
		o.After(10 * time.Second).add(&historypb.WorkflowTaskTimedOutEventAttributes{StartedEventId: o.started, TimeoutType: enumspb.TIMEOUT_TYPE_START_TO_CLOSE})
		return o
	}
	o.add(&historypb.WorkflowTaskFailedEventAttributes{StartedEventId: o.started, Cause: cause})
	return o
}

func (o *Order) begin(worker string) {
	o.add(&historypb.WorkflowTaskScheduledEventAttributes{})
	o.started = o.add(&historypb.WorkflowTaskStartedEventAttributes{Identity: worker}).EventId
}

// complete writes the completion of the task and what was done in it.
func (o *Order) complete() {
	o.Now = later(o.Now, o.clock).Add(time.Millisecond)
	o.completed = o.add(&historypb.WorkflowTaskCompletedEventAttributes{StartedEventId: o.started}).EventId
	if o.answer != nil {
		o.answered(*o.answer)
	}
	for _, done := range o.batch {
		o.append(done)
	}
	o.batch, o.timer.event = nil, nil
}

func (o *Order) append(e *historypb.HistoryEvent) {
	e.EventId, e.EventTime = int64(len(o.Events)-o.from+1), timestamppb.New(o.Now)
	m := e.ProtoReflect()
	if field := m.WhichOneof(m.Descriptor().Oneofs().ByName("attributes")); field != nil {
		a := m.Mutable(field).Message()
		if by := a.Descriptor().Fields().ByName("workflow_task_completed_event_id"); by != nil {
			a.Set(by, protoreflect.ValueOfInt64(o.completed))
		}
	}
	o.Events = append(o.Events, e)
	if a := e.GetActivityTaskScheduledEventAttributes(); a != nil {
		o.scheduled = e.EventId
	}
}

// add writes an event that is no worker's answer.
func (o *Order) add(attributes proto.Message) *historypb.HistoryEvent {
	e := event(attributes)
	e.EventId, e.EventTime = int64(len(o.Events)-o.from)+1, timestamppb.New(o.Now)
	o.Events = append(o.Events, e)
	return e
}

// do adds an event to the worker's answer.
func (o *Order) do(attributes proto.Message) *historypb.HistoryEvent {
	e := event(attributes)
	o.batch = append(o.batch, e)
	return e
}

// event is an event with attributes, of the type that is named as they are.
func event(attributes proto.Message) *historypb.HistoryEvent {
	e := &historypb.HistoryEvent{}
	fields := e.ProtoReflect().Descriptor().Oneofs().ByName("attributes").Fields()
	for i := range fields.Len() {
		if f := fields.Get(i); f.Message() == attributes.ProtoReflect().Descriptor() {
			e.ProtoReflect().Set(f, protoreflect.ValueOfMessage(attributes.ProtoReflect()))
			name := "EVENT_TYPE_" + strings.ToUpper(strings.TrimSuffix(string(f.Name()), "_event_attributes"))
			e.EventType = enumspb.EventType(e.EventType.Descriptor().Values().ByName(protoreflect.Name(name)).Number())
		}
	}
	return e
}

// gather takes in what has come.
func (o *Order) gather() {
	for o.Waits() {
		in := o.inbox
		in.Alarm = o.timer.fired
		in.Release, o.released = o.released, nil
		if in.Empty() && o.Phase != ltp.PhaseNew {
			return
		}
		o.inbox = ltp.Inbox{}
		if in.Alarm {
			o.timer = timer{}
		}
		o.next(ltp.Event{Inbox: in})
	}
}

// next has the machine take in an event, and does what it says.
func (o *Order) next(e ltp.Event) {
	var commands []ltp.Command
	o.Progress, commands = o.Next(e, ltp.Moment{At: o.clock, Task: o.started})
	for _, c := range commands {
		o.carryOut(c)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// Payloads are values as Temporal keeps them.
func Payloads(values ...any) *commonpb.Payloads {
	p, err := payload.Converter().ToPayloads(values...)
	if err != nil {
		panic(fmt.Errorf("a test's payload: %w", err))
	}
	return p
}
