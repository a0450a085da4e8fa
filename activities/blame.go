package activities

import (
	"context"
	"errors"
	"time"

	"github.com/ltp-node/ltp"
	"github.com/ltp-node/ltp/orderdb"
)

// Door is the way that orders take into the order database, tried with an order of the
// probe's own, of which nothing stays: see orderdb.DB.
type Door interface {
	TryDoor(ctx context.Context) error
	// TryLatest tries it with what the newest orders hold.
	TryLatest(ctx context.Context) error
}

// Witness returns when the order ended that was executed last, by Temporal's clock, if that
// was after since; zero where it knows of none. The order went through the same door: by
// an activity of the user's, or by the order database where that is empty.
type Witness func(ctx context.Context, activity string, since time.Time) (time.Time, error)

// blameWithin is how long it may take to find out whose fault a failure was. A door that
// hangs for as long is at fault.
const blameWithin = 3 * time.Second

// blame finds out whose fault the failure of an attempt was. It is the order's own where
// another order goes through the same door afterwards, or the probe's does; it is the
// component's where the probe's order fails as well. A SQLSTATE about the state of the
// database takes another order's commit: that of the probe's order says too little. So
// does one about what an order holds, where the database refuses also what the newest
// orders hold: a migration has added a constraint that the probe's order meets.
// What is not known to be the order's own is reported to the component's Orientation, as
// evidence.
//
// Where the probe's order fails, this worker may be alone with that: it is suspected.
//
// Where the epoch of the failure is over, nobody needs to know, and an unfit component is
// left alone.
func (a *Orders) blame(ctx context.Context, in ltp.RouteInput) ltp.Blame {
	f := *in.Failure
	if now := a.Board.Orientation(in.Request.FailedUnder); !now.State.Fit() || now.Epoch > in.Request.FailedEpoch {
		return ""
	}
	b := a.tryDoor(ctx, f)
	if b == "" && a.Witness != nil {
		asking, cancel := context.WithTimeout(ctx, blameWithin)
		defer cancel()
		if last, err := a.Witness(asking, f.Activity, f.Since); err == nil && !last.IsZero() {
			b = ltp.BlameOrder
		}
	}
	if b == ltp.BlameComponent && a.Suspect != nil {
		a.Suspect(in.Request.FailedUnder, in.OrderID, f.Since)
	}
	if b != ltp.BlameOrder && a.Evidence != nil {
		a.Evidence.Failed(in.Request.FailedUnder, in.Request.FailedEpoch, ltp.FailedWrite{
			Order: in.OrderID, Code: f.Code, Error: f.Error, Hung: f.Result == ltp.ResultUnknown,
		})
	}
	return b
}

// tryLatest acquits the database where it takes what orders hold that it took before.
func (a *Orders) tryLatest(ctx context.Context) ltp.Blame {
	ctx, cancel := context.WithTimeout(ctx, blameWithin)
	defer cancel()
	if a.latest.ask(ctx, a.Door.TryLatest) != nil {
		return ""
	}
	return ltp.BlameOrder
}

func (a *Orders) tryDoor(ctx context.Context, f ltp.Failure) ltp.Blame {
	if f.Activity != "" || a.Door == nil {
		return ""
	}
	trying, cancel := context.WithTimeout(ctx, blameWithin)
	defer cancel()
	err := a.trials.ask(trying, a.Door.TryDoor)
	class, _ := orderdb.ClassOf(err)
	switch {
	case err == nil && orderdb.OfItsState(f.Code): // the probe's order is small: there may be room for it alone
		return ""
	case err == nil && f.Result != ltp.ResultRefused && orderdb.OfContent(f.Code):
		return a.tryLatest(ctx)
	case err == nil:
		return ltp.BlameOrder
	case class == orderdb.Rejected: // a rule of the business refuses the probe's order: nobody is the wiser
		return ""
	case errors.Is(err, context.Canceled):
		return ""
	}
	return ltp.BlameComponent
}
