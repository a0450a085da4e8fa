// Package activities carries out what workflows decide: it asks the board, writes orders
// into the order database behind a fencing token, withdraws those that are to end without
// being written, by a tombstone, and observes components. They are the adapters between
// deterministic workflows and the world.
package activities

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/board"
	"github.com/ltp-node/ltp/orderdb"
)

// OrderWriter is what Execute and Withdraw need of the order database: see orderdb.DB.
type OrderWriter interface {
	Put(ctx context.Context, o ltp.Order, admit func() (ltp.Receipt, error)) (orderdb.Stored, error)
	Withdraw(ctx context.Context, o ltp.Order, end ltp.Ending, admit func() error) (orderdb.Stored, error)
}

// Orders are the activities of an order. All run as local activities, in the workflow
// task that asks for them. They are safe for concurrent use.
type Orders struct {
	Board *board.Board
	DB    OrderWriter
	// Meter measures routings and attempts; nil measures nothing.
	Meter Meter
	// Backstop is what deferred orders wait by; zero is ltp.DefaultBackstop.
	Backstop ltp.Backstop
	// LateAfter is how long an order waited that is late; zero is ltp.LateAfter.
	LateAfter time.Duration
	// Worker names this process in receipts; empty is host and process.
	Worker string
	// WritePath, Witness and Evidence find out whose fault a failure was, and tell the
	// component's Orientation. Each may be nil: less is known then.
	WritePath WritePath
	Witness   Witness
	Evidence  *Evidence
	// Suspect is called where the probe's order fails here, after an order that failed at
	// since, by Temporal's clock. It returns at once; nil suspects nobody.
	Suspect func(component, orderID string, since time.Time)
	// Commit is called after every order that was written here. It returns at once; nil is
	// not called.
	Commit func()

	trials, latest trials
	late           lateLimiter
}

// Meter measures. Its methods must return at once.
type Meter interface {
	// Routed is called for every routing by the board.
	Routed(r ltp.Routing, took time.Duration)
	// Attempted is called after every Execute, also one that did not begin to write.
	Attempted(a ltp.Attempt, took time.Duration)
}

// CheckOrientation routes an order by the board: no network, and one event in history,
// which holds both frames of the routing. After an attempt that failed it finds out whose
// fault that was first. It never fails; what cannot be known is deferred.
func (a *Orders) CheckOrientation(ctx context.Context, in ltp.RouteInput) (ltp.Routing, error) {
	begun := time.Now()
	var cause ltp.FailureCause
	if in.Failure != nil {
		cause = a.findCause(ctx, in)
	}
	in.Request.Backlog = a.late.backlog(in.Waited, a.LateAfter, begun)
	r := a.Board.Route(in)
	r.Cause = cause
	if r.Reason == ltp.ReasonBacklog && a.Evidence != nil {
		a.Evidence.Waited(r.Component, r.Epoch, in.Waited)
	}
	if a.Backstop != ltp.DefaultBackstop() {
		r.Backstop = a.Backstop
	}
	if a.Meter != nil {
		a.Meter.Routed(r, time.Since(begun))
	}
	return r, nil
}

// answerBefore is how long before Temporal gives an attempt up it ends by itself. What
// Temporal gives up has no answer: nobody would know that a write never began.
const answerBefore = 500 * time.Millisecond

var (
	errOutOfTime = errors.New("the time for one attempt is up")
	// errBecameUnfit: the component became unfit while the write waited for a connection.
	errBecameUnfit = errors.New("the component became unfit before the write began")
	// errNotAdmitted: the fence did not let the write begin; its routing says why.
	errNotAdmitted = errors.New("the fence does not admit the order")
)

// Execute writes the order into the order database, once. The fence asks the decision
// table immediately before the write begins, on a reading that was asked for in this very
// attempt, and lets it begin only under an epoch that the task was given: an attempt whose
// task is long lost cannot write under a later one. While the write still waits for a
// connection, news that the component is unfit ends the wait.
//
// Everything that is foreseen is a Result, and no error. Of an order that an activity of
// the user's executes, Execute is the fence alone.
func (a *Orders) Execute(ctx context.Context, in ltp.ExecuteInput) (ltp.Attempt, error) {
	entered := time.Now()
	x := &attempt{Orders: a, in: in}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ctx, release := withinTime(ctx)
	defer release()
	result := x.run(ctx, cancel)
	result.Worker, result.EndedAt = a.worker(), ltp.Stamped(time.Now())
	if a.Meter != nil {
		a.Meter.Attempted(result, time.Since(entered))
	}
	return result, nil
}

// withinTime ends ctx a moment before Temporal does.
func withinTime(ctx context.Context) (context.Context, context.CancelFunc) {
	end, ok := ctx.Deadline()
	if !ok {
		return ctx, func() {}
	}
	return context.WithDeadlineCause(ctx, end.Add(-answerBefore), errOutOfTime)
}

// attempt is one run of Execute.
type attempt struct {
	*Orders
	in      ltp.ExecuteInput
	routing *ltp.Routing // where the fence made one
	fence   ltp.Fence
	begun   time.Time
	// decided is set by whichever comes first: the write begins, or the component is
	// seen to be unfit. A write that has begun is not cut off.
	decided atomic.Bool
}

func (x *attempt) run(ctx context.Context, cancel context.CancelCauseFunc) ltp.Attempt {
	if p := x.in.Route.Request.Pass; p != nil { // the operator may have read what the board has not
		if _, err := x.Board.Fresh(ctx, p.Component); err != nil {
			return x.refused(ctx, err)
		}
	}
	// Of a component that the board knows to be unfit no connection is asked. One that it
	// cannot see is read first: other writes would wait for that reading.
	if r, fence := x.Board.RouteReleased(x.in.Route); r.Unreadable {
		if _, _, err := x.Board.Fence(ctx, x.in.Route); err != nil {
			return x.refused(ctx, err)
		}
	} else if !r.Decision.Admissible() {
		x.routing, x.fence = &r, fence
		return x.answer(ltp.ResultNotBegun, "")
	}
	if x.in.Route.Written == "" {
		if err := x.admit(ctx); err != nil {
			return x.refused(ctx, err)
		}
		return x.answer(ltp.ResultAdmitted, "")
	}
	stop := x.Board.OnUnfit(x.watchedComponents(), func() {
		if x.decided.CompareAndSwap(false, true) {
			cancel(errBecameUnfit)
		}
	})
	defer stop()
	stored, err := x.DB.Put(ctx, x.in.Order, func() (ltp.Receipt, error) {
		anew := !x.begun.IsZero() // the write is made again: nothing was written until now
		x.begun = time.Time{}
		if err := x.admit(ctx); err != nil {
			return ltp.Receipt{}, err
		}
		if !anew && !x.decided.CompareAndSwap(false, true) {
			return ltp.Receipt{}, errBecameUnfit // not ctx's cause, which may be a moment late
		}
		x.begun = time.Now()
		return x.receipt(), nil
	})
	class, _ := orderdb.ClassOf(err)
	switch {
	case err == nil && stored.Tombstone != nil:
		result := x.answer(ltp.ResultWithdrawn, "")
		result.Withdrawn = stored.Tombstone
		return result
	case err == nil:
		result := x.answer(ltp.ResultExecuted, "")
		result.Receipt = x.written(stored)
		if x.Evidence != nil {
			x.Evidence.Committed(x.in.Route.Written)
		}
		if x.Commit != nil {
			x.Commit()
		}
		return result
	case x.begun.IsZero():
		return x.refused(ctx, err)
	case class == orderdb.Rejected:
		return x.failed(ltp.ResultRefused, err)
	case class == orderdb.Unavailable:
		return x.failed(ltp.ResultUnavailable, err)
	}
	return x.failed(ltp.ResultUnknown, err)
}

// watchedComponents are the components that cancel the attempt when they become unfit. One
// that the order is let through is unfit, and left to the fence.
func (x *attempt) watchedComponents() []string {
	p := x.in.Route.Request.Pass
	if p == nil {
		return x.in.Route.Components
	}
	return slices.DeleteFunc(slices.Clone(x.in.Route.Components), func(c string) bool { return c == p.Component })
}

// failed is the answer of an attempt that began and failed, in the words of the database.
func (x *attempt) failed(r ltp.Result, err error) ltp.Attempt {
	a := x.answer(r, err.Error())
	var failure *orderdb.Error
	if errors.As(err, &failure) {
		a.Code = failure.Code
		if failure.Class == orderdb.Unavailable || failure.Class == orderdb.Unknown { // the Result says it
			a.Error = failure.Words()
		}
	}
	return a
}

// admit is the fence: it returns nil when the write may begin.
func (x *attempt) admit(ctx context.Context) error {
	r, fence, err := x.Board.Fence(ctx, x.in.Route)
	if err != nil {
		return err
	}
	x.fence = fence
	given := x.in.Route.Written == "" || slices.Contains(x.in.Given, r.Written) && (r.Written != x.in.Named || x.hadBegun(r.Written))
	if !x.in.Admitted || !given || !r.Decision.Admissible() {
		x.routing = &r
	}
	if !given || !r.Decision.Admissible() {
		return errNotAdmitted
	}
	return nil
}

// hadBegun reports whether an epoch of the written component is one that had begun when the
// workflow task did.
func (x *attempt) hadBegun(epoch int64) bool {
	now := x.Board.Orientation(x.in.Route.Written)
	return now.Epoch == epoch && !now.Since.After(x.in.TaskAt)
}

// refused is the answer of an attempt that did not begin to write.
func (x *attempt) refused(ctx context.Context, err error) ltp.Attempt {
	if x.routing == nil && !x.in.Admitted {
		// No connection, or no reading, in time: the board says what it holds.
		r, _ := x.Board.RouteReleased(x.in.Route)
		x.routing = &r
	}
	if errors.Is(err, errNotAdmitted) {
		if x.routing.Decision.Admissible() {
			return x.answer(ltp.ResultNotGiven, "")
		}
		return x.answer(ltp.ResultNotBegun, "")
	}
	message := err.Error()
	if cause := context.Cause(ctx); cause != nil {
		message = cause.Error()
	}
	return x.answer(ltp.ResultNotBegun, "not begun: "+message)
}

func (x *attempt) answer(r ltp.Result, why string) ltp.Attempt {
	return ltp.Attempt{Result: r, Routing: x.routing, Fence: x.fence, BegunAt: ltp.Stamped(x.begun), Error: why}
}

// receipt is what the order's row says of its write.
func (x *attempt) receipt() ltp.Receipt {
	n := x.in.Route.Attempt
	if x.routing == nil {
		n-- // the routing before admitted it
	}
	return ltp.Receipt{
		Attempt: ltp.RequestFrameID(x.in.Order.ID, n), Worker: x.worker(), BegunAt: ltp.Stamped(x.begun), Fence: x.fence,
	}
}

// written is the receipt of the write that happened.
func (x *attempt) written(stored orderdb.Stored) *ltp.Receipt {
	r := x.receipt()
	if stored.Repeated {
		r = stored.Receipt
		r.Repeated = true
	}
	r.CommittedAt = ltp.Stamped(time.Now())
	return &r
}

// Withdraw ends an order that is not to be executed. It ends at once where a reading that
// was asked for in this very task shows that no write of it can have begun. Otherwise the
// order database decides, while it is fit: a tombstone under the order's key means that
// the order will never be written, and where the order stands there it was executed.
//
// It never fails; where nobody can tell yet, it finds nothing.
func (a *Orders) Withdraw(ctx context.Context, in ltp.WithdrawInput) (ltp.Withdrawal, error) {
	ctx, release := withinTime(ctx)
	defer release()
	w := a.withdraw(ctx, in)
	w.Worker, w.EndedAt = a.worker(), ltp.Stamped(time.Now())
	return w, nil
}

func (a *Orders) withdraw(ctx context.Context, in ltp.WithdrawInput) ltp.Withdrawal {
	now, err := a.Board.Fresh(ctx, in.Written)
	w := ltp.Withdrawal{Found: ltp.FoundNothing, Fence: now.Fence(), Unreadable: now.Unreadable}
	switch {
	case err != nil:
		w.Unreadable, w.Error = true, err.Error()
		return w
	case now.Unreadable:
		w.Error = now.Reason
		return w
	case !in.Passed && w.Fence.Unwritten(in.Stamp):
		w.Found = ltp.FoundUnwritten
		return w
	case !now.State.Fit():
		return w
	}
	stored, err := a.DB.Withdraw(ctx, in.Order, in.End, func() error {
		now, err := a.Board.Fresh(ctx, in.Written)
		if err == nil && !now.State.Fit() {
			err = errBecameUnfit
		}
		if err == nil {
			w.Fence = now.Fence()
		}
		return err
	})
	switch {
	case errors.Is(err, orderdb.ErrConflict): // another order holds the key: this one was never written
		w.Found, w.Error = ltp.FoundUnwritten, err.Error()
	case err != nil:
		w.Error = err.Error()
	case stored.Tombstone != nil:
		w.Found, w.End = ltp.FoundTombstone, stored.Tombstone
	default:
		r := stored.Receipt
		r.Repeated, r.CommittedAt = true, ltp.Stamped(time.Now())
		w.Found, w.Receipt = ltp.FoundOrder, &r
	}
	return w
}

func (a *Orders) worker() string {
	if a.Worker != "" {
		return a.Worker
	}
	return ProcessName()
}

// ProcessName names this process in receipts and observations: host and process.
func ProcessName() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown-host"
	}
	return fmt.Sprintf("%s/%d", host, os.Getpid())
}
