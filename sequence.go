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

// SequenceInput begins the sequence of an ordering key: the argument of the Sequence
// workflow, and what continue-as-new carries on.
type SequenceInput struct {
	Key string `json:"key"`
	// Orders stand in line, the head first.
	Orders []string `json:"orders,omitempty"`
	// HeadHasTurn is set when the head has been given its turn, and MemoWaiting is how
	// many orders the memo says that there are.
	HeadHasTurn bool `json:"head_has_turn,omitempty"`
	MemoWaiting int  `json:"memo_waiting,omitempty"`
}

// LeadInput asks about the head of a sequence.
type LeadInput struct {
	OrderID string `json:"order_id"`
	// Turn is given to the order, unless it is nil.
	Turn *Turn `json:"turn,omitempty"`
	// Watch is for how long the end of the order is awaited, in nanoseconds.
	Watch time.Duration `json:"watch,omitempty"`
}

// SequenceEnd is whether the head of a sequence has ended, and how: the answer to a
// LeadInput.
type SequenceEnd struct {
	Ended bool `json:"ended,omitempty"`
	// Forced is when the order was ended by force in Temporal: a write of it may have
	// been under way.
	Forced time.Time `json:"forced,omitzero"`
}
