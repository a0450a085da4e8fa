package ltp

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Progress is all that an order has come to know: the argument of its workflow, and what
// continue-as-new carries on. [Progress.Next] is the order's state machine. The workflow
// carries it out; trace and audit fold it over the events that Temporal recorded.
//
// The rules by which an order is written once, or ends without being written, are proven
// in internal/ordermodel.
type Progress struct {
	Order Order `json:"order"`
	// Execution is what executes the order; zero is the order database.
	Execution Execution `json:"execution,omitzero"`
	// Stamp is the door's, and so is the first Mark.
	Stamp Stamp `json:"stamp,omitzero"`
	Mark  Mark  `json:"mark,omitzero"`

	Phase Phase `json:"phase,omitempty"`
	// Attempt counts the routings; Last is the latest. Recorded is the workflow task in
	// which that was recorded, by the ID of its started event; 0 is an earlier run.
	Attempt  int     `json:"attempt,omitempty"`
	Last     Routing `json:"last,omitzero"`
	Recorded int64   `json:"recorded,omitempty"`
	// Named is the newest epoch of the written component that a signal or an Update named.
	Named int64 `json:"named,omitempty"`
	// Wait is what the order waits for, and WakeAt when its timer fires; zero is no timer.
	Wait   Wait      `json:"wait,omitzero"`
	WakeAt time.Time `json:"wake_at,omitzero"`
	// Ending is how the order is to end: once it is set, the order is not executed any
	// more, unless it was written already.
	Ending *Ending `json:"ending,omitempty"`
	// HasTurn is set when the orders before it in its sequence have ended, and Watched is
	// until when the sequence sees by itself that this one ends. Sequence is the one that
	// the order has put itself into.
	HasTurn  bool      `json:"has_turn,omitempty"`
	Watched  time.Time `json:"watched,omitzero"`
	Sequence string    `json:"sequence,omitempty"`
	// Expedited is set when an operator wants the order released before all others.
	Expedited bool `json:"expedited,omitempty"`
	// Passed is set once an operator let the order through a hold of what it is written to,
	// and stays: a write may have begun then, whatever became of the pass.
	Passed bool `json:"passed,omitempty"`
	// Uncertain is set when an activity of the user's may have taken effect without our
	// knowing: such an order can only be finished.
	Uncertain bool `json:"uncertain,omitempty"`
	// Backstops is how often the backstop fired since the state was last news; Pauses how
	// many pauses came in a row; Failures are the attempts that failed in a row.
	Backstops int      `json:"backstops,omitempty"`
	Pauses    int      `json:"pauses,omitempty"`
	Failures  Failures `json:"failures,omitzero"`
	Backstop  Backstop `json:"backstop,omitzero"` // of the last worker to route the order
	// Webhooks is set by the door where the order's tenant has webhooks, and Announcing is
	// what they were sent.
	Webhooks   bool       `json:"webhooks,omitempty"`
	Announcing Announcing `json:"announcing,omitzero"`
	// Releasing is set while the sender of an Update waits for its answer, and Tried is
	// the latest attempt since it came.
	Releasing bool     `json:"releasing,omitempty"`
	Tried     *Attempt `json:"tried,omitempty"`
}

// Phase is what an order is doing.
type Phase string

// The phases of an order. In the first four it waits, and takes in what comes.
const (
	PhaseNew         Phase = ""            // accepted, and not looked at
	PhaseWaiting     Phase = "WAITING"     // deferred
	PhaseAdmitted    Phase = "ADMITTED"    // admitted under an epoch that only the next task may write under
	PhaseParked      Phase = "PARKED"      // waits for an operator, or for its customer to cancel it
	PhaseRouting     Phase = "ROUTING"     // the board is asked
	PhaseExecuting   Phase = "EXECUTING"   // the order database, or the fence before the user's activity
	PhaseExternal    Phase = "HANDED"      // the user's activity runs
	PhaseWithdrawing Phase = "WITHDRAWING" // it is being found out whether the order was written
	PhaseJoining     Phase = "JOINING"     // the order puts itself in line
	PhaseEnded       Phase = "ENDED"
)

// Waits reports whether the order takes in what comes.
func (p Progress) Waits() bool {
	switch p.Phase {
	case PhaseNew, PhaseWaiting, PhaseAdmitted, PhaseParked:
		return true
	}
	return false
}

// Failures counts the executions of an order that failed in a row while its component
// counted as fit in one and the same epoch. One that was not begun is none.
type Failures struct {
	Component string    `json:"component,omitempty"`
	Epoch     int64     `json:"epoch,omitempty"`
	Count     int       `json:"count,omitempty"`
	First     time.Time `json:"first,omitzero"`
	// Own is how many of them in a row are known to be the order's own fault.
	Own int `json:"own,omitempty"`
	// Result, Code and Last are of the latest: how it ended, and why.
	Result Result `json:"result,omitempty"`
	Code   string `json:"code,omitempty"`
	Last   string `json:"last,omitempty"`
}

// When an order that keeps failing by itself is parked: so many attempts in a row have
// failed in one epoch, over so long a time, and after each of them another write went
// on the same write path. Where nobody knows whether the attempts took effect, more of
// them are awaited: a lock on one order's row may go.
const (
	ParkAfter, ParkAfterTime                   = 5, 10 * time.Second
	ParkUncertainAfter, ParkUncertainAfterTime = 10, 2 * time.Minute
)

// The pause is how long an order waits when it was deferred for something that no signal
// will announce: its own failure, or a worker that could not see. It doubles with each in
// a row, and is never longer than the first backstop. ParkAfter counts on these. Two
// kinds of orders look again as soon as the longest pause, since no release finds them where
// a message was lost: one in line, whose place whoever accepted it may have died before
// asking for; and one of a backlog, of which the worker's report to the Orientation is sent
// once.
const firstPause, maxPause = time.Second, 2 * time.Minute

// Yield is how long an admitted order waits for the next workflow task, under which it may
// write: as short as a timer can be.
const Yield = time.Millisecond

// Moment is when an order's workflow takes something in.
type Moment struct {
	At time.Time // the start of the workflow task, by Temporal's clock
	// Task is that task, by the ID of its started event.
	Task int64
	// Begun is when this run of the workflow was started, by Temporal's clock.
	Begun time.Time
}

// Event is one thing that happened to an order. The first is the zero Event. While the
// order waits, Inbox is all that came since it was last looked at; otherwise exactly one
// of the other fields is set, the answer to what the order asked for.
type Event struct {
	Inbox     Inbox
	Routed    *Routing
	Executed  *Attempt
	Withdrawn *Withdrawal
	Joined    *string // the sequence in which the order has put itself, or "" when it has not
}

// Inbox is what came for an order that waits, all that one workflow task brought together.
type Inbox struct {
	Cancelled bool        // its customer, or an operator, has asked to cancel it
	Turn      *Turn       // its turn has come
	Expedited bool        // an operator wants it released before all others
	Signals   []Stability // in the order in which they came
	Release   *Stability  // an Update, which waits for an Answer
	Alarm     bool        // its timer has fired
	// Instruction and Pass are the latest of an operator.
	Instruction *Instruction
	Pass        *Pass
}

// Empty reports whether nothing came.
func (b Inbox) Empty() bool {
	return !b.Cancelled && b.Turn == nil && !b.Expedited && len(b.Signals) == 0 && b.Release == nil && !b.Alarm &&
		b.Instruction == nil && b.Pass == nil
}

// Command is one thing to do. Exactly one field is set. Route, Execute, ExecuteExternal,
// Withdraw and Join ask for something: at most one of them is asked at a time, it comes last, and its
// answer is the next Event. What comes of Announce changes nothing.
type Command struct {
	Mark            *Mark          // say so in the search attributes
	Park            *Parking       // say in the memo why the order is parked
	Answer          *Answer        // answer the Update
	Announce        *Announcement  // tell the order's webhooks
	Wait            *Alarm         // wait; the timer is to fire at this time, or there is to be none
	Route           *RouteInput    // ask the board
	Execute         *ExecuteInput  // write the order; with an Execution, ask the fence
	ExecuteExternal *Job           // have the user's activity execute the order
	Withdraw        *WithdrawInput // end the order without executing it, if it was not executed
	Join            *JoinInput     // stand in line
	End             *End           // the order has ended
}

// Alarm is when an order looks again by itself; the zero Alarm is never.
type Alarm struct{ At time.Time }

// End is how an order ends.
type End struct {
	Outcome Outcome
	// ReleaseTurn says that the sequence of its ordering key is to be signalled.
	ReleaseTurn bool
	// Announce is what the order's webhooks receive before that; nil where there are none.
	Announce *Announcement
}

// NewProgress is an order as the door accepts it. mark is what the door has written into
// the search attributes, nil for nothing.
func NewProgress(o Order, e Execution, s Stamp, mark *Mark) Progress {
	p := Progress{Order: o, Execution: e, Stamp: s, Mark: Mark{Priority: DefaultPriority}}
	if mark != nil {
		p.Mark = *mark
	}
	return p
}

// DoorMark is what the door writes into the search attributes of an order that it accepts
// under orientations that will not let the order act, and nil where it may act or where
// the door cannot tell. now are those of the order's gate.
func DoorMark(o Order, now []Orientation) *Mark {
	by, decision, reason := Route(now, Request{HighRisk: o.Risk == HighRisk})
	if decision.Admissible() || by.Epoch < 1 {
		return nil
	}
	return &Mark{Wait: Wait{Component: by.Component, Epoch: by.Epoch, Reason: reason}, Priority: o.Class()}
}

// Continued is the argument of continue-as-new: what the runs before have recorded is
// given to every task of the next.
func (p Progress) Continued() Progress {
	p.Recorded = 0
	return p
}

// Continues reports whether the order may continue as new: it waits, and nobody waits for
// an answer of it.
func (p Progress) Continues() bool {
	return (p.Phase == PhaseWaiting || p.Phase == PhaseParked) && !p.Releasing
}

// Takes reports why an order does not take the release, and nil when it does.
func (p Progress) Takes(s Stability) error {
	switch {
	case s.Component == "" || s.Epoch < 1:
		return errors.New("name the component and its epoch")
	case p.Releasing:
		return errors.New("the order is being released")
	case p.Phase != PhaseWaiting:
		return errors.New("the order does not wait")
	case !p.Wait.SupersededBy(s):
		return fmt.Errorf("the order waits for something else: %s, %s epoch %d", p.Wait.Reason, p.Wait.Component, p.Wait.Epoch)
	}
	return nil
}

// Next is the order's state machine: what the order knows when e has happened, and what it
// does then.
//
//	         ┌─────────────── Inbox ────────────────┐
//	NEW ──▶ ROUTING ──DEFER──▶ WAITING ──release──▶ EXECUTING ──written──▶ EXECUTED
//	         │  ▲                │  ▲                 │  │  ▲
//	         │  └─────timer──────┘  └──────refused────┘  │  │ next task
//	         └──EXECUTE, epoch not given──▶ ADMITTED ◀───┘──┘
//	any of those that wait ──cancelled, expired──▶ WITHDRAWING ──▶ CANCELLED, EXPIRED, REJECTED, EXECUTED
//	                                                 └─ nobody knows yet ─────▶ WAITING
//	ROUTING ──fails by its own fault, again and again──▶ PARKED ──retry──▶ ROUTING
//
// What asks for an end is looked at first in every task. An order with an ordering key
// acts only when it has its turn. An activity of the user's follows on the fence: EXECUTING
// leads to HANDED, and that ends as EXECUTING does.
func (p Progress) Next(e Event, now Moment) (Progress, []Command) {
	s := step{Progress: p, now: now}
	switch {
	case p.Phase == PhaseEnded:
	case e.Routed != nil:
		s.routed(*e.Routed)
	case e.Executed != nil && p.Execution.External() && p.Phase == PhaseExecuting:
		s.fenced(*e.Executed)
	case e.Executed != nil:
		s.executed(*e.Executed)
	case e.Withdrawn != nil:
		s.withdrawn(*e.Withdrawn)
	case e.Joined != nil:
		s.Sequence = *e.Joined
		s.route(WokenByTimer, s.request())
	default:
		s.wake(e.Inbox)
	}
	return s.Progress, s.commands
}

// step is one step of the machine.
type step struct {
	Progress
	now      Moment
	commands []Command
}

func (s *step) do(c Command) { s.commands = append(s.commands, c) }

// wake takes in what came while the order waited.
func (s *step) wake(in Inbox) {
	s.takeInbox(in)
	release := s.releaseDue(in)
	switch {
	case s.mustEnd():
		s.withdraw()
	case s.Phase == PhaseParked && in.Instruction != nil && in.Instruction.Do == DoRetry:
		s.Failures = Failures{Last: s.Failures.Last}
		s.route(WokenByRetry, s.request())
	case s.Phase == PhaseAdmitted && in.Alarm:
		s.execute()
	case s.Phase == PhaseAdmitted: // the next task comes with the timer
		s.waitUntil(s.WakeAt)
	case in.Pass != nil && (s.Phase == PhaseNew || s.Phase == PhaseWaiting):
		s.pass(*in.Pass)
	case s.Phase == PhaseNew:
		first := s.input("", s.request())
		if !s.now.Begun.IsZero() {
			first.Waited = max(0, s.now.At.Sub(s.now.Begun))
		}
		s.ask(first)
	case s.awaitsTurn() && s.HasTurn:
		s.route(WokenByTurn, s.request())
	case release:
		s.release()
	case in.Alarm && s.awaitsTurn():
		s.join()
	case in.Alarm:
		r := s.request()
		r.Listed = s.mayDeferToReplay()
		s.route(WokenByTimer, r)
	default:
		s.expedite()
		s.waitUntil(s.WakeAt)
	}
}

// takeInbox keeps what the inbox says.
func (s *step) takeInbox(in Inbox) {
	if in.Cancelled && s.Ending == nil {
		s.Ending = &Ending{State: Cancelled}
	}
	if in.Turn != nil {
		s.HasTurn, s.Watched = true, in.Turn.Watched
	}
	s.Expedited = s.Expedited || in.Expedited
	s.Passed = s.Passed || in.Pass != nil && in.Pass.Component == s.Execution.Written()
	for _, signal := range in.Signals {
		s.recordNamed(signal)
	}
	if in.Release != nil {
		s.recordNamed(*in.Release)
		s.Releasing, s.Tried = true, nil
	}
	if do := in.Instruction; do != nil && do.Do == DoReject && s.Phase == PhaseParked && s.Ending == nil {
		s.Ending = &Ending{State: Rejected, Reason: fmt.Sprintf("rejected by %s: %s", do.By, do.Why)}
	}
	if in.Alarm {
		s.WakeAt = time.Time{}
	}
}

// recordNamed keeps the epoch of the written component that somebody named.
func (s *step) recordNamed(named Stability) {
	if named.Component == s.Execution.Written() {
		s.Named = max(s.Named, named.Epoch)
	}
}

// releaseDue reports whether the order is to be released.
func (s *step) releaseDue(in Inbox) bool {
	if s.Phase != PhaseWaiting {
		return false
	}
	return in.Release != nil || slices.ContainsFunc(in.Signals, s.Wait.SupersededBy)
}

// mustEnd reports whether the order is to end without being executed. One that an activity of
// the user's may have executed can only be finished, or rejected by an operator. One that
// is parked does not expire.
func (s *step) mustEnd() bool {
	if s.Execution.External() && s.Uncertain {
		return s.Ending != nil && s.Ending.State == Rejected
	}
	if s.Ending == nil && s.Phase != PhaseParked && !s.Order.Deadline.IsZero() && !s.now.At.Before(s.Order.Deadline) {
		s.Ending = &Ending{State: Expired, Reason: "deadline passed before the order could be executed"}
	}
	return s.Ending != nil
}

// withdraw ends the order without executing it, if that can be: at once where no write can
// have begun, and otherwise as the order database says.
func (s *step) withdraw() {
	switch {
	case s.Execution.External(), s.inLine():
		s.end(Outcome{State: s.Ending.State, Reason: s.Ending.Reason})
	default:
		s.Phase = PhaseWithdrawing
		s.do(Command{Withdraw: &WithdrawInput{
			Order: s.Order, End: *s.Ending, Stamp: s.Stamp, Passed: s.Passed, Written: s.Execution.Written(),
		}})
	}
}

func (s *step) withdrawn(w Withdrawal) {
	switch {
	case w.Found == FoundOrder:
		s.end(Outcome{State: Executed, Receipt: w.Receipt})
	case w.Found == FoundUnwritten:
		s.end(Outcome{State: s.Ending.State, Reason: s.Ending.Reason})
	case w.Found == FoundTombstone && w.End != nil:
		s.end(Outcome{State: w.End.State, Reason: w.End.Reason})
	default:
		if s.Wait.Component != s.Execution.Written() || s.Wait.Epoch != w.Fence.Epoch {
			s.Backstops, s.Pauses = 0, 0
		}
		s.Wait = Wait{Component: s.Execution.Written(), Epoch: w.Fence.Epoch, Reason: ReasonAwaitsProof}
		s.enterWaiting(w.Unreadable || w.Fence.State.Fit())
	}
}

// request is what the order asks when nothing special has happened.
func (s *step) request() Request {
	return Request{HighRisk: s.Order.Risk == HighRisk, Replay: s.Attempt > 0, InLine: s.inLine()}
}

// inLine reports whether the order has to await its turn. One without a key never has to.
func (s *step) inLine() bool { return s.Order.OrderingKey != "" && !s.HasTurn }

func (s *step) awaitsTurn() bool { return s.Wait.Reason == ReasonAwaitsTurn }

// mayDeferToReplay reports whether an order whose backstop fired may leave itself to a replay
// that is under way. One that waits for something of its own is not found by it; and no replay
// is trusted twice.
func (s *step) mayDeferToReplay() bool {
	switch s.Wait.Reason {
	case ReasonAwaitsReplay, ReasonAwaitsTurn, ReasonExecuteUnavailable, ReasonAwaitsProof:
		return false
	}
	return !s.Last.Unreadable
}

func (s *step) input(woken Wake, r Request) RouteInput {
	return RouteInput{
		OrderID: s.Order.ID, Components: s.Order.Gate(s.Execution), Written: s.Execution.Written(),
		Request: r, Attempt: s.Attempt + 1, Woken: woken,
	}
}

// route asks the board.
func (s *step) route(woken Wake, r Request) { s.ask(s.input(woken, r)) }

func (s *step) ask(in RouteInput) {
	s.Phase = PhaseRouting
	s.do(Command{Route: &in})
}

// recordRouting keeps a routing. Failures under another epoch count no more.
func (s *step) recordRouting(r Routing) {
	if r.Epoch != s.Wait.Epoch || r.Component != s.Wait.Component {
		s.Backstops, s.Pauses = 0, 0
	}
	of, epoch := s.failureScope(r)
	if f := &s.Failures; f.Component != of || f.Epoch != epoch {
		*f = Failures{Component: of, Epoch: epoch, Last: f.Last}
	}
	s.Attempt, s.Last, s.Recorded = r.Attempt, r, s.now.Task
}

// failureScope is the component, and its epoch, that a failed attempt under a routing is held
// against: what is written to, whichever component decided; of an activity of the user's,
// the one that decided.
func (s *step) failureScope(r Routing) (component string, epoch int64) {
	if written := s.Execution.Written(); written != "" {
		return written, r.Written
	}
	return r.Component, r.Epoch
}

// routed follows the board's answer.
func (s *step) routed(r Routing) {
	s.recordRouting(r)
	s.Backstop = r.Backstop
	ownFault := r.Reason == ReasonExecuteUnavailable && s.recordCause(r.Cause)
	switch {
	case ownFault && s.Failures.Result == ResultRefused:
		s.Ending = &Ending{State: Rejected, Reason: s.Failures.Last}
		s.withdraw()
	case ownFault && s.mustPark():
		s.park()
	case !r.Decision.Admissible():
		s.deferAsRouted()
	case s.Execution.External() && r.Woken != WokenByFailure, slices.Contains(s.givenEpochs(), r.Written):
		s.execute()
	default: // also after a user's activity, while which an end may have been asked for
		s.yield()
	}
}

// givenEpochs are the epochs of the written component that this task was given: the stamp, and a
// routing that an earlier task recorded. One that the task itself made is none: were the
// task lost, nobody would know that it acted on it.
func (s *step) givenEpochs() (epochs []int64) {
	if s.Stamp.Epoch > 0 {
		epochs = append(epochs, s.Stamp.Epoch)
	}
	if w := s.Last.Written; s.Recorded < s.now.Task && w > 0 && w != s.Stamp.Epoch {
		epochs = append(epochs, w)
	}
	return epochs
}

// yield leaves the write to the next workflow task.
func (s *step) yield() {
	s.Phase = PhaseAdmitted
	s.sleepUntil(s.now.At.Add(Yield))
}

// execute carries out the latest routing.
func (s *step) execute() {
	r := s.Last.Request
	r.Failed, r.Listed, r.Backlog, r.Paused = false, false, false, nil // the fence asks of this moment only
	s.attempt(ExecuteInput{Route: s.input(WokenByFence, r), Admitted: true})
}

// release has the fence route the order, and executes it if that admits. The epoch that
// the release names is given to the task as well, as long as the task has recorded nothing
// yet: its time is then that of its start, by which the epoch must have begun.
func (s *step) release() {
	in := ExecuteInput{Route: s.input(WokenBySignal, s.request())}
	if s.Named > 0 && s.Recorded != s.now.Task && !slices.Contains(s.givenEpochs(), s.Named) {
		in.Named, in.TaskAt = s.Named, s.now.At
	}
	s.attempt(in)
}

// pass has the fence route an order that an operator lets through a hold, and executes it
// if that admits. The pass is good for this attempt only. The epoch that it names is given
// to the task, as that of a release is.
func (s *step) pass(p Pass) {
	r := s.request()
	r.Pass = &p
	woken := WokenByPass
	if s.Attempt == 0 {
		woken = ""
	}
	in := ExecuteInput{Route: s.input(woken, r)}
	if p.Component == s.Execution.Written() && s.Recorded != s.now.Task && !slices.Contains(s.givenEpochs(), p.Epoch) {
		in.Named, in.TaskAt = p.Epoch, s.now.At
	}
	s.attempt(in)
}

func (s *step) attempt(in ExecuteInput) {
	in.Order = s.Order
	if s.Execution.External() {
		in.Named, in.TaskAt = 0, time.Time{}
	} else if in.Given = s.givenEpochs(); in.Named != 0 {
		in.Given = append(in.Given, in.Named)
	}
	s.Phase = PhaseExecuting
	s.do(Command{Execute: &in})
}

// fenced follows the answer of the fence before an activity of the user's.
func (s *step) fenced(a Attempt) {
	if a.Result == ResultUnknown {
		a.Result = ResultNotBegun // a fence writes nothing
	}
	if a.Result != ResultAdmitted {
		s.executed(a)
		return
	}
	if a.Routing != nil {
		s.recordRouting(*a.Routing)
	}
	s.Phase = PhaseExternal
	s.do(Command{ExecuteExternal: &Job{
		Order: s.Order, Attempt: RequestFrameID(s.Order.ID, s.Attempt), Replay: s.Last.Request.Replay, Fence: a.Fence,
		Pass: s.Last.Request.Pass,
	}})
}

// executed follows an attempt.
func (s *step) executed(a Attempt) {
	if a.Routing != nil {
		s.recordRouting(*a.Routing)
	}
	if s.Releasing {
		s.Tried = &a
	}
	switch a.Result {
	case ResultExecuted:
		s.end(Outcome{State: Executed, Receipt: a.Receipt})
		return
	case ResultWithdrawn:
		if a.Withdrawn != nil {
			s.end(Outcome{State: a.Withdrawn.State, Reason: a.Withdrawn.Reason})
			return
		}
		s.fail(a)
	case ResultNotGiven:
		s.yield()
		return
	case ResultNotBegun:
		if a.Routing != nil && !a.Routing.Decision.Admissible() {
			s.deferAsRouted()
			return
		}
	default:
		s.fail(a)
	}
	r := s.request()
	r.Replay, r.Failed = true, true
	r.FailedUnder, r.FailedEpoch = s.failureScope(s.Last)
	in := s.input(WokenByFailure, r)
	if a.Result != ResultNotBegun {
		in.Failure = &Failure{
			Result: a.Result, Code: a.Code, Error: s.Failures.Last, Activity: s.Execution.Activity, Since: s.now.At,
		}
	}
	s.ask(in)
}

// fail counts an attempt that began and did not execute the order.
func (s *step) fail(a Attempt) {
	if s.Failures.Count == 0 {
		s.Failures.First = s.now.At
	}
	s.Failures.Count++
	s.Failures.Result, s.Failures.Code = a.Result, a.Code
	s.Failures.Last = strings.ToValidUTF8(a.Error[:min(len(a.Error), 500)], "")
	if s.Execution.External() && a.Result != ResultUnavailable && a.Result != ResultRefused {
		s.Uncertain = true
	}
}

// recordCause takes in whose fault the latest failure was, and reports whether it is known to be
// the order's own.
func (s *step) recordCause(b FailureCause) bool {
	if b != CauseOrder || s.Failures.Count == 0 {
		s.Failures.Own = 0
		return false
	}
	s.Failures.Own++
	return true
}

// mustPark reports whether the order has failed by itself often enough, and for long enough.
func (s *step) mustPark() bool {
	f := s.Failures
	lasted := s.now.At.Sub(f.First)
	if s.Uncertain || f.Result == ResultUnknown {
		return f.Own >= ParkUncertainAfter && lasted >= ParkUncertainAfterTime
	}
	return f.Own >= ParkAfter && lasted >= ParkAfterTime
}

// park has an order that keeps failing by its own fault wait for an operator, so that what is wrong with
// one order never holds up a recovery, and is not final either.
func (s *step) park() {
	s.Phase = PhaseParked
	s.Wait = Wait{Reason: ReasonParked}
	s.Backstops, s.Pauses = 0, 0
	s.do(Command{Park: &Parking{Since: s.now.At, Failures: s.Failures.Count, Error: s.Failures.Last}})
	s.mark()
	s.answer(Answer{State: Parked, Wait: s.Wait})
	if a := s.announce(Parked, s.Wait); a != nil {
		s.do(Command{Announce: a})
	}
	s.waitUntil(time.Time{})
}

// deferAsRouted has the order wait for what its latest routing says.
func (s *step) deferAsRouted() {
	r := s.Last
	s.Wait = Wait{Component: r.Component, Epoch: r.Epoch, Reason: r.Reason}
	s.enterWaiting(r.Unreadable || r.Reason == ReasonExecuteUnavailable)
}

// enterWaiting has the order wait. One that no signal will wake looks again after a pause.
func (s *step) enterWaiting(pause bool) {
	s.Phase = PhaseWaiting
	s.mark()
	var d time.Duration
	switch b := s.Backstop.OrDefault(); {
	case pause:
		d = Doubled(firstPause, min(maxPause, b.First), s.Pauses)
		s.Pauses++
	case s.Wait.Reason == ReasonAwaitsReplay:
		d = b.Most // each wake is work for the server that the replay needs
	default:
		first := b.First
		if s.awaitsTurn() || s.Wait.Reason == ReasonBacklog {
			first = min(maxPause, first)
		}
		d = Doubled(first, b.Most, s.Backstops)
		s.Backstops++
	}
	at := s.now.At.Add(jittered(d, s.Order.ID, s.Attempt))
	if end := s.Order.Deadline; !end.IsZero() && end.Before(at) && s.Ending == nil && !s.Uncertain {
		at = end
	}
	s.sleepUntil(at)
}

// mark says in the search attributes what the order waits for, where they do not.
func (s *step) mark() {
	m := Mark{Wait: s.Wait, Priority: s.Mark.Priority}
	switch {
	case s.awaitsTurn():
		m.Component, m.Epoch = "", 0 // no replay is to find it
	case s.Wait.Reason == ReasonAwaitsReplay && s.Mark.Component == m.Component:
		m.Wait = s.Mark.Wait // it waits as before, and an event is saved
	case s.Wait.Reason.DefersToReplay():
		m.Epoch = s.backlogEpoch()
	}
	if !s.awaitsTurn() {
		m.Priority = s.priority()
	}
	if m != s.Mark {
		s.Mark = m
		s.do(Command{Mark: &m})
	}
}

// backlogEpoch is the epoch under which the replay looks for an order that is left to it:
// the one that it was deferred under, and never that of the replay itself.
func (s *step) backlogEpoch() int64 {
	if s.Mark.Component == s.Wait.Component {
		return min(s.Mark.Epoch, s.Wait.Epoch-1)
	}
	return s.Wait.Epoch - 1
}

func (s *step) priority() int {
	if s.Expedited {
		return 0
	}
	return s.Order.Class()
}

// expedite shows that an order which waits for a component is to be released first. One
// that awaits its turn cannot go before those ahead of it; it shows this when it waits for
// a component again.
func (s *step) expedite() {
	if s.Phase == PhaseWaiting && !s.awaitsTurn() {
		if m := s.Mark; m.Priority != s.priority() {
			m.Priority = s.priority()
			s.Mark = m
			s.do(Command{Mark: &m})
		}
	}
}

// sleepUntil sets the timer. One that fires earlier serves again.
func (s *step) sleepUntil(at time.Time) {
	if !s.WakeAt.IsZero() && s.WakeAt.Before(at) && s.WakeAt.After(s.now.At) {
		at = s.WakeAt
	}
	if s.Phase != PhaseAdmitted {
		s.answer(Answer{State: Deferred, Wait: s.Wait})
		if a := s.announce(Deferred, s.Wait); a != nil {
			s.do(Command{Announce: a})
		}
	}
	s.waitUntil(at)
}

func (s *step) waitUntil(at time.Time) {
	s.WakeAt = at
	s.do(Command{Wait: &Alarm{at}})
}

// answer answers the Update, if there is one.
func (s *step) answer(a Answer) {
	if !s.Releasing {
		return
	}
	if t := s.Tried; t != nil {
		a.Result, a.BegunAt, a.EndedAt = t.Result, t.BegunAt, t.EndedAt
		if t.Result.Failed() {
			a.Cause, a.Error, a.Code = s.Last.Cause, s.Failures.Last, s.Failures.Code
		}
	}
	s.Releasing, s.Tried = false, nil
	s.do(Command{Answer: &a})
}

// join makes sure that an order that awaits its turn stands in line.
func (s *step) join() {
	s.Phase = PhaseJoining
	s.do(Command{Join: &JoinInput{Key: s.Order.OrderingKey, OrderID: s.Order.ID, Sequence: s.Sequence}})
}

func (s *step) end(o Outcome) {
	s.Phase = PhaseEnded
	s.answer(Answer{State: o.State})
	releaseTurn := s.Order.OrderingKey != "" && s.HasTurn && !s.now.At.Before(s.Watched)
	s.do(Command{End: &End{Outcome: o, ReleaseTurn: releaseTurn, Announce: s.announce(o.State, Wait{})}})
}

// announce is what the webhooks of the order receive of a state that it has come to; nil
// where there is nothing to tell.
func (s *step) announce(state OrderState, w Wait) *Announcement {
	if !s.Webhooks {
		return nil
	}
	a := s.Announcing.announces(s.Order.ID, state, w)
	if a != nil {
		s.Announcing = Announcing{Count: a.N, State: state}
	}
	return a
}
