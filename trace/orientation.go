package trace

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/payload"
)

// OrientationTrace is everything that Temporal holds of a component's orientation.
type OrientationTrace struct {
	Component string    `json:"component"`
	BeginsAt  time.Time `json:"begins_at"`
	// Before is what was held true when the trace begins; nil when it begins with the
	// workflow itself.
	Before *ltp.Orientation `json:"before,omitempty"`
	// Frames are the orientation frames in the order of history.
	Frames []ltp.Frame `json:"frames"`
	Notes  []Note      `json:"notes,omitempty"`
	// Gaps are the frames that are known to have been, and that Temporal no longer has.
	Gaps []Gap `json:"gaps,omitempty"`
	// EndedAt is when the workflow ended, so that nobody owns the orientation; zero
	// while it runs.
	EndedAt time.Time `json:"ended_at,omitzero"`
}

// OrientationFrames reads the history of a component's Orientation workflow: the
// events of all its runs, one run after the other, oldest first. A run that
// continued another must follow it, save the first.
//
// The frame of an orientation is "component@epoch"; where an orientation was
// published again under the same epoch, because an operator's hold changed, the
// frame is "component@epoch.2" and so on. History that is damaged or incomplete is
// a *DamageError. Whether the state machine had to come to these orientations is
// not checked here.
func OrientationFrames(events []*historypb.HistoryEvent) (OrientationTrace, error) {
	o := orientationReader{frames: map[int64]int{}, OrientationTrace: OrientationTrace{Frames: []ltp.Frame{}}}
	for _, one := range Runs(events) {
		r, err := openRun(ltp.OrientationWorkflow, one)
		if err != nil {
			return OrientationTrace{}, err
		}
		if err := o.begin(r); err != nil {
			return OrientationTrace{}, r.damaged(one[0], err)
		}
		for _, e := range one {
			if err := o.read(e); err != nil {
				return OrientationTrace{}, r.damaged(e, err)
			}
		}
		if err := o.settled(); err != nil {
			return OrientationTrace{}, r.damaged(r.last(), err)
		}
		o.runs = append(o.runs, r.runID)
	}
	if len(o.runs) == 0 {
		return OrientationTrace{}, &DamageError{Err: errors.New("it has no events")}
	}
	return o.OrientationTrace, nil
}

// Runs cuts events of several runs, one run after the other, where a run starts.
func Runs(events []*historypb.HistoryEvent) (runs [][]*historypb.HistoryEvent) {
	from := 0
	for i, e := range events {
		if i > from && e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED && e.GetEventId() == 1 {
			runs = append(runs, events[from:i])
			from = i
		}
	}
	if from < len(events) {
		runs = append(runs, events[from:])
	}
	return runs
}

// orientationReader follows the Orientation workflow through its runs.
type orientationReader struct {
	run
	OrientationTrace
	runs      []string // that have been read
	closed    bool     // the latest of them ended
	continued string   // the run that must come next, if any

	// now is the orientation in force; it has no State before the first is published.
	now      ltp.Orientation
	frames   map[int64]int // how many frames each epoch has
	observer string        // who observed last
	gone     bool          // and is no longer there
	watchers map[int64]string
	applied  []string // the Updates that runs before have carried out
	// anew says that the run remembers no epoch, and has not published its first; earlier
	// is the last one of the runs before it.
	anew    bool
	earlier int64
	// due is the memo that an operator's Update, which was accepted, must set at once.
	due string
}

// begin checks that r follows on what was read.
func (o *orientationReader) begin(r run) error {
	var in ltp.OrientationInput
	if err := Decode(r.started.GetInput(), &in); err != nil {
		return fmt.Errorf("the input: %w", err)
	}
	if err := ltp.ValidComponent(in.Component); err != nil {
		return err
	}
	want := ltp.OrientationWorkflowID(in.Component)
	if r.workflowID == "" {
		r.workflowID = want
	}
	first := len(o.runs) == 0
	before := r.started.GetContinuedExecutionRunId()
	switch {
	case r.workflowID != want:
		return fmt.Errorf("the component is %s, and the workflow %s", in.Component, r.workflowID)
	case !first && in.Component != o.Component:
		return fmt.Errorf("the component is %s, and that of the run before %s", in.Component, o.Component)
	case !first && !o.closed:
		return fmt.Errorf("it begins while run %s has not ended: the end of that one is missing", o.runs[len(o.runs)-1])
	case o.continued != "" && r.runID != o.continued:
		return fmt.Errorf("run %s is missing, which continues run %s", o.continued, o.runs[len(o.runs)-1])
	case !first && before != "" && o.continued == "" && r.resetAt == 0:
		return fmt.Errorf("run %s is missing, which this one continues", before)
	case before != "" && in.Continued == nil, before == "" && in.Continued != nil:
		return errors.New("what it knows of the run before does not go with how it was started")
	}
	switch c := in.Continued; {
	case c == nil:
		if in.Epoch > o.now.Epoch {
			o.gap(in.Component, o.now.Epoch, in.Epoch)
		}
		o.anew, o.earlier = in.Epoch == 0, o.now.Epoch
		o.now, o.observer = ltp.Orientation{Component: in.Component, Epoch: in.Epoch}, ""
	case first:
		if err := plausible(c.Orientation, in.Component); err != nil {
			return err
		}
		o.gap(in.Component, 0, c.Orientation.Epoch)
		o.now, o.observer, o.Before = c.Orientation, c.Last.Observer, &c.Orientation
	case r.resetAt == 0 && (c.Orientation.Epoch != o.now.Epoch || c.Orientation.State != o.now.State):
		return fmt.Errorf("it continues under %s, epoch %d, and the run before ended under %s, epoch %d",
			c.Orientation.State, c.Orientation.Epoch, o.now.State, o.now.Epoch)
	default:
		o.now = c.Orientation
	}
	if first {
		o.Component, o.BeginsAt = in.Component, at(r.events[0])
	}
	o.run, o.closed, o.continued, o.due, o.EndedAt = r, false, "", "", time.Time{}
	o.watchers, o.applied = map[int64]string{}, in.Applied
	return nil
}

// gap reports frames of which no run is there: those after one epoch, up to another.
func (o *orientationReader) gap(component string, after, upTo int64) {
	o.Gaps = append(o.Gaps, MissingOrientations(component, after, upTo))
}

// MissingOrientations is the gap of the orientations after one epoch, up to another.
func MissingOrientations(component string, after, upTo int64) Gap {
	what := fmt.Sprintf("orientation of %s in epochs %d to %d", component, after+1, upTo)
	if after+1 == upTo {
		what = fmt.Sprintf("orientation of %s in epoch %d", component, upTo)
	}
	return Gap{What: what, Why: "Temporal no longer has the runs that it was published in"}
}

func plausible(o ltp.Orientation, component string) error {
	switch {
	case o.Component != component:
		return fmt.Errorf("the orientation is of component %q", o.Component)
	case !o.State.Valid():
		return fmt.Errorf("there is no state %q", o.State)
	case o.Epoch < 1:
		return fmt.Errorf("there is no epoch %d", o.Epoch)
	}
	return nil
}

func (o *orientationReader) read(e *historypb.HistoryEvent) error {
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_STARTED, enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ADMITTED:
		return nil
	case enumspb.EVENT_TYPE_WORKFLOW_PROPERTIES_MODIFIED:
		return o.publishes(e)
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_SIGNALED:
		return o.signalled(e)
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED:
		return o.updated(e)
	case enumspb.EVENT_TYPE_WORKFLOW_TASK_SCHEDULED:
		return o.settled()
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_COMPLETED:
		if f := e.GetWorkflowExecutionUpdateCompletedEventAttributes().GetOutcome().GetFailure(); f != nil {
			o.note(e, NoteOperator, "", "the operator's Update failed: "+f.GetMessage())
			o.due = ""
		}
		return o.settled()
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CANCEL_REQUESTED:
		a := e.GetWorkflowExecutionCancelRequestedEventAttributes()
		o.note(e, NoteOperator, a.GetIdentity(), because("asked to end the orientation workflow", a.GetCause()))
		return nil
	}
	for _, known := range []func(*historypb.HistoryEvent) (bool, error){o.watched, o.replayed, o.ends} {
		if ok, err := known(e); ok || err != nil {
			return err
		}
	}
	if n, ok := o.touched(e); ok {
		o.add(n)
		return nil
	}
	if !silent(e) {
		return fmt.Errorf("%s has no place in the history of an orientation", e.GetEventType())
	}
	return nil
}

// publishes reads an orientation frame. Of a run that was reset, what it copied is
// in the trace already.
func (o *orientationReader) publishes(e *historypb.HistoryEvent) error {
	memo := e.GetWorkflowPropertiesModifiedEventAttributes().GetUpsertedMemo().GetFields()
	if p, ok := memo[ltp.ReplayControlMemo]; ok {
		return o.replayControlSet(p)
	}
	published, ok := memo[ltp.OrientationMemo]
	if policy, set := memo[ltp.PolicyMemo]; set && !ok {
		return o.policySet(policy)
	}
	if !ok {
		return errors.New("the memo holds no orientation")
	}
	if o.due != "" && o.due != ltp.OrientationMemo {
		return o.settled()
	}
	var next ltp.Orientation
	if err := payload.Converter().FromPayload(published, &next); err != nil {
		return fmt.Errorf("the orientation: %w", err)
	}
	if err := plausible(next, o.Component); err != nil {
		return err
	}
	o.anchor(next)
	want := o.now.Epoch
	if next.State != o.now.State {
		want++
	}
	if next.Epoch != want {
		return fmt.Errorf("%s, epoch %d, cannot follow %s, epoch %d: an orientation is missing",
			next.State, next.Epoch, cmp.Or(o.now.State, "no state"), o.now.Epoch)
	}
	if next.State == o.now.State && o.due != ltp.OrientationMemo && !o.expired(e) && (next.Hold == nil || next.Observed == o.now.Observed) {
		return errors.New("the orientation is published again, and no operator asked for it")
	}
	o.now, o.due = next, ""
	if o.copied(e.GetEventId()) {
		return nil
	}
	o.frames[next.Epoch]++
	o.Frames = append(o.Frames, ltp.Frame{
		ID:   OrientationID(o.Component, next.Epoch, o.frames[next.Epoch]),
		Type: ltp.FrameOrientation, At: at(e), Orientation: &next, Source: o.source(e),
	})
	return nil
}

// anchor lets the first orientation of a workflow that remembers no other say where its
// epochs begin: at the time, which is after those of any other.
func (o *orientationReader) anchor(first ltp.Orientation) {
	anew := o.anew
	o.anew = false
	if before := first.Epoch - 1; anew && first.State == ltp.Unknown && before > o.now.Epoch {
		if o.earlier > 0 && before > o.earlier {
			o.gap(o.Component, o.earlier, before)
		}
		o.now.Epoch = before
	}
}

// expired reports whether a hold in force has ended by itself by the time of an event.
func (o *orientationReader) expired(e *historypb.HistoryEvent) bool {
	return slices.ContainsFunc(o.now.Hold.Holds(), func(h ltp.Hold) bool {
		return !h.Until.IsZero() && !h.Until.After(at(e))
	})
}

// OrientationID is the id of the nth frame of an epoch, from 1.
func OrientationID(component string, epoch int64, nth int) string {
	if nth > 1 {
		return fmt.Sprintf("%s@%d.%d", component, epoch, nth)
	}
	return fmt.Sprintf("%s@%d", component, epoch)
}

// copied reports whether an event is a copy of one that is in the trace already,
// from the run that this one was reset from.
func (o *orientationReader) copied(eventID int64) bool {
	return eventID < o.resetAt && slices.Contains(o.runs, o.base)
}

// signalled reads the signals of observers and of the replay engine.
func (o *orientationReader) signalled(e *historypb.HistoryEvent) error {
	a := e.GetWorkflowExecutionSignaledEventAttributes()
	switch a.GetSignalName() {
	case ltp.ObservationSignal:
		var seen ltp.Observation
		if err := Decode(a.GetInput(), &seen); err != nil {
			o.note(e, NoteSignal, a.GetIdentity(), fmt.Sprintf("sent an observation that cannot be read: %v", err))
			return nil
		}
		if !seen.Verdict.Valid() || (seen.Component != "" && seen.Component != o.Component) {
			o.note(e, NoteSignal, seen.Observer, fmt.Sprintf("said %q of %q, which was ignored", seen.Verdict, seen.Component))
			return nil
		}
		o.observed(e, seen)
		return nil
	case ltp.FailingSignal:
		var w ltp.FailedWrites
		if err := Decode(a.GetInput(), &w); err != nil {
			o.note(e, NoteSignal, a.GetIdentity(), fmt.Sprintf("sent a report of failed writes that cannot be read: %v", err))
			return nil
		}
		o.failing(e, a.GetIdentity(), w)
		return nil
	case ltp.DrainedSignal, ltp.BacklogSignal:
		return nil // the frame that follows is of it
	}
	o.note(e, NoteSignal, a.GetIdentity(), fmt.Sprintf("sent the signal %q, which nobody listens for", a.GetSignalName()))
	return nil
}

// settled checks that an operator's Update was followed by what it led to.
func (o *orientationReader) settled() error {
	if o.due != "" {
		return fmt.Errorf("the %s that an operator's Update led to is missing", o.due)
	}
	return nil
}

// ends reads how a run closes.
func (o *orientationReader) ends(e *historypb.HistoryEvent) (known bool, err error) {
	if !closes(e.GetEventType()) {
		return false, nil
	}
	o.closed = true
	switch e.GetEventType() {
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_CONTINUED_AS_NEW:
		o.continued = e.GetWorkflowExecutionContinuedAsNewEventAttributes().GetNewExecutionRunId()
		if o.continued == "" {
			return true, errors.New("it does not say which run continues this one")
		}
		return true, nil
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_TERMINATED:
		a := e.GetWorkflowExecutionTerminatedEventAttributes()
		o.note(e, NoteOperator, a.GetIdentity(), because("ended the orientation workflow by force", a.GetReason()))
	case enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_FAILED:
		o.note(e, NoteOperator, "", because("the orientation workflow failed", e.GetWorkflowExecutionFailedEventAttributes().GetFailure().GetMessage()))
	default:
		o.note(e, NoteOperator, "", "the orientation workflow ended")
	}
	o.EndedAt = at(e)
	return true, nil
}

func (o *orientationReader) note(e *historypb.HistoryEvent, kind NoteKind, by, text string) {
	o.add(Note{At: at(e), Kind: kind, By: by, Text: text, Source: o.source(e)})
}

func (o *orientationReader) add(n Note) {
	if !o.copied(n.Source.EventID) {
		o.Notes = append(o.Notes, n)
	}
}
