package ltp

import "time"

// A sequence are the orders that carry the same ordering key. They stand in line in the
// order in which they were acknowledged, and only the head has its turn. The Sequence
// workflow keeps them.

// The signals of sequences, by their Temporal names.
const (
	JoinSignal = "join" // to a Sequence: the ID of an order that goes to the end
	DoneSignal = "done" // to a Sequence: the ID of an order that had its turn and ends now
	TurnSignal = "turn" // to an Order: a Turn
)

// SequenceMemo is the memo field of a Sequence workflow: the Sequence, now and then.
const SequenceMemo = "sequence"

// Bounds of a sequence.
const (
	// MaxSequence is how many orders may stand in one sequence: with IDs of the greatest
	// length, what Temporal keeps of a workflow at once.
	MaxSequence = 14_500
	// MaxUnread is how many joins may be waiting for a worker to read them. Temporal
	// takes 10,000 signals for one run of a workflow.
	MaxUnread = 9_000
	// SequenceStep is by how many orders a sequence changes before its memo says so.
	SequenceStep = 500
)

// Turn is the signal that an order's turn has come: every order of its key that was
// acknowledged earlier has ended.
type Turn struct {
	// Watched is until when the sequence looks by itself whether the order has ended. An
	// order that ends later says so.
	Watched time.Time `json:"watched,omitzero"`
}

// Sequence is how many orders stand in line, to within SequenceStep.
type Sequence struct {
	Waiting int `json:"waiting"`
}

// Full reports whether no further order may join. unread is at least how many joins have
// not been read: the length of the history.
func (s Sequence) Full(unread int64) bool {
	return unread >= MaxUnread || int64(s.Waiting)+unread >= MaxSequence
}
