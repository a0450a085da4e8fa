package activities

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/sequence"
)

// Line are the activities of orders with an ordering key and of their sequence. All run as
// local activities, and all may be repeated.
type Sequences struct{ Client sequence.Temporal }

// PlaceInput is an order in the sequence of its key.
type PlaceInput struct {
	Key     string `json:"key"`
	OrderID string `json:"order_id"`
	// Sequence is the one that the order put itself into, as far as it did.
	Sequence string `json:"sequence,omitempty"`
}

// Join makes sure that an order that waits for its turn stands in line: whoever accepted
// it may have died before it could be put there. It returns the name of the sequence in
// which the order has put itself, or "" when it has not.
//
// Of a long sequence only some orders do so at a time, since all may wake at once: those
// that are missing have a long wait before them in any case.
func (s *Sequences) Join(ctx context.Context, in PlaceInput) (string, error) {
	now, err := sequence.Look(ctx, s.Client, in.Key)
	switch {
	case err != nil:
		return in.Sequence, err
	case now.Running && now.Begun == in.Sequence:
		return in.Sequence, nil
	case now.Running && rand.IntN(now.Waiting+1) > ltp.SequenceStep, now.Full():
		return in.Sequence, nil
	}
	if err := sequence.Join(ctx, s.Client, in.Key, in.OrderID); err != nil {
		return in.Sequence, err
	}
	now, err = sequence.Look(ctx, s.Client, in.Key)
	return now.Begun, err
}

// Leave tells the sequence that an order which had its turn ends now.
func (s *Sequences) Leave(ctx context.Context, in PlaceInput) error {
	return sequence.Leave(ctx, s.Client, in.Key, in.OrderID)
}

// LeadInput is the head of a sequence.
type LeadInput struct {
	OrderID string `json:"order_id"`
	// Turn is given to it, unless it is nil.
	Turn *ltp.Turn `json:"turn,omitempty"`
	// Watch is for how long its end is waited for.
	Watch time.Duration `json:"watch,omitempty"`
}

// Lead gives the head of a sequence its turn and says whether it has ended.
func (s *Sequences) Lead(ctx context.Context, in LeadInput) (sequence.End, error) {
	return sequence.Lead(ctx, s.Client, in.OrderID, in.Turn, in.Watch)
}
