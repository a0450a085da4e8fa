package activities

import (
	"context"
	"math/rand/v2"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/sequence"
)

// Sequences are the activities of orders with an ordering key and of their sequence. All
// run as local activities, and all may be repeated.
type Sequences struct{ Client sequence.Temporal }

// Join makes sure that an order that waits for its turn stands in line: whoever accepted
// it may have died before it could be put there. It returns the name of the sequence in
// which the order has put itself, or "" when it has not.
//
// Of a long sequence only some orders do so at a time, since all may wake at once: those
// that are missing have a long wait before them in any case.
func (s *Sequences) Join(ctx context.Context, in ltp.JoinInput) (string, error) {
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

// ReleaseTurn signals the sequence that an order which had its turn ends now.
func (s *Sequences) ReleaseTurn(ctx context.Context, in ltp.JoinInput) error {
	return sequence.ReleaseTurn(ctx, s.Client, in.Key, in.OrderID)
}

// Lead gives the head of a sequence its turn and says whether it has ended.
func (s *Sequences) Lead(ctx context.Context, in ltp.LeadInput) (ltp.SequenceEnd, error) {
	return sequence.GiveTurn(ctx, s.Client, in.OrderID, in.Turn, in.Watch)
}
