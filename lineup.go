package ltp

import "time"

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
