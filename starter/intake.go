package starter

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/sequence"
)

// intakeFresh is for how long the door uses what it has read of a component itself.
const intakeFresh = time.Second

// intake is what the door has read for an order, before it starts the order's workflow.
type intake struct {
	gate  []board.Reading
	stamp ltp.Stamp
}

// admit reads the components of the order's gate. It refuses orders that name one which
// nobody has configured, or depend on one which an operator has frozen, orders of an
// ordering key that has too many, and all orders before the order node was first started.
func (s *Starter) admit(ctx context.Context, o ltp.Order) (in intake, err error) {
	for _, c := range o.Gate(s.execution) {
		r, err := s.reading(ctx, c)
		switch {
		case errors.Is(err, board.ErrNoComponent):
			return in, s.unknownComponentError(ctx, o, c)
		case err != nil:
			return in, unreachable("accept orders", err)
		case r.Hold != nil && r.Hold.Freeze:
			return in, fmt.Errorf("%w: %s", ErrFrozen, r.Reason)
		}
		in.gate = append(in.gate, r)
		if c == s.execution.Written() {
			in.stamp = ltp.Stamp{Epoch: r.Epoch, State: r.State}
		}
	}
	if o.OrderingKey == "" {
		return in, nil
	}
	seen, err := sequence.Look(ctx, s.client, o.OrderingKey)
	if err != nil {
		return in, unreachable("accept order "+o.ID, err)
	}
	if seen.Full() {
		return in, fmt.Errorf("%w: %s", ErrFull, o.OrderingKey)
	}
	return in, nil
}

// unknownComponentError is the error of a component without an Orientation. Who sent the order
// is at fault where they named it, and the node has been started: what it writes to is known.
func (s *Starter) unknownComponentError(ctx context.Context, o ltp.Order, component string) error {
	own := ltp.DefaultComponent
	if slices.Contains(o.DependsOn, component) && component != own {
		_, err := s.reading(ctx, own)
		switch {
		case err == nil, s.execution.External():
			return fmt.Errorf("%w: %s", ErrComponent, component)
		case !errors.Is(err, board.ErrNoComponent):
			return unreachable("accept orders", err)
		}
		component = own
	}
	return fmt.Errorf("%w: nobody has watched %s so far: start ltp worker and ltp observe, or ltp dev", ErrNotStarted, component)
}

// reading is what is held true of a component: by the board of this process, where it has
// one that can be trusted, and else by a reading that is not older than intakeFresh.
func (s *Starter) reading(ctx context.Context, component string) (board.Reading, error) {
	if s.board != nil {
		if r := s.board.Orientation(component); !r.Unreadable {
			return r, nil
		}
	}
	s.mu.Lock()
	r, ok := s.readings[component]
	s.mu.Unlock()
	if ok && time.Since(r.ReadAt) <= intakeFresh {
		return r, nil
	}
	r, err := board.Read(ctx, s.client, component)
	if err != nil {
		return board.Reading{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.readings[component] = r
	return r, nil
}

// mark is what the door writes into the search attributes of the order, and nil where the
// order may act. An unreadable one is no ground to say that an order waits, and one
// whose deadline has passed does not.
func (in intake) mark(o ltp.Order) *ltp.Mark {
	if !o.Deadline.IsZero() && !time.Now().Before(o.Deadline) {
		return nil
	}
	now := make([]ltp.Orientation, len(in.gate))
	for i, r := range in.gate {
		now[i] = r.Orientation
	}
	m := ltp.DoorMark(o, now)
	if m == nil {
		return nil
	}
	for _, r := range in.gate {
		if r.Component == m.Component && r.Unreadable {
			return nil
		}
	}
	return m
}
