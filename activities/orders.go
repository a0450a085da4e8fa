// Package activities carries out what workflows decide: it looks at the board,
// writes orders into the order database, observes components and releases
// deferred orders.
package activities

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
)

// The types of errors that Execute returns, by their Temporal names.
const (
	// Rejected: the order database refused the order; no state makes it right.
	Rejected = "Rejected"
	// Unavailable: nothing was written, and trying later may succeed.
	Unavailable = "Unavailable"
	// OutcomeUnknown: the order may or may not be written; only the same order ID
	// tried again will tell.
	OutcomeUnknown = "OutcomeUnknown"
)

// OrderWriter is what Execute needs of the order database: see orderdb.DB.
type OrderWriter interface {
	Put(ctx context.Context, o ltp.Order, admit func() error) (repeated bool, err error)
}

// Orders are the activities of an order. They are safe for concurrent use.
type Orders struct {
	Board *board.Board
	DB    OrderWriter
	// Meter is told of every routing and every write; nil tells nobody.
	Meter Meter
	// Backstop is what deferred orders wait by; zero is ltp.DefaultBackstop.
	Backstop ltp.Backstop
}

// Meter measures. Its methods must return at once.
type Meter interface {
	// Routed is called for every routing that asked the board.
	Routed(r ltp.Routing, took time.Duration)
	// Wrote is called after every Execute; begun is zero when the fence or the wait
	// for a connection ended it before the write began.
	Wrote(fence ltp.Fence, begun time.Time, took time.Duration, err error)
}

// RouteInput is one route request.
type RouteInput struct {
	OrderID    string      `json:"order_id"`
	Components []string    `json:"components"`
	Request    ltp.Request `json:"request"`
	Attempt    int         `json:"attempt"`
	Replays    string      `json:"replays,omitempty"`
	Woken      ltp.Wake    `json:"woken,omitempty"`
}

// CheckOrientation routes an order by the board. It runs as a local activity: no
// network, and one event in history, which holds both frames of the routing. It
// never fails; what cannot be known is deferred.
func (a *Orders) CheckOrientation(_ context.Context, in RouteInput) (ltp.Routing, error) {
	begun := time.Now()
	reading, decision, reason := a.Board.Route(in.Components, in.Request)
	r := ltp.Routing{
		Attempt: in.Attempt, Replays: in.Replays, Woken: in.Woken,
		Decision: decision, Reason: reason,
		Component: reading.Component, State: reading.State, Epoch: reading.Epoch,
		ReadAt: reading.ReadAt.UTC().Truncate(time.Millisecond), Blind: reading.Blind, InLine: in.Request.InLine,
	}
	if a.Backstop != ltp.DefaultBackstop() {
		r.Backstop = a.Backstop
	}
	if a.Meter != nil {
		a.Meter.Routed(r, time.Since(begun))
	}
	return r, nil
}

// ExecuteInput is an order and the request under which it was admitted.
type ExecuteInput struct {
	Order   ltp.Order   `json:"order"`
	Request ltp.Request `json:"request"`
}

// Attempt is what is known of an Execute that failed: the detail of its error.
type Attempt struct {
	// BegunAt is when the write began, and zero if it never did.
	BegunAt time.Time `json:"begun_at,omitzero"`
	EndedAt time.Time `json:"ended_at"`
	Fence   ltp.Fence `json:"fence,omitzero"`
}

// errFenced says that the state was no longer fit when the write was about to begin.
type errFenced struct {
	reading  board.Reading
	decision ltp.Decision
}

func (e *errFenced) Error() string {
	return fmt.Sprintf("not begun: %s is %s (epoch %d), which asks to %s", e.reading.Component, e.reading.State, e.reading.Epoch, e.decision)
}

// answerBefore is how long before Temporal gives an Execute up it ends by itself. What
// Temporal gives up has no answer: nobody would know that a write never began.
const answerBefore = 2 * time.Second

var errOutOfTime = errors.New("the time for one attempt is up")

// errBecameUnfit says that the news came while the write waited for a connection.
var errBecameUnfit = errors.New("the component became unfit before the write began")

// Execute writes the order into the order database, once. The fence asks the
// decision table again immediately before the write begins, so an order that was
// admitted a moment before an outage does not write into it; while it still waits
// for a connection, news that the component is unfit ends the wait.
//
// Its errors are application errors of type Rejected, Unavailable or
// OutcomeUnknown, with an Attempt as detail. The workflow decides what follows:
// Temporal must not retry it by itself.
func (a *Orders) Execute(ctx context.Context, in ExecuteInput) (ltp.Receipt, error) {
	entered := time.Now()
	components := in.Order.Components()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	if end, ok := ctx.Deadline(); ok {
		var release context.CancelFunc
		ctx, release = context.WithDeadlineCause(ctx, end.Add(-answerBefore), errOutOfTime)
		defer release()
	}

	// The write may begin while the news arrives: whichever comes first has the
	// door, and a write that has begun is not cut off.
	var door atomic.Bool
	stop := a.Board.OnUnfit(components, func() {
		if door.CompareAndSwap(false, true) {
			cancel(errBecameUnfit)
		}
	})
	defer stop()

	var begun time.Time
	var fence ltp.Fence
	repeated, err := a.DB.Put(ctx, in.Order, func() error {
		reading, decision, err := a.Board.Fence(ctx, components, in.Request)
		if err != nil {
			return err
		}
		fence = ltp.Fence{Component: reading.Component, State: reading.State, Epoch: reading.Epoch, ReadAt: stamp(reading.ReadAt)}
		if !decision.Admissible() {
			return &errFenced{reading, decision}
		}
		if !door.CompareAndSwap(false, true) {
			return errBecameUnfit // not ctx's cause, which may be a moment late
		}
		begun = time.Now()
		return nil
	})
	ended := time.Now()
	if a.Meter != nil {
		a.Meter.Wrote(fence, begun, ended.Sub(entered), err)
	}
	if err != nil {
		return ltp.Receipt{}, applicationError(ctx, err, Attempt{BegunAt: stamp(begun), EndedAt: stamp(ended), Fence: fence})
	}
	return ltp.Receipt{Repeated: repeated, BegunAt: stamp(begun), CommittedAt: stamp(ended), Fence: fence}, nil
}

// stamp is t as histories keep it: milliseconds, UTC.
func stamp(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC().Truncate(time.Millisecond)
}

func applicationError(ctx context.Context, err error, attempt Attempt) error {
	kind, message := OutcomeUnknown, err.Error()
	var db *orderdb.Error
	switch {
	case attempt.BegunAt.IsZero():
		kind = Unavailable // whatever it says: the door was not passed
		if cause := context.Cause(ctx); cause != nil && !errors.As(err, new(*errFenced)) {
			message = cause.Error()
		}
	case errors.As(err, &db) && db.Class == orderdb.Rejected:
		kind = Rejected
	case errors.As(err, &db) && db.Class == orderdb.Unavailable:
		kind = Unavailable
	}
	return failure(kind, message, attempt)
}
