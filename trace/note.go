package trace

import (
	"time"

	"github.com/ltp-node/ltp"
)

// Note is something of a history that is no frame and yet part of the story: who
// observed, what an operator did, what the replay engine did.
type Note struct {
	At   time.Time `json:"at"`
	Kind NoteKind  `json:"kind"`
	// By is who did it, where the history says.
	By string `json:"by,omitempty"`
	// Text is a clause for people, without By.
	Text   string     `json:"text"`
	Source ltp.Source `json:"source"`
}

// NoteKind is what a note is about: stable words for programs.
type NoteKind string

// The kinds of notes.
const (
	NoteObserver      NoteKind = "OBSERVER" // who observes, and what was seen without the state changing at once
	NoteLost          NoteKind = "LOST"     // an observer is gone
	NoteHold          NoteKind = "HOLD"     // an operator holds a component
	NoteRelease       NoteKind = "RELEASE"  // an operator lets go
	NoteReplayControl NoteKind = "STEER"    // an operator pauses, resumes or limits the replay
	NotePolicy        NoteKind = "POLICY"   // an operator changes the policy of a component
	NoteFailing       NoteKind = "FAILING"  // a worker reports writes of orders that failed
	NoteReplay        NoteKind = "REPLAY"   // the replay engine begins or ends
	NoteCancel        NoteKind = "CANCEL"   // a customer asks an order to end
	NoteSignal        NoteKind = "SIGNAL"   // a signal that an order had no use for
	NoteRouting       NoteKind = "ROUTING"  // a routing that gave no answer
	NoteTurn          NoteKind = "TURN"     // an order and the sequence of its ordering key
	NoteTask          NoteKind = "TASK"     // a workflow task was lost: see LostTask
	NoteRetry         NoteKind = "RETRY"    // an operator asks to retry an order, which may be parked
	NotePass          NoteKind = "PASS"     // an operator lets an order through a hold
	NoteReject        NoteKind = "REJECT"   // an operator asks to reject an order, which may be parked
	NoteOperator      NoteKind = "OPERATOR" // something was done to the workflow in Temporal itself
)
