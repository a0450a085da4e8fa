package starter

import (
	"context"
	"errors"
	"fmt"
	"strings"

	enumspb "go.temporal.io/api/enums/v1"
	historypb "go.temporal.io/api/history/v1"
	workflowpb "go.temporal.io/api/workflow/v1"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/internal/longpoll"
	"github.com/ltp-node/ltp/trace"
)

// ErrNotHeld: something else than an operator's hold keeps the order from acting, or
// something besides it. A pass would change nothing.
var ErrNotHeld = errors.New("the order does not wait for the end of a hold")

// LetThrough lets one order through an operator's hold, as a canary, while all others wait.
// It returns when Temporal has the pass: it needs no worker. The pass is good for one
// attempt, in the epoch that the component is in now, and only while observers see the
// component fit. Once given, the order can be cancelled only when the order database says
// that it was not written, which takes the end of the hold.
//
// It returns ErrEnded for an order that has ended, and ErrNotHeld, with what keeps the
// order, for one that a pass does not help.
func (s *Starter) LetThrough(ctx context.Context, orderID, by, why string) (Passing, error) {
	d, err := s.describe(ctx, orderID)
	if err != nil {
		return Passing{}, err
	}
	info := d.GetWorkflowExecutionInfo()
	st, err := statusOfListing(info)
	if err != nil {
		return Passing{}, err
	}
	if err := notPassable(st, d.GetWorkflowExtendedInfo().GetCancelRequested()); err != nil {
		return Passing{}, err
	}
	gate, err := s.gateOf(ctx, info)
	if err != nil {
		return Passing{}, lookup(orderID, err)
	}
	pass, err := s.heldBy(ctx, st, gate)
	if err != nil {
		return Passing{}, err
	}
	pass.By, pass.Why = by, why
	if err := pass.Validate(); err != nil {
		return Passing{}, &ltp.InvalidError{Field: "pass", Hint: err.Error()}
	}
	err = s.client.SignalWorkflow(ctx, ltp.OrderWorkflowID(orderID), "", ltp.PassSignal, pass)
	return Passing{pass, orderID, info.GetExecution().GetRunId(), info.GetHistoryLength()}, s.requestError(ctx, "let through", orderID, err)
}

// Passing is a pass that was given: see [Starter.AwaitPass].
type Passing struct {
	ltp.Pass
	orderID, runID string
	after          int64 // the events that stood before it
}

// notPassable says why an order is none to let through a hold, by where it is.
func notPassable(st Status, cancelled bool) error {
	switch {
	case st.State == ltp.Executed:
		return fmt.Errorf("%w: %s is EXECUTED already", ErrEnded, st.OrderID)
	case st.State.Final():
		return fmt.Errorf("%w: %s is %s", ErrEnded, st.OrderID, st.State)
	case cancelled, st.Reason == ltp.ReasonAwaitsProof:
		return fmt.Errorf("%w: %s is to end without being executed", ErrNotHeld, st.OrderID)
	case st.State == ltp.Parked:
		return fmt.Errorf("%w: %s is PARKED, as it keeps failing by its own fault: use ltp orders retry", ErrNotHeld, st.OrderID)
	case st.Reason == ltp.ReasonAwaitsTurn:
		return fmt.Errorf("%w: %s waits behind earlier orders of its ordering key", ErrNotHeld, st.OrderID)
	case st.State != ltp.Deferred:
		return fmt.Errorf("%w: %s is %s, and no routing has deferred it: look again in a moment", ErrNotHeld, st.OrderID, st.State)
	}
	return nil
}

// gate is what must be fit before an order is executed, and whether it has yet to get its
// turn.
type gate struct {
	components []string
	inLine     bool
}

func (s *Starter) gateOf(ctx context.Context, info *workflowpb.WorkflowExecutionInfo) (g gate, err error) {
	for e, err := range s.history(ctx, info.GetExecution(), enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT) {
		if err != nil {
			return gate{}, err
		}
		if a := e.GetWorkflowExecutionStartedEventAttributes(); a != nil {
			var p ltp.Progress
			if err := trace.Decode(a.GetInput(), &p); err != nil {
				return gate{}, err
			}
			g = gate{p.Order.Gate(p.Execution), p.Order.OrderingKey != "" && !p.HasTurn}
		}
		if e.GetWorkflowExecutionSignaledEventAttributes().GetSignalName() == ltp.TurnSignal {
			g.inLine = false
		}
	}
	return g, nil
}

// heldBy is the pass that the order needs: one component that an operator holds and that
// is observed fit, and no other that is unfit.
func (s *Starter) heldBy(ctx context.Context, st Status, g gate) (pass ltp.Pass, err error) {
	refuse := func(format string, args ...any) (ltp.Pass, error) {
		return ltp.Pass{}, fmt.Errorf("%w: %s %s", ErrNotHeld, st.OrderID, fmt.Sprintf(format, args...))
	}
	for _, c := range g.components {
		r, err := board.Read(ctx, s.client, c)
		switch {
		case errors.Is(err, board.ErrNoComponent):
			return refuse("depends on %s, which nobody has watched so far", c)
		case err != nil:
			return ltp.Pass{}, unreachable("let order "+st.OrderID+" through", err)
		case r.State.Fit():
		case r.Unreadable:
			return refuse("depends on %s, which cannot be seen: %s", c, r.Reason)
		case r.Hold == nil:
			return refuse("waits for %s, which is %s, and no hold: %s", c, r.State, r.Reason)
		case r.Observed == "":
			return refuse("waits for %s, which is held (%s), and nobody sees whether it is fit: start ltp observe", c, r.Hold)
		case !r.Passable():
			return refuse("waits for %s, which is held (%s), and which observers see as %s", c, r.Hold, r.Observed)
		case pass.Component != "":
			return refuse("waits for the end of two holds, on %s and on %s: a pass is for one", pass.Component, c)
		default:
			pass.Component, pass.Epoch = c, r.Epoch
		}
	}
	switch {
	case pass.Component == "":
		return refuse("waits for its release, and nothing holds %s: see ltp replay status", strings.Join(g.components, " and "))
	case g.inLine:
		return refuse("waits behind earlier orders of its ordering key")
	}
	return pass, nil
}

// AwaitPass waits until the order that was let through has ended, or waits again, and says
// where it is. When ctx ends first, it returns what is known by then, without an error.
func (s *Starter) AwaitPass(ctx context.Context, p Passing) (Status, error) {
	polling, stop := longpoll.Patient(ctx)
	defer stop()
	st := Status{OrderID: p.orderID, State: ltp.Deferred, Message: ltp.MessagePending}
	given := false
	events := s.client.GetWorkflowHistory(polling, ltp.OrderWorkflowID(p.orderID), p.runID, true, enumspb.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		e, err := events.Next()
		if err != nil {
			break
		}
		if given = given || p.isGiven(e); !given {
			continue
		}
		if done, err := st.read(e); done || err != nil {
			break
		}
	}
	return s.Get(context.WithoutCancel(ctx), p.orderID)
}

// isGiven reports whether an event is the signal of the pass.
func (p Passing) isGiven(e *historypb.HistoryEvent) bool {
	a := e.GetWorkflowExecutionSignaledEventAttributes()
	var said ltp.Pass
	return e.GetEventId() > p.after && a.GetSignalName() == ltp.PassSignal && trace.Decode(a.GetInput(), &said) == nil && said == p.Pass
}
