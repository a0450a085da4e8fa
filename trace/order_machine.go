package trace

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"

	"github.com/ltp-node/ltp"
)

// orderReader folds the machine of an order over its events: each event becomes what the
// workflow had the machine take in, and what the machine commands must stand in history.
type orderReader struct {
	run
	OrderTrace
	p ltp.Progress
	// now is the time as the workflow had it, and task the workflow task that is being
	// answered.
	now  time.Time
	task task
	// inbox is what came and has not been taken in, and returned what an activity of the
	// user's ended with.
	inbox    ltp.Inbox
	alarm    alarm
	running  *job
	returned bool
	// wanted is what the machine commanded and history has yet to show, in turn; answer
	// says that it answers an Update, which stands anywhere in the same task.
	wanted []want
	answer bool
	// answering is set after the event did, which completed a task, until the commands of
	// that task have been read. beating is set where the worker only asked for more time.
	answering, beating bool
	did                int64
	didAt              time.Time
	taken              int64      // the event of this run whose Update was taken in last
	deferred           ltp.Reason // why the order was last deferred
	continued          string     // the run that must come next, if any
}

// beat is how soon a task follows, by which a worker asks for more time.
const beat = time.Second

// task is a workflow task, by the event that started it.
type task struct {
	id     int64
	at     time.Time
	worker string
}

// alarm is the timer of an order. One that is wanted has not been started yet, and may
// replace another, which is cancelled.
type alarm struct {
	id            string
	at            time.Time
	wanted, fired bool
	replaces      string
}

func (a *alarm) set(at time.Time) {
	switch {
	case a.at.Equal(at): // it serves
	case at.IsZero() && (a.wanted || a.fired):
		*a = alarm{replaces: a.replaces}
	case at.IsZero():
		*a = alarm{replaces: a.id}
	case a.at.IsZero() || a.fired:
		*a = alarm{at: at, wanted: true}
	case a.wanted:
		a.at = at
	default:
		*a = alarm{at: at, wanted: true, replaces: a.id}
	}
}

func (a *alarm) start(id string) error {
	if !a.wanted {
		return errors.New("a timer is started, and the order has one, or needs none")
	}
	a.id, a.wanted = id, false
	return nil
}

// want is something that the machine commanded.
type want struct {
	kind    string
	command ltp.Command
	outcome ltp.Outcome
	asked   time.Time // the workflow's time
	taskAt  time.Time
}

// The kinds of what is wanted, beside the names of local activities.
const (
	upsert  = "an upsert of search attributes"
	parking = "an upsert of the memo"
	handing = "the activity that executes the order"
	closing = "the end of the order"
)

// local reports whether a local activity is wanted, for which a worker may need more than
// one task.
func (w want) local() bool {
	switch w.kind {
	case checkOrientation, execute, withdraw, join, releaseTurn, announce:
		return true
	}
	return false
}

// take is what was wanted next, which must be of that kind.
func (o *orderReader) take(kind string) (want, error) {
	switch {
	case len(o.wanted) == 0:
		return want{}, fmt.Errorf("nothing asks for %s", kind)
	case o.wanted[0].kind != kind:
		return want{}, fmt.Errorf("it is %s, and %s was due by event %d", kind, o.wanted[0].kind, o.did)
	}
	w := o.wanted[0]
	o.wanted = o.wanted[1:]
	return w, nil
}

// worked follows the completion of a workflow task, the ith event.
func (o *orderReader) worked(i int) error {
	o.advance(o.task.at)
	if o.returned {
		o.returned = false
		x := o.handed(o.now)
		if err := o.next(i, ltp.Event{Executed: &x}); err != nil {
			return err
		}
	}
	return o.gather(i)
}

// advance moves the workflow's time on, which never goes back.
func (o *orderReader) advance(to time.Time) {
	if to.After(o.now) {
		o.now = to
	}
}

// next has the machine take in an event, and all that has come by then.
func (o *orderReader) next(i int, e ltp.Event) error {
	var commands []ltp.Command
	o.p, commands = o.p.Next(e, ltp.Moment{At: o.now, Task: o.task.id})
	for _, c := range commands {
		o.want(c)
	}
	return o.gather(i)
}

// gather takes in what has come, while the order waits.
func (o *orderReader) gather(i int) error {
	if !o.p.Waits() {
		return nil
	}
	in := o.inbox
	in.Alarm = o.alarm.fired
	if i+1 < len(o.events) {
		if e := o.events[i+1]; e.GetEventType() == enumspb.EVENT_TYPE_WORKFLOW_EXECUTION_UPDATE_ACCEPTED && e.GetEventId() != o.taken {
			s, err := o.release(e)
			if err != nil {
				return err
			}
			in.Release, o.taken = s, e.GetEventId()
		}
	}
	if in.Empty() && o.p.Phase != ltp.PhaseNew {
		return nil
	}
	o.inbox = ltp.Inbox{}
	if in.Alarm {
		o.alarm = alarm{}
	}
	return o.next(i, ltp.Event{Inbox: in})
}

// want keeps what a command must lead to.
func (o *orderReader) want(c ltp.Command) {
	w := want{command: c, asked: o.now, taskAt: o.task.at}
	switch {
	case c.Answer != nil:
		o.answer = true
		return
	case c.Wait != nil:
		o.alarm.set(c.Wait.At)
		return
	case c.Mark != nil:
		w.kind = upsert
	case c.Park != nil:
		o.Parked = append(o.Parked, *c.Park)
		w.kind = parking
	case c.Route != nil:
		w.kind = checkOrientation
	case c.Execute != nil:
		w.kind = execute
	case c.Withdraw != nil:
		w.kind = withdraw
	case c.Join != nil:
		w.kind = join
	case c.ExecuteExternal != nil:
		w.kind = handing
	case c.Announce != nil:
		w.kind = announce
	case c.End != nil:
		if c.End.ReleaseTurn {
			o.wanted = append(o.wanted, want{kind: releaseTurn})
		}
		if a := c.End.Announce; a != nil {
			o.wanted = append(o.wanted, want{kind: announce, command: ltp.Command{Announce: a}})
		}
		if s := c.End.Outcome.State; s == ltp.Rejected || s == ltp.Expired {
			o.wanted = append(o.wanted, want{kind: upsert})
		}
		w.kind, w.outcome = closing, c.End.Outcome
	}
	o.wanted = append(o.wanted, w)
}

// answered checks that the answer to a workflow task holds all that was commanded.
func (o *orderReader) answered() error {
	due := ""
	switch {
	case len(o.wanted) > 0 && o.wanted[0].local():
		o.beating = true
		return nil
	case len(o.wanted) > 0:
		due = o.wanted[0].kind
	case o.answer:
		due = "the answer to the Update"
	case o.alarm.wanted:
		due = "the timer"
	case o.alarm.replaces != "":
		due = "the end of the timer before"
	default:
		return nil
	}
	return fmt.Errorf("%s is missing: it was due by event %d", due, o.did)
}

// settle checks, at the end of what is known of a run, that it does not end in the middle
// of an answer.
func (o *orderReader) settle() error {
	if o.Outcome == nil && o.answering {
		o.answering = false
		if err := o.answered(); err != nil {
			return err
		}
	}
	if o.beating && o.Outcome == nil {
		return fmt.Errorf("%s is missing: it was due by event %d", o.wanted[0].kind, o.did)
	}
	return nil
}

// marker reads a local activity, which answers what the machine asked for.
func (o *orderReader) marker(i int, e *historypb.HistoryEvent) error {
	a, ok, err := readLocalActivity(e)
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("marker %q is none that an order records", e.GetMarkerRecordedEventAttributes().GetMarkerName())
	}
	w, err := o.take(a.ActivityType)
	if err != nil {
		return fmt.Errorf("local activity %s: %w", a.ActivityType, err)
	}
	o.advance(a.ReplayTime)
	var next ltp.Event
	switch a.ActivityType {
	case checkOrientation:
		r, err := o.routed(e, a, w)
		if err != nil {
			return fmt.Errorf("routing: %w", err)
		}
		next.Routed = &r
	case execute:
		x, err := o.executed(e, a, w)
		if err != nil {
			return fmt.Errorf("attempt: %w", err)
		}
		next.Executed = &x
	case withdraw:
		x, err := o.withdrawn(e, a, w)
		if err != nil {
			return fmt.Errorf("withdrawal: %w", err)
		}
		next.Withdrawn = &x
	case join:
		sequence := w.command.Join.Sequence
		if !a.failed {
			if err := Decode(a.result, &sequence); err != nil {
				return fmt.Errorf("the sequence: %w", err)
			}
		}
		o.note(e, NoteTurn, "", "made sure that it stands in line")
		next.Joined = &sequence
	case announce:
		return announced(e, *w.command.Announce)
	default: // what comes of releaseTurn changes nothing
		return nil
	}
	return o.next(i, next)
}

// announced checks that an announcement says what it was to say. What comes of it changes
// nothing.
func announced(e *historypb.HistoryEvent, want ltp.Announcement) error {
	made, _, err := Announcement(e)
	if err != nil || made == (ltp.Announcement{}) { // it failed
		return err
	}
	if made.Missed = false; made != want {
		return fmt.Errorf("it announces %s of %s, and %s was due", made.Event, made.OrderID, want.Event)
	}
	return nil
}

// sameJSON reports whether two values are the same in history.
func sameJSON(a, b any) bool {
	x, errX := json.Marshal(a)
	y, errY := json.Marshal(b)
	return errX == nil && errY == nil && bytes.Equal(x, y)
}
