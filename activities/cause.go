package activities

import (
	"context"
	"errors"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
)

// WritePath is the way that orders take into the order database, tried with an order of the
// probe's own, of which nothing stays: see orderdb.DB.
type WritePath interface {
	TryWritePath(ctx context.Context) error
	// TryLatest tries it with what the newest orders hold.
	TryLatest(ctx context.Context) error
}

// Witness returns when the order ended that was executed last, by Temporal's clock, if that
// was after since; zero where it knows of none. The order went through the same write path: by
// an activity of the user's, or by the order database where that is empty.
type Witness func(ctx context.Context, activity string, since time.Time) (time.Time, error)

// causeWithin is how long it may take to find out whose fault a failure was. A write path that
// hangs for as long is at fault.
const causeWithin = 3 * time.Second

// findCause finds out whose fault the failure of an attempt was.
//
//   - The order's own, where afterwards another order takes the same write path, or the
//     probe's order does.
//   - The component's, where the probe's order fails as well. This worker may be alone with
//     that: it is suspected.
//
// A probe's order is small and holds little. So it does not acquit the database of an error
// about the database's state, such as a full disk, nor of a write that had no answer, since a
// lock may keep real orders alone waiting: only a commit of another order does. For an error
// about what an order holds, the contents of the newest orders are tried as well: a
// migration may have added a constraint that the probe's order meets and real orders do not.
//
// What is not known to be the order's own is reported to the component's Orientation, as
// evidence. Where the epoch of the failure is over, or the component is unfit, nothing is
// tried.
func (a *Orders) findCause(ctx context.Context, in ltp.RouteInput) ltp.FailureCause {
	f := *in.Failure
	if now := a.Board.Orientation(in.Request.FailedUnder); !now.State.Fit() || now.Epoch > in.Request.FailedEpoch {
		return ""
	}
	b := a.tryWritePath(ctx, f)
	if b == "" && a.Witness != nil {
		asking, cancel := context.WithTimeout(ctx, causeWithin)
		defer cancel()
		if last, err := a.Witness(asking, f.Activity, f.Since); err == nil && !last.IsZero() {
			b = ltp.CauseOrder
		}
	}
	if b == ltp.CauseComponent && a.Suspect != nil {
		a.Suspect(in.Request.FailedUnder, in.OrderID, f.Since)
	}
	if b != ltp.CauseOrder && a.Evidence != nil {
		a.Evidence.Failed(in.Request.FailedUnder, in.Request.FailedEpoch, ltp.FailedWrite{
			Order: in.OrderID, Code: f.Code, Error: f.Error, Hung: f.Result == ltp.ResultUnknown,
		})
	}
	return b
}

// tryLatest acquits the database where it takes what orders hold that it took before.
func (a *Orders) tryLatest(ctx context.Context) ltp.FailureCause {
	ctx, cancel := context.WithTimeout(ctx, causeWithin)
	defer cancel()
	if a.latest.wait(ctx, a.WritePath.TryLatest) != nil {
		return ""
	}
	return ltp.CauseOrder
}

func (a *Orders) tryWritePath(ctx context.Context, f ltp.Failure) ltp.FailureCause {
	if f.Activity != "" || a.WritePath == nil {
		return ""
	}
	trying, cancel := context.WithTimeout(ctx, causeWithin)
	defer cancel()
	err := a.trials.wait(trying, a.WritePath.TryWritePath)
	class, _ := orderdb.ClassOf(err)
	switch {
	case err == nil && (orderdb.OfItsState(f.Code) || f.Code == "" && f.Result == ltp.ResultUnknown):
		// There may be room for the probe's small order alone, and a lock, such as one on a row
		// of stock, that it does not meet.
		return ""
	case err == nil && f.Result != ltp.ResultRefused && orderdb.OfContent(f.Code):
		return a.tryLatest(ctx)
	case err == nil:
		return ltp.CauseOrder
	case class == orderdb.Rejected: // a rule of the business refuses the probe's order, which proves nothing
		return ""
	case errors.Is(err, context.Canceled):
		return ""
	}
	return ltp.CauseComponent
}
